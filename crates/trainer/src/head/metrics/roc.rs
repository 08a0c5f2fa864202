//! The area under the receiver operating characteristic: how well a score ranks positives above negatives, whatever the threshold.

use crate::head::metrics::ranked::Ranked;

/// Computes the area under the receiver operating characteristic: the probability that a positive has a greater score than a negative:
/// (pairs in which it has, and half of those with equal scores) / (P · N). None without positives or without negatives.
///
/// # Units
/// In [0, 1]; a score that says nothing has 0.5.
///
/// # Numerics
/// Exact up to one division. No score may be NaN.
///
/// # Reference
/// Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve", Radiology 143, 1982.
///
/// # Examples
/// ```
/// use trainer::head::metrics::roc_area;
///
/// assert_eq!(roc_area(&[0.9, 0.4], &[0.4, 0.1]), Some(0.875));
/// ```
pub fn roc_area(positives: &[f64], negatives: &[f64]) -> Option<f64> {
    let positives = positives.iter().map(|&score| (score, true));
    area(&Ranked::new(positives.chain(negatives.iter().map(|&score| (score, false)))))
}

/// Computes the area of photos that are ranked.
pub(crate) fn area(ranked: &Ranked) -> Option<f64> {
    let [positives, negatives] = ranked.counts;
    let (mut above, mut twice) = (0, 0u128);
    for &[positive, negative] in &ranked.steps {
        twice += negative as u128 * (2 * above + positive) as u128;
        above += positive;
    }
    let pairs = positives as f64 * negatives as f64;
    (pairs > 0.0).then(|| twice as f64 / 2.0 / pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    #[test]
    fn pairs_are_counted() {
        let mut random = SplitMix64(3);
        for (positives, negatives, values) in [(1, 1, 2), (5, 7, 3), (20, 3, 5), (30, 40, 1000)] {
            let mut draw =
                |count: usize| -> Vec<f64> { (0..count).map(|_| (random.bits() % values) as f64 - 1.0).collect() };
            let (positives, negatives) = (draw(positives), draw(negatives));
            let pair = |p: &f64, n: &f64| {
                if p > n {
                    1.0
                } else if p == n {
                    0.5
                } else {
                    0.0
                }
            };
            let pairs: f64 = positives.iter().flat_map(|p| negatives.iter().map(move |n| pair(p, n))).sum();
            let expected = pairs / (positives.len() * negatives.len()) as f64;
            assert_eq!(roc_area(&positives, &negatives), Some(expected));
            // The other way round, the rest of the pairs.
            let other = roc_area(&negatives, &positives).unwrap();
            assert!((other + expected - 1.0).abs() < 1e-12);
        }
        assert_eq!([roc_area(&[], &[1.0]), roc_area(&[1.0], &[])], [None; 2]);
        assert_eq!(roc_area(&[1.0; 3], &[1.0; 5]), Some(0.5));
    }
}
