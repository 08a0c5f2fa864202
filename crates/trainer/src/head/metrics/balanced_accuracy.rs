//! Balanced accuracy: the mean of the classes' recalls, in which a rare class counts as much as a frequent one.

use crate::head::metrics::accuracy::wilson;
use crate::head::metrics::confusion::ClassScore;

/// Computes the balanced accuracy, Σ recall / C over the C classes that have photos, and its 95 % interval. None without photos.
///
/// # Units
/// In [0, 1]; guessing has 1 / C.
///
/// # Numerics
/// The interval adds up the Wilson intervals [lᵢ, uᵢ] of the recalls rᵢ, which are independent: √Σ(rᵢ − lᵢ)² / C below, √Σ(uᵢ − rᵢ)² / C above.
///
/// # Reference
/// Brodersen, Ong, Stephan and Buhmann, "The balanced accuracy and its posterior distribution", 2010. Zou and Donner, "Construction of confidence
/// limits about effect measures: a general approach", Statistics in Medicine 27, 2008 (the interval of a sum).
pub(crate) fn balanced_accuracy(scores: &[ClassScore]) -> Option<(f64, [f64; 2])> {
    let (mut classes, mut sum, mut squares) = (0.0, 0.0, [0.0; 2]);
    for class in scores.iter().filter(|class| class.support > 0) {
        let hits = (class.recall * class.support as f64).round() as usize;
        let interval = wilson(hits, class.support);
        classes += 1.0;
        sum += class.recall;
        squares.iter_mut().zip(interval).for_each(|(square, end)| *square += (class.recall - end).powi(2));
    }
    let mean = sum / classes;
    let [below, above] = squares.map(|square: f64| square.sqrt() / classes);
    (classes > 0.0).then(|| (mean, [(mean - below).max(0.0), (mean + above).min(1.0)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(classes: &[(usize, usize)]) -> Vec<ClassScore> {
        let score = |&(hits, support): &(usize, usize)| ClassScore {
            recall: if support == 0 { 0.0 } else { hits as f64 / support as f64 },
            support,
            ..ClassScore::default()
        };
        classes.iter().map(score).collect()
    }

    #[test]
    fn classes_without_photos_are_left_out() {
        let (mean, _) = balanced_accuracy(&scores(&[(3, 4), (0, 0), (1, 2)])).unwrap();
        assert_eq!(mean, 0.625);
        assert_eq!(balanced_accuracy(&scores(&[(0, 0)])), None);
        // One class: the recall and its own interval.
        let (mean, [low, high]) = balanced_accuracy(&scores(&[(8, 10)])).unwrap();
        let wilson = wilson(8, 10);
        assert!((mean - 0.8).abs() < 1e-15 && (low - wilson[0]).abs() < 1e-12 && (high - wilson[1]).abs() < 1e-12);
    }

    /// Counts every outcome of three classes of 30, 8 and 5 photos by its probability.
    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let binomial = |count: usize, share: f64| -> Vec<f64> {
            let mut terms = vec![(1.0 - share).powi(count as i32)];
            for hits in 1..=count {
                let term = terms[hits - 1] * share / (1.0 - share) * (count + 1 - hits) as f64 / hits as f64;
                terms.push(term);
            }
            terms
        };
        for shares in [[0.9, 0.7, 0.5], [0.95, 0.9, 0.6], [0.5, 0.5, 0.5]] {
            let counts = [30, 8, 5];
            let terms: Vec<Vec<f64>> =
                counts.iter().zip(shares).map(|(&count, share)| binomial(count, share)).collect();
            let (truth, mut held) = (shares.iter().sum::<f64>() / 3.0, 0.0);
            for a in 0..=counts[0] {
                for b in 0..=counts[1] {
                    for c in 0..=counts[2] {
                        let outcome = scores(&[(a, counts[0]), (b, counts[1]), (c, counts[2])]);
                        let (_, [low, high]) = balanced_accuracy(&outcome).unwrap();
                        if low <= truth && truth <= high {
                            held += terms[0][a] * terms[1][b] * terms[2][c];
                        }
                    }
                }
            }
            assert!((0.93..0.985).contains(&held), "{shares:?}: {held}");
        }
    }
}
