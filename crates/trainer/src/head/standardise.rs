//! Features brought to one scale, so that one learning rate suits every backbone.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::features::Rows;

/// How many features one unit of parallel work sums.
const COLUMNS: usize = 64;

/// Standardises features: z = (x − mean) / deviation, by feature.
///
/// A hundredth of the mean variance of all features is added to each one's, so that a feature that hardly ever changes isn't blown up.
pub(crate) struct Standard {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Standard {
    /// Takes mean and deviation from these rows.
    ///
    /// # Errors
    /// One of the features is NaN or infinite.
    pub fn of(rows: &Rows) -> Result<Self> {
        let (width, count) = (rows.width(), rows.len() as f64);
        // Some columns a task, each summed from the first row to the last: the same on any number of cores.
        let sums = |term: &(dyn Fn(usize, f32) -> f64 + Sync)| {
            let mut sums = vec![0.0; width];
            sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, sums)| {
                let first = chunk * COLUMNS;
                for row in rows.iter() {
                    let columns = row[first..][..sums.len()].iter().enumerate();
                    sums.iter_mut().zip(columns).for_each(|(sum, (i, &x))| *sum += term(first + i, x));
                }
            });
            sums.iter_mut().for_each(|sum| *sum /= count);
            sums
        };
        let mean = sums(&|_, x| f64::from(x));
        let variance = sums(&|i, x| (f64::from(x) - mean[i]).powi(2));
        let floor = 0.01 * variance.iter().sum::<f64>() / width as f64;
        if !floor.is_finite() {
            return Err(Error::NotFinite { operation: "train", what: "one of the features".to_owned() });
        }
        // Where no feature ever changes there is nothing to divide by, and nothing to learn from.
        let deviation =
            variance.iter().map(|variance| if floor > 0.0 { (variance + floor).sqrt() } else { 1.0 }).collect();
        Ok(Self { mean, deviation })
    }

    /// Gives the number of features.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Standardises a row of features into the first elements of `to`.
    pub fn apply(&self, features: &[f32], to: &mut [f32]) {
        let standard = self.mean.iter().zip(&self.deviation);
        to.iter_mut().zip(features).zip(standard).for_each(|((to, &x), (mean, deviation))| {
            *to = ((f64::from(x) - mean) / deviation) as f32;
        });
    }

    /// Standardises a row of features in f64, into the first elements of `to`.
    pub fn apply_f64(&self, features: &[f32], to: &mut [f64]) {
        let standard = self.mean.iter().zip(&self.deviation);
        to.iter_mut().zip(features).zip(standard).for_each(|((to, &x), (mean, deviation))| {
            *to = (f64::from(x) - mean) / deviation;
        });
    }

    /// Gives each feature's deviation.
    pub fn deviations(&self) -> &[f64] {
        &self.deviation
    }

    /// Turns a layer on standardised features into one on features as they are: w / deviation, and b − Σ w mean / deviation.
    pub fn fold<T: Copy + Into<f64>>(&self, weight: &[T], bias: &[T]) -> (Vec<f32>, Vec<f32>) {
        let (mut folded, mut biases) = (Vec::with_capacity(weight.len()), Vec::with_capacity(bias.len()));
        for (row, &bias) in weight.chunks_exact(self.mean.len()).zip(bias) {
            let mut shift: f64 = bias.into();
            for ((&w, mean), deviation) in row.iter().zip(&self.mean).zip(&self.deviation) {
                let w: f64 = w.into() / deviation;
                shift -= w * mean;
                folded.push(w as f32);
            }
            biases.push(shift as f32);
        }
        (folded, biases)
    }

    /// Turns a layer on features as they are, with the bias last in each row, into one on standardised features, likewise: the way back of
    /// [`Standard::fold`].
    pub fn unfold(&self, weight: &[f32], bias: &[f32]) -> Vec<f64> {
        let mut unfolded = Vec::with_capacity(weight.len() + bias.len());
        for (row, &bias) in weight.chunks_exact(self.mean.len()).zip(bias) {
            let mut shift = f64::from(bias);
            for ((&w, mean), deviation) in row.iter().zip(&self.mean).zip(&self.deviation) {
                shift += f64::from(w) * mean;
                unfolded.push(f64::from(w) * deviation);
            }
            unfolded.push(shift);
        }
        unfolded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_layer_says_of_features_what_the_layer_said_of_standardised_ones() {
        let values = [1.0, 10.0, 3.0, 30.0, 5.0, 20.0];
        let rows = Rows::new(&values, 2).unwrap();
        let standard = Standard::of(&rows).unwrap();
        let (weight, bias) = ([0.5, -2.0], [0.25]);
        let (folded, shifted) = standard.fold(&weight, &bias);
        let mut sums = [0.0; 2];
        for row in rows.iter() {
            let mut z = [0.0; 2];
            standard.apply(row, &mut z);
            sums = [sums[0] + z[0], sums[1] + z[1]];
            let direct = weight[0] * z[0] + weight[1] * z[1] + bias[0];
            let again = folded[0] * row[0] + folded[1] * row[1] + shifted[0];
            assert!((direct - again).abs() < 1e-5, "{direct} is not {again}");
        }
        assert!(sums.iter().all(|sum| sum.abs() < 1e-5), "{sums:?}");
    }

    #[test]
    fn features_that_never_change_are_left_alone_and_those_that_are_no_numbers_refused() {
        let constant = Standard::of(&Rows::new(&[3.0; 4], 2).unwrap()).unwrap();
        let mut row = [9.0; 2];
        constant.apply(&[3.0, 4.0], &mut row);
        assert_eq!(row, [0.0, 1.0]);
        assert!(Standard::of(&Rows::new(&[1.0, f32::NAN], 1).unwrap()).is_err());
    }
}
