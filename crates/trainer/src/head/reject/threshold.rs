//! The score below which a photo is none of these, at a stated rate of false rejections.

use crate::error::{Error, Result};
use crate::head::labelled::finite;

/// Finds the threshold of a score: of photos like the known ones no more than the share `rate` have less, and are rejected falsely. `scores` are those of known photos
/// that were not among what they are compared with, as out-of-fold ones are.
///
/// Of n scores it is the ⌊(n + 1) · rate⌋-th smallest: if a new photo is drawn as these n, P(its score < threshold) ≤ `rate`.
///
/// # Numerics
/// A product (n + 1) · rate within 1e-9 of its own of a whole number counts as that number.
///
/// # Reference
/// Bates, Candès, Lei, Romano and Sesia, "Testing for outliers with conformal p-values", 2023, section 2.
///
/// # Examples
/// ```
/// let scores: Vec<f64> = (1..=39).map(f64::from).collect();
/// // The second smallest: 1 of 40 is less than it, and the one that is equal isn't rejected.
/// assert_eq!(trainer::head::reject::threshold(&scores, 0.05)?, 2.0);
/// # Ok::<(), trainer::Error>(())
/// ```
///
/// # Errors
/// [`Error::TooFewPhotos`]: so few photos allow no such rate; it says how many would. A score isn't finite; `rate` isn't between 0 and 1.
pub fn threshold(scores: &[f64], rate: f64) -> Result<f64> {
    if !(rate > 0.0 && rate < 1.0) {
        let (value, expected) = (rate.to_string(), "a number between 0 and 1");
        return Err(Error::InvalidOption { option: "rate", value, expected });
    }
    finite("threshold", "score", scores.iter().copied())?;
    let rank = ((scores.len() + 1) as f64 * rate * (1.0 + 1e-9)).floor() as usize;
    if rank == 0 {
        let (what, needed) = (format!("a threshold with {} % false rejections", 100.0 * rate), 1.0 / rate - 1.0);
        return Err(Error::TooFewPhotos { what, got: scores.len(), needed: (needed * (1.0 - 1e-9)).ceil() as usize });
    }
    let mut scores = scores.to_vec();
    Ok(*scores.select_nth_unstable_by(rank - 1, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whichever of n + 1 photos is the new one, counted exhaustively.
    #[test]
    fn no_more_are_rejected_than_stated() {
        for photos in [19, 20, 57, 100] {
            let all: Vec<f64> = (0..=photos).map(|i| f64::from((i * 37) % 101)).collect();
            for rate in [0.05, 0.1, 0.3] {
                let rejected = |new: &usize| {
                    let others: Vec<f64> =
                        (0..all.len()).filter(|other| other != new).map(|other| all[other]).collect();
                    all[*new] < threshold(&others, rate).unwrap()
                };
                let share = (0..all.len()).filter(rejected).count() as f64 / all.len() as f64;
                assert!(share <= rate && share > rate - 2.0 / all.len() as f64, "{photos} {rate}: {share}");
            }
        }
    }

    #[test]
    fn too_few_photos_are_told_how_many_are_needed() {
        let error = threshold(&[1.0; 18], 0.05).unwrap_err().to_string();
        assert_eq!(error, "a threshold with 5 % false rejections: 18 photos are too few, 19 are needed");
        assert_eq!(threshold(&[1.0; 19], 0.05).unwrap(), 1.0);
        assert!(threshold(&[1.0], 0.05).unwrap_err().to_string().contains("1 photo is too few"));
        assert!(threshold(&[f64::NAN; 30], 0.05).is_err() && threshold(&[1.0; 30], 0.0).is_err());
    }
}
