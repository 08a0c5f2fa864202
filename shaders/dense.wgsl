// dense: rows picked out of a table, side by side, for matrix products on them.
//
// Formula   output[b,i] = table[picks[first + b], i]
// Layouts   table: [rows, width], output: [batch, width], row-major, rows of whole vec4. picks: u32.
// Dispatch  64 invocations a workgroup, one vec4 of the output each: neighbours read and write neighbours.
// Limits    bound by memory: 16 bytes read and 16 written an invocation.
// In bounds those past the end leave first; picks are rows of the table, which the host checks, and the batch's picks are in the list.
// Twin      kernels::reference::dense.

struct Params {
    classes: u32,
    n4: u32,        // vec4 of the output
    k4: u32,
    width4: u32,    // vec4 of a row
    first: u32,     // the first pick
    tiles: u32,
    groups: u32,    // workgroups in all
    class_first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> picks: array<u32>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(64)
fn gather(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.n4 { return; }
    output[i] = table[picks[p.first + i / p.width4] * p.width4 + i % p.width4];
}
