//! The optimum of softmax regression against scikit-learn's: tests/fixtures/head/optima.json, which optima.py beside it made.

use serde::Deserialize;
use trainer::data::{Class, Target};
use trainer::features::Rows;
use trainer::head::metrics::evaluate;
use trainer::head::{
    Certificate, Choice, ClassWeights, Folds, Method, Optimizer, Problem, Samples, Scaling, TrainOptions, solve,
};
use trainer::machine::{Cpu, Device, Selection, open};

#[derive(Deserialize)]
struct Fixture {
    width: usize,
    classes: usize,
    labels: Vec<usize>,
    weights: Vec<f64>,
    features: Vec<f32>,
    cases: Vec<Case>,
    /// Whether a row is of each class, where it may be of several.
    truths: Vec<Vec<usize>>,
    of_sets: Vec<OfSets>,
}

#[derive(Deserialize)]
struct OfSets {
    scaling: Scaling,
    l2: f64,
    weighted: bool,
    objective: f64,
    weight: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    scaling: Scaling,
    l2: f64,
    balanced: bool,
    weighted: bool,
    objective: f64,
    weight: Vec<f64>,
}

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/head/optima.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// An adapter and the CPU.
fn devices() -> [Device; 2] {
    [pollster::block_on(open(&Selection::default())).unwrap().into(), Device::Cpu(Cpu::open().unwrap())]
}

fn options(l2: Option<f64>, scaling: Option<Scaling>) -> TrainOptions {
    let method = Some(Method::Logistic);
    let optimizer = Optimizer::Lbfgs { method, l2, scaling, tolerance: 1e-6, folds: 5, choice: Choice::Best };
    TrainOptions { optimizer, ..Default::default() }
}

/// Solves for the rows in an order.
fn solved(device: &Device, fixture: &Fixture, order: &[usize], case: &Case) -> (Vec<f32>, Certificate) {
    let width = fixture.width;
    let features: Vec<f32> = order.iter().flat_map(|&row| &fixture.features[row * width..][..width]).copied().collect();
    let targets: Vec<Target> = order.iter().map(|&row| Class::new(fixture.labels[row]).into()).collect();
    let weights: Vec<f64> = order.iter().map(|&row| fixture.weights[row]).collect();
    let classes: Vec<String> = (0..fixture.classes).map(|class| class.to_string()).collect();
    let rows = Rows::new(&features, width).unwrap();
    let train = Samples { rows: &rows, targets: &targets, weights: case.weighted.then_some(&weights[..]) };
    let class_weights = if case.balanced { ClassWeights::Balanced } else { ClassWeights::None };
    let options = TrainOptions { class_weights, ..options(Some(case.l2), Some(case.scaling)) };
    let fit =
        solve(device, &Problem { classes: &classes, train, validation: None, folds: None, views: 1 }, &options, &())
            .unwrap();
    (fit.head.weight, fit.certificate.unwrap())
}

#[test]
fn the_optimum_is_scikit_learns() {
    let (fixture, devices) = (fixture(), devices());
    let order: Vec<usize> = (0..fixture.labels.len()).collect();
    let near = |weight: &[f32], expected: &[f64]| {
        let largest = expected.iter().fold(0.0, |most: f64, w| most.max(w.abs()));
        weight.iter().zip(expected).all(|(got, expected)| (f64::from(*got) - expected).abs() <= 1e-4 * largest)
    };
    for (case, device) in fixture.cases.iter().flat_map(|case| devices.iter().map(move |device| (case, device))) {
        let (weight, certificate) = solved(device, &fixture, &order, case);
        let engine = device.engine();
        let what = format!("{engine} {:?} {} {} {}", case.scaling, case.l2, case.balanced, case.weighted);
        assert!((certificate.objective - case.objective).abs() <= 1e-6 * case.objective, "{what}: {certificate:?}");
        assert!(certificate.share() <= 1e-6, "{what}: {certificate:?}");
        assert!(near(&weight, &case.weight), "{what}");
        // The comparison can fail: a penalty stronger by a hundredth.
        let (other, certificate) =
            solved(device, &fixture, &order, &Case { l2: 1.01 * case.l2, weight: Vec::new(), ..*case });
        assert!(
            (certificate.objective - case.objective).abs() > 1e-6 * case.objective && !near(&other, &case.weight),
            "{what}"
        );
    }
}

/// Lists the rows' sets of classes.
fn sets(fixture: &Fixture) -> Vec<Target> {
    let set = |row: &Vec<usize>| (0..row.len()).filter(|&class| row[class] == 1).map(Class::new).collect();
    fixture.truths.iter().map(|row| Target::Set(set(row))).collect()
}

#[test]
fn the_optimum_of_several_labels_is_scikit_learns_one_against_the_rest() {
    let (fixture, devices) = (fixture(), devices());
    let (targets, rows) = (sets(&fixture), Rows::new(&fixture.features, fixture.width).unwrap());
    let classes: Vec<String> = (0..fixture.classes).map(|class| class.to_string()).collect();
    let near = |weight: &[f32], expected: &[f64]| {
        let largest = expected.iter().fold(0.0, |most: f64, w| most.max(w.abs()));
        weight.iter().zip(expected).all(|(got, expected)| (f64::from(*got) - expected).abs() <= 1e-4 * largest)
    };
    for (case, device) in fixture.of_sets.iter().flat_map(|case| devices.iter().map(move |device| (case, device))) {
        let train = Samples { rows: &rows, targets: &targets, weights: case.weighted.then_some(&fixture.weights[..]) };
        let problem = Problem { classes: &classes, train, validation: None, folds: None, views: 1 };
        let of = |l2| solve(device, &problem, &options(Some(l2), Some(case.scaling)), &()).unwrap();
        let what = format!("{} {:?} {} {}", device.engine(), case.scaling, case.l2, case.weighted);
        let (fit, other) = (of(case.l2), of(1.01 * case.l2));
        let [certificate, of_other] = [&fit, &other].map(|fit| fit.certificate.unwrap());
        assert!((certificate.objective - case.objective).abs() <= 1e-6 * case.objective, "{what}: {certificate:?}");
        assert!(certificate.share() <= 1e-6 && near(&fit.head.weight, &case.weight), "{what}: {certificate:?}");
        assert_eq!(fit.head.thresholds, Some(vec![0.5; fixture.classes]), "without folds nothing chooses them");
        // The comparison can fail: a penalty stronger by a hundredth.
        assert!((of_other.objective - case.objective).abs() > 1e-6 * case.objective, "{what}");
        assert!(!near(&other.head.weight, &case.weight), "{what}");
    }
}

#[test]
fn options_of_one_class_a_row_are_refused_where_it_may_be_of_several() {
    let (fixture, [device, _]) = (fixture(), devices());
    let (targets, rows) = (sets(&fixture), Rows::new(&fixture.features, fixture.width).unwrap());
    let classes: Vec<String> = (0..fixture.classes).map(|class| class.to_string()).collect();
    let train = Samples { rows: &rows, targets: &targets, weights: None };
    let problem = Problem { classes: &classes, train, validation: None, folds: None, views: 1 };
    let good = options(None, None);
    let Optimizer::Lbfgs { l2, scaling, tolerance, folds, choice, .. } = good.optimizer else { unreachable!() };
    let covariance = Optimizer::Lbfgs { method: Some(Method::Covariance), l2, scaling, tolerance, folds, choice };
    for (bad, name) in [
        (TrainOptions { optimizer: Optimizer::ADAMW, ..good }, "optimizer"),
        (TrainOptions { optimizer: covariance, ..good }, "head"),
        (TrainOptions { class_weights: ClassWeights::Balanced, ..good }, "class weights"),
        (TrainOptions { label_smoothing: 0.1, ..good }, "label smoothing"),
    ] {
        let error = solve(&device, &problem, &bad, &()).unwrap_err();
        assert_eq!(error.fault(), trainer::Fault::Usage);
        let message = error.to_string();
        assert!(message.starts_with(name) && message.contains("several labels"), "{message}");
    }
}

#[test]
fn thresholds_are_chosen_on_other_folds_and_the_best_of_all_are_kept() {
    let (fixture, targets) = (fixture(), sets(&fixture()));
    let rows = Rows::new(&fixture.features, fixture.width).unwrap();
    let classes: Vec<String> = (0..fixture.classes).map(|class| class.to_string()).collect();
    let train = Samples { rows: &rows, targets: &targets, weights: None };
    let deals: Vec<Vec<usize>> = vec![(0..targets.len()).map(|row| row * 7 % 5).collect()];
    let folds = Some(Folds { deals: &deals, nested: true });
    let problem = Problem { classes: &classes, train, validation: None, folds, views: 1 };
    for device in devices() {
        let fit = solve(&device, &problem, &options(None, None), &()).unwrap();
        let (found, thresholds) = (fit.cross_validation.unwrap(), fit.head.thresholds.unwrap());
        assert_eq!((found.named.len(), found.candidates.len()), (targets.len(), 22));
        let exact = found.named.iter().zip(&targets).filter(|(named, target)| *named == target.classes()).count();
        assert_eq!(found.top1, [exact as f64 / targets.len() as f64]);
        let temperature = fit.temperature.unwrap();
        let mean = found.losses.iter().sum::<f64>() / targets.len() as f64;
        assert!((temperature.log_loss_after - mean).abs() < 1e-6 * mean, "{temperature:?} {mean}");
        let f1 = |class: usize, least: f64| {
            let (mut hits, mut named, mut truths) = (0, 0, 0);
            for (logits, target) in found.logits.chunks_exact(fixture.classes).zip(&targets) {
                let is_named = 1.0 / (1.0 + f64::from(-logits[class]).exp()) >= least;
                let is_true = target.classes().contains(&Class::new(class));
                (hits, named, truths) = (
                    hits + usize::from(is_named && is_true),
                    named + usize::from(is_named),
                    truths + usize::from(is_true),
                );
            }
            2.0 * hits as f64 / (named + truths) as f64
        };
        for (class, &threshold) in thresholds.iter().enumerate() {
            let best = (1..1000).map(|least| f1(class, f64::from(least) / 1000.0)).fold(0.0, f64::max);
            assert!(f1(class, threshold) >= best - 1e-12, "{class}: {threshold}");
        }
        assert!(thresholds.iter().any(|threshold| *threshold != 0.5), "{thresholds:?}");
    }
}

#[test]
fn adjusted_logits_compare_likelihoods() {
    // Of 900 photos of a class 540 lie left and 360 right, of 100 of another 30 and 70: both sides are rather the first's.
    let sides = [(0, -1.0, 540), (0, 1.0, 360), (1, -1.0, 30), (1, 1.0, 70)];
    let (mut features, mut targets) = (Vec::new(), Vec::<Target>::new());
    for (class, side, photos) in sides {
        features.resize(features.len() + photos, side);
        targets.resize(targets.len() + photos, Class::new(class).into());
    }
    let rows = Rows::new(&features, 1).unwrap();
    let ([device, _], classes) = (devices(), ["many", "few"].map(str::to_owned));
    let train = Samples { rows: &rows, targets: &targets, weights: None };
    let problem = Problem { classes: &classes, train, validation: None, folds: None, views: 1 };
    let of = |class_weights| {
        let options = TrainOptions { class_weights, ..options(Some(1e-6), None) };
        let fit = solve(&device, &problem, &options, &()).unwrap();
        let logits = fit.head.logits(&rows).unwrap();
        let balanced =
            evaluate(logits.chunks_exact(2).zip(&targets), &classes, Class::new(0)).unwrap().balanced_accuracy;
        let right = fit.head.logits(&Rows::new(&[1.0], 1).unwrap()).unwrap();
        (fit, balanced.unwrap(), f64::from(right[1] - right[0]))
    };
    let (plain, balanced, right) = of(ClassWeights::None);
    assert_eq!(balanced, 0.5, "the frequent class is always named");
    // The penalty is weak, not nothing.
    assert!((right - (70f64 / 360.0).ln()).abs() <= 1e-3, "{right}");
    let (adjusted, balanced, right) = of(ClassWeights::Adjusted);
    assert!((balanced - 0.65).abs() < 1e-12, "{balanced}");
    assert!((right - (0.7f64 / 0.4).ln()).abs() <= 1e-3, "{right}");
    // It is the same optimum, whose biases were moved.
    assert_eq!((plain.head.weight, plain.certificate), (adjusted.head.weight, adjusted.certificate));
}

#[test]
fn the_order_of_rows_and_the_device_change_the_last_digits_at_most() {
    let (fixture, [gpu, cpu]) = (fixture(), devices());
    let order: Vec<usize> = (0..fixture.labels.len()).collect();
    let reversed: Vec<usize> = order.iter().rev().copied().collect();
    let case = fixture.cases.iter().find(|case| case.l2 == 0.1 && case.weighted).unwrap();
    let (weight, certificate) = solved(&gpu, &fixture, &order, case);
    let (other, of_other) = solved(&gpu, &fixture, &reversed, case);
    assert!(weight.iter().zip(&other).all(|(a, b)| (a - b).abs() <= 1e-5), "{weight:?} {other:?}");
    assert!((certificate.objective - of_other.objective).abs() <= 1e-9);
    let (other, _) = solved(&cpu, &fixture, &order, case);
    assert!(weight.iter().zip(&other).all(|(a, b)| (a - b).abs() <= 1e-5), "{weight:?} {other:?}");
    // The same on one device, to the byte.
    assert_eq!(solved(&gpu, &fixture, &order, case), (weight, certificate));
    assert_eq!(solved(&cpu, &fixture, &order, case).0, other);
}

#[test]
fn cross_validation_chooses_what_is_best_on_others() {
    devices().iter().for_each(chooses_what_is_best_on_others);
}

fn chooses_what_is_best_on_others(device: &Device) {
    let fixture = fixture();
    let targets: Vec<Target> = fixture.labels.iter().map(|&label| Class::new(label).into()).collect();
    let classes: Vec<String> = (0..fixture.classes).map(|class| class.to_string()).collect();
    let rows = Rows::new(&fixture.features, fixture.width).unwrap();
    let train = Samples { rows: &rows, targets: &targets, weights: None };
    let deals: Vec<Vec<usize>> =
        (0..2).map(|deal| (0..targets.len()).map(|row| (row * (deal + 1)) % 5).collect()).collect();
    let of = |nested| {
        let problem = Problem {
            classes: &classes,
            train,
            validation: None,
            folds: Some(Folds { deals: &deals, nested }),
            views: 1,
        };
        let fit = solve(device, &problem, &options(None, None), &()).unwrap();
        let (mut found, temperature) = (fit.cross_validation.unwrap(), fit.temperature.unwrap());
        // As they were before they were divided.
        found.logits.iter_mut().for_each(|logit| *logit = (f64::from(*logit) * temperature.value) as f32);
        found
    };
    let (plain, nested) = (of(false), of(true));
    assert_eq!((plain.candidates.len(), plain.folds, plain.top1.len()), (22, 5, 2));
    let best = plain.candidates.iter().map(|candidate| candidate.log_loss).fold(f64::INFINITY, f64::min);
    assert_eq!(plain.candidates[plain.chosen].log_loss, best);
    // The outer heads are the same; choosing anew without each fold can but cost.
    assert_eq!((&plain.candidates, plain.chosen), (&nested.candidates, nested.chosen));
    let loss = |logits: &[f32]| -> f64 {
        let rows = logits.chunks_exact(fixture.classes).zip(&fixture.labels);
        rows.map(|(row, &label)| row.iter().map(|z| f64::from(z - row[label]).exp()).sum::<f64>().ln()).sum()
    };
    assert!(loss(&nested.logits) >= loss(&plain.logits) - 1e-9);
    // By definition: the head that learns from four folds alone says the same of the fifth.
    let case = Case {
        scaling: plain.candidates[plain.chosen].regularisation.scaling(),
        l2: plain.candidates[plain.chosen].regularisation.l2().unwrap(),
        balanced: false,
        weighted: false,
        objective: 0.0,
        weight: Vec::new(),
    };
    let middle = if plain.top1[0] <= plain.top1[1] { 0 } else { 1 };
    let fold: Vec<usize> = (0..targets.len()).filter(|&row| deals[middle][row] == 3).collect();
    let others: Vec<usize> = (0..targets.len()).filter(|&row| deals[middle][row] != 3).collect();
    let (weight, _) = solved(device, &fixture, &others, &case);
    for &row in &fold {
        let features = &fixture.features[row * fixture.width..][..fixture.width];
        let of_class = |class: usize| -> f64 {
            weight[class * fixture.width..][..fixture.width].iter().zip(features).map(|(w, x)| f64::from(w * x)).sum()
        };
        // Biases aside, which differ by class alone.
        let said = &plain.logits[row * fixture.classes..][..fixture.classes];
        let first = fold[0];
        let of_first = &fixture.features[first * fixture.width..][..fixture.width];
        for class in 0..fixture.classes {
            let base: f64 = weight[class * fixture.width..][..fixture.width]
                .iter()
                .zip(of_first)
                .map(|(w, x)| f64::from(w * x))
                .sum();
            let ours = f64::from(said[class] - plain.logits[first * fixture.classes + class]);
            assert!(
                (ours - (of_class(class) - base)).abs() <= 0.05 * (1.0 + ours.abs()),
                "{row} {class}: {ours} {}",
                of_class(class) - base
            );
        }
    }
}
