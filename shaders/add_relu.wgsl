// add_relu: the sum of two tensors, with or without ReLU.
//
// Formula   output[i] = max(0, a[i] + b[i]), or a[i] + b[i] without relu. NaN stays NaN.
// Layouts   flat, the same for all three: vec4 (main, whole vec4 only) or scalars (ragged, any length).
// Dispatch  64 invocations a workgroup, one vec4 or scalar each. The length is the bound window's.
// Limits    bound by memory: 8 bytes read and 4 written an element.
// Twin      kernels::reference::add_relu.

override relu: bool = true;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> a_scalar: array<f32>;
@group(0) @binding(4) var<storage, read> b_scalar: array<f32>;
@group(0) @binding(5) var<storage, read_write> output_scalar: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= arrayLength(&output) { return; }
    let sum = a[i] + b[i];
    output[i] = select(sum, vec4<f32>(), (sum < vec4<f32>()) & vec4<bool>(relu));
}

@compute @workgroup_size(64)
fn ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= arrayLength(&output_scalar) { return; }
    let sum = a_scalar[i] + b_scalar[i];
    output_scalar[i] = select(sum, 0.0, relu && sum < 0.0);
}
