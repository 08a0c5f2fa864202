//! `reduce_sum` on the adapter against its twin.

use kernels::{Error, Family, ReduceSum, ReduceSumDesc, reference, wgpu::Limits};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

fn check(gpu: &Gpu, desc: &ReduceSumDesc, input: &[f32]) -> usize {
    let (buffer, output) = (gpu.upload(input), gpu.output(desc.columns as usize));
    let plan = ReduceSum::new(&gpu.context(Family::Tiled), desc).unwrap();
    let commands = plan.bind(buffer.slice(..), output.slice()).unwrap();
    gpu.run([&commands]);
    assert_close(&format!("{desc:?}"), &gpu.read(&output), &reference::reduce_sum(desc, input));
    commands.dispatches()
}

fn check_samples(gpu: &Gpu, desc: &ReduceSumDesc, seed: u64) -> usize {
    check(gpu, desc, &Samples::new(seed).vec((desc.rows * desc.columns) as usize))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn ragged_shapes(rows in 1u32..300, columns in 1u32..70, seed: u64) {
        check_samples(gpu(), &ReduceSumDesc { rows, columns }, seed);
    }

    #[test]
    fn totals(len in 1u32..100_000, seed: u64) {
        check_samples(gpu(), &ReduceSumDesc::total(len), seed);
    }
}

#[test]
fn long_sums_of_one_sign_stay_accurate() {
    // One chain of additions would be off by rows / 2 units; the bound holds 4 sqrt(rows) of them.
    let desc = ReduceSumDesc { rows: 1 << 20, columns: 1 };
    let input = vec![-0.1f32; 1 << 20];
    assert_eq!(check(gpu(), &desc, &input), 2);
    let chain = input.iter().fold(0f32, |sum, x| sum + x);
    assert!(reference::reduce_sum(&desc, &input).compare(&[chain]).unwrap().ratio > 1.0);
}

#[test]
fn work_beyond_a_binding_is_split() {
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 4 << 10, ..Limits::default() });
    for columns in [1, 4, 7, 60, 129, 480] {
        let dispatches = check_samples(&narrow, &ReduceSumDesc { rows: 200, columns }, 2);
        assert_eq!(dispatches > 2, columns > 4, "{columns} columns: {dispatches} dispatches");
    }
    let wide = ReduceSumDesc { rows: 2, columns: 500 };
    let error = ReduceSum::new(&narrow.context(Family::Tiled), &wide).unwrap_err();
    assert!(matches!(error, Error::Limit { needed: 1000, allowed: 960, .. }));
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let narrow = gpu_with(Limits { max_compute_workgroups_per_dimension: 4, ..Limits::default() });
    assert_eq!(check_samples(&narrow, &ReduceSumDesc { rows: 100, columns: 101 }, 4), 2);
}

#[test]
fn bad_input_is_an_error() {
    let gpu = gpu();
    let context = gpu.context(Family::Tiled);
    let error = ReduceSum::new(&context, &ReduceSumDesc { rows: 3, columns: 0 }).unwrap_err();
    assert_eq!(error.to_string(), "reduce_sum: input is empty: [3, 0]");
    let (input, output) = (gpu.upload(&[0f32; 12]), gpu.output(3));
    let plan = ReduceSum::new(&context, &ReduceSumDesc { rows: 3, columns: 4 }).unwrap();
    let error = plan.bind(input.slice(..), output.slice()).unwrap_err();
    assert_eq!(error.to_string(), "reduce_sum: output needs 16 bytes, the slice has 12");
}
