//! The objective on the CPU, in f64: what the adapter's is tested against, and what ends a search that the adapter's rounding stopped.

use rayon::prelude::*;

use crate::error::Result;
use crate::head::problem::Truths;
use crate::head::sigmoid::{loss, sigmoid};
use crate::head::solve::objective::{Learning, Loss, Objective};
use crate::head::solve::vector::{add, dot};

/// Rows of a unit of parallel work. Sums are taken unit by unit in their order: the same on any number of cores.
const ROWS: usize = 256;
/// Units whose gradients stand in memory together.
const UNITS: usize = 16;

/// Losses of heads over rows, in f64.
pub(crate) struct OnHost<'a> {
    learning: &'a Learning<'a>,
    shares: Vec<Vec<f64>>,
}

impl<'a> OnHost<'a> {
    pub fn new(learning: &'a Learning<'a>) -> Self {
        let shares = (0..learning.without.len()).map(|head| learning.shares(head)).collect();
        Self { learning, shares }
    }

    /// Sums losses and gradients over some rows.
    fn sum(&self, (which, heads): (&[usize], &[Vec<f64>]), first: usize, count: usize) -> Vec<Loss> {
        let Learning { samples, standard, class_weights, .. } = *self.learning;
        let width = standard.width();
        let mut sums: Vec<Loss> =
            heads.iter().map(|head| Loss { value: 0.0, gradient: vec![0.0; head.len()] }).collect();
        let mut z = vec![1.0; width + 1];
        let mut logits = vec![0.0; class_weights.len()];
        let of_row = OfRow::new(self.learning);
        for row in first..first + count {
            standard.apply_f64(samples.rows.row(row), &mut z);
            for ((head, sum), &number) in heads.iter().zip(&mut sums).zip(which) {
                let share = self.shares[number][row];
                if share == 0.0 {
                    continue;
                }
                logits
                    .iter_mut()
                    .zip(head.chunks_exact(width + 1))
                    .for_each(|(logit, weight)| *logit = dot(weight, &z));
                // The slopes take the place of the logits.
                sum.value += share * of_row.take(row, &mut logits);
                for (slope, gradient) in logits.iter().zip(sum.gradient.chunks_exact_mut(width + 1)) {
                    add(gradient, share * slope, &z);
                }
            }
        }
        sums
    }
}

/// The loss of a row by its logits.
struct OfRow<'a> {
    learning: &'a Learning<'a>,
    weights: Vec<f64>,
    spread: f64,
    spread_weight: f64,
}

impl<'a> OfRow<'a> {
    fn new(learning: &'a Learning<'a>) -> Self {
        let weights: Vec<f64> = learning.class_weights.iter().copied().map(f64::from).collect();
        let spread = learning.label_smoothing / weights.len() as f64;
        let spread_weight = spread * weights.iter().sum::<f64>();
        Self { learning, weights, spread, spread_weight }
    }

    /// Turns a row's logits into the slopes of its loss, and gives that.
    fn take(&self, row: usize, logits: &mut [f64]) -> f64 {
        match &self.learning.samples.truths {
            Truths::Classes(classes) => self.softmax(row, classes[row].index(), logits),
            Truths::Sets(sets) => {
                let value = loss(logits, &sets[row]);
                logits.iter_mut().for_each(|logit| *logit = sigmoid(*logit));
                sets[row].iter().for_each(|class| logits[class.index()] -= 1.0);
                value
            }
        }
    }

    fn softmax(&self, row: usize, truth: usize, logits: &mut [f64]) -> f64 {
        let Self { learning, weights, spread, spread_weight } = self;
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
        let normaliser = most + powers.ln();
        let own = (1.0 - learning.label_smoothing) * weights[truth];
        let spread_loss: f64 = match *spread {
            0.0 => 0.0,
            spread => logits.iter().zip(weights).map(|(logit, weight)| spread * weight * (normaliser - logit)).sum(),
        };
        let value = own * (normaliser - logits[truth]) + spread_loss;
        for (class, logit) in logits.iter_mut().enumerate() {
            let p = (*logit - normaliser).exp();
            *logit = (own + spread_weight) * p - learning.target(row, class);
        }
        value
    }
}

impl Objective for OnHost<'_> {
    fn evaluate(&mut self, which: &[usize], heads: &[Vec<f64>]) -> Result<Vec<Loss>> {
        let rows = self.learning.samples.len();
        let mut all: Vec<Loss> =
            heads.iter().map(|head| Loss { value: 0.0, gradient: vec![0.0; head.len()] }).collect();
        let firsts: Vec<usize> = (0..rows).step_by(ROWS).collect();
        for units in firsts.chunks(UNITS) {
            let sums: Vec<Vec<Loss>> =
                units.par_iter().map(|&first| self.sum((which, heads), first, ROWS.min(rows - first))).collect();
            for of_unit in &sums {
                for (all, sum) in all.iter_mut().zip(of_unit) {
                    all.value += sum.value;
                    add(&mut all.gradient, 1.0, &sum.gradient);
                }
            }
        }
        Ok(all)
    }

    fn noise(&self) -> f64 {
        1e-14
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Class, Target};
    use crate::features::Rows;
    use crate::head::problem::{Classed, Samples};
    use crate::head::solve::objective::tests::on_sets;
    use crate::head::standardise::Standard;

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let (rows, width, classes) = (300, 5, 3);
        let features: Vec<f32> = (0..rows * width).map(|i| ((i * i + 3 * i) % 17) as f32).collect();
        let targets: Vec<Target> = (0..rows).map(|row| Class::new(row % classes).into()).collect();
        let all = Rows::new(&features, width).unwrap();
        let weights: Vec<f64> = (0..rows).map(|row| (row % 4) as f64).collect();
        let samples = Samples { rows: &all, targets: &targets, weights: Some(&weights) };
        let samples = Classed::new(&samples, classes).unwrap();
        let standard = Standard::of(&all).unwrap();
        let folds: Vec<usize> = (0..rows).map(|row| row % 7 % 3).collect();
        for label_smoothing in [0.0, 0.2] {
            let learning = Learning {
                samples: &samples,
                standard: &standard,
                class_weights: &[1.0, 0.5, 3.0],
                label_smoothing,
                without: &[[None; 2], [Some(1), Some(2)]],
                folds: &folds,
            };
            let head: Vec<f64> = (0..classes * (width + 1)).map(|i| (i as f64 * 0.7).sin()).collect();
            let mut objective = OnHost::new(&learning);
            let at = objective.evaluate(&[0, 1], &[head.clone(), head.clone()]).unwrap();
            for place in 0..head.len() {
                let mut value = |step: f64| {
                    let mut moved = head.clone();
                    moved[place] += step;
                    let losses = objective.evaluate(&[0, 1], &[moved.clone(), moved]).unwrap();
                    [losses[0].value, losses[1].value]
                };
                let (after, before) = (value(1e-5), value(-1e-5));
                for of in 0..2 {
                    let slope = (after[of] - before[of]) / 2e-5;
                    // A central difference errs by h²/6 of the third derivative and by rounding over h.
                    assert!((slope - at[of].gradient[place]).abs() < 1e-8, "{slope} {}", at[of].gradient[place]);
                }
            }
            // At zero every class is as probable, and the loss is known.
            let zero = objective.evaluate(&[0, 1], &vec![vec![0.0; head.len()]; 2]).unwrap();
            let spread = label_smoothing / 3.0 * 4.5;
            let mean =
                |of: &dyn Fn(usize) -> f64, shares: &[f64]| (0..rows).map(|row| shares[row] * of(row)).sum::<f64>();
            let own = |row: usize| (1.0 - label_smoothing) * [1.0, 0.5, 3.0][row % classes];
            let expected = 3f64.ln() * mean(&|row| own(row) + spread, &learning.shares(0));
            assert!((zero[0].value - expected).abs() < 1e-12, "{} {expected}", zero[0].value);
        }
    }

    #[test]
    fn the_gradient_of_sigmoids_is_that_of_the_loss() {
        on_sets([40, 5, 3], |learning, heads| {
            let mut objective = OnHost::new(learning);
            let at = objective.evaluate(&[0, 1, 2], heads).unwrap();
            for (number, head) in heads.iter().enumerate() {
                for place in 0..head.len() {
                    let mut value = |step: f64| {
                        let mut moved = head.clone();
                        moved[place] += step;
                        objective.evaluate(&[number], &[moved]).unwrap()[0].value
                    };
                    let slope = (value(1e-5) - value(-1e-5)) / 2e-5;
                    assert!(
                        (slope - at[number].gradient[place]).abs() < 1e-8,
                        "{slope} {}",
                        at[number].gradient[place]
                    );
                }
            }
            // At zero every answer is as probable as its contrary.
            let zero = objective.evaluate(&[0], &[vec![0.0; heads[0].len()]]).unwrap();
            assert!((zero[0].value - 3.0 * 2f64.ln()).abs() < 1e-12, "{}", zero[0].value);
        });
    }
}
