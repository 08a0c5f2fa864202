//! The log-loss: the mean of -ln p(true class), which punishes wrong certainty most.

use crate::data::Class;
use crate::head::softmax::log_softmax;

/// Takes the mean of -ln p(true class).
#[derive(Default)]
pub(crate) struct LogLoss {
    sum: f64,
    count: usize,
}

impl LogLoss {
    /// Adds a photo by its logits.
    pub fn add(&mut self, logits: &[f32], truth: Class) {
        self.sum -= log_softmax(logits, truth);
        self.count += 1;
    }

    /// Computes the mean, in nats.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_of_logarithms() {
        let row = [0.0, 3f32.ln()];
        let mut loss = LogLoss::default();
        [0, 1].iter().for_each(|&truth| loss.add(&row, Class::new(truth)));
        assert!((loss.mean() - (4f64.ln() + (4.0f64 / 3.0).ln()) / 2.0).abs() < 1e-7, "{}", loss.mean());
        let mut huge = LogLoss::default();
        huge.add(&[1e4, -1e4], Class::new(1));
        assert_eq!(huge.mean(), 2e4);
    }
}
