//! `avg_pool2d` on the adapter against its twin.

use kernels::{AvgPool2d, AvgPool2dDesc, Error, Family, reference, wgpu::Limits};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

fn check(gpu: &Gpu, desc: &AvgPool2dDesc, input: &[f32]) -> usize {
    let [height, width] = desc.output_size().unwrap();
    let (buffer, output) = (gpu.upload(input), gpu.output((desc.batch * height * width * desc.channels) as usize));
    let plan = AvgPool2d::new(&gpu.context(Family::Tiled), desc).unwrap();
    let commands = plan.bind(buffer.slice(..), output.slice()).unwrap();
    gpu.run([&commands]);
    assert_close(&format!("{desc:?}"), &gpu.read(&output), &reference::avg_pool2d(desc, input));
    commands.dispatches()
}

fn input_len(desc: &AvgPool2dDesc) -> usize {
    (desc.batch * desc.height * desc.width * desc.channels) as usize
}

fn check_samples(gpu: &Gpu, desc: &AvgPool2dDesc, seed: u64) -> usize {
    check(gpu, desc, &Samples::new(seed).vec(input_len(desc)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn ragged_shapes(
        (batch, channels) in (1u32..4, 1u32..20), (height, width) in (1u32..20, 1u32..20),
        kernel in [1u32..6, 1u32..6], stride in [1u32..4, 1u32..4], padding in [0u32..3, 0u32..3],
        count_include_pad: bool, ceil_mode: bool, seed: u64,
    ) {
        let padding = [padding[0].min(kernel[0] / 2), padding[1].min(kernel[1] / 2)];
        let desc = AvgPool2dDesc { kernel, stride, padding, count_include_pad, ceil_mode, ..AvgPool2dDesc::new(batch, height, width, channels, 1) };
        match desc.output_size() {
            Some(_) => { check_samples(gpu(), &desc, seed); }
            None => assert!(matches!(AvgPool2d::new(&gpu().context(Family::Tiled), &desc), Err(Error::Shape { .. }))),
        }
    }
}

#[test]
fn all_negative_and_large_under_padding() {
    for count_include_pad in [false, true] {
        let desc =
            AvgPool2dDesc { stride: [1; 2], padding: [1; 2], count_include_pad, ..AvgPool2dDesc::new(2, 5, 7, 3, 3) };
        let mut samples = Samples::new(1);
        let input: Vec<f32> = (0..input_len(&desc)).map(|_| -1e30 * samples.signed().abs() - 1.0).collect();
        check(gpu(), &desc, &input);
    }
}

#[test]
fn work_beyond_a_binding_is_split() {
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 4 << 10, ..Limits::default() });
    for channels in [12, 13] {
        for (count_include_pad, ceil_mode) in [(false, false), (true, false), (false, true), (true, true)] {
            // Bands of images, then an image in bands of rows; strides on both sides of the kernel.
            for (batch, height, stride) in [(9, 5, [1, 2]), (2, 30, [1, 1]), (2, 30, [2, 1]), (2, 40, [4, 3])] {
                let desc = AvgPool2dDesc {
                    stride,
                    padding: [1; 2],
                    count_include_pad,
                    ceil_mode,
                    ..AvgPool2dDesc::new(batch, height, 7, channels, 3)
                };
                assert!(check_samples(&narrow, &desc, 2) > 1, "{desc:?}");
            }
        }
    }
    let wide = AvgPool2dDesc::new(1, 9, 60, 9, 3);
    let plan = AvgPool2d::new(&narrow.context(Family::Tiled), &wide).unwrap();
    let (input, output) = (narrow.output(input_len(&wide)), narrow.output(3 * 20 * 9));
    assert!(matches!(plan.bind(input.slice(), output.slice()), Err(Error::Limit { needed: 1620, .. })));
}

#[test]
fn windows_that_hang_over_count_in_ceil_mode() {
    let ceil = |height, width, kernel, stride: [u32; 2], padding: [u32; 2]| AvgPool2dDesc {
        stride,
        padding,
        ceil_mode: true,
        ..AvgPool2dDesc::new(1, height, width, 4, kernel)
    };
    for (desc, size) in [
        (ceil(7, 8, 2, [2; 2], [0; 2]), [4, 4]),
        // A window may exceed the whole image…
        (ceil(1, 2, 2, [2; 2], [0; 2]), [1, 1]),
        // …but none starts behind it, in the padding.
        (ceil(3, 6, 2, [2, 3], [1, 1]), [2, 3]),
        (ceil(5, 5, 2, [4, 3], [0, 1]), [2, 2]),
    ] {
        assert_eq!(desc.output_size(), Some(size), "{desc:?}");
        for count_include_pad in [false, true] {
            check_samples(gpu(), &AvgPool2dDesc { count_include_pad, ..desc }, 5);
        }
    }
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let narrow = gpu_with(Limits { max_compute_workgroups_per_dimension: 4, ..Limits::default() });
    assert_eq!(check_samples(&narrow, &AvgPool2dDesc::new(3, 12, 12, 7, 2), 4), 1);
}

#[test]
fn bad_input_is_an_error() {
    let context = gpu().context(Family::Tiled);
    let message = |desc: &AvgPool2dDesc| AvgPool2d::new(&context, desc).unwrap_err().to_string();
    let desc = AvgPool2dDesc::new(1, 4, 4, 3, 3);
    assert_eq!(
        message(&AvgPool2dDesc { padding: [2, 0], ..desc }),
        "avg_pool2d: padding [2, 0] exceeds half the kernel [3, 3]"
    );
    assert_eq!(
        message(&AvgPool2dDesc { stride: [0, 1], ..desc }),
        "avg_pool2d: stride is [0, 1], at least 1 is expected"
    );
    assert_eq!(
        message(&AvgPool2dDesc { height: 2, ..desc }),
        "avg_pool2d: a kernel of [3, 3] exceeds the input of 2x4 padded by [0, 0]"
    );
    assert_eq!(message(&AvgPool2dDesc { batch: 0, ..desc }), "avg_pool2d: input is empty: [0, 4, 4, 3]");
}
