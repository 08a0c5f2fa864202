//! Which modules check their indices at run time, and that the answer doesn't depend on it.

use kernels::{Context, Family, Matmul, MatmulBuffers, MatmulDesc, Tune, wgpu::DeviceType};
use testkit::{Gpu, Samples, gpu};

fn context(gpu: &Gpu, checks: Option<bool>) -> Context {
    let mut tune = Tune::new(Family::Tiled);
    tune.checks = checks;
    Context::with_tune(&gpu.device, tune)
}

#[test]
fn software_adapters_check_and_hardware_does_not() {
    let gpu = gpu();
    assert_eq!(context(gpu, None).checks(), gpu.device.adapter_info().device_type == DeviceType::Cpu);
    for checks in [true, false] {
        assert_eq!(context(gpu, Some(checks)).checks(), checks);
    }
}

#[test]
fn the_answer_is_the_same_to_the_bit() {
    let gpu = gpu();
    // Nothing divides a tile: every guard is at work.
    let (m, k, n) = (67, 37, 75);
    let mut samples = Samples::new(5);
    let (a, b) = (gpu.upload(&samples.vec(m * k)), gpu.upload(&samples.vec(k * n)));
    let run = |checks| {
        let desc = MatmulDesc::new(m as u32, k as u32, n as u32);
        let output = gpu.output(m * n);
        let buffers = MatmulBuffers { a: a.slice(..), b: b.slice(..), bias: None, output: output.slice() };
        let matmul = Matmul::new(&context(gpu, Some(checks)), &desc).unwrap();
        gpu.run([&matmul.bind(&buffers).unwrap()]);
        gpu.read(&output).into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(run(true), run(false));
}
