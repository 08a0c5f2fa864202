// avg_pool2d: the mean of every channel over a sliding window.
//
// Formula   output[n,i,j,c] = 1/D sum over kh, kw of input[n, i sh + kh - ph, j sw + kw - pw, c], pixels outside being zero;
//           D = the window's pixels inside the padded image when padding counts, else those inside the image.
// Layouts   NHWC, windows of both. channels counts vec4 (main, C divisible by 4), scalars (ragged)
//           or quads of f16 (halves, C padded to whole quads).
// Dispatch  64 invocations a workgroup, one vec4, scalar or quad of the output each, numbered as they lie.
// Limits    bound by memory: kernel height x width reads an output, most from the cache. Padding is half the kernel or less,
//           so that no window lies wholly outside.
// In bounds those past `total` leave first. A window is clipped to the image on all sides before it is read, its rows are among those bound.
// Paper     LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11),
//           1998, section II.B.
// Twin      kernels::reference::avg_pool2d.

struct Params {
    height: u32,         // of an image of the input
    width: u32,
    channels: u32,       // vec4 or scalars of a pixel
    output_width: u32,
    row_first: u32,      // rows of the output in this band
    rows: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_height: u32,
    stride_width: u32,
    padding_height: u32,
    padding_width: u32,
    count_include_pad: u32,
    input_row: u32,      // row of the input that input_base is
    input_base: u32,     // where the band starts in the bound windows
    output_base: u32,
    total: u32,          // vec4 or scalars to write
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> input_scalar: array<f32>;
@group(0) @binding(4) var<storage, read_write> output_scalar: array<f32>;
@group(0) @binding(5) var<storage, read> input_half: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read_write> output_half: array<vec2<u32>>;

fn from_half(bits: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(bits.x), unpack2x16float(bits.y));
}

// WGSL leaves open what becomes of numbers beyond f16: here they become infinite or NaN, and so are noticed. Bits are compared (with
// those of 65504), for compilers may take it that nothing is NaN.
fn to_half2(v: vec2<f32>) -> u32 {
    let size = bitcast<vec2<u32>>(v) & vec2<u32>(0x7fffffffu);
    let lost = select(vec2<u32>(0x7c00u, 0x7c000000u), vec2<u32>(), size <= vec2<u32>(0x477fe000u));
    return pack2x16float(clamp(v, vec2<f32>(-65504.0), vec2<f32>(65504.0))) | lost.x | lost.y;
}

// The part of a window that lies inside the image.
struct Window {
    first: u32,   // of the bound input
    rows: u32,
    columns: u32,
    divisor: f32,
}

fn window_of(i: u32) -> Window {
    let channel = i % p.channels;
    let column = i / p.channels % p.output_width;
    let row = i / p.channels / p.output_width % p.rows + p.row_first;
    let image = i / p.channels / p.output_width / p.rows;
    // Both ends are counted from the padded edge, so that nothing is negative.
    let top = max(row * p.stride_height, p.padding_height);
    let left = max(column * p.stride_width, p.padding_width);
    let rows = min(row * p.stride_height + p.kernel_height, p.height + p.padding_height) - top;
    let columns = min(column * p.stride_width + p.kernel_width, p.width + p.padding_width) - left;
    let y = top - p.padding_height - p.input_row;
    let x = left - p.padding_width;
    let first = p.input_base + ((image * p.height + y) * p.width + x) * p.channels + channel;
    // In ceil mode the last windows hang over the padding too.
    let padded_rows = min(p.kernel_height, p.height + 2u * p.padding_height - row * p.stride_height);
    let padded_columns = min(p.kernel_width, p.width + 2u * p.padding_width - column * p.stride_width);
    let area = select(rows * columns, padded_rows * padded_columns, p.count_include_pad != 0u);
    return Window(first, rows, columns, f32(area));
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let window = window_of(i);
    var sum = vec4<f32>();
    for (var y = 0u; y < window.rows; y++) {
        for (var x = 0u; x < window.columns; x++) { sum += input[window.first + (y * p.width + x) * p.channels]; }
    }
    output[p.output_base + i] = sum / window.divisor;
}

@compute @workgroup_size(64)
fn ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let window = window_of(i);
    var sum = 0.0;
    for (var y = 0u; y < window.rows; y++) {
        for (var x = 0u; x < window.columns; x++) { sum += input_scalar[window.first + (y * p.width + x) * p.channels]; }
    }
    output_scalar[p.output_base + i] = sum / window.divisor;
}

@compute @workgroup_size(64)
fn halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let window = window_of(i);
    var sum = vec4<f32>();
    for (var y = 0u; y < window.rows; y++) {
        for (var x = 0u; x < window.columns; x++) { sum += from_half(input_half[window.first + (y * p.width + x) * p.channels]); }
    }
    let mean = sum / window.divisor;
    output_half[p.output_base + i] = vec2<u32>(to_half2(mean.xy), to_half2(mean.zw));
}
