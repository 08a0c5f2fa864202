//! How an optimiser changes the weights: a step's commands, whichever rule it follows.

use kernels::wgpu::{Buffer, Queue};
use kernels::{AdamW, AdamWBuffers, AdamWDesc, BoundAdamW, BoundSgd, Commands, Context, Sgd, SgdBuffers, SgdDesc};

use crate::error::{Error, Result};
use crate::head::options::{Optimizer, TrainOptions};

/// The weights with their gradient and the optimiser's memory of it.
pub(crate) struct Parameter<'a> {
    pub value: &'a Buffer,
    pub grad: Buffer,
    pub memory: [Buffer; 2],
    pub len: u32,
    pub row: u32,
    /// Elements of a row that aren't the bias.
    pub decayed: u32,
}

impl Parameter<'_> {
    /// Binds a step of the optimiser.
    ///
    /// # Errors
    /// The kernels refuse, or the device is lost.
    pub fn update(&self, context: &Context, options: &TrainOptions) -> Result<Update> {
        let (param, grad) = (self.value.slice(..), self.grad.slice(..));
        let Self { len, row, decayed, .. } = *self;
        let weight_decay = options.weight_decay;
        Ok(match options.optimizer {
            Optimizer::Lbfgs { .. } => return Err(has_no_epochs()),
            Optimizer::Sgd { momentum, nesterov } => {
                let desc = SgdDesc { row, decayed, momentum, nesterov, weight_decay, ..SgdDesc::new(len) };
                let memory = (momentum > 0.0).then(|| self.memory[0].slice(..));
                Update::Sgd(Sgd::new(context, &desc)?.bind(&SgdBuffers { param, grad, momentum: memory })?)
            }
            Optimizer::AdamW { beta1, beta2, eps } => {
                let desc = AdamWDesc { row, decayed, beta1, beta2, eps, weight_decay, ..AdamWDesc::new(len) };
                let [exp_avg, exp_avg_sq] = [self.memory[0].slice(..), self.memory[1].slice(..)];
                Update::AdamW(AdamW::new(context, &desc)?.bind(&AdamWBuffers { param, grad, exp_avg, exp_avg_sq })?)
            }
        })
    }
}

/// Says that an optimiser isn't one that goes by mini-batches.
pub(crate) fn has_no_epochs() -> Error {
    let expected = "one that goes by mini-batches";
    Error::InvalidOption { option: "optimizer", value: "lbfgs".to_owned(), expected }
}

/// A step of an optimiser, bound.
pub(crate) enum Update {
    Sgd(BoundSgd),
    AdamW(BoundAdamW),
}

impl Update {
    /// Sets the learning rate, and which step it is, counted from 1.
    pub fn set_step(&self, queue: &Queue, learning_rate: f64, step: u32) {
        match self {
            Self::Sgd(update) => update.set_step(queue, learning_rate, step),
            Self::AdamW(update) => update.set_step(queue, learning_rate, step),
        }
    }

    /// Gives the commands to record.
    pub fn commands(&self) -> &Commands {
        match self {
            Self::Sgd(update) => update.commands(),
            Self::AdamW(update) => update.commands(),
        }
    }
}
