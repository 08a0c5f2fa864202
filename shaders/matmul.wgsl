// matmul, tiled family: C[b] (+)= A[b] B[b] (+ bias), for real GPUs.
//
// Formula   C[b,m,n] = sum over k of A[b,m,k] B[b,k,n]  (+ bias[n]) (+ C[b,m,n] when accumulating over bands of k)
// Layouts   row-major with strides, so that all four transpositions are one kernel:
//           A[b,m,k] at a_base + b a_batch + m a_row + k a_column, B[b,k,n] at b_base + b b_batch + k b_row + n b_column,
//           C[b,m,n] at c_base + b c_batch + m c_row + n. With the override `quads` all three are bound as vec4: where nothing is
//           transposed and k, n and every base and stride of theirs is divisible by 4, as in Winograd's products.
// Dispatch  128 invocations a workgroup, a tile of 64x64 of C, numbered (batch, row tile, column tile), columns fastest.
// How       tiles of 64x16 of A and 16x64 of B in workgroup memory (9 KiB), the next pair loaded into registers while
//           this one is multiplied; 8x4 of C an invocation, its rows 8 apart and padded to 5 vec4, for the reasons that
//           conv2d.wgsl gives. Per 16 k a workgroup moves 8 KiB for 131 kFLOP: 16 FLOP a byte, the cache's traffic; from memory
//           A comes once where the row tiles that run together share it. With `quads` a load or a store is one of 16 bytes
//           instead of four of 4 with a check each.
// Limits    128 invocations, 9 KiB of workgroup memory: within WebGPU's defaults. About 80 registers.
// Twin      kernels::reference::matmul.

override quads: bool = false;

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
var<workgroup> tile_a: array<vec4<f32>, 320>;
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

@compute @workgroup_size(128)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let column_tiles = (p.n + 63u) / 64u;
    let row_tiles = (p.m + 63u) / 64u;
    let column0 = group % column_tiles * 64u;
    let row0 = group / column_tiles % row_tiles * 64u;
    let batch = group / column_tiles / row_tiles;

    // Neighbouring invocations load along the contiguous side of each operand; each loads two vectors.
    var ma = vec2<u32>(t / 4u, t / 4u + 32u);
    var ka = vec2<u32>(t % 4u);
    if p.a_column != 1u {
        ma = vec2<u32>(t % 64u);
        ka = vec2<u32>(t / 64u, t / 64u + 2u);
    }
    var kb = vec2<u32>(t / 16u, t / 16u + 8u);
    var nb = vec2<u32>(t % 16u);
    if p.b_column != 1u {
        kb = vec2<u32>(t % 16u);
        nb = vec2<u32>(t / 16u, t / 16u + 8u);
    }

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
    var next_a0 = load_a(batch, row0 + ma.x, ka.x * 4u);
    var next_a1 = load_a(batch, row0 + ma.y, ka.y * 4u);
    var next_b0 = load_b(batch, kb.x, column0 + nb.x * 4u);
    var next_b1 = load_b(batch, kb.y, column0 + nb.y * 4u);
    for (var k0 = 16u; k0 < p.k + 16u; k0 += 16u) {
        workgroupBarrier();
        tile_a[ma.x * 5u + ka.x] = next_a0;
        tile_a[ma.y * 5u + ka.y] = next_a1;
        tile_b[kb.x * 16u + nb.x] = next_b0;
        tile_b[kb.y * 16u + nb.y] = next_b1;
        workgroupBarrier();
        next_a0 = load_a(batch, row0 + ma.x, k0 + ka.x * 4u);
        next_a1 = load_a(batch, row0 + ma.y, k0 + ka.y * 4u);
        next_b0 = load_b(batch, k0 + kb.x, column0 + nb.x * 4u);
        next_b1 = load_b(batch, k0 + kb.y, column0 + nb.y * 4u);
        for (var k4 = 0u; k4 < 4u; k4++) {
            let b0 = tile_b[k4 * 64u + tx];
            let b1 = tile_b[k4 * 64u + 16u + tx];
            let b2 = tile_b[k4 * 64u + 32u + tx];
            let b3 = tile_b[k4 * 64u + 48u + tx];
            let i = ty * 5u + k4;
            s0 = add_products(s0, i, b0, b1, b2, b3);
            s1 = add_products(s1, i + 40u, b0, b1, b2, b3);
            s2 = add_products(s2, i + 80u, b0, b1, b2, b3);
            s3 = add_products(s3, i + 120u, b0, b1, b2, b3);
            s4 = add_products(s4, i + 160u, b0, b1, b2, b3);
            s5 = add_products(s5, i + 200u, b0, b1, b2, b3);
            s6 = add_products(s6, i + 240u, b0, b1, b2, b3);
            s7 = add_products(s7, i + 280u, b0, b1, b2, b3);
        }
    }
    store(batch, row0 + ty, column0 + tx * 4u, s0);
    store(batch, row0 + ty + 8u, column0 + tx * 4u, s1);
    store(batch, row0 + ty + 16u, column0 + tx * 4u, s2);
    store(batch, row0 + ty + 24u, column0 + tx * 4u, s3);
    store(batch, row0 + ty + 32u, column0 + tx * 4u, s4);
    store(batch, row0 + ty + 40u, column0 + tx * 4u, s5);
    store(batch, row0 + ty + 48u, column0 + tx * 4u, s6);
    store(batch, row0 + ty + 56u, column0 + tx * 4u, s7);
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
