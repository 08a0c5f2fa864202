//! The objective on the CPU's cores, in f32: one wide product for all heads, a softmax or sigmoids, and the wide product back.

use native::{Matrix, MatrixMut, product};
use rayon::prelude::*;

use crate::error::Result;
use crate::head::problem::{Classed, Truths};
use crate::head::solve::objective::{Learning, Loss, Objective};
use crate::head::solve::slopes::Slopes;
use crate::head::standardise::Standard;

/// Rows that are passed at once: their logits stay in the cores' caches. The sums of so many are in f32, and are added up in f64.
const ROWS: usize = 1024;

/// Losses of heads over rows, by the CPU in f32: the same bytes on any number of threads. Rows are read where they lie, and standardised as they are
/// passed.
pub(crate) struct Native<'a> {
    pass: Pass<'a>,
    /// What each row counts for each head.
    shares: Vec<Vec<f64>>,
    places: Vec<usize>,
}

impl<'a> Native<'a> {
    pub fn new(learning: &Learning<'a>) -> Self {
        let shares: Vec<_> = (0..learning.without.len()).map(|head| learning.shares(head)).collect();
        let slopes = Slopes::new(learning.class_weights, learning.label_smoothing);
        let pass = Pass::new(learning.samples, learning.standard, slopes);
        Self { pass, shares, places: (0..learning.samples.len()).collect() }
    }
}

impl Objective for Native<'_> {
    fn evaluate(&mut self, which: &[usize], heads: &[Vec<f64>]) -> Result<Vec<Loss>> {
        let weights: Vec<f32> = heads.iter().flatten().map(|&weight| weight as f32).collect();
        let mut all: Vec<Loss> =
            heads.iter().map(|head| Loss { value: 0.0, gradient: vec![0.0; head.len()] }).collect();
        for rows in self.places.chunks(ROWS) {
            self.pass.over(&weights, rows, |head, place| self.shares[which[head]][rows[place]], &mut all)?;
        }
        Ok(all)
    }

    fn noise(&self) -> f64 {
        // As the adapter's, whose sums are in f32 too.
        1e-6
    }
}

/// Heads' way over rows and back, and the memory that it takes.
pub(crate) struct Pass<'a> {
    samples: &'a Classed<'a>,
    standard: &'a Standard,
    slopes: Slopes,
    /// `[rows, width + 1]`, a 1 at the end of each: the weight of it is the bias.
    rows: Vec<f32>,
    /// `[rows, heads, classes]`.
    logits: Vec<f32>,
    /// `[heads, classes, width + 1]`.
    gradients: Vec<f32>,
}

impl<'a> Pass<'a> {
    pub fn new(samples: &'a Classed<'a>, standard: &'a Standard, slopes: Slopes) -> Self {
        let [rows, logits, gradients] = [const { Vec::new() }; 3];
        Self { samples, standard, slopes, rows, logits, gradients }
    }

    /// Passes some rows through heads, `[heads, classes, width + 1]` with the biases last, and adds what they lose and the gradient of it. `share`
    /// says what a row counts for a head, both by their places.
    ///
    /// # Errors
    /// There is no memory for a product.
    pub fn over(
        &mut self,
        heads: &[f32],
        rows: &[usize],
        share: impl Fn(usize, usize) -> f64 + Sync,
        losses: &mut [Loss],
    ) -> Result<()> {
        let wide = self.standard.width() + 1;
        let (count, outputs) = (rows.len(), heads.len() / wide);
        self.rows.resize(count * wide, 0.0);
        self.logits.resize(count * outputs, 0.0);
        self.gradients.resize(heads.len(), 0.0);
        self.rows.par_chunks_exact_mut(wide).zip(rows).for_each(|(to, &row)| {
            self.standard.apply(self.samples.rows.row(row), to);
            to[wide - 1] = 1.0;
        });
        let weights = Matrix::new(heads, [outputs, wide], [wide, 1])?;
        let standardised = Matrix::new(&self.rows, [count, wide], [wide, 1])?;
        let logits = MatrixMut::new(&mut self.logits, [count, outputs], [outputs, 1])?;
        product(1.0, standardised, weights.transposed(), 0.0, logits)?;
        let values = match &self.samples.truths {
            Truths::Classes(classes) => {
                let truths: Vec<_> = rows.iter().map(|&row| classes[row]).collect();
                self.slopes.take(&mut self.logits, &truths, share)
            }
            Truths::Sets(sets) => {
                let truths: Vec<_> = rows.iter().map(|&row| &sets[row][..]).collect();
                self.slopes.take_sets(&mut self.logits, &truths, share)
            }
        };
        let slopes = Matrix::new(&self.logits, [count, outputs], [outputs, 1])?;
        let gradients = MatrixMut::new(&mut self.gradients, [outputs, wide], [wide, 1])?;
        product(1.0, slopes.transposed(), standardised, 0.0, gradients)?;
        let of_heads = self.gradients.par_chunks_exact(self.slopes.classes() * wide).zip(values);
        losses.par_iter_mut().zip(of_heads).for_each(|(loss, (gradient, value))| {
            loss.value += value;
            loss.gradient.iter_mut().zip(gradient).for_each(|(to, &of)| *to += f64::from(of));
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::solve::objective::tests::{on_rows, on_sets};
    use crate::head::solve::on_host::OnHost;

    const SIZES: [[usize; 3]; 6] =
        [[1, 13, 2], [70, 13, 3], [333, 13, 5], [1000, 5, 2], [5000, 13, 2], [300, 130, 300]];

    const ALL: [usize; 3] = [0, 1, 2];

    #[test]
    fn f32_and_f64_agree() {
        for sizes in SIZES {
            on_rows(sizes, |learning, heads| agree(sizes, learning, heads));
            on_sets(sizes, |learning, heads| agree(sizes, learning, heads));
        }
    }

    fn agree(sizes: [usize; 3], learning: &Learning<'_>, heads: &[Vec<f64>]) {
        let mut native = Native::new(learning);
        let [got, expected] =
            [native.evaluate(&ALL, heads), OnHost::new(learning).evaluate(&ALL, heads)].map(Result::unwrap);
        // A logit adds up products of a weight below 1 and a feature below 2, each rounded to a unit u of 2^-24, at random: it errs by some
        // u · 2 √width · √width, and a loss and a slope by as much, for all that counts adds up to 1.
        let bound = 0.5 * f64::from(f32::EPSILON) * 2.0 * (sizes[1] + 1) as f64;
        let near = |got: &Loss, expected: &Loss| {
            let pairs = got.gradient.iter().zip(&expected.gradient);
            (got.value - expected.value).abs() <= bound * (1.0 + expected.value.abs())
                && pairs.clone().all(|(a, b)| (a - b).abs() <= bound)
        };
        for (got, expected) in got.iter().zip(&expected) {
            assert!(near(got, expected), "{sizes:?}: {} {}", got.value, expected.value);
        }
        // Some heads alone are what they are among all, but for the order in which losses are summed in f64.
        let some = native.evaluate(&[0, 2], &[heads[0].clone(), heads[2].clone()]).unwrap();
        for (alone, among) in some.iter().zip([&got[0], &got[2]]) {
            let near = (alone.value - among.value).abs() <= 1e-12 * (1.0 + among.value.abs());
            assert!(near && alone.gradient == among.gradient, "{sizes:?}");
        }
        // The comparison can fail: heads without other folds, and a bias that is off by a tenth. The only row counts nothing.
        if sizes[0] > 1 {
            assert!(!near(&got[0], &expected[1]) && !near(&got[1], &expected[2]), "{sizes:?}: folds are seen");
            let mut moved = heads.to_vec();
            moved[0][sizes[1]] += 0.1;
            let moved = native.evaluate(&ALL, &moved).unwrap();
            assert!(!near(&moved[0], &expected[0]) && near(&moved[1], &expected[1]), "{sizes:?}");
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        for sizes in SIZES {
            let same = |learning: &Learning<'_>, heads: &[Vec<f64>]| {
                let [one, other] = [1, 5].map(|threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| Native::new(learning).evaluate(&ALL, heads).unwrap())
                });
                assert!(one == other, "{sizes:?}");
            };
            on_rows(sizes, same);
            on_sets(sizes, same);
        }
    }
}
