// global_avg_pool2d: the mean of every channel over an image's pixels.
//
// Formula   output[n,c] = 1/(H W) sum over h, w of input[n,h,w,c]
// Layouts   input: NHWC; output: [N, C]; windows of both. width counts vec4 (main, C divisible by 4), scalars (ragged)
//           or quads of f16 (halves: the input's C padded to whole quads, the output f32 and as long as C says).
// Dispatch  64 invocations a workgroup, one vec4, scalar or quad of the output each: neighbours read neighbouring channels.
// Limits    bound by memory: each input element is read once. An image beyond a binding is summed in bands of pixels:
//           all but the first add to the output, the last divides.
// In bounds those past `total` leave first; `pixels` x `width` an image is what the window shows. Loops count to `pixels`.
// Paper     Lin, Chen and Yan, "Network In Network", ICLR 2014, section 3.2.
// Twin      kernels::reference::global_avg_pool2d.

struct Params {
    width: u32,       // vec4, scalars or quads of a pixel
    pixels: u32,      // of an image, or of the band of the only one
    input_base: u32,  // where the band starts in the bound windows
    output_base: u32,
    total: u32,       // vec4, scalars or quads to write
    accumulate: u32,
    divisor: f32,
    channels: u32,    // scalars of a pixel
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> input_scalar: array<f32>;
@group(0) @binding(4) var<storage, read_write> output_scalar: array<f32>;
@group(0) @binding(5) var<storage, read> input_half: array<vec2<u32>>;

fn from_half(bits: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(bits.x), unpack2x16float(bits.y));
}

fn first_of(i: u32) -> u32 {
    return p.input_base + i / p.width * p.pixels * p.width + i % p.width;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let first = first_of(i);
    var sum = vec4<f32>();
    if p.accumulate != 0u { sum = output[p.output_base + i]; }
    for (var pixel = 0u; pixel < p.pixels; pixel++) { sum += input[first + pixel * p.width]; }
    output[p.output_base + i] = sum / p.divisor;
}

@compute @workgroup_size(64)
fn ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let first = first_of(i);
    var sum = 0.0;
    if p.accumulate != 0u { sum = output_scalar[p.output_base + i]; }
    for (var pixel = 0u; pixel < p.pixels; pixel++) { sum += input_scalar[first + pixel * p.width]; }
    output_scalar[p.output_base + i] = sum / p.divisor;
}

@compute @workgroup_size(64)
fn halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let first = first_of(i);
    let channel = i % p.width * 4u;
    let start = p.output_base + i / p.width * p.channels + channel;
    var sum = vec4<f32>();
    for (var pixel = 0u; pixel < p.pixels; pixel++) { sum += from_half(input_half[first + pixel * p.width]); }
    for (var j = 0u; j < 4u; j++) {
        if channel + j < p.channels {
            var value = sum[j];
            if p.accumulate != 0u { value += output_scalar[start + j]; }
            output_scalar[start + j] = value / p.divisor;
        }
    }
}
