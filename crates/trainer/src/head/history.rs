//! The result of a training: the head, and the losses epoch by epoch, which a report draws.

use serde::{Deserialize, Serialize};

use crate::head::layer::Head;

/// One pass over the training part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The mean loss over the training part during the pass.
    pub train_loss: f64,
    /// The mean loss on the validation part after the pass, if there is one.
    pub validation_loss: Option<f64>,
    /// The accuracy on the validation part after the pass.
    pub validation_top1: Option<f64>,
    /// The learning rate of its last step.
    pub learning_rate: f64,
}

/// How the training went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The epochs, first to last.
    pub epochs: Vec<Epoch>,
    /// The number of the best epoch, from 1, whose head was kept: the one with the lowest validation loss, or the last.
    pub best: usize,
}

/// What a training gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The head of the best epoch.
    pub head: Head,
    /// How the training went.
    pub history: History,
}
