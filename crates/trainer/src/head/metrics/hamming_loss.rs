//! Hamming loss: the share of all answers, one for each class of each photo, that is wrong.

use crate::head::metrics::named::Named;
use crate::head::resample::middle95_of_ratio;

/// Computes (FP + FN) / (photos · classes), and its 95 % interval, for which photos are resampled.
///
/// # Units
/// In [0, 1]; less is better. Where labels are rare, naming none has little.
///
/// # Reference
/// Schapire and Singer, "BoosTexter: a boosting-based system for text categorization", Machine Learning 39, 2000, section 2.
pub(crate) fn hamming_loss(photos: &[Named], classes: usize) -> (f64, [f64; 2]) {
    let of = |photo: &Named| [(photo.named + photo.truths - 2 * photo.hits) as f64, classes as f64];
    middle95_of_ratio(&photos.iter().map(of).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::metrics::accuracy::Z95;

    #[test]
    fn what_is_named_falsely_and_what_is_missing() {
        let photos = [[2, 2, 4], [1, 2, 1], [0, 0, 0]].map(|[hits, named, truths]| Named { hits, named, truths });
        assert!((hamming_loss(&photos, 5).0 - 3.0 / 15.0).abs() < 1e-15);
    }

    #[test]
    fn the_interval_is_that_of_a_mean_where_photos_are_many() {
        // By turns none and two of four answers are wrong: a mean of 1/4, and a deviation of 1/4.
        let photos: Vec<Named> = (0..1000).map(|i| Named { hits: 1, named: 1 + i % 2 * 2, truths: 1 }).collect();
        let (loss, [low, high]) = hamming_loss(&photos, 4);
        let half = Z95 * 0.25 / 1000f64.sqrt();
        // The ends of a thousand draws err by some deviations' twentieth.
        assert!((loss - low - half).abs() < 0.15 * half && (high - loss - half).abs() < 0.15 * half, "{low} {high}");
    }
}
