// matmul, texture family: C[b] = A[b] B[b] + bias, for software adapters with subgroups of 4, 8 or 16 lanes.
//
// Formula   C[b,m,n] = sum over k of A[b,m,k] B[b,k,n]  (+ bias[n])
// Layouts   a: linear texture (4096 texels a row), texel of (b,m,k/4) at a_base + b a_batch + m k4 + k/4; k padded to 4 with zeros.
//           b: linear texture, texel of (b, panel, k, lane) at b_base + b b_batch + panel b_panel + k b_row + lane, a panel being
//           4 lanes columns, a texel a lane. b_row = lanes and b_panel = lanes K: packed panels. b_row = N/4 and b_panel = lanes:
//           row-major B. c: row-major [batch, m, n], or a window of its rows.
// Dispatch  one subgroup a workgroup: 32 rows (16 unless tall) x 4 lanes columns, numbered (batch, row block, panel) with the panel
//           fastest, so that neighbours share rows of A in the cache and write what stands side by side.
// How       a lane holds 32 rows x 1 vec4 of C, in registers and where these don't suffice on the stack, which is cheaper than
//           texel loads: a load costs about 100 instructions for 16 lanes, whatever it feeds. A is loaded once by the lanes
//           (lane = row) and broadcast by subgroupShuffle with a constant lane. Per 4 k: 4 + 32 / lanes loads for 512 vector
//           multiply-adds, which the driver doesn't fuse.
// Limits    no workgroup memory, no barriers. Rows past m and columns past n are computed and not stored.
// Twin      kernels::reference::matmul.

struct Params {
    m: u32,          // rows of the product
    n: u32,          // columns
    k4: u32,         // texels of a row of A
    row_first: u32,  // first row of this window
    row_end: u32,    // past its last row
    panels: u32,     // ceil(n / (4 lanes))
    a_base: u32,
    a_batch: u32,
    b_base: u32,
    b_batch: u32,
    b_panel: u32,
    b_row: u32,
    c_base: u32,     // where row_first stands in the bound window, in elements
    has_bias: u32,
    groups: u32,     // workgroups in all
    pad: u32,
}

override lanes: u32 = 8u;    // of a subgroup
override tall: bool = true;  // 32 rows a tile instead of 16
override double: bool = false; // two texels of K a turn of the loop, k4 even: the driver blends every sum with the loop's mask once a turn

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var a: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var b: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> c_scalar: array<f32>;

const ROW_SHIFT = 12u;
const ROW_MASK = 4095u;

fn load_a(i: u32) -> vec4<f32> {
    return textureLoad(a, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT));
}

fn load_b(i: u32) -> vec4<f32> {
    return textureLoad(b, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT));
}

// One row of C for four k: c + x.x b0 + x.y b1 + x.z b2 + x.w b3.
fn row(c: vec4<f32>, x: vec4<f32>, b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>) -> vec4<f32> {
    return c + x.x * b0 + x.y * b1 + x.z * b2 + x.w * b3;
}

struct Tile {
    batch: u32,
    panel: u32,
    row: u32,
}

fn tile_of(group: u32) -> Tile {
    let rows = select(16u, 32u, tall);
    let blocks = (p.row_end - p.row_first + rows - 1u) / rows;
    let rest = group / p.panels;
    let block = rest % blocks;
    // Workgroups past the last have no rows: returning early would cost a load a lane for every parameter that is read afterwards.
    let row = select(p.row_end, p.row_first + block * rows, group < p.groups);
    return Tile(rest / blocks, group % p.panels, row);
}

// Adds four terms to every sum: texel `at` of each lane's rows of A, the texels of B from `left` on.
fn multiply(sums: ptr<function, array<vec4<f32>, 32>>, at: u32, left: u32) {
    let next = lanes * p.k4;
    var s = *sums;
    var x: array<vec4<f32>, 8>;
    x[0] = load_a(at);
    if lanes < 16u || tall { x[1] = load_a(at + next); }
    if lanes < 8u || (lanes < 16u && tall) { x[2] = load_a(at + 2u * next); x[3] = load_a(at + 3u * next); }
    if lanes < 8u && tall { x[4] = load_a(at + 4u * next); x[5] = load_a(at + 5u * next); x[6] = load_a(at + 6u * next); x[7] = load_a(at + 7u * next); }
    let w0 = load_b(left); let w1 = load_b(left + p.b_row);
    let w2 = load_b(left + 2u * p.b_row); let w3 = load_b(left + 3u * p.b_row);
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
    let first = p.a_base + tile.batch * p.a_batch + (tile.row + lane) * p.k4;
    var left = p.b_base + tile.batch * p.b_batch + tile.panel * p.b_panel + lane;
    let step = 4u * p.b_row;
    for (var k = 0u; k < p.k4; k++) {
        multiply(&s, first + k, left);
        left += step;
        if double {
            k++;
            multiply(&s, first + k, left);
            left += step;
        }
    }
    return s;
}

// What every store of a lane needs to know, read once.
struct Target {
    start: u32, // where the tile's first row stands in c
    n4: u32,
    rows: u32,  // of the tile that are stored
}

fn target_of(tile: Tile, column4: u32) -> Target {
    let n4 = p.n / 4u;
    let start = p.c_base / 4u + (tile.batch * p.m + tile.row - p.row_first) * n4 + column4;
    return Target(start, n4, select(0u, p.row_end - tile.row, column4 < n4));
}

fn store(i: u32, to: Target, value: vec4<f32>) {
    if i < to.rows { c[to.start + i * to.n4] = value; }
}

fn store_scalars(tile: Tile, i: u32, column4: u32, value: vec4<f32>) {
    let row = tile.row + i;
    let start = p.c_base + (tile.batch * p.m + row - p.row_first) * p.n + column4 * 4u;
    for (var j = 0u; j < 4u; j++) {
        if row < p.row_end && column4 * 4u + j < p.n { c_scalar[start + j] = value[j]; }
    }
}

fn bias_at(column4: u32) -> vec4<f32> {
    var value = vec4<f32>();
    if p.has_bias != 0u {
        for (var j = 0u; j < 4u; j++) {
            if column4 * 4u + j < p.n { value[j] = bias[column4 * 4u + j]; }
        }
    }
    return value;
}

// n divisible by 4.
@compute @workgroup_size(lanes)
fn main(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    let tile = tile_of(group);
    let s = product(tile, lane);
    let column4 = tile.panel * lanes + lane;
    let b = bias_at(column4);
    let to = target_of(tile, column4);
    store(0u, to, s[0] + b);
    store(1u, to, s[1] + b);
    store(2u, to, s[2] + b);
    store(3u, to, s[3] + b);
    store(4u, to, s[4] + b);
    store(5u, to, s[5] + b);
    store(6u, to, s[6] + b);
    store(7u, to, s[7] + b);
    store(8u, to, s[8] + b);
    store(9u, to, s[9] + b);
    store(10u, to, s[10] + b);
    store(11u, to, s[11] + b);
    store(12u, to, s[12] + b);
    store(13u, to, s[13] + b);
    store(14u, to, s[14] + b);
    store(15u, to, s[15] + b);
    if tall {
        store(16u, to, s[16] + b);
        store(17u, to, s[17] + b);
        store(18u, to, s[18] + b);
        store(19u, to, s[19] + b);
        store(20u, to, s[20] + b);
        store(21u, to, s[21] + b);
        store(22u, to, s[22] + b);
        store(23u, to, s[23] + b);
        store(24u, to, s[24] + b);
        store(25u, to, s[25] + b);
        store(26u, to, s[26] + b);
        store(27u, to, s[27] + b);
        store(28u, to, s[28] + b);
        store(29u, to, s[29] + b);
        store(30u, to, s[30] + b);
        store(31u, to, s[31] + b);
    }
}

// Any n.
@compute @workgroup_size(lanes)
fn ragged(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    let tile = tile_of(group);
    let s = product(tile, lane);
    let column4 = tile.panel * lanes + lane;
    let b = bias_at(column4);
    store_scalars(tile, 0u, column4, s[0] + b);
    store_scalars(tile, 1u, column4, s[1] + b);
    store_scalars(tile, 2u, column4, s[2] + b);
    store_scalars(tile, 3u, column4, s[3] + b);
    store_scalars(tile, 4u, column4, s[4] + b);
    store_scalars(tile, 5u, column4, s[5] + b);
    store_scalars(tile, 6u, column4, s[6] + b);
    store_scalars(tile, 7u, column4, s[7] + b);
    store_scalars(tile, 8u, column4, s[8] + b);
    store_scalars(tile, 9u, column4, s[9] + b);
    store_scalars(tile, 10u, column4, s[10] + b);
    store_scalars(tile, 11u, column4, s[11] + b);
    store_scalars(tile, 12u, column4, s[12] + b);
    store_scalars(tile, 13u, column4, s[13] + b);
    store_scalars(tile, 14u, column4, s[14] + b);
    store_scalars(tile, 15u, column4, s[15] + b);
    if tall {
        store_scalars(tile, 16u, column4, s[16] + b);
        store_scalars(tile, 17u, column4, s[17] + b);
        store_scalars(tile, 18u, column4, s[18] + b);
        store_scalars(tile, 19u, column4, s[19] + b);
        store_scalars(tile, 20u, column4, s[20] + b);
        store_scalars(tile, 21u, column4, s[21] + b);
        store_scalars(tile, 22u, column4, s[22] + b);
        store_scalars(tile, 23u, column4, s[23] + b);
        store_scalars(tile, 24u, column4, s[24] + b);
        store_scalars(tile, 25u, column4, s[25] + b);
        store_scalars(tile, 26u, column4, s[26] + b);
        store_scalars(tile, 27u, column4, s[27] + b);
        store_scalars(tile, 28u, column4, s[28] + b);
        store_scalars(tile, 29u, column4, s[29] + b);
        store_scalars(tile, 30u, column4, s[30] + b);
        store_scalars(tile, 31u, column4, s[31] + b);
    }
}
