//! How long recorded commands take, measured alike for every kernel.

use criterion::{Criterion, Throughput};
use kernels::{Commands, wgpu};
use std::time::Duration;
use testkit::Gpu;

/// Times one submit of `commands`, waited for.
pub fn time(
    criterion: &mut Criterion,
    gpu: &Gpu,
    (group, name): (&str, &str),
    throughput: Throughput,
    commands: &Commands,
) {
    let mut group = criterion.benchmark_group(group);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.throughput(throughput);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            gpu.run([commands]);
            gpu.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device finishes");
        });
    });
    group.finish();
}
