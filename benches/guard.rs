//! Fails when the kernels for software adapters become slow beside the same cores' own sgemm: CI's guard, `cargo bench --bench guard`.
//!
//! No clock on the wall is read. Both sides are measured in processor time, all threads together, in one process; so another
//! program on the machine stretches neither. They take turns, so that the processor's pace touches both, and the best of
//! seven turns of each counts, so that a disturbed turn doesn't. A floor is about half of what is typical: what falls below it isn't noise but
//! a kernel that lost its vectors. sgemm runs on one thread, since its pool's idle threads spin; where it has vectors of 512 bits,
//! half of its speed is the yardstick, since a software driver's subgroup of eight lanes has 256.
//!
//! With other kernels than those for software adapters the ratio says nothing, and nothing is measured. Without `--bench` (`cargo test --benches`) everything runs once and
//! no floor is held, since that profile isn't optimised alike.

use kernels::{Family, Matmul, MatmulBuffers, MatmulDesc, Tune, wgpu::PollType};
use resnet::{Architecture, Backbone, BackboneOptions, Engine, ImageTensor, Tap, WeightFile};
use std::process::ExitCode;
use testkit::{Samples, formula, gpu};

const SIZE: usize = 1024;

/// Each work's floor, as a share of sgemm's FLOPs a second of processor time with vectors of 256 bits.
const MATMUL: f64 = 0.25;
const RESNET18: f64 = 0.35;
const RESNET50: f64 = 0.3;

/// A piece of work to measure.
struct Work<'a> {
    name: &'static str,
    flops: f64,
    floor: f64,
    run: Box<dyn FnMut() + 'a>,
    /// FLOPs a second of processor time, at best.
    best: f64,
}

/// Reads the seconds of processor time that all threads of this process have had.
#[cfg(unix)]
fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "the process has a clock");
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Tells whether sgemm has vectors of 512 bits here.
fn wide_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Untested elsewhere than on Unix: no floor is held there.
#[cfg(not(unix))]
fn processor_seconds() -> f64 {
    println!("this system's processor time isn't read");
    std::process::exit(0)
}

fn backbone(name: &str, batch: usize) -> Backbone {
    let tensors = Architecture::named(name, None).expect("a published network").tensors();
    let weights = WeightFile::from_bytes(formula::weights(&tensors)).expect("a complete file");
    let context = gpu().context(Family::Texture);
    Backbone::new(&context, &gpu().queue, &weights, &BackboneOptions::new(batch)).expect("it fits")
}

fn main() -> ExitCode {
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("MATMUL_NUM_THREADS", "1") };
    let gpu = gpu();
    let info = gpu.device.adapter_info();
    println!("{} | {:?} | {} {}", info.name, info.device_type, info.driver, info.driver_info);
    let family = Tune::for_device(&gpu.device).family;
    if family != Family::Texture {
        println!(
            "not measured: this adapter takes the {} kernels, which the processor's sgemm is no measure of",
            family.name()
        );
        return ExitCode::SUCCESS;
    }
    let measured = std::env::args().any(|argument| argument == "--bench");

    let mut samples = Samples::new(1);
    let (a, b) = (samples.vec(SIZE * SIZE), samples.vec(SIZE * SIZE));
    let (gpu_a, gpu_b, output) = (gpu.upload(&a), gpu.upload(&b), gpu.output(SIZE * SIZE));
    let desc = MatmulDesc::new(SIZE as u32, SIZE as u32, SIZE as u32);
    let buffers = MatmulBuffers { a: gpu_a.slice(..), b: gpu_b.slice(..), bias: None, output: output.slice() };
    let context = gpu.context(family);
    let commands = Matmul::new(&context, &desc).and_then(|plan| plan.bind(&buffers)).expect("a product");
    let mut c = vec![0f32; SIZE * SIZE];

    let image = ImageTensor { height: 224, width: 224, data: samples.vec(224 * 224 * 3) };
    let networks = [("resnet18", 8, RESNET18), ("resnet50", 4, RESNET50)]
        .map(|(name, batch, floor)| (name, backbone(name, batch), vec![image.clone(); batch], floor));

    let mut works = vec![
        Work {
            name: "sgemm 1024",
            flops: desc.flops() as f64,
            floor: 1.0,
            run: Box::new(|| {
                let (n, row) = (SIZE, SIZE as isize);
                // SAFETY: three square matrices of SIZE rows, row-major and dense, the last borrowed mutably.
                unsafe {
                    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
                    matrixmultiply::sgemm(n, n, n, 1.0, a, row, 1, b, row, 1, 0.0, c, row, 1);
                }
            }),
            best: 0.0,
        },
        Work {
            name: "matmul 1024",
            flops: desc.flops() as f64,
            floor: MATMUL,
            run: Box::new(|| {
                gpu.run([&commands]);
                gpu.device.poll(PollType::wait_indefinitely()).expect("the device finishes");
            }),
            best: 0.0,
        },
    ];
    for (name, backbone, images, floor) in &networks {
        let network = Architecture::named(name, None).expect("a published network");
        works.push(Work {
            name,
            flops: images.len() as f64 * network.flops([224, 224]) as f64,
            floor: *floor,
            run: Box::new(|| {
                let features = backbone.submit(images).unwrap().wait(Tap::Features).unwrap();
                assert!(features.iter().all(|value| value.is_finite() && *value >= 0.0), "features are means of ReLUs");
            }),
            best: 0.0,
        });
    }
    for turn in 0..if measured { 8 } else { 1 } {
        for work in &mut works {
            let start = processor_seconds();
            (work.run)();
            let speed = work.flops / (processor_seconds() - start);
            // The first turn compiles.
            if turn > 0 || !measured {
                work.best = work.best.max(speed);
            }
        }
    }

    let sgemm = works[0].best / if wide_vectors() { 2.0 } else { 1.0 };
    let mut slow = false;
    println!("{:<14}{:>26}{:>12}{:>8}", "", "GFLOP a processor second", "of 256 bits", "floor");
    for Work { name, floor, best, .. } in &works {
        let share = best / sgemm;
        println!("{name:<14}{:>26.1}{:>10.0} %{:>6.0} %", best / 1e9, 100.0 * share, 100.0 * floor);
        // NaN fails.
        slow |= measured && !(share >= *floor);
    }
    drop(works);
    let largest = (gpu.read(&output).iter().zip(&c)).map(|(x, y)| (x - y).abs()).fold(0f32, f32::max);
    assert!(largest < 1e-3, "the products differ by {largest}");
    if slow {
        println!(
            "too slow: a kernel has lost its way. What its layers cost: cargo bench --bench kernels, --bench resnet"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
