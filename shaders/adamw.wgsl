// adamw: one step of Adam with decoupled weight decay, in place.
//
// Formula   m = beta1 m + (1 - beta1) grad,   v = beta2 v + (1 - beta2) grad^2
//           param = param - learning_rate weight_decay param - step_size m / (correction sqrt(v) + eps)
//           step_size = learning_rate / (1 - beta1^t),   correction = 1 / sqrt(1 - beta2^t),   t = 1 at the first step
// Layouts   flat, the same for all: vec4 (main, whole vec4 only) or scalars (ragged, any length).
// Dispatch  64 invocations a workgroup, one vec4 or scalar each. The length is the bound window's.
// Limits    bound by memory: 16 bytes read and 12 written a parameter.
// In bounds main: an index past the end is drawn back to the last before anything is read, and nothing is bound empty; ragged leaves
//           first. The four operands are windows of the same length.
// Paper     Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2; Kingma and Ba, "Adam: A
//           Method for Stochastic Optimization", ICLR 2015, algorithm 1.
// Twin      kernels::reference::adamw.

// What depends on the step is computed on the host, in f64.
struct Params {
    decay: f32,        // learning_rate weight_decay
    step_size: f32,
    correction: f32,
    eps: f32,
    beta1: f32,
    fresh1: f32,       // 1 - beta1
    beta2: f32,
    fresh2: f32,       // 1 - beta2
    row: u32,          // vec4 or scalars of a row
    decayed: u32,      // of each row, the first ones: the rest is not pulled to zero
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> param: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> exp_avg: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> exp_avg_sq: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> param_scalar: array<f32>;
@group(0) @binding(6) var<storage, read> grad_scalar: array<f32>;
@group(0) @binding(7) var<storage, read_write> exp_avg_scalar: array<f32>;
@group(0) @binding(8) var<storage, read_write> exp_avg_sq_scalar: array<f32>;

struct Step {
    param: vec4<f32>,
    m: vec4<f32>,
    v: vec4<f32>,
}

fn step_from(i: u32, x: vec4<f32>, grad: vec4<f32>, m_old: vec4<f32>, v_old: vec4<f32>) -> Step {
    let m = p.beta1 * m_old + p.fresh1 * grad;
    let v = p.beta2 * v_old + p.fresh2 * grad * grad;
    let decay = select(0.0, p.decay, i % p.row < p.decayed);
    return Step(x - decay * x - p.step_size * (m / (p.correction * sqrt(v) + p.eps)), m, v);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let end = arrayLength(&param);
    let index = (id.x + id.y * count.x) * 64u + t;
    // Those past the end compute the last once more and don't store: after an early return a software driver reads every parameter once a lane.
    let i = min(index, end - 1u);
    let next = step_from(i, param[i], grad[i], exp_avg[i], exp_avg_sq[i]);
    if index < end {
        param[i] = next.param;
        exp_avg[i] = next.m;
        exp_avg_sq[i] = next.v;
    }
}

@compute @workgroup_size(64)
fn ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= arrayLength(&param_scalar) { return; }
    let next = step_from(
        i, vec4<f32>(param_scalar[i]), vec4<f32>(grad_scalar[i]), vec4<f32>(exp_avg_scalar[i]), vec4<f32>(exp_avg_sq_scalar[i]));
    param_scalar[i] = next.param.x;
    exp_avg_scalar[i] = next.m.x;
    exp_avg_sq_scalar[i] = next.v.x;
}
