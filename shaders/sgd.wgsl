// sgd: one step of stochastic gradient descent with momentum, in place.
//
// Formula   g = grad + weight_decay param
//           m = g at the first step, then momentum m + (1 - dampening) g        (only with momentum)
//           param -= learning_rate d,   d = g without momentum, g + momentum m with nesterov, else m
// Layouts   flat, the same for all: vec4 (main, whole vec4 only) or scalars (ragged, any length).
// Dispatch  64 invocations a workgroup, one vec4 or scalar each. The length is the bound window's.
// Limits    bound by memory: 12 bytes read and 8 written a parameter.
// In bounds those past the end leave first; the operands are windows of the same length. Without momentum its buffer of nothing is not touched.
// Paper     Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning", ICML
//           2013, section 2; the momentum holds gradients, not steps, so the learning rate may change.
// Twin      kernels::reference::sgd.

struct Params {
    learning_rate: f32,
    momentum: f32,
    undamped: f32,      // 1 - dampening
    weight_decay: f32,
    nesterov: u32,
    first: u32,
    row: u32,           // vec4 or scalars of a row
    decayed: u32,       // of each row, the first ones: the rest is not pulled to zero
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> param: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> momentum: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> param_scalar: array<f32>;
@group(0) @binding(5) var<storage, read> grad_scalar: array<f32>;
@group(0) @binding(6) var<storage, read_write> momentum_scalar: array<f32>;

struct Step {
    param: vec4<f32>,
    momentum: vec4<f32>,
}

fn step_from(i: u32, x: vec4<f32>, grad: vec4<f32>, old: vec4<f32>) -> Step {
    let g = grad + select(0.0, p.weight_decay, i % p.row < p.decayed) * x;
    var m = p.momentum * old + p.undamped * g;
    if p.first != 0u { m = g; }
    var d = m;
    if p.nesterov != 0u { d = g + p.momentum * m; }
    if p.momentum == 0.0 { d = g; }
    return Step(x - p.learning_rate * d, m);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= arrayLength(&param) { return; }
    var old = vec4<f32>();
    if p.momentum != 0.0 { old = momentum[i]; }
    let next = step_from(i, param[i], grad[i], old);
    param[i] = next.param;
    if p.momentum != 0.0 { momentum[i] = next.momentum; }
}

@compute @workgroup_size(64)
fn ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= arrayLength(&param_scalar) { return; }
    var old = 0.0;
    if p.momentum != 0.0 { old = momentum_scalar[i]; }
    let next = step_from(i, vec4<f32>(param_scalar[i]), vec4<f32>(grad_scalar[i]), vec4<f32>(old));
    param_scalar[i] = next.param.x;
    if p.momentum != 0.0 { momentum_scalar[i] = next.momentum.x; }
}
