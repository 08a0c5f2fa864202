// global_avg_pool2d: the mean of every channel over an image's pixels.
//
// Formula   output[n,c] = 1/(H W) sum over h, w of input[n,h,w,c]
// Layouts   input: NHWC; output: [N, C]; windows of both. width counts vec4 (main, C divisible by 4), scalars (ragged)
//           or quads of f16 (halves: the input's C padded to whole quads, the output f32 and as long as C says).
// Dispatch  one by one (main, ragged, halves): 64 invocations a workgroup, one vec4, scalar or quad of the output each: neighbours read
//           neighbouring channels. In strips (strips, strips_ragged, strips_halves): a workgroup of 256 takes 8 neighbours of one image
//           in 32 strips of pixels, each 32 apart.
// How       one by one, a GPU waits for a pixel before it asks for the next, with few invocations to hide that: 512 channels are 128.
//           In strips, 32 times as many have four loads each on their way; their sums meet in a tree in workgroup memory. Software
//           adapters, for whom loads are near and barriers dear, and images of few pixels take one by one.
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

// Writes a quad of sums in f16's entry points, as far as there are channels.
fn write_means(i: u32, sum: vec4<f32>) {
    let channel = i % p.width * 4u;
    let start = p.output_base + i / p.width * p.channels + channel;
    for (var j = 0u; j < 4u; j++) {
        if channel + j < p.channels {
            var value = sum[j];
            if p.accumulate != 0u { value += output_scalar[start + j]; }
            output_scalar[start + j] = value / p.divisor;
        }
    }
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
    var sum = vec4<f32>();
    for (var pixel = 0u; pixel < p.pixels; pixel++) { sum += from_half(input_half[first + pixel * p.width]); }
    write_means(i, sum);
}

const LANES = 8u; // vec4, scalars or quads of a workgroup
const STRIPS = 32u;
const NOTHING = 0xffffffffu;

var<workgroup> partial: array<vec4<f32>, 256>;

// What an invocation adds up.
struct Strip {
    output: u32, // vec4, scalar or quad of the output; NOTHING past the last channel
    first: u32,  // its place in the image's first pixel; past the last channel, the last one's
    pixel: u32,  // the strip's first
}

fn groups() -> u32 {
    return p.total / p.width * ((p.width + LANES - 1u) / LANES);
}

fn strip_of(group: u32, t: u32) -> Strip {
    let groups = (p.width + LANES - 1u) / LANES;
    let lane = group % groups * LANES + t % LANES;
    let i = group / groups * p.width + min(lane, p.width - 1u);
    return Strip(select(NOTHING, i, lane < p.width), first_of(i), t / LANES);
}

// Where a pixel lies, or the last one if there is none such: loads that wait for no branch are on their way together.
fn place(strip: Strip, pixel: u32) -> u32 {
    return strip.first + min(pixel, p.pixels - 1u) * p.width;
}

fn kept(pixel: u32, value: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), value, pixel < p.pixels);
}

// The sum over the strips, to the first strip's invocations.
fn over_strips(t: u32, sum: vec4<f32>) -> vec4<f32> {
    partial[t] = sum;
    for (var n = STRIPS / 2u; n > 0u; n /= 2u) {
        workgroupBarrier();
        if t < n * LANES { partial[t] += partial[t + n * LANES]; }
    }
    return partial[t];
}

@compute @workgroup_size(256)
fn strips(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= groups() { return; }
    let strip = strip_of(group, t);
    var sum = vec4<f32>();
    for (var pixel = strip.pixel; pixel < p.pixels; pixel += 4u * STRIPS) {
        let a = input[place(strip, pixel)];
        let b = input[place(strip, pixel + STRIPS)];
        let c = input[place(strip, pixel + 2u * STRIPS)];
        let d = input[place(strip, pixel + 3u * STRIPS)];
        sum += (a + kept(pixel + STRIPS, b)) + (kept(pixel + 2u * STRIPS, c) + kept(pixel + 3u * STRIPS, d));
    }
    sum = over_strips(t, sum);
    if strip.pixel > 0u || strip.output == NOTHING { return; }
    if p.accumulate != 0u { sum += output[p.output_base + strip.output]; }
    output[p.output_base + strip.output] = sum / p.divisor;
}

@compute @workgroup_size(256)
fn strips_ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= groups() { return; }
    let strip = strip_of(group, t);
    var sums = vec4<f32>();
    for (var pixel = strip.pixel; pixel < p.pixels; pixel += 4u * STRIPS) {
        let pixels = vec4<u32>(pixel) + vec4<u32>(0u, STRIPS, 2u * STRIPS, 3u * STRIPS);
        let a = input_scalar[place(strip, pixels.x)];
        let b = input_scalar[place(strip, pixels.y)];
        let c = input_scalar[place(strip, pixels.z)];
        let d = input_scalar[place(strip, pixels.w)];
        sums += select(vec4<f32>(), vec4<f32>(a, b, c, d), pixels < vec4<u32>(p.pixels));
    }
    sums = over_strips(t, sums);
    if strip.pixel > 0u || strip.output == NOTHING { return; }
    var sum = (sums.x + sums.y) + (sums.z + sums.w);
    if p.accumulate != 0u { sum += output_scalar[p.output_base + strip.output]; }
    output_scalar[p.output_base + strip.output] = sum / p.divisor;
}

@compute @workgroup_size(256)
fn strips_halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= groups() { return; }
    let strip = strip_of(group, t);
    var sum = vec4<f32>();
    for (var pixel = strip.pixel; pixel < p.pixels; pixel += 4u * STRIPS) {
        let a = from_half(input_half[place(strip, pixel)]);
        let b = from_half(input_half[place(strip, pixel + STRIPS)]);
        let c = from_half(input_half[place(strip, pixel + 2u * STRIPS)]);
        let d = from_half(input_half[place(strip, pixel + 3u * STRIPS)]);
        sum += (a + kept(pixel + STRIPS, b)) + (kept(pixel + 2u * STRIPS, c) + kept(pixel + 3u * STRIPS, d));
    }
    sum = over_strips(t, sum);
    if strip.pixel > 0u || strip.output == NOTHING { return; }
    write_means(strip.output, sum);
}
