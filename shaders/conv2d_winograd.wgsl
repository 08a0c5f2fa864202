// conv2d, Winograd F(4x4, 3x3), tiled family: for real GPUs.
//
// Formula   Y = A^T [ (G w G^T) (B^T d B) ] A for each 4x4 tile of outputs, d its 6x6 inputs; the products over channels are
//           36 matrix products (matmul, batch 36) between input_transform and output_transform.
//           36 / 16 = 2.25 multiplications an output instead of 9, where tiles aren't ragged.
// Layouts   x: NHWC; a vec2<u32> is two channels of f32, or with the override `f16_tensors` four of f16.
//           v: [36, tile_count, channels]. m: [36, tile_count, out_channels]. y, residual: NHWC, f32 or f16 as `f16_tensors` says.
//           Weights are transformed once, in f64, by the host. They, v and m are f32 with `f16_tensors` too: B^T d B and A^T m A add up
//           numbers many times the result, whose rounding to f16 would cost one of the three digits that f16 has (a test shows it).
// Dispatch  64 invocations a workgroup, one tile and two channels each, channels fastest: loads and stores lie side by side.
// How       two channels, for 36 pairs live at once are about 90 registers. 36 vec4 are 170, which some GPUs have to spill and which leave
//           the others too few subgroups to hide the loads.
// Limits    channels and out_channels divisible by 4, stride 1, dilation 1, one group. Bound by memory: 36 pairs written for 16 read,
//           and the reverse; bands of 16 MiB, that stay in the second cache where it is that large.
// In bounds those past the last tile leave first, so that v and m are 36 strides of what is bound; x and y are only touched inside of the
//           image.
// Paper     Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4; the points 0, 1, -1, 2, -2.
// Twin      kernels::reference::conv2d (with the larger bound that it states for Winograd).

override f16_tensors: bool = false;

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
    has_residual: u32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> m: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> bias: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read> residual: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read> residual_half: array<u32>;
@group(0) @binding(8) var<storage, read_write> y_half: array<u32>;
@group(0) @binding(9) var<storage, read_write> overflow: array<atomic<u32>>; // set where f16 is too small

// WGSL leaves open what becomes of numbers beyond f16: here they become infinite or NaN, and the flag is set, whatever later layers make of
// them. Bits are compared (with those of 65504), for compilers may take it that nothing is NaN.
fn to_half2(v: vec2<f32>) -> u32 {
    let held = (bitcast<vec2<u32>>(v) & vec2<u32>(0x7fffffffu)) <= vec2<u32>(0x477fe000u);
    if !all(held) { atomicStore(&overflow[0], 1u); }
    let lost = select(vec2<u32>(0x7c00u, 0x7c000000u), vec2<u32>(), held);
    return pack2x16float(clamp(v, vec2<f32>(-65504.0), vec2<f32>(65504.0))) | lost.x | lost.y;
}

// B^T of F(4,3): six inputs of a line to six points.
fn input_line(d0: vec2<f32>, d1: vec2<f32>, d2: vec2<f32>, d3: vec2<f32>, d4: vec2<f32>, d5: vec2<f32>) -> array<vec2<f32>, 6> {
    let a = d4 - 4.0 * d2;
    let b = d3 - 4.0 * d1;
    let c = d4 - d2;
    let d = 2.0 * (d3 - d1);
    return array<vec2<f32>, 6>(4.0 * d0 - 5.0 * d2 + d4, a + b, a - b, c + d, c - d, 4.0 * d1 - 5.0 * d3 + d5);
}

// A^T of F(4,3): six points of a line to four outputs.
fn output_line(m0: vec2<f32>, m1: vec2<f32>, m2: vec2<f32>, m3: vec2<f32>, m4: vec2<f32>, m5: vec2<f32>) -> array<vec2<f32>, 4> {
    let a = m1 + m2;
    let b = m1 - m2;
    let c = m3 + m4;
    let d = m3 - m4;
    return array<vec2<f32>, 4>(m0 + a + c, b + 2.0 * d, a + 4.0 * c, b + 8.0 * d + m5);
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

// Zero outside the image. There the first pair is loaded and dropped: a branch would make each load wait for the one before.
fn load_x(image: u32, row: u32, column: u32, c2: u32) -> vec2<f32> {
    let inside = row < p.height && column < p.width;
    let i = select(0u, ((image * p.height + row) * p.width + column) * 2u * p.channels4 + c2, inside);
    var value: vec2<f32>;
    if f16_tensors { value = unpack2x16float(x[i / 2u][i % 2u]); } else { value = bitcast<vec2<f32>>(x[i]); }
    return select(vec2<f32>(), value, inside);
}

fn load_m(i: u32) -> vec2<f32> {
    return m[i];
}

fn input_column(image: u32, row: u32, column: u32, c2: u32) -> array<vec2<f32>, 6> {
    return input_line(
        load_x(image, row, column, c2), load_x(image, row + 1u, column, c2), load_x(image, row + 2u, column, c2),
        load_x(image, row + 3u, column, c2), load_x(image, row + 4u, column, c2), load_x(image, row + 5u, column, c2));
}

// max(0, v); NaN stays NaN. Bits are compared, for compilers may take it that nothing is NaN: below zero is what has the sign and isn't
// beyond minus infinity.
fn rectified(v: vec2<f32>) -> vec2<f32> {
    return select(v, vec2<f32>(), bitcast<vec2<u32>>(v) - vec2<u32>(0x80000000u) <= vec2<u32>(0x7f800000u));
}

fn store(at: Place, i: u32, j: u32, c2: u32, value: vec2<f32>) {
    let row = at.row * 4u + i;
    let column = at.column * 4u + j;
    if row >= p.out_height || column >= p.out_width { return; }
    let index = ((at.image * p.out_height + row) * p.out_width + column) * 2u * p.out_channels4 + c2;
    var sum = value;
    if p.has_residual != 0u {
        if f16_tensors { sum += unpack2x16float(residual_half[index]); } else { sum += residual[index]; }
    }
    if p.relu != 0u { sum = rectified(sum); }
    if f16_tensors { y_half[index] = to_half2(sum); } else { y[index] = sum; }
}

@compute @workgroup_size(64)
fn input_transform(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    let pairs = 2u * p.channels4;
    let stride = p.tile_count * pairs;
    if i >= stride { return; }
    let c2 = i % pairs;
    let tile = i / pairs;
    let at = place(p.tile_first + tile);
    let row = at.row * 4u - p.pad_h;
    let column = at.column * 4u - p.pad_w;
    let e0 = input_column(at.image, row, column + 0u, c2);
    let e1 = input_column(at.image, row, column + 1u, c2);
    let e2 = input_column(at.image, row, column + 2u, c2);
    let e3 = input_column(at.image, row, column + 3u, c2);
    let e4 = input_column(at.image, row, column + 4u, c2);
    let e5 = input_column(at.image, row, column + 5u, c2);
    {
        let g = input_line(e0[0], e1[0], e2[0], e3[0], e4[0], e5[0]);
        v[i + 0u * stride] = g[0];
        v[i + 1u * stride] = g[1];
        v[i + 2u * stride] = g[2];
        v[i + 3u * stride] = g[3];
        v[i + 4u * stride] = g[4];
        v[i + 5u * stride] = g[5];
    }
    {
        let g = input_line(e0[1], e1[1], e2[1], e3[1], e4[1], e5[1]);
        v[i + 6u * stride] = g[0];
        v[i + 7u * stride] = g[1];
        v[i + 8u * stride] = g[2];
        v[i + 9u * stride] = g[3];
        v[i + 10u * stride] = g[4];
        v[i + 11u * stride] = g[5];
    }
    {
        let g = input_line(e0[2], e1[2], e2[2], e3[2], e4[2], e5[2]);
        v[i + 12u * stride] = g[0];
        v[i + 13u * stride] = g[1];
        v[i + 14u * stride] = g[2];
        v[i + 15u * stride] = g[3];
        v[i + 16u * stride] = g[4];
        v[i + 17u * stride] = g[5];
    }
    {
        let g = input_line(e0[3], e1[3], e2[3], e3[3], e4[3], e5[3]);
        v[i + 18u * stride] = g[0];
        v[i + 19u * stride] = g[1];
        v[i + 20u * stride] = g[2];
        v[i + 21u * stride] = g[3];
        v[i + 22u * stride] = g[4];
        v[i + 23u * stride] = g[5];
    }
    {
        let g = input_line(e0[4], e1[4], e2[4], e3[4], e4[4], e5[4]);
        v[i + 24u * stride] = g[0];
        v[i + 25u * stride] = g[1];
        v[i + 26u * stride] = g[2];
        v[i + 27u * stride] = g[3];
        v[i + 28u * stride] = g[4];
        v[i + 29u * stride] = g[5];
    }
    {
        let g = input_line(e0[5], e1[5], e2[5], e3[5], e4[5], e5[5]);
        v[i + 30u * stride] = g[0];
        v[i + 31u * stride] = g[1];
        v[i + 32u * stride] = g[2];
        v[i + 33u * stride] = g[3];
        v[i + 34u * stride] = g[4];
        v[i + 35u * stride] = g[5];
    }
}

@compute @workgroup_size(64)
fn output_transform(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    let pairs = 2u * p.out_channels4;
    let stride = p.tile_count * pairs;
    if i >= stride { return; }
    let c2 = i % pairs;
    let at = place(p.tile_first + i / pairs);
    let b = bias[c2];
    let e0 = output_line(load_m(i + 0u * stride), load_m(i + 6u * stride), load_m(i + 12u * stride), load_m(i + 18u * stride), load_m(i + 24u * stride), load_m(i + 30u * stride));
    let e1 = output_line(load_m(i + 1u * stride), load_m(i + 7u * stride), load_m(i + 13u * stride), load_m(i + 19u * stride), load_m(i + 25u * stride), load_m(i + 31u * stride));
    let e2 = output_line(load_m(i + 2u * stride), load_m(i + 8u * stride), load_m(i + 14u * stride), load_m(i + 20u * stride), load_m(i + 26u * stride), load_m(i + 32u * stride));
    let e3 = output_line(load_m(i + 3u * stride), load_m(i + 9u * stride), load_m(i + 15u * stride), load_m(i + 21u * stride), load_m(i + 27u * stride), load_m(i + 33u * stride));
    let e4 = output_line(load_m(i + 4u * stride), load_m(i + 10u * stride), load_m(i + 16u * stride), load_m(i + 22u * stride), load_m(i + 28u * stride), load_m(i + 34u * stride));
    let e5 = output_line(load_m(i + 5u * stride), load_m(i + 11u * stride), load_m(i + 17u * stride), load_m(i + 23u * stride), load_m(i + 29u * stride), load_m(i + 35u * stride));
    {
        let g = output_line(e0[0], e1[0], e2[0], e3[0], e4[0], e5[0]);
        store(at, 0u, 0u, c2, g[0] + b);
        store(at, 0u, 1u, c2, g[1] + b);
        store(at, 0u, 2u, c2, g[2] + b);
        store(at, 0u, 3u, c2, g[3] + b);
    }
    {
        let g = output_line(e0[1], e1[1], e2[1], e3[1], e4[1], e5[1]);
        store(at, 1u, 0u, c2, g[0] + b);
        store(at, 1u, 1u, c2, g[1] + b);
        store(at, 1u, 2u, c2, g[2] + b);
        store(at, 1u, 3u, c2, g[3] + b);
    }
    {
        let g = output_line(e0[2], e1[2], e2[2], e3[2], e4[2], e5[2]);
        store(at, 2u, 0u, c2, g[0] + b);
        store(at, 2u, 1u, c2, g[1] + b);
        store(at, 2u, 2u, c2, g[2] + b);
        store(at, 2u, 3u, c2, g[3] + b);
    }
    {
        let g = output_line(e0[3], e1[3], e2[3], e3[3], e4[3], e5[3]);
        store(at, 3u, 0u, c2, g[0] + b);
        store(at, 3u, 1u, c2, g[1] + b);
        store(at, 3u, 2u, c2, g[2] + b);
        store(at, 3u, 3u, c2, g[3] + b);
    }
}
