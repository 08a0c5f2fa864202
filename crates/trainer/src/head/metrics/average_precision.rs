//! Average precision: the area under the curve of precision over recall, which tells more than the ROC's where positives are rare.

use crate::head::metrics::ranked::Ranked;

/// Computes the average precision of scores, each with whether it is a positive's: Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores from the greatest down, with
/// the precision Pₙ and the recall Rₙ of all photos down to score n. Nothing is interpolated. None without positives.
///
/// # Units
/// In (0, 1]; a score that says nothing has about the share of positives.
///
/// # Numerics
/// In f64 from exact counts. No score may be NaN.
///
/// # Reference
/// scikit-learn's `average_precision_score`; Zhu, "Recall, precision and average precision", 2004.
///
/// # Examples
/// ```
/// use trainer::head::metrics::average_precision;
///
/// // The positives are first and third.
/// assert_eq!(average_precision([(0.9, true), (0.8, false), (0.7, true)]), Some((1.0 + 2.0 / 3.0) / 2.0));
/// ```
pub fn average_precision(scores: impl IntoIterator<Item = (f64, bool)>) -> Option<f64> {
    precision(&Ranked::new(scores))
}

/// Computes the average precision of photos that are ranked.
pub(crate) fn precision(ranked: &Ranked) -> Option<f64> {
    let (mut hits, mut all, mut sum) = (0, 0, 0.0);
    for &[positive, negative] in &ranked.steps {
        hits += positive;
        all += positive + negative;
        sum += positive as f64 * hits as f64 / all as f64;
    }
    (hits > 0).then(|| sum / hits as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms() {
        // k positives above all negatives: 1. Below n negatives: the mean of i / (n + i).
        let scores = |positives: usize, negatives: usize, at: f64| {
            let of = move |count, base: f64, positive| (0..count).map(move |i| (base + i as f64, positive));
            of(positives, at, true).chain(of(negatives, 0.0, false))
        };
        assert_eq!(average_precision(scores(4, 6, 100.0)), Some(1.0));
        let expected: f64 = (1..=4).map(|i| i as f64 / (6 + i) as f64).sum::<f64>() / 4.0;
        assert!((average_precision(scores(4, 6, -100.0)).unwrap() - expected).abs() < 1e-15);
        // All equal: one step, whose precision is the share of positives.
        assert_eq!(average_precision([true, false, false, false].map(|positive| (1.0, positive))), Some(0.25));
        assert_eq!(average_precision([(1.0, false)]), None);
    }
}
