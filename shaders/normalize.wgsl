// normalize: photos as bytes to the network's input, each colour through a table of its own.
//
// Formula   output[p] = (table[0, red], table[1, green], table[2, blue], 0) of pixel p
// Layouts   bytes: red, green, blue of one pixel after the other, four bytes to a u32, the first in its lowest bits. table: [3, 256].
//           output: a vec4 a pixel; with entry halves a quad of f16, two to a u32.
// Dispatch  64 invocations a workgroup, one pixel each.
// How       a table, not a product: (x / 255 - mean) / std of every byte is computed once on the host, as exactly as there. So the numbers
//           are the same wherever a photo is normalised, and a division's accuracy, which WGSL leaves open, plays no part.
// Limits    bound by memory: 3 bytes read and 16 (or 8) written an invocation; the table of 3 KiB stays in the caches.
// Paper     the input normalisation of Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, 2012, section 2.
// Twin      kernels::reference::normalize.

struct Params {
    total: u32, // pixels of this window
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> bytes: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output_half: array<vec2<u32>>;

fn colour(at: u32) -> u32 {
    return (bytes[at / 4u] >> (at % 4u * 8u)) & 255u;
}

fn pixel(i: u32) -> vec4<f32> {
    let at = 3u * i;
    return vec4<f32>(table[colour(at)], table[256u + colour(at + 1u)], table[512u + colour(at + 2u)], 0.0);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    output[i] = pixel(i);
}

// WGSL leaves open what becomes of numbers beyond f16: here they become infinite or NaN, and so are noticed. Bits are compared (with
// those of 65504), for compilers may take it that nothing is NaN.
fn to_half2(v: vec2<f32>) -> u32 {
    let size = bitcast<vec2<u32>>(v) & vec2<u32>(0x7fffffffu);
    let lost = select(vec2<u32>(0x7c00u, 0x7c000000u), vec2<u32>(), size <= vec2<u32>(0x477fe000u));
    return pack2x16float(clamp(v, vec2<f32>(-65504.0), vec2<f32>(65504.0))) | lost.x | lost.y;
}

@compute @workgroup_size(64)
fn halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let value = pixel(i);
    output_half[i] = vec2<u32>(to_half2(value.xy), to_half2(value.zw));
}
