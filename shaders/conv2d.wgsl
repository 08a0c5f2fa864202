// conv2d, tiled family: y = relu(conv(x, w) + bias + residual) as an implicit matrix product, for real GPUs.
//
// Formula   y[n,i,j,o] = sum over kh, kw, c of x[n, i sh + kh dh - ph, j sw + kw dw - pw, c] w[o,c,kh,kw]  + bias[o] (+ residual[n,i,j,o])
// Layouts   x: NHWC, channels4 quads of channels a pixel; the first pixel of the batch stands at x_base (wrapping, where a window
//           of x is bound). w: packed panels, quads of (panel, tap, c, v) at ((panel taps + tap) 4 span4 + c) 16 + v: 64 output
//           channels a panel, c counted from the first channel of the panel's first group (rounded down to a quad, and so that
//           span4 quads stay inside the pixel), channels of other groups zero. bias: padded to whole panels.
//           residual, y: NHWC from pixel_first on; vec4 (main, out_channels divisible by 4), scalars (ragged, any number) or f16
//           quads (halves, padded with zeros to a whole quad).
//           A quad is two vec2<u32>, four f32, or with the override `f16_tensors` one vec2<u32>, four f16. So one text serves both;
//           8-byte loads move the same bytes as 16-byte ones, and there are 8 of them to 512 multiply-adds.
// Dispatch  `invocations` a workgroup with `rows` x 4 of y each: a tile of invocations / 16 rows = 32, 64 or 128 pixels x 64
//           channels, numbered (pixel block, panel), panels fastest: the workgroups that run together share their pixels, so
//           that x comes from memory once however many panels there are.
// How       k runs over taps and channels together in steps of 16, so that three channels (padded to four) fill a step
//           too. Tiles of pixels x 16 and 16 x 64 weights in workgroup memory, the next pair loaded into registers while this one
//           is multiplied. Of the 64x64 tile, the default:
//           - 8x4 reads 48 bytes of workgroup memory for 32 multiply-adds: 1.5 bytes each. A core that does 128 a clock at 128
//             bytes is held to two thirds of its peak, 4x4 (2 bytes) to half; 8x8 (1 byte) isn't, but takes 64 accumulators and
//             16 operands: beyond the 64 registers that a lane of Intel's SIMD16 has. 8x4 takes about 80 with what is on its way:
//             24 warps of 48 on a recent NVIDIA, 12 of 16 waves on RDNA.
//           - An invocation's pixels are invocations / 16 apart and a pixel's row is padded to 5 vec4, so that the 2 (or 4)
//             pixels which a subgroup reads at once lie in different banks; all lanes that want the same pixel get it by
//             broadcast, which is what a subgroup shuffle would do, without its 8 to 64 lanes being different on each GPU.
//           - Tap and channel advance by addition: dividing k by them would cost as much as a quarter of the arithmetic.
//           Per workgroup and step 8 KiB (of f16: 4) are moved for 131 kFLOP. 128x64 moves a quarter less for each, 32x64 leaves
//           twice as many workgroups where there are few; `trainer tune` measures them.
// Limits    256 invocations, 6.5, 9 or 14 KiB of workgroup memory: within WebGPU's defaults. Fewer than 64 output channels leave lanes idle.
// Paper     implicit GEMM: Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3.
// Twin      kernels::reference::conv2d.

override f16_tensors: bool = false;
// 128 or 256, and the pixels of each: 4 or 8.
override invocations: u32 = 128u;
override rows: u32 = 8u;

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
    x_base: u32,      // tiled family: quad of x at which the batch starts; texture family: texel of x that is zero
    y_base: u32,      // vec4, scalar or quad of y and residual at which pixel_first stands
    relu: u32,
    has_residual: u32,
    groups: u32,      // workgroups in all
    phases: u32,        // of columns, where rows are read (texture family)
    phase_columns: u32, // columns of a phase (texture family)
    pad: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> w: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> residual_scalar: array<f32>;
@group(0) @binding(7) var<storage, read_write> y_scalar: array<f32>;
@group(0) @binding(8) var<storage, read> residual_half: array<vec2<u32>>;
@group(0) @binding(9) var<storage, read_write> y_half: array<vec2<u32>>;
@group(0) @binding(10) var<storage, read_write> overflow: array<atomic<u32>>; // set where f16 is too small

// Pixels by four k a vector, in rows of five; weights by k, four channels a vector.
var<workgroup> tile_x: array<vec4<f32>, invocations / 16u * rows * 5u>;
var<workgroup> tile_w: array<vec4<f32>, 256>;

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

// Where a pixel's window starts. Past the end it starts below every image.
struct Corner {
    image: u32,
    row: u32,
    column: u32,
}

fn corner(pixel: u32) -> Corner {
    let area = p.out_height * p.out_width;
    let n = pixel / area;
    let rest = pixel % area;
    let row = rest / p.out_width * p.stride_h - p.pad_h;
    return Corner(n * p.height, select(0x80000000u, row, pixel < p.pixel_end), rest % p.out_width * p.stride_w - p.pad_w);
}

// A place in k: a tap, and a quad of the channels that the panel sees.
struct Place {
    row: u32,
    column: u32,
    c4: u32,
}

fn advance(from_place: Place, quads: u32) -> Place {
    var at = from_place;
    at.c4 += quads;
    while at.c4 >= p.span4 {
        at.c4 -= p.span4;
        at.column += 1u;
        if at.column == p.kernel_w {
            at.column = 0u;
            at.row += 1u;
        }
    }
    return at;
}

fn load_x(at: Corner, first: u32, k: Place) -> vec4<f32> {
    let r = at.row + k.row * p.dilation_h;
    let c = at.column + k.column * p.dilation_w;
    if k.row >= p.kernel_h || r >= p.height || c >= p.width { return vec4<f32>(); }
    let i = p.x_base + ((at.image + r) * p.width + c) * p.channels4 + first + k.c4;
    if f16_tensors { return from_half(x[i]); }
    return vec4<f32>(bitcast<vec2<f32>>(x[2u * i]), bitcast<vec2<f32>>(x[2u * i + 1u]));
}

fn load_w(panel: u32, k: u32, v: u32) -> vec4<f32> {
    let all = p.kernel_h * p.kernel_w * p.span4 * 4u;
    if k >= all { return vec4<f32>(); }
    let i = (panel * all + k) * 16u + v;
    if f16_tensors { return from_half(w[i]); }
    return vec4<f32>(bitcast<vec2<f32>>(w[2u * i]), bitcast<vec2<f32>>(w[2u * i + 1u]));
}

// Left to right, so that each product and sum can be one instruction.
fn add_products(s: vec4<f32>, i: u32, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    let a = tile_x[i];
    return s + a.x * w0 + a.y * w1 + a.z * w2 + a.w * w3;
}

// Four channels from `channel` on, of the pixels first_pixel, first_pixel + invocations / 16, ….
struct Sums {
    first_pixel: u32,
    channel: u32,
    s: array<vec4<f32>, 8>,
}

fn sums(t: u32, group: u32) -> Sums {
    let pixels = invocations / 16u * rows;
    let panels = p.groups / ((p.pixel_end - p.pixel_first + pixels - 1u) / pixels);
    let panel = group % panels;
    let pixel0 = p.pixel_first + group / panels * pixels;
    let channel0 = (p.panel_first + panel) * 64u;
    let first = min(channel0 / p.group_out * p.group_in / 4u, p.channels4 - p.span4);
    let steps = (p.kernel_h * p.kernel_w * p.span4 + 3u) / 4u;

    let row = t / 4u;
    let at = corner(pixel0 + row);
    let further = row + invocations / 4u;
    let at_further = corner(pixel0 + further);
    let ty = t / 16u;
    let tx = t % 16u;
    let step_rows = invocations / 16u * 5u;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    var s4 = vec4<f32>();
    var s5 = vec4<f32>();
    var s6 = vec4<f32>();
    var s7 = vec4<f32>();
    var k = advance(Place(), t % 4u);
    var next_x = load_x(at, first, k);
    var next_w = load_w(panel, ty, tx);
    var next_x_further = vec4<f32>();
    var next_w8 = vec4<f32>();
    if rows > 4u { next_x_further = load_x(at_further, first, k); }
    if invocations < 256u { next_w8 = load_w(panel, ty + 8u, tx); }
    for (var step = 1u; step <= steps; step++) {
        workgroupBarrier();
        tile_x[row * 5u + t % 4u] = next_x;
        tile_w[t] = next_w;
        if rows > 4u { tile_x[further * 5u + t % 4u] = next_x_further; }
        if invocations < 256u { tile_w[t + 128u] = next_w8; }
        workgroupBarrier();
        k = advance(k, 4u);
        next_x = load_x(at, first, k);
        next_w = load_w(panel, step * 16u + ty, tx);
        if rows > 4u { next_x_further = load_x(at_further, first, k); }
        if invocations < 256u { next_w8 = load_w(panel, step * 16u + ty + 8u, tx); }
        for (var k4 = 0u; k4 < 4u; k4++) {
            let w0 = tile_w[k4 * 64u + tx];
            let w1 = tile_w[k4 * 64u + 16u + tx];
            let w2 = tile_w[k4 * 64u + 32u + tx];
            let w3 = tile_w[k4 * 64u + 48u + tx];
            let i = ty * 5u + k4;
            s0 = add_products(s0, i, w0, w1, w2, w3);
            s1 = add_products(s1, i + step_rows, w0, w1, w2, w3);
            s2 = add_products(s2, i + 2u * step_rows, w0, w1, w2, w3);
            s3 = add_products(s3, i + 3u * step_rows, w0, w1, w2, w3);
            if rows > 4u {
                s4 = add_products(s4, i + 4u * step_rows, w0, w1, w2, w3);
                s5 = add_products(s5, i + 5u * step_rows, w0, w1, w2, w3);
                s6 = add_products(s6, i + 6u * step_rows, w0, w1, w2, w3);
                s7 = add_products(s7, i + 7u * step_rows, w0, w1, w2, w3);
            }
        }
    }
    let b = bias[channel0 / 4u + tx];
    let s = array<vec4<f32>, 8>(s0 + b, s1 + b, s2 + b, s3 + b, s4 + b, s5 + b, s6 + b, s7 + b);
    return Sums(pixel0 + ty, channel0 + tx * 4u, s);
}

// max(0, v); NaN stays NaN. Bits are compared, for compilers may take it that nothing is NaN: below zero is what has the sign and isn't
// beyond minus infinity.
fn rectified(v: vec4<f32>) -> vec4<f32> {
    return select(v, vec4<f32>(), bitcast<vec4<u32>>(v) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u));
}

@compute @workgroup_size(invocations)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    var sum = sums(t, group);
    for (var i = 0u; i < rows; i++) {
        let pixel = sum.first_pixel + invocations / 16u * i;
        if pixel < p.pixel_end && sum.channel < p.out_channels {
            let at = p.y_base + ((pixel - p.pixel_first) * p.out_channels + sum.channel) / 4u;
            var v = sum.s[i];
            if p.has_residual != 0u { v += residual[at]; }
            if p.relu != 0u { v = rectified(v); }
            y[at] = v;
        }
    }
}

@compute @workgroup_size(invocations)
fn ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    var sum = sums(t, group);
    for (var i = 0u; i < rows; i++) {
        let pixel = sum.first_pixel + invocations / 16u * i;
        for (var j = 0u; j < 4u; j++) {
            if pixel < p.pixel_end && sum.channel + j < p.out_channels {
                let at = p.y_base + (pixel - p.pixel_first) * p.out_channels + sum.channel + j;
                var v = vec4<f32>(sum.s[i][j]);
                if p.has_residual != 0u { v += residual_scalar[at]; }
                if p.relu != 0u { v = rectified(v); }
                y_scalar[at] = v.x;
            }
        }
    }
}

@compute @workgroup_size(invocations)
fn halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    var sum = sums(t, group);
    for (var i = 0u; i < rows; i++) {
        let pixel = sum.first_pixel + invocations / 16u * i;
        if pixel < p.pixel_end && sum.channel < p.out_channels {
            let at = p.y_base + (pixel - p.pixel_first) * ((p.out_channels + 3u) / 4u) + sum.channel / 4u;
            var v = sum.s[i];
            if p.has_residual != 0u { v += from_half(residual_half[at]); }
            if p.relu != 0u { v = rectified(v); }
            y_half[at] = vec2<u32>(to_half2(v.xy), to_half2(v.zw));
        }
    }
}
