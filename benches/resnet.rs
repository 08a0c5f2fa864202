//! Whole networks on the machine's adapter and on its CPU's vectors: images a second ("elements" are images), upload and read-back among it, each batch submitted
//! before the last one is waited for, as features are computed. The answer is checked first.

#[path = "../tests/resnet/fixture.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod fixture;

use criterion::{Criterion, Throughput};
use fixture::Fixture;
use kernels::Tune;
use resnet::{Backbone, BackboneOptions, Engine, ImageTensor, Pending, Tap};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};
use testkit::gpu;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let info = gpu().device.adapter_info();
    eprintln!("{} | {:?} | {} {}", info.name, info.device_type, info.driver, info.driver_info);
    for (name, batches) in [("resnet18", &[1, 8][..]), ("resnet50", &[8])] {
        bench(&mut criterion, name, batches);
    }
    preprocess(&mut criterion);
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion, name: &str, batches: &[usize]) {
    let gpu = gpu();
    let context = gpu.context(Tune::for_device(&gpu.device).family);
    let fixture = Fixture::load();
    let case = fixture.cases.iter().find(|case| case.architecture().to_string() == name).expect("a fixture of it");
    let weights = case.weights();

    // PyTorch's features of the fixture's small images.
    let [batch, _, height, width] = case.input;
    let options = BackboneOptions { input_size: [height, width], ..BackboneOptions::new(batch) };
    let images: Vec<ImageTensor> = (case.input_nhwc().chunks_exact(height * width * 3))
        .map(|data| ImageTensor { height, width, data: data.to_vec() })
        .collect();
    let backbone = Backbone::new(&context, &gpu.queue, &weights, &options).unwrap();
    let native = native::Backbone::new(&weights, &on_cpu(&options)).unwrap();
    let tap = case.taps.iter().find(|tap| tap.name == "features").expect("a tap");
    for engine in [&backbone as &dyn Engine, &native] {
        let got = engine.submit(&images).unwrap().wait(Tap::Features).unwrap();
        for (index, want) in case.samples(tap) {
            let difference = (f64::from(got[index]) - want).abs();
            assert!(difference <= 1e-4 * (want.abs() + tap.mean_abs), "{name}: {} instead of {want}", got[index]);
        }
    }

    let image = ImageTensor { height: 224, width: 224, data: testkit::Samples::new(1).vec(224 * 224 * 3) };
    let mut group = criterion.benchmark_group("resnet");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(5));
    for &batch in batches {
        let options = BackboneOptions::new(batch);
        let backbone = Backbone::new(&context, &gpu.queue, &weights, &options).unwrap();
        let native = native::Backbone::new(&weights, &on_cpu(&options)).unwrap();
        let images = vec![image.clone(); batch];
        let memory = backbone.memory();
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        eprintln!(
            "{name} batch {batch}: arena {:.1} MB at its largest, workspace {:.1} MB, packed weights {:.1} MB",
            megabytes(memory.activations),
            megabytes(memory.scratch),
            megabytes(memory.weights),
        );
        group.throughput(Throughput::Elements(batch as u64));
        for (kind, engine) in [("", &backbone as &dyn Engine), (" on the CPU's vectors", &native)] {
            group.bench_function(format!("{name} 224 px batch {batch}{kind}"), |bencher| {
                bencher.iter_custom(|iterations| passes(engine, &images, iterations));
            });
        }
    }
    group.finish();
}

fn on_cpu(options: &BackboneOptions) -> native::Options<'_> {
    native::Options { batch: options.batch, input_size: options.input_size, taps: &options.taps }
}

/// Runs so many passes, each submitted before the last one is waited for.
fn passes(engine: &dyn Engine, images: &[ImageTensor], count: u64) -> Duration {
    let start = Instant::now();
    let mut flying: Option<Pending> = None;
    for _ in 0..count {
        let next = engine.submit(images).unwrap();
        if let Some(mut last) = flying.replace(next) {
            black_box(last.wait(Tap::Features).unwrap());
        }
    }
    if let Some(mut last) = flying {
        black_box(last.wait(Tap::Features).unwrap());
    }
    start.elapsed()
}

/// Resize, crop and normalise, on one core.
fn preprocess(criterion: &mut Criterion) {
    let pixels: Vec<u8> = (0..500 * 375 * 3).map(|i| testkit::formula::byte("bench", i)).collect();
    let image = resnet::ImageView::new(500, 375, &pixels).unwrap();
    let mut group = criterion.benchmark_group("preprocess");
    group.throughput(Throughput::Elements(1));
    group.bench_function("500x375 to 224", |bencher| {
        bencher.iter(|| resnet::preprocess(image, &resnet::Recipe::default()).unwrap());
    });
    group.finish();
}
