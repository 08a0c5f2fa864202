//! The head on cached features. Of 2,000 photos, 512 features and 5 classes: its optimum, with nested cross-validation too, and of about
//! 256 heads side by side; and 100 epochs of mini-batches, without early stopping. Of 50,000 photos, 2,048 features and 100 classes: an
//! epoch in batches of 256, as epochs/s, and its optimum; that of 5,000 of them too. Each on an adapter and on the CPU.
//!
//! The optimum of 50,000 takes minutes on a software adapter: `LARGE=1 cargo bench --bench head -- optimum`.

use criterion::Criterion;
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};
use testkit::Samples;
use trainer::{
    data::{Class, Target},
    features::Rows,
    head::{
        Choice, ClassWeights, Fit, Folds, Head, Optimizer, Problem, Regularisation, Samples as Labelled, Scaling,
        TrainOptions, solve,
    },
    machine::{Cpu, Device, Selection, open},
    progress::Progress,
};

const PHOTOS: usize = 2000;
const FEATURES: usize = 512;
const CLASSES: usize = 5;
/// The strength of the penalty where it isn't chosen.
const L2: f64 = 0.01;
/// The gradient's share of its start at which a head counts as the optimum.
const TOLERANCE: f64 = 1e-6;
/// How often the optimum of 2,000 photos is timed.
const ROUNDS: usize = 5;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let gpu = Device::from(pollster::block_on(open(&Selection::default())).expect("an adapter"));
    let devices = [gpu, Device::Cpu(Cpu::open().expect("threads"))];

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
    let problem = Problem { classes: &classes, train, validation: None, folds: None, views: 1 };

    let mut group = criterion.benchmark_group("head");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(10));
    let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: true };
    let rules = [("adamw", Optimizer::ADAMW, 3e-3), ("sgd", sgd, 1e-2)];
    for (device, (name, optimizer, learning_rate)) in devices.iter().flat_map(|device| rules.map(|rule| (device, rule)))
    {
        let options = TrainOptions {
            optimizer,
            learning_rate,
            epochs: 100,
            batch_size: 64,
            patience: None,
            class_weights: ClassWeights::None,
            ..TrainOptions::default()
        };
        let run = || solve(device, &problem, &options, &()).expect("the head trains");
        let Fit { head, history, .. } = run();
        assert_eq!(history.epochs.len(), 100);
        let logits = head.logits(&rows).expect("features fit");
        let right = (logits.chunks_exact(CLASSES).zip(&labels))
            .filter(|(row, label)| row.iter().all(|logit| *logit <= row[**label]))
            .count();
        assert!(right > PHOTOS * 95 / 100, "{name}: {right} of {PHOTOS} right");
        let engine = device.engine();
        group.bench_function(format!("2000x512, 5 classes, 100 epochs, {name}, {engine}"), |bencher| bencher.iter(run));
    }
    group.finish();
    criterion.final_summary();
    if wanted("head/50000x2048, epochs") {
        devices.iter().for_each(large);
    }
    if wanted("head/2000x512, optimum") {
        optima(&devices, &problem);
    }
    if wanted("head/5000x2048, optimum") {
        devices.iter().for_each(|device| large_optimum(device, 5_000));
    }
    if std::env::var_os("LARGE").is_some() && wanted("head/50000x2048, optimum") {
        devices.iter().rev().for_each(|device| large_optimum(device, 50_000));
    }
}

/// Tells whether the command line picks a measurement, or names none.
fn wanted(name: &str) -> bool {
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    filters.is_empty() || filters.iter().any(|filter| name.contains(filter))
}

/// Asks for the optimum to a gradient of a millionth of its start.
fn to_the_optimum(l2: Option<f64>, scaling: Option<Scaling>) -> TrainOptions {
    let optimizer =
        Optimizer::Lbfgs { method: None, l2, scaling, tolerance: TOLERANCE, folds: 5, choice: Choice::Best };
    TrainOptions { optimizer, ..TrainOptions::default() }
}

/// One head, without and with nested cross-validation, and as near to 256 of them side by side as folds allow; in turns, medians.
fn optima(devices: &[Device], problem: &Problem) {
    // A ninth of the labels is wrong, so that nothing tells all photos apart.
    let given: Vec<usize> = problem.train.targets.iter().map(|target| target.classes()[0].index()).collect();
    let labels: Vec<usize> =
        given.iter().enumerate().map(|(photo, label)| (label + usize::from(photo % 9 == 4)) % CLASSES).collect();
    let targets = targets(&labels);
    let problem = Problem { train: Labelled { targets: &targets, ..problem.train }, ..*problem };
    // All but one or two folds: k (k + 1) / 2 sets of photos, 253 with 22.
    let deals = [5, 22].map(|folds| [(0..PHOTOS).map(|photo| photo / CLASSES % folds).collect::<Vec<usize>>()]);
    let [five, many] = deals.each_ref().map(|deals| Some(Folds { deals, nested: true }));
    let one = to_the_optimum(Some(L2), Some(Scaling::Common));
    let chosen = to_the_optimum(None, None);
    let cases =
        [("one head", None, one), ("330 heads to choose by, and one", five, chosen), ("253 heads, and one", many, one)];
    let run = |device: &Device, (_, folds, options): &(&str, Option<Folds>, TrainOptions)| {
        let start = Instant::now();
        let fit = solve(device, &Problem { folds: *folds, ..problem }, options, &()).expect("the head trains");
        (fit, start.elapsed().as_secs_f64())
    };
    let all: Vec<_> = devices.iter().flat_map(|device| cases.iter().map(move |case| (device, case))).collect();
    for (device, case) in &all {
        let (fit, _) = run(device, case);
        let certificate = fit.certificate.expect("an optimum");
        assert!(certificate.share() <= TOLERANCE, "{}: {certificate:?}", case.0);
        if let Regularisation::Logistic { scaling: Scaling::Common, l2 } = certificate.regularisation {
            // The optimum itself: the head is that, divided by a temperature.
            let times = |value: &f32| (f64::from(*value) * certificate.temperature) as f32;
            let Head { weight, bias, classes, .. } = &fit.head;
            let [weight, bias] = [weight, bias].map(|values| values.iter().map(times).collect());
            let optimum = Head { weight, bias, classes: classes.clone(), thresholds: None };
            let (value, share) = judge(&optimum, problem.train.rows, &labels, l2);
            assert!(
                share <= TOLERANCE && (value - certificate.objective).abs() <= 1e-9,
                "{value} {share} {certificate:?}"
            );
        }
        assert_eq!(
            fit.cross_validation.map(|found| found.candidates.len()),
            match case.1 {
                None => None,
                Some(_) if case.2 == one => Some(1),
                Some(_) => Some(22),
            }
        );
    }
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let mut seconds = vec![Vec::new(); all.len()];
    for _ in 0..ROUNDS {
        all.iter().zip(&mut seconds).for_each(|((device, case), seconds)| seconds.push(run(device, case).1));
    }
    let medians: Vec<f64> = seconds.into_iter().map(median).collect();
    for (place, ((device, (name, ..)), seconds)) in all.iter().zip(&medians).enumerate() {
        let (engine, beside) = (device.engine(), seconds / medians[place / cases.len() * cases.len()]);
        println!(
            "head/{PHOTOS}x{FEATURES}, {CLASSES} classes, optimum, {name}, {engine}: {seconds:.3} s, {beside:.2} of one head's"
        );
    }
}

/// Computes what a head's optimum minimises and the share of its start that the gradient has at the head, in f64, by the definition:
/// mean of -ln p(class) + l2 / 2 · Σ u², with u the weights on features less their mean, divided by the root of 1.01 · their mean variance.
fn judge(head: &Head, rows: &Rows, labels: &[usize], l2: f64) -> (f64, f64) {
    let (count, width, classes) = (rows.len() as f64, rows.width(), head.classes.len());
    let sums = |of: &dyn Fn(usize, f32) -> f64| -> Vec<f64> {
        let sum = |feature: usize| rows.iter().map(|row| of(feature, row[feature])).sum::<f64>() / count;
        (0..width).map(sum).collect()
    };
    let mean = sums(&|_, x| f64::from(x));
    let variance = sums(&|feature, x| (f64::from(x) - mean[feature]).powi(2));
    let scale = (1.01 * variance.iter().sum::<f64>() / width as f64).sqrt();
    let at = |u: &[f64], bias: &[f64]| -> (f64, f64) {
        let mut value = 0.5 * l2 * u.iter().map(|u| u * u).sum::<f64>();
        let (mut of_weights, mut of_bias): (Vec<f64>, _) = (u.iter().map(|u| l2 * u).collect(), vec![0.0; classes]);
        for (row, &label) in rows.iter().zip(labels) {
            let z: Vec<f64> = row.iter().zip(&mean).map(|(&x, mean)| (f64::from(x) - mean) / scale).collect();
            let logit = |class: usize| bias[class] + z.iter().zip(&u[class * width..]).map(|(z, u)| z * u).sum::<f64>();
            let logits: Vec<f64> = (0..classes).map(logit).collect();
            let normaliser = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
            value += (normaliser - logits[label]) / count;
            for class in 0..classes {
                let slope = ((logits[class] - normaliser).exp() - f64::from(u8::from(class == label))) / count;
                of_bias[class] += slope;
                of_weights[class * width..].iter_mut().zip(&z).for_each(|(to, z)| *to += slope * z);
            }
        }
        (value, of_weights.iter().chain(&of_bias).fold(0.0, |most, slope| slope.abs().max(most)))
    };
    let u: Vec<f64> = head.weight.iter().map(|&w| f64::from(w) * scale).collect();
    let shift = |class: usize| (0..width).map(|i| f64::from(head.weight[class * width + i]) * mean[i]).sum::<f64>();
    let bias: Vec<f64> = (0..classes).map(|class| f64::from(head.bias[class]) + shift(class)).collect();
    let (value, gradient) = at(&u, &bias);
    (value, gradient / at(&vec![0.0; u.len()], &vec![0.0; classes]).1)
}

/// The optimum where the products are what takes the time: 41 GFLOP for each loss and gradient.
fn large_optimum(device: &Device, photos: usize) {
    let [width, classes] = [2048, 100];
    let mut samples = Samples::new(3);
    let centres = samples.vec(classes * width);
    let labels: Vec<usize> = (0..photos).map(|photo| (photo + usize::from(photo % 9 == 4)) % classes).collect();
    let features: Vec<f32> = (0..photos)
        .flat_map(|photo| &centres[photo % classes * width..][..width])
        .map(|centre| 0.1 * centre + samples.signed())
        .collect();
    let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    let (rows, targets) = (Rows::new(&features, width).expect("whole rows"), targets(&labels));
    let train = Labelled { rows: &rows, targets: &targets, weights: None };
    let problem = Problem { classes: &names, train, validation: None, folds: None, views: 1 };
    let start = Instant::now();
    let fit = solve(device, &problem, &to_the_optimum(Some(L2), Some(Scaling::Common)), &()).expect("the head trains");
    let (seconds, certificate) = (start.elapsed().as_secs_f64(), fit.certificate.expect("an optimum"));
    assert!(certificate.share() <= TOLERANCE, "{certificate:?}");
    println!(
        "head/{photos}x{width}, {classes} classes, optimum, {}: {seconds:.1} s, {} steps",
        device.engine(),
        certificate.steps
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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
fn large(device: &Device) {
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
    let options = TrainOptions {
        optimizer: Optimizer::ADAMW,
        epochs,
        batch_size: 256,
        warmup_epochs: 1,
        patience: None,
        ..TrainOptions::default()
    };
    let ended = Epochs::default();
    let [rows, other_rows] = [&features, &others].map(|values| Rows::new(values, FEATURES).expect("whole rows"));
    let [targets, other_targets] = [&labels, &truth].map(|labels| targets(labels));
    let train = Labelled { rows: &rows, targets: &targets, weights: None };
    let validation = Some(Labelled { rows: &other_rows, targets: &other_targets, weights: None });
    let problem = Problem { classes: &classes, train, validation, folds: None, views: 1 };
    let Fit { head, history, .. } = solve(device, &problem, &options, &ended).expect("the head trains");

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
    let seconds = median(ended.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect());
    let gflops = 4e-9 * (PHOTOS * FEATURES * CLASSES) as f64 / seconds;
    println!(
        "head/{PHOTOS}x{FEATURES}, {CLASSES} classes, batch 256, adamw, {}: {:.2} epochs/s, {gflops:.0} GFLOP/s",
        device.engine(),
        1.0 / seconds
    );
}
