//! Heads in closed form against scikit-learn's: tests/fixtures/head/discriminants.json, which discriminants.py beside it made.

use serde::Deserialize;
use trainer::data::{Class, Target};
use trainer::features::Rows;
use trainer::head::{
    Fit, Folds, Method, Optimizer, Problem, Regularisation, Samples, Scaling, TrainOptions, solve, solve_for,
};
use trainer::machine::{Device, Selection, open};

#[derive(Deserialize)]
struct Fixture {
    width: usize,
    classes: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    scaling: Scaling,
    labels: Vec<usize>,
    features: Vec<f32>,
    judged: Vec<f32>,
    discriminants: Vec<Discriminant>,
    nearest: Vec<usize>,
}

#[derive(Deserialize)]
struct Discriminant {
    shrinkage: f64,
    weight: Vec<f64>,
    logits: Vec<f64>,
}

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/head/discriminants.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn device() -> Device {
    pollster::block_on(open(&Selection::default())).unwrap().into()
}

/// Hands a case out as a problem.
fn posed<T>(fixture: &Fixture, case: &Case, folds: Option<Folds>, of: impl FnOnce(&Problem) -> T) -> T {
    let targets: Vec<Target> = case.labels.iter().map(|&label| Class::new(label).into()).collect();
    let classes: Vec<String> = (0..fixture.classes).map(|class| class.to_string()).collect();
    let rows = Rows::new(&case.features, fixture.width).unwrap();
    let train = Samples { rows: &rows, targets: &targets, weights: None };
    of(&Problem { classes: &classes, train, validation: None, folds, views: 1 })
}

/// Tells whether each value is near the expected one, by what f32 holds of the largest.
fn near(got: &[f32], expected: &[f64]) -> bool {
    let largest = expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    got.len() == expected.len()
        && got.iter().zip(expected).all(|(got, expected)| (f64::from(*got) - expected).abs() <= 1e-5 * largest)
}

#[test]
fn discriminants_are_scikit_learns() {
    let (fixture, device) = (fixture(), device());
    for case in &fixture.cases {
        let judged = Rows::new(&case.judged, fixture.width).unwrap();
        let scaling = case.scaling;
        // scikit-learn divides the scatter by the number of rows, not by what classes leave of it.
        let rows = case.labels.len() as f64;
        let sharpness = rows / (rows - fixture.classes as f64);
        let of = |shrinkage| -> Fit {
            let regularisation = Regularisation::Covariance { scaling, shrinkage, sharpness };
            posed(&fixture, case, None, |problem| {
                solve_for(&device, problem, &TrainOptions::default(), regularisation, &())
            })
            .unwrap()
        };
        for Discriminant { shrinkage, weight, logits } in &case.discriminants {
            let (fit, what) = (of(*shrinkage), format!("{} rows, {scaling:?}, {shrinkage}", case.labels.len()));
            assert!(near(&fit.head.weight, weight), "{what}");
            // Means of as many rows each are as uncertain: what is taken back is the same for all, and changes nothing.
            let relative = |logits: Vec<f32>| -> Vec<f32> {
                logits.chunks_exact(fixture.classes).flat_map(|row| row.iter().map(|z| z - row[0])).collect()
            };
            let expected: Vec<f64> =
                logits.chunks_exact(fixture.classes).flat_map(|row| row.iter().map(|z| z - row[0])).collect();
            assert!(near(&relative(fit.head.logits(&judged).unwrap()), &expected), "{what}");
            // As saved it is the solution of its equations to what f32 holds.
            let share = fit.certificate.unwrap().share();
            assert!(share <= 1e-4, "{what}: {share}");
            // The comparison can fail: a shrinkage of a hundredth more.
            let other = of(shrinkage + 0.01).head;
            assert!(
                !near(&other.weight, weight) && !near(&relative(other.logits(&judged).unwrap()), &expected),
                "{what}"
            );
        }
        // The nearest mean, of classes with as many rows each.
        let prototype = |sharpness| Regularisation::Prototype { scaling, sharpness };
        let solve = |problem: &Problem| solve_for(&device, problem, &TrainOptions::default(), prototype(0.25), &());
        let head = posed(&fixture, case, None, solve).unwrap().head;
        let named = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        let nearest: Vec<usize> = head.logits(&judged).unwrap().chunks_exact(fixture.classes).map(named).collect();
        assert_eq!(nearest, case.nearest);
    }
}

#[test]
fn cross_validation_chooses_among_methods() {
    let (fixture, device) = (fixture(), device());
    let deals = |case: &Case| -> Vec<Vec<usize>> {
        (0..2).map(|deal| (0..case.labels.len()).map(|row| row / (deal + 1) % 4).collect()).collect()
    };
    let of = |case: &Case, method| {
        let deals = deals(case);
        let Optimizer::Lbfgs { scaling, l2, tolerance, folds, choice, .. } = Optimizer::LBFGS else { unreachable!() };
        let optimizer = Optimizer::Lbfgs { method, scaling, l2, tolerance, folds, choice };
        let options = TrainOptions { optimizer, ..Default::default() };
        let folds = Folds { deals: &deals, nested: true };
        posed(&fixture, case, Some(folds), |problem| solve(&device, problem, &options, &())).unwrap()
    };
    // So few that heads in closed form take part unasked.
    let few = &fixture.cases[1];
    let all = of(few, None);
    let candidates = &all.cross_validation.as_ref().unwrap().candidates;
    let chosen = candidates[all.cross_validation.as_ref().unwrap().chosen];
    let lowest = |closed: bool| {
        let of = candidates.iter().filter(|found| (found.regularisation.method() != Method::Logistic) == closed);
        *of.min_by(|a, b| a.log_loss.total_cmp(&b.log_loss)).unwrap()
    };
    let (logistic, closed) = (lowest(false), lowest(true));
    let is_surely_lower = closed.log_loss + closed.log_loss_error < logistic.log_loss;
    assert_eq!(chosen, if is_surely_lower { closed } else { logistic });
    for method in Method::ALL {
        let found = of(few, Some(method)).cross_validation.unwrap();
        // Those of a method are the same whatever stands beside them, and the certificate names what was chosen of them.
        let same: Vec<_> = candidates.iter().filter(|found| found.regularisation.method() == method).copied().collect();
        assert_eq!(found.candidates, same);
        let (case, deals) = (fixture.cases.last().unwrap(), deals(fixture.cases.last().unwrap()));
        let one = of(case, Some(method));
        let found = one.cross_validation.unwrap();
        let certificate = one.certificate.unwrap();
        assert_eq!(certificate.regularisation, found.candidates[found.chosen].regularisation);
        assert!(certificate.share() <= 1e-4, "{certificate:?}");
        if method != Method::Logistic {
            // By definition: the head of the others, of each row of a fold, in the deal whose share is the middle one.
            let regularisation = certificate.regularisation;
            let (mut loss, mut rows) = (0.0, 0.0);
            for deal in &deals {
                for fold in 0..4 {
                    let part = |inside: bool| -> (Vec<usize>, Vec<f32>) {
                        let members = (0..deal.len()).filter(|&row| (deal[row] == fold) == inside);
                        let of = |row: usize| &case.features[row * fixture.width..][..fixture.width];
                        members.clone().map(|row| case.labels[row]).zip(members.map(of)).fold(
                            Default::default(),
                            |(mut labels, mut features): (Vec<usize>, Vec<f32>), (label, row)| {
                                labels.push(label);
                                features.extend(row);
                                (labels, features)
                            },
                        )
                    };
                    let ((labels, features), (truths, judged)) = (part(false), part(true));
                    let learnt =
                        Case { labels, features, judged: vec![], discriminants: vec![], nearest: vec![], ..*case };
                    let head = posed(&fixture, &learnt, None, |problem| {
                        solve_for(&device, problem, &TrainOptions::default(), regularisation, &())
                    });
                    let logits = head.unwrap().head.logits(&Rows::new(&judged, fixture.width).unwrap()).unwrap();
                    for (row, truth) in logits.chunks_exact(fixture.classes).zip(truths) {
                        loss += row.iter().map(|z| f64::from(z - row[truth]).exp()).sum::<f64>().ln();
                        rows += 1.0;
                    }
                }
            }
            // There all rows' mean and deviation scale the features, here those of the others: nearly the same.
            let said = found.candidates[found.chosen].log_loss;
            assert!((loss / rows - said).abs() <= 0.1 * said, "{method:?}: {} {said}", loss / rows);
        }
    }
}
