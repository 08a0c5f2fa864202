// sigmoid_cross_entropy: loss of every sample whose classes are told each by itself, and gradient of the logits, in one go.
//
// Formula   p = 1 / (1 + exp(-z)), z = logits[c,b], y = targets[c,b], s = sample_weights[b]
//           loss[b] = s sum over c of (-y log p - (1 - y) log (1 - p)) = s sum over c of (max(z, 0) - z y + log(1 + exp(-|z|)))
//           grad_logits[c,b] = s (p - y)
// Layouts   logits, targets, grad_logits: [K, B]; sample_weights, loss: [B].
// Dispatch  main: 64 invocations a workgroup, each a sample; workgroups beyond an axis are folded into the next.
// How       exp of what is never above 0 stays in range at any logit. Samples lie side by side, so that a workgroup reads whole lines.
// Limits    64 invocations, no workgroup memory.
// In bounds an invocation past the last sample leaves; every index is c B + b with c below K and b below B.
// Twin      kernels::reference::sigmoid_cross_entropy.

struct Params {
    batch: u32,
    classes: u32,
    pad: vec2<u32>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read> sample_weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> grad_logits: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let b = (id.x + id.y * count.x) * 64u + t;
    if b >= p.batch { return; }
    let weight = sample_weights[b];
    var sum = 0.0;
    for (var c = 0u; c < p.classes; c++) {
        let i = c * p.batch + b;
        let z = logits[i];
        let y = targets[i];
        let power = exp(-abs(z));
        sum += max(z, 0.0) - z * y + log(1.0 + power);
        let probability = select(power, 1.0, z >= 0.0) / (1.0 + power);
        grad_logits[i] = weight * (probability - y);
    }
    loss[b] = weight * sum;
}
