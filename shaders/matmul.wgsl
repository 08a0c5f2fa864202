// matmul, tiled family: C[b] (+)= A[b] B[b] (+ bias), for real GPUs.
//
// Formula   C[b,m,n] = sum over k of A[b,m,k] B[b,k,n]  (+ bias[n]) (+ C[b,m,n] when accumulating over bands of k)
// Layouts   row-major with strides, so that all four transpositions are one kernel:
//           A[b,m,k] at a_base + b a_batch + m a_row + k a_column, B[b,k,n] at b_base + b b_batch + k b_row + n b_column,
//           C[b,m,n] at c_base + b c_batch + m c_row + n. With the override `quads` all three are bound as vec4: where nothing is
//           transposed and k, n and every base and stride of theirs is divisible by 4, as in Winograd's products.
// Dispatch  `invocations` a workgroup with `rows` x `columns` of C each, `across` of them side by side: a tile of 32, 64 or 128 rows x 64
//           columns, or of 128 x 128, numbered (part of k, batch, row tile, column tile), columns fastest. With `parts` of k, partial
//           computes them, [part, batch, m, quad of n], and reduce adds them up, four columns of C an invocation: always in the
//           same order.
// How       tiles of rows x 16 of A and 16 x columns of B in workgroup memory, the next pair loaded into registers while this one is
//           multiplied; lanes, rows and padding as in conv2d.wgsl, for the reasons that it gives.
//           Per 16 k the 64x64 tile moves 8 KiB for 131 kFLOP: 16 FLOP a byte, the cache's traffic (32 of 128x128, 21 of
//           128x64, 11 of 32x64); from memory A comes once where the column tiles that run together share it. With `quads` a load or a
//           store is one of 16 bytes instead of four of 4 with a check each.
// In bounds a, b: rows, columns and k below m, n and k, which the host counts by what is bound. c, bias, partials: rows below m, columns
//           below n. Steps are counted, so that loops end.
// Limits    256 invocations, 6.5, 9, 14 or 16 KiB of workgroup memory: within WebGPU's defaults.
// Twin      kernels::reference::matmul.

override quads: bool = false;
// Invocations of a workgroup, how many of them stand side by side along the columns, and of each the rows and columns: 4 or 8.
override invocations: u32 = 128u;
override across: u32 = 16u;
override rows: u32 = 8u;
override columns: u32 = 4u;

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
    parts: u32,     // of k, each with workgroups of its own; 1 where nothing is split
    batches: u32,   // matrices
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@group(0) @binding(5) var<storage, read> a_quad: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> b_quad: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> c_quad: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> partials: array<vec4<f32>>;

// A by row, four k a vector, in rows of five (of four where 128 columns leave no room for more); B by k, four columns a vector.
var<workgroup> tile_a: array<vec4<f32>, invocations / across * rows * (5u - across * columns / 128u)>;
var<workgroup> tile_b: array<vec4<f32>, across * columns * 4u>;

// Four k of a row of A.
fn load_a(q: Params, batch: u32, m: u32, k: u32) -> vec4<f32> {
    let first = q.a_base + batch * q.a_batch + m * q.a_row + k * q.a_column;
    var value = vec4<f32>();
    if m >= q.m || k >= q.k { return value; }
    if quads { return a_quad[first / 4u]; }
    value.x = a[first];
    if k + 1u < q.k { value.y = a[first + q.a_column]; }
    if k + 2u < q.k { value.z = a[first + 2u * q.a_column]; }
    if k + 3u < q.k { value.w = a[first + 3u * q.a_column]; }
    return value;
}

// Four columns of a row of B.
fn load_b(q: Params, batch: u32, k: u32, n: u32) -> vec4<f32> {
    let first = q.b_base + batch * q.b_batch + k * q.b_row + n * q.b_column;
    var value = vec4<f32>();
    if k >= q.k || n >= q.n { return value; }
    if quads { return b_quad[first / 4u]; }
    value.x = b[first];
    if n + 1u < q.n { value.y = b[first + q.b_column]; }
    if n + 2u < q.n { value.z = b[first + 2u * q.b_column]; }
    if n + 3u < q.n { value.w = b[first + 3u * q.b_column]; }
    return value;
}

// What a workgroup computes: rows and columns from the first on, in the steps of k that are its part.
struct Block {
    batch: u32,
    row: u32,
    column: u32,
    part: u32,
    first_step: u32,
    end_step: u32,
}

fn block(group: u32) -> Block {
    let tile_rows = invocations / across * rows;
    let tile_columns = across * columns;
    let column_tiles = (p.n + tile_columns - 1u) / tile_columns;
    let row_tiles = (p.m + tile_rows - 1u) / tile_rows;
    let tiles = p.groups / p.parts;
    let part = group / tiles;
    let tile = group % tiles;
    let steps = (p.k + 15u) / 16u;
    return Block(
        tile / column_tiles / row_tiles, tile / column_tiles % row_tiles * tile_rows, tile % column_tiles * tile_columns,
        part, part * steps / p.parts, (part + 1u) * steps / p.parts);
}

// Where an invocation stands among the others: along the columns, along the rows.
fn lane(t: u32) -> vec2<u32> {
    return vec2<u32>(t / 2u % across, t / (2u * across) * 2u + t % 2u);
}

// The sums of an invocation's rows, `invocations / across` apart, with its first four columns and its second, 4 across further on.
struct Sums {
    s0: vec4<f32>, s1: vec4<f32>, s2: vec4<f32>, s3: vec4<f32>, s4: vec4<f32>, s5: vec4<f32>, s6: vec4<f32>, s7: vec4<f32>,
    u0: vec4<f32>, u1: vec4<f32>, u2: vec4<f32>, u3: vec4<f32>, u4: vec4<f32>, u5: vec4<f32>, u6: vec4<f32>, u7: vec4<f32>,
}

// Left to right, so that each product and sum can be one instruction.
fn add_products(s: vec4<f32>, a: vec4<f32>, b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>) -> vec4<f32> {
    return s + a.x * b0 + a.y * b1 + a.z * b2 + a.w * b3;
}

// Adds the products of four k, from quad i of A's tile and quad j of B's on.
fn multiply(sum: Sums, i: u32, j: u32) -> Sums {
    let quads = across * columns / 4u;
    let step = invocations / across * (5u - across * columns / 128u);
    let b0 = tile_b[j];
    let b1 = tile_b[j + quads];
    let b2 = tile_b[j + 2u * quads];
    let b3 = tile_b[j + 3u * quads];
    var c0 = vec4<f32>();
    var c1 = vec4<f32>();
    var c2 = vec4<f32>();
    var c3 = vec4<f32>();
    if columns > 4u {
        c0 = tile_b[j + across];
        c1 = tile_b[j + quads + across];
        c2 = tile_b[j + 2u * quads + across];
        c3 = tile_b[j + 3u * quads + across];
    }
    var r = sum;
    let a0 = tile_a[i];
    let a1 = tile_a[i + step];
    let a2 = tile_a[i + 2u * step];
    let a3 = tile_a[i + 3u * step];
    r.s0 = add_products(r.s0, a0, b0, b1, b2, b3);
    r.s1 = add_products(r.s1, a1, b0, b1, b2, b3);
    r.s2 = add_products(r.s2, a2, b0, b1, b2, b3);
    r.s3 = add_products(r.s3, a3, b0, b1, b2, b3);
    if columns > 4u {
        r.u0 = add_products(r.u0, a0, c0, c1, c2, c3);
        r.u1 = add_products(r.u1, a1, c0, c1, c2, c3);
        r.u2 = add_products(r.u2, a2, c0, c1, c2, c3);
        r.u3 = add_products(r.u3, a3, c0, c1, c2, c3);
    }
    if rows > 4u {
        let a4 = tile_a[i + 4u * step];
        let a5 = tile_a[i + 5u * step];
        let a6 = tile_a[i + 6u * step];
        let a7 = tile_a[i + 7u * step];
        r.s4 = add_products(r.s4, a4, b0, b1, b2, b3);
        r.s5 = add_products(r.s5, a5, b0, b1, b2, b3);
        r.s6 = add_products(r.s6, a6, b0, b1, b2, b3);
        r.s7 = add_products(r.s7, a7, b0, b1, b2, b3);
        if columns > 4u {
            r.u4 = add_products(r.u4, a4, c0, c1, c2, c3);
            r.u5 = add_products(r.u5, a5, c0, c1, c2, c3);
            r.u6 = add_products(r.u6, a6, c0, c1, c2, c3);
            r.u7 = add_products(r.u7, a7, c0, c1, c2, c3);
        }
    }
    return r;
}

// A quad of a tile: its line, and its place in it.
struct Place {
    line: u32,
    quad: u32,
}

// Neighbouring invocations load along the contiguous side of each operand.
fn place_a(t: u32) -> Place {
    let tile_rows = invocations / across * rows;
    if p.a_column != 1u { return Place(t % tile_rows, t / tile_rows); }
    return Place(t / 4u, t % 4u);
}

fn place_b(t: u32) -> Place {
    let width = across * columns / 4u;
    if p.b_column != 1u { return Place(t % 16u, t / 16u); }
    return Place(t / width, t % width);
}

fn sums(t: u32, at: Block) -> Sums {
    // A copy, so that the loop waits for no uniform.
    let q = p;
    let width = across * columns / 4u;
    let padded = 5u - across * columns / 128u;
    // Of A's tile each loads 1, 2 or 4 quads, of B's two.
    let a0 = place_a(t);
    let a1 = place_a(t + invocations);
    let a2 = place_a(t + 2u * invocations);
    let a3 = place_a(t + 3u * invocations);
    let b0 = place_b(t);
    let b1 = place_b(t + invocations);
    let stands = lane(t);
    let i = stands.y * padded;
    let j = stands.x;
    let k0 = at.first_step * 16u;
    var next_a0 = load_a(q, at.batch, at.row + a0.line, k0 + a0.quad * 4u);
    var next_a1 = vec4<f32>();
    var next_a2 = vec4<f32>();
    var next_a3 = vec4<f32>();
    if rows * 4u > across { next_a1 = load_a(q, at.batch, at.row + a1.line, k0 + a1.quad * 4u); }
    if rows * 2u > across {
        next_a2 = load_a(q, at.batch, at.row + a2.line, k0 + a2.quad * 4u);
        next_a3 = load_a(q, at.batch, at.row + a3.line, k0 + a3.quad * 4u);
    }
    var next_b0 = load_b(q, at.batch, k0 + b0.line, at.column + b0.quad * 4u);
    var next_b1 = load_b(q, at.batch, k0 + b1.line, at.column + b1.quad * 4u);
    var sum = Sums();
    for (var step = at.first_step + 1u; step <= at.end_step; step++) {
        workgroupBarrier();
        tile_a[a0.line * padded + a0.quad] = next_a0;
        if rows * 4u > across { tile_a[a1.line * padded + a1.quad] = next_a1; }
        if rows * 2u > across {
            tile_a[a2.line * padded + a2.quad] = next_a2;
            tile_a[a3.line * padded + a3.quad] = next_a3;
        }
        tile_b[b0.line * width + b0.quad] = next_b0;
        tile_b[b1.line * width + b1.quad] = next_b1;
        workgroupBarrier();
        let k = step * 16u;
        next_a0 = load_a(q, at.batch, at.row + a0.line, k + a0.quad * 4u);
        if rows * 4u > across { next_a1 = load_a(q, at.batch, at.row + a1.line, k + a1.quad * 4u); }
        if rows * 2u > across {
            next_a2 = load_a(q, at.batch, at.row + a2.line, k + a2.quad * 4u);
            next_a3 = load_a(q, at.batch, at.row + a3.line, k + a3.quad * 4u);
        }
        next_b0 = load_b(q, at.batch, k + b0.line, at.column + b0.quad * 4u);
        next_b1 = load_b(q, at.batch, k + b1.line, at.column + b1.quad * 4u);
        // By text, for not every compiler unrolls.
        sum = multiply(sum, i, j);
        sum = multiply(sum, i + 1u, j + 4u * width);
        sum = multiply(sum, i + 2u, j + 8u * width);
        sum = multiply(sum, i + 3u, j + 12u * width);
    }
    return sum;
}

fn store(batch: u32, row: u32, column: u32, sum: vec4<f32>) {
    if row >= p.m || column >= p.n { return; }
    let start = p.c_base + batch * p.c_batch + row * p.c_row + column;
    let left = p.n - column;
    var value = sum;
    if p.has_bias != 0u {
        let first = p.bias_base + column;
        value.x += bias[first];
        if left > 1u { value.y += bias[first + 1u]; }
        if left > 2u { value.z += bias[first + 2u]; }
        if left > 3u { value.w += bias[first + 3u]; }
    }
    if quads {
        if p.accumulate != 0u { value += c_quad[start / 4u]; }
        c_quad[start / 4u] = value;
        return;
    }
    store_one(start, value.x);
    if left > 1u { store_one(start + 1u, value.y); }
    if left > 2u { store_one(start + 2u, value.z); }
    if left > 3u { store_one(start + 3u, value.w); }
}

fn store_one(i: u32, value: f32) {
    if p.accumulate != 0u { c[i] += value; } else { c[i] = value; }
}

fn store_partial(at: Block, row: u32, column: u32, sum: vec4<f32>) {
    if row >= p.m || column >= p.n { return; }
    partials[((at.part * p.batches + at.batch) * p.m + row) * ((p.n + 3u) / 4u) + column / 4u] = sum;
}

@compute @workgroup_size(invocations)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let at = block(group);
    let sum = sums(t, at);
    let row = at.row + lane(t).y;
    let column = at.column + lane(t).x * 4u;
    let apart = invocations / across;
    store(at.batch, row, column, sum.s0);
    store(at.batch, row + apart, column, sum.s1);
    store(at.batch, row + 2u * apart, column, sum.s2);
    store(at.batch, row + 3u * apart, column, sum.s3);
    if rows > 4u {
        store(at.batch, row + 4u * apart, column, sum.s4);
        store(at.batch, row + 5u * apart, column, sum.s5);
        store(at.batch, row + 6u * apart, column, sum.s6);
        store(at.batch, row + 7u * apart, column, sum.s7);
    }
    if columns > 4u {
        let further = column + across * 4u;
        store(at.batch, row, further, sum.u0);
        store(at.batch, row + apart, further, sum.u1);
        store(at.batch, row + 2u * apart, further, sum.u2);
        store(at.batch, row + 3u * apart, further, sum.u3);
        store(at.batch, row + 4u * apart, further, sum.u4);
        store(at.batch, row + 5u * apart, further, sum.u5);
        store(at.batch, row + 6u * apart, further, sum.u6);
        store(at.batch, row + 7u * apart, further, sum.u7);
    }
}

// The sums of a part of k, without bias.
@compute @workgroup_size(invocations)
fn partial(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    if group >= p.groups { return; }
    let at = block(group);
    let sum = sums(t, at);
    let row = at.row + lane(t).y;
    let column = at.column + lane(t).x * 4u;
    let apart = invocations / across;
    store_partial(at, row, column, sum.s0);
    store_partial(at, row + apart, column, sum.s1);
    store_partial(at, row + 2u * apart, column, sum.s2);
    store_partial(at, row + 3u * apart, column, sum.s3);
    if rows > 4u {
        store_partial(at, row + 4u * apart, column, sum.s4);
        store_partial(at, row + 5u * apart, column, sum.s5);
        store_partial(at, row + 6u * apart, column, sum.s6);
        store_partial(at, row + 7u * apart, column, sum.s7);
    }
    if columns > 4u {
        let further = column + across * 4u;
        store_partial(at, row, further, sum.u0);
        store_partial(at, row + apart, further, sum.u1);
        store_partial(at, row + 2u * apart, further, sum.u2);
        store_partial(at, row + 3u * apart, further, sum.u3);
        store_partial(at, row + 4u * apart, further, sum.u4);
        store_partial(at, row + 5u * apart, further, sum.u5);
        store_partial(at, row + 6u * apart, further, sum.u6);
        store_partial(at, row + 7u * apart, further, sum.u7);
    }
}

// Four columns of C from the parts' sums, always in their order.
@compute @workgroup_size(64)
fn reduce(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    let width = (p.n + 3u) / 4u;
    let total = p.batches * p.m * width;
    if i >= total { return; }
    var sum = partials[i];
    for (var part = 1u; part < p.parts; part++) { sum += partials[part * total + i]; }
    store(i / width / p.m, i / width % p.m, i % width * 4u, sum);
}
