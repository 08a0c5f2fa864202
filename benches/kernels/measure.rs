//! How long recorded commands take, measured alike for every kernel.

use criterion::{Criterion, Throughput};
use kernels::{Commands, encode_all, wgpu};
use std::{
    cell::Cell,
    iter::repeat_n,
    time::{Duration, Instant},
};
use testkit::Gpu;

/// A submit has work for so long: what a submit and a wait cost beside it, 50 to 150 µs on a GPU, is then less than a hundredth.
const ENOUGH: Duration = Duration::from_millis(20);
/// Operations of a submit, at most: a million dispatches would take memory.
const MOST: u64 = 2048;

/// Times `commands` by submits that are waited for. Short work is repeated in each, so that its time counts and not the submit's.
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
    // What was learned stays from sample to sample.
    let at_once = Cell::new(1);
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let (mut left, mut total) = (iterations, Duration::ZERO);
            while left > 0 {
                let times = left.min(at_once.get());
                let took = run(gpu, commands, times);
                if times == at_once.get() && took < ENOUGH {
                    at_once.set((2 * times).min(MOST));
                }
                left -= times;
                total += took;
            }
            total
        });
    });
    group.finish();
}

/// Runs `commands` so many times in one submit and gives the time from submit to end. Recording isn't part of it.
fn run(gpu: &Gpu, commands: &Commands, times: u64) -> Duration {
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    encode_all(&mut encoder, repeat_n(commands, times as usize));
    let recorded = encoder.finish();
    let start = Instant::now();
    gpu.queue.submit([recorded]);
    gpu.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device finishes");
    let took = start.elapsed();
    gpu.host.check().expect("the device takes the work");
    took
}
