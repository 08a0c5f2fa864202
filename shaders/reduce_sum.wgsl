// reduce_sum: partial sums of the rows of a matrix; run until one row is left.
//
// Formula   output[i] = sum over j of input[i + j outputs], i < outputs = (rows of the output) x columns
// Layouts   row-major [rows, columns], windows of both. Everything counts vec4 (main, columns divisible by 4) or scalars
//           (ragged). Output row r adds the input's rows r, r + R, r + 2 R... of the R that are to remain.
// Dispatch  64 invocations a workgroup, one vec4 or scalar of the output each: at every step of the loop neighbours read
//           neighbours, whatever the number of columns.
// Limits    bound by memory: each input element is read once. With R = sqrt(rows) two runs give the column sums, no chain
//           of additions being longer than sqrt(rows): the error grows by 2 sqrt(rows), not by rows.
// In bounds those past `outputs` leave first; e stays below `elements`, and grows, for `outputs` isn't zero.
// Paper     blocked summation: Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 4.2.
// Twin      kernels::reference::reduce_sum.

struct Params {
    input_base: u32,  // where the band starts in the bound windows
    output_base: u32,
    elements: u32,    // of the band
    outputs: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> input_scalar: array<f32>;
@group(0) @binding(4) var<storage, read_write> output_scalar: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.outputs { return; }
    var sum = vec4<f32>();
    for (var e = i; e < p.elements; e += p.outputs) { sum += input[p.input_base + e]; }
    output[p.output_base + i] = sum;
}

@compute @workgroup_size(64)
fn ragged(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.outputs { return; }
    var sum = 0.0;
    for (var e = i; e < p.elements; e += p.outputs) { sum += input_scalar[p.input_base + e]; }
    output_scalar[p.output_base + i] = sum;
}
