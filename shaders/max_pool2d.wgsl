// max_pool2d, tiled family: y[n,i,j,c] = max over the window of x; what lies on the padding is left out.
//
// Formula   y[n,i,j,c] = max over kh, kw of x[n, i sh + kh dh - ph, j sw + kw dw - pw, c], only where that lies inside x; NaN where one is.
//           It is looked for in the bits, for compilers may take it that nothing is NaN.
// Layouts   x, y: NHWC in scalars (main), vec4 (quads, C divisible by 4) or quads of f16 (halves, C padded to whole quads), which
//           channels, first, count and the bases count. y from `first` on, at `y_base` of a window; x from `x_base` on (wrapping).
// Dispatch  64 invocations a workgroup, one scalar, vec4 or quad of the output each, channels fastest.
// Limits    bound by memory: a 3x3 window of stride 2 reads each element 2.25 times, from the cache but once.
// In bounds those past `count` leave first. A tap outside of the image is left out before it is read; the rows that a band touches are bound.
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
    y_base: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> x_quad: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y_quad: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> x_half: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read_write> y_half: array<vec2<u32>>;

// No constant can be: WGSL takes that for an error.
fn minus_infinity() -> f32 {
    var bits = 0xff800000u;
    return bitcast<f32>(bits);
}

fn is_nan(v: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}

// `best`, or NaN where one was met.
fn with_nan(best: vec4<f32>, met: vec4<bool>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(best) | select(vec4<u32>(), vec4<u32>(0x7fc00000u), met));
}

// The window of an output, and of x where it starts.
struct Window {
    row: u32,
    column: u32,
    image: u32,
    channel: u32,
}

fn window_of(e: u32) -> Window {
    let pixel = e / p.channels;
    return Window(
        pixel / p.out_width % p.out_height * p.stride_h - p.pad_h,
        pixel % p.out_width * p.stride_w - p.pad_w,
        pixel / p.out_width / p.out_height * p.height,
        e % p.channels,
    );
}

// Where x has a tap of the window, or 0xffffffff outside.
fn tap(at: Window, kh: u32, kw: u32) -> u32 {
    let r = at.row + kh * p.dilation_h;
    let c = at.column + kw * p.dilation_w;
    return select(0xffffffffu, p.x_base + ((at.image + r) * p.width + c) * p.channels + at.channel, r < p.height && c < p.width);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.count { return; }
    let at = window_of(p.first + i);
    var best = minus_infinity();
    var met = vec4<bool>();
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let place = tap(at, kh, kw);
            if place != 0xffffffffu {
                let value = x[place];
                met |= is_nan(vec4<f32>(value));
                best = max(best, value);
            }
        }
    }
    y[p.y_base + i] = with_nan(vec4<f32>(best), met).x;
}

@compute @workgroup_size(64)
fn quads(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.count { return; }
    let at = window_of(p.first + i);
    var best = vec4<f32>(minus_infinity());
    var met = vec4<bool>();
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let place = tap(at, kh, kw);
            if place != 0xffffffffu {
                let value = x_quad[place];
                met |= is_nan(value);
                best = max(best, value);
            }
        }
    }
    y_quad[p.y_base + i] = with_nan(best, met);
}

// Nothing is rounded: what comes out went in. A NaN may be what f16 couldn't hold.
@compute @workgroup_size(64)
fn halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let i = (id.x + id.y * count.x) * 64u + t;
    if i >= p.count { return; }
    let at = window_of(p.first + i);
    var best = vec4<f32>(minus_infinity());
    var bits = vec2<u32>(0xfc00fc00u);
    var met = vec2<u32>();
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let place = tap(at, kh, kw);
            if place != 0xffffffffu {
                let found = x_half[place];
                let value = vec4<f32>(unpack2x16float(found.x), unpack2x16float(found.y));
                let better = value > best;
                best = select(best, value, better);
                let mask = select(vec4<u32>(), vec4<u32>(0xffffu, 0xffff0000u, 0xffffu, 0xffff0000u), better);
                let kept = vec2<u32>(mask.x | mask.y, mask.z | mask.w);
                bits = (bits & ~kept) | (found & kept);
                // Half by half, the sign is set where the rest exceeds infinity's: no carry leaves a half.
                met |= (found & vec2<u32>(0x7fff7fffu)) + vec2<u32>(0x03ff03ffu);
            }
        }
    }
    let nan = (met >> vec2<u32>(15u)) & vec2<u32>(0x00010001u);
    y_half[p.y_base + i] = bits | (nan * 0x7e00u);
}
