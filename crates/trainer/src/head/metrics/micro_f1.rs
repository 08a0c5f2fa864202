//! Micro-averaged F1: of all labels of all photos, how many that are named are true, and how many that are true are named.

use crate::head::metrics::named::Named;
use crate::head::resample::middle95_of_ratio;

/// Computes 2 TP / (2 TP + FP + FN) over all classes of all photos, and its 95 % interval, for which photos are resampled. 0 where nothing is named or true.
///
/// # Units
/// In [0, 1].
///
/// # Reference
/// Tsoumakas, Katakis and Vlahavas, "Mining multi-label data", Data Mining and Knowledge Discovery Handbook, 2010, section 34.4.1.
pub(crate) fn micro_f1(photos: &[Named]) -> (f64, [f64; 2]) {
    let of = |photo: &Named| [2.0 * photo.hits as f64, (photo.named + photo.truths) as f64];
    middle95_of_ratio(&photos.iter().map(of).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_count_alike_whatever_their_photo() {
        // 3 of 4 named are true, 3 of 5 true are named.
        let photos = [[2, 2, 4], [1, 2, 1], [0, 0, 0]].map(|[hits, named, truths]| Named { hits, named, truths });
        let (f1, [low, high]) = micro_f1(&photos);
        assert!((f1 - 6.0 / 9.0).abs() < 1e-15 && low <= f1 && f1 <= high, "{f1} {low} {high}");
        assert_eq!(micro_f1(&[Named::default()]), (0.0, [0.0; 2]));
    }
}
