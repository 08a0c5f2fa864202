// scale_add_relu: channels weighed by a gate, plus a residual, rectified: the end of a residual block with channel attention.
//
// Formula   output[n,h,w,c] = max(0, sigmoid(gate[n,c]) input[n,h,w,c] + residual[n,h,w,c]). NaN stays NaN.
// Layouts   input, residual, output: NHWC; gate: [N, C], before its sigmoid; windows of all. vec4 (main, C divisible by 4) or
//           scalars (ragged).
// Dispatch  64 invocations a workgroup, one vec4 or scalar each.
// Limits    bound by memory: 8 bytes read and 4 written an element; the gate comes from the cache.
// Paper     Hu, Shen, Albanie, Sun and Wu, "Squeeze-and-Excitation Networks", CVPR 2018, section 3.
// Twin      kernels::reference::scale_add_relu.

struct Params {
    channels: u32,   // vec4 or scalars of a pixel
    image: u32,      // vec4 or scalars from one image to the next
    base: u32,       // where the band starts in the bound windows
    gate_base: u32,
    total: u32,      // vec4 or scalars to write
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> input_scalar: array<f32>;
@group(0) @binding(6) var<storage, read> gate_scalar: array<f32>;
@group(0) @binding(7) var<storage, read> residual_scalar: array<f32>;
@group(0) @binding(8) var<storage, read_write> output_scalar: array<f32>;

// The exponent is never positive, so that nothing overflows.
fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-abs(x));
    return select(vec4<f32>(1.0), e, x < vec4<f32>()) / (1.0 + e);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let scale = sigmoid(gate[p.gate_base + i / p.image * p.channels + i % p.channels]);
    let sum = scale * input[p.base + i] + residual[p.base + i];
    output[p.base + i] = select(sum, vec4<f32>(), sum < vec4<f32>());
}

@compute @workgroup_size(64)
fn ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let scale = sigmoid(vec4<f32>(gate_scalar[p.gate_base + i / p.image * p.channels + i % p.channels])).x;
    let sum = scale * input_scalar[p.base + i] + residual_scalar[p.base + i];
    output_scalar[p.base + i] = select(sum, 0.0, sum < 0.0);
}
