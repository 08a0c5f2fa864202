//! The paired difference of two means over the same photos: what is hard for both drops out.

use serde::{Deserialize, Serialize};

/// By how much a mean over photos is greater than another over the same photos.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// The mean of the differences.
    pub difference: f64,
    /// Its standard error, by photos: of the differences, not of either mean.
    pub error: f64,
}

impl Paired {
    /// Takes the mean of `one[i] − other[i]` and its standard error, √(Σ (dᵢ − d̄)² / (n (n − 1))); the error of fewer than two photos is infinite, for it isn't
    /// known.
    ///
    /// # Panics
    /// There aren't as many of one as of the other.
    ///
    /// # Reference
    /// Student, "The probable error of a mean", Biometrika 6(1), 1908.
    ///
    /// # Examples
    /// ```
    /// use trainer::head::metrics::Paired;
    ///
    /// let found = Paired::of(&[3.0, 5.0], &[2.0, 2.0]);
    /// assert_eq!((found.difference, found.error), (2.0, 1.0));
    /// ```
    pub fn of(one: &[f64], other: &[f64]) -> Self {
        assert_eq!(one.len(), other.len(), "photos are paired");
        let count = one.len() as f64;
        let differences = || one.iter().zip(other).map(|(one, other)| one - other);
        let difference = differences().sum::<f64>() / count.max(1.0);
        let squares: f64 = differences().map(|each| (each - difference).powi(2)).sum();
        let error = if count < 2.0 { f64::INFINITY } else { (squares / (count * (count - 1.0))).sqrt() };
        Self { difference, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    #[test]
    fn what_both_have_in_common_drops_out() {
        let mut random = SplitMix64(3);
        let mut even = || (random.bits() >> 11) as f64 / (1u64 << 53) as f64;
        let hard: Vec<f64> = (0..1000).map(|_| 10.0 * even()).collect();
        let better: Vec<f64> = hard.iter().map(|loss| loss - 0.1 - 0.2 * even()).collect();
        let found = Paired::of(&hard, &better);
        // Uniform over 0.2: a deviation of 0.2 / √12. Of a thousand it is known to a few percent.
        let expected = 0.2 / 12f64.sqrt() / 1000f64.sqrt();
        assert!((found.difference - 0.2).abs() < 4.0 * expected, "{found:?}");
        assert!((found.error / expected - 1.0).abs() < 0.1, "{found:?}");
        // Unpaired, the same photos in another order tell nothing of the kind.
        let turned: Vec<f64> = better.iter().rev().copied().collect();
        assert!(Paired::of(&hard, &turned).error > 20.0 * expected);
    }

    #[test]
    fn of_one_photo_no_error_is_known() {
        assert_eq!(Paired::of(&[1.0], &[3.0]), Paired { difference: -2.0, error: f64::INFINITY });
        assert_eq!(Paired::of(&[], &[]).difference, 0.0);
    }
}
