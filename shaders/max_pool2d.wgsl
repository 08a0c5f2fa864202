// max_pool2d, tiled family: y[n,i,j,c] = max over the window of x; what lies on the padding is left out.
//
// Formula   y[n,i,j,c] = max over kh, kw of x[n, i sh + kh dh - ph, j sw + kw dw - pw, c], only where that lies inside x
// Layouts   x, y: NHWC. y from `first` on, in a window; x from `x_base` on (wrapping).
// Dispatch  64 invocations a workgroup, one output element each, channels fastest.
// Limits    bound by memory: a 3x3 window of stride 2 reads each element 2.25 times, from the cache but once.
// Twin      kernels::reference::max_pool2d.

struct Params {
    height: u32,
    width: u32,
    channels: u32,
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
    first: u32, // first output element of this window
    count: u32, // elements of the window
    x_base: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.count { return; }
    let e = p.first + i;
    let channel = e % p.channels;
    let pixel = e / p.channels;
    let row = pixel / p.out_width % p.out_height * p.stride_h - p.pad_h;
    let column = pixel % p.out_width * p.stride_w - p.pad_w;
    let image = pixel / p.out_width / p.out_height * p.height;
    var best = bitcast<f32>(0xff800000u); // minus infinity
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let r = row + kh * p.dilation_h;
            let c = column + kw * p.dilation_w;
            if r < p.height && c < p.width {
                let value = x[p.x_base + ((image + r) * p.width + c) * p.channels + channel];
                best = max(best, value);
            }
        }
    }
    y[i] = best;
}
