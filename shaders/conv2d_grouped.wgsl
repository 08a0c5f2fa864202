// conv2d, tiled family, narrow groups: y = relu(conv(x, w) + bias + residual) without the zeros between groups, for real GPUs.
//
// Formula   as conv2d.wgsl's, c counted within the group of o.
// Layouts   x, residual, y: as conv2d.wgsl's, vec4 (main) or f16 quads (halves). w: quads of outputs, the quad o4 of (tap, c)
//           at (tap group_in + c) out_channels / 4 + o4.
// Dispatch  64 invocations a workgroup, four pixels x four channels of y each, channels fastest: neighbours read neighbouring
//           channels of x and of w, and write neighbouring ones of y.
// How       As a tile of 64 output channels a group of 4 would be a sixteenth of the products, the rest being zeros (of 8 an
//           eighth, of 16 a quarter). Here nothing is wasted, and nothing is shared by workgroup memory either: an invocation
//           reads 8 quads for 64 multiply-adds, all but the first of each from the first cache: a quarter to a half of a core's
//           peak, where 64 bytes a clock come from there. From groups of 32 on the tile is better.
// Limits    group_in and group_out divisible by 4; the whole weight in one binding. About 50 registers.
// In bounds w and bias: o4 is taken modulo its quads, taps and channels end with the weight. x: only inside of the image, of pixels of this
//           window (others start below every image), whose rows are bound. y and residual: pixels before pixel_end.
// Paper     Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", 2016, section 3.
// Twin      kernels::reference::conv2d.

override f16_tensors: bool = false;

struct Params {
    height: u32,
    width: u32,
    channels4: u32,
    span4: u32,
    out_height: u32,
    out_width: u32,
    out_channels: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: u32,
    pad_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    group_in: u32,    // input channels of a group
    group_out: u32,   // output channels of a group
    pixel_first: u32, // of this window, counted over the batch
    pixel_end: u32,
    panel_first: u32,
    x_base: u32,      // quad of x at which the batch starts
    y_base: u32,      // vec4 or quad of y and residual at which pixel_first stands
    relu: u32,
    has_residual: u32,
    groups: u32,      // workgroups in all
    phases: u32,        // of columns, where rows are read (texture family)
    phase_columns: u32, // columns of a phase (texture family)
    parts: u32,         // of k (tiled family)
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> w: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read> residual_half: array<vec2<u32>>;
@group(0) @binding(9) var<storage, read_write> y_half: array<vec2<u32>>;
@group(0) @binding(10) var<storage, read_write> overflow: array<atomic<u32>>; // set where f16 is too small

fn from_half(bits: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(bits.x), unpack2x16float(bits.y));
}

// WGSL leaves open what becomes of numbers beyond f16: here they become infinite or NaN, and the flag is set, whatever later layers make of
// them. Bits are compared (with those of 65504), for compilers may take it that nothing is NaN.
fn to_half2(v: vec2<f32>) -> u32 {
    let held = (bitcast<vec2<u32>>(v) & vec2<u32>(0x7fffffffu)) <= vec2<u32>(0x477fe000u);
    if !all(held) { atomicStore(&overflow[0], 1u); }
    let lost = select(vec2<u32>(0x7c00u, 0x7c000000u), vec2<u32>(), held);
    return pack2x16float(clamp(v, vec2<f32>(-65504.0), vec2<f32>(65504.0))) | lost.x | lost.y;
}

// Where a pixel's window starts. Past the end it starts below every image.
struct Corner {
    image: u32,
    row: u32,
    column: u32,
}

fn corner(pixel: u32) -> Corner {
    let area = p.out_height * p.out_width;
    let n = pixel / area;
    let rest = pixel % area;
    let row = rest / p.out_width * p.stride_h - p.pad_h;
    return Corner(n * p.height, select(0x80000000u, row, pixel < p.pixel_end), rest % p.out_width * p.stride_w - p.pad_w);
}

fn load_x(at: Corner, kh: u32, kw: u32, c4: u32) -> vec4<f32> {
    let r = at.row + kh * p.dilation_h;
    let c = at.column + kw * p.dilation_w;
    if r >= p.height || c >= p.width { return vec4<f32>(); }
    let i = p.x_base + ((at.image + r) * p.width + c) * p.channels4 + c4;
    if f16_tensors { return from_half(x[i]); }
    return vec4<f32>(bitcast<vec2<f32>>(x[2u * i]), bitcast<vec2<f32>>(x[2u * i + 1u]));
}

fn load_w(i: u32) -> vec4<f32> {
    if f16_tensors { return from_half(w[i]); }
    return vec4<f32>(bitcast<vec2<f32>>(w[2u * i]), bitcast<vec2<f32>>(w[2u * i + 1u]));
}

// Four channels, the quad o4, of four pixels from first_pixel on.
struct Sums {
    first_pixel: u32,
    o4: u32,
    s: array<vec4<f32>, 4>,
}

fn sums(i: u32) -> Sums {
    let outputs4 = p.out_channels / 4u;
    let o4 = i % outputs4;
    let pixel = p.pixel_first + i / outputs4 * 4u;
    let first4 = o4 * 4u / p.group_out * p.group_in / 4u;
    let at0 = corner(pixel);
    let at1 = corner(pixel + 1u);
    let at2 = corner(pixel + 2u);
    let at3 = corner(pixel + 3u);
    var s0 = bias[o4];
    var s1 = s0;
    var s2 = s0;
    var s3 = s0;
    var place = o4;
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            for (var c4 = first4; c4 < first4 + p.group_in / 4u; c4++) {
                let w0 = load_w(place);
                let w1 = load_w(place + outputs4);
                let w2 = load_w(place + 2u * outputs4);
                let w3 = load_w(place + 3u * outputs4);
                place += 4u * outputs4;
                let x0 = load_x(at0, kh, kw, c4);
                let x1 = load_x(at1, kh, kw, c4);
                let x2 = load_x(at2, kh, kw, c4);
                let x3 = load_x(at3, kh, kw, c4);
                s0 = s0 + x0.x * w0 + x0.y * w1 + x0.z * w2 + x0.w * w3;
                s1 = s1 + x1.x * w0 + x1.y * w1 + x1.z * w2 + x1.w * w3;
                s2 = s2 + x2.x * w0 + x2.y * w1 + x2.z * w2 + x2.w * w3;
                s3 = s3 + x3.x * w0 + x3.y * w1 + x3.z * w2 + x3.w * w3;
            }
        }
    }
    return Sums(pixel, o4, array<vec4<f32>, 4>(s0, s1, s2, s3));
}

// max(0, v); NaN stays NaN. Bits are compared, for compilers may take it that nothing is NaN: below zero is what has the sign and isn't
// beyond minus infinity.
fn rectified(v: vec4<f32>) -> vec4<f32> {
    return select(v, vec4<f32>(), bitcast<vec4<u32>>(v) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u));
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    var sum = sums((id.x + id.y * count.x) * 64u + t);
    for (var i = 0u; i < 4u; i++) {
        let pixel = sum.first_pixel + i;
        if pixel < p.pixel_end {
            let at = p.y_base + (pixel - p.pixel_first) * p.out_channels / 4u + sum.o4;
            var v = sum.s[i];
            if p.has_residual != 0u { v += residual[at]; }
            if p.relu != 0u { v = rectified(v); }
            y[at] = v;
        }
    }
}

@compute @workgroup_size(64)
fn halves(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    var sum = sums((id.x + id.y * count.x) * 64u + t);
    for (var i = 0u; i < 4u; i++) {
        let pixel = sum.first_pixel + i;
        if pixel < p.pixel_end {
            let at = p.y_base + (pixel - p.pixel_first) * p.out_channels / 4u + sum.o4;
            var v = sum.s[i];
            if p.has_residual != 0u { v += from_half(residual_half[at]); }
            if p.relu != 0u { v = rectified(v); }
            y_half[at] = vec2<u32>(to_half2(v.xy), to_half2(v.zw));
        }
    }
}
