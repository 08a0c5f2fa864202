//! `pack` on the adapter against its twin.

use kernels::{Family, Pack, PackDesc, reference, wgpu::Limits};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

fn check(gpu: &Gpu, desc: &PackDesc, seed: u64) -> usize {
    let input = Samples::new(seed).vec(desc.input_len() as usize);
    let output = gpu.output(desc.output_len() as usize);
    let pack = Pack::new(&gpu.context(Family::Tiled), desc).unwrap();
    let buffer = gpu.upload(&input);
    let commands = pack.bind(buffer.slice(..), output.slice()).unwrap();
    gpu.run([&commands]);
    assert_close(&format!("{desc:?}"), &gpu.read(&output), &reference::pack(desc, &input));
    commands.dispatches()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn ragged_shapes(
        batch in 1u32..4, rows in 1u32..40, columns in 1u32..90, extra in 0u32..4,
        panel4 in 1u32..17, transpose: bool, seed: u64,
    ) {
        let (row_stride, column_stride) = if transpose { (1, rows) } else { (columns, 1) };
        let desc = PackDesc {
            batch, row_stride, column_stride, batch_stride: rows * columns,
            padded_rows: rows + extra, panel: panel4 * 4, ..PackDesc::rows(rows, columns)
        };
        check(gpu(), &desc, seed);
    }
}

#[test]
fn nchw_becomes_nhwc() {
    let desc = PackDesc::nchw_to_nhwc(2, 3, 5, 7);
    assert_eq!(desc.output_len(), 2 * 5 * 7 * 4);
    check(gpu(), &desc, 1);
}

#[test]
fn an_output_beyond_a_binding_is_split() {
    let limits = Limits { max_storage_buffer_binding_size: 4 << 10, ..Limits::default() };
    let desc = PackDesc { padded_rows: 300, ..PackDesc::rows(10, 9) };
    assert_eq!(check(&gpu_with(limits), &desc, 2), 4);
}

#[test]
fn bad_input_is_an_error() {
    let context = gpu().context(Family::Tiled);
    let desc = PackDesc { panel: 6, ..PackDesc::nchw_to_nhwc(1, 3, 4, 4) };
    assert_eq!(Pack::new(&context, &desc).unwrap_err().to_string(), "pack: panel is 6, a multiple of 4 is expected");
}
