// conv2d, Winograd F(4x4, 3x3), texture family: for software adapters.
//
// Formula   Y = A^T [ (G w G^T) (B^T d B) ] A for each 4x4 tile of outputs, d its 6x6 inputs; the products over channels are
//           36 matrix products (matmul, batch 36) between input_transform and output_transform.
//           36 / 16 = 2.25 multiplications an output instead of 9, where tiles aren't ragged.
// Layouts   x: NHWC, in a linear texture whose texel at `zero` is zero. v: [36, tile_count, channels]. m: [36, tile_count, out_channels], in a linear texture. y, residual: NHWC.
//           Weights are transformed once, in f64, by the host.
// Dispatch  64 invocations a workgroup, one tile and four channels each, channels fastest. Those past the last compute and don't store:
//           after an early return a software driver reads every parameter once a lane.
// Limits    channels and out_channels divisible by 4, stride 1, dilation 1, one group.
// Paper     Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4; the points 0, 1, -1, 2, -2.
// Twin      kernels::reference::conv2d (with the larger bound that it states for Winograd).

struct Params {
    height: u32,
    width: u32,
    channels4: u32,
    out_height: u32,
    out_width: u32,
    out_channels4: u32,
    pad_h: u32,
    pad_w: u32,
    tiles_h: u32,    // tiles of 4x4 outputs a column of an image
    tiles_w: u32,    // and a row
    tile_first: u32, // of this band, counted over the batch
    tile_count: u32, // tiles of the band
    zero: u32,       // index of the zero texel of x (texture family)
    relu: u32,
    has_residual: u32, // the tiled family's; here a constant
    pad: u32,
}

// A constant, not a parameter: a software driver runs both sides of a branch.
override has_residual: bool = true;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(3) var m: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(5) var residual: texture_storage_2d<rgba32float, read>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

const ROW_SHIFT = 12u;
const ROW_MASK = 4095u;

// B^T of F(4,3): six inputs of a line to six points.
fn input_line(d0: vec4<f32>, d1: vec4<f32>, d2: vec4<f32>, d3: vec4<f32>, d4: vec4<f32>, d5: vec4<f32>) -> array<vec4<f32>, 6> {
    let a = d4 - 4.0 * d2;
    let b = d3 - 4.0 * d1;
    let c = d4 - d2;
    let d = 2.0 * (d3 - d1);
    return array<vec4<f32>, 6>(4.0 * d0 - 5.0 * d2 + d4, a + b, a - b, c + d, c - d, 4.0 * d1 - 5.0 * d3 + d5);
}

// A^T of F(4,3): six points of a line to four outputs.
fn output_line(m0: vec4<f32>, m1: vec4<f32>, m2: vec4<f32>, m3: vec4<f32>, m4: vec4<f32>, m5: vec4<f32>) -> array<vec4<f32>, 4> {
    let a = m1 + m2;
    let b = m1 - m2;
    let c = m3 + m4;
    let d = m3 - m4;
    return array<vec4<f32>, 4>(m0 + a + c, b + 2.0 * d, a + 4.0 * c, b + 8.0 * d + m5);
}

struct Place {
    image: u32, // number in the batch
    row: u32,   // of the tile
    column: u32,
}

fn place(tile: u32) -> Place {
    let area = p.tiles_h * p.tiles_w;
    return Place(tile / area, tile % area / p.tiles_w, tile % p.tiles_w);
}

fn load_x(image: u32, row: u32, column: u32, c4: u32) -> vec4<f32> {
    let inside = row < p.height && column < p.width;
    let i = select(p.zero, ((image * p.height + row) * p.width + column) * p.channels4 + c4, inside);
    return textureLoad(x, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT));
}

fn load_m(i: u32) -> vec4<f32> {
    return textureLoad(m, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT));
}

fn input_column(image: u32, row: u32, column: u32, c4: u32) -> array<vec4<f32>, 6> {
    return input_line(
        load_x(image, row, column, c4), load_x(image, row + 1u, column, c4), load_x(image, row + 2u, column, c4),
        load_x(image, row + 3u, column, c4), load_x(image, row + 4u, column, c4), load_x(image, row + 5u, column, c4));
}

// What every store of a lane needs to know, read once.
struct Target {
    row: u32,      // of the tile's first output
    column: u32,
    height: u32,   // of the output; 0 past the last tile
    width: u32,
    index: u32,    // of the tile's first output
    step: u32,     // to the next column
    stride: u32,   // to the next row
    relu: bool,
}

fn target_of(at: Place, c4: u32, inside: bool) -> Target {
    let row = at.row * 4u;
    let column = at.column * 4u;
    let index = ((at.image * p.out_height + row) * p.out_width + column) * p.out_channels4 + c4;
    return Target(
        row, column, select(0u, p.out_height, inside), p.out_width, index, p.out_channels4, p.out_width * p.out_channels4,
        p.relu != 0u);
}

// max(0, v); NaN stays NaN. Bits are compared, for compilers may take it that nothing is NaN: below zero is what has the sign and isn't
// beyond minus infinity.
fn rectified(v: vec4<f32>) -> vec4<f32> {
    return select(v, vec4<f32>(), bitcast<vec4<u32>>(v) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u));
}

fn store(to: Target, i: u32, j: u32, value: vec4<f32>) {
    let index = to.index + i * to.stride + j * to.step;
    var sum = value;
    if has_residual { sum += textureLoad(residual, vec2<u32>(index & ROW_MASK, index >> ROW_SHIFT)); }
    sum = select(sum, rectified(sum), to.relu);
    if to.row + i < to.height && to.column + j < to.width { y[index] = sum; }
}

fn put(i: u32, value: vec4<f32>, inside: bool) {
    if inside { v[i] = value; }
}

@compute @workgroup_size(64)
fn input_transform(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    let c4 = i % p.channels4;
    let tile = i / p.channels4;
    let at = place(p.tile_first + tile);
    let row = at.row * 4u - p.pad_h;
    let column = at.column * 4u - p.pad_w;
    let e0 = input_column(at.image, row, column + 0u, c4);
    let e1 = input_column(at.image, row, column + 1u, c4);
    let e2 = input_column(at.image, row, column + 2u, c4);
    let e3 = input_column(at.image, row, column + 3u, c4);
    let e4 = input_column(at.image, row, column + 4u, c4);
    let e5 = input_column(at.image, row, column + 5u, c4);
    let stride = p.tile_count * p.channels4;
    let inside = i < stride;
    {
        let g = input_line(e0[0], e1[0], e2[0], e3[0], e4[0], e5[0]);
        put(i + 0u * stride, g[0], inside);
        put(i + 1u * stride, g[1], inside);
        put(i + 2u * stride, g[2], inside);
        put(i + 3u * stride, g[3], inside);
        put(i + 4u * stride, g[4], inside);
        put(i + 5u * stride, g[5], inside);
    }
    {
        let g = input_line(e0[1], e1[1], e2[1], e3[1], e4[1], e5[1]);
        put(i + 6u * stride, g[0], inside);
        put(i + 7u * stride, g[1], inside);
        put(i + 8u * stride, g[2], inside);
        put(i + 9u * stride, g[3], inside);
        put(i + 10u * stride, g[4], inside);
        put(i + 11u * stride, g[5], inside);
    }
    {
        let g = input_line(e0[2], e1[2], e2[2], e3[2], e4[2], e5[2]);
        put(i + 12u * stride, g[0], inside);
        put(i + 13u * stride, g[1], inside);
        put(i + 14u * stride, g[2], inside);
        put(i + 15u * stride, g[3], inside);
        put(i + 16u * stride, g[4], inside);
        put(i + 17u * stride, g[5], inside);
    }
    {
        let g = input_line(e0[3], e1[3], e2[3], e3[3], e4[3], e5[3]);
        put(i + 18u * stride, g[0], inside);
        put(i + 19u * stride, g[1], inside);
        put(i + 20u * stride, g[2], inside);
        put(i + 21u * stride, g[3], inside);
        put(i + 22u * stride, g[4], inside);
        put(i + 23u * stride, g[5], inside);
    }
    {
        let g = input_line(e0[4], e1[4], e2[4], e3[4], e4[4], e5[4]);
        put(i + 24u * stride, g[0], inside);
        put(i + 25u * stride, g[1], inside);
        put(i + 26u * stride, g[2], inside);
        put(i + 27u * stride, g[3], inside);
        put(i + 28u * stride, g[4], inside);
        put(i + 29u * stride, g[5], inside);
    }
    {
        let g = input_line(e0[5], e1[5], e2[5], e3[5], e4[5], e5[5]);
        put(i + 30u * stride, g[0], inside);
        put(i + 31u * stride, g[1], inside);
        put(i + 32u * stride, g[2], inside);
        put(i + 33u * stride, g[3], inside);
        put(i + 34u * stride, g[4], inside);
        put(i + 35u * stride, g[5], inside);
    }
}

@compute @workgroup_size(64)
fn output_transform(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    let c4 = i % p.out_channels4;
    let at = place(p.tile_first + i / p.out_channels4);
    let stride = p.tile_count * p.out_channels4;
    let to = target_of(at, c4, i < stride);
    let b = bias[c4];
    let e0 = output_line(load_m(i + 0u * stride), load_m(i + 6u * stride), load_m(i + 12u * stride), load_m(i + 18u * stride), load_m(i + 24u * stride), load_m(i + 30u * stride));
    let e1 = output_line(load_m(i + 1u * stride), load_m(i + 7u * stride), load_m(i + 13u * stride), load_m(i + 19u * stride), load_m(i + 25u * stride), load_m(i + 31u * stride));
    let e2 = output_line(load_m(i + 2u * stride), load_m(i + 8u * stride), load_m(i + 14u * stride), load_m(i + 20u * stride), load_m(i + 26u * stride), load_m(i + 32u * stride));
    let e3 = output_line(load_m(i + 3u * stride), load_m(i + 9u * stride), load_m(i + 15u * stride), load_m(i + 21u * stride), load_m(i + 27u * stride), load_m(i + 33u * stride));
    let e4 = output_line(load_m(i + 4u * stride), load_m(i + 10u * stride), load_m(i + 16u * stride), load_m(i + 22u * stride), load_m(i + 28u * stride), load_m(i + 34u * stride));
    let e5 = output_line(load_m(i + 5u * stride), load_m(i + 11u * stride), load_m(i + 17u * stride), load_m(i + 23u * stride), load_m(i + 29u * stride), load_m(i + 35u * stride));
    {
        let g = output_line(e0[0], e1[0], e2[0], e3[0], e4[0], e5[0]);
        store(to, 0u, 0u, g[0] + b);
        store(to, 0u, 1u, g[1] + b);
        store(to, 0u, 2u, g[2] + b);
        store(to, 0u, 3u, g[3] + b);
    }
    {
        let g = output_line(e0[1], e1[1], e2[1], e3[1], e4[1], e5[1]);
        store(to, 1u, 0u, g[0] + b);
        store(to, 1u, 1u, g[1] + b);
        store(to, 1u, 2u, g[2] + b);
        store(to, 1u, 3u, g[3] + b);
    }
    {
        let g = output_line(e0[2], e1[2], e2[2], e3[2], e4[2], e5[2]);
        store(to, 2u, 0u, g[0] + b);
        store(to, 2u, 1u, g[1] + b);
        store(to, 2u, 2u, g[2] + b);
        store(to, 2u, 3u, g[3] + b);
    }
    {
        let g = output_line(e0[3], e1[3], e2[3], e3[3], e4[3], e5[3]);
        store(to, 3u, 0u, g[0] + b);
        store(to, 3u, 1u, g[1] + b);
        store(to, 3u, 2u, g[2] + b);
        store(to, 3u, 3u, g[3] + b);
    }
}
