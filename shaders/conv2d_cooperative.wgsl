// conv2d, tiled family, f16 tensors: y = relu(conv(x, w) + bias + residual) on cooperative matrices (tensor cores): f16 products, f32 sums.
//
// Formula   y[n,i,j,o] = sum over kh, kw, c of x[n, i sh + kh dh - ph, j sw + kw dw - pw, c] w[o,c,kh,kw]  + bias[o] (+ residual[n,i,j,o])
// Layouts   as conv2d.wgsl's f16 tensors, of one group: x NHWC in quads of f16 (with the override `wide` in pairs of quads, for which
//           channels are a multiple of 8); w panels of 64 output channels, 64 f16 a k; residual and y f16 quads; bias f32, in whole panels.
// Dispatch  a tile of `rows` pixels x `columns` channels a workgroup, numbered (part of k, block of pixels, block of channels), the last
//           fastest. `invocations` are subgroups of 32, `columns` / `sub_columns` of them abreast. With `split`, [part, pixel, quad of
//           channels] in f32, which conv2d.wgsl's reduce_halves adds up.
// How       k runs over taps and channels together in steps of `depth`. Tiles of x and w stand in workgroup memory as f16 vec4; the next are on
//           their way into registers while these are multiplied. Measured on an H100, a second pair of tiles costs more than the barrier that it
//           spares.
//           - A subgroup's 64x64 are 16 matrices of sums, 16x16, 8 registers a lane each. 4 + 4 matrices are loaded for 16 products.
//           - A row is padded by 16 bytes: 80, 144 or 272 bytes apart, 8 rows of 16 bytes lie in different banks.
//           - A matrix has no elements that WGSL could see, so sums go through workgroup memory, 16 pixels of each subgroup at once. The residual is
//             loaded before, two blocks of 16 pixels ahead: a load behind a store waits for it.
//           - Where workgroups are too few to fill a GPU, a step takes as long as its loads are on their way: 64 k instead of 32 halve the steps.
//           - Coordinates of four pixels are held; what a tap and channel add to them is the same for all and advances by addition.
//           - Of up to 4 channels, a row of the kernel is one run of quads (override `run`: 4 or 8 of them, the last beyond the taps zero), for
//             its pixels follow each other.
// In bounds x: only inside of the image, of pixels of this window (others start below every image), whose rows are bound. w: k below that of a
//           panel, of panels with channels. bias, residual, y, partials: pixels before pixel_end, channels below out_channels. Workgroup memory: rows,
//           columns and depth of the tile, by the remainders of t. Loops end: steps are counted, and span4 isn't zero.
// Limits    subgroups of exactly 32 lanes that follow local_invocation_index, matrices of 16x16x16 f16 with f32 sums, SHADER_F16, 128
//           invocations and up to 36 KiB of workgroup memory. naga takes `enable wgpu_cooperative_matrix;` and no browser does. A store's place is
//           named before it: naga 30 emits an expression there after the store.
// Paper     implicit GEMM: Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3; sums of tensor cores: Fasi et
//           al., "Numerical behavior of NVIDIA tensor cores", 2021.
// Twin      kernels::reference::conv2d.

enable f16;
enable wgpu_cooperative_matrix;

// 32, 64 or 128 pixels, 64 or 128 channels, of a subgroup 32 or 64, 16, 32 or 64 k a step; with as many invocations as make one load up to 4
// times of x and 2 or 4 times of w, 8 f16 each.
override rows: u32 = 128u;
override columns: u32 = 64u;
override sub_columns: u32 = 32u;
override invocations: u32 = 128u;
override depth: u32 = 32u;
override wide: bool = false;
override run: u32 = 0u;
override split: bool = false;

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
    phases: u32,      // taps of a row of the kernel
    phase_columns: u32,
    parts: u32,       // of k, each with workgroups of its own
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> w: array<mat2x4<f16>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read> residual_half: array<vec2<u32>>;
@group(0) @binding(9) var<storage, read_write> y_half: array<vec2<u32>>;
@group(0) @binding(10) var<storage, read_write> overflow: array<u32>; // set where f16 is too small
@group(0) @binding(11) var<storage, read_write> partials: array<vec4<f32>>;
// x again, in pairs of quads.
@group(0) @binding(12) var<storage, read> x_wide: array<mat2x4<f16>>;

// Pixels by k, in rows of depth / 4 + 2 vec4; k by channels, in rows of columns / 4 + 2; sums of 16 pixels of each subgroup, in rows of
// sub_columns / 4 + 1.
var<workgroup> tile_x: array<vec4<f16>, rows * (depth / 4u + 2u)>;
var<workgroup> tile_w: array<vec4<f16>, depth * (columns / 4u + 2u)>;
var<workgroup> stage: array<vec4<f32>, invocations / 2u * (sub_columns / 4u + 1u)>;

fn from_half(bits: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(bits.x), unpack2x16float(bits.y));
}

// WGSL leaves open what becomes of numbers beyond f16: here they become infinite or NaN, and the flag is set, whatever later layers make of
// them. Bits are compared (with those of 65504), for compilers may take it that nothing is NaN.
fn to_half2(v: vec2<f32>) -> u32 {
    let held = (bitcast<vec2<u32>>(v) & vec2<u32>(0x7fffffffu)) <= vec2<u32>(0x477fe000u);
    // No atomic: with this memory model it needs a capability that naga 30 leaves out. All write the same.
    if !all(held) { overflow[0] = 1u; }
    let lost = select(vec2<u32>(0x7c00u, 0x7c000000u), vec2<u32>(), held);
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

// A place in k: a tap, and a quad of its channels; in runs a row of the kernel, and a tap of it.
struct Place {
    row: u32,
    column: u32,
    c4: u32,
}

fn place(quad: u32) -> Place {
    let tap = quad / p.span4;
    return Place(tap / p.kernel_w, tap % p.kernel_w, quad % p.span4);
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

// Eight k from an even quad on: of one tap, where channels are a multiple of 8; of two taps in runs.
fn load_x(at: Corner, k: Place, next: Place) -> mat2x4<f16> {
    if run > 0u {
        var first = vec4<f16>();
        var second = vec4<f16>();
        let column = at.column + k.c4;
        let quad = at.quad + k.row * p.dilation_h * p.width + k.c4;
        if k.row < p.kernel_h && at.row + k.row * p.dilation_h < p.height {
            if k.c4 < p.phases && column < p.width { first = x[quad]; }
            if k.c4 + 1u < p.phases && column + 1u < p.width { second = x[quad + 1u]; }
        }
        return mat2x4<f16>(first, second);
    }
    if !wide { return mat2x4<f16>(load_quad(at, k), load_quad(at, next)); }
    if inside(at, k) { return x_wide[quad_of(at, k) / 2u]; }
    return mat2x4<f16>();
}

// Eight channels of the window's panels.
fn load_w(k: u32, channel: u32) -> mat2x4<f16> {
    var all = p.kernel_h * p.kernel_w * p.span4 * 4u;
    var row = k;
    var beyond = false;
    if run > 0u {
        // Panels hold the taps alone.
        let taps = p.phases * 4u;
        let of_run = k % max(run * 4u, 1u);
        all = p.kernel_h * taps;
        row = k / max(run * 4u, 1u) * taps + of_run;
        beyond = of_run >= taps;
    }
    if beyond || row >= all || p.panel_first * 64u + channel >= p.out_channels { return mat2x4<f16>(); }
    return w[(channel / 64u * all + row) * 8u + channel % 64u / 8u];
}

fn store_x(t: u32, row: u32, v: mat2x4<f16>) {
    let at = row * (depth / 4u + 2u) + t % (depth / 8u) * 2u;
    tile_x[at] = v[0];
    tile_x[at + 1u] = v[1];
}

fn store_w(t: u32, row: u32, v: mat2x4<f16>) {
    let at = row * (columns / 4u + 2u) + t % (columns / 8u) * 2u;
    tile_w[at] = v[0];
    tile_w[at + 1u] = v[1];
}

// Where a lane writes: the first pixel and the quad of channels of its subgroup's tile, and the part of k.
struct Spot {
    pixel: u32,
    channel: u32,
    part: u32,
    staged: u32, // place in the stage
    bias: vec4<f32>,
}

// Quads of four pixels, 128 / sub_columns apart.
struct Four {
    a: vec2<u32>,
    b: vec2<u32>,
    c: vec2<u32>,
    d: vec2<u32>,
}

fn quad_of_y(at: Spot, row: u32) -> u32 {
    return (at.pixel + row - p.pixel_first) * ((p.out_channels + 3u) / 4u) + at.channel / 4u;
}

fn load_one(at: Spot, row: u32) -> vec2<u32> {
    if at.pixel + row < p.pixel_end && at.channel < p.out_channels { return residual_half[p.y_base + quad_of_y(at, row)]; }
    return vec2<u32>();
}

fn load_residual(at: Spot, row: u32) -> Four {
    if split || p.has_residual == 0u { return Four(); }
    let apart = 128u / sub_columns;
    return Four(load_one(at, row), load_one(at, row + apart), load_one(at, row + 2u * apart), load_one(at, row + 3u * apart));
}

fn write_one(at: Spot, row: u32, residual: vec2<u32>) {
    if at.pixel + row >= p.pixel_end || at.channel >= p.out_channels { return; }
    let sum = stage[at.staged + row % 16u * (sub_columns / 4u + 1u)];
    let quad = quad_of_y(at, row);
    if split {
        let quads = (p.pixel_end - p.pixel_first) * ((p.out_channels + 3u) / 4u);
        partials[at.part * quads + quad] = sum;
        return;
    }
    var v = sum + at.bias;
    if p.has_residual != 0u { v += from_half(residual); }
    if p.relu != 0u { v = rectified(v); }
    y_half[p.y_base + quad] = vec2<u32>(to_half2(v.xy), to_half2(v.zw));
}

fn write_four(at: Spot, row: u32, residual: Four) {
    let apart = 128u / sub_columns;
    write_one(at, row, residual.a);
    write_one(at, row + apart, residual.b);
    write_one(at, row + 2u * apart, residual.c);
    write_one(at, row + 3u * apart, residual.d);
}

@compute @workgroup_size(invocations)
fn halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let tiles = p.groups / p.parts;
    let blocks = tiles / ((p.pixel_end - p.pixel_first + rows - 1u) / rows);
    let part = group / tiles;
    let pixel0 = p.pixel_first + group % tiles / blocks * rows;
    let channel0 = group % tiles % blocks * columns;
    let all_steps = (p.kernel_h * p.kernel_w * p.span4 * 4u + depth - 1u) / depth;
    let first_step = part * all_steps / p.parts;
    let end_step = (part + 1u) * all_steps / p.parts;

    // What this invocation loads: 8 k of every x_rows-th pixel, 8 channels of every w_rows-th k.
    let x_rows = invocations / (depth / 8u);
    let w_rows = invocations / (columns / 8u);
    let row_x = t / (depth / 8u);
    let row_w = t / (columns / 8u);
    let channel = channel0 + t % (columns / 8u) * 8u;
    let at0 = corner(pixel0 + row_x);
    let at1 = corner(pixel0 + row_x + x_rows);
    let at2 = corner(pixel0 + row_x + 2u * x_rows);
    let at3 = corner(pixel0 + row_x + 3u * x_rows);
    let two_x = rows > x_rows;
    let four_x = rows > 2u * x_rows;
    let four_w = depth > 2u * w_rows;

    // What its subgroup computes.
    let s = t / 32u;
    let lane = t % 32u;
    let across = columns / sub_columns;
    let sub_rows = rows / (invocations / 32u / across);
    let two_rows = sub_rows > 16u;
    let tall = sub_rows > 32u;
    let broad = sub_columns > 32u;
    let sub_row = s / across * sub_rows;
    let sub_column = s % across * sub_columns;
    let stride_x = depth / 4u + 2u;
    let stride_w = columns / 4u + 2u;

    var c00: coop_mat16x16<f32, C>;
    var c01: coop_mat16x16<f32, C>;
    var c02: coop_mat16x16<f32, C>;
    var c03: coop_mat16x16<f32, C>;
    var c10: coop_mat16x16<f32, C>;
    var c11: coop_mat16x16<f32, C>;
    var c12: coop_mat16x16<f32, C>;
    var c13: coop_mat16x16<f32, C>;
    var c20: coop_mat16x16<f32, C>;
    var c21: coop_mat16x16<f32, C>;
    var c22: coop_mat16x16<f32, C>;
    var c23: coop_mat16x16<f32, C>;
    var c30: coop_mat16x16<f32, C>;
    var c31: coop_mat16x16<f32, C>;
    var c32: coop_mat16x16<f32, C>;
    var c33: coop_mat16x16<f32, C>;

    var k = place(first_step * (depth / 4u) + t % (depth / 8u) * 2u);
    var k_next = k;
    if !wide && run == 0u { k_next = advance(k, 1u); }
    var k_w = first_step * depth + row_w;
    var x0 = load_x(at0, k, k_next);
    var x1 = mat2x4<f16>();
    var x2 = mat2x4<f16>();
    var x3 = mat2x4<f16>();
    var w0 = load_w(k_w, channel);
    var w1 = load_w(k_w + w_rows, channel);
    var w2 = mat2x4<f16>();
    var w3 = mat2x4<f16>();
    if two_x { x1 = load_x(at1, k, k_next); }
    if four_x {
        x2 = load_x(at2, k, k_next);
        x3 = load_x(at3, k, k_next);
    }
    if four_w {
        w2 = load_w(k_w + 2u * w_rows, channel);
        w3 = load_w(k_w + 3u * w_rows, channel);
    }
    for (var step = first_step; step < end_step; step++) {
        workgroupBarrier();
        store_x(t, row_x, x0);
        store_w(t, row_w, w0);
        store_w(t, row_w + w_rows, w1);
        if two_x { store_x(t, row_x + x_rows, x1); }
        if four_x {
            store_x(t, row_x + 2u * x_rows, x2);
            store_x(t, row_x + 3u * x_rows, x3);
        }
        if four_w {
            store_w(t, row_w + 2u * w_rows, w2);
            store_w(t, row_w + 3u * w_rows, w3);
        }
        workgroupBarrier();
        if step + 1u < end_step {
            k = advance(k, depth / 4u);
            if !wide && run == 0u { k_next = advance(k, 1u); }
            k_w += depth;
            x0 = load_x(at0, k, k_next);
            w0 = load_w(k_w, channel);
            w1 = load_w(k_w + w_rows, channel);
            if two_x { x1 = load_x(at1, k, k_next); }
            if four_x {
                x2 = load_x(at2, k, k_next);
                x3 = load_x(at3, k, k_next);
            }
            if four_w {
                w2 = load_w(k_w + 2u * w_rows, channel);
                w3 = load_w(k_w + 3u * w_rows, channel);
            }
        }
        for (var piece = 0u; piece < depth / 16u; piece++) {
            let i = sub_row * stride_x + piece * 4u;
            let j = piece * 16u * stride_w + sub_column / 4u;
            let a0 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[i], stride_x);
            let b0 = coopLoadT<coop_mat16x16<f16, B>>(&tile_w[j], stride_w);
            let b1 = coopLoadT<coop_mat16x16<f16, B>>(&tile_w[j + 4u], stride_w);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            if broad {
                let b2 = coopLoadT<coop_mat16x16<f16, B>>(&tile_w[j + 8u], stride_w);
                let b3 = coopLoadT<coop_mat16x16<f16, B>>(&tile_w[j + 12u], stride_w);
                c02 = coopMultiplyAdd(a0, b2, c02);
                c03 = coopMultiplyAdd(a0, b3, c03);
                if two_rows {
                    let a1 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[i + 16u * stride_x], stride_x);
                    c10 = coopMultiplyAdd(a1, b0, c10);
                    c11 = coopMultiplyAdd(a1, b1, c11);
                    c12 = coopMultiplyAdd(a1, b2, c12);
                    c13 = coopMultiplyAdd(a1, b3, c13);
                }
                if tall {
                    let a2 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[i + 32u * stride_x], stride_x);
                    c20 = coopMultiplyAdd(a2, b0, c20);
                    c21 = coopMultiplyAdd(a2, b1, c21);
                    c22 = coopMultiplyAdd(a2, b2, c22);
                    c23 = coopMultiplyAdd(a2, b3, c23);
                    let a3 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[i + 48u * stride_x], stride_x);
                    c30 = coopMultiplyAdd(a3, b0, c30);
                    c31 = coopMultiplyAdd(a3, b1, c31);
                    c32 = coopMultiplyAdd(a3, b2, c32);
                    c33 = coopMultiplyAdd(a3, b3, c33);
                }
            } else {
                if two_rows {
                    let a1 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[i + 16u * stride_x], stride_x);
                    c10 = coopMultiplyAdd(a1, b0, c10);
                    c11 = coopMultiplyAdd(a1, b1, c11);
                }
                if tall {
                    let a2 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[i + 32u * stride_x], stride_x);
                    c20 = coopMultiplyAdd(a2, b0, c20);
                    c21 = coopMultiplyAdd(a2, b1, c21);
                    let a3 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[i + 48u * stride_x], stride_x);
                    c30 = coopMultiplyAdd(a3, b0, c30);
                    c31 = coopMultiplyAdd(a3, b1, c31);
                }
            }
        }
    }

    // A lane's quads are sub_columns / 4 of a pixel, 4 pixels of 16 where those are 8, 8 where they are 16.
    let quads = sub_columns / 4u;
    let stride_c = quads + 1u;
    let left = s * 16u * stride_c;
    let left4 = left + 4u;
    let left8 = left + 8u;
    let left12 = left + 12u;
    let written = p.panel_first * 64u + channel0 + sub_column + lane % quads * 4u;
    let further = 512u / sub_columns;
    var at = Spot(pixel0 + sub_row + lane / quads, written, part, left + lane / quads * stride_c + lane % quads, vec4<f32>());
    if written < p.out_channels { at.bias = bias[written / 4u]; }
    let r0 = load_residual(at, 0u);
    var s0 = Four();
    var r1 = Four();
    var s1 = Four();
    if broad { s0 = load_residual(at, further); }
    if two_rows { r1 = load_residual(at, 16u); }
    if two_rows && broad { s1 = load_residual(at, 16u + further); }
    var r2 = Four();
    var s2 = Four();
    var r3 = Four();
    var s3 = Four();
    coopStoreT(c00, &stage[left], stride_c);
    coopStoreT(c01, &stage[left4], stride_c);
    if broad {
        coopStoreT(c02, &stage[left8], stride_c);
        coopStoreT(c03, &stage[left12], stride_c);
    }
    if tall { r2 = load_residual(at, 32u); }
    if tall && broad { s2 = load_residual(at, 32u + further); }
    workgroupBarrier();
    write_four(at, 0u, r0);
    if broad { write_four(at, 0u + further, s0); }
    if two_rows {
        workgroupBarrier();
        coopStoreT(c10, &stage[left], stride_c);
        coopStoreT(c11, &stage[left4], stride_c);
        if broad {
            coopStoreT(c12, &stage[left8], stride_c);
            coopStoreT(c13, &stage[left12], stride_c);
        }
        if tall { r3 = load_residual(at, 48u); }
        if tall && broad { s3 = load_residual(at, 48u + further); }
        workgroupBarrier();
        write_four(at, 16u, r1);
        if broad { write_four(at, 16u + further, s1); }
    }
    if tall {
        workgroupBarrier();
        coopStoreT(c20, &stage[left], stride_c);
        coopStoreT(c21, &stage[left4], stride_c);
        if broad {
            coopStoreT(c22, &stage[left8], stride_c);
            coopStoreT(c23, &stage[left12], stride_c);
        }
        workgroupBarrier();
        write_four(at, 32u, r2);
        if broad { write_four(at, 32u + further, s2); }
    }
    if tall {
        workgroupBarrier();
        coopStoreT(c30, &stage[left], stride_c);
        coopStoreT(c31, &stage[left4], stride_c);
        if broad {
            coopStoreT(c32, &stage[left8], stride_c);
            coopStoreT(c33, &stage[left12], stride_c);
        }
        workgroupBarrier();
        write_four(at, 48u, r3);
        if broad { write_four(at, 48u + further, s3); }
    }
}
