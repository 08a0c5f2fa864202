// max_pool2d, texture family: four channels at a time, for software adapters.
//
// Formula   y[n,i,j,c] = max over kh, kw of x[n, i sh + kh dh - ph, j sw + kw dw - pw, c], only where that lies inside x; NaN where one is.
//           It is looked for in the bits, for compilers may take it that nothing is NaN.
// Layouts   x: NHWC in a linear texture (4096 texels a row), channels divisible by 4. y: NHWC, from vec4 `first` on.
// Dispatch  64 invocations a workgroup, four channels of an output pixel each, channels fastest. Those past the last compute and
//           don't store: after an early return a software driver reads every parameter once a lane.
// Limits    bound by loads: one a tap.
// Twin      kernels::reference::max_pool2d.

struct Params {
    height: u32,
    width: u32,
    channels: u32, // in vec4
    out_height: u32,
    out_width: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: u32,
    pad_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    first: u32, // first output vec4 of this window
    count: u32, // vec4 of the window
    x_base: u32,
    y_base: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

const ROW_SHIFT = 12u;
const ROW_MASK = 4095u;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    let stored = i < p.count;
    let e = p.first + i;
    let c4 = e % p.channels;
    let pixel = e / p.channels;
    let height = p.height;
    let width = p.width;
    let down = p.dilation_h;
    let right = p.dilation_w;
    let row = pixel / p.out_width % p.out_height * p.stride_h - p.pad_h;
    let column = pixel % p.out_width * p.stride_w - p.pad_w;
    let image = pixel / p.out_width / p.out_height * height;
    let step = p.channels;
    let first = p.x_base + (image * width) * step + c4;
    let kernel_w = p.kernel_w;
    // No constant can be minus infinity: WGSL takes that for an error.
    var minus_infinity = 0xff800000u;
    var best = vec4<f32>(bitcast<f32>(minus_infinity));
    var met = vec4<bool>();
    // One loop over the window: a software driver pays for every loop it enters.
    var r = row;
    var c = column;
    let end = column + kernel_w * right;
    for (var tap = p.kernel_h * kernel_w; tap > 0u; tap--) {
        let inside = r < height && c < width;
        let texel = first + (r * width + c) * step;
        let value = textureLoad(x, vec2<u32>(texel & ROW_MASK, texel >> ROW_SHIFT));
        best = select(best, max(best, value), inside);
        met |= ((bitcast<vec4<u32>>(value) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u)) & vec4<bool>(inside);
        c += right;
        let next_row = c == end;
        c = select(c, column, next_row);
        r += select(0u, down, next_row);
    }
    best = bitcast<vec4<f32>>(bitcast<vec4<u32>>(best) | select(vec4<u32>(), vec4<u32>(0x7fc00000u), met));
    if stored { y[i] = best; }
}
