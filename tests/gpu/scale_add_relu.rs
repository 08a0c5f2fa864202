//! `scale_add_relu` on the adapter against its twin.

use kernels::{Error, Family, ScaleAddRelu, ScaleAddReluBuffers, ScaleAddReluDesc, reference, wgpu::Limits};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

fn run(gpu: &Gpu, desc: &ScaleAddReluDesc, input: &[f32], gate: &[f32], residual: &[f32]) -> (Vec<f32>, usize) {
    let [gpu_input, gpu_gate, gpu_residual] = [input, gate, residual].map(|values| gpu.upload(values));
    let output = gpu.output(input.len());
    let buffers = ScaleAddReluBuffers {
        input: gpu_input.slice(..),
        gate: gpu_gate.slice(..),
        residual: gpu_residual.slice(..),
        output: output.slice(),
    };
    let commands = ScaleAddRelu::new(&gpu.context(Family::Tiled), desc).unwrap().bind(&buffers).unwrap();
    gpu.run([&commands]);
    (gpu.read(&output), commands.dispatches())
}

fn check(gpu: &Gpu, desc: &ScaleAddReluDesc, input: &[f32], gate: &[f32], residual: &[f32]) -> usize {
    let (got, dispatches) = run(gpu, desc, input, gate, residual);
    assert_close(&format!("{desc:?}"), &got, &reference::scale_add_relu(desc, input, gate, residual));
    dispatches
}

fn check_samples(gpu: &Gpu, [batch, height, width, channels]: [u32; 4], seed: u64) -> usize {
    let mut samples = Samples::new(seed);
    let len = (batch * height * width * channels) as usize;
    let desc = ScaleAddReluDesc::new(batch, height, width, channels);
    let gate = samples.scaled((batch * channels) as usize, 6.0);
    check(gpu, &desc, &samples.vec(len), &gate, &samples.vec(len))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn ragged_shapes(batch in 1u32..5, height in 1u32..9, width in 1u32..9, channels in 1u32..40, seed: u64) {
        check_samples(gpu(), [batch, height, width, channels], seed);
    }
}

#[test]
fn gates_of_any_size() {
    let gate = [-3e38, -200.0, -88.0, -20.0, -1e-20, 0.0, 1e-20, 20.0, 88.0, 200.0, 3e38, -0.0];
    for channels in [12, 11] {
        let desc = ScaleAddReluDesc::new(1, 1, 2, channels);
        let len = 2 * channels as usize;
        for (x, added) in [(1.5, -0.25), (-1.5, 0.25), (-2e30, 1e30), (3e-30, -1e-30), (1.0, 0.0)] {
            check(gpu(), &desc, &vec![x; len], &gate[..channels as usize], &vec![added; len]);
        }
    }
}

#[test]
fn nan_stays_nan() {
    let desc = ScaleAddReluDesc::new(1, 1, 1, 4);
    for [x, gate, added] in [[f32::NAN, 0.0, 0.0], [1.0, f32::NAN, 0.0], [1.0, 0.0, f32::NAN]] {
        let (got, _) = run(gpu(), &desc, &[x; 4], &[gate; 4], &[added; 4]);
        assert!(got.iter().all(|value| value.is_nan()), "{got:?}");
    }
}

#[test]
fn work_beyond_a_binding_is_split() {
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 4 << 10, ..Limits::default() });
    for channels in [20, 21] {
        // Bands of images (also of a single pixel each), then an image in bands of pixels.
        assert!(check_samples(&narrow, [7, 4, 4, channels], 2) > 1);
        assert!(check_samples(&narrow, [120, 1, 1, channels], 3) > 2);
        assert!(check_samples(&narrow, [2, 9, 11, channels], 4) > 2);
    }
    let desc = ScaleAddReluDesc::new(1, 1, 1, 1025);
    let [input, gate, residual] = [(); 3].map(|()| narrow.upload(&[0f32; 1025]));
    let output = narrow.output(1025);
    let buffers = ScaleAddReluBuffers {
        input: input.slice(..),
        gate: gate.slice(..),
        residual: residual.slice(..),
        output: output.slice(),
    };
    let plan = ScaleAddRelu::new(&narrow.context(Family::Tiled), &desc).unwrap();
    assert!(matches!(plan.bind(&buffers), Err(Error::Limit { needed: 1025, .. })));
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let narrow = gpu_with(Limits { max_compute_workgroups_per_dimension: 4, ..Limits::default() });
    assert_eq!(check_samples(&narrow, [3, 4, 6, 11], 5), 1);
}

#[test]
fn bad_input_is_an_error() {
    let gpu = gpu();
    let context = gpu.context(Family::Tiled);
    let desc = ScaleAddReluDesc::new(2, 1, 1, 4);
    let error = ScaleAddRelu::new(&context, &ScaleAddReluDesc { height: 0, ..desc }).unwrap_err();
    assert_eq!(error.to_string(), "scale_add_relu: input is empty: [2, 0, 1, 4]");
    let (tensor, gate, output) = (gpu.upload(&[0f32; 8]), gpu.upload(&[0f32; 4]), gpu.output(8));
    let buffers = ScaleAddReluBuffers {
        input: tensor.slice(..),
        gate: gate.slice(..),
        residual: tensor.slice(..),
        output: output.slice(),
    };
    let error = ScaleAddRelu::new(&context, &desc).unwrap().bind(&buffers).unwrap_err();
    assert_eq!(error.to_string(), "scale_add_relu: gate needs 32 bytes, the slice has 16");
}
