//! Leave-one-out by one Newton step: what the optimum would say of each row had it not learnt from it, without solving anew for each.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::head::cholesky::Cholesky;
use crate::head::layer::Head;
use crate::head::softmax::{log_softmax, top};
use crate::head::solve::objective::{Learning, Penalty};
use crate::head::solve::vector::{add, dot, products};

/// How good the head is on each photo to learn from, had it not learnt from that one alone.
///
/// # Reference
/// Rad and Maleki, "A scalable estimate of the out-of-sample prediction error via approximate leave-one-out cross-validation", 2020, section 2;
/// Beirami, Razaviyayn, Shahrampour and Tarokh, "On optimal generalization error of penalized empirical risk minimization", 2017.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaveOneOut {
    /// The share that is right.
    pub top1: f64,
    /// Mean of -ln p(true class), in nats.
    pub log_loss: f64,
}

/// So many rows there may be, at most, and so many numbers in the equations, which cost the cube of it.
const MOST: [usize; 2] = [1000, 1500];

impl LeaveOneOut {
    /// Judges the head of softmax regression with this penalty, whose logits were divided by a temperature. None where there are too many rows and classes, or rows are of sets of them.
    pub(crate) fn of(learning: &Learning, head: &Head, penalty: &Penalty, temperature: f64) -> Option<Self> {
        // Of several views of a photo one would be left out, and the head have learnt from the others.
        if learning.samples.views > 1 || learning.samples.has_sets() {
            return None;
        }
        let mut weights = learning.standard.unfold(&head.weight, &head.bias);
        weights.iter_mut().for_each(|weight| *weight *= temperature);
        let logits = leave_one_out(learning, &weights, penalty)?;
        let logits: Vec<f32> = logits.iter().map(|logit| (logit / temperature) as f32).collect();
        let (mut right, mut loss) = (0, 0.0);
        for (logits, &truth) in logits.chunks_exact(learning.class_weights.len()).zip(learning.samples.classes()) {
            right += usize::from(top(logits, 1) == [truth]);
            loss -= log_softmax(logits, truth);
        }
        let rows = learning.samples.len() as f64;
        Some(Self { top1: right as f64 / rows, log_loss: loss / rows })
    }
}

/// Computes the logits of each row by the optimum of all other rows, to second order: `[rows, classes]`. The penalty keeps its weight against each of the others. None where
/// there are too many rows and classes.
///
/// `weights` is the optimum, `[classes, width + 1]` on standardised features. With the logits z of a row, what it counts r, p = softmax z, y the target, x the
/// scaled features and 1, the Hessian H of all rows' loss and penalty, C = x H⁻¹ xᵀ (classes by classes) and W = r (diag p − p pᵀ):
/// `z + C (I − W C)⁻¹ r (p − y)`.
///
/// # Numerics
/// In f64. With fewer rows than features, these are replaced by as many coordinates as there are rows: what is orthogonal to all rows has no weight.
pub(crate) fn leave_one_out(learning: &Learning, weights: &[f64], penalty: &Penalty) -> Option<Vec<f64>> {
    let (width, classes, rows) = (learning.standard.width(), learning.class_weights.len(), learning.samples.len());
    let (features, length) = coordinates(learning, penalty.scale, classes)?;
    let row = |of: usize| &features[of * length..][..length];
    let mut z = vec![1.0; width + 1];
    let (mut logits, mut sloped) = (Vec::with_capacity(rows * classes), Vec::with_capacity(rows));
    for (of, share) in learning.shares(0).into_iter().enumerate() {
        learning.standard.apply_f64(learning.samples.rows.row(of), &mut z);
        let said: Vec<f64> = weights.chunks_exact(width + 1).map(|layer| dot(layer, &z)).collect();
        sloped.push(Slope::of(learning, &said, of, share));
        logits.extend(said);
    }
    let side = classes * length;
    let mut hessian = vec![0.0; side * side];
    // Lines of the class a: in each block (a, b) Σ of W[a, b] x xᵀ over the rows.
    hessian.par_chunks_mut(side).enumerate().for_each(|(line, values)| {
        let (a, i) = (line / length, line % length);
        for (of, slope) in sloped.iter().enumerate() {
            let x = row(of);
            for (b, block) in values.chunks_exact_mut(length).enumerate().take(a + 1) {
                add(block, slope.curvature(a, b) * x[i], x);
            }
        }
        if i + 1 < length {
            values[line] += penalty.l2;
        } else {
            // A number added to all biases alike changes nothing: any curvature along it will do.
            values.chunks_exact_mut(length).for_each(|block| block[i] += 1.0);
        }
    });
    let factor = Cholesky::of(&hessian, side)?;
    logits.par_chunks_exact_mut(classes).enumerate().for_each(|(of, logits)| {
        // L⁻¹ of x in the place of each class.
        let reached: Vec<Vec<f64>> = (0..classes)
            .map(|class| {
                let before = std::iter::repeat_n(&0.0, class * length);
                let after = std::iter::repeat_n(&0.0, (classes - class - 1) * length);
                factor.solve_lower(before.chain(row(of)).chain(after).copied())
            })
            .collect();
        let c: Vec<f64> = reached.iter().flat_map(|a| reached.iter().map(|b| dot(a, b))).collect();
        let step = sloped[of].step(&c);
        logits.iter_mut().zip(c.chunks_exact(classes)).for_each(|(logit, c)| *logit += dot(c, &step));
    });
    Some(logits)
}

/// Gives the rows' scaled features, or as many coordinates as there are rows where these are fewer, each row with a 1 last; and a row's length.
fn coordinates(learning: &Learning, scale: &[f64], classes: usize) -> Option<(Vec<f64>, usize)> {
    let (width, rows) = (learning.standard.width(), learning.samples.len());
    if rows > MOST[0] || classes * (width.min(rows) + 1) > MOST[1] {
        return None;
    }
    let mut features = vec![1.0; rows * (width + 1)];
    for (of, features) in features.chunks_exact_mut(width + 1).enumerate() {
        learning.standard.apply_f64(learning.samples.rows.row(of), features);
        features.iter_mut().zip(scale).for_each(|(feature, scale)| *feature *= scale);
    }
    if width <= rows {
        return Some((features, width + 1));
    }
    let mut products = products(&features, width + 1, width);
    // Rows less their mean aren't independent of each other.
    let little = 1e-10 * products.iter().step_by(rows + 1).sum::<f64>().max(f64::MIN_POSITIVE) / rows as f64;
    products.iter_mut().step_by(rows + 1).for_each(|value| *value += little);
    let factor = Cholesky::of(&products, rows)?;
    let line = |row: usize| {
        let line = factor.line(row).iter().copied();
        line.chain(std::iter::repeat_n(0.0, rows - row - 1)).chain([1.0])
    };
    Some(((0..rows).flat_map(line).collect(), rows + 1))
}

/// The slope of a row's loss by its logits, and what its curvature is made of.
struct Slope {
    /// r (p − y), by class.
    slope: Vec<f64>,
    p: Vec<f64>,
    /// What the curvature p (1 − p) is multiplied by.
    scale: f64,
}

impl Slope {
    fn of(learning: &Learning, logits: &[f64], row: usize, share: f64) -> Self {
        let target = |class: usize| learning.target(row, class);
        let all: f64 = (0..logits.len()).map(target).sum();
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
        let sum: f64 = powers.iter().sum();
        let p: Vec<f64> = powers.into_iter().map(|power| power / sum).collect();
        let slope = p.iter().enumerate().map(|(class, p)| share * (all * p - target(class))).collect();
        Self { slope, p, scale: share * all }
    }

    /// Gives W[a, b].
    fn curvature(&self, a: usize, b: usize) -> f64 {
        self.scale * (if a == b { self.p[a] } else { 0.0 } - self.p[a] * self.p[b])
    }

    /// Computes (I − W C)⁻¹ r (p − y), by elimination with pivots.
    fn step(&self, c: &[f64]) -> Vec<f64> {
        let classes = self.p.len();
        let mut lines: Vec<Vec<f64>> = (0..classes)
            .map(|a| {
                let product = |b: usize| (0..classes).map(|k| self.curvature(a, k) * c[k * classes + b]).sum::<f64>();
                let line = (0..classes).map(|b| f64::from(u8::from(a == b)) - product(b));
                line.chain([self.slope[a]]).collect()
            })
            .collect();
        for at in 0..classes {
            let pivot = (at..classes).max_by(|&a, &b| lines[a][at].abs().total_cmp(&lines[b][at].abs())).unwrap_or(at);
            lines.swap(at, pivot);
            let (above, below) = lines.split_at_mut(at + 1);
            for line in below {
                let share = line[at] / above[at][at];
                add(line, -share, &above[at]);
            }
        }
        let mut step = vec![0.0; classes];
        for at in (0..classes).rev() {
            step[at] = (lines[at][classes] - dot(&lines[at][at + 1..classes], &step[at + 1..])) / lines[at][at];
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Class, Target};
    use crate::features::Rows;
    use crate::head::problem::{Classed, Samples};
    use crate::head::regularisation::Scaling;
    use crate::head::solve::on_host::OnHost;
    use crate::head::solve::walk::{Path, walk};
    use crate::head::standardise::Standard;
    use crate::random::SplitMix64;

    /// Solves for all rows, or all but one fold, to f64.
    fn optimum(learning: &Learning, penalty: Penalty) -> Vec<f64> {
        let path = Path { scale: penalty.scale, strengths: &[penalty.l2], begin: None };
        let mut found = Vec::new();
        let classes = learning.class_weights.len();
        walk(&mut OnHost::new(learning), (&[path], classes), 1e-9, &(), &mut |reached| {
            found = reached.weights.to_vec();
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn one_step_is_nearly_the_head_that_did_without() {
        // Few features, and more features than rows.
        for (rows, width) in [(24, 4), (18, 30)] {
            let classes = 3;
            let mut random = SplitMix64(5);
            let mut even = || (random.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
            let features: Vec<f32> = (0..rows * width)
                .map(|at| 2.0 * even() + if at % width == at / width % classes { 1.0 } else { 0.0 })
                .collect();
            let all = Rows::new(&features, width).unwrap();
            let targets: Vec<Target> = (0..rows).map(|row| Class::new(row % classes).into()).collect();
            let samples = Classed::new(&Samples { rows: &all, targets: &targets, weights: None }, classes).unwrap();
            let standard = Standard::of(&all).unwrap();
            let folds: Vec<usize> = (0..rows).collect();
            let learning = Learning {
                samples: &samples,
                standard: &standard,
                class_weights: &[1.0, 1.0, 1.0],
                label_smoothing: 0.1,
                without: &[[None; 2]],
                folds: &folds,
            };
            let scale = Scaling::Common.of(&standard);
            let penalty = Penalty { scale: &scale, l2: 0.1 };
            let weights = optimum(&learning, penalty);
            let steps = leave_one_out(&learning, &weights, &penalty).unwrap();
            // Rows count more where there is one less: so does the penalty, for the same weight against each.
            let stronger = Penalty { l2: 0.1 * rows as f64 / (rows - 1) as f64, ..penalty };
            let mut z = vec![1.0; width + 1];
            let (mut wrong, mut moved) = (0.0, 0.0);
            for row in 0..rows {
                let without = [[Some(row), None]];
                let exact = optimum(&Learning { without: &without, ..learning }, stronger);
                standard.apply_f64(all.row(row), &mut z);
                let logits = |head: &[f64]| head.chunks(width + 1).map(|layer| dot(layer, &z)).collect::<Vec<f64>>();
                let (exact, before) = (logits(&exact), logits(&weights));
                for class in 0..classes {
                    wrong += (steps[row * classes + class] - exact[class]).abs();
                    moved += (before[class] - exact[class]).abs();
                }
            }
            // The step is right to first order: what is left of what leaving out moves is of second. Not to step would leave all of it.
            assert!(wrong <= 0.15 * moved && moved > 0.1 * (rows * classes) as f64, "{rows}: {wrong} of {moved}");
        }
    }

    #[test]
    fn what_would_take_too_long_is_left() {
        let rows = Rows::new(&[1.0; 600], 300).unwrap();
        let targets = [0, 1].map(|class| Class::new(class).into());
        let samples = Classed::new(&Samples { rows: &rows, targets: &targets, weights: None }, 600).unwrap();
        let standard = Standard::of(&rows).unwrap();
        let weights = vec![1.0; 600];
        let learning = Learning {
            samples: &samples,
            standard: &standard,
            class_weights: &weights,
            label_smoothing: 0.0,
            without: &[[None; 2]],
            folds: &[],
        };
        let scale = Scaling::Each.of(&standard);
        assert_eq!(leave_one_out(&learning, &[], &Penalty { scale: &scale, l2: 1.0 }), None);
    }
}
