//! The kernels on f16 tensors, each against its twin on the numbers that f16 holds.

use crate::conv2d;
use kernels::{
    AvgPool2d, AvgPool2dDesc, Commands, Conv2d, Conv2dBuffers, Conv2dDesc, Error, Family, GlobalAvgPool2d,
    GlobalAvgPool2dDesc, MaxPool2d, MaxPool2dDesc, Normalize, NormalizeDesc, OverflowFlag, OverflowFlags, Pack,
    PackDesc, Precision, ScaleAddRelu, ScaleAddReluBuffers, ScaleAddReluDesc, from_halves, halves,
    reference::{self, Conv2dInputs, Expected},
    wgpu::{Buffer, Limits},
};
use proptest::prelude::*;
use testkit::{Gpu, Output, Samples, assert_close, gpu, gpu_with};

/// Rounds a number to f16. None is so small that a driver may take it for zero.
fn rounded(value: f32) -> f32 {
    let value = half::f16::from_f32(value).to_f32();
    if value.abs() < 1.0 / 16384.0 { 0.0 } else { value }
}

pub(crate) fn samples(samples: &mut Samples, len: u64) -> Vec<f32> {
    samples.vec(len as usize).into_iter().map(rounded).collect()
}

pub(crate) fn upload(gpu: &Gpu, values: &[f32], channels: u32) -> Buffer {
    gpu.upload(&halves(values, channels as usize))
}

/// Makes an f16 tensor of so many numbers.
pub(crate) fn output(gpu: &Gpu, len: u64, channels: u32) -> Output {
    gpu.output((len / u64::from(channels)) as usize * Precision::F16.words(channels) as usize)
}

/// Reads its numbers; the channels that pad a pixel must be zero.
pub(crate) fn read(gpu: &Gpu, output: &Output, channels: u32) -> Vec<f32> {
    let words: Vec<u32> = gpu.read(output).iter().map(|word| word.to_bits()).collect();
    let padded = channels.next_multiple_of(4) as usize;
    for pixel in from_halves(&words, padded).chunks(padded) {
        assert!(pixel[channels as usize..].iter().all(|&value| value == 0.0), "{pixel:?} of {channels} channels");
    }
    from_halves(&words, channels as usize)
}

/// Plans a convolution of f16 tensors.
fn plan(gpu: &Gpu, desc: &Conv2dDesc) -> Conv2d {
    Conv2d::new(gpu.shared_context(Family::Tiled), &Conv2dDesc { precision: Precision::F16, ..*desc }).unwrap()
}

/// Checks a convolution in every way.
fn conv_variants(desc: &Conv2dDesc, seed: u64) {
    let plan = plan(gpu(), desc);
    for variant in [plan.variants(), conv2d::splits(&plan)].concat() {
        check_plan(gpu(), &plan.with_variant(variant).unwrap(), seed);
    }
}

/// Checks a convolution; gives its dispatches, and whether it is Winograd.
fn conv(gpu: &Gpu, desc: &Conv2dDesc, seed: u64) -> (usize, bool) {
    check_plan(gpu, &plan(gpu, desc), seed)
}

/// Runs a plan of f16 tensors and compares; gives its dispatches and whether Winograd ran.
pub(crate) fn check_plan(gpu: &Gpu, plan: &Conv2d, seed: u64) -> (usize, bool) {
    let desc = plan.desc();
    let mut random = Samples::new(seed);
    let input = samples(&mut random, desc.input_len());
    let weight = samples(&mut random, desc.weight_len());
    let bias = random.vec(desc.out_channels as usize);
    let residual = desc.residual.then(|| samples(&mut random, desc.output_len()));
    let (x, added) =
        (upload(gpu, &input, desc.in_channels), residual.as_ref().map(|r| upload(gpu, r, desc.out_channels)));
    let y = output(gpu, desc.output_len(), desc.out_channels);
    let weights = plan.weights(&gpu.queue, &weight, Some(&bias)).unwrap();
    let buffers =
        Conv2dBuffers { input: x.slice(..), residual: added.as_ref().map(|r| r.slice(..)), output: y.slice() };
    let commands = plan.bind(&weights, &buffers).unwrap();
    gpu.run([&commands]);
    let inputs = Conv2dInputs { input: &input, weight: &weight, bias: Some(&bias), residual: residual.as_deref() };
    let expected = reference::conv2d(desc, &inputs, plan.is_winograd()).to_f16();
    assert_close(&format!("{} {desc:?}", plan.variant()), &read(gpu, &y, desc.out_channels), &expected);
    (commands.dispatches(), plan.is_winograd())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn convolutions_of_ragged_shapes(
        batch in 1u32..3, height in 1u32..10, width in 1u32..10, group_in in 1u32..9, group_out in 1u32..9,
        groups in 1u32..5, kernel in prop::array::uniform2(1u32..4), stride in prop::array::uniform2(1u32..3),
        padding in prop::array::uniform2(0u32..3), dilation in prop::array::uniform2(1u32..3),
        residual: bool, relu: bool, seed: u64,
    ) {
        let desc = Conv2dDesc {
            batch, height, width, in_channels: group_in * groups, out_channels: group_out * groups,
            kernel, stride, padding, dilation, groups, residual, relu, precision: Precision::F16,
        };
        prop_assume!(desc.output_size().is_some());
        conv_variants(&desc, seed);
    }

    #[test]
    fn pools_of_ragged_shapes(
        batch in 1u32..3, height in 1u32..10, width in 1u32..10, channels in 1u32..12, kernel in 1u32..4,
        stride in 1u32..3, padding in 0u32..2, seed: u64,
    ) {
        prop_assume!(padding <= kernel / 2 && kernel <= height.min(width) + 2 * padding);
        pools(gpu(), [batch, height, width, channels], [kernel, stride, padding], seed);
    }

    #[test]
    fn gates_of_ragged_shapes(
        batch in 1u32..4, height in 1u32..6, width in 1u32..6, channels in 1u32..20, seed: u64,
    ) {
        gate(gpu(), [batch, height, width, channels], seed);
    }
}

/// Checks max-pooling, averages, the mean over all pixels, and packing from f32. Gives all their dispatches.
fn pools(gpu: &Gpu, sizes: [u32; 4], window: [u32; 3], seed: u64) -> usize {
    let [batch, height, width, channels] = sizes;
    let context = gpu.context(Family::Tiled);
    let input = samples(&mut Samples::new(seed), sizes.iter().map(|&size| u64::from(size)).product());
    let x = upload(gpu, &input, channels);
    let mut dispatches = 0;
    let mut run = |commands: Commands, y: &Output, expected: &Expected, what: &str| {
        gpu.run([&commands]);
        dispatches += commands.dispatches();
        assert_close(&format!("{what} {sizes:?} {window:?}"), &read(gpu, y, channels), expected);
    };
    let ([kernel, stride, padding], precision) = (window.map(|size| [size; 2]), Precision::F16);

    let desc =
        MaxPool2dDesc { kernel, stride, padding, precision, ..MaxPool2dDesc::stem(batch, height, width, channels) };
    let y = output(gpu, desc.output_len(), channels);
    let plan = MaxPool2d::new(&context, &desc).unwrap();
    run(plan.bind(x.slice(..), y.slice()).unwrap(), &y, &reference::max_pool2d(&desc, &input), "max");

    let desc = AvgPool2dDesc {
        kernel,
        stride,
        padding,
        count_include_pad: false,
        ceil_mode: true,
        precision,
        ..AvgPool2dDesc::new(batch, height, width, channels, 2)
    };
    let expected = reference::avg_pool2d(&desc, &input).to_f16();
    let y = output(gpu, expected.values.len() as u64, channels);
    let plan = AvgPool2d::new(&context, &desc).unwrap();
    run(plan.bind(x.slice(..), y.slice()).unwrap(), &y, &expected, "avg");

    let pixels = batch * height * width;
    let desc = PackDesc { precision, ..PackDesc::rows(pixels, channels) };
    let raw: Vec<f32> = input.iter().map(|value| value * 1.0009).collect();
    let y = output(gpu, input.len() as u64, channels);
    let plan = Pack::new(&context, &desc).unwrap();
    let packed = plan.bind(gpu.upload(&raw).slice(..), y.slice()).unwrap();
    run(packed, &y, &Expected::exact(&raw).to_f16(), "pack");

    // f32 comes out.
    let desc = GlobalAvgPool2dDesc { precision, ..GlobalAvgPool2dDesc::new(batch, height, width, channels) };
    let y = gpu.output((batch * channels) as usize);
    let plan = GlobalAvgPool2d::new(&context, &desc).unwrap();
    let commands = plan.bind(x.slice(..), y.slice()).unwrap();
    gpu.run([&commands]);
    assert_close(&format!("mean {sizes:?}"), &gpu.read(&y), &reference::global_avg_pool2d(&desc, &input));
    dispatches + commands.dispatches()
}

#[test]
fn photos_are_normalised_to_halves() {
    for pixels in [1, 63, 64, 257] {
        let desc = NormalizeDesc { precision: Precision::F16, ..NormalizeDesc::new(pixels) };
        let (bytes, table) = (crate::normalize::photos(pixels, 7), crate::normalize::table(8));
        let y = output(gpu(), u64::from(pixels) * 4, 4);
        let (input, tables) = (gpu().upload(&bytes), gpu().upload(table.as_flattened()));
        let plan = Normalize::new(&gpu().context(Family::Tiled), &desc).unwrap();
        gpu().run([&plan.bind(input.slice(..), tables.slice(..), y.slice()).unwrap()]);
        let expected = reference::normalize(&desc, &bytes, &table).to_f16();
        assert_close(&format!("{pixels} pixels"), &read(gpu(), &y, 4), &expected);
    }
}

fn gate(gpu: &Gpu, sizes: [u32; 4], seed: u64) -> usize {
    let [batch, height, width, channels] = sizes;
    let mut random = Samples::new(seed);
    let len = sizes.iter().map(|&size| u64::from(size)).product();
    let (input, residual) = (samples(&mut random, len), samples(&mut random, len));
    let gate = random.scaled((batch * channels) as usize, 6.0);
    let (x, added, g) = (upload(gpu, &input, channels), upload(gpu, &residual, channels), gpu.upload(&gate));
    let y = output(gpu, len, channels);
    let precision = Precision::F16;
    let desc = ScaleAddReluDesc { precision, ..ScaleAddReluDesc::new(batch, height, width, channels) };
    let plan = ScaleAddRelu::new(&gpu.context(Family::Tiled), &desc).unwrap();
    let buffers =
        ScaleAddReluBuffers { input: x.slice(..), gate: g.slice(..), residual: added.slice(..), output: y.slice() };
    let commands = plan.bind(&buffers).unwrap();
    gpu.run([&commands]);
    let expected = reference::scale_add_relu(&desc, &input, &gate, &residual).to_f16();
    assert_close(&format!("{desc:?}"), &read(gpu, &y, channels), &expected);
    commands.dispatches()
}

/// Tiles of two panels of 64 output channels, the last of which is alone.
#[test]
fn odd_numbers_of_panels() {
    for outputs in [130, 132] {
        conv_variants(&Conv2dDesc { residual: true, relu: true, ..Conv2dDesc::new(1, [6, 12], [20, outputs], 3) }, 7);
    }
}

#[test]
fn the_layers_of_a_resnet() {
    let block = Conv2dDesc { relu: true, ..Conv2dDesc::new(2, [17, 19], [64, 64], 3) };
    for (desc, winograd) in [
        (Conv2dDesc { stride: [2, 2], relu: true, ..Conv2dDesc::new(1, [20, 20], [3, 64], 7) }, false),
        (block, true),
        (Conv2dDesc { residual: true, ..block }, true),
        (Conv2dDesc { stride: [2, 2], out_channels: 128, ..block }, false),
        (Conv2dDesc { kernel: [1, 1], padding: [0, 0], residual: true, ..block }, false),
        (Conv2dDesc { groups: 32, stride: [2, 2], in_channels: 128, out_channels: 128, ..block }, false),
        (Conv2dDesc { groups: 32, in_channels: 256, out_channels: 256, residual: true, ..block }, false),
    ] {
        assert_eq!(conv(gpu(), &desc, 3).1, winograd, "{desc:?}");
    }
}

#[test]
fn work_beyond_a_binding_is_split() {
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 20 << 10, ..Limits::default() });
    for desc in [
        Conv2dDesc { residual: true, ..Conv2dDesc::new(12, [8, 8], [16, 20], 3) },
        Conv2dDesc { stride: [2, 2], dilation: [2, 1], relu: true, ..Conv2dDesc::new(1, [40, 30], [16, 7], 3) },
        Conv2dDesc { groups: 8, residual: true, ..Conv2dDesc::new(6, [12, 20], [32, 32], 3) },
        Conv2dDesc::new(1, [6, 6], [64, 192], 1),
    ] {
        assert!(conv(&narrow, &desc, 5).0 > 1, "{desc:?}");
    }
    // Four operations: more than that if split.
    assert!(pools(&narrow, [5, 30, 20, 7], [3, 2, 1], 7) > 4);
    assert!(pools(&narrow, [1, 50, 21, 12], [2, 2, 0], 7) > 4);
    assert!(gate(&narrow, [7, 9, 11, 21], 9) > 1);
    assert!(gate(&narrow, [1, 30, 31, 10], 9) > 1);
}

/// What f16 can't hold doesn't turn into a number that looks right, neither in the layer nor in those behind it.
#[test]
fn what_is_too_large_is_noticed() {
    let gpu = gpu();
    let context = gpu.context(Family::Tiled);
    let precision = Precision::F16;
    let desc = Conv2dDesc { relu: true, precision, ..Conv2dDesc::new(1, [32, 32], [64, 64], 3) };
    let weight = vec![1.0; desc.weight_len() as usize];
    let negative = vec![-1.0; desc.weight_len() as usize];
    let input = upload(gpu, &vec![400.0; desc.input_len() as usize], 64);
    for winograd in [true, false] {
        let mut tune = context.tune().clone();
        tune.winograd = winograd;
        let context = kernels::Context::with_tune(&gpu.device, tune);
        let plan = Conv2d::new(&context, &desc).unwrap();
        assert_eq!(plan.is_winograd(), winograd);
        let [first, second, means] = [desc.output_len(), desc.output_len(), 64 * 2].map(|len| output(gpu, len, 64));
        let mut commands = Vec::new();
        for (weight, input, output) in [(&weight, input.slice(..), &first), (&negative, first.slice(), &second)] {
            let weights = plan.weights(&gpu.queue, weight, None).unwrap();
            let buffers = Conv2dBuffers { input, residual: None, output: output.slice() };
            commands.push(plan.bind(&weights, &buffers).unwrap());
        }
        let pool = MaxPool2dDesc { precision, ..MaxPool2dDesc::stem(1, 32, 32, 64) };
        let pooled = output(gpu, pool.output_len(), 64);
        let plan = MaxPool2d::new(&context, &pool).unwrap();
        commands.push(plan.bind(second.slice(), pooled.slice()).unwrap());
        let mean = GlobalAvgPool2dDesc { precision, ..GlobalAvgPool2dDesc::new(1, 16, 16, 64) };
        let plan = GlobalAvgPool2d::new(&context, &mean).unwrap();
        commands.push(plan.bind(pooled.slice(), means.slice()).unwrap());
        gpu.run(&commands);
        for output in [&first, &second, &pooled] {
            let values = read(gpu, output, 64);
            assert!(values.iter().all(|value| !value.is_finite()), "{winograd} {:?}", &values[..8]);
        }
        assert!(gpu.read(&means).iter().all(|value| !value.is_finite()), "{winograd}");
    }
    let desc = Conv2dDesc { precision, ..Conv2dDesc::new(1, [4, 4], [4, 4], 1) };
    let plan = Conv2d::new(&context, &desc).unwrap();
    let error = plan.weights(&gpu.queue, &[-7e4; 16], None).unwrap_err();
    assert_eq!(error.to_string(), "conv2d: a weight of -70000 is beyond f16, which ends at 65504: use f32");
}

/// Runs an operation that watches the second of three flags, and tells whether that is set. No other may be.
fn flagged(gpu: &Gpu, operation: impl FnOnce(&OverflowFlag) -> Commands) -> bool {
    let flags = OverflowFlags::new(&gpu.device, 3).unwrap();
    gpu.run([&operation(&flags.flag(1).unwrap())]);
    let words: Vec<u32> = gpu.download(flags.buffer());
    let set = flags.first(&words).is_some();
    assert_eq!(flags.first(&words), set.then_some(1));
    assert_eq!(words.iter().filter(|&&word| word != 0).count(), usize::from(set));
    set
}

/// Tells whether a convolution that makes one and a half of one element of the input, and nothing of the others, sets its flag.
pub(crate) fn conv_flags(gpu: &Gpu, plan: &Conv2d, element: u64, value: f32) -> bool {
    let desc = plan.desc();
    let mut input = vec![0.0; desc.input_len() as usize];
    input[element as usize] = value;
    let mut weight = vec![0.0; desc.weight_len() as usize];
    let taps = (desc.kernel[0] * desc.kernel[1]) as usize;
    let channel = element as usize % desc.in_channels as usize;
    let (group_in, group_out) = ((desc.in_channels / desc.groups) as usize, (desc.out_channels / desc.groups) as usize);
    let output = channel / group_in * group_out + group_out - 1;
    weight[(output * group_in + channel % group_in) * taps + taps / 2] = 1.5;
    let weights = plan.weights(&gpu.queue, &weight, None).unwrap();
    let x = upload(gpu, &input, desc.in_channels);
    let y = output_of(gpu, desc);
    flagged(gpu, |flag| {
        let buffers = Conv2dBuffers { input: x.slice(..), residual: None, output: y.slice() };
        plan.watched(flag).bind(&weights, &buffers).unwrap()
    })
}

fn output_of(gpu: &Gpu, desc: &Conv2dDesc) -> Output {
    output(gpu, desc.output_len(), desc.out_channels)
}

/// One number beyond f16, or one NaN, sets the flag of the convolution that makes it, in each of its variants; what ReLU takes away doesn't.
#[test]
fn a_convolution_flags_what_is_too_large() {
    let block = Conv2dDesc { precision: Precision::F16, ..Conv2dDesc::new(2, [9, 10], [64, 64], 3) };
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 20 << 10, ..Limits::default() });
    let mut algorithms = std::collections::HashSet::new();
    for (gpu, desc) in [
        (gpu(), block),
        (gpu(), Conv2dDesc { groups: 8, ..block }),
        (gpu(), Conv2dDesc { kernel: [1, 1], padding: [0, 0], out_channels: 10, ..block }),
        (&narrow, Conv2dDesc { batch: 12, in_channels: 16, out_channels: 20, ..block }),
    ] {
        for relu in [true, false] {
            let desc = Conv2dDesc { relu, ..desc };
            let plan = Conv2d::new(&gpu.context(Family::Tiled), &desc).unwrap();
            for variant in plan.variants() {
                algorithms.insert(variant.to_string().split(' ').next().unwrap().to_owned());
                let plan = plan.with_variant(variant).unwrap();
                for element in [0, desc.input_len() / 2 + 3, desc.input_len() - 1] {
                    for (value, expected) in
                        [(0.0, false), (4e4, false), (5e4, true), (-4e4, false), (-5e4, !relu), (f32::NAN, true)]
                    {
                        let got = conv_flags(gpu, &plan, element, value);
                        assert_eq!(got, expected, "{variant} {desc:?}: {value} at {element}");
                    }
                }
            }
        }
    }
    assert!(algorithms.len() >= 3, "{algorithms:?}");
}

#[test]
fn gates_and_packing_flag_what_is_too_large() {
    let (context, precision) = (gpu().context(Family::Tiled), Precision::F16);
    for channels in [8, 7] {
        let len = 6 * channels as usize;
        for place in [0, len / 2, len - 1] {
            for (value, expected) in [(0.0, false), (-5e4, false), (6e4, false), (7e4, true), (f32::NAN, true)] {
                let what = format!("{value} at {place} of {channels} channels");
                let mut input = vec![1.0; len];
                input[place] = value;
                let y = output(gpu(), len as u64, channels);
                let desc = PackDesc { precision, ..PackDesc::rows(6, channels) };
                let (plan, x) = (Pack::new(&context, &desc).unwrap(), gpu().upload(&input));
                let got = flagged(gpu(), |flag| plan.watched(flag).bind(x.slice(..), y.slice()).unwrap());
                assert_eq!(got, expected, "pack: {what}");

                // Half of it comes by the gate, half by the residual.
                let half = input.iter().map(|value| value / 2.0).collect::<Vec<_>>();
                let (x, gate) = (upload(gpu(), &half, channels), gpu().upload(&vec![30f32; channels as usize]));
                let desc = ScaleAddReluDesc { precision, ..ScaleAddReluDesc::new(1, 2, 3, channels) };
                let plan = ScaleAddRelu::new(&context, &desc).unwrap();
                let (input, gate, residual, output) = (x.slice(..), gate.slice(..), x.slice(..), y.slice());
                let buffers = ScaleAddReluBuffers { input, gate, residual, output };
                let got = flagged(gpu(), |flag| plan.watched(flag).bind(&buffers).unwrap());
                assert_eq!(got, expected, "scale_add_relu: {what}");
            }
        }
    }
    let flags = OverflowFlags::new(&gpu().device, 3).unwrap();
    assert!(matches!(flags.flag(3), Err(Error::Shape { .. })));
}

/// Why Winograd's transformed values stay f32: rounded to f16 they would be ten times as wrong as a
/// direct convolution of f16 numbers.
#[test]
fn winograd_in_f16_would_be_ten_times_less_exact() {
    const B: [[f64; 6]; 6] = [
        [4., 0., -5., 0., 1., 0.],
        [0., -4., -4., 1., 1., 0.],
        [0., 4., -4., -1., 1., 0.],
        [0., -2., -1., 2., 1., 0.],
        [0., 2., -1., -2., 1., 0.],
        [0., 4., 0., -5., 0., 1.],
    ];
    const G: [[f64; 3]; 6] = [
        [1. / 4., 0., 0.],
        [-1. / 6., -1. / 6., -1. / 6.],
        [-1. / 6., 1. / 6., -1. / 6.],
        [1. / 24., 1. / 12., 1. / 6.],
        [1. / 24., -1. / 12., 1. / 6.],
        [0., 0., 1.],
    ];
    const A: [[f64; 6]; 4] =
        [[1., 1., 1., 1., 1., 0.], [0., 1., -1., 2., -2., 0.], [0., 1., 1., 4., 4., 0.], [0., 1., -1., 8., -8., 1.]];
    fn both<const R: usize, const C: usize>(matrix: &[[f64; C]; R], x: &[f64]) -> Vec<f64> {
        let line = |i: usize, j: usize| -> f64 { (0..C * C).map(|k| matrix[i][k / C] * x[k] * matrix[j][k % C]).sum() };
        (0..R * R).map(|k| line(k / R, k % R)).collect()
    }
    let to_f16 = |x: &[f64]| -> Vec<f64> { x.iter().map(|&x| half::f16::from_f64(x).to_f64()).collect() };
    let mut random = Samples::new(1);
    let (mut rounded, mut transformed, mut scale) = (0.0, 0.0, 0.0);
    for _ in 0..20 {
        let (mut exact, mut direct, mut sums) = ([0.0; 16], [0.0; 16], vec![0.0; 36]);
        for _ in 0..64 {
            // Activations behind a ReLU, weights of either sign, as f32 has them.
            let x: Vec<f64> = (0..36).map(|_| f64::from(random.signed().max(0.0))).collect();
            let w: Vec<f64> = (0..9).map(|_| f64::from(random.signed())).collect();
            let (x16, w16) = (to_f16(&x), to_f16(&w));
            for (k, (exact, direct)) in exact.iter_mut().zip(&mut direct).enumerate() {
                for tap in 0..9 {
                    let place = (k / 4 + tap / 3) * 6 + k % 4 + tap % 3;
                    *exact += x[place] * w[tap];
                    *direct += x16[place] * w16[tap];
                }
            }
            let (v, u) = (to_f16(&both(&B, &x16)), to_f16(&both(&G, &w)));
            sums.iter_mut().zip(v.iter().zip(&u)).for_each(|(sum, (v, u))| *sum += v * u);
        }
        let winograd = both(&A, &to_f16(&sums));
        for k in 0..16 {
            rounded += (direct[k] - exact[k]).powi(2);
            transformed += (winograd[k] - exact[k]).powi(2);
            scale += exact[k].powi(2);
        }
    }
    let [rounded, transformed] = [rounded, transformed].map(|error: f64| (error / scale).sqrt());
    println!("relative error: direct {rounded:.1e}, winograd {transformed:.1e}");
    assert!(rounded < 1e-3 && transformed > 10.0 * rounded, "{rounded:e} {transformed:e}");
}
