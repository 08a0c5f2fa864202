// conv2d, texture family: y = relu(conv(x, w) + bias + residual), for software adapters with subgroups of 4, 8 or 16 lanes.
//
// Formula   y[n,i,j,o] = sum over kh, kw, c of x[n, i sh + kh dh - ph, j sw + kw dw - pw, c] w[o,c,kh,kw]  + bias[o] (+ residual[n,i,j,o])
// Layouts   x: linear texture (4096 texels a row) of NHWC, channels4 texels a pixel; the texel at x_base is zero and stands
//           for every padded pixel. w: linear texture of packed panels, texel of (panel, tap, c, lane) at
//           ((panel taps + tap) 4 span4 + c) lanes + lane: 4 lanes output channels a panel, c counted from the first channel
//           of the panel's first group (rounded down to a texel, and so that span4 texels stay inside the pixel),
//           channels of other groups zero.
//           bias: padded to whole panels. residual: linear texture as y. y: NHWC, pixels from y_first on.
// Dispatch  one subgroup a workgroup: 32 pixels (16 unless tall) x 4 lanes channels, numbered (panel, pixel block), blocks fastest.
//           What workgroups past the last compute has no channels and isn't stored.
// How       as matmul_texture: a lane holds 32 pixels x 1 vec4, pixels are broadcast by subgroupShuffle.
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

override lanes: u32 = 8u;    // of a subgroup
override tall: bool = true;  // 32 pixels a tile instead of 16
// Constants, not parameters: a software driver runs both sides of a branch.
override has_residual: bool = true;
override pointwise: bool = false; // one tap and no padding
override narrow: bool = false;    // a pixel is one texel
override double: bool = false;    // two texels of a run a turn of the loop, its length even: the driver blends every sum with the loop's mask once a turn

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

// Texels that stand one behind the other: the channels of a tap or, where a pixel is one texel, the taps of a row. The first of
// them, which bits of a count to add to it, and the image's column of the first.
struct Run {
    first: u32,
    mask: u32,
    column: u32,
}

// On the padding a run is the zero texel again and again.
fn run(at: Corner, kh: u32, kw: u32, first: u32) -> Run {
    let r = at.row + kh * p.dilation_h;
    let c = at.column + kw * p.dilation_w;
    let i = ((at.image + r) * p.width + c) * p.channels4 + first;
    if pointwise { return Run(i, 0xffffffffu, c); }
    let inside = r < p.height && (narrow || c < p.width);
    return Run(select(p.x_base, i, inside), select(0u, 0xffffffffu, inside), c);
}

fn load(at: Run, step: u32) -> vec4<f32> {
    if narrow {
        let i = at.first + (step * p.dilation_w & at.mask);
        return load_x(select(p.x_base, i, at.column + step * p.dilation_w < p.width));
    }
    return load_x(at.first + (step & at.mask));
}

// What every store of a lane needs to know, read once: parameters that are read where lanes may be off cost a load a lane.
struct Target {
    channel4: u32,
    channels4: u32,
    first: u32, // where pixel_first's vec4 stand
    end: u32,   // past the last pixel; 0 where there is no such channel
    relu: bool,
}

fn target_of(channel4: u32) -> Target {
    let channels4 = p.out_channels / 4u;
    return Target(channel4, channels4, p.pixel_first * channels4, select(0u, p.pixel_end, channel4 < channels4), p.relu != 0u);
}

fn store(pixel: u32, to: Target, value: vec4<f32>) {
    let i = pixel * to.channels4 + to.channel4;
    var v = value;
    if has_residual { v += textureLoad(residual, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT)); }
    v = select(v, max(v, vec4<f32>()), to.relu);
    if pixel < to.end { y[i - to.first] = v; }
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
    let pixels = select(16u, 32u, tall);
    let blocks = (p.pixel_end - p.pixel_first + pixels - 1u) / pixels;
    return Tile(p.pixel_first + group % blocks * pixels, group / blocks);
}

// Adds four terms to every sum: texel `step` of each lane's runs, the texels of w from `left` on.
fn multiply(sums: ptr<function, array<vec4<f32>, 32>>, runs: ptr<function, array<Run, 8>>, step: u32, left: u32) {
    var s = *sums;
    let r = *runs;
    var x: array<vec4<f32>, 8>;
    x[0] = load(r[0], step);
    if lanes < 16u || tall { x[1] = load(r[1], step); }
    if lanes < 8u || lanes < 16u && tall { x[2] = load(r[2], step); x[3] = load(r[3], step); }
    if lanes < 8u && tall { x[4] = load(r[4], step); x[5] = load(r[5], step); x[6] = load(r[6], step); x[7] = load(r[7], step); }
    let w0 = load_w(left); let w1 = load_w(left + lanes); let w2 = load_w(left + 2u * lanes); let w3 = load_w(left + 3u * lanes);
    s[0] = row(s[0], subgroupShuffle(x[0u / lanes], 0u % lanes), w0, w1, w2, w3);
    s[1] = row(s[1], subgroupShuffle(x[1u / lanes], 1u % lanes), w0, w1, w2, w3);
    s[2] = row(s[2], subgroupShuffle(x[2u / lanes], 2u % lanes), w0, w1, w2, w3);
    s[3] = row(s[3], subgroupShuffle(x[3u / lanes], 3u % lanes), w0, w1, w2, w3);
    s[4] = row(s[4], subgroupShuffle(x[4u / lanes], 4u % lanes), w0, w1, w2, w3);
    s[5] = row(s[5], subgroupShuffle(x[5u / lanes], 5u % lanes), w0, w1, w2, w3);
    s[6] = row(s[6], subgroupShuffle(x[6u / lanes], 6u % lanes), w0, w1, w2, w3);
    s[7] = row(s[7], subgroupShuffle(x[7u / lanes], 7u % lanes), w0, w1, w2, w3);
    s[8] = row(s[8], subgroupShuffle(x[8u / lanes], 8u % lanes), w0, w1, w2, w3);
    s[9] = row(s[9], subgroupShuffle(x[9u / lanes], 9u % lanes), w0, w1, w2, w3);
    s[10] = row(s[10], subgroupShuffle(x[10u / lanes], 10u % lanes), w0, w1, w2, w3);
    s[11] = row(s[11], subgroupShuffle(x[11u / lanes], 11u % lanes), w0, w1, w2, w3);
    s[12] = row(s[12], subgroupShuffle(x[12u / lanes], 12u % lanes), w0, w1, w2, w3);
    s[13] = row(s[13], subgroupShuffle(x[13u / lanes], 13u % lanes), w0, w1, w2, w3);
    s[14] = row(s[14], subgroupShuffle(x[14u / lanes], 14u % lanes), w0, w1, w2, w3);
    s[15] = row(s[15], subgroupShuffle(x[15u / lanes], 15u % lanes), w0, w1, w2, w3);
    if tall {
        s[16] = row(s[16], subgroupShuffle(x[16u / lanes], 16u % lanes), w0, w1, w2, w3);
        s[17] = row(s[17], subgroupShuffle(x[17u / lanes], 17u % lanes), w0, w1, w2, w3);
        s[18] = row(s[18], subgroupShuffle(x[18u / lanes], 18u % lanes), w0, w1, w2, w3);
        s[19] = row(s[19], subgroupShuffle(x[19u / lanes], 19u % lanes), w0, w1, w2, w3);
        s[20] = row(s[20], subgroupShuffle(x[20u / lanes], 20u % lanes), w0, w1, w2, w3);
        s[21] = row(s[21], subgroupShuffle(x[21u / lanes], 21u % lanes), w0, w1, w2, w3);
        s[22] = row(s[22], subgroupShuffle(x[22u / lanes], 22u % lanes), w0, w1, w2, w3);
        s[23] = row(s[23], subgroupShuffle(x[23u / lanes], 23u % lanes), w0, w1, w2, w3);
        s[24] = row(s[24], subgroupShuffle(x[24u / lanes], 24u % lanes), w0, w1, w2, w3);
        s[25] = row(s[25], subgroupShuffle(x[25u / lanes], 25u % lanes), w0, w1, w2, w3);
        s[26] = row(s[26], subgroupShuffle(x[26u / lanes], 26u % lanes), w0, w1, w2, w3);
        s[27] = row(s[27], subgroupShuffle(x[27u / lanes], 27u % lanes), w0, w1, w2, w3);
        s[28] = row(s[28], subgroupShuffle(x[28u / lanes], 28u % lanes), w0, w1, w2, w3);
        s[29] = row(s[29], subgroupShuffle(x[29u / lanes], 29u % lanes), w0, w1, w2, w3);
        s[30] = row(s[30], subgroupShuffle(x[30u / lanes], 30u % lanes), w0, w1, w2, w3);
        s[31] = row(s[31], subgroupShuffle(x[31u / lanes], 31u % lanes), w0, w1, w2, w3);
    }
    *sums = s;
}

fn product(tile: Tile, lane: u32) -> array<vec4<f32>, 32> {
    var s: array<vec4<f32>, 32>;
    var at: array<Corner, 8>;
    var r: array<Run, 8>;
    at[0] = corner(tile.pixel + lane);
    if lanes < 16u || tall { at[1] = corner(tile.pixel + lanes + lane); }
    if lanes < 8u || lanes < 16u && tall { at[2] = corner(tile.pixel + 2u * lanes + lane); at[3] = corner(tile.pixel + 3u * lanes + lane); }
    if lanes < 8u && tall {
        at[4] = corner(tile.pixel + 4u * lanes + lane); at[5] = corner(tile.pixel + 5u * lanes + lane);
        at[6] = corner(tile.pixel + 6u * lanes + lane); at[7] = corner(tile.pixel + 7u * lanes + lane);
    }
    let first = min(tile.panel * 4u * lanes / p.group_out * p.group_in / 4u, p.channels4 - p.span4);
    var left = tile.panel * p.kernel_h * p.kernel_w * p.span4 * 4u * lanes + lane;
    // Where a pixel is one texel a run of channels isn't worth its loop, so that a run is a row of taps.
    let runs = select(p.kernel_h * p.kernel_w, p.kernel_h, narrow);
    let steps = select(p.span4, p.kernel_w, narrow);
    for (var i = 0u; i < runs; i++) {
        let kh = select(i / p.kernel_w, i, narrow);
        let kw = select(i % p.kernel_w, 0u, narrow);
        r[0] = run(at[0], kh, kw, first);
        if lanes < 16u || tall { r[1] = run(at[1], kh, kw, first); }
        if lanes < 8u || lanes < 16u && tall { r[2] = run(at[2], kh, kw, first); r[3] = run(at[3], kh, kw, first); }
        if lanes < 8u && tall {
            r[4] = run(at[4], kh, kw, first); r[5] = run(at[5], kh, kw, first);
            r[6] = run(at[6], kh, kw, first); r[7] = run(at[7], kh, kw, first);
        }
        for (var step = 0u; step < steps; step++) {
            multiply(&s, &r, step, left);
            left += 4u * lanes;
            if double {
                step++;
                multiply(&s, &r, step, left);
                left += 4u * lanes;
            }
        }
    }
    return s;
}

// out_channels divisible by 4.
@compute @workgroup_size(lanes)
fn main(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    let tile = tile_of(group);
    let s = product(tile, lane);
    let channel4 = tile.panel * lanes + lane;
    let b = bias[channel4];
    let to = target_of(channel4);
    store(tile.pixel + 0u, to, s[0] + b);
    store(tile.pixel + 1u, to, s[1] + b);
    store(tile.pixel + 2u, to, s[2] + b);
    store(tile.pixel + 3u, to, s[3] + b);
    store(tile.pixel + 4u, to, s[4] + b);
    store(tile.pixel + 5u, to, s[5] + b);
    store(tile.pixel + 6u, to, s[6] + b);
    store(tile.pixel + 7u, to, s[7] + b);
    store(tile.pixel + 8u, to, s[8] + b);
    store(tile.pixel + 9u, to, s[9] + b);
    store(tile.pixel + 10u, to, s[10] + b);
    store(tile.pixel + 11u, to, s[11] + b);
    store(tile.pixel + 12u, to, s[12] + b);
    store(tile.pixel + 13u, to, s[13] + b);
    store(tile.pixel + 14u, to, s[14] + b);
    store(tile.pixel + 15u, to, s[15] + b);
    if tall {
        store(tile.pixel + 16u, to, s[16] + b);
        store(tile.pixel + 17u, to, s[17] + b);
        store(tile.pixel + 18u, to, s[18] + b);
        store(tile.pixel + 19u, to, s[19] + b);
        store(tile.pixel + 20u, to, s[20] + b);
        store(tile.pixel + 21u, to, s[21] + b);
        store(tile.pixel + 22u, to, s[22] + b);
        store(tile.pixel + 23u, to, s[23] + b);
        store(tile.pixel + 24u, to, s[24] + b);
        store(tile.pixel + 25u, to, s[25] + b);
        store(tile.pixel + 26u, to, s[26] + b);
        store(tile.pixel + 27u, to, s[27] + b);
        store(tile.pixel + 28u, to, s[28] + b);
        store(tile.pixel + 29u, to, s[29] + b);
        store(tile.pixel + 30u, to, s[30] + b);
        store(tile.pixel + 31u, to, s[31] + b);
    }
}

// Any out_channels.
@compute @workgroup_size(lanes)
fn ragged(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    let tile = tile_of(group);
    let s = product(tile, lane);
    let channel4 = tile.panel * lanes + lane;
    let b = bias[channel4];
    store_scalars(tile.pixel + 0u, channel4, s[0] + b);
    store_scalars(tile.pixel + 1u, channel4, s[1] + b);
    store_scalars(tile.pixel + 2u, channel4, s[2] + b);
    store_scalars(tile.pixel + 3u, channel4, s[3] + b);
    store_scalars(tile.pixel + 4u, channel4, s[4] + b);
    store_scalars(tile.pixel + 5u, channel4, s[5] + b);
    store_scalars(tile.pixel + 6u, channel4, s[6] + b);
    store_scalars(tile.pixel + 7u, channel4, s[7] + b);
    store_scalars(tile.pixel + 8u, channel4, s[8] + b);
    store_scalars(tile.pixel + 9u, channel4, s[9] + b);
    store_scalars(tile.pixel + 10u, channel4, s[10] + b);
    store_scalars(tile.pixel + 11u, channel4, s[11] + b);
    store_scalars(tile.pixel + 12u, channel4, s[12] + b);
    store_scalars(tile.pixel + 13u, channel4, s[13] + b);
    store_scalars(tile.pixel + 14u, channel4, s[14] + b);
    store_scalars(tile.pixel + 15u, channel4, s[15] + b);
    if tall {
        store_scalars(tile.pixel + 16u, channel4, s[16] + b);
        store_scalars(tile.pixel + 17u, channel4, s[17] + b);
        store_scalars(tile.pixel + 18u, channel4, s[18] + b);
        store_scalars(tile.pixel + 19u, channel4, s[19] + b);
        store_scalars(tile.pixel + 20u, channel4, s[20] + b);
        store_scalars(tile.pixel + 21u, channel4, s[21] + b);
        store_scalars(tile.pixel + 22u, channel4, s[22] + b);
        store_scalars(tile.pixel + 23u, channel4, s[23] + b);
        store_scalars(tile.pixel + 24u, channel4, s[24] + b);
        store_scalars(tile.pixel + 25u, channel4, s[25] + b);
        store_scalars(tile.pixel + 26u, channel4, s[26] + b);
        store_scalars(tile.pixel + 27u, channel4, s[27] + b);
        store_scalars(tile.pixel + 28u, channel4, s[28] + b);
        store_scalars(tile.pixel + 29u, channel4, s[29] + b);
        store_scalars(tile.pixel + 30u, channel4, s[30] + b);
        store_scalars(tile.pixel + 31u, channel4, s[31] + b);
    }
}
