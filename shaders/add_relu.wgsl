// add_relu: the sum of two tensors, with or without ReLU.
//
// Formula   output[i] = max(0, a[i] + b[i]), or a[i] + b[i] without relu. NaN stays NaN.
// Layouts   flat, the same for all three: vec4 (main, whole vec4 only) or scalars (ragged, any length).
// Dispatch  64 invocations a workgroup, one vec4 or scalar each. The length is the bound window's.
// Limits    bound by memory: 8 bytes read and 4 written an element.
// In bounds those past the end leave first; the operands are windows of the same length.
// Twin      kernels::reference::add_relu.

override relu: bool = true;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> a_scalar: array<f32>;
@group(0) @binding(4) var<storage, read> b_scalar: array<f32>;
@group(0) @binding(5) var<storage, read_write> output_scalar: array<f32>;

// max(0, v); NaN stays NaN. Bits are compared, for compilers may take it that nothing is NaN: below zero is what has the sign and isn't
// beyond minus infinity.
fn rectified(v: vec4<f32>) -> vec4<f32> {
    return select(v, vec4<f32>(), bitcast<vec4<u32>>(v) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u));
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= arrayLength(&output) { return; }
    let sum = a[i] + b[i];
    if relu { output[i] = rectified(sum); } else { output[i] = sum; }
}

@compute @workgroup_size(64)
fn ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= arrayLength(&output_scalar) { return; }
    let sum = a_scalar[i] + b_scalar[i];
    if relu { output_scalar[i] = rectified(vec4<f32>(sum)).x; } else { output_scalar[i] = sum; }
}
