//! One NaN among numbers reaches every output that it should, in each kernel of the forward pass, f32 and f16: what overflows is noticed.

use crate::half;
use kernels::{
    AddRelu, AddReluBuffers, AddReluDesc, AvgPool2d, AvgPool2dDesc, Conv2d, Conv2dBuffers, Conv2dDesc, Family,
    GlobalAvgPool2d, GlobalAvgPool2dDesc, Matmul, MatmulBuffers, MatmulDesc, MaxPool2d, MaxPool2dDesc, Normalize,
    NormalizeDesc, Pack, PackDesc, Precision, ScaleAddRelu, ScaleAddReluBuffers, ScaleAddReluDesc,
    reference::{self, Conv2dInputs, Expected},
    wgpu::Buffer,
};
use testkit::{Output, Samples, gpu};

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::F16];

/// Draws numbers of either sign that f16 holds, and one NaN among them.
fn with_nan(len: u64, place: usize) -> Vec<f32> {
    let mut values: Vec<f32> =
        Samples::new(7).vec(len as usize).iter().map(|value| (value * 64.0).round() / 64.0).collect();
    values[place] = f32::NAN;
    values
}

fn upload(precision: Precision, values: &[f32], channels: u32) -> Buffer {
    match precision {
        Precision::F32 => gpu().upload(values),
        Precision::F16 => half::upload(gpu(), values, channels),
    }
}

fn output(precision: Precision, expected: &Expected, channels: u32) -> Output {
    match precision {
        Precision::F32 => gpu().output(expected.values.len()),
        Precision::F16 => half::output(gpu(), expected.values.len() as u64, channels),
    }
}

fn read(precision: Precision, output: &Output, channels: u32) -> Vec<f32> {
    match precision {
        Precision::F32 => gpu().read(output),
        Precision::F16 => half::read(gpu(), output, channels),
    }
}

/// Asserts NaN where the twin has NaN and nowhere else. The output itself was NaN before the run, so that what wasn't written shows.
fn assert_same_nans(what: &str, got: &[f32], expected: &Expected) {
    assert_all_nans(what, got, expected);
    for (i, (got, want)) in got.iter().zip(&expected.values).enumerate() {
        assert!(!got.is_nan() || want.is_nan(), "{what}: element {i} is NaN instead of {want}");
    }
}

/// Asserts NaN where the twin has NaN, and not everywhere.
fn assert_all_nans(what: &str, got: &[f32], expected: &Expected) {
    assert_eq!(got.len(), expected.values.len(), "{what}");
    assert!(expected.values.iter().any(|value| value.is_nan()), "{what}: the NaN reaches no output");
    assert!(got.iter().any(|value| !value.is_nan()), "{what}: NaN is everywhere");
    for (i, (got, want)) in got.iter().zip(&expected.values).enumerate() {
        assert!(got.is_nan() || !want.is_nan(), "{what}: element {i} is {got} instead of NaN");
    }
}

/// A lost NaN, a NaN too many and one everywhere are all seen.
#[test]
fn the_comparison_can_fail() {
    let (nan, expected) = (f32::NAN, Expected::exact(&[1.0, f32::NAN, 2.0]));
    assert_same_nans("right", &[1.0, nan, 2.0], &expected);
    for got in [[1.0, 3.0, 2.0], [nan, nan, 2.0], [nan; 3]] {
        let seen = std::panic::catch_unwind(|| assert_same_nans("wrong", &got, &expected));
        assert!(seen.is_err(), "{got:?} passes");
    }
}

#[test]
fn max_pool2d() {
    for family in gpu().families() {
        for precision in PRECISIONS {
            for channels in [4, 5] {
                let desc = MaxPool2dDesc { precision, ..MaxPool2dDesc::stem(1, 6, 7, channels) };
                let plan = MaxPool2d::new(&gpu().context(family), &desc).unwrap();
                // First, middle and last of the windows that hold it.
                for pixel in [0, 8, 16, 24, 41] {
                    let input = with_nan(desc.input_len(), (pixel * channels + pixel % channels) as usize);
                    let expected = reference::max_pool2d(&desc, &input);
                    let (x, y) = (upload(precision, &input, channels), output(precision, &expected, channels));
                    gpu().run([&plan.bind(x.slice(..), y.slice()).unwrap()]);
                    let got = read(precision, &y, channels);
                    assert_same_nans(&format!("{family:?} {precision:?} {channels} {pixel}"), &got, &expected);
                }
            }
        }
    }
}

/// The windows `[1 NaN 0 0]`, `[2 1 NaN 0]`, `[3 1 0 inf]` and `[-inf -inf -inf -inf]`.
#[test]
fn max_pool2d_of_one_window() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let input = [1., 2., 3., -inf, nan, 1., 1., -inf, 0., nan, 0., -inf, 0., 0., inf, -inf];
    for family in gpu().families() {
        for precision in PRECISIONS {
            let desc = MaxPool2dDesc { kernel: [2; 2], padding: [0; 2], precision, ..MaxPool2dDesc::stem(1, 2, 2, 4) };
            let expected = reference::max_pool2d(&desc, &input);
            let (x, y) = (upload(precision, &input, 4), output(precision, &expected, 4));
            let plan = MaxPool2d::new(&gpu().context(family), &desc).unwrap();
            gpu().run([&plan.bind(x.slice(..), y.slice()).unwrap()]);
            let got = read(precision, &y, 4);
            assert!(got[0].is_nan() && got[1].is_nan() && got[2..] == [inf, -inf], "{family:?} {precision:?}: {got:?}");
        }
    }
}

#[test]
fn conv2d() {
    let block = Conv2dDesc { relu: true, ..Conv2dDesc::new(1, [12, 12], [64, 64], 3) };
    let shapes = [
        block,
        Conv2dDesc { residual: true, ..block },
        Conv2dDesc { groups: 8, ..block },
        Conv2dDesc { kernel: [1; 2], padding: [0; 2], out_channels: 72, ..block },
        Conv2dDesc { in_channels: 3, out_channels: 10, stride: [2; 2], kernel: [7; 2], padding: [3; 2], ..block },
    ];
    for family in gpu().families() {
        for (desc, precision) in shapes.iter().flat_map(|desc| PRECISIONS.map(|precision| (desc, precision))) {
            // A channel that pads a pixel is zero times NaN.
            let out_channels = precision.words(desc.out_channels) * if precision == Precision::F16 { 2 } else { 1 };
            let desc = Conv2dDesc { precision, out_channels, ..*desc };
            let plan = Conv2d::new(&gpu().context(family), &desc).unwrap();
            let input = with_nan(desc.input_len(), (13 * desc.in_channels + 1) as usize);
            let weight = Samples::new(8).vec(desc.weight_len() as usize);
            // Below zero but for what is NaN, so that ReLU is what would lose it.
            let bias = vec![-1e3; desc.out_channels as usize];
            // A second NaN comes by the residual.
            let residual = desc.residual.then(|| with_nan(desc.output_len(), desc.output_len() as usize - 3));
            let inputs =
                Conv2dInputs { input: &input, weight: &weight, bias: Some(&bias), residual: residual.as_deref() };
            let expected = reference::conv2d(&desc, &inputs, false);
            let x = upload(precision, &input, desc.in_channels);
            let added = residual.as_ref().map(|residual| upload(precision, residual, desc.out_channels));
            for variant in plan.variants() {
                let plan = plan.with_variant(variant).unwrap();
                let weights = plan.weights(&gpu().queue, &weight, Some(&bias)).unwrap();
                let y = output(precision, &expected, desc.out_channels);
                let buffers = Conv2dBuffers {
                    input: x.slice(..),
                    residual: added.as_ref().map(|added| added.slice(..)),
                    output: y.slice(),
                };
                gpu().run([&plan.bind(&weights, &buffers).unwrap()]);
                let got = read(precision, &y, desc.out_channels);
                assert_all_nans(&format!("{family:?} {variant} {desc:?}"), &got, &expected);
            }
        }
    }
}

#[test]
fn averages() {
    let context = gpu().context(Family::Tiled);
    for (precision, channels) in PRECISIONS.into_iter().flat_map(|precision| [(precision, 4), (precision, 5)]) {
        let input = with_nan(u64::from(36 * channels), (14 * channels + 2) as usize);
        let x = upload(precision, &input, channels);
        let desc = AvgPool2dDesc { precision, ..AvgPool2dDesc::new(1, 6, 6, channels, 2) };
        let expected = reference::avg_pool2d(&desc, &input);
        let y = output(precision, &expected, channels);
        gpu().run([&AvgPool2d::new(&context, &desc).unwrap().bind(x.slice(..), y.slice()).unwrap()]);
        assert_same_nans(&format!("avg {precision:?} {channels}"), &read(precision, &y, channels), &expected);

        let desc = GlobalAvgPool2dDesc { precision, ..GlobalAvgPool2dDesc::new(1, 6, 6, channels) };
        let expected = reference::global_avg_pool2d(&desc, &input);
        let y = gpu().output(expected.values.len());
        gpu().run([&GlobalAvgPool2d::new(&context, &desc).unwrap().bind(x.slice(..), y.slice()).unwrap()]);
        assert_same_nans(&format!("global {precision:?} {channels}"), &gpu().read(&y), &expected);
    }
}

#[test]
fn add_relu() {
    for (len, relu) in [(8, true), (8, false), (7, true), (7, false)] {
        let (a, b) = (with_nan(len, 2), with_nan(len, 5));
        let desc = AddReluDesc { len: len as u32, relu };
        let (gpu_a, gpu_b, y) = (gpu().upload(&a), gpu().upload(&b), gpu().output(len as usize));
        let buffers = AddReluBuffers { a: gpu_a.slice(..), b: gpu_b.slice(..), output: y.slice() };
        gpu().run([&AddRelu::new(&gpu().context(Family::Tiled), &desc).unwrap().bind(&buffers).unwrap()]);
        assert_same_nans(&format!("{len} {relu}"), &gpu().read(&y), &reference::add_relu(&desc, &a, &b));
    }
}

#[test]
fn scale_add_relu() {
    for (precision, channels) in PRECISIONS.into_iter().flat_map(|precision| [(precision, 4), (precision, 5)]) {
        let len = u64::from(6 * channels);
        let number = |value: f32| if value.is_nan() { -1.0 } else { value };
        let numbers = |len, place| with_nan(len, place).into_iter().map(number).collect::<Vec<_>>();
        let gates = u64::from(channels);
        for (input, gate, residual) in [
            (with_nan(len, 6), numbers(gates, 0), numbers(len, 0)),
            (numbers(len, 0), with_nan(gates, 1), numbers(len, 0)),
            (numbers(len, 0), numbers(gates, 0), with_nan(len, 9)),
        ] {
            let desc = ScaleAddReluDesc { precision, ..ScaleAddReluDesc::new(1, 2, 3, channels) };
            let expected = reference::scale_add_relu(&desc, &input, &gate, &residual);
            let (x, g) = (upload(precision, &input, channels), gpu().upload(&gate));
            let (added, y) = (upload(precision, &residual, channels), output(precision, &expected, channels));
            let buffers = ScaleAddReluBuffers {
                input: x.slice(..),
                gate: g.slice(..),
                residual: added.slice(..),
                output: y.slice(),
            };
            gpu().run([&ScaleAddRelu::new(&gpu().context(Family::Tiled), &desc).unwrap().bind(&buffers).unwrap()]);
            assert_same_nans(&format!("{precision:?} {channels}"), &read(precision, &y, channels), &expected);
        }
    }
}

#[test]
fn normalize() {
    // Byte 3 of green becomes NaN, as a deviation of zero makes it.
    let mut table = [[1.0; 256], [2.0; 256], [3.0; 256]];
    table[1][3] = f32::NAN;
    let bytes = [3, 1, 3, 0, 3, 0, 3, 2, 3, 9, 9, 9];
    for precision in PRECISIONS {
        let desc = NormalizeDesc { precision, ..NormalizeDesc::new(4) };
        let expected = reference::normalize(&desc, &bytes, &table);
        let (x, tables) = (gpu().upload(&bytes), gpu().upload(table.as_flattened()));
        let y = output(precision, &expected, 4);
        let plan = Normalize::new(&gpu().context(Family::Tiled), &desc).unwrap();
        gpu().run([&plan.bind(x.slice(..), tables.slice(..), y.slice()).unwrap()]);
        assert_same_nans(&format!("{precision:?}"), &read(precision, &y, 4), &expected);
    }
}

#[test]
fn pack() {
    for precision in PRECISIONS {
        let input = with_nan(24, 7);
        let desc = PackDesc { precision, ..PackDesc::rows(6, 4) };
        let expected = reference::pack(&desc, &input);
        let (x, y) = (gpu().upload(&input), output(precision, &expected, 4));
        gpu().run([&Pack::new(&gpu().context(Family::Tiled), &desc).unwrap().bind(x.slice(..), y.slice()).unwrap()]);
        assert_same_nans(&format!("{precision:?}"), &read(precision, &y, 4), &expected);
    }
}

#[test]
fn matmul() {
    for family in gpu().families() {
        for n in [8, 7] {
            let desc = MatmulDesc::new(20, 12, n);
            let (a, b) = (with_nan(20 * 12, 30), Samples::new(3).vec(12 * n as usize));
            let expected = reference::matmul(&desc, &a, &b, None);
            let (gpu_a, gpu_b, y) = (gpu().upload(&a), gpu().upload(&b), gpu().output(expected.values.len()));
            let buffers = MatmulBuffers { a: gpu_a.slice(..), b: gpu_b.slice(..), bias: None, output: y.slice() };
            gpu().run([&Matmul::new(&gpu().context(family), &desc).unwrap().bind(&buffers).unwrap()]);
            assert_same_nans(&format!("{family:?} {n}"), &gpu().read(&y), &expected);
        }
    }
}
