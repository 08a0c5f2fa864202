//! A covariance of few rows, shrunk so that it can be inverted.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::head::labelled::finite;

/// Rows that are added at a time, and lines of the covariance that a thread adds them to.
const BLOCK: [usize; 2] = [256, 64];

/// A covariance (1 − s) S + s μ I, with the covariance S of the rows and its mean variance μ = tr S / p.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk {
    /// `[width, width]`.
    pub covariance: Vec<f64>,
    /// By how much it is shrunk, s: from 0 for not at all to 1 for a multiple of the identity.
    pub shrinkage: f64,
}

/// Computes the covariance of rows whose mean is 0, S = Σ x xᵀ / n, shrunk by the s that makes its expected distance from the true one least:
/// s = min(1, (Σ |x|⁴ / n − |S|²) / (n |S − μI|²)).
///
/// # Shapes
/// `rows` is `[rows, width]`, centred.
///
/// # Numerics
/// In f64. The same rows give the same bits on the same processor, on however many threads.
///
/// # Reference
/// Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004, section 3; as scikit-learn's `ledoit_wolf` of centred rows.
///
/// # Errors
/// There are no rows, or they aren't whole, or not finite.
pub fn ledoit_wolf(rows: &[f64], width: usize) -> Result<Shrunk> {
    let operation = "shrink the covariance";
    if width == 0 || rows.is_empty() || !rows.len().is_multiple_of(width) {
        return Err(Error::Shape { operation, operand: "rows", expected: width.max(1), got: rows.len() });
    }
    finite(operation, "value", rows.iter().copied())?;
    let (n, p) = ((rows.len() / width) as f64, width as f64);
    let mut covariance = scatter(rows, width);
    covariance.iter_mut().for_each(|value| *value /= n);
    let mean = covariance.iter().step_by(width + 1).sum::<f64>() / p;
    let square: f64 = covariance.iter().map(|value| value * value).sum();
    let fourth: f64 = rows.chunks_exact(width).map(|row| row.iter().map(|x| x * x).sum::<f64>().powi(2)).sum();
    // |S − μI|² = |S|² − p μ².
    let (noise, signal) = ((fourth / n - square) / n, square - p * mean * mean);
    let shrinkage = if noise <= 0.0 || signal <= 0.0 { 0.0 } else { (noise / signal).min(1.0) };
    covariance.iter_mut().for_each(|value| *value *= 1.0 - shrinkage);
    covariance.iter_mut().step_by(width + 1).for_each(|value| *value += shrinkage * mean);
    Ok(Shrunk { covariance, shrinkage })
}

/// Adds up x xᵀ.
fn scatter(rows: &[f64], width: usize) -> Vec<f64> {
    let mut sum = vec![0.0; width * width];
    sum.par_chunks_mut(BLOCK[1] * width).enumerate().for_each(|(stripe, sum)| {
        let (first, lines) = (stripe * BLOCK[1], sum.len() / width);
        let stride = width as isize;
        for some in rows.chunks(BLOCK[0] * width) {
            let count = some.len() / width;
            // SAFETY: `some` is `count` rows of `width` values. Read as columns from `first` on it is `lines` rows of `count`, for `first + lines` is no more than
            // `width`; `sum` is `lines` rows of `width` of this thread alone.
            unsafe {
                let (a, b, c) = (some.as_ptr().add(first), some.as_ptr(), sum.as_mut_ptr());
                matrixmultiply::dgemm(lines, count, width, 1.0, a, 1, stride, b, stride, 1, 1.0, c, stride, 1);
            }
        }
    });
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    #[test]
    fn sums_of_products_by_the_definition() {
        let mut random = SplitMix64(9);
        for (count, width) in [(1, 1), (5, 3), (257, 65), (300, 130)] {
            let rows: Vec<f64> = (0..count * width).map(|_| (random.bits() % 17) as f64 - 8.0).collect();
            let sum = scatter(&rows, width);
            for (a, b) in [(0, 0), (width - 1, 0), (width / 2, width - 1), (width - 1, width - 1)] {
                // Whole numbers: exact.
                assert_eq!(sum[a * width + b], rows.chunks(width).map(|row| row[a] * row[b]).sum::<f64>());
            }
        }
    }

    #[test]
    fn extremes() {
        // Rows along the axes, each as often: S is a multiple of the identity, and so is what becomes of it.
        let found = ledoit_wolf(&[1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, -1.0], 2).unwrap();
        assert_eq!(found.covariance, [0.5, 0.0, 0.0, 0.5]);
        // One row: nothing is known but its length.
        let found = ledoit_wolf(&[3.0, 4.0], 2).unwrap();
        assert_eq!(found, Shrunk { covariance: vec![9.0, 12.0, 12.0, 16.0], shrinkage: 0.0 });
        assert_eq!(ledoit_wolf(&[0.0; 6], 2).unwrap().covariance, [0.0; 4]);
        assert!(
            ledoit_wolf(&[1.0; 3], 2).is_err() && ledoit_wolf(&[], 2).is_err() && ledoit_wolf(&[f64::NAN], 1).is_err()
        );
    }
}
