//! Calibration: whether a classifier is right as often as it says.

/// Bins of confidence.
const BINS: usize = 15;

/// Takes the expected calibration error: the mean distance of confidence from accuracy over 15 equal bins of confidence.
///
/// # Reference
/// Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", 2015.
#[derive(Default)]
pub(crate) struct Calibration {
    /// By bin: the sum of confidence, and of hits.
    bins: [(f64, f64); BINS],
    count: usize,
}

impl Calibration {
    /// Adds a photo by the probability of its most probable class, and whether that is the true one.
    pub fn add(&mut self, confidence: f64, hit: bool) {
        let bin = &mut self.bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += confidence;
        bin.1 += f64::from(u8::from(hit));
        self.count += 1;
    }

    /// Computes the error, in [0, 1].
    pub fn error(&self) -> f64 {
        self.bins.iter().map(|(confidence, hits)| (confidence - hits).abs()).sum::<f64>() / self.count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_apart() {
        // Certain and right, certain and wrong, two even guesses of which one is right.
        let mut calibration = Calibration::default();
        for (confidence, hit) in [(1.0, true), (1.0, false), (0.5, true), (0.5, false)] {
            calibration.add(confidence, hit);
        }
        assert_eq!(calibration.error(), 0.25);
    }
}
