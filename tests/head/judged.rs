//! How a head is judged, against scikit-learn and SciPy: tests/fixtures/head/judged.json, which judged.py beside it made.

use std::path::Path;

use serde::Deserialize;
use trainer::data::{Class, Target};
use trainer::features::Rows;
use trainer::head::Temperature;
use trainer::head::metrics::{McNemar, SaidOfSet, evaluate, evaluate_sets, top_k};
use trainer::head::reject::{Gaussian, ledoit_wolf};

#[derive(Deserialize)]
struct Fixtures {
    judged: Vec<Judged>,
    of_sets: Vec<OfSets>,
    ledoit_wolf: Vec<Shrunk>,
    mcnemar: Vec<(usize, usize, f64)>,
    tango: Vec<(usize, usize, usize, f64, f64)>,
}

/// Logits of photos, and what scikit-learn says of them.
#[derive(Deserialize)]
struct Judged {
    name: String,
    classes: usize,
    logits: Vec<f32>,
    truths: Vec<usize>,
    balanced_accuracy: f64,
    roc_area: Vec<Option<f64>>,
    average_precision: Vec<Option<f64>>,
    top_k: Vec<f64>,
    log_loss: f64,
    temperature: f64,
    log_loss_at_temperature: f64,
}

/// Logits of photos that may be of several classes, which of them are named, and what scikit-learn says of it.
#[derive(Deserialize)]
struct OfSets {
    classes: usize,
    logits: Vec<f32>,
    truths: Vec<Vec<usize>>,
    named: Vec<Vec<usize>>,
    average_precision: Vec<f64>,
    roc_area: Vec<f64>,
    f1: Vec<f64>,
    mean_average_precision: f64,
    micro_f1: f64,
    macro_f1: f64,
    exact_match: f64,
    hamming_loss: f64,
    log_loss: f64,
}

/// Rows of three classes, and what becomes of the covariance around their means.
#[derive(Deserialize)]
struct Shrunk {
    rows: Vec<f32>,
    width: usize,
    classes: Vec<usize>,
    shrinkage: f64,
    covariance: Vec<f64>,
    others: Vec<f32>,
    distances: Vec<f64>,
}

impl Judged {
    fn truths(&self) -> Vec<Class> {
        self.truths.iter().map(|&class| Class::new(class)).collect()
    }
}

fn fixtures() -> Fixtures {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/head/judged.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[track_caller]
fn close(got: impl Into<Option<f64>>, expected: impl Into<Option<f64>>, within: f64, what: &str) {
    match (got.into(), expected.into()) {
        (Some(got), Some(expected)) => assert!((got - expected).abs() <= within, "{what}: {got} is not {expected}"),
        (got, expected) => assert_eq!(got, expected, "{what}"),
    }
}

#[test]
fn metrics_are_scikit_learn_s() {
    for case in fixtures().judged {
        let labels: Vec<String> = (0..case.classes).map(|class| class.to_string()).collect();
        let targets: Vec<Target> = case.truths().into_iter().map(Target::from).collect();
        let found = evaluate(case.logits.chunks(case.classes).zip(&targets), &labels, Class::new(0)).unwrap();
        close(found.balanced_accuracy, case.balanced_accuracy, 1e-12, &case.name);
        close(found.log_loss, case.log_loss, 1e-12, &case.name);
        for (class, score) in found.classes.iter().enumerate() {
            let what = format!("{}, class {class}", case.name);
            close(score.roc_area, case.roc_area[class], 1e-12, &what);
            close(score.average_precision, case.average_precision[class], 1e-12, &what);
        }
        let mean = |values: &[Option<f64>]| {
            let defined: Vec<f64> = values.iter().copied().flatten().collect();
            (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
        };
        close(found.roc_area, mean(&case.roc_area), 1e-12, &case.name);
        close(found.average_precision, mean(&case.average_precision), 1e-12, &case.name);
        for (k, expected) in (1..).zip(&case.top_k) {
            let got = top_k(&case.logits, &case.truths(), k).unwrap();
            close(got, *expected, 1e-12, &format!("{}, top {k}", case.name));
        }
        // A swap of two labels is seen.
        let other = targets.iter().rposition(|target| *target != targets[0]);
        if let Some(other) = other {
            let mut swapped = targets.clone();
            swapped.swap(0, other);
            let wrong = evaluate(case.logits.chunks(case.classes).zip(&swapped), &labels, Class::new(0)).unwrap();
            assert!((wrong.log_loss - case.log_loss).abs() > 1e-6, "{}", case.name);
        }
    }
}

#[test]
fn metrics_of_several_labels_are_scikit_learn_s() {
    for (number, case) in fixtures().of_sets.into_iter().enumerate() {
        let labels: Vec<String> = (0..case.classes).map(|class| class.to_string()).collect();
        let sets = |of: &[Vec<usize>]| -> Vec<Vec<Class>> {
            of.iter().map(|set| set.iter().copied().map(Class::new).collect()).collect()
        };
        let evaluated = |truths: &[Vec<usize>]| {
            let (named, targets): (_, Vec<Target>) =
                (sets(&case.named), sets(truths).into_iter().map(Target::Set).collect());
            let rows = case.logits.chunks(case.classes).zip(&named).zip(&targets);
            let said = rows.map(|((logits, named), target)| SaidOfSet { logits, named, target });
            evaluate_sets(said, &labels, &Target::Set(vec![])).unwrap()
        };
        let found = evaluated(&case.truths);
        let of_sets = found.of_sets.unwrap();
        for (got, expected, what) in [
            (found.average_precision.unwrap(), case.mean_average_precision, "mean AP"),
            (of_sets.micro_f1, case.micro_f1, "micro F1"),
            (found.macro_f1, case.macro_f1, "macro F1"),
            (found.top1, case.exact_match, "exact match"),
            (of_sets.hamming_loss, case.hamming_loss, "Hamming loss"),
            (found.log_loss, case.log_loss, "log-loss"),
        ] {
            close(got, expected, 1e-12, &format!("{number}, {what}"));
        }
        for (class, score) in found.classes.iter().enumerate() {
            let what = format!("{number}, class {class}");
            close(score.average_precision, case.average_precision[class], 1e-12, &what);
            close(score.roc_area, case.roc_area[class], 1e-12, &what);
            close(score.f1, case.f1[class], 1e-12, &what);
        }
        // A label that is taken away is seen.
        let mut other = case.truths.clone();
        other.iter_mut().find(|set| !set.is_empty()).unwrap().pop();
        let wrong = evaluated(&other);
        assert!((wrong.log_loss - case.log_loss).abs() > 1e-6);
        assert!((wrong.of_sets.unwrap().hamming_loss - case.hamming_loss).abs() > 1e-6);
    }
}

#[test]
fn mcnemar_s_p_is_scipy_s() {
    for (only_first, only_second, p) in fixtures().mcnemar {
        let got = McNemar { only_first, only_second, ..McNemar::default() }.p();
        close(got, p, 1e-10 * p, &format!("{only_first} {only_second}"));
    }
}

#[test]
fn the_interval_of_the_difference_is_tango_s() {
    for (only_first, only_second, photos, low, high) in fixtures().tango {
        let counts = McNemar { only_first, only_second, both: photos - only_first - only_second, neither: 0 };
        for (got, expected) in counts.interval().into_iter().zip([low, high]) {
            close(got, expected, 1e-6, &format!("{only_first} {only_second} of {photos}"));
        }
    }
}

#[test]
fn the_temperature_is_scipy_s() {
    for case in fixtures().judged {
        let found = Temperature::fit(&case.logits, &case.truths(), None).unwrap();
        // A minimum is found by values alone to half of their digits.
        close(found.value, case.temperature, 1e-6 * case.temperature, &case.name);
        close(found.log_loss_before, case.log_loss, 1e-12, &case.name);
        close(found.log_loss_after, case.log_loss_at_temperature, 1e-12, &case.name);
    }
}

#[test]
fn the_shrunk_covariance_is_scikit_learn_s() {
    for case in fixtures().ledoit_wolf {
        let (rows, width) = (Rows::new(&case.rows, case.width).unwrap(), case.width);
        let mut centred: Vec<f64> = case.rows.iter().map(|&value| f64::from(value)).collect();
        for class in 0..3 {
            let members: Vec<usize> = (0..rows.len()).filter(|&row| case.classes[row] == class).collect();
            for column in 0..width {
                let mean =
                    members.iter().map(|row| f64::from(rows.row(*row)[column])).sum::<f64>() / members.len() as f64;
                members.iter().for_each(|row| centred[row * width + column] -= mean);
            }
        }
        let found = ledoit_wolf(&centred, width).unwrap();
        close(found.shrinkage, case.shrinkage, 1e-12, "the shrinkage");
        for (got, expected) in found.covariance.iter().zip(&case.covariance) {
            close(*got, *expected, 1e-12, "the covariance");
        }
        let classes: Vec<Class> = case.classes.iter().map(|&class| Class::new(class)).collect();
        let fitted = Gaussian::fit(&rows, &classes).unwrap();
        close(fitted.shrinkage, case.shrinkage, 1e-12, "the shrinkage");
        let scores = fitted.scores(&Rows::new(&case.others, width).unwrap()).unwrap();
        for (score, distance) in scores.iter().zip(&case.distances) {
            close(-score, *distance, 1e-9 * distance, "a distance");
        }
    }
}
