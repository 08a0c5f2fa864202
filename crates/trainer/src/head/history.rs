//! The result of a training: the head, and the losses epoch by epoch, which a report draws.

use serde::{Deserialize, Serialize};

use crate::head::calibrate::Temperature;
use crate::head::certificate::Certificate;
use crate::head::layer::Head;
use crate::head::solve::{CrossValidation, LeaveOneOut};
use crate::progress::Epoch;

/// How the training went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The epochs, first to last.
    pub epochs: Vec<Epoch>,
    /// The number of the best epoch, from 1, whose head was kept: the one with the lowest validation loss, or the last.
    pub best: usize,
}

/// A fall by less than this, in nats, over the second half of the epochs is none: where classes are told apart without fault, the loss
/// falls for ever.
const FALL: f64 = 0.01;

impl History {
    /// Tells whether the validation loss was still falling when all `epochs` that were allowed had passed: the last epoch is the best,
    /// and its loss is lower than halfway by a hundredth of a nat. The learning rate falls to 0, so that the very end says little.
    pub fn still_falling(&self, epochs: usize) -> bool {
        let loss = |epoch: usize| self.epochs.get(epoch).and_then(|epoch| epoch.validation_loss);
        let last = epochs.saturating_sub(1);
        match (loss(last / 2), loss(last)) {
            (Some(half), Some(end)) => self.best == epochs && end < half - FALL,
            _ => false,
        }
    }
}

/// What a training gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The head of the best epoch, or the optimum.
    pub head: Head,
    /// How the training went, where it went by epochs.
    pub history: History,
    /// How near to the optimum the head is, where it is one.
    pub certificate: Option<Certificate>,
    /// What the regularisation was chosen by, where it was.
    pub cross_validation: Option<CrossValidation>,
    /// How good the head is on each row had it not learnt from it: of softmax regression on few rows.
    pub leave_one_out: Option<LeaveOneOut>,
    /// What the optimum's logits were divided by, and what that is worth out of fold; the head and those of the cross-validation are so divided.
    pub temperature: Option<Temperature>,
}

impl Fit {
    /// Takes numbers off the logits of each class: those of the head, and those of the cross-validation.
    pub(crate) fn adjust(&mut self, by: &[f64]) {
        self.head.adjust(by, -1.0);
        let rows = self.cross_validation.iter_mut().flat_map(|found| found.logits.chunks_exact_mut(by.len()));
        rows.flat_map(|row| row.iter_mut().zip(by)).for_each(|(logit, by)| *logit = (f64::from(*logit) - by) as f32);
        // It was taken of logits as they were.
        self.leave_one_out = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_still_falling_at_the_last_epoch_alone() {
        let history = |losses: &[f64]| {
            let epoch = |&loss: &f64| Epoch {
                train_loss: 9.0,
                validation_loss: Some(loss),
                validation_top1: Some(0.5),
                learning_rate: 0.1,
            };
            let best = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap_or(0);
            History { epochs: losses.iter().map(epoch).collect(), best: best + 1 }
        };
        let falling = history(&[1.0, 0.9, 0.8, 0.7]);
        assert!(falling.still_falling(4));
        assert!(!falling.still_falling(9), "patience ended it");
        assert!(!history(&[1.0, 0.9, 0.8, 0.81]).still_falling(4), "the best is past");
        assert!(!history(&[1.0, 0.8, 0.7999, 0.7998]).still_falling(4), "flat");
        assert!(!history(&[0.01, 0.005, 0.003, 0.001]).still_falling(4), "nothing to gain");
        // The learning rate ends at 0, and with it every fall.
        assert!(history(&[1.0, 0.9, 0.8, 0.75, 0.7401, 0.74]).still_falling(6));
        assert!(!history(&[1.0]).still_falling(1) && !History::default().still_falling(0));
        // That of training says nothing of other photos.
        let mut alone = history(&[1.0, 0.9, 0.8, 0.7]);
        alone.epochs.iter_mut().for_each(|epoch| (epoch.train_loss, epoch.validation_loss) = (0.1, None));
        assert!(!alone.still_falling(4));
    }
}
