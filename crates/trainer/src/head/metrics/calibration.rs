//! Calibration: whether a classifier is right as often as it says.

use serde::{Deserialize, Serialize};

use crate::head::resample::{below, middle95, unit};

/// Bins of confidence.
const BINS: usize = 15;

/// Photos of about one confidence: a point of the reliability curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// The confidences lie from here to the next bin's, which is 1/15 more.
    pub from: f64,
    /// How many photos.
    pub count: usize,
    /// Mean confidence; none without photos.
    pub confidence: Option<f64>,
    /// The share that is right; none without photos.
    pub accuracy: Option<f64>,
}

/// Takes the expected calibration error over 15 equal bins of confidence, which is the probability of the most probable class:
/// Σ over bins of |Σ confidence − hits| / n.
///
/// # Reference
/// Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", 2015, section 3.
#[derive(Default)]
pub(crate) struct Calibration {
    /// The confidence of each photo, and whether it is right.
    photos: Vec<(f64, bool)>,
}

fn bin(confidence: f64) -> usize {
    ((confidence * BINS as f64) as usize).min(BINS - 1)
}

/// Sums confidence less hits by bin and takes the error.
fn error_of(photos: impl ExactSizeIterator<Item = (usize, f64)>) -> f64 {
    let (count, mut bins) = (photos.len(), [0.0; BINS]);
    photos.for_each(|(bin, distance)| bins[bin] += distance);
    bins.iter().map(|sum: &f64| sum.abs()).sum::<f64>() / count as f64
}

fn hits(hit: bool) -> f64 {
    f64::from(u8::from(hit))
}

impl Calibration {
    /// Adds a photo by the probability of its most probable class, and whether that is the true one.
    pub fn add(&mut self, confidence: f64, hit: bool) {
        self.photos.push((confidence, hit));
    }

    /// Computes the error, in [0, 1].
    pub fn error(&self) -> f64 {
        error_of(self.photos.iter().map(|&(confidence, hit)| (bin(confidence), confidence - hits(hit))))
    }

    /// Computes a 95 % interval of the error. Few photos make the error look greater than it is, and a resampling of them once more: above, the interval
    /// ends with the bootstrap's 97.5 % quantile, which is on the safe side, and below it is as long as above. It begins at 0 where a head that is
    /// calibrated gives such an error, or a greater one, in 1 of 40 cases or more.
    ///
    /// # Numerics
    /// From 1000 draws of each kind, which are the same for the same photos in whatever order.
    ///
    /// # Reference
    /// Davison and Hinkley, "Bootstrap methods and their application", 1997, section 5.2 (the lower end is its basic
    /// interval's). Bröcker and Smith,
    /// "Increasing the reliability of reliability diagrams", 2007 (draws of a calibrated head).
    pub fn interval(&self) -> [f64; 2] {
        let mut photos = self.photos.clone();
        photos.sort_by(|(a, one), (b, other)| a.total_cmp(b).then(one.cmp(other)));
        let distances: Vec<(usize, f64)> =
            photos.iter().map(|&(confidence, hit)| (bin(confidence), confidence - hits(hit))).collect();
        let count = photos.len();
        let again = |random: &mut _| error_of((0..count).map(|_| distances[below(random, count)]));
        let calibrated = |random: &mut _| {
            error_of(
                photos.iter().map(|&(confidence, _)| (bin(confidence), confidence - hits(unit(random) < confidence))),
            )
        };
        let (error, [_, high], [_, by_chance]) = (self.error(), middle95(again), middle95(calibrated));
        let from = if error <= by_chance { 0.0 } else { 2.0 * error - high };
        [from.clamp(0.0, error), high.clamp(error, 1.0)]
    }

    /// Lists the bins, by ascending confidence.
    pub fn curve(&self) -> Vec<Bin> {
        let mut sums = [(0, 0.0, 0.0); BINS];
        for &(confidence, hit) in &self.photos {
            let (count, confidences, right) = &mut sums[bin(confidence)];
            *count += 1;
            *confidences += confidence;
            *right += hits(hit);
        }
        let of_bin = |(place, (count, confidence, right)): (usize, (usize, f64, f64))| {
            let mean = |sum: f64| (count > 0).then(|| sum / count as f64);
            Bin { from: place as f64 / BINS as f64, count, confidence: mean(confidence), accuracy: mean(right) }
        };
        sums.into_iter().enumerate().map(of_bin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    fn of(photos: impl IntoIterator<Item = (f64, bool)>) -> Calibration {
        Calibration { photos: photos.into_iter().collect() }
    }

    #[test]
    fn bins_are_apart() {
        // Certain and right, certain and wrong, two even guesses of which one is right.
        let calibration = of([(1.0, true), (1.0, false), (0.5, true), (0.5, false)]);
        assert_eq!(calibration.error(), 0.25);
        let curve = calibration.curve();
        let filled: Vec<_> = curve.iter().filter(|bin| bin.count > 0).collect();
        assert_eq!((curve.len(), filled.len(), curve[0].confidence, curve[0].accuracy), (15, 2, None, None));
        assert_eq!(*filled[0], Bin { from: 7.0 / 15.0, count: 2, confidence: Some(0.5), accuracy: Some(0.5) });
        assert_eq!((filled[1].confidence, filled[1].accuracy), (Some(1.0), Some(0.5)));
    }

    /// Photos of a confidence of 0.9 in one bin, of which a share is right: then the error is |0.9 − hits / n|, and hits of a resampling are
    /// binomial.
    #[test]
    fn in_one_bin_the_interval_is_the_binomial_distribution_s() {
        let quantile = |count: usize, share: f64, level: f64| {
            let (mut below, mut term, mut hits) = (0.0, (1.0 - share).powi(count as i32), 0);
            while below + term < level {
                below += term;
                hits += 1;
                term *= share / (1.0 - share) * (count - hits + 1) as f64 / hits as f64;
            }
            hits as f64 / count as f64
        };
        for (count, right) in [(100, 60), (400, 300)] {
            let share = right as f64 / count as f64;
            let interval = of((0..count).map(|photo| (0.9, photo < right))).interval();
            // Few hits make a great error.
            let high = 0.9 - quantile(count, share, 0.025);
            let expected = [2.0 * (0.9 - share) - high, high];
            for (got, expected) in interval.iter().zip(expected) {
                // Of a thousand draws a quantile is off by a hit or two.
                assert!((got - expected).abs() <= 2.5 / count as f64, "{interval:?} {expected}");
            }
        }
        // Photos in another order are the same photos.
        let photos: Vec<_> = (0..60).map(|photo| (0.4 + photo as f64 / 100.0, photo % 3 > 0)).collect();
        assert_eq!(of(photos.clone()).interval(), of(photos.into_iter().rev()).interval());
    }

    /// Heads that are calibrated, and heads that are right 15 points less often than they say, many times over.
    #[test]
    fn the_interval_holds_the_true_error_nearly_as_often_as_it_says() {
        let mut random = SplitMix64(7);
        for (less, floor) in [(0.0, 0.94), (0.15, 0.94)] {
            let held = |_| {
                let photos = (0..150).map(|_| {
                    let confidence = 0.6 + 0.4 * unit(&mut random);
                    (confidence, unit(&mut random) < confidence - less)
                });
                let [low, high] = of(photos.collect::<Vec<_>>()).interval();
                low <= less && less <= high
            };
            let worlds = 200;
            let share = (0..worlds).map(held).filter(|held| *held).count() as f64 / worlds as f64;
            assert!(share >= floor, "{less}: {share}");
        }
    }
}
