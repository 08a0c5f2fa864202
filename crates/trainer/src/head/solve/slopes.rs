//! What stands between the two products of a native pass, a softmax or a sigmoid for each class: logits of many rows and heads in, losses and slopes out.

use rayon::prelude::*;

use crate::data::Class;

/// Logits of a unit of parallel work, which stay in a core's first caches.
const BLOCK: usize = 16 << 10;

/// What the loss of every row is made of: `−(own[y] ln p[y] + Σ over c of spread[c] ln p[c])`.
pub(crate) struct Slopes {
    /// `(1 − e) v[c]`, with e the smoothing and v the weights of the classes.
    own: Vec<f64>,
    /// `e / K · v[c]`; empty without smoothing.
    spread: Vec<f64>,
}

impl Slopes {
    pub fn new(class_weights: &[f32], label_smoothing: f64) -> Self {
        let times = |factor: f64| class_weights.iter().map(|&weight| factor * f64::from(weight)).collect();
        let spread =
            if label_smoothing > 0.0 { times(label_smoothing / class_weights.len() as f64) } else { Vec::new() };
        Self { own: times(1.0 - label_smoothing), spread }
    }

    /// Counts the classes.
    pub fn classes(&self) -> usize {
        self.own.len()
    }

    /// Turns logits, `[rows, heads, classes]`, into the slopes of the losses by them, and gives each head's loss. `truths` are the rows'
    /// classes, and `share` says what a row counts for a head, both by their places.
    ///
    /// # Numerics
    /// Powers are of logits less their largest, in f32; losses are summed in f64, in an order that doesn't depend on the number of threads. Of a row
    /// that doesn't count, a logit may be any number or none.
    pub fn take(&self, logits: &mut [f32], truths: &[Class], share: impl Fn(usize, usize) -> f64 + Sync) -> Vec<f64> {
        in_blocks(logits, truths, |logits, truths, first| {
            self.block(logits, truths, |head, row| share(head, first + row))
        })
    }

    /// Does so where rows are of sets of classes: the loss of a row is `−Σ over c in its set of ln p[c] − Σ over the others of ln (1 − p[c])`, p being the
    /// sigmoid. Without weights of classes and smoothing.
    pub fn take_sets(
        &self,
        logits: &mut [f32],
        truths: &[&[Class]],
        share: impl Fn(usize, usize) -> f64 + Sync,
    ) -> Vec<f64> {
        let classes = self.classes();
        in_blocks(logits, truths, |logits, truths, first| {
            let heads = logits.len() / (truths.len() * classes).max(1);
            let mut losses = vec![0.0; heads];
            let of_rows = truths.iter().enumerate().flat_map(|(row, set)| (0..heads).map(move |head| (row, head, set)));
            for (logits, (row, head, set)) in logits.chunks_exact_mut(classes).zip(of_rows) {
                let share = share(head, first + row);
                if share == 0.0 {
                    logits.fill(0.0);
                    continue;
                }
                let named: f64 = set.iter().map(|class| f64::from(logits[class.index()])).sum();
                losses[head] += share * (sigmoids(logits, share as f32) - named);
                set.iter().for_each(|class| logits[class.index()] -= share as f32);
            }
            losses
        })
    }

    /// Does so with some rows.
    fn block(&self, logits: &mut [f32], truths: &[Class], share: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let classes = self.classes();
        let heads = logits.len() / (truths.len() * classes).max(1);
        let mut losses = vec![0.0; heads];
        let of_rows = || {
            truths.iter().enumerate().flat_map(|(row, truth)| (0..heads).map(move |head| (row, head, truth.index())))
        };
        // What a loss has of the logits besides their normaliser.
        let mut linear = Vec::with_capacity(truths.len() * heads);
        for (logits, (_, _, truth)) in logits.chunks_exact_mut(classes).zip(of_rows()) {
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            logits.iter_mut().for_each(|logit| *logit -= largest);
            let spread: f64 = self.spread.iter().zip(&*logits).map(|(weight, &logit)| weight * f64::from(logit)).sum();
            linear.push(self.own[truth] * f64::from(logits[truth]) + spread);
        }
        // All at once, so that the compiler makes vectors of it whatever the number of classes.
        logits.iter_mut().for_each(|logit| *logit = power(*logit));
        let all_spread: f64 = self.spread.iter().sum();
        for ((powers, linear), (row, head, truth)) in logits.chunks_exact_mut(classes).zip(linear).zip(of_rows()) {
            let share = share(head, row);
            if share == 0.0 {
                powers.fill(0.0);
                continue;
            }
            let sum: f64 = powers.iter().copied().map(f64::from).sum();
            let all = self.own[truth] + all_spread;
            losses[head] += share * (all * sum.ln() - linear);
            let scale = (share * all / sum) as f32;
            powers.iter_mut().for_each(|power| *power *= scale);
            powers.iter_mut().zip(&self.spread).for_each(|(slope, spread)| *slope -= (share * spread) as f32);
            powers[truth] -= (share * self.own[truth]) as f32;
        }
        losses
    }
}

/// Turns logits into sigmoids times a number, and gives Σ ln (1 + exp(logit)).
fn sigmoids(logits: &mut [f32], times: f32) -> f64 {
    // Of so many factors of 2 at most the product is far from overflow, and takes one logarithm.
    const FACTORS: usize = 512;
    let mut sum = 0.0;
    for logits in logits.chunks_mut(FACTORS) {
        let mut product = 1.0;
        for logit in logits {
            let power = power(-logit.abs());
            sum += f64::from(if *logit > 0.0 { *logit } else { 0.0 });
            product *= 1.0 + f64::from(power);
            *logit = times * (if *logit >= 0.0 { 1.0 } else { power }) / (1.0 + power);
        }
        sum += product.ln();
    }
    sum
}

/// Works on the logits of some rows at a time, given which row is the first of them, and adds up the losses of each head in the blocks' order.
fn in_blocks<T: Sync>(
    logits: &mut [f32],
    truths: &[T],
    work: impl Fn(&mut [f32], &[T], usize) -> Vec<f64> + Sync,
) -> Vec<f64> {
    let outputs = logits.len() / truths.len().max(1);
    let rows = (BLOCK / outputs.max(1)).max(1);
    let blocks = logits.par_chunks_mut((rows * outputs).max(1)).zip(truths.par_chunks(rows)).enumerate();
    let of_blocks: Vec<Vec<f64>> = blocks.map(|(block, (logits, truths))| work(logits, truths, block * rows)).collect();
    let mut of_blocks = of_blocks.into_iter();
    let mut losses = of_blocks.next().unwrap_or_default();
    for of_block in of_blocks {
        losses.iter_mut().zip(of_block).for_each(|(sum, loss)| *sum += loss);
    }
    losses
}

/// Computes e^x of a number that isn't above 0, or of NaN; what is below -87 counts as that.
///
/// x = n ln 2 + r with whole n: e^x = 2^n e^r, and e^r is the first eight terms of its series, |r| being 0.35 at most. It errs by 3 units in the last
/// place at most.
fn power(x: f32) -> f32 {
    // Adding it drops what is below 1, and leaves n in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    // ln 2 in two parts: n times the first is exact.
    const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    // NaN stays what it is.
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = x - n * LN_2[0] - n * LN_2[1];
    let series = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let power = series.into_iter().fold(0.0, |sum, term| sum * r + term);
    power * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::sigmoid::{sigmoid, softplus};

    #[test]
    fn powers_are_those_of_the_definition() {
        for x in (0..=870_000).map(|i| i as f32 * -1e-4) {
            let expected = f64::from(x).exp();
            let error = (f64::from(power(x)) - expected).abs() / expected;
            assert!(error <= 3.0 * f64::from(f32::EPSILON) / 2.0, "{x}: {error:e}");
        }
        assert_eq!((power(0.0), power(-1e9), power(f32::NEG_INFINITY)), (1.0, power(-87.0), power(-87.0)));
        assert!(power(f32::NAN).is_nan());
    }

    #[test]
    fn sigmoids_are_those_of_the_definition() {
        let row: Vec<f32> = (-1500..1500).map(|i| i as f32 * 0.05).collect();
        let mut sloped = row.clone();
        let sum = sigmoids(&mut sloped, 0.5);
        let expected: f64 = row.iter().map(|&x| softplus(x.into())).sum();
        assert!((sum - expected).abs() <= 1e-7 * expected, "{sum} {expected}");
        for (&x, got) in row.iter().zip(sloped) {
            let expected = 0.5 * sigmoid(x.into());
            assert!((f64::from(got) - expected).abs() <= 4.0 * f64::from(f32::EPSILON) * expected, "{x}: {got}");
        }
    }

    #[test]
    fn a_logit_that_is_no_number_is_seen_where_the_row_counts() {
        let of = |share: f64| {
            let mut logits = [1.0, f32::NAN, 0.0];
            let losses = Slopes::new(&[1.0; 3], 0.0).take(&mut logits, &[Class::new(0)], |_, _| share);
            (losses[0], logits)
        };
        assert!(of(1.0).0.is_nan());
        assert_eq!(of(0.0), (0.0, [0.0; 3]));
        let of = |share: f64| {
            let mut logits = [1.0, f32::NAN, 0.0];
            let losses = Slopes::new(&[1.0; 3], 0.0).take_sets(&mut logits, &[&[Class::new(0)]], |_, _| share);
            (losses[0], logits)
        };
        assert!(of(1.0).0.is_nan() && of(1.0).1[1].is_nan());
        assert_eq!(of(0.0), (0.0, [0.0; 3]));
    }
}
