//! From a folder of picture files to a judged run: decoding, backbone, head, report ("elements" are pictures).

use criterion::{Criterion, Throughput};
use std::{fs, time::Duration};
use trainer::{
    decode::Limits,
    demo::draw::Task,
    device::{Selection, open},
    head::TrainOptions,
    pipeline::{Request, train},
    split::SplitOptions,
};

const A_CLASS: u64 = 16;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let gpu = pollster::block_on(open(&Selection::default())).expect("an adapter");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    let classes = Task::Target.classes();
    for class in &classes {
        let of_class = data.join(class.to_string());
        fs::create_dir_all(&of_class).expect("a folder");
        for index in 0..A_CLASS {
            let picture = class.draw(index, 0);
            let image =
                image::RgbImage::from_raw(picture.width as u32, picture.height as u32, picture.rgb).expect("pixels");
            image.save(of_class.join(format!("{index}.png"))).expect("a picture");
        }
    }
    // A network of ResNet-18's shape: what it has learnt doesn't matter to the clock.
    let weights = folder.path().join("resnet18.safetensors");
    let architecture = resnet::Architecture::named("resnet18", Some(10)).expect("a published network");
    fs::write(&weights, testkit::formula::weights(&architecture.tensors())).expect("weights");

    let request = Request {
        data,
        weights,
        out: out.clone(),
        force: true,
        cache: None,
        recipe: None,
        split: SplitOptions::default(),
        train: TrainOptions { epochs: 20, ..TrainOptions::default() },
        batch: 8,
        limits: Limits::default(),
    };
    let mut group = criterion.benchmark_group("end to end");
    group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(20));
    group.throughput(Throughput::Elements(classes.len() as u64 * A_CLASS));
    group.bench_function("resnet18, 224 px", |bencher| {
        bencher.iter(|| {
            // Nothing is kept from the last time.
            let _ = fs::remove_dir_all(&out);
            let trained = train(&request, &gpu, &()).expect("it trains");
            assert!(!trained.predictions.is_empty());
        });
    });
    group.finish();
    criterion.final_summary();
}
