//! Each kernel on the machine's adapter, in each family that it runs. The answer is checked before anything is timed.
//!
//! `cargo bench --bench kernels -- matmul` runs one kernel; "elements" are floating-point operations (or bytes where the
//! name says so), so that Gelem/s reads as GFLOP/s.

mod adamw;
mod add_relu;
mod avg_pool2d;
mod conv2d;
mod dense;
mod global_avg_pool2d;
mod matmul;
mod max_pool2d;
mod pack;
mod reduce_sum;
mod scale_add_relu;
mod sgd;
mod softmax_cross_entropy;

use criterion::{Criterion, Throughput};
use kernels::{Commands, wgpu};
use std::time::Duration;
use testkit::Gpu;

/// Times one submit of `commands`, waited for.
fn time(
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

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let info = testkit::gpu().device.adapter_info();
    eprintln!("{} | {:?} | {} {}", info.name, info.device_type, info.driver, info.driver_info);
    adamw::bench(&mut criterion);
    add_relu::bench(&mut criterion);
    avg_pool2d::bench(&mut criterion);
    conv2d::bench(&mut criterion);
    dense::bench(&mut criterion);
    global_avg_pool2d::bench(&mut criterion);
    matmul::bench(&mut criterion);
    max_pool2d::bench(&mut criterion);
    pack::bench(&mut criterion);
    reduce_sum::bench(&mut criterion);
    scale_add_relu::bench(&mut criterion);
    sgd::bench(&mut criterion);
    softmax_cross_entropy::bench(&mut criterion);
    criterion.final_summary();
}
