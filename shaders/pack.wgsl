// pack: strided matrices into rows of whole vec4, padded with zeros, in panels of columns.
//
// Formula   output[b, panel, r, v][i] = input[b batch + r row + c column], c = 4 (panel width4 + v) + i; 0 past rows or columns
// Layouts   input: any strides, in a storage buffer (main) or a linear texture (from_texture). output: [batch, panels, padded_rows, width4] vec4.
//           With entry halves the output is quads of f16, two to a u32.
// Dispatch  64 invocations a workgroup, one vec4 or quad of the output each.
// Limits    bound by memory: 16 bytes read and 16 written an invocation.
// In bounds those past `total` leave first; only elements inside of `rows` and `columns` are read. A texture gives zeros outside.
// Twin      kernels::reference::pack.

struct Params {
    rows: u32,
    columns: u32,
    padded_rows: u32,
    width4: u32,
    panels: u32,
    row: u32,      // stride of the input from one row to the next
    column: u32,   // from one column to the next
    batch: u32,    // from one matrix to the next
    first: u32,    // first vec4 of this window of the output
    total: u32,    // vec4 of the window
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var input_texture: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output_half: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> overflow: array<atomic<u32>>; // set where f16 is too small

const ROW_SHIFT = 12u;
const ROW_MASK = 4095u;

struct Place {
    start: u32,  // of the input
    column: u32, // first column
    inside: bool,
}

fn place(i: u32) -> Place {
    let v = i % p.width4;
    let row = i / p.width4 % p.padded_rows;
    let panel = i / p.width4 / p.padded_rows % p.panels;
    let batch = i / p.width4 / p.padded_rows / p.panels;
    let column = (panel * p.width4 + v) * 4u;
    return Place(batch * p.batch + row * p.row + column * p.column, column, row < p.rows);
}

fn from_buffer(i: u32) -> vec4<f32> {
    let at = place(i);
    var value = vec4<f32>();
    for (var j = 0u; j < 4u; j++) {
        if at.inside && at.column + j < p.columns { value[j] = input[at.start + j * p.column]; }
    }
    return value;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    output[i] = from_buffer(p.first + i);
}

// WGSL leaves open what becomes of numbers beyond f16: here they become infinite or NaN, and the flag is set, whatever later layers make of
// them. Bits are compared (with those of 65504), for compilers may take it that nothing is NaN.
fn to_half2(v: vec2<f32>) -> u32 {
    let held = (bitcast<vec2<u32>>(v) & vec2<u32>(0x7fffffffu)) <= vec2<u32>(0x477fe000u);
    if !all(held) { atomicStore(&overflow[0], 1u); }
    let lost = select(vec2<u32>(0x7c00u, 0x7c000000u), vec2<u32>(), held);
    return pack2x16float(clamp(v, vec2<f32>(-65504.0), vec2<f32>(65504.0))) | lost.x | lost.y;
}

@compute @workgroup_size(64)
fn halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.total { return; }
    let value = from_buffer(p.first + i);
    output_half[i] = vec2<u32>(to_half2(value.xy), to_half2(value.zw));
}

fn element(e: u32) -> f32 {
    return textureLoad(input_texture, vec2<u32>((e / 4u) & ROW_MASK, (e / 4u) >> ROW_SHIFT))[e % 4u];
}

@compute @workgroup_size(64)
fn from_texture(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    let stored = i < p.total;
    let at = place(p.first + i);
    let value = vec4<f32>(
        element(at.start), element(at.start + p.column), element(at.start + 2u * p.column), element(at.start + 3u * p.column));
    let columns = vec4<u32>(at.column) + vec4<u32>(0u, 1u, 2u, 3u);
    let padded = select(vec4<f32>(), value, (columns < vec4<u32>(p.columns)) & vec4<bool>(at.inside));
    if stored { output[i] = padded; }
}
