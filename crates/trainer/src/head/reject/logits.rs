//! Scores of a photo by what a head says of it.

use crate::head::softmax::{log_sum, softmax};

/// Computes the energy score of a row of logits, ln Σ exp(zⱼ): greater where some class has much to say for it.
///
/// # Shapes
/// `logits` is `[classes]`.
///
/// # Units
/// Nats.
///
/// # Reference
/// Liu, Wang, Owens and Li, "Energy-based out-of-distribution detection", 2020, section 3 (there with the other sign).
pub fn energy(logits: &[f32]) -> f64 {
    log_sum(logits)
}

/// Computes the greatest probability of a row of logits, max softmax(z). Of a single class it is 1, and says nothing.
///
/// # Shapes
/// `logits` is `[classes]`.
///
/// # Reference
/// Hendrycks and Gimpel, "A baseline for detecting misclassified and out-of-distribution examples in neural networks", 2017, section 2.
pub fn probability(logits: &[f32]) -> f64 {
    softmax(logits).into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms() {
        let row = [0.0, 3f32.ln()];
        assert!((energy(&row) - 4f64.ln()).abs() < 1e-7 && (probability(&row) - 0.75).abs() < 1e-7);
        assert!((energy(&[5.0; 8]) - 5.0 - 8f64.ln()).abs() < 1e-12 && probability(&[5.0; 8]) == 0.125);
        // No overflow, and what is added to all logits changes the energy alone.
        assert_eq!((energy(&[1e4, -1e4]), probability(&[1e4, -1e4]), probability(&[3.0])), (1e4, 1.0, 1.0));
    }
}
