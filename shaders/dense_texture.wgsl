// dense, texture family: a dense layer on rows picked out of a table, and the gradient of its weights, for software adapters.
//
// Formula   forward:  output[c,b] = sum over i of a[c,i] table[picks[b],i]        a = weight
//           backward: output[c,i] = sum over b of a[c,b] table[picks[b],i]        a = gradient of the forward's output
// Layouts   a: linear texture (4096 texels a row), row-major, rows of whole texels. table: likewise, rows of width4 texels. picks:
//           likewise, u32 bit by bit, four a texel. output: row-major [classes, batch] and [classes, width].
// Dispatch  one subgroup a workgroup: 16 times `blocks` classes x 4 times `lanes` columns, numbered with the classes fastest, so
//           that neighbours share the table's rows in the cache.
// How       classes are the rows of both products, so that only they are padded, and the table is read where it lies: no
//           batch is gathered, copied or transposed. Forward, a lane takes the rows of four photos, four features of each at a
//           time: their transpose costs nothing, since a vec4 of all lanes is four registers. Backward, a lane takes four
//           features of four photos. A is loaded once by the lanes (lane = class) and broadcast by subgroupShuffle.
//           At the end the registers turn, so that one store in a loop serves 16 rows: less code, and it stays cached.
// Limits    no workgroup memory, no barriers. Batch and width are multiples of 4. The zero-filled classes are not stored.
// Twin      kernels::reference::dense.

struct Params {
    classes: u32,
    n4: u32,        // vec4 of a row of the output
    k4: u32,        // texels of a row of A
    width4: u32,    // texels of a row of the table
    first: u32,     // texel of the first pick
    tiles: u32,     // workgroups for all classes
    groups: u32,    // workgroups in all
    class_first: u32,      // first class
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var a: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var table: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var picks: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4<f32>>;

override lanes: u32 = 8u;  // of a subgroup: 4, 8 or 16
// Blocks of 16 classes in the registers of a workgroup, 1 to 4.
override blocks: u32 = 1u;

const ROW_SHIFT = 12u;
const ROW_MASK = 4095u;

fn load_a(i: u32) -> vec4<f32> {
    return textureLoad(a, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT));
}

fn load_table(i: u32) -> vec4<f32> {
    return textureLoad(table, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT));
}

// Where the rows of four picks start.
fn load_picks(i: u32) -> vec4<u32> {
    return bitcast<vec4<u32>>(textureLoad(picks, vec2<u32>(i & ROW_MASK, i >> ROW_SHIFT))) * p.width4;
}

// Four terms of every sum of a lane.
struct Terms {
    t0: vec4<f32>,
    t1: vec4<f32>,
    t2: vec4<f32>,
    t3: vec4<f32>,
}

fn row(c: vec4<f32>, x: vec4<f32>, t: Terms) -> vec4<f32> {
    return c + x.x * t.t0 + x.y * t.t1 + x.z * t.t2 + x.w * t.t3;
}

struct Block {
    c0: vec4<f32>,
    c1: vec4<f32>,
    c2: vec4<f32>,
    c3: vec4<f32>,
    c4: vec4<f32>,
    c5: vec4<f32>,
    c6: vec4<f32>,
    c7: vec4<f32>,
    c8: vec4<f32>,
    c9: vec4<f32>,
    ca: vec4<f32>,
    cb: vec4<f32>,
    cc: vec4<f32>,
    cd: vec4<f32>,
    ce: vec4<f32>,
    cf: vec4<f32>,
}

// Adds the terms times 16 rows of A, the first of which this lane reads from texel `at` on.
fn added(q: Block, at: u32, t: Terms) -> Block {
    let next = lanes * p.k4;
    var x: array<vec4<f32>, 4>;
    x[0] = load_a(at);
    if lanes < 16u { x[1] = load_a(at + next); }
    if lanes < 8u { x[2] = load_a(at + 2u * next); x[3] = load_a(at + 3u * next); }
    return Block(
        row(q.c0, subgroupShuffle(x[0u / lanes], 0u % lanes), t), row(q.c1, subgroupShuffle(x[1u / lanes], 1u % lanes), t),
        row(q.c2, subgroupShuffle(x[2u / lanes], 2u % lanes), t), row(q.c3, subgroupShuffle(x[3u / lanes], 3u % lanes), t),
        row(q.c4, subgroupShuffle(x[4u / lanes], 4u % lanes), t), row(q.c5, subgroupShuffle(x[5u / lanes], 5u % lanes), t),
        row(q.c6, subgroupShuffle(x[6u / lanes], 6u % lanes), t), row(q.c7, subgroupShuffle(x[7u / lanes], 7u % lanes), t),
        row(q.c8, subgroupShuffle(x[8u / lanes], 8u % lanes), t), row(q.c9, subgroupShuffle(x[9u / lanes], 9u % lanes), t),
        row(q.ca, subgroupShuffle(x[10u / lanes], 10u % lanes), t), row(q.cb, subgroupShuffle(x[11u / lanes], 11u % lanes), t),
        row(q.cc, subgroupShuffle(x[12u / lanes], 12u % lanes), t), row(q.cd, subgroupShuffle(x[13u / lanes], 13u % lanes), t),
        row(q.ce, subgroupShuffle(x[14u / lanes], 14u % lanes), t), row(q.cf, subgroupShuffle(x[15u / lanes], 15u % lanes), t),
    );
}

// The rows moved up by one.
fn turned(q: Block) -> Block {
    return Block(q.c1, q.c2, q.c3, q.c4, q.c5, q.c6, q.c7, q.c8, q.c9, q.ca, q.cb, q.cc, q.cd, q.ce, q.cf, q.c0);
}

fn store(c: u32, column4: u32, value: vec4<f32>) {
    if c < p.classes && column4 < p.n4 { output[c * p.n4 + column4] = value; }
}

@compute @workgroup_size(lanes)
fn forward(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    let first = p.class_first + group % p.tiles * blocks * 16u;
    let column4 = group / p.tiles * lanes + lane;
    let block = 16u * p.k4;
    var at = (first + lane) * p.k4;
    var q0 = Block(); var q1 = Block(); var q2 = Block(); var q3 = Block();
    let start = load_picks(p.first + column4);
    for (var k = 0u; k < p.k4; k++) {
        let x = load_table(start.x + k);
        let y = load_table(start.y + k);
        let z = load_table(start.z + k);
        let w = load_table(start.w + k);
        let t = Terms(
            vec4<f32>(x.x, y.x, z.x, w.x), vec4<f32>(x.y, y.y, z.y, w.y),
            vec4<f32>(x.z, y.z, z.z, w.z), vec4<f32>(x.w, y.w, z.w, w.w));
        q0 = added(q0, at, t);
        if blocks > 1u { q1 = added(q1, at + block, t); }
        if blocks > 2u { q2 = added(q2, at + 2u * block, t); }
        if blocks > 3u { q3 = added(q3, at + 3u * block, t); }
        at++;
    }
    for (var r = 0u; r < 16u; r++) {
        store(first + r, column4, q0.c0);
        q0 = turned(q0);
        if blocks > 1u { store(first + 16u + r, column4, q1.c0); q1 = turned(q1); }
        if blocks > 2u { store(first + 32u + r, column4, q2.c0); q2 = turned(q2); }
        if blocks > 3u { store(first + 48u + r, column4, q3.c0); q3 = turned(q3); }
    }
}

@compute @workgroup_size(lanes)
fn backward(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let group = id.x + id.y * count.x;
    let first = p.class_first + group % p.tiles * blocks * 16u;
    let column4 = group / p.tiles * lanes + lane;
    let block = 16u * p.k4;
    var at = (first + lane) * p.k4;
    var q0 = Block(); var q1 = Block(); var q2 = Block(); var q3 = Block();
    for (var k = 0u; k < p.k4; k++) {
        let i = load_picks(p.first + k) + column4;
        let t = Terms(load_table(i.x), load_table(i.y), load_table(i.z), load_table(i.w));
        q0 = added(q0, at, t);
        if blocks > 1u { q1 = added(q1, at + block, t); }
        if blocks > 2u { q2 = added(q2, at + 2u * block, t); }
        if blocks > 3u { q3 = added(q3, at + 3u * block, t); }
        at++;
    }
    for (var r = 0u; r < 16u; r++) {
        store(first + r, column4, q0.c0);
        q0 = turned(q0);
        if blocks > 1u { store(first + 16u + r, column4, q1.c0); q1 = turned(q1); }
        if blocks > 2u { store(first + 32u + r, column4, q2.c0); q2 = turned(q2); }
        if blocks > 3u { store(first + 48u + r, column4, q3.c0); q3 = turned(q3); }
    }
}
