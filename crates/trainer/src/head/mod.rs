//! Heads, and all else that follows from rows of features: a head learns from some rows, is validated on others while it learns, and
//! evaluated on the rest.

mod buffers;
mod calibrate;
pub mod conformal;
mod history;
mod labelled;
mod layer;
pub mod metrics;
mod options;
mod problem;
pub mod reject;
mod resample;
mod softmax;
mod solve;
mod standardise;
mod table;
mod validate;

pub use crate::progress::Epoch;
pub use calibrate::Temperature;
pub use history::{Fit, History};
pub use layer::Head;
pub use options::{ClassWeights, Optimizer, TrainOptions};
pub use problem::{Problem, Samples};
pub(crate) use softmax::{softmax, top};
pub use solve::solve;
