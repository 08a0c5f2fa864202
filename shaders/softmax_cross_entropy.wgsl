// softmax_cross_entropy: loss of every sample and gradient of the logits, in one go.
//
// Formula   p = softmax(logits[b]), y = labels[b], a = confidence = 1 - smoothing, e = spread = smoothing / K, w = class weights
//           loss[b] = scale (-a w[y] log p[y] - e sum over c of w[c] log p[c]),
//           grad_logits[b,c] = scale ((a w[y] + e sum of w) p[c] - e w[c] - a w[y] [c = y])
//           scale = sample weight, divided by totals.x for the mean. A label of K or more: loss and gradient are 0.
//           totals = (sum over b of sample weight w[y], sum over c of w[c]).
// Layouts   logits, grad_logits: [B, K], or [K, B] by the strides; labels, loss, sample_weights: [B]; class_weights: [K]; windows of rows.
// Dispatch  normaliser: one workgroup of 64 a window of labels, adding to what the windows before it found. main: 64
//           invocations a workgroup, `lanes` (a power of two) of them a sample: 1 for few classes, 64 for many.
// How       three passes over a row: its maximum (so that exp stays in range at any logit), the sum, the gradient. An
//           invocation takes every lanes-th class and reads the other lanes' results after a barrier: two barriers in all.
// Limits    64 invocations, 768 bytes of workgroup memory.
// In bounds groups past the last leave together. A row past the end has no classes and leaves after the barriers. A label is an index only
//           below `classes`. Lanes are a power of two up to 64, so that every loop ends and leader + i stays below 64.
// Paper     Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7 (smoothing);
//           Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions", IMA J. Numer. Anal.
//           41(4), 2021, section 4.
// Twin      kernels::reference::softmax_cross_entropy.

struct Params {
    rows: u32,               // of this window
    classes: u32,
    lanes: u32,
    groups: u32,             // workgroups in all
    logits_base: u32,        // where the window starts in what is bound
    row_base: u32,
    confidence: f32,
    spread: f32,
    mean: u32,
    has_class_weights: u32,
    has_sample_weights: u32,
    has_grad: u32,
    accumulate: u32,         // normaliser: not the first window
    row_stride: u32,         // elements of the logits from sample to sample
    class_stride: u32,       // from class to class
    pad: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> class_weights: array<f32>;
@group(0) @binding(4) var<storage, read> sample_weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> totals: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> loss: array<f32>;
@group(0) @binding(7) var<storage, read_write> grad_logits: array<f32>;

const LOWEST = -3.4028234e38;

var<workgroup> maxima: array<f32, 64>;
var<workgroup> sums: array<vec2<f32>, 64>;

fn class_weight(c: u32) -> f32 {
    if p.has_class_weights == 0u { return 1.0; }
    return class_weights[c];
}

fn sample_weight(row: u32) -> f32 {
    if p.has_sample_weights == 0u { return 1.0; }
    return sample_weights[p.row_base + row];
}

@compute @workgroup_size(64)
fn normaliser(@builtin(local_invocation_index) t: u32) {
    var sum = vec2<f32>();
    for (var row = t; row < p.rows; row += 64u) {
        let label = labels[p.row_base + row];
        if label < p.classes { sum.x += sample_weight(row) * class_weight(label); }
    }
    if p.accumulate == 0u {
        for (var c = t; c < p.classes; c += 64u) { sum.y += class_weight(c); }
    }
    sums[t] = sum;
    workgroupBarrier();
    if t == 0u {
        for (var i = 1u; i < 64u; i++) { sum += sums[i]; }
        if p.accumulate != 0u { sum += totals[0]; }
        totals[0] = sum;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let lane = t % p.lanes;
    let leader = t - lane;
    let row = group * (64u / p.lanes) + t / p.lanes;
    let start = p.logits_base + row * p.row_stride;
    // A row past the end takes part in the barriers, with no classes.
    let end = select(0u, p.classes, row < p.rows);

    var highest = LOWEST;
    for (var c = lane; c < end; c += p.lanes) { highest = max(highest, logits[start + c * p.class_stride]); }
    maxima[t] = highest;
    workgroupBarrier();
    for (var i = 0u; i < p.lanes; i++) { highest = max(highest, maxima[leader + i]); }

    var sum = vec2<f32>(); // of exp(x) and of w x
    for (var c = lane; c < end; c += p.lanes) {
        let x = logits[start + c * p.class_stride] - highest;
        sum.x += exp(x);
        if p.spread != 0.0 { sum.y += class_weight(c) * x; }
    }
    sums[t] = sum;
    workgroupBarrier();
    if end == 0u { return; }
    sum = vec2<f32>();
    for (var i = 0u; i < p.lanes; i++) { sum += sums[leader + i]; }

    let label = labels[p.row_base + row];
    let ignored = label >= p.classes;
    var scale = sample_weight(row);
    // Where nothing weighs anything, the mean of nothing is 0.
    if p.mean != 0u { scale = select(scale / totals[0].x, 0.0, totals[0].x == 0.0); }
    var at_label = 0.0;
    if !ignored { at_label = p.confidence * class_weight(label); }
    if lane == 0u {
        var value = 0.0;
        if !ignored {
            let log_sum = log(sum.x);
            value = at_label * (log_sum - (logits[start + label * p.class_stride] - highest));
            if p.spread != 0.0 { value += p.spread * (totals[0].y * log_sum - sum.y); }
        }
        loss[p.row_base + row] = select(scale * value, 0.0, ignored);
    }
    if p.has_grad == 0u { return; }
    let slope = at_label + p.spread * totals[0].y;
    for (var c = lane; c < end; c += p.lanes) {
        var grad = slope * (exp(logits[start + c * p.class_stride] - highest) / sum.x);
        if p.spread != 0.0 { grad -= p.spread * class_weight(c); }
        if c == label { grad -= at_label; }
        grad_logits[start + c * p.class_stride] = select(scale * grad, 0.0, ignored);
    }
}
