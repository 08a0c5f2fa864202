// conv2d, texture family: y = relu(conv(x, w) + bias + residual), for software adapters with subgroups of 4, 8 or 16 lanes.
//
// Formula   y[n,i,j,o] = sum over kh, kw, c of x[n, i sh + kh dh - ph, j sw + kw dw - pw, c] w[o,c,kh,kw]  + bias[o] (+ residual[n,i,j,o])
// Layouts   x: linear texture (4096 texels a row) of NHWC, channels4 texels a pixel; the texel at x_base is zero and stands
//           for every padded pixel. w: linear texture of packed panels, texel of (panel, tap, c, lane) at
//           ((panel taps + tap) 4 span4 + c) lanes + lane: 4 lanes output channels a panel, c counted from the first channel
//           of the panel's first group (rounded down to a texel, and so that span4 texels stay inside the pixel),
//           channels of other groups zero.
//           Where rows are read: x: rows of `width` texels of numbers, the channels of pixel after pixel. w: panels of each
//           phase, `tap` a row of the kernel and c a number of the span4 texels that it touches, zero outside of it.
//           bias: padded to whole panels. residual: linear texture as y. y: NHWC, pixels from y_base on.
// Dispatch  one subgroup a workgroup: 32 pixels (16 unless tall) x 4 lanes channels, numbered with the panels fastest (with
//           phases outermost, where rows are read): neighbours write, and read of the residual, what stands side by side.
//           What workgroups past the last compute has no pixels and isn't stored.
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
    y_base: u32,      // tiled family: element of y and residual at which pixel_first stands; texture family: pixel that y begins with
    relu: u32,
    has_residual: u32,
    groups: u32,      // workgroups in all
    phases: u32,        // of columns, where rows are read
    phase_columns: u32, // columns of a phase
    parts: u32,         // of k (tiled family)
}

override lanes: u32 = 8u;    // of a subgroup
override tall: bool = true;  // 32 pixels a tile instead of 16
// Constants, not parameters: a software driver runs both sides of a branch.
override has_residual: bool = true;
override pointwise: bool = false; // one tap and no padding
override rows: bool = false;      // up to four channels: a row of the image is read as a row of numbers
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

// An output pixel, and where it reads from: its image's first row and the top left corner of its window (wrapping below zero).
// Where rows are read, `column` is the texel of the row in which the window begins.
struct Corner {
    pixel: u32,
    image: u32,
    row: u32,
    column: u32,
}

fn corner(pixel: u32, phase: u32) -> Corner {
    let width = select(p.out_width, p.phase_columns, rows);
    let area = p.out_height * width;
    let n = pixel / area;
    let i = pixel % area / width;
    let j = pixel % width;
    if rows {
        let column = j * p.phases + phase;
        let inside = pixel < p.pixel_end && column < p.out_width;
        let number = i32((column * p.stride_w - p.pad_w) * p.group_in);
        let out = select(0xffffffffu, (n * p.out_height + i) * p.out_width + column, inside);
        return Corner(out, n * p.height, i * p.stride_h - p.pad_h, u32(number >> 2u));
    }
    return Corner(pixel, n * p.height, i * p.stride_h - p.pad_h, j * p.stride_w - p.pad_w);
}

// Texels that stand one behind the other: the channels of a tap or, where rows are read, the taps of a row. The first of them,
// which bits of a count to add to it, and the image's column of the first.
struct Run {
    first: u32,
    mask: u32,
    column: u32,
}

// What is read in loops of the parameters, where each would cost a load a lane.
struct Image {
    height: u32,
    width: u32,
    channels4: u32,
    zero: u32,  // texel
    first: u32, // texel of a pixel that the panel reads first
}

// On the padding a run is the zero texel again and again.
fn run(at: Corner, image: Image, down: u32, right: u32) -> Run {
    let r = at.row + down;
    let c = at.column + right;
    let i = ((at.image + r) * image.width + c) * image.channels4 + image.first;
    if pointwise { return Run(i, 0xffffffffu, c); }
    let inside = r < image.height && (rows || c < image.width);
    return Run(select(image.zero, i, inside), select(0u, 0xffffffffu, inside), c);
}

fn load(at: Run, image: Image, step: u32) -> vec4<f32> {
    if rows { return load_x(select(image.zero, at.first + (step & at.mask), at.column + step < image.width)); }
    return load_x(at.first + (step & at.mask));
}

// Past the last pixel that is stored: where rows are read, pixel_end is another count and those to leave out have no number.
fn end_of_pixels() -> u32 {
    return select(p.pixel_end, 0xffffffffu, rows);
}

// What every store of a lane needs to know, read once: parameters that are read where lanes may be off cost a load a lane.
struct Target {
    channel4: u32,
    channels4: u32,
    first: u32, // pixel that y begins with
    end: u32,   // past the last pixel; 0 where there is no such channel
    relu: bool,
}

fn target_of(channel4: u32) -> Target {
    let channels4 = p.out_channels / 4u;
    return Target(channel4, channels4, p.y_base, select(0u, end_of_pixels(), channel4 < channels4), p.relu != 0u);
}

// max(0, v); NaN stays NaN. Bits are compared, for compilers may take it that nothing is NaN: below zero is what has the sign and isn't
// beyond minus infinity.
fn rectified(v: vec4<f32>) -> vec4<f32> {
    return select(v, vec4<f32>(), bitcast<vec4<u32>>(v) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u));
}

fn store(pixel: u32, to: Target, value: vec4<f32>) {
    let i = pixel * to.channels4 + to.channel4;
    var v = value;
    if has_residual { v += textureLoad(residual, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT)); }
    v = select(v, rectified(v), to.relu);
    if pixel < to.end { y[i - to.first * to.channels4] = v; }
}

fn store_scalars(pixel: u32, channel4: u32, value: vec4<f32>) {
    let start = (pixel - p.y_base) * p.out_channels + channel4 * 4u;
    let end = end_of_pixels();
    for (var i = 0u; i < 4u; i++) {
        if pixel < end && channel4 * 4u + i < p.out_channels {
            var v = value[i];
            if has_residual { v += residual_scalar[start + i]; }
            if p.relu != 0u { v = rectified(vec4<f32>(v)).x; }
            y_scalar[start + i] = v;
        }
    }
}

struct Tile {
    pixel: u32, // the first; where rows are read, counted over the columns of the phase
    panel: u32,
    phase: u32,
}

fn panels() -> u32 {
    return (p.out_channels + 4u * lanes - 1u) / (4u * lanes);
}

fn tile_of(group: u32) -> Tile {
    let pixels = select(16u, 32u, tall);
    let block = group / panels();
    let blocks = (p.pixel_end - p.pixel_first + pixels - 1u) / pixels;
    let phase = select(0u, block / blocks, rows);
    // Blocks past the last phase have no pixels.
    let pixel = select(p.pixel_end, p.pixel_first + (block - phase * blocks) * pixels, phase < p.phases);
    return Tile(pixel, group % panels(), phase);
}

fn corners(tile: Tile, lane: u32) -> array<Corner, 8> {
    var at: array<Corner, 8>;
    at[0] = corner(tile.pixel + lane, tile.phase);
    if lanes < 16u || tall { at[1] = corner(tile.pixel + lanes + lane, tile.phase); }
    if lanes < 8u || (lanes < 16u && tall) {
        at[2] = corner(tile.pixel + 2u * lanes + lane, tile.phase); at[3] = corner(tile.pixel + 3u * lanes + lane, tile.phase);
    }
    if lanes < 8u && tall {
        at[4] = corner(tile.pixel + 4u * lanes + lane, tile.phase); at[5] = corner(tile.pixel + 5u * lanes + lane, tile.phase);
        at[6] = corner(tile.pixel + 6u * lanes + lane, tile.phase); at[7] = corner(tile.pixel + 7u * lanes + lane, tile.phase);
    }
    return at;
}

// The output pixel of the tile's i-th row.
fn pixel_of(at: array<Corner, 8>, tile: Tile, i: u32) -> u32 {
    var corners = at;
    if rows { return subgroupShuffle(corners[i / lanes].pixel, i % lanes); }
    return tile.pixel + i;
}

// Adds four terms to every sum: texel `step` of each lane's runs, the texels of w from `left` on.
fn multiply(sums: ptr<function, array<vec4<f32>, 32>>, runs: ptr<function, array<Run, 8>>, image: Image, step: u32, left: u32) {
    var s = *sums;
    let r = *runs;
    var x: array<vec4<f32>, 8>;
    x[0] = load(r[0], image, step);
    if lanes < 16u || tall { x[1] = load(r[1], image, step); }
    if lanes < 8u || (lanes < 16u && tall) { x[2] = load(r[2], image, step); x[3] = load(r[3], image, step); }
    if lanes < 8u && tall { x[4] = load(r[4], image, step); x[5] = load(r[5], image, step); x[6] = load(r[6], image, step); x[7] = load(r[7], image, step); }
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

fn product(tile: Tile, at: array<Corner, 8>, lane: u32) -> array<vec4<f32>, 32> {
    var s: array<vec4<f32>, 32>;
    var r: array<Run, 8>;
    let first = min(tile.panel * 4u * lanes / p.group_out * p.group_in / 4u, p.channels4 - p.span4);
    let image = Image(p.height, p.width, p.channels4, p.x_base, first);
    let steps = p.span4;
    let dilation_h = p.dilation_h;
    let dilation_w = p.dilation_w;
    let columns = select(p.kernel_w, 1u, rows);
    var row = 0u;
    var column = 0u;
    // Where rows are read, a run is a row of the kernel, and each phase has weights of its own.
    let runs = select(p.kernel_h * p.kernel_w, p.kernel_h, rows);
    var left = (tile.phase * panels() + tile.panel) * runs * steps * 4u * lanes + lane;
    for (var i = 0u; i < runs; i++) {
        let down = row * dilation_h;
        let right = column * dilation_w;
        r[0] = run(at[0], image, down, right);
        if lanes < 16u || tall { r[1] = run(at[1], image, down, right); }
        if lanes < 8u || (lanes < 16u && tall) { r[2] = run(at[2], image, down, right); r[3] = run(at[3], image, down, right); }
        if lanes < 8u && tall {
            r[4] = run(at[4], image, down, right); r[5] = run(at[5], image, down, right);
            r[6] = run(at[6], image, down, right); r[7] = run(at[7], image, down, right);
        }
        for (var step = 0u; step < steps; step++) {
            multiply(&s, &r, image, step, left);
            left += 4u * lanes;
            if double {
                step++;
                multiply(&s, &r, image, step, left);
                left += 4u * lanes;
            }
        }
        column++;
        let next = column == columns;
        column = select(column, 0u, next);
        row += select(0u, 1u, next);
    }
    return s;
}

// out_channels divisible by 4.
@compute @workgroup_size(lanes)
fn main(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    let tile = tile_of(group);
    let at = corners(tile, lane);
    let s = product(tile, at, lane);
    let channel4 = tile.panel * lanes + lane;
    let b = bias[channel4];
    let to = target_of(channel4);
    store(pixel_of(at, tile, 0u), to, s[0] + b);
    store(pixel_of(at, tile, 1u), to, s[1] + b);
    store(pixel_of(at, tile, 2u), to, s[2] + b);
    store(pixel_of(at, tile, 3u), to, s[3] + b);
    store(pixel_of(at, tile, 4u), to, s[4] + b);
    store(pixel_of(at, tile, 5u), to, s[5] + b);
    store(pixel_of(at, tile, 6u), to, s[6] + b);
    store(pixel_of(at, tile, 7u), to, s[7] + b);
    store(pixel_of(at, tile, 8u), to, s[8] + b);
    store(pixel_of(at, tile, 9u), to, s[9] + b);
    store(pixel_of(at, tile, 10u), to, s[10] + b);
    store(pixel_of(at, tile, 11u), to, s[11] + b);
    store(pixel_of(at, tile, 12u), to, s[12] + b);
    store(pixel_of(at, tile, 13u), to, s[13] + b);
    store(pixel_of(at, tile, 14u), to, s[14] + b);
    store(pixel_of(at, tile, 15u), to, s[15] + b);
    if tall {
        store(pixel_of(at, tile, 16u), to, s[16] + b);
        store(pixel_of(at, tile, 17u), to, s[17] + b);
        store(pixel_of(at, tile, 18u), to, s[18] + b);
        store(pixel_of(at, tile, 19u), to, s[19] + b);
        store(pixel_of(at, tile, 20u), to, s[20] + b);
        store(pixel_of(at, tile, 21u), to, s[21] + b);
        store(pixel_of(at, tile, 22u), to, s[22] + b);
        store(pixel_of(at, tile, 23u), to, s[23] + b);
        store(pixel_of(at, tile, 24u), to, s[24] + b);
        store(pixel_of(at, tile, 25u), to, s[25] + b);
        store(pixel_of(at, tile, 26u), to, s[26] + b);
        store(pixel_of(at, tile, 27u), to, s[27] + b);
        store(pixel_of(at, tile, 28u), to, s[28] + b);
        store(pixel_of(at, tile, 29u), to, s[29] + b);
        store(pixel_of(at, tile, 30u), to, s[30] + b);
        store(pixel_of(at, tile, 31u), to, s[31] + b);
    }
}

// Any out_channels.
@compute @workgroup_size(lanes)
fn ragged(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    let tile = tile_of(group);
    let at = corners(tile, lane);
    let s = product(tile, at, lane);
    let channel4 = tile.panel * lanes + lane;
    let b = bias[channel4];
    store_scalars(pixel_of(at, tile, 0u), channel4, s[0] + b);
    store_scalars(pixel_of(at, tile, 1u), channel4, s[1] + b);
    store_scalars(pixel_of(at, tile, 2u), channel4, s[2] + b);
    store_scalars(pixel_of(at, tile, 3u), channel4, s[3] + b);
    store_scalars(pixel_of(at, tile, 4u), channel4, s[4] + b);
    store_scalars(pixel_of(at, tile, 5u), channel4, s[5] + b);
    store_scalars(pixel_of(at, tile, 6u), channel4, s[6] + b);
    store_scalars(pixel_of(at, tile, 7u), channel4, s[7] + b);
    store_scalars(pixel_of(at, tile, 8u), channel4, s[8] + b);
    store_scalars(pixel_of(at, tile, 9u), channel4, s[9] + b);
    store_scalars(pixel_of(at, tile, 10u), channel4, s[10] + b);
    store_scalars(pixel_of(at, tile, 11u), channel4, s[11] + b);
    store_scalars(pixel_of(at, tile, 12u), channel4, s[12] + b);
    store_scalars(pixel_of(at, tile, 13u), channel4, s[13] + b);
    store_scalars(pixel_of(at, tile, 14u), channel4, s[14] + b);
    store_scalars(pixel_of(at, tile, 15u), channel4, s[15] + b);
    if tall {
        store_scalars(pixel_of(at, tile, 16u), channel4, s[16] + b);
        store_scalars(pixel_of(at, tile, 17u), channel4, s[17] + b);
        store_scalars(pixel_of(at, tile, 18u), channel4, s[18] + b);
        store_scalars(pixel_of(at, tile, 19u), channel4, s[19] + b);
        store_scalars(pixel_of(at, tile, 20u), channel4, s[20] + b);
        store_scalars(pixel_of(at, tile, 21u), channel4, s[21] + b);
        store_scalars(pixel_of(at, tile, 22u), channel4, s[22] + b);
        store_scalars(pixel_of(at, tile, 23u), channel4, s[23] + b);
        store_scalars(pixel_of(at, tile, 24u), channel4, s[24] + b);
        store_scalars(pixel_of(at, tile, 25u), channel4, s[25] + b);
        store_scalars(pixel_of(at, tile, 26u), channel4, s[26] + b);
        store_scalars(pixel_of(at, tile, 27u), channel4, s[27] + b);
        store_scalars(pixel_of(at, tile, 28u), channel4, s[28] + b);
        store_scalars(pixel_of(at, tile, 29u), channel4, s[29] + b);
        store_scalars(pixel_of(at, tile, 30u), channel4, s[30] + b);
        store_scalars(pixel_of(at, tile, 31u), channel4, s[31] + b);
    }
}
