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
// Dispatch  `invocations` a workgroup with `rows` x `columns` of y each, `across` of them side by side: a tile of 32, 64 or 128 pixels x
//           64 channels, or of 128 x 128, numbered (part of k, pixel block, strip of channels), strips fastest: the workgroups that run
//           together share their pixels, so that x comes from memory once however many strips there are. With `parts` of k, partial
//           computes them, [part, pixel, quad of channels] in f32, and reduce, reduce_ragged or reduce_halves adds them up, a quad of y
//           an invocation: always in the same order.
// How       k runs over taps and channels together in steps of 16, so that three channels (padded to four) fill a step
//           too. Tiles of pixels x 16 and 16 x channels of weights in workgroup memory, the next pair loaded into registers while this
//           one is multiplied.
//           - 64x64, the default, 8x4 an invocation, reads 48 bytes of workgroup memory for 32 multiply-adds: 1.5 bytes each; 8x8 (128x64,
//             128x128) reads 1 byte, but takes 64 accumulators. A core that does 128 a clock at 128 bytes is held by the first, not by
//             the second; a lane of Intel's SIMD16 has 64 registers, too few for the second.
//           - Lanes 2n and 2n + 1 stand on the same channels, and neighbours of them on the same pixels: memory that gives a vector of
//             four to 8 lanes a clock gives it to 16 where lanes share. An invocation's pixels are invocations / across apart and a
//             pixel's row is padded to 5 vec4, so that the pixels which a subgroup reads at once lie in different banks. 128x128 has
//             no room for the fifth, and reads two rows at once, that lie in different banks without it.
//           - Tap and channel advance by addition: dividing k by them would cost as much as a quarter of the arithmetic.
//           - What is multiplied is written out, and the parameters are copied: compilers neither unrolled nor kept them by themselves.
//           Per workgroup and step 64x64 moves 8 KiB (of f16: 4) for 131 kFLOP; 128x64 a quarter less for each, 128x128 half, 32x64
//           leaves twice as many workgroups where there are few; `trainer tune` measures them.
// In bounds w: k below that of a panel, and of the panels bound only those with channels (the second of a pair may have none). bias: channels
//           below out_channels. x: only inside of the image, of pixels of this window (others start below every image), whose rows are
//           bound. y, residual, partials: pixels before pixel_end, channels below out_channels. Loops end: steps are counted, and
//           span4 isn't zero.
// Limits    256 invocations, 6.5, 9, 14 or 16 KiB of workgroup memory: within WebGPU's defaults. Fewer than 64 output channels leave lanes idle.
//           128 channels at once need one group, for both panels see the same channels of x then.
// Paper     implicit GEMM: Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3.
// Twin      kernels::reference::conv2d.

override f16_tensors: bool = false;
// Invocations of a workgroup, how many of them stand side by side along the channels, and of each the pixels and channels: 4 or 8.
override invocations: u32 = 128u;
override across: u32 = 16u;
override rows: u32 = 8u;
override columns: u32 = 4u;

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
    parts: u32,         // of k, each with workgroups of its own (tiled family); 1 where nothing is split
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
@group(0) @binding(11) var<storage, read_write> partials: array<vec4<f32>>;

// Pixels by four k a vector, in rows of five (of four where 128 channels leave no room for more); weights by k, four channels a vector.
var<workgroup> tile_x: array<vec4<f32>, invocations / across * rows * (5u - across * columns / 128u)>;
var<workgroup> tile_w: array<vec4<f32>, across * columns * 4u>;

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

fn place(quad: u32) -> Place {
    let tap = quad / p.span4;
    return Place(tap / p.kernel_w, tap % p.kernel_w, quad % p.span4);
}

fn advance(q: Params, from_place: Place, quads: u32) -> Place {
    var at = from_place;
    at.c4 += quads;
    while at.c4 >= q.span4 {
        at.c4 -= q.span4;
        at.column += 1u;
        if at.column == q.kernel_w {
            at.column = 0u;
            at.row += 1u;
        }
    }
    return at;
}

fn load_x(q: Params, at: Corner, first: u32, k: Place) -> vec4<f32> {
    let r = at.row + k.row * q.dilation_h;
    let c = at.column + k.column * q.dilation_w;
    if k.row >= q.kernel_h || r >= q.height || c >= q.width { return vec4<f32>(); }
    let i = q.x_base + ((at.image + r) * q.width + c) * q.channels4 + first + k.c4;
    if f16_tensors { return from_half(x[i]); }
    return vec4<f32>(bitcast<vec2<f32>>(x[2u * i]), bitcast<vec2<f32>>(x[2u * i + 1u]));
}

// Quad v of a panel, at a k of all.
fn load_w(all: u32, panel: u32, k: u32, v: u32) -> vec4<f32> {
    if k >= all { return vec4<f32>(); }
    let i = (panel * all + k) * 16u + v;
    if f16_tensors { return from_half(w[i]); }
    return vec4<f32>(bitcast<vec2<f32>>(w[2u * i]), bitcast<vec2<f32>>(w[2u * i + 1u]));
}

// What a workgroup computes: pixels and channels from the first on, in the steps of k that are its part.
struct Block {
    pixel: u32,
    channel: u32,
    part: u32,
    first_step: u32,
    end_step: u32,
}

fn block(group: u32) -> Block {
    let pixels = invocations / across * rows;
    let tiles = p.groups / p.parts;
    let strips = tiles / ((p.pixel_end - p.pixel_first + pixels - 1u) / pixels);
    let part = group / tiles;
    let tile = group % tiles;
    let steps = (p.kernel_h * p.kernel_w * p.span4 + 3u) / 4u;
    return Block(
        p.pixel_first + tile / strips * pixels, p.panel_first * 64u + tile % strips * across * columns,
        part, part * steps / p.parts, (part + 1u) * steps / p.parts);
}

// Where an invocation stands among the others: along the channels, along the pixels.
fn lane(t: u32) -> vec2<u32> {
    return vec2<u32>(t / 2u % across, t / (2u * across) * 2u + t % 2u);
}

// The sums of an invocation's pixels, `invocations / across` apart, with its first four channels and its second, 4 across further on.
struct Sums {
    s0: vec4<f32>, s1: vec4<f32>, s2: vec4<f32>, s3: vec4<f32>, s4: vec4<f32>, s5: vec4<f32>, s6: vec4<f32>, s7: vec4<f32>,
    u0: vec4<f32>, u1: vec4<f32>, u2: vec4<f32>, u3: vec4<f32>, u4: vec4<f32>, u5: vec4<f32>, u6: vec4<f32>, u7: vec4<f32>,
}

// Left to right, so that each product and sum can be one instruction.
fn add_products(s: vec4<f32>, a: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    return s + a.x * w0 + a.y * w1 + a.z * w2 + a.w * w3;
}

// Adds the products of four k, from quad i of the pixels' tile and quad j of the weights' on.
fn multiply(sum: Sums, i: u32, j: u32) -> Sums {
    let quads = across * columns / 4u;
    let step = invocations / across * (5u - across * columns / 128u);
    let w0 = tile_w[j];
    let w1 = tile_w[j + quads];
    let w2 = tile_w[j + 2u * quads];
    let w3 = tile_w[j + 3u * quads];
    var v0 = vec4<f32>();
    var v1 = vec4<f32>();
    var v2 = vec4<f32>();
    var v3 = vec4<f32>();
    if columns > 4u {
        v0 = tile_w[j + across];
        v1 = tile_w[j + quads + across];
        v2 = tile_w[j + 2u * quads + across];
        v3 = tile_w[j + 3u * quads + across];
    }
    var r = sum;
    let a0 = tile_x[i];
    let a1 = tile_x[i + step];
    let a2 = tile_x[i + 2u * step];
    let a3 = tile_x[i + 3u * step];
    r.s0 = add_products(r.s0, a0, w0, w1, w2, w3);
    r.s1 = add_products(r.s1, a1, w0, w1, w2, w3);
    r.s2 = add_products(r.s2, a2, w0, w1, w2, w3);
    r.s3 = add_products(r.s3, a3, w0, w1, w2, w3);
    if columns > 4u {
        r.u0 = add_products(r.u0, a0, v0, v1, v2, v3);
        r.u1 = add_products(r.u1, a1, v0, v1, v2, v3);
        r.u2 = add_products(r.u2, a2, v0, v1, v2, v3);
        r.u3 = add_products(r.u3, a3, v0, v1, v2, v3);
    }
    if rows > 4u {
        let a4 = tile_x[i + 4u * step];
        let a5 = tile_x[i + 5u * step];
        let a6 = tile_x[i + 6u * step];
        let a7 = tile_x[i + 7u * step];
        r.s4 = add_products(r.s4, a4, w0, w1, w2, w3);
        r.s5 = add_products(r.s5, a5, w0, w1, w2, w3);
        r.s6 = add_products(r.s6, a6, w0, w1, w2, w3);
        r.s7 = add_products(r.s7, a7, w0, w1, w2, w3);
        if columns > 4u {
            r.u4 = add_products(r.u4, a4, v0, v1, v2, v3);
            r.u5 = add_products(r.u5, a5, v0, v1, v2, v3);
            r.u6 = add_products(r.u6, a6, v0, v1, v2, v3);
            r.u7 = add_products(r.u7, a7, v0, v1, v2, v3);
        }
    }
    return r;
}

fn sums(t: u32, at: Block) -> Sums {
    // A copy, so that the loop waits for no uniform.
    let q = p;
    let first = min(at.channel / q.group_out * q.group_in / 4u, q.channels4 - q.span4);
    let all = q.kernel_h * q.kernel_w * q.span4 * 4u;
    let quads = across * columns / 4u;
    let padded = 5u - across * columns / 128u;

    // Of the pixels' tile each loads 1, 2 or 4 quads, invocations / 4 pixels apart; of the weights' two, 8 k apart.
    let row = t / 4u;
    let apart = invocations / 4u;
    let corner0 = corner(at.pixel + row);
    let corner1 = corner(at.pixel + row + apart);
    let corner2 = corner(at.pixel + row + 2u * apart);
    let corner3 = corner(at.pixel + row + 3u * apart);
    let kept_x = row * padded + t % 4u;
    let panel = at.channel / 64u - q.panel_first + t % quads / 16u;
    let v = t % 16u;
    // Of two panels the second may be past the last.
    let all_here = select(0u, all, (q.panel_first + panel) * 64u < q.out_channels);

    let stands = lane(t);
    let i = stands.y * padded;
    let j = stands.x;
    var k = place(at.first_step * 4u + t % 4u);
    var k_w = at.first_step * 16u + t / quads;
    var x0 = load_x(q, corner0, first, k);
    var x1 = vec4<f32>();
    var x2 = vec4<f32>();
    var x3 = vec4<f32>();
    if rows * 4u > across { x1 = load_x(q, corner1, first, k); }
    if rows * 2u > across {
        x2 = load_x(q, corner2, first, k);
        x3 = load_x(q, corner3, first, k);
    }
    var w0 = load_w(all_here, panel, k_w, v);
    var w1 = load_w(all_here, panel, k_w + 8u, v);
    var sum = Sums();
    for (var step = at.first_step; step < at.end_step; step++) {
        workgroupBarrier();
        tile_x[kept_x] = x0;
        if rows * 4u > across { tile_x[kept_x + apart * padded] = x1; }
        if rows * 2u > across {
            tile_x[kept_x + 2u * apart * padded] = x2;
            tile_x[kept_x + 3u * apart * padded] = x3;
        }
        tile_w[t] = w0;
        tile_w[t + invocations] = w1;
        workgroupBarrier();
        k = advance(q, k, 4u);
        k_w += 16u;
        x0 = load_x(q, corner0, first, k);
        if rows * 4u > across { x1 = load_x(q, corner1, first, k); }
        if rows * 2u > across {
            x2 = load_x(q, corner2, first, k);
            x3 = load_x(q, corner3, first, k);
        }
        w0 = load_w(all_here, panel, k_w, v);
        w1 = load_w(all_here, panel, k_w + 8u, v);
        // By text, for not every compiler unrolls.
        sum = multiply(sum, i, j);
        sum = multiply(sum, i + 1u, j + 4u * quads);
        sum = multiply(sum, i + 2u, j + 8u * quads);
        sum = multiply(sum, i + 3u, j + 12u * quads);
    }
    return sum;
}

// max(0, v); NaN stays NaN. Bits are compared, for compilers may take it that nothing is NaN: below zero is what has the sign and isn't
// beyond minus infinity.
fn rectified(v: vec4<f32>) -> vec4<f32> {
    return select(v, vec4<f32>(), bitcast<vec4<u32>>(v) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u));
}

fn load_bias(channel: u32) -> vec4<f32> {
    if channel >= p.out_channels { return vec4<f32>(); }
    return bias[channel / 4u];
}

fn store(pixel: u32, channel: u32, sum: vec4<f32>) {
    if pixel >= p.pixel_end || channel >= p.out_channels { return; }
    let at = p.y_base + ((pixel - p.pixel_first) * p.out_channels + channel) / 4u;
    var v = sum;
    if p.has_residual != 0u { v += residual[at]; }
    if p.relu != 0u { v = rectified(v); }
    y[at] = v;
}

fn store_ragged(pixel: u32, channel: u32, sum: vec4<f32>) {
    if pixel >= p.pixel_end { return; }
    for (var j = 0u; j < 4u; j++) {
        if channel + j < p.out_channels {
            let at = p.y_base + (pixel - p.pixel_first) * p.out_channels + channel + j;
            var v = vec4<f32>(sum[j]);
            if p.has_residual != 0u { v += residual_scalar[at]; }
            if p.relu != 0u { v = rectified(v); }
            y_scalar[at] = v.x;
        }
    }
}

fn store_halves(pixel: u32, channel: u32, sum: vec4<f32>) {
    if pixel >= p.pixel_end || channel >= p.out_channels { return; }
    let at = p.y_base + (pixel - p.pixel_first) * ((p.out_channels + 3u) / 4u) + channel / 4u;
    var v = sum;
    if p.has_residual != 0u { v += from_half(residual_half[at]); }
    if p.relu != 0u { v = rectified(v); }
    y_half[at] = vec2<u32>(to_half2(v.xy), to_half2(v.zw));
}

fn store_partial(part: u32, pixel: u32, channel: u32, sum: vec4<f32>) {
    if pixel >= p.pixel_end || channel >= p.out_channels { return; }
    let pixels = p.pixel_end - p.pixel_first;
    partials[(part * pixels + pixel - p.pixel_first) * ((p.out_channels + 3u) / 4u) + channel / 4u] = sum;
}

@compute @workgroup_size(invocations)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let at = block(group);
    let sum = sums(t, at);
    let pixel = at.pixel + lane(t).y;
    let channel = at.channel + lane(t).x * 4u;
    let apart = invocations / across;
    let b = load_bias(channel);
    store(pixel, channel, sum.s0 + b);
    store(pixel + apart, channel, sum.s1 + b);
    store(pixel + 2u * apart, channel, sum.s2 + b);
    store(pixel + 3u * apart, channel, sum.s3 + b);
    if rows > 4u {
        store(pixel + 4u * apart, channel, sum.s4 + b);
        store(pixel + 5u * apart, channel, sum.s5 + b);
        store(pixel + 6u * apart, channel, sum.s6 + b);
        store(pixel + 7u * apart, channel, sum.s7 + b);
    }
    if columns > 4u {
        let further = channel + across * 4u;
        let c = load_bias(further);
        store(pixel, further, sum.u0 + c);
        store(pixel + apart, further, sum.u1 + c);
        store(pixel + 2u * apart, further, sum.u2 + c);
        store(pixel + 3u * apart, further, sum.u3 + c);
        store(pixel + 4u * apart, further, sum.u4 + c);
        store(pixel + 5u * apart, further, sum.u5 + c);
        store(pixel + 6u * apart, further, sum.u6 + c);
        store(pixel + 7u * apart, further, sum.u7 + c);
    }
}

@compute @workgroup_size(invocations)
fn ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let at = block(group);
    let sum = sums(t, at);
    let pixel = at.pixel + lane(t).y;
    let channel = at.channel + lane(t).x * 4u;
    let apart = invocations / across;
    let b = load_bias(channel);
    store_ragged(pixel, channel, sum.s0 + b);
    store_ragged(pixel + apart, channel, sum.s1 + b);
    store_ragged(pixel + 2u * apart, channel, sum.s2 + b);
    store_ragged(pixel + 3u * apart, channel, sum.s3 + b);
    if rows > 4u {
        store_ragged(pixel + 4u * apart, channel, sum.s4 + b);
        store_ragged(pixel + 5u * apart, channel, sum.s5 + b);
        store_ragged(pixel + 6u * apart, channel, sum.s6 + b);
        store_ragged(pixel + 7u * apart, channel, sum.s7 + b);
    }
    if columns > 4u {
        let further = channel + across * 4u;
        let c = load_bias(further);
        store_ragged(pixel, further, sum.u0 + c);
        store_ragged(pixel + apart, further, sum.u1 + c);
        store_ragged(pixel + 2u * apart, further, sum.u2 + c);
        store_ragged(pixel + 3u * apart, further, sum.u3 + c);
        store_ragged(pixel + 4u * apart, further, sum.u4 + c);
        store_ragged(pixel + 5u * apart, further, sum.u5 + c);
        store_ragged(pixel + 6u * apart, further, sum.u6 + c);
        store_ragged(pixel + 7u * apart, further, sum.u7 + c);
    }
}

@compute @workgroup_size(invocations)
fn halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let at = block(group);
    let sum = sums(t, at);
    let pixel = at.pixel + lane(t).y;
    let channel = at.channel + lane(t).x * 4u;
    let apart = invocations / across;
    let b = load_bias(channel);
    store_halves(pixel, channel, sum.s0 + b);
    store_halves(pixel + apart, channel, sum.s1 + b);
    store_halves(pixel + 2u * apart, channel, sum.s2 + b);
    store_halves(pixel + 3u * apart, channel, sum.s3 + b);
    if rows > 4u {
        store_halves(pixel + 4u * apart, channel, sum.s4 + b);
        store_halves(pixel + 5u * apart, channel, sum.s5 + b);
        store_halves(pixel + 6u * apart, channel, sum.s6 + b);
        store_halves(pixel + 7u * apart, channel, sum.s7 + b);
    }
    if columns > 4u {
        let further = channel + across * 4u;
        let c = load_bias(further);
        store_halves(pixel, further, sum.u0 + c);
        store_halves(pixel + apart, further, sum.u1 + c);
        store_halves(pixel + 2u * apart, further, sum.u2 + c);
        store_halves(pixel + 3u * apart, further, sum.u3 + c);
        store_halves(pixel + 4u * apart, further, sum.u4 + c);
        store_halves(pixel + 5u * apart, further, sum.u5 + c);
        store_halves(pixel + 6u * apart, further, sum.u6 + c);
        store_halves(pixel + 7u * apart, further, sum.u7 + c);
    }
}

// The sums of a part of k, without bias, residual and ReLU.
@compute @workgroup_size(invocations)
fn partial(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let at = block(group);
    let sum = sums(t, at);
    let pixel = at.pixel + lane(t).y;
    let channel = at.channel + lane(t).x * 4u;
    let apart = invocations / across;
    store_partial(at.part, pixel, channel, sum.s0);
    store_partial(at.part, pixel + apart, channel, sum.s1);
    store_partial(at.part, pixel + 2u * apart, channel, sum.s2);
    store_partial(at.part, pixel + 3u * apart, channel, sum.s3);
    if rows > 4u {
        store_partial(at.part, pixel + 4u * apart, channel, sum.s4);
        store_partial(at.part, pixel + 5u * apart, channel, sum.s5);
        store_partial(at.part, pixel + 6u * apart, channel, sum.s6);
        store_partial(at.part, pixel + 7u * apart, channel, sum.s7);
    }
    if columns > 4u {
        let further = channel + across * 4u;
        store_partial(at.part, pixel, further, sum.u0);
        store_partial(at.part, pixel + apart, further, sum.u1);
        store_partial(at.part, pixel + 2u * apart, further, sum.u2);
        store_partial(at.part, pixel + 3u * apart, further, sum.u3);
        store_partial(at.part, pixel + 4u * apart, further, sum.u4);
        store_partial(at.part, pixel + 5u * apart, further, sum.u5);
        store_partial(at.part, pixel + 6u * apart, further, sum.u6);
        store_partial(at.part, pixel + 7u * apart, further, sum.u7);
    }
}

// A quad of y from the parts' sums: always in their order.
fn reduced(i: u32) -> vec4<f32> {
    let total = (p.pixel_end - p.pixel_first) * ((p.out_channels + 3u) / 4u);
    var sum = partials[i];
    for (var part = 1u; part < p.parts; part++) { sum += partials[part * total + i]; }
    return sum + bias[i % ((p.out_channels + 3u) / 4u)];
}

// The pixel and channel of a quad; no pixel past the last.
fn of_quad(i: u32) -> vec2<u32> {
    let quads = (p.out_channels + 3u) / 4u;
    return vec2<u32>(p.pixel_first + i / quads, i % quads * 4u);
}

@compute @workgroup_size(64)
fn reduce(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    let at = of_quad(i);
    if at.x >= p.pixel_end { return; }
    store(at.x, at.y, reduced(i));
}

@compute @workgroup_size(64)
fn reduce_ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    let at = of_quad(i);
    if at.x >= p.pixel_end { return; }
    store_ragged(at.x, at.y, reduced(i));
}

@compute @workgroup_size(64)
fn reduce_halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    let at = of_quad(i);
    if at.x >= p.pixel_end { return; }
    store_halves(at.x, at.y, reduced(i));
}
