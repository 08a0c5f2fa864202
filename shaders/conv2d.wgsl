// conv2d, tiled family: y = relu(conv(x, w) + bias + residual) as an implicit matrix product, for real GPUs.
//
// Formula   y[n,i,j,o] = sum over kh, kw, c of x[n, i sh + kh dh - ph, j sw + kw dw - pw, c] w[o,c,kh,kw]  + bias[o] (+ residual[n,i,j,o])
// Layouts   x: NHWC, channels4 vec4 a pixel; the first pixel of the batch stands at x_base (wrapping, where a window of x is
//           bound). w: packed panels, vec4 of (panel, tap, c, v) at ((panel taps + tap) 4 span4 + c) 16 + v: 64 output channels a
//           panel, c counted from the first channel of the panel's first group (rounded down to a vec4, and so that span4
//           vec4 stay inside the pixel), channels of other groups zero. bias: padded to whole panels.
//           residual, y: NHWC, from pixel_first on.
// Dispatch  256 invocations a workgroup, a tile of 16 rows pixels x 64 channels, numbered (panel, pixel block), blocks fastest.
// How       k runs over taps and channels together in steps of 16, so that three channels (padded to four) fill a step
//           too. Tiles of (16 rows)x16 pixels and 16x64 weights in workgroup memory, the next pair loaded into registers
//           while this one is multiplied; rows x 4 of y an invocation. Per workgroup and step, with rows = 4, 8 KiB are moved
//           for 131 kFLOP; rows = 8 moves 12 KiB for twice that, rows = 2 leaves twice as many workgroups.
// Limits    256 invocations, 6, 8 or 12 KiB of workgroup memory: WebGPU's defaults.
// Paper     implicit GEMM: Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3.
// Twin      kernels::reference::conv2d.

struct Params {
    height: u32,
    width: u32,
    channels4: u32,
    span4: u32,
    out_height: u32,
    out_width: u32,
    out_channels: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: u32,
    pad_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    group_in: u32,    // input channels of a group
    group_out: u32,   // output channels of a group
    pixel_first: u32, // of this window, counted over the batch
    pixel_end: u32,
    panel_first: u32, // of this window of w
    x_base: u32,      // tiled family: vec4 of x at which the batch starts; texture family: texel of x that is zero
    y_base: u32,      // element of y and residual at which pixel_first stands
    relu: u32,
    has_residual: u32,
    groups: u32,      // workgroups in all
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

// Pixels an invocation: 2, 4 or 8.
override rows: u32 = 4u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

// Pixels by four k a vector; weights by k, four channels a vector.
var<workgroup> tile_x: array<vec4<f32>, 64u * rows>;
var<workgroup> tile_w: array<vec4<f32>, 256>;

struct Corner {
    image: u32,
    row: u32,
    column: u32,
    inside: bool,
}

fn corner(pixel: u32) -> Corner {
    let area = p.out_height * p.out_width;
    let n = pixel / area;
    let rest = pixel % area;
    return Corner(
        n * p.height,
        rest / p.out_width * p.stride_h - p.pad_h,
        rest % p.out_width * p.stride_w - p.pad_w,
        pixel < p.pixel_end,
    );
}

// Four channels of a tap; k4 counts taps and channels together.
fn load_x(at: Corner, first: u32, k4: u32) -> vec4<f32> {
    let tap = k4 / p.span4;
    let r = at.row + tap / p.kernel_w * p.dilation_h;
    let c = at.column + tap % p.kernel_w * p.dilation_w;
    if !at.inside || tap >= p.kernel_h * p.kernel_w || r >= p.height || c >= p.width { return vec4<f32>(); }
    return x[p.x_base + ((at.image + r) * p.width + c) * p.channels4 + first + k4 % p.span4];
}

fn load_w(panel: u32, k: u32, v: u32) -> vec4<f32> {
    let all = p.kernel_h * p.kernel_w * p.span4 * 4u;
    if k >= all { return vec4<f32>(); }
    return w[(panel * all + k) * 16u + v];
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let tile_rows = 16u * rows;
    let blocks = (p.pixel_end - p.pixel_first + tile_rows - 1u) / tile_rows;
    let panel = group / blocks;
    let pixel0 = p.pixel_first + group % blocks * tile_rows;
    let channel0 = (p.panel_first + panel) * 64u;
    let first = min(channel0 / p.group_out * p.group_in / 4u, p.channels4 - p.span4);
    let steps = (p.kernel_h * p.kernel_w * p.span4 + 3u) / 4u;

    // The invocations load 64 pixels at once; of 32 one half of them.
    let loads_x = t < 64u * rows;
    let at = corner(pixel0 + t / 4u);
    let at64 = corner(pixel0 + 64u + t / 4u);
    let ty = t / 16u;
    let tx = t % 16u;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    var s4 = vec4<f32>();
    var s5 = vec4<f32>();
    var s6 = vec4<f32>();
    var s7 = vec4<f32>();
    var next_x = vec4<f32>();
    var next_x64 = vec4<f32>();
    if loads_x { next_x = load_x(at, first, t % 4u); }
    if rows > 4u { next_x64 = load_x(at64, first, t % 4u); }
    var next_w = load_w(panel, ty, tx);
    for (var step = 0u; step < steps; step++) {
        workgroupBarrier();
        if loads_x { tile_x[t] = next_x; }
        if rows > 4u { tile_x[256u + t] = next_x64; }
        tile_w[t] = next_w;
        workgroupBarrier();
        if loads_x { next_x = load_x(at, first, step * 4u + 4u + t % 4u); }
        if rows > 4u { next_x64 = load_x(at64, first, step * 4u + 4u + t % 4u); }
        next_w = load_w(panel, step * 16u + 16u + ty, tx);
        for (var k4 = 0u; k4 < 4u; k4++) {
            let w0 = tile_w[k4 * 64u + tx];
            let w1 = tile_w[k4 * 64u + 16u + tx];
            let w2 = tile_w[k4 * 64u + 32u + tx];
            let w3 = tile_w[k4 * 64u + 48u + tx];
            let pixel = ty * rows * 4u + k4;
            s0 += product(tile_x[pixel], w0, w1, w2, w3);
            s1 += product(tile_x[pixel + 4u], w0, w1, w2, w3);
            if rows > 2u {
                s2 += product(tile_x[pixel + 8u], w0, w1, w2, w3);
                s3 += product(tile_x[pixel + 12u], w0, w1, w2, w3);
            }
            if rows > 4u {
                s4 += product(tile_x[pixel + 16u], w0, w1, w2, w3);
                s5 += product(tile_x[pixel + 20u], w0, w1, w2, w3);
                s6 += product(tile_x[pixel + 24u], w0, w1, w2, w3);
                s7 += product(tile_x[pixel + 28u], w0, w1, w2, w3);
            }
        }
    }
    let channel = channel0 + tx * 4u;
    let b = bias[channel / 4u];
    let pixel = pixel0 + ty * rows;
    store(pixel, channel, s0 + b);
    store(pixel + 1u, channel, s1 + b);
    if rows > 2u {
        store(pixel + 2u, channel, s2 + b);
        store(pixel + 3u, channel, s3 + b);
    }
    if rows > 4u {
        store(pixel + 4u, channel, s4 + b);
        store(pixel + 5u, channel, s5 + b);
        store(pixel + 6u, channel, s6 + b);
        store(pixel + 7u, channel, s7 + b);
    }
}

// Four k of a pixel by four channels of the weights.
fn product(x4: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    return x4.x * w0 + x4.y * w1 + x4.z * w2 + x4.w * w3;
}

fn store(pixel: u32, channel: u32, value: vec4<f32>) {
    if pixel >= p.pixel_end { return; }
    let start = p.y_base + (pixel - p.pixel_first) * p.out_channels + channel;
    for (var i = 0u; i < 4u; i++) {
        if channel + i < p.out_channels {
            var v = value[i];
            if p.has_residual != 0u { v += residual[start + i]; }
            if p.relu != 0u { v = max(v, 0.0); }
            y[start + i] = v;
        }
    }
}
