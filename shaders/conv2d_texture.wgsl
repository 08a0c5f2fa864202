// conv2d, texture family: y = relu(conv(x, w) + bias + residual), for software adapters with subgroups of eight lanes.
//
// Formula   y[n,i,j,o] = sum over kh, kw, c of x[n, i sh + kh dh - ph, j sw + kw dw - pw, c] w[o,c,kh,kw]  + bias[o] (+ residual[n,i,j,o])
// Layouts   x: linear texture (4096 texels a row) of NHWC, channels4 texels a pixel; the texel at x_base is zero and stands
//           for every padded pixel. w: linear texture of packed panels, texel of (panel, tap, c, v) at
//           ((panel taps + tap) 4 span4 + c) 16 + v: 64 output channels a panel, c counted from the first channel
//           of the panel's first group (rounded down to a texel, and so that span4 texels stay inside the pixel),
//           channels of other groups zero.
//           bias: padded to whole panels. residual: linear texture as y. y: NHWC, pixels from y_first on.
// Dispatch  one subgroup (8 lanes) a workgroup: 16 pixels x 64 channels, numbered (panel, pixel block), blocks fastest.
// How       as matmul_texture: 16 pixels x 2 vec4 in registers, pixels broadcast by subgroupShuffle.
// Limits    no workgroup memory, no barriers.
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

// A constant, not a parameter: a software driver runs both sides of a branch.
override has_residual: bool = true;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var w: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var residual: texture_storage_2d<rgba32float, read>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> residual_scalar: array<f32>;
@group(0) @binding(7) var<storage, read_write> y_scalar: array<f32>;

const ROW_SHIFT = 12u;
const ROW_MASK = 4095u;

fn load_x(i: u32) -> vec4<f32> {
    return textureLoad(x, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT));
}

fn load_w(i: u32) -> vec4<f32> {
    return textureLoad(w, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT));
}

// One pixel for four channels: y + v.x w0 + v.y w1 + v.z w2 + v.w w3.
fn row(y: vec4<f32>, v: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    return y + v.x * w0 + v.y * w1 + v.z * w2 + v.w * w3;
}

// Where an output pixel reads from: its image's first row and the top left corner of its window (wrapping below zero).
struct Corner {
    image: u32,
    row: u32,
    column: u32,
}

fn corner(pixel: u32) -> Corner {
    let area = p.out_height * p.out_width;
    let n = pixel / area;
    let rest = pixel % area;
    return Corner(n * p.height, rest / p.out_width * p.stride_h - p.pad_h, rest % p.out_width * p.stride_w - p.pad_w);
}

// Index of a tap's first texel, or `none` where the tap lies on the padding.
const none = 0xffffffffu;

fn tap_start(at: Corner, kh: u32, kw: u32) -> u32 {
    let r = at.row + kh * p.dilation_h;
    let c = at.column + kw * p.dilation_w;
    return select(none, ((at.image + r) * p.width + c) * p.channels4, r < p.height && c < p.width);
}

fn store(pixel: u32, channel4: u32, value: vec4<f32>) {
    if pixel < p.pixel_end && channel4 * 4u < p.out_channels {
        let channels4 = p.out_channels / 4u;
        var v = value;
        if has_residual {
            let i = pixel * channels4 + channel4;
            v += textureLoad(residual, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT));
        }
        if p.relu != 0u { v = max(v, vec4<f32>()); }
        y[(pixel - p.pixel_first) * channels4 + channel4] = v;
    }
}

fn store_scalars(pixel: u32, channel4: u32, value: vec4<f32>) {
    let start = (pixel - p.pixel_first) * p.out_channels + channel4 * 4u;
    for (var i = 0u; i < 4u; i++) {
        if pixel < p.pixel_end && channel4 * 4u + i < p.out_channels {
            var v = value[i];
            if has_residual { v += residual_scalar[start + i]; }
            if p.relu != 0u { v = max(v, 0.0); }
            y_scalar[start + i] = v;
        }
    }
}

struct Tile {
    pixel: u32,
    panel: u32,
}

fn tile_of(group: u32) -> Tile {
    let blocks = (p.pixel_end - p.pixel_first + 15u) / 16u;
    return Tile(p.pixel_first + group % blocks * 16u, group / blocks);
}

struct Product {
    l: array<vec4<f32>, 16>,
    r: array<vec4<f32>, 16>,
}

fn product(tile: Tile, lane: u32) -> Product {
    var l0 = vec4<f32>(); var l1 = vec4<f32>(); var l2 = vec4<f32>(); var l3 = vec4<f32>();
    var l4 = vec4<f32>(); var l5 = vec4<f32>(); var l6 = vec4<f32>(); var l7 = vec4<f32>();
    var l8 = vec4<f32>(); var l9 = vec4<f32>(); var la = vec4<f32>(); var lb = vec4<f32>();
    var lc = vec4<f32>(); var ld = vec4<f32>(); var le = vec4<f32>(); var lf = vec4<f32>();
    var r0 = vec4<f32>(); var r1 = vec4<f32>(); var r2 = vec4<f32>(); var r3 = vec4<f32>();
    var r4 = vec4<f32>(); var r5 = vec4<f32>(); var r6 = vec4<f32>(); var r7 = vec4<f32>();
    var r8 = vec4<f32>(); var r9 = vec4<f32>(); var ra = vec4<f32>(); var rb = vec4<f32>();
    var rc = vec4<f32>(); var rd = vec4<f32>(); var re = vec4<f32>(); var rf = vec4<f32>();
    let upper = corner(tile.pixel + lane);
    let lower = corner(tile.pixel + lane + 8u);
    let first = min(tile.panel * 64u / p.group_out * p.group_in / 4u, p.channels4 - p.span4);
    var left = tile.panel * p.kernel_h * p.kernel_w * p.span4 * 64u + lane;
    // One loop over taps and channels: a driver without registers enough carries all sums in and out of every loop.
    var kh = 0u;
    var kw = 0u;
    var c4 = 0u;
    for (var step = p.kernel_h * p.kernel_w * p.span4; step > 0u; step--) {
        let start_u = tap_start(upper, kh, kw);
        let start_v = tap_start(lower, kh, kw);
        let u = load_x(select(start_u + first + c4, p.x_base, start_u == none));
        let v = load_x(select(start_v + first + c4, p.x_base, start_v == none));
        let w0 = load_w(left); let w1 = load_w(left + 16u); let w2 = load_w(left + 32u); let w3 = load_w(left + 48u);
        let z0 = load_w(left + 8u); let z1 = load_w(left + 24u); let z2 = load_w(left + 40u); let z3 = load_w(left + 56u);
        left += 64u;
        { let a = subgroupShuffle(u, 0u); l0 = row(l0, a, w0, w1, w2, w3); r0 = row(r0, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(u, 1u); l1 = row(l1, a, w0, w1, w2, w3); r1 = row(r1, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(u, 2u); l2 = row(l2, a, w0, w1, w2, w3); r2 = row(r2, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(u, 3u); l3 = row(l3, a, w0, w1, w2, w3); r3 = row(r3, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(u, 4u); l4 = row(l4, a, w0, w1, w2, w3); r4 = row(r4, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(u, 5u); l5 = row(l5, a, w0, w1, w2, w3); r5 = row(r5, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(u, 6u); l6 = row(l6, a, w0, w1, w2, w3); r6 = row(r6, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(u, 7u); l7 = row(l7, a, w0, w1, w2, w3); r7 = row(r7, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(v, 0u); l8 = row(l8, a, w0, w1, w2, w3); r8 = row(r8, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(v, 1u); l9 = row(l9, a, w0, w1, w2, w3); r9 = row(r9, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(v, 2u); la = row(la, a, w0, w1, w2, w3); ra = row(ra, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(v, 3u); lb = row(lb, a, w0, w1, w2, w3); rb = row(rb, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(v, 4u); lc = row(lc, a, w0, w1, w2, w3); rc = row(rc, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(v, 5u); ld = row(ld, a, w0, w1, w2, w3); rd = row(rd, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(v, 6u); le = row(le, a, w0, w1, w2, w3); re = row(re, a, z0, z1, z2, z3); }
        { let a = subgroupShuffle(v, 7u); lf = row(lf, a, w0, w1, w2, w3); rf = row(rf, a, z0, z1, z2, z3); }
        c4++;
        let next_tap = c4 == p.span4;
        c4 = select(c4, 0u, next_tap);
        kw += select(0u, 1u, next_tap);
        let next_row = kw == p.kernel_w;
        kw = select(kw, 0u, next_row);
        kh += select(0u, 1u, next_row);
    }
    return Product(
        array<vec4<f32>, 16>(l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, la, lb, lc, ld, le, lf),
        array<vec4<f32>, 16>(r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, ra, rb, rc, rd, re, rf),
    );
}

// out_channels divisible by 4.
@compute @workgroup_size(8)
fn main(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let tile = tile_of(group);
    let q = product(tile, lane);
    let channel4 = tile.panel * 16u + lane;
    let bl = bias[channel4];
    let br = bias[channel4 + 8u];
    store(tile.pixel + 0u, channel4, q.l[0] + bl); store(tile.pixel + 0u, channel4 + 8u, q.r[0] + br);
    store(tile.pixel + 1u, channel4, q.l[1] + bl); store(tile.pixel + 1u, channel4 + 8u, q.r[1] + br);
    store(tile.pixel + 2u, channel4, q.l[2] + bl); store(tile.pixel + 2u, channel4 + 8u, q.r[2] + br);
    store(tile.pixel + 3u, channel4, q.l[3] + bl); store(tile.pixel + 3u, channel4 + 8u, q.r[3] + br);
    store(tile.pixel + 4u, channel4, q.l[4] + bl); store(tile.pixel + 4u, channel4 + 8u, q.r[4] + br);
    store(tile.pixel + 5u, channel4, q.l[5] + bl); store(tile.pixel + 5u, channel4 + 8u, q.r[5] + br);
    store(tile.pixel + 6u, channel4, q.l[6] + bl); store(tile.pixel + 6u, channel4 + 8u, q.r[6] + br);
    store(tile.pixel + 7u, channel4, q.l[7] + bl); store(tile.pixel + 7u, channel4 + 8u, q.r[7] + br);
    store(tile.pixel + 8u, channel4, q.l[8] + bl); store(tile.pixel + 8u, channel4 + 8u, q.r[8] + br);
    store(tile.pixel + 9u, channel4, q.l[9] + bl); store(tile.pixel + 9u, channel4 + 8u, q.r[9] + br);
    store(tile.pixel + 10u, channel4, q.l[10] + bl); store(tile.pixel + 10u, channel4 + 8u, q.r[10] + br);
    store(tile.pixel + 11u, channel4, q.l[11] + bl); store(tile.pixel + 11u, channel4 + 8u, q.r[11] + br);
    store(tile.pixel + 12u, channel4, q.l[12] + bl); store(tile.pixel + 12u, channel4 + 8u, q.r[12] + br);
    store(tile.pixel + 13u, channel4, q.l[13] + bl); store(tile.pixel + 13u, channel4 + 8u, q.r[13] + br);
    store(tile.pixel + 14u, channel4, q.l[14] + bl); store(tile.pixel + 14u, channel4 + 8u, q.r[14] + br);
    store(tile.pixel + 15u, channel4, q.l[15] + bl); store(tile.pixel + 15u, channel4 + 8u, q.r[15] + br);
}

// Any out_channels.
@compute @workgroup_size(8)
fn ragged(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let tile = tile_of(group);
    let q = product(tile, lane);
    let channel4 = tile.panel * 16u + lane;
    let bl = bias[channel4];
    let br = bias[channel4 + 8u];
    store_scalars(tile.pixel + 0u, channel4, q.l[0] + bl); store_scalars(tile.pixel + 0u, channel4 + 8u, q.r[0] + br);
    store_scalars(tile.pixel + 1u, channel4, q.l[1] + bl); store_scalars(tile.pixel + 1u, channel4 + 8u, q.r[1] + br);
    store_scalars(tile.pixel + 2u, channel4, q.l[2] + bl); store_scalars(tile.pixel + 2u, channel4 + 8u, q.r[2] + br);
    store_scalars(tile.pixel + 3u, channel4, q.l[3] + bl); store_scalars(tile.pixel + 3u, channel4 + 8u, q.r[3] + br);
    store_scalars(tile.pixel + 4u, channel4, q.l[4] + bl); store_scalars(tile.pixel + 4u, channel4 + 8u, q.r[4] + br);
    store_scalars(tile.pixel + 5u, channel4, q.l[5] + bl); store_scalars(tile.pixel + 5u, channel4 + 8u, q.r[5] + br);
    store_scalars(tile.pixel + 6u, channel4, q.l[6] + bl); store_scalars(tile.pixel + 6u, channel4 + 8u, q.r[6] + br);
    store_scalars(tile.pixel + 7u, channel4, q.l[7] + bl); store_scalars(tile.pixel + 7u, channel4 + 8u, q.r[7] + br);
    store_scalars(tile.pixel + 8u, channel4, q.l[8] + bl); store_scalars(tile.pixel + 8u, channel4 + 8u, q.r[8] + br);
    store_scalars(tile.pixel + 9u, channel4, q.l[9] + bl); store_scalars(tile.pixel + 9u, channel4 + 8u, q.r[9] + br);
    store_scalars(tile.pixel + 10u, channel4, q.l[10] + bl); store_scalars(tile.pixel + 10u, channel4 + 8u, q.r[10] + br);
    store_scalars(tile.pixel + 11u, channel4, q.l[11] + bl); store_scalars(tile.pixel + 11u, channel4 + 8u, q.r[11] + br);
    store_scalars(tile.pixel + 12u, channel4, q.l[12] + bl); store_scalars(tile.pixel + 12u, channel4 + 8u, q.r[12] + br);
    store_scalars(tile.pixel + 13u, channel4, q.l[13] + bl); store_scalars(tile.pixel + 13u, channel4 + 8u, q.r[13] + br);
    store_scalars(tile.pixel + 14u, channel4, q.l[14] + bl); store_scalars(tile.pixel + 14u, channel4 + 8u, q.r[14] + br);
    store_scalars(tile.pixel + 15u, channel4, q.l[15] + bl); store_scalars(tile.pixel + 15u, channel4 + 8u, q.r[15] + br);
}
