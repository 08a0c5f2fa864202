//! Tests that a device's complaints reach whoever opened it: invalid work never reads as zeros.

use kernels::{
    AddRelu, AddReluBuffers, AddReluDesc, Error, Family, ReduceSum, ReduceSumDesc, encode_all,
    wgpu::{BufferDescriptor, BufferUsages, Limits},
};
use std::error::Error as _;
use testkit::{Gpu, gpu_with};

fn open() -> Gpu {
    gpu_with(Limits::default())
}

#[test]
fn what_is_read_is_what_was_computed() {
    let gpu = open();
    let buffer = gpu.upload(&[1f32, 2.0, 3.0]);
    assert_eq!(gpu.host.block_on(gpu.host.read::<f32>(&buffer)).unwrap(), [1.0, 2.0, 3.0]);
    gpu.host.wait().unwrap();
    gpu.host.check().unwrap();
}

#[test]
fn an_invalid_copy_is_an_error_at_the_next_check_and_read() {
    let gpu = open();
    let (from, to) = (gpu.upload(&[1f32; 4]), gpu.upload(&[0f32; 4]));
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(&from, 0, &to, 8, 16);
    gpu.queue.submit([encoder.finish()]);
    let error = gpu.host.check().unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error:?}");
    assert!(error.source().unwrap().to_string().contains("overrun"), "{:?}", error.source());
    // It stays one: what is read after it may hang on it.
    assert_eq!(gpu.host.block_on(gpu.host.read::<f32>(&to)).unwrap_err(), error);
    assert_eq!(gpu.host.wait().unwrap_err(), error);
}

#[test]
fn an_invalid_dispatch_is_an_error() {
    let gpu = open();
    let (buffer, output) = (gpu.upload(&[1f32; 8]), gpu.upload(&[0f32; 8]));
    let buffers = AddReluBuffers { a: buffer.slice(..), b: buffer.slice(..), output: output.slice(..) };
    let plan = AddRelu::new(&gpu.context(Family::Tiled), &AddReluDesc { len: 8, relu: true }).unwrap();
    let commands = plan.bind(&buffers).unwrap();
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    encode_all(&mut encoder, [&commands]);
    output.destroy();
    gpu.queue.submit([encoder.finish()]);
    let error = gpu.host.block_on(gpu.host.read::<f32>(&buffer)).unwrap_err();
    assert!(matches!(error, Error::Device { what: "the device's work", .. }), "{error:?}");
}

#[test]
fn a_buffer_that_may_not_be_read_is_an_error() {
    let gpu = open();
    let usage = BufferUsages::STORAGE;
    let buffer =
        gpu.device.create_buffer(&BufferDescriptor { label: None, size: 16, usage, mapped_at_creation: false });
    assert!(gpu.host.block_on(gpu.host.read::<f32>(&buffer)).is_err());
}

#[test]
fn lack_of_memory_is_told_once() {
    let gpu = open();
    gpu.host.complain(Error::OutOfMemory { cause: "the driver has none".to_owned().into() });
    // What follows from it is no complaint of its own.
    gpu.host.complain(Error::Lost { message: "gone".into() });
    assert_eq!(gpu.host.check().unwrap_err().to_string(), "the device is out of memory");
    gpu.host.check().unwrap();
}

#[test]
fn parameters_that_could_not_be_written_are_an_error() {
    let gpu = open();
    let (input, output) = (gpu.upload(&[1f32; 8]), gpu.output(4));
    let plan = ReduceSum::new(&gpu.context(Family::Tiled), &ReduceSumDesc { rows: 2, columns: 4 }).unwrap();
    gpu.device.destroy();
    let error = plan.bind(input.slice(..), output.slice()).unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error:?}");
    assert_eq!(error.to_string(), "filling a buffer failed");
    assert!(error.source().is_some());
}
