//! How good a classifier is, in f64, from its logits and what is true: a metric a file.

mod accuracy;
mod baseline;
mod calibration;
mod confusion;
mod evaluation;
mod log_loss;

pub use baseline::Baseline;
pub(crate) use baseline::majority;
pub use confusion::ClassScore;
pub use evaluation::{Evaluation, evaluate};
