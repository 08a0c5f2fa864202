// conv2d, tiled family, f16 tensors: y = relu(conv(x, w) + bias + residual) on cooperative matrices (tensor cores): f16 products, f32 sums.
//
// Formula   y[n,i,j,o] = sum over kh, kw, c of x[n, i sh + kh dh - ph, j sw + kw dw - pw, c] w[o,c,kh,kw]  + bias[o] (+ residual[n,i,j,o])
// Layouts   as conv2d.wgsl's f16 tensors, of one group: x NHWC in quads of f16 (with the override `wide` in pairs of quads, for which
//           channels are a multiple of 8); w panels of 64 output channels, 64 f16 a k; residual and y f16 quads; bias f32, in whole panels.
// Dispatch  a tile of `rows` pixels x `columns` channels a workgroup, numbered (block of pixels, block of channels), the latter fastest.
//           `invocations` are subgroups of 32, `columns` / 32 of them abreast, and each makes 32 or 64 pixels x 32 channels.
// How       k runs over taps and channels together in steps of 32. Tiles of x and w stand in workgroup memory as f16 vec4; the next are on
//           their way into registers while these are multiplied, and with two `buffers` go into the other one, so that a step has one
//           barrier instead of two.
//           - A subgroup's 64x32 are 8 matrices of sums, 16x16, 8 registers a lane each. 4 + 2 matrices are loaded for 8 products.
//           - A row is padded by 16 bytes: 80 or 144 bytes apart, 8 rows of 16 bytes lie in different banks.
//           - A matrix has no elements that WGSL could see, so sums go through workgroup memory, 16 pixels x 32 channels a subgroup at once,
//             to get bias, residual and ReLU, and are written 64 bytes a pixel.
//           - Coordinates of four pixels are held; what a tap and channel add to them is the same for all and advances by addition.
//           A step of 128x64 moves 12 KiB for 524 kFLOP.
// Limits    subgroups of exactly 32 lanes that follow local_invocation_index, matrices of 16x16x16 f16 with f32 sums, SHADER_F16, up to
//           256 invocations and 48 KiB of workgroup memory. naga takes `enable wgpu_cooperative_matrix;` and no browser does. A store's place is
//           named before it: naga 30 emits an expression there after the store.
// Paper     implicit GEMM: Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3; sums of tensor cores: Fasi et
//           al., "Numerical behavior of NVIDIA tensor cores", 2021.
// Twin      kernels::reference::conv2d.

enable f16;
enable wgpu_cooperative_matrix;

// 32, 64 or 128 pixels and 64 or 128 channels; `invocations` are so many that a subgroup makes 32 or 64 pixels of them.
override rows: u32 = 128u;
override columns: u32 = 64u;
override invocations: u32 = 128u;
override buffers: u32 = 1u;
override wide: bool = false;

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
    group_in: u32,
    group_out: u32,
    pixel_first: u32, // of this window, counted over the batch
    pixel_end: u32,
    panel_first: u32, // of this window of w
    x_base: u32,      // quad of x at which the batch starts (wrapping); even
    y_base: u32,      // quad of y and residual at which pixel_first stands
    relu: u32,
    has_residual: u32,
    groups: u32,      // workgroups in all
    phases: u32,
    phase_columns: u32,
    parts: u32,         // of k (tiled family)
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> w: array<mat2x4<f16>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read> residual_half: array<vec2<u32>>;
@group(0) @binding(9) var<storage, read_write> y_half: array<vec2<u32>>;
// x again, in pairs of quads.
@group(0) @binding(10) var<storage, read> x_wide: array<mat2x4<f16>>;

// Pixels by 32 k, in rows of 10 vec4; 32 k by channels, in rows of columns / 4 + 2; sums of 16 pixels by 32 channels of each subgroup, in rows of 9.
var<workgroup> tile_x: array<vec4<f16>, buffers * rows * 10u>;
var<workgroup> tile_w: array<vec4<f16>, buffers * 32u * (columns / 4u + 2u)>;
var<workgroup> stage: array<vec4<f32>, invocations / 32u * 144u>;

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

// max(0, v); NaN stays NaN. Bits are compared, for compilers may take it that nothing is NaN: below zero is what has the sign and isn't
// beyond minus infinity.
fn rectified(v: vec4<f32>) -> vec4<f32> {
    return select(v, vec4<f32>(), bitcast<vec4<u32>>(v) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u));
}

// Where a pixel's window starts: its quad (wrapping, where it starts outside), row and column. Past the end it starts below every image.
struct Corner {
    quad: u32,
    row: u32,
    column: u32,
}

fn corner(pixel: u32) -> Corner {
    let area = p.out_height * p.out_width;
    let rest = pixel % area;
    let row = rest / p.out_width * p.stride_h - p.pad_h;
    let column = rest % p.out_width * p.stride_w - p.pad_w;
    let quad = p.x_base + ((pixel / area * p.height + row) * p.width + column) * p.channels4;
    return Corner(quad, select(0x80000000u, row, pixel < p.pixel_end), column);
}

// A place in k: a tap, and a quad of its channels.
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

fn inside(at: Corner, k: Place) -> bool {
    return k.row < p.kernel_h && at.row + k.row * p.dilation_h < p.height && at.column + k.column * p.dilation_w < p.width;
}

fn quad_of(at: Corner, k: Place) -> u32 {
    return at.quad + (k.row * p.dilation_h * p.width + k.column * p.dilation_w) * p.channels4 + k.c4;
}

fn load_quad(at: Corner, k: Place) -> vec4<f16> {
    if inside(at, k) { return x[quad_of(at, k)]; }
    return vec4<f16>();
}

// Eight k from an even quad on: of one tap, where channels are a multiple of 8.
fn load_x(at: Corner, k: Place, next: Place) -> mat2x4<f16> {
    if !wide { return mat2x4<f16>(load_quad(at, k), load_quad(at, next)); }
    if inside(at, k) { return x_wide[quad_of(at, k) / 2u]; }
    return mat2x4<f16>();
}

// Eight channels of the window's panels.
fn load_w(k: u32, channel: u32) -> mat2x4<f16> {
    let all = p.kernel_h * p.kernel_w * p.span4 * 4u;
    if k >= all || p.panel_first * 64u + channel >= p.out_channels { return mat2x4<f16>(); }
    return w[(channel / 64u * all + k) * 8u + channel % 64u / 8u];
}

fn store_x(buffer: u32, t: u32, row: u32, v: mat2x4<f16>) {
    let at = buffer * rows * 10u + row * 10u + t % 4u * 2u;
    tile_x[at] = v[0];
    tile_x[at + 1u] = v[1];
}

fn store_w(buffer: u32, t: u32, row: u32, v: mat2x4<f16>) {
    let stride = columns / 4u + 2u;
    let at = (buffer * 32u + row) * stride + t % (columns / 8u) * 2u;
    tile_w[at] = v[0];
    tile_w[at + 1u] = v[1];
}

// Writes the 16 pixels x 32 channels that a subgroup has staged.
fn write_staged(first_pixel: u32, first_channel: u32, s: u32, lane: u32) {
    for (var i = 0u; i < 4u; i++) {
        let pixel = first_pixel + i * 4u + lane / 8u;
        let channel = first_channel + lane % 8u * 4u;
        if pixel < p.pixel_end && channel < p.out_channels {
            let at = p.y_base + (pixel - p.pixel_first) * ((p.out_channels + 3u) / 4u) + channel / 4u;
            var v = stage[s * 144u + (i * 4u + lane / 8u) * 9u + lane % 8u] + bias[channel / 4u];
            if p.has_residual != 0u { v += from_half(residual_half[at]); }
            if p.relu != 0u { v = rectified(v); }
            y_half[at] = vec2<u32>(to_half2(v.xy), to_half2(v.zw));
        }
    }
}

@compute @workgroup_size(invocations)
fn halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let blocks = p.groups / ((p.pixel_end - p.pixel_first + rows - 1u) / rows);
    let pixel0 = p.pixel_first + group / blocks * rows;
    let channel0 = group % blocks * columns;
    let steps = (p.kernel_h * p.kernel_w * p.span4 + 7u) / 8u;

    // What this invocation loads: 8 k of every invocations / 4th pixel, 8 channels of every w_rows-th k.
    let w_rows = invocations / (columns / 8u);
    let row_x = t / 4u;
    let row_w = t / (columns / 8u);
    let channel = channel0 + t % (columns / 8u) * 8u;
    let at0 = corner(pixel0 + row_x);
    let at1 = corner(pixel0 + row_x + invocations / 4u);
    let at2 = corner(pixel0 + row_x + invocations / 2u);
    let at3 = corner(pixel0 + row_x + invocations / 4u * 3u);
    let four_x = rows > invocations / 2u;
    let four_w = w_rows < 16u;

    // What its subgroup computes.
    let s = t / 32u;
    let lane = t % 32u;
    let across = columns / 32u;
    let tall = rows / (invocations / columns) > 32u;
    let sub_row = s / across * (rows / (invocations / columns));
    let sub_column = s % across * 32u;
    let stride_w = columns / 4u + 2u;

    var c00: coop_mat16x16<f32, C>;
    var c01: coop_mat16x16<f32, C>;
    var c10: coop_mat16x16<f32, C>;
    var c11: coop_mat16x16<f32, C>;
    var c20: coop_mat16x16<f32, C>;
    var c21: coop_mat16x16<f32, C>;
    var c30: coop_mat16x16<f32, C>;
    var c31: coop_mat16x16<f32, C>;

    var k = advance(Place(), t % 4u * 2u);
    var k_next = k;
    if !wide { k_next = advance(k, 1u); }
    var x0 = load_x(at0, k, k_next);
    var x1 = load_x(at1, k, k_next);
    var x2 = mat2x4<f16>();
    var x3 = mat2x4<f16>();
    var w0 = load_w(row_w, channel);
    var w1 = load_w(row_w + w_rows, channel);
    var w2 = mat2x4<f16>();
    var w3 = mat2x4<f16>();
    if four_x {
        x2 = load_x(at2, k, k_next);
        x3 = load_x(at3, k, k_next);
    }
    if four_w {
        w2 = load_w(row_w + 2u * w_rows, channel);
        w3 = load_w(row_w + 3u * w_rows, channel);
    }
    for (var step = 0u; step < steps; step++) {
        // One buffer must have been read; of two, this one was before the last barrier.
        if buffers == 1u { workgroupBarrier(); }
        let buffer = step % buffers;
        store_x(buffer, t, row_x, x0);
        store_x(buffer, t, row_x + invocations / 4u, x1);
        store_w(buffer, t, row_w, w0);
        store_w(buffer, t, row_w + w_rows, w1);
        if four_x {
            store_x(buffer, t, row_x + invocations / 2u, x2);
            store_x(buffer, t, row_x + invocations / 4u * 3u, x3);
        }
        if four_w {
            store_w(buffer, t, row_w + 2u * w_rows, w2);
            store_w(buffer, t, row_w + 3u * w_rows, w3);
        }
        workgroupBarrier();
        k = advance(k, 8u);
        if !wide { k_next = advance(k, 1u); }
        let k_w = (step + 1u) * 32u + row_w;
        x0 = load_x(at0, k, k_next);
        x1 = load_x(at1, k, k_next);
        w0 = load_w(k_w, channel);
        w1 = load_w(k_w + w_rows, channel);
        if four_x {
            x2 = load_x(at2, k, k_next);
            x3 = load_x(at3, k, k_next);
        }
        if four_w {
            w2 = load_w(k_w + 2u * w_rows, channel);
            w3 = load_w(k_w + 3u * w_rows, channel);
        }
        for (var half = 0u; half < 2u; half++) {
            let i = (buffer * rows + sub_row) * 10u + half * 4u;
            let j = (buffer * 32u + half * 16u) * stride_w + sub_column / 4u;
            let b0 = coopLoadT<coop_mat16x16<f16, B>>(&tile_w[j], stride_w);
            let b1 = coopLoadT<coop_mat16x16<f16, B>>(&tile_w[j + 4u], stride_w);
            let a0 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[i], 10u);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            let a1 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[i + 160u], 10u);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
            if tall {
                let a2 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[i + 320u], 10u);
                c20 = coopMultiplyAdd(a2, b0, c20);
                c21 = coopMultiplyAdd(a2, b1, c21);
                let a3 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[i + 480u], 10u);
                c30 = coopMultiplyAdd(a3, b0, c30);
                c31 = coopMultiplyAdd(a3, b1, c31);
            }
        }
    }

    let left = s * 144u;
    let right = left + 4u;
    let pixel = pixel0 + sub_row;
    let first_channel = p.panel_first * 64u + channel0 + sub_column;
    coopStoreT(c00, &stage[left], 9u);
    coopStoreT(c01, &stage[right], 9u);
    workgroupBarrier();
    write_staged(pixel, first_channel, s, lane);
    workgroupBarrier();
    coopStoreT(c10, &stage[left], 9u);
    coopStoreT(c11, &stage[right], 9u);
    workgroupBarrier();
    write_staged(pixel + 16u, first_channel, s, lane);
    if tall {
        workgroupBarrier();
        coopStoreT(c20, &stage[left], 9u);
        coopStoreT(c21, &stage[right], 9u);
        workgroupBarrier();
        write_staged(pixel + 32u, first_channel, s, lane);
        workgroupBarrier();
        coopStoreT(c30, &stage[left], 9u);
        coopStoreT(c31, &stage[right], 9u);
        workgroupBarrier();
        write_staged(pixel + 48u, first_channel, s, lane);
    }
}
