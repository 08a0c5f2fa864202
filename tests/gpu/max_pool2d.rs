//! `max_pool2d` on the adapter against its twin.

use kernels::{Family, MaxPool2d, MaxPool2dDesc, reference, wgpu::Limits};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

fn check(gpu: &Gpu, family: Family, desc: &MaxPool2dDesc, input: &[f32]) -> usize {
    let output = gpu.output(desc.output_len() as usize);
    let buffer = gpu.upload(input);
    let pool = MaxPool2d::new(&gpu.context(family), desc).unwrap();
    let commands = pool.bind(buffer.slice(..), output.slice()).unwrap();
    gpu.run([&commands]);
    assert_close(&format!("{family:?} {desc:?}"), &gpu.read(&output), &reference::max_pool2d(desc, input));
    commands.dispatches()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn ragged_shapes(
        batch in 1u32..4, height in 1u32..14, width in 1u32..14, channels in 1u32..14,
        kernel in prop::array::uniform2(1u32..5), stride in prop::array::uniform2(1u32..4),
        pad: bool, dilation in prop::array::uniform2(1u32..3), shift in -1.0f32..1.0, seed: u64,
    ) {
        let padding = if pad { kernel.map(|size| size / 2) } else { [0, 0] };
        let desc = MaxPool2dDesc { kernel, stride, padding, dilation, ..MaxPool2dDesc::stem(batch, height, width, channels) };
        prop_assume!(desc.output_size().is_some());
        // Some inputs all negative, some all positive, most mixed.
        let input: Vec<f32> =
            Samples::new(seed).vec(desc.input_len() as usize).iter().map(|value| value + 2.0 * shift).collect();
        for family in gpu().families() {
            check(gpu(), family, &desc, &input);
        }
    }
}

#[test]
fn padding_is_not_zero() {
    let desc = MaxPool2dDesc::stem(1, 6, 6, 8);
    let input: Vec<f32> = Samples::new(1).vec(desc.input_len() as usize).iter().map(|value| value - 2.0).collect();
    for family in gpu().families() {
        check(gpu(), family, &desc, &input);
    }
}

#[test]
fn work_beyond_a_binding_is_split() {
    let narrow = gpu_with(Limits {
        max_storage_buffer_binding_size: 8 << 10,
        max_compute_workgroups_per_dimension: 16,
        ..Limits::default()
    });
    let desc = MaxPool2dDesc::stem(3, 25, 18, 16);
    let input = Samples::new(3).vec(desc.input_len() as usize);
    for family in narrow.families() {
        assert!(check(&narrow, family, &desc, &input) > 1);
    }
}

#[test]
fn bad_input_is_an_error() {
    let context = gpu().context(Family::Tiled);
    let good = MaxPool2dDesc::stem(1, 6, 6, 4);
    let message = |desc: MaxPool2dDesc| MaxPool2d::new(&context, &desc).unwrap_err().to_string();
    assert_eq!(
        message(MaxPool2dDesc { padding: [2, 1], ..good }),
        "max_pool2d: padding [2, 1] is more than half of the window [3, 3]"
    );
    assert!(message(MaxPool2dDesc { channels: 0, ..good }).contains("input is empty"));
    assert!(message(MaxPool2dDesc { kernel: [9, 3], padding: [0, 0], ..good }).contains("exceeds the input"));
}
