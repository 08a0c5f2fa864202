//! The head's training on cached features, without early stopping: 2,000 photos, 512 features, 5 classes, 100 epochs; and an epoch
//! of 50,000 photos, 2,048 features, 100 classes in batches of 256, as epochs/s.

use criterion::Criterion;
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};
use testkit::Samples;
use trainer::{
    data::{Class, Target},
    features::Rows,
    head::{ClassWeights, Fit, Optimizer, Problem, Samples as Labelled, TrainOptions, solve},
    machine::{Gpu, Selection, open},
    progress::Progress,
};

const PHOTOS: usize = 2000;
const FEATURES: usize = 512;
const CLASSES: usize = 5;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let gpu = pollster::block_on(open(&Selection::default())).expect("an adapter");

    // Five clouds of points, so near each other that a head has to learn.
    let mut samples = Samples::new(1);
    let centres = samples.vec(CLASSES * FEATURES);
    let labels: Vec<usize> = (0..PHOTOS).map(|photo| photo % CLASSES).collect();
    let features: Vec<f32> = (labels.iter())
        .flat_map(|label| &centres[label * FEATURES..][..FEATURES])
        .map(|centre| 0.1 * centre + samples.signed())
        .collect();
    let classes: Vec<String> = (0..CLASSES).map(|class| class.to_string()).collect();
    let (rows, targets) = (Rows::new(&features, FEATURES).expect("whole rows"), targets(&labels));
    let train = Labelled { rows: &rows, targets: &targets, weights: None };
    let problem = Problem { classes: &classes, train, validation: None };

    let mut group = criterion.benchmark_group("head");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(10));
    let adamw = Optimizer::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: true };
    for (name, optimizer, learning_rate) in [("adamw", adamw, 3e-3), ("sgd", sgd, 1e-2)] {
        let options = TrainOptions {
            optimizer,
            learning_rate,
            epochs: 100,
            batch_size: 64,
            patience: None,
            class_weights: ClassWeights::None,
            ..TrainOptions::default()
        };
        let run = || solve(&gpu, &problem, &options, &()).expect("the head trains");
        let Fit { head, history } = run();
        assert_eq!(history.epochs.len(), 100);
        let logits = head.logits(&rows).expect("features fit");
        let right = (logits.chunks_exact(CLASSES).zip(&labels))
            .filter(|(row, label)| row.iter().all(|logit| *logit <= row[**label]))
            .count();
        assert!(right > PHOTOS * 95 / 100, "{name}: {right} of {PHOTOS} right");
        group.bench_function(format!("2000x512, 5 classes, 100 epochs, {name}"), |bencher| bencher.iter(run));
    }
    group.finish();
    criterion.final_summary();
    large(&gpu);
}

fn targets(labels: &[usize]) -> Vec<Target> {
    labels.iter().map(|&label| Class::new(label).into()).collect()
}

/// When each epoch ended.
#[derive(Default)]
struct Epochs(Mutex<Vec<Instant>>);

impl Progress for Epochs {
    fn advance(&self, _: usize) {
        self.0.lock().expect("nothing panicked").push(Instant::now());
    }
}

/// Epochs/s where the products are what takes the time: 41 GFLOP an epoch. The first epoch, with compiling, isn't counted.
fn large(gpu: &Gpu) {
    const PHOTOS: usize = 50_000;
    const FEATURES: usize = 2048;
    const CLASSES: usize = 100;
    const VALIDATED: usize = 512;
    // Only once where `cargo test --benches` runs it.
    let epochs = if std::env::args().any(|arg| arg == "--bench") { 8 } else { 2 };

    let mut samples = Samples::new(2);
    let centres = samples.vec(CLASSES * FEATURES);
    let mut clouds = |photos: usize| -> (Vec<f32>, Vec<usize>) {
        let labels: Vec<usize> = (0..photos).map(|photo| photo % CLASSES).collect();
        let features = (labels.iter())
            .flat_map(|label| &centres[label * FEATURES..][..FEATURES])
            .map(|centre| 0.1 * centre + samples.signed())
            .collect();
        (features, labels)
    };
    let ((features, labels), (others, truth)) = (clouds(PHOTOS), clouds(VALIDATED));
    let classes: Vec<String> = (0..CLASSES).map(|class| class.to_string()).collect();
    let options = TrainOptions { epochs, batch_size: 256, warmup_epochs: 1, patience: None, ..TrainOptions::default() };
    let ended = Epochs::default();
    let [rows, other_rows] = [&features, &others].map(|values| Rows::new(values, FEATURES).expect("whole rows"));
    let [targets, other_targets] = [&labels, &truth].map(|labels| targets(labels));
    let train = Labelled { rows: &rows, targets: &targets, weights: None };
    let validation = Some(Labelled { rows: &other_rows, targets: &other_targets, weights: None });
    let problem = Problem { classes: &classes, train, validation };
    let Fit { head, history } = solve(gpu, &problem, &options, &ended).expect("the head trains");

    let losses: Vec<f64> = history.epochs.iter().map(|epoch| epoch.train_loss).collect();
    assert!(losses.is_sorted_by(|before, after| before > after), "the loss doesn't fall: {losses:?}");
    // The validation loss again, in f64 on the CPU, from the head that came out.
    let logits = head.logits(&other_rows).expect("features fit");
    let again = logits.chunks_exact(CLASSES).zip(&truth).map(|(row, &label)| {
        let sum: f64 = row.iter().map(|&logit| f64::from(logit - row[label]).exp()).sum();
        sum.ln()
    });
    let again = again.sum::<f64>() / VALIDATED as f64;
    let loss = history.epochs[history.best - 1].validation_loss.expect("there is a validation part");
    assert!((again - loss).abs() <= 1e-4 * (1.0 + loss), "{again} is not {loss}");

    let ended = ended.0.into_inner().expect("nothing panicked");
    let mut seconds: Vec<f64> = ended.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let gflops = 4e-9 * (PHOTOS * FEATURES * CLASSES) as f64 / median;
    println!(
        "head/{PHOTOS}x{FEATURES}, {CLASSES} classes, batch 256, adamw: {:.2} epochs/s, {gflops:.0} GFLOP/s",
        1.0 / median
    );
}
