//! The same work in other hands, in the same run, so that load on the machine touches both.
//!
//! `sgemm` is the yardstick of a software adapter: what the processor's own cores do with the same product.
//! `benches/peers/pytorch.py` runs ResNet-18 and the head in PyTorch where that is installed.

use criterion::{Criterion, Throughput};
use kernels::{Matmul, MatmulBuffers, MatmulDesc, Tune, wgpu};
use std::time::Duration;
use testkit::{Samples, gpu};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let gpu = gpu();
    let info = gpu.device.adapter_info();
    eprintln!("{} | {:?} | {} {}", info.name, info.device_type, info.driver, info.driver_info);
    let size = 1024;
    let desc = MatmulDesc::new(size as u32, size as u32, size as u32);
    let mut samples = Samples::new(1);
    let (a, b) = (samples.vec(size * size), samples.vec(size * size));
    let (gpu_a, gpu_b, output) = (gpu.upload(&a), gpu.upload(&b), gpu.output(size * size));
    let context = gpu.context(Tune::for_device(&gpu.device).family);
    let buffers = MatmulBuffers { a: gpu_a.slice(..), b: gpu_b.slice(..), bias: None, output: output.slice() };
    let commands = Matmul::new(&context, &desc).and_then(|plan| plan.bind(&buffers)).unwrap();
    let ours = || {
        gpu.run([&commands]);
        gpu.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device finishes");
    };
    let mut c = vec![0f32; size * size];
    let mut theirs = || {
        let (n, row) = (size, size as isize);
        // SAFETY: three square matrices of `size` rows, row-major and dense, the last borrowed mutably.
        unsafe {
            matrixmultiply::sgemm(n, n, n, 1.0, a.as_ptr(), row, 1, b.as_ptr(), row, 1, 0.0, c.as_mut_ptr(), row, 1);
        }
    };
    let mut group = criterion.benchmark_group("peers");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(desc.flops()));
    // Ours first: the threads of the other's pool, once there, keep looking for work.
    ours();
    group.bench_function("matmul 1024, ours", |bencher| bencher.iter(ours));
    group.bench_function("matmul 1024, matrixmultiply on all cores", |bencher| bencher.iter(&mut theirs));
    group.finish();
    let largest = (gpu.read(&output).iter().zip(&c)).map(|(x, y)| (x - y).abs()).fold(0f32, f32::max);
    assert!(largest < 1e-3, "they differ by {largest}");
    criterion.final_summary();
}
