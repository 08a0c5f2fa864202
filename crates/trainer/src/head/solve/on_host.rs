//! The objective on the CPU, in f64: what the adapter's is tested against, and what ends a search that the adapter's rounding stopped.

use rayon::prelude::*;

use crate::error::Result;
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
        let Learning { samples, standard, class_weights, label_smoothing, .. } = *self.learning;
        let (width, classes) = (standard.width(), class_weights.len());
        let spread = label_smoothing / classes as f64;
        let weights: Vec<f64> = class_weights.iter().copied().map(f64::from).collect();
        let spread_weight: f64 = spread * weights.iter().sum::<f64>();
        let mut sums: Vec<Loss> =
            heads.iter().map(|head| Loss { value: 0.0, gradient: vec![0.0; head.len()] }).collect();
        let mut z = vec![1.0; width + 1];
        let mut logits = vec![0.0; classes];
        for row in first..first + count {
            standard.apply_f64(samples.rows.row(row), &mut z);
            let truth = samples.classes[row].index();
            for ((head, sum), &number) in heads.iter().zip(&mut sums).zip(which) {
                let share = self.shares[number][row];
                if share == 0.0 {
                    continue;
                }
                logits
                    .iter_mut()
                    .zip(head.chunks_exact(width + 1))
                    .for_each(|(logit, weight)| *logit = dot(weight, &z));
                let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
                let normaliser = most + powers.ln();
                let own = (1.0 - label_smoothing) * weights[truth];
                let spread_loss: f64 = match spread {
                    0.0 => 0.0,
                    _ => {
                        logits.iter().zip(&weights).map(|(logit, weight)| spread * weight * (normaliser - logit)).sum()
                    }
                };
                sum.value += share * (own * (normaliser - logits[truth]) + spread_loss);
                for (class, gradient) in sum.gradient.chunks_exact_mut(width + 1).enumerate() {
                    let p = (logits[class] - normaliser).exp();
                    let slope = share * ((own + spread_weight) * p - self.learning.target(row, class));
                    add(gradient, slope, &z);
                }
            }
        }
        sums
    }
}

impl Objective for OnHost<'_> {
    fn evaluate(&mut self, which: &[usize], heads: &[Vec<f64>]) -> Result<Vec<Loss>> {
        let rows = self.learning.samples.classes.len();
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
}
