// matmul, texture family: C[b] = A[b] B[b] + bias, for software adapters with subgroups of eight lanes.
//
// Formula   C[b,m,n] = sum over k of A[b,m,k] B[b,k,n]  (+ bias[n])
// Layouts   a: linear texture (4096 texels a row), texel of (b,m,k/4) at a_base + b a_batch + m k4 + k/4; k padded to 4 with zeros.
//           b: linear texture, texel of (b, panel, k, v) at b_base + b b_batch + panel b_panel + k b_row + v, a panel being
//           64 columns (16 texels). b_row = 16 and b_panel = 16 K: packed panels. b_row = N/4 and b_panel = 16: row-major B.
//           c: row-major [batch, m, n], or a window of its rows.
// Dispatch  one subgroup (8 lanes) a workgroup: 16 rows x 64 columns, numbered (batch, panel, row block) with the row block
//           fastest, so that neighbours share the panel in the cache.
// How       a lane holds 16 rows x 2 vec4 of C in registers. A is loaded once by the lanes (lane = row) and broadcast by
//           subgroupShuffle with a constant lane. Per 4 k: 10 texel loads for 128 vector multiply-adds.
// Limits    no workgroup memory, no barriers. Rows past m and columns past n are computed and not stored.
// Twin      kernels::reference::matmul.

struct Params {
    m: u32,          // rows of the product
    n: u32,          // columns
    k4: u32,         // texels of a row of A
    row_first: u32,  // first row of this window
    row_end: u32,    // past its last row
    panels: u32,     // ceil(n / 64)
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
    let blocks = (p.row_end - p.row_first + 15u) / 16u;
    let block = group % blocks;
    let rest = group / blocks;
    return Tile(rest / p.panels, rest % p.panels, p.row_first + block * 16u);
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
    let upper = p.a_base + tile.batch * p.a_batch + (tile.row + lane) * p.k4;
    let lower = upper + 8u * p.k4;
    var left = p.b_base + tile.batch * p.b_batch + tile.panel * p.b_panel + lane;
    for (var k = 0u; k < p.k4; k++) {
        let u = load_a(upper + k);
        let v = load_a(lower + k);
        let w0 = load_b(left); let w1 = load_b(left + p.b_row);
        let w2 = load_b(left + 2u * p.b_row); let w3 = load_b(left + 3u * p.b_row);
        let z0 = load_b(left + 8u); let z1 = load_b(left + p.b_row + 8u);
        let z2 = load_b(left + 2u * p.b_row + 8u); let z3 = load_b(left + 3u * p.b_row + 8u);
        left += 4u * p.b_row;
        { let x = subgroupShuffle(u, 0u); l0 = row(l0, x, w0, w1, w2, w3); r0 = row(r0, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(u, 1u); l1 = row(l1, x, w0, w1, w2, w3); r1 = row(r1, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(u, 2u); l2 = row(l2, x, w0, w1, w2, w3); r2 = row(r2, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(u, 3u); l3 = row(l3, x, w0, w1, w2, w3); r3 = row(r3, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(u, 4u); l4 = row(l4, x, w0, w1, w2, w3); r4 = row(r4, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(u, 5u); l5 = row(l5, x, w0, w1, w2, w3); r5 = row(r5, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(u, 6u); l6 = row(l6, x, w0, w1, w2, w3); r6 = row(r6, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(u, 7u); l7 = row(l7, x, w0, w1, w2, w3); r7 = row(r7, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(v, 0u); l8 = row(l8, x, w0, w1, w2, w3); r8 = row(r8, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(v, 1u); l9 = row(l9, x, w0, w1, w2, w3); r9 = row(r9, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(v, 2u); la = row(la, x, w0, w1, w2, w3); ra = row(ra, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(v, 3u); lb = row(lb, x, w0, w1, w2, w3); rb = row(rb, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(v, 4u); lc = row(lc, x, w0, w1, w2, w3); rc = row(rc, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(v, 5u); ld = row(ld, x, w0, w1, w2, w3); rd = row(rd, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(v, 6u); le = row(le, x, w0, w1, w2, w3); re = row(re, x, z0, z1, z2, z3); }
        { let x = subgroupShuffle(v, 7u); lf = row(lf, x, w0, w1, w2, w3); rf = row(rf, x, z0, z1, z2, z3); }
    }
    return Product(
        array<vec4<f32>, 16>(l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, la, lb, lc, ld, le, lf),
        array<vec4<f32>, 16>(r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, ra, rb, rc, rd, re, rf),
    );
}

fn store(tile: Tile, i: u32, column4: u32, value: vec4<f32>) {
    let row = tile.row + i;
    if row < p.row_end && column4 * 4u < p.n {
        c[(p.c_base + (tile.batch * p.m + row - p.row_first) * p.n) / 4u + column4] = value;
    }
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
@compute @workgroup_size(8)
fn main(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let tile = tile_of(group);
    let q = product(tile, lane);
    let column4 = tile.panel * 16u + lane;
    let bl = bias_at(column4);
    let br = bias_at(column4 + 8u);
    store(tile, 0u, column4, q.l[0] + bl); store(tile, 0u, column4 + 8u, q.r[0] + br);
    store(tile, 1u, column4, q.l[1] + bl); store(tile, 1u, column4 + 8u, q.r[1] + br);
    store(tile, 2u, column4, q.l[2] + bl); store(tile, 2u, column4 + 8u, q.r[2] + br);
    store(tile, 3u, column4, q.l[3] + bl); store(tile, 3u, column4 + 8u, q.r[3] + br);
    store(tile, 4u, column4, q.l[4] + bl); store(tile, 4u, column4 + 8u, q.r[4] + br);
    store(tile, 5u, column4, q.l[5] + bl); store(tile, 5u, column4 + 8u, q.r[5] + br);
    store(tile, 6u, column4, q.l[6] + bl); store(tile, 6u, column4 + 8u, q.r[6] + br);
    store(tile, 7u, column4, q.l[7] + bl); store(tile, 7u, column4 + 8u, q.r[7] + br);
    store(tile, 8u, column4, q.l[8] + bl); store(tile, 8u, column4 + 8u, q.r[8] + br);
    store(tile, 9u, column4, q.l[9] + bl); store(tile, 9u, column4 + 8u, q.r[9] + br);
    store(tile, 10u, column4, q.l[10] + bl); store(tile, 10u, column4 + 8u, q.r[10] + br);
    store(tile, 11u, column4, q.l[11] + bl); store(tile, 11u, column4 + 8u, q.r[11] + br);
    store(tile, 12u, column4, q.l[12] + bl); store(tile, 12u, column4 + 8u, q.r[12] + br);
    store(tile, 13u, column4, q.l[13] + bl); store(tile, 13u, column4 + 8u, q.r[13] + br);
    store(tile, 14u, column4, q.l[14] + bl); store(tile, 14u, column4 + 8u, q.r[14] + br);
    store(tile, 15u, column4, q.l[15] + bl); store(tile, 15u, column4 + 8u, q.r[15] + br);
}

// Any n.
@compute @workgroup_size(8)
fn ragged(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let tile = tile_of(group);
    let q = product(tile, lane);
    let column4 = tile.panel * 16u + lane;
    let bl = bias_at(column4);
    let br = bias_at(column4 + 8u);
    store_scalars(tile, 0u, column4, q.l[0] + bl); store_scalars(tile, 0u, column4 + 8u, q.r[0] + br);
    store_scalars(tile, 1u, column4, q.l[1] + bl); store_scalars(tile, 1u, column4 + 8u, q.r[1] + br);
    store_scalars(tile, 2u, column4, q.l[2] + bl); store_scalars(tile, 2u, column4 + 8u, q.r[2] + br);
    store_scalars(tile, 3u, column4, q.l[3] + bl); store_scalars(tile, 3u, column4 + 8u, q.r[3] + br);
    store_scalars(tile, 4u, column4, q.l[4] + bl); store_scalars(tile, 4u, column4 + 8u, q.r[4] + br);
    store_scalars(tile, 5u, column4, q.l[5] + bl); store_scalars(tile, 5u, column4 + 8u, q.r[5] + br);
    store_scalars(tile, 6u, column4, q.l[6] + bl); store_scalars(tile, 6u, column4 + 8u, q.r[6] + br);
    store_scalars(tile, 7u, column4, q.l[7] + bl); store_scalars(tile, 7u, column4 + 8u, q.r[7] + br);
    store_scalars(tile, 8u, column4, q.l[8] + bl); store_scalars(tile, 8u, column4 + 8u, q.r[8] + br);
    store_scalars(tile, 9u, column4, q.l[9] + bl); store_scalars(tile, 9u, column4 + 8u, q.r[9] + br);
    store_scalars(tile, 10u, column4, q.l[10] + bl); store_scalars(tile, 10u, column4 + 8u, q.r[10] + br);
    store_scalars(tile, 11u, column4, q.l[11] + bl); store_scalars(tile, 11u, column4 + 8u, q.r[11] + br);
    store_scalars(tile, 12u, column4, q.l[12] + bl); store_scalars(tile, 12u, column4 + 8u, q.r[12] + br);
    store_scalars(tile, 13u, column4, q.l[13] + bl); store_scalars(tile, 13u, column4 + 8u, q.r[13] + br);
    store_scalars(tile, 14u, column4, q.l[14] + bl); store_scalars(tile, 14u, column4 + 8u, q.r[14] + br);
    store_scalars(tile, 15u, column4, q.l[15] + bl); store_scalars(tile, 15u, column4 + 8u, q.r[15] + br);
}
