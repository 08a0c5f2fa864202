//! All that follows from rows of features: a head is trained on them, validated while it learns, and judged.

mod buffers;
mod history;
mod layer;
pub mod metrics;
mod options;
mod problem;
mod softmax;
mod solve;
mod standardise;
mod table;
mod validate;

pub use history::{Epoch, Fit, History};
pub use layer::Head;
pub use options::{ClassWeights, Optimizer, TrainOptions};
pub use problem::{Problem, Samples};
pub use softmax::{log_softmax, softmax, top};
pub use solve::solve;
