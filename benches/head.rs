//! The head's training on cached features: 2,000 photos, 512 features, 5 classes, 100 epochs, without early stopping.

use criterion::Criterion;
use std::time::Duration;
use testkit::Samples;
use trainer::{
    device::{Selection, open},
    head::{ClassWeights, Optimizer, Samples as Labelled, TrainOptions, train},
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
    let labelled = || Labelled { features: &features, labels: &labels };

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
        let run = || train(&gpu, labelled(), None, &classes, &options, &()).expect("the head trains");
        let (head, history) = run();
        assert_eq!(history.epochs.len(), 100);
        let logits = head.logits(&features).expect("features fit");
        let right = (logits.chunks_exact(CLASSES).zip(&labels))
            .filter(|(row, label)| row.iter().all(|logit| *logit <= row[**label]))
            .count();
        assert!(right > PHOTOS * 95 / 100, "{name}: {right} of {PHOTOS} right");
        group.bench_function(format!("2000x512, 5 classes, 100 epochs, {name}"), |bencher| bencher.iter(run));
    }
    group.finish();
    criterion.final_summary();
}
