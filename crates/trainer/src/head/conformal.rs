//! Sets of classes that hold the true one as often as is asked: split conformal prediction by the probability of the true class.

use serde::{Deserialize, Serialize};

use crate::data::Class;
use crate::error::{Error, Result};
use crate::head::labelled::{finite, width};

/// The operation, as errors name it.
const OPERATION: &str = "conformal sets";

/// Computes the least probability that a class needs to be in a photo's set, so that sets hold the true class as often as `coverage` says.
///
/// The score of a photo is 1 − p(true class). Of n scores the ⌈(n + 1) · coverage⌉-th smallest, s, bounds those of the classes in a set: the threshold
/// is 1 − s. These are the smallest sets on average among all that have this coverage, if the probabilities are right.
///
/// # Guarantee
/// If the n photos and a new one are exchangeable (drawn alike) and none of the probabilities comes of a head that has learnt from its photo,
/// P(true class in the set) ≥ `coverage`, whatever the head is like; it is over all photos, and single classes may have less. Out-of-fold probabilities come from as
/// many heads as there are folds, and new photos are judged by one that has learnt from all: there the guarantee is slightly less. What is proven for
/// cross-validation+, which compares a new photo with each fold's own head, is 1 − 2 (1 − `coverage`) less a term that vanishes with n; in practice it is
/// about `coverage`.
///
/// # Shapes
/// `probabilities` is `[photos, classes]`; `classes`, the true ones, is `[photos]`.
///
/// # Numerics
/// A product (n + 1) · coverage within 1e-9 of its own of a whole number counts as that number.
///
/// # Reference
/// Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005; Sadinle, Lei and Wasserman, "Least ambiguous set-valued classifiers with bounded
/// error levels", 2019, section 2; Angelopoulos and Bates, "A gentle introduction to conformal prediction", 2021, section 1. Cross-validation+: Barber, Candès,
/// Ramdas and Tibshirani, "Predictive inference with the jackknife+", 2021, theorem 4.
///
/// # Examples
/// ```
/// use trainer::{data::Class, head::conformal};
///
/// let classes = [0, 1, 0, 1].map(Class::new);
/// let probabilities = [0.9, 0.1, 0.2, 0.8, 0.6, 0.4, 0.3, 0.7];
/// // The fourth smallest of four scores: all photos' true classes are in their sets.
/// let threshold = conformal::threshold(&probabilities, &classes, 0.8)?;
/// assert!((threshold - 0.6).abs() < 1e-12);
/// assert_eq!(conformal::set(&[0.65, 0.35], threshold), [Class::new(0)]);
/// # Ok::<(), trainer::Error>(())
/// ```
///
/// # Errors
/// [`Error::TooFewPhotos`]: so few photos allow no such coverage; it says how many would. Probabilities aren't a finite row each; a class is
/// beyond the row; `coverage` isn't between 0 and 1.
pub fn threshold(probabilities: &[f64], classes: &[Class], coverage: f64) -> Result<f64> {
    check(coverage)?;
    let true_ones = true_ones(probabilities, classes)?;
    threshold_of(&true_ones, coverage)
}

/// Computes the [`threshold`] from the probabilities of the true classes alone, in any order.
///
/// # Errors
/// As [`threshold`].
pub fn threshold_of(true_ones: &[f64], coverage: f64) -> Result<f64> {
    check(coverage)?;
    finite(OPERATION, "probability", true_ones.iter().copied())?;
    let mut scores: Vec<f64> = true_ones.iter().map(|probability| 1.0 - probability).collect();
    let rank = whole((scores.len() + 1) as f64 * coverage);
    if rank > scores.len() {
        let (what, got) = (format!("sets of {} % coverage", 100.0 * coverage), scores.len());
        return Err(Error::TooFewPhotos { what, got, needed: whole(coverage / (1.0 - coverage)) });
    }
    let (_, score, _) = scores.select_nth_unstable_by(rank - 1, f64::total_cmp);
    Ok(1.0 - *score)
}

/// Checks that a coverage is one.
fn check(coverage: f64) -> Result<()> {
    if coverage > 0.0 && coverage < 1.0 {
        return Ok(());
    }
    let (value, expected) = (coverage.to_string(), "a number between 0 and 1");
    Err(Error::InvalidOption { option: "coverage", value, expected })
}

/// Rounds up, but for what rounding has added to a whole number.
fn whole(value: f64) -> usize {
    (value * (1.0 - 1e-9)).ceil() as usize
}

/// Picks the probability of each photo's true class.
///
/// # Shapes
/// As [`threshold`].
///
/// # Errors
/// Probabilities aren't a finite row each; a class is beyond the row.
pub fn true_ones(probabilities: &[f64], classes: &[Class]) -> Result<Vec<f64>> {
    let width = width(OPERATION, probabilities.len(), classes)?;
    finite(OPERATION, "probability", probabilities.iter().copied())?;
    let rows = probabilities.chunks_exact(width).zip(classes);
    Ok(rows.map(|(row, class)| row[class.index()]).collect())
}

/// Lists the classes of a photo's set: those that are as probable as the threshold says or more, the most probable first, equal ones by number. It is empty where no
/// class is probable enough, which tells that the photo is unlike those that the threshold comes from.
///
/// # Shapes
/// `probabilities` is `[classes]`.
pub fn set(probabilities: &[f64], threshold: f64) -> Vec<Class> {
    // As the scores were taken, so that a probability that made the threshold reaches it.
    let score = 1.0 - threshold;
    let mut set: Vec<usize> = (0..probabilities.len()).filter(|&class| 1.0 - probabilities[class] <= score).collect();
    set.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    set.into_iter().map(Class::new).collect()
}

/// How sets turn out on photos.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sets {
    /// The share of photos whose set holds the true class. On the photos that the threshold comes from it is what was asked for, rounded up.
    pub coverage: f64,
    /// How many classes a set has on average.
    pub mean_size: f64,
    /// The share of photos whose set is empty.
    pub empty: f64,
}

/// Measures the sets of photos.
///
/// # Shapes
/// As [`threshold`].
///
/// # Errors
/// Probabilities aren't a finite row each; a class is beyond the row.
pub fn measure(probabilities: &[f64], classes: &[Class], threshold: f64) -> Result<Sets> {
    let width = width(OPERATION, probabilities.len(), classes)?;
    finite(OPERATION, "probability", probabilities.iter().copied())?;
    let (mut held, mut size, mut empty) = (0, 0, 0);
    for (row, class) in probabilities.chunks_exact(width).zip(classes) {
        let set = set(row, threshold);
        held += usize::from(set.contains(class));
        size += set.len();
        empty += usize::from(set.is_empty());
    }
    let [coverage, mean_size, empty] = [held, size, empty].map(|count| count as f64 / classes.len() as f64);
    Ok(Sets { coverage, mean_size, empty })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    /// Photos of two classes whose true one has these probabilities.
    fn of(true_ones: &[f64]) -> (Vec<f64>, Vec<Class>) {
        let rows = true_ones
            .iter()
            .enumerate()
            .flat_map(|(photo, &p)| if photo % 2 == 0 { [p, 1.0 - p] } else { [1.0 - p, p] });
        (rows.collect(), (0..true_ones.len()).map(|photo| Class::new(photo % 2)).collect())
    }

    #[test]
    fn the_rank_is_of_one_photo_more() {
        let true_ones: Vec<f64> = (1..=19).map(|i| f64::from(i) / 20.0).collect();
        let (probabilities, classes) = of(&true_ones);
        // Of 19: the 18th, the 19th, the 10th smallest score, and 1 - score.
        for (coverage, expected) in [(0.9, 2.0 / 20.0), (0.95, 1.0 / 20.0), (0.5, 10.0 / 20.0)] {
            let found = threshold(&probabilities, &classes, coverage).unwrap();
            assert!((found - expected).abs() < 1e-12, "{coverage}: {found}");
        }
        let error = threshold(&probabilities, &classes, 0.96).unwrap_err().to_string();
        assert_eq!(error, "sets of 96 % coverage: 19 photos are too few, 24 are needed");
        // As many as it says are enough, and one less isn't.
        for (coverage, needed) in [(0.96, 24), (0.9, 9), (0.99, 99), (0.75, 3), (0.5, 1)] {
            let of = |photos: usize| {
                let (probabilities, classes) = of(&vec![0.5; photos]);
                threshold(&probabilities, &classes, coverage)
            };
            assert!(of(needed).is_ok(), "{coverage}");
            assert!(needed == 1 || of(needed - 1).unwrap_err().to_string().ends_with(&format!("{needed} are needed")));
        }
        for bad in [0.0, 1.0, f64::NAN] {
            assert!(threshold(&probabilities, &classes, bad).is_err());
        }
    }

    /// Exchangeable photos: whichever of n + 1 is the new one, counted exhaustively, it is covered in at least the share asked for.
    #[test]
    fn the_guarantee_holds_to_the_photo() {
        let mut random = SplitMix64(2);
        for photos in [10, 23, 40] {
            let true_ones: Vec<f64> = (0..=photos).map(|_| (random.bits() % 1000) as f64 / 1000.0).collect();
            for coverage in [0.5, 0.8, 0.9] {
                let held = |new: &usize| {
                    let others: Vec<f64> =
                        (0..=photos).filter(|other| other != new).map(|other| true_ones[other]).collect();
                    let (probabilities, classes) = of(&others);
                    let threshold = threshold(&probabilities, &classes, coverage).unwrap();
                    set(&[true_ones[*new], 1.0 - true_ones[*new]], threshold).contains(&Class::new(0))
                };
                let share = (0..=photos).filter(held).count() as f64 / (photos + 1) as f64;
                // And, where scores differ, not much more than that.
                let most = coverage + 2.0 / (photos + 1) as f64;
                assert!(share >= coverage && share < most, "{photos} {coverage}: {share}");
            }
        }
    }

    #[test]
    fn sets_are_listed_and_measured() {
        let [a, b, c] = [0, 1, 2].map(Class::new);
        assert_eq!(set(&[0.3, 0.3, 0.4], 0.3), [c, a, b]);
        assert_eq!(set(&[0.3, 0.3, 0.4], 0.35), [c]);
        assert_eq!(set(&[0.3, 0.3, 0.4], 0.5), []);
        let probabilities = [0.3, 0.3, 0.4, 0.8, 0.1, 0.1, 0.5, 0.45, 0.05];
        let measured = measure(&probabilities, &[a, b, b], 0.45).unwrap();
        assert_eq!(measured, Sets { coverage: 1.0 / 3.0, mean_size: 1.0, empty: 1.0 / 3.0 });
        // The photo that made the threshold is in, whatever rounding did.
        for thousandth in 1..1000 {
            let p = f64::from(thousandth) / 1000.0;
            let threshold = threshold(&[p, 1.0 - p], &[a], 0.5).unwrap();
            assert!(set(&[p, 1.0 - p], threshold).contains(&a), "{p}");
        }
        assert!(measure(&[0.5; 3], &[a, b], 0.5).is_err() && measure(&[f64::NAN, 0.5], &[a], 0.5).is_err());
    }
}
