// matmul, tiled family: C[b] (+)= A[b] B[b] (+ bias), for real GPUs.
//
// Formula   C[b,m,n] = sum over k of A[b,m,k] B[b,k,n]  (+ bias[n]) (+ C[b,m,n] when accumulating over bands of k)
// Layouts   row-major with strides, so that all four transpositions are one kernel:
//           A[b,m,k] at a_base + b a_batch + m a_row + k a_column, B[b,k,n] at b_base + b b_batch + k b_row + n b_column,
//           C[b,m,n] at c_base + b c_batch + m c_row + n. With the override `quads` all three are bound as vec4: where nothing is
//           transposed and k, n and every base and stride of theirs is divisible by 4, as in Winograd's products.
// Dispatch  `invocations` a workgroup with `rows` x 4 of C each: a tile of invocations / 16 rows = 32, 64 or 128 rows x 64
//           columns, numbered (batch, row tile, column tile), columns fastest.
// How       tiles of rows x 16 of A and 16 x 64 of B in workgroup memory, the next pair loaded into registers while this one is
//           multiplied; an invocation's rows are invocations / 16 apart and padded to 5 vec4, for the reasons that
//           conv2d.wgsl gives. Per 16 k the 64x64 tile moves 8 KiB for 131 kFLOP: 16 FLOP a byte, the cache's traffic (21 of
//           128x64, 11 of 32x64); from memory A comes once where the column tiles that run together share it. With `quads` a load or a store is one of 16 bytes
//           instead of four of 4 with a check each.
// Limits    256 invocations, 6.5, 9 or 14 KiB of workgroup memory: within WebGPU's defaults. About 80 registers.
// Twin      kernels::reference::matmul.

override quads: bool = false;
// 128 or 256, and the rows of C of each: 4 or 8.
override invocations: u32 = 128u;
override rows: u32 = 8u;

struct Params {
    m: u32,
    n: u32,
    k: u32,
    groups: u32,    // workgroups in all
    a_base: u32,
    a_batch: u32,
    a_row: u32,
    a_column: u32,
    b_base: u32,
    b_batch: u32,
    b_row: u32,
    b_column: u32,
    c_base: u32,
    c_batch: u32,
    c_row: u32,
    bias_base: u32, // first column's bias
    has_bias: u32,
    accumulate: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@group(0) @binding(5) var<storage, read> a_quad: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> b_quad: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> c_quad: array<vec4<f32>>;

// A by row, four k a vector, in rows of five; B by k, four columns a vector.
var<workgroup> tile_a: array<vec4<f32>, invocations / 16u * rows * 5u>;
var<workgroup> tile_b: array<vec4<f32>, 256>;

// Four k of a row of A.
fn load_a(batch: u32, m: u32, k: u32) -> vec4<f32> {
    let first = p.a_base + batch * p.a_batch + m * p.a_row + k * p.a_column;
    var value = vec4<f32>();
    if m >= p.m || k >= p.k { return value; }
    if quads { return a_quad[first / 4u]; }
    for (var i = 0u; i < 4u; i++) {
        if k + i < p.k { value[i] = a[first + i * p.a_column]; }
    }
    return value;
}

// Four columns of a row of B.
fn load_b(batch: u32, k: u32, n: u32) -> vec4<f32> {
    let first = p.b_base + batch * p.b_batch + k * p.b_row + n * p.b_column;
    var value = vec4<f32>();
    if k >= p.k || n >= p.n { return value; }
    if quads { return b_quad[first / 4u]; }
    for (var i = 0u; i < 4u; i++) {
        if n + i < p.n { value[i] = b[first + i * p.b_column]; }
    }
    return value;
}

// Left to right, so that each product and sum can be one instruction.
fn add_products(s: vec4<f32>, i: u32, b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>) -> vec4<f32> {
    let r = tile_a[i];
    return s + r.x * b0 + r.y * b1 + r.z * b2 + r.w * b3;
}

@compute @workgroup_size(invocations)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let column_tiles = (p.n + 63u) / 64u;
    let tile_rows = invocations / 16u * rows;
    let row_tiles = (p.m + tile_rows - 1u) / tile_rows;
    let column0 = group % column_tiles * 64u;
    let row0 = group / column_tiles % row_tiles * tile_rows;
    let batch = group / column_tiles / row_tiles;

    // Neighbouring invocations load along the contiguous side of each operand; each loads one or two vectors.
    var ma = vec2<u32>(t / 4u, t / 4u + invocations / 4u);
    var ka = vec2<u32>(t % 4u);
    if p.a_column != 1u {
        ma = vec2<u32>(t % tile_rows, (t + invocations) % tile_rows);
        ka = vec2<u32>(t / tile_rows, (t + invocations) / tile_rows);
    }
    var kb = vec2<u32>(t / 16u, t / 16u + 8u);
    var nb = vec2<u32>(t % 16u);
    if p.b_column != 1u {
        kb = vec2<u32>(t % 16u);
        nb = vec2<u32>(t / 16u, t / 16u + 8u);
    }

    let ty = t / 16u;
    let tx = t % 16u;
    let apart = invocations / 16u;
    let step_rows = apart * 5u;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    var s4 = vec4<f32>();
    var s5 = vec4<f32>();
    var s6 = vec4<f32>();
    var s7 = vec4<f32>();
    var next_a0 = load_a(batch, row0 + ma.x, ka.x * 4u);
    var next_b0 = load_b(batch, kb.x, column0 + nb.x * 4u);
    var next_a1 = vec4<f32>();
    var next_b1 = vec4<f32>();
    if rows > 4u { next_a1 = load_a(batch, row0 + ma.y, ka.y * 4u); }
    if invocations < 256u { next_b1 = load_b(batch, kb.y, column0 + nb.y * 4u); }
    for (var k0 = 16u; k0 < p.k + 16u; k0 += 16u) {
        workgroupBarrier();
        tile_a[ma.x * 5u + ka.x] = next_a0;
        tile_b[kb.x * 16u + nb.x] = next_b0;
        if rows > 4u { tile_a[ma.y * 5u + ka.y] = next_a1; }
        if invocations < 256u { tile_b[kb.y * 16u + nb.y] = next_b1; }
        workgroupBarrier();
        next_a0 = load_a(batch, row0 + ma.x, k0 + ka.x * 4u);
        next_b0 = load_b(batch, k0 + kb.x, column0 + nb.x * 4u);
        if rows > 4u { next_a1 = load_a(batch, row0 + ma.y, k0 + ka.y * 4u); }
        if invocations < 256u { next_b1 = load_b(batch, k0 + kb.y, column0 + nb.y * 4u); }
        for (var k4 = 0u; k4 < 4u; k4++) {
            let b0 = tile_b[k4 * 64u + tx];
            let b1 = tile_b[k4 * 64u + 16u + tx];
            let b2 = tile_b[k4 * 64u + 32u + tx];
            let b3 = tile_b[k4 * 64u + 48u + tx];
            let i = ty * 5u + k4;
            s0 = add_products(s0, i, b0, b1, b2, b3);
            s1 = add_products(s1, i + step_rows, b0, b1, b2, b3);
            s2 = add_products(s2, i + 2u * step_rows, b0, b1, b2, b3);
            s3 = add_products(s3, i + 3u * step_rows, b0, b1, b2, b3);
            if rows > 4u {
                s4 = add_products(s4, i + 4u * step_rows, b0, b1, b2, b3);
                s5 = add_products(s5, i + 5u * step_rows, b0, b1, b2, b3);
                s6 = add_products(s6, i + 6u * step_rows, b0, b1, b2, b3);
                s7 = add_products(s7, i + 7u * step_rows, b0, b1, b2, b3);
            }
        }
    }
    store(batch, row0 + ty, column0 + tx * 4u, s0);
    store(batch, row0 + ty + apart, column0 + tx * 4u, s1);
    store(batch, row0 + ty + 2u * apart, column0 + tx * 4u, s2);
    store(batch, row0 + ty + 3u * apart, column0 + tx * 4u, s3);
    if rows > 4u {
        store(batch, row0 + ty + 4u * apart, column0 + tx * 4u, s4);
        store(batch, row0 + ty + 5u * apart, column0 + tx * 4u, s5);
        store(batch, row0 + ty + 6u * apart, column0 + tx * 4u, s6);
        store(batch, row0 + ty + 7u * apart, column0 + tx * 4u, s7);
    }
}

fn store(batch: u32, row: u32, column: u32, sum: vec4<f32>) {
    if row >= p.m || column >= p.n { return; }
    let start = p.c_base + batch * p.c_batch + row * p.c_row + column;
    var value = sum;
    for (var i = 0u; i < 4u; i++) {
        if p.has_bias != 0u && column + i < p.n { value[i] += bias[p.bias_base + column + i]; }
    }
    if quads {
        if p.accumulate != 0u { value += c_quad[start / 4u]; }
        c_quad[start / 4u] = value;
        return;
    }
    for (var i = 0u; i < 4u; i++) {
        if column + i < p.n {
            if p.accumulate != 0u { value[i] += c[start + i]; }
            c[start + i] = value[i];
        }
    }
}
