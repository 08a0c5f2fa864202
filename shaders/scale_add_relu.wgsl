// scale_add_relu: channels weighed by a gate, plus a residual, rectified: the end of a residual block with channel attention.
//
// Formula   output[n,h,w,c] = max(0, sigmoid(gate[n,c]) input[n,h,w,c] + residual[n,h,w,c]). NaN stays NaN.
// Layouts   input, residual, output: NHWC; gate: [N, C], before its sigmoid; windows of all. vec4 (main, C divisible by 4),
//           scalars (ragged), or quads of f16 beside an f32 gate (halves: C padded to whole quads with zeros, save in the gate).
// Dispatch  64 invocations a workgroup, one vec4, scalar or quad each.
// Limits    bound by memory: 8 bytes read and 4 written an element; the gate comes from the cache.
// In bounds those past `total` leave first; channels past the last read the last one's gate.
// Paper     Hu, Shen, Albanie, Sun and Wu, "Squeeze-and-Excitation Networks", CVPR 2018, section 3.
// Twin      kernels::reference::scale_add_relu.

struct Params {
    channels: u32,   // vec4 or scalars of a pixel
    image: u32,      // vec4 or scalars from one image to the next
    base: u32,       // where the band starts in the bound windows
    gate_base: u32,
    total: u32,      // vec4 or scalars to write
    gates: u32,      // scalars of an image's gate
    pad0: u32,
    pad1: u32,
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
@group(0) @binding(9) var<storage, read> input_half: array<vec2<u32>>;
@group(0) @binding(10) var<storage, read> residual_half: array<vec2<u32>>;
@group(0) @binding(11) var<storage, read_write> output_half: array<vec2<u32>>;
@group(0) @binding(12) var<storage, read_write> overflow: array<atomic<u32>>; // set where f16 is too small

fn from_half(bits: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(bits.x), unpack2x16float(bits.y));
}

// WGSL leaves open what becomes of numbers beyond f16: here they become infinite or NaN, and the flag is set, whatever later layers make of
// them. Bits are compared (with those of 65504), for compilers may take it that nothing is NaN.
fn to_half2(v: vec2<f32>) -> u32 {
    let held = (bitcast<vec2<u32>>(v) & vec2<u32>(0x7fffffffu)) <= vec2<u32>(0x477fe000u);
    if !all(held) { atomicStore(&overflow[0], 1u); }
    let lost = select(vec2<u32>(0x7c00u, 0x7c000000u), vec2<u32>(), held);
    return pack2x16float(clamp(v, vec2<f32>(-65504.0), vec2<f32>(65504.0))) | lost.x | lost.y;
}

// max(0, v); NaN stays NaN. Bits are compared, for compilers may take it that nothing is NaN: below zero is what has the sign and isn't
// beyond minus infinity.
fn rectified(v: vec4<f32>) -> vec4<f32> {
    return select(v, vec4<f32>(), bitcast<vec4<u32>>(v) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u));
}

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
    output[p.base + i] = rectified(sum);
}

@compute @workgroup_size(64)
fn ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let scale = sigmoid(vec4<f32>(gate_scalar[p.gate_base + i / p.image * p.channels + i % p.channels])).x;
    let sum = scale * input_scalar[p.base + i] + residual_scalar[p.base + i];
    output_scalar[p.base + i] = rectified(vec4<f32>(sum)).x;
}

@compute @workgroup_size(64)
fn halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let channel = i % p.channels * 4u;
    let first = p.gate_base + i / p.image * p.gates;
    // Past the last channel everything is zero whatever the gate.
    let last = p.gates - 1u;
    let scale = sigmoid(vec4<f32>(
        gate_scalar[first + channel], gate_scalar[first + min(channel + 1u, last)],
        gate_scalar[first + min(channel + 2u, last)], gate_scalar[first + min(channel + 3u, last)]));
    let sum = rectified(scale * from_half(input_half[p.base + i]) + from_half(residual_half[p.base + i]));
    output_half[p.base + i] = vec2<u32>(to_half2(sum.xy), to_half2(sum.zw));
}
