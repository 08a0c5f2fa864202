//! `global_avg_pool2d` on the adapter against its twin.

use crate::half;
use kernels::{Error, Family, GlobalAvgPool2d, GlobalAvgPool2dDesc, Precision, reference, wgpu::Limits};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

/// Compares both families, and both precisions where f16 holds the input; gives their dispatches, which are the same in both families.
fn check(gpu: &Gpu, desc: &GlobalAvgPool2dDesc, input: &[f32]) -> usize {
    let buffer = match desc.precision {
        Precision::F32 => gpu.upload(input),
        Precision::F16 => half::upload(gpu, input, desc.channels),
    };
    let expected = reference::global_avg_pool2d(desc, input);
    let dispatches = [Family::Tiled, Family::Texture].map(|family| {
        let output = gpu.output((desc.batch * desc.channels) as usize);
        let plan = GlobalAvgPool2d::new(&gpu.context(family), desc).unwrap();
        let commands = plan.bind(buffer.slice(..), output.slice()).unwrap();
        gpu.run([&commands]);
        assert_close(&format!("{family:?} {desc:?}"), &gpu.read(&output), &expected);
        commands.dispatches()
    });
    assert_eq!(dispatches[0], dispatches[1], "{desc:?}");
    dispatches[0]
}

fn check_samples(gpu: &Gpu, [batch, height, width, channels]: [u32; 4], seed: u64) -> usize {
    let desc = GlobalAvgPool2dDesc::new(batch, height, width, channels);
    let input = half::samples(&mut Samples::new(seed), u64::from(batch * height * width * channels));
    let halves = check(gpu, &GlobalAvgPool2dDesc { precision: Precision::F16, ..desc }, &input);
    check(gpu, &desc, &input).min(halves)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn ragged_shapes(batch in 1u32..5, height in 1u32..12, width in 1u32..12, channels in 1u32..70, seed: u64) {
        check_samples(gpu(), [batch, height, width, channels], seed);
    }
}

/// Strips and lanes that are full, cut and empty, and a loop that takes several turns.
#[test]
fn strips_of_pixels() {
    for [height, width] in [[1, 15], [4, 4], [7, 7], [1, 127], [1, 128], [1, 129], [23, 17], [1, 1000]] {
        for channels in [1, 3, 4, 12, 31, 32, 36, 64, 65] {
            check_samples(gpu(), [2, height, width, channels], 5);
        }
    }
    check_samples(gpu(), [1, 56, 56, 64], 6);
}

/// Each pixel counts once: all are one but one, which is another size wherever it lies.
#[test]
fn every_pixel_counts_once() {
    let context = gpu().context(Family::Tiled);
    let desc = GlobalAvgPool2dDesc::new(1, 10, 15, 4);
    let plan = GlobalAvgPool2d::new(&context, &desc).unwrap();
    for pixel in 0..150 {
        let mut input = vec![1f32; 150 * 4];
        input[pixel * 4 + 2] = 151.0;
        let (x, output) = (gpu().upload(&input), gpu().output(4));
        gpu().run([&plan.bind(x.slice(..), output.slice()).unwrap()]);
        assert_close(&format!("pixel {pixel}"), &gpu().read(&output), &reference::global_avg_pool2d(&desc, &input));
    }
}

#[test]
fn all_negative_and_large() {
    let mut samples = Samples::new(1);
    let input: Vec<f32> = (0..2 * 49 * 5).map(|_| -1e30 * samples.signed().abs() - 1.0).collect();
    check(gpu(), &GlobalAvgPool2dDesc::new(2, 7, 7, 5), &input);
}

#[test]
fn work_beyond_a_binding_is_split() {
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 4 << 10, ..Limits::default() });
    for channels in [20, 21] {
        // Bands of images, then an image in bands of pixels.
        assert!(check_samples(&narrow, [7, 4, 4, channels], 2) > 1);
        assert!(check_samples(&narrow, [2, 9, 11, channels], 3) > 2);
    }
    let wide = GlobalAvgPool2dDesc::new(2, 1, 1, 961);
    let (input, output) = (narrow.output(2 * 961), narrow.output(2 * 961));
    let plan = GlobalAvgPool2d::new(&narrow.context(Family::Tiled), &wide).unwrap();
    assert!(matches!(plan.bind(input.slice(), output.slice()), Err(Error::Limit { needed: 961, allowed: 960, .. })));
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let narrow = gpu_with(Limits { max_compute_workgroups_per_dimension: 4, ..Limits::default() });
    assert_eq!(check_samples(&narrow, [9, 2, 2, 67], 4), 1);
}

#[test]
fn bad_input_is_an_error() {
    let gpu = gpu();
    let context = gpu.context(Family::Tiled);
    let desc = GlobalAvgPool2dDesc::new(1, 2, 2, 4);
    let error = GlobalAvgPool2d::new(&context, &GlobalAvgPool2dDesc { width: 0, ..desc }).unwrap_err();
    assert_eq!(error.to_string(), "global_avg_pool2d: input is empty: [1, 2, 0, 4]");
    let (input, output) = (gpu.upload(&[0f32; 16]), gpu.output(5));
    let error = GlobalAvgPool2d::new(&context, &desc).unwrap().bind(input.slice(..), output.slice()).unwrap_err();
    assert_eq!(error.to_string(), "global_avg_pool2d: output needs 16 bytes, the slice has 20");
}
