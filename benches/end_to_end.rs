//! From a folder of photos to an evaluated run, beside the pure forward pass of as many batches: how well decoding, start-up, head and
//! report hide behind the backbone. Ratios of interleaved runs, medians of `ROUNDS`; wall clock, and on Linux CPU time too.
//!
//! The photos are JPEGs made here, with the spectrum of photos. The features that training keeps are checked against those of the
//! pure pass before anything is timed. `cargo bench --bench end_to_end`; without `--bench`, a few photos once, for the answer.

use std::{fs, path::Path, time::Instant};

use rayon::prelude::*;
use resnet::{Backbone, BackboneOptions, Engine, ImageTensor, Recipe, Tap, WeightFile, preprocess};
use trainer::features::StoreOptions;
use trainer::{
    Session,
    data::SplitOptions,
    data::list,
    head::TrainOptions,
    machine::{Selection, open},
    photos::{Limits, Reading, decode_unguarded},
    report::judged,
    tasks::{self, Request, embed, train},
};

const BATCH: usize = 8;
const CLASSES: usize = 5;
const ROUNDS: usize = 5;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let photos = if measured { 380 } else { 40 };
    let gpu = pollster::block_on(open(&Selection::default())).expect("an adapter");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    let bytes: usize = (0..photos).into_par_iter().map(|number| write_photo(&data, number)).sum();
    // A network of ResNet-18's shape: what it has learnt doesn't matter to the clock.
    let weights = folder.path().join("resnet18.safetensors");
    let architecture = resnet::Architecture::named("resnet18", Some(10)).expect("a published network");
    fs::write(&weights, testkit::formula::weights(&architecture.tensors())).expect("weights");
    let session =
        Session { batch: Some(BATCH), store: Some(StoreOptions::at(folder.path().join("store"))), ..Session::new(gpu) };
    let gpu = session.device.gpu().expect("an adapter");
    eprintln!("{photos} photos of {} kB on {}", bytes / photos / 1000, gpu.adapter.get_info().name);

    let inputs: Vec<ImageTensor> = prepared(&data);
    let file = WeightFile::open(&weights).expect("weights");
    let backbone = Backbone::new(&gpu.context, &gpu.queue, &file, &BackboneOptions::new(BATCH)).expect("a backbone");
    let request = Request {
        data: data.clone().into(),
        backbones: vec![tasks::Backbone::at(&weights)],
        within_error: false,
        views: Default::default(),
        baselines: false,
        out,
        force: true,
        overrides: Default::default(),
        split: SplitOptions::default(),
        kept: Default::default(),
        train: TrainOptions::default(),
    };
    let train = || {
        // Nothing is kept from the last time.
        let _ = session.store.as_ref().map(|store| fs::remove_dir_all(&store.folder));
        train(&session, &request).expect("it trains")
    };

    let (trained, expected) = (train(), forward(&backbone, &inputs));
    assert_eq!(trained.predictions.len(), photos);
    check(&session, &request, &expected);
    let (.., on_others) = judged(&trained.config, &trained.metrics).expect("photos to judge by");
    assert!(on_others.top1 > on_others.baseline.top1 + 0.2, "the classes are easily told apart: {}", on_others.top1);
    if !measured {
        return;
    }

    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        let [pure, whole] = [Timed::of(|| drop(forward(&backbone, &inputs))), Timed::of(|| drop(train()))];
        let preparation = Timed::of(|| drop(prepared(&data)));
        println!("{round}: forward {pure}, train {whole}, reading alone {preparation}");
        rounds.push([whole.wall / pure.wall, whole.cpu / pure.cpu, pure.wall, whole.wall]);
    }
    let median = |which: usize| {
        let mut values: Vec<f64> = rounds.iter().map(|round| round[which]).collect();
        values.sort_by(f64::total_cmp);
        values[ROUNDS / 2]
    };
    println!(
        "end to end: train / pure forward = {:.3} of wall clock, {:.3} of CPU time (medians of {ROUNDS})",
        median(0),
        median(1)
    );
    let rate = |seconds: f64| photos as f64 / seconds;
    println!("            {:.1} images/s whole, {:.1} images/s pure", rate(median(3)), rate(median(2)));
}

/// Seconds that some work took.
struct Timed {
    wall: f64,
    /// Processor time of all threads, NaN where the system doesn't say.
    cpu: f64,
}

impl Timed {
    fn of(work: impl FnOnce()) -> Self {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        work();
        Self { wall: start.elapsed().as_secs_f64(), cpu: cpu_seconds() - cpu }
    }
}

impl std::fmt::Display for Timed {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:.2} s ({:.2} s CPU)", self.wall, self.cpu)
    }
}

/// Reads the user and system time of this process, to a hundredth of a second.
fn cpu_seconds() -> f64 {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return f64::NAN };
    // Behind the name, which may hold anything: fields 14 and 15 of proc(5), of which the third is the first here.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(14) + ticks(15)) / 100.0
}

/// Computes the features of all inputs, one batch on its way while the next is uploaded.
fn forward(backbone: &Backbone, inputs: &[ImageTensor]) -> Vec<f32> {
    let mut features = Vec::new();
    let mut flying: Option<resnet::Pending> = None;
    for batch in inputs.chunks(BATCH) {
        let next = backbone.submit(batch).expect("a batch");
        if let Some(mut pending) = flying.replace(next) {
            features.extend(pending.wait(Tap::Features).expect("features"));
        }
    }
    features.extend(flying.expect("a batch").wait(Tap::Features).expect("features"));
    features
}

/// Prepares all photos of a folder as training does, in the same order.
fn prepared(data: &Path) -> Vec<ImageTensor> {
    let mut photos = list(data).expect("photos").photos;
    photos.sort_by(|a, b| a.name.cmp(&b.name));
    let prepare = |path: &Path| {
        let bytes = fs::read(path).expect("a photo");
        let image = decode_unguarded(&bytes, &Reading::default(), &Limits::default()).expect("a photo");
        let picture = resnet::ImageView::new(image.width, image.height, &image.rgb).expect("a picture");
        preprocess(picture, &Recipe::default()).expect("a tensor")
    };
    photos.par_iter().map(|photo| prepare(&photo.path)).collect()
}

/// Checks that training has kept what the pure pass gives, to the bit: the same batches went through the same kernels.
fn check(session: &Session<'_>, request: &Request, expected: &[f32]) {
    let kept = embed(session, &request.data, &request.backbones[0].weights, &request.overrides).expect("features");
    assert_eq!(kept.computed, 0, "training has kept them");
    let rows = kept.rows().expect("rows");
    assert_eq!(rows.len() * rows.width(), expected.len());
    for ((name, got), want) in kept.names.iter().zip(rows.iter()).zip(expected.chunks_exact(rows.width())) {
        assert!(got.iter().map(|value| value.to_bits()).eq(want.iter().map(|value| value.to_bits())), "{name}");
    }
}

/// Writes a JPEG of about 300 x 250, as small as those of the usual data sets, and says how large it is. Its class is a hue and a
/// texture; octaves of noise, each half as strong as the one before, give it a photo's spectrum and a photo's bytes.
fn write_photo(data: &Path, number: usize) -> usize {
    let class = number % CLASSES;
    let (width, height) = (280 + number as u32 * 7 % 60, 220 + number as u32 * 11 % 70);
    let byte = |x: u32, y: u32, octave: u32| {
        let index = ((number as u32 * 8 + octave) * 512 + y) * 512 + x;
        f32::from(testkit::formula::byte("photo", index as usize)) / 255.0 - 0.5
    };
    let smooth = |x: f32, y: f32, octave: u32| {
        let (column, row) = (x as u32, y as u32);
        let (u, v) = (x.fract(), y.fract());
        let across = |row: u32| byte(column, row, octave) * (1.0 - u) + byte(column + 1, row, octave) * u;
        across(row) * (1.0 - v) + across(row + 1) * v
    };
    let image = image::RgbImage::from_fn(width, height, |x, y| {
        let noise: f32 = (0..7)
            .map(|octave| {
                let cell = (64 >> octave) as f32;
                220.0 * 0.55f32.powi(octave as i32) * smooth(x as f32 / cell, y as f32 / cell, octave)
            })
            .sum();
        let stripes = 40.0 * ((x * (class as u32 + 1) + y * 3) as f32 / 9.0).sin();
        image::Rgb(std::array::from_fn(|channel| {
            let hue = 30.0 * ((class * 3 + channel * 2) as f32).cos();
            (128.0 + noise + stripes + hue).clamp(0.0, 255.0) as u8
        }))
    });
    let folder = data.join(format!("class {class}"));
    fs::create_dir_all(&folder).expect("a folder");
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 85);
    image.write_with_encoder(encoder).expect("a JPEG");
    fs::write(folder.join(format!("{number:03}.jpg")), &bytes).expect("a photo");
    bytes.len()
}
