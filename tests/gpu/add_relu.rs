//! `add_relu` on the adapter against its twin.

use kernels::{AddRelu, AddReluBuffers, AddReluDesc, Error, Family, reference, wgpu::Limits};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

fn check(gpu: &Gpu, desc: &AddReluDesc, a: &[f32], b: &[f32]) -> usize {
    let (gpu_a, gpu_b, output) = (gpu.upload(a), gpu.upload(b), gpu.output(a.len()));
    let buffers = AddReluBuffers { a: gpu_a.slice(..), b: gpu_b.slice(..), output: output.slice() };
    let commands = AddRelu::new(&gpu.context(Family::Tiled), desc).unwrap().bind(&buffers).unwrap();
    gpu.run([&commands]);
    assert_close(&format!("{desc:?}"), &gpu.read(&output), &reference::add_relu(desc, a, b));
    commands.dispatches()
}

fn check_samples(gpu: &Gpu, len: u32, relu: bool, seed: u64) -> usize {
    let mut samples = Samples::new(seed);
    let (a, b) = (samples.vec(len as usize), samples.scaled(len as usize, 3.0));
    check(gpu, &AddReluDesc { len, relu }, &a, &b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn ragged_shapes(len in 1u32..2000, relu: bool, seed: u64) {
        check_samples(gpu(), len, relu, seed);
    }
}

#[test]
fn extremes() {
    for relu in [false, true] {
        let desc = AddReluDesc { len: 4, relu };
        check(gpu(), &desc, &[-1.0, -2e30, -3e-30, -4.0], &[-1e-20, -1e30, -1e-30, -0.0]);
        check(gpu(), &desc, &[1e38, -1e38, 1e38, 1.0], &[2e38, -2e38, -1e38, -1.0]);
    }
}

#[test]
fn nan_stays_nan() {
    let gpu = gpu();
    let (a, b, output) = (gpu.upload(&[f32::NAN; 4]), gpu.upload(&[1f32; 4]), gpu.upload(&[0f32; 4]));
    let buffers = AddReluBuffers { a: a.slice(..), b: b.slice(..), output: output.slice(..) };
    let plan = AddRelu::new(&gpu.context(Family::Tiled), &AddReluDesc { len: 4, relu: true }).unwrap();
    gpu.run([&plan.bind(&buffers).unwrap()]);
    assert!(gpu.download::<f32>(&output).iter().all(|value| value.is_nan()));
}

#[test]
fn work_beyond_a_binding_is_split() {
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 4 << 10, ..Limits::default() });
    assert_eq!(check_samples(&narrow, 3000, true, 1), 3);
    assert_eq!(check_samples(&narrow, 3001, true, 1), 3);
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let narrow = gpu_with(Limits { max_compute_workgroups_per_dimension: 4, ..Limits::default() });
    assert_eq!(check_samples(&narrow, 1001, true, 2), 1);
}

#[test]
fn bad_input_is_an_error() {
    let gpu = gpu();
    let context = gpu.context(Family::Tiled);
    let error = AddRelu::new(&context, &AddReluDesc { len: 0, relu: true }).unwrap_err();
    assert_eq!(error.to_string(), "add_relu: a is empty: [0]");
    let (a, b, output) = (gpu.upload(&[0f32; 4]), gpu.upload(&[0f32; 3]), gpu.output(4));
    let plan = AddRelu::new(&context, &AddReluDesc { len: 4, relu: true }).unwrap();
    let buffers = AddReluBuffers { a: a.slice(..), b: b.slice(..), output: output.slice() };
    assert!(matches!(plan.bind(&buffers), Err(Error::Size { operand: "b", expected: 16, got: 12, .. })));
}
