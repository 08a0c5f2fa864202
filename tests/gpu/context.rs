//! What a context asks of devices and buffers; which modules check their indices at run time, and that the answer doesn't depend on it.

use kernels::{
    AddRelu, AddReluBuffers, AddReluDesc, Context, Error, Family, Matmul, MatmulBuffers, MatmulDesc, OPERAND_USAGES,
    Tune,
    wgpu::{self, BufferDescriptor, BufferUsages, DeviceType},
};
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

/// Binds a product of 4x4 matrices.
fn product(context: &Context, [a, b, output]: [&wgpu::Buffer; 3]) -> Result<kernels::Commands, Error> {
    let buffers = MatmulBuffers { a: a.slice(..), b: b.slice(..), bias: None, output: output.slice(..) };
    Matmul::new(context, &MatmulDesc::new(4, 4, 4))?.bind(&buffers)
}

#[test]
fn every_family_asks_the_same_of_buffers() {
    let gpu = gpu();
    let buffer =
        |usage| gpu.device.create_buffer(&BufferDescriptor { label: None, size: 64, usage, mapped_at_creation: false });
    let [a, b, output] = [0; 3].map(|_| buffer(OPERAND_USAGES));
    let narrow = buffer(BufferUsages::STORAGE);
    for family in gpu.families() {
        let context = gpu.context(family);
        product(&context, [&a, &b, &output]).unwrap();
        product(&context, [&a, &a, &output]).unwrap();
        for operands in [[&narrow, &b, &output], [&a, &narrow, &output], [&a, &b, &narrow]] {
            let error = product(&context, operands).unwrap_err();
            assert!(matches!(&error, Error::Usage { missing, .. } if missing.contains("COPY_SRC")), "{error}");
        }
        for (operands, read) in [([&a, &b, &a], "a"), ([&a, &b, &b], "b")] {
            let error = product(&context, operands).unwrap_err();
            assert_eq!(error, Error::Alias { op: "matmul", written: "output", read }, "{family:?}");
        }
    }
}

/// An adapter of its own, for devices that share it.
fn adapter() -> wgpu::Adapter {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).unwrap()
}

fn device(adapter: &wgpu::Adapter, required_features: wgpu::Features) -> wgpu::Device {
    let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).unwrap().0
}

#[test]
fn a_buffer_of_another_device_is_an_error() {
    let adapter = adapter();
    let [ours, other] = [0; 2].map(|_| device(&adapter, wgpu::Features::empty()));
    let buffer = |device: &wgpu::Device| {
        let usage = OPERAND_USAGES;
        device.create_buffer(&BufferDescriptor { label: None, size: 32, usage, mapped_at_creation: false })
    };
    let (a, b, output, foreign) = (buffer(&ours), buffer(&ours), buffer(&ours), buffer(&other));
    let context = Context::with_tune(&ours, Tune::new(Family::Tiled));
    let plan = AddRelu::new(&context, &AddReluDesc { len: 8, relu: true }).unwrap();
    let bind = |[a, b, output]: [&wgpu::Buffer; 3]| {
        plan.bind(&AddReluBuffers { a: a.slice(..), b: b.slice(..), output: output.slice(..) })
    };
    bind([&a, &b, &output]).unwrap();
    for operands in [[&a, &b, &foreign], [&foreign, &b, &output]] {
        let bound = bind(operands);
        assert!(matches!(bound, Err(Error::Device { what: "tying buffers", .. })), "{bound:?}");
    }
}

#[test]
fn a_device_that_lacks_what_makes_it_fast_is_an_error() {
    let adapter = adapter();
    Context::new(&device(&adapter, kernels::wanted_features(&adapter))).unwrap();
    let plain = device(&adapter, wgpu::Features::empty());
    if gpu().families().contains(&Family::Texture) && adapter.get_info().device_type == DeviceType::Cpu {
        assert_eq!(Context::new(&plain).unwrap_err(), Error::Slow);
    } else {
        Context::new(&plain).unwrap();
    }
    // Who says which kernels gets them.
    let context = Context::with_tune(&plain, Tune::for_device(&plain));
    assert_eq!(context.tune().family, Family::Tiled);
}
