// matmul, tiled family: C[b] (+)= A[b] B[b] (+ bias), for real GPUs.
//
// Formula   C[b,m,n] = sum over k of A[b,m,k] B[b,k,n]  (+ bias[n]) (+ C[b,m,n] when accumulating over bands of k)
// Layouts   row-major with strides, so that all four transpositions are one kernel:
//           A[b,m,k] at a_base + b a_batch + m a_row + k a_column, B[b,k,n] at b_base + b b_batch + k b_row + n b_column,
//           C[b,m,n] at c_base + b c_batch + m c_row + n.
// Dispatch  16x16 invocations a workgroup, a tile of 16 rows x 64 of C, numbered (batch, row tile, column tile), columns fastest.
// How       tiles of (16 rows)x16 of A and 16x64 of B in workgroup memory, the next pair loaded into registers while
//           this one is multiplied; rows x 4 of C an invocation. Of the 64x64 tile (rows = 4), per 16 k, an invocation reads 8
//           scalars and does 512 FLOP, so a workgroup moves 8 KiB for 131 kFLOP: 16 FLOP a byte from memory, 21 with rows = 8,
//           11 with rows = 2, which leaves twice as many workgroups where there are few. `trainer tune` measures them.
// Limits    256 invocations, 6, 8 or 12 KiB of workgroup memory: WebGPU's defaults.
// Twin      kernels::reference::matmul.

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

// Rows of C an invocation: 2, 4 or 8.
override rows: u32 = 4u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

// A by row, four k a vector; B by k, four columns a vector.
var<workgroup> tile_a: array<vec4<f32>, 64u * rows>;
var<workgroup> tile_b: array<vec4<f32>, 256>;

fn a_at(batch: u32, m: u32, k: u32) -> f32 {
    if m >= p.m || k >= p.k { return 0.0; }
    return a[p.a_base + batch * p.a_batch + m * p.a_row + k * p.a_column];
}

fn b_at(batch: u32, k: u32, n: u32) -> f32 {
    if n >= p.n || k >= p.k { return 0.0; }
    return b[p.b_base + batch * p.b_batch + k * p.b_row + n * p.b_column];
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let column_tiles = (p.n + 63u) / 64u;
    let tile_rows = 16u * rows;
    let row_tiles = (p.m + tile_rows - 1u) / tile_rows;
    let column0 = group % column_tiles * 64u;
    let row0 = group / column_tiles % row_tiles * tile_rows;
    let batch = group / column_tiles / row_tiles;

    // Neighbouring invocations load along the contiguous side of each operand; 64 rows of A at once, of 32 one half of them.
    let load_rows = min(tile_rows, 64u);
    let loads_a = t < load_rows * 4u;
    var ma = t / 4u;
    var ka = t % 4u;
    if p.a_column != 1u { ma = t % load_rows; ka = t / load_rows; }
    var kb = t / 16u;
    var nb = t % 16u;
    if p.b_column != 1u { kb = t % 16u; nb = t / 16u; }

    let ty = t / 16u;
    let tx = t % 16u;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    var s4 = vec4<f32>();
    var s5 = vec4<f32>();
    var s6 = vec4<f32>();
    var s7 = vec4<f32>();
    var next_a = vec4<f32>();
    var next_a64 = vec4<f32>();
    var next_b = vec4<f32>();
    for (var i = 0u; i < 4u; i++) {
        if loads_a { next_a[i] = a_at(batch, row0 + ma, ka * 4u + i); }
        if rows > 4u { next_a64[i] = a_at(batch, row0 + 64u + ma, ka * 4u + i); }
        next_b[i] = b_at(batch, kb, column0 + nb * 4u + i);
    }
    for (var k0 = 0u; k0 < p.k; k0 += 16u) {
        workgroupBarrier();
        if loads_a { tile_a[ma * 4u + ka] = next_a; }
        if rows > 4u { tile_a[(64u + ma) * 4u + ka] = next_a64; }
        tile_b[kb * 16u + nb] = next_b;
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) {
            if loads_a { next_a[i] = a_at(batch, row0 + ma, k0 + 16u + ka * 4u + i); }
            if rows > 4u { next_a64[i] = a_at(batch, row0 + 64u + ma, k0 + 16u + ka * 4u + i); }
            next_b[i] = b_at(batch, k0 + 16u + kb, column0 + nb * 4u + i);
        }
        for (var k4 = 0u; k4 < 4u; k4++) {
            let b0 = tile_b[(k4 * 4u) * 16u + tx];
            let b1 = tile_b[(k4 * 4u + 1u) * 16u + tx];
            let b2 = tile_b[(k4 * 4u + 2u) * 16u + tx];
            let b3 = tile_b[(k4 * 4u + 3u) * 16u + tx];
            let first = ty * rows * 4u + k4;
            s0 += product(tile_a[first], b0, b1, b2, b3);
            s1 += product(tile_a[first + 4u], b0, b1, b2, b3);
            if rows > 2u {
                s2 += product(tile_a[first + 8u], b0, b1, b2, b3);
                s3 += product(tile_a[first + 12u], b0, b1, b2, b3);
            }
            if rows > 4u {
                s4 += product(tile_a[first + 16u], b0, b1, b2, b3);
                s5 += product(tile_a[first + 20u], b0, b1, b2, b3);
                s6 += product(tile_a[first + 24u], b0, b1, b2, b3);
                s7 += product(tile_a[first + 28u], b0, b1, b2, b3);
            }
        }
    }
    let row = row0 + ty * rows;
    let column = column0 + tx * 4u;
    store(batch, row, column, s0);
    store(batch, row + 1u, column, s1);
    if rows > 2u {
        store(batch, row + 2u, column, s2);
        store(batch, row + 3u, column, s3);
    }
    if rows > 4u {
        store(batch, row + 4u, column, s4);
        store(batch, row + 5u, column, s5);
        store(batch, row + 6u, column, s6);
        store(batch, row + 7u, column, s7);
    }
}

// Four k of a row of A by four columns of B.
fn product(a4: vec4<f32>, b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>) -> vec4<f32> {
    return a4.x * b0 + a4.y * b1 + a4.z * b2 + a4.w * b3;
}

fn store(batch: u32, row: u32, column: u32, sum: vec4<f32>) {
    if row >= p.m { return; }
    let start = p.c_base + batch * p.c_batch + row * p.c_row + column;
    for (var i = 0u; i < 4u; i++) {
        if column + i < p.n {
            var value = sum[i];
            if p.has_bias != 0u { value += bias[p.bias_base + column + i]; }
            if p.accumulate != 0u { value += c[start + i]; }
            c[start + i] = value;
        }
    }
}
