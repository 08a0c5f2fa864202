//! Heads, and all else that follows from rows of features: a head learns from some rows, is validated on others, and
//! evaluated on the rest.

mod buffers;
mod calibrate;
mod certificate;
mod cholesky;
pub mod conformal;
mod cosine;
mod history;
mod labelled;
mod layer;
pub mod metrics;
mod options;
mod problem;
mod regularisation;
pub mod reject;
mod resample;
mod sigmoid;
mod softmax;
mod solve;
mod standardise;
mod table;
mod thresholds;
mod validate;

pub use crate::progress::Epoch;
pub use calibrate::Temperature;
pub use certificate::Certificate;
pub(crate) use certificate::certify_again;
pub use history::{Fit, History};
pub use layer::Head;
pub use options::{Choice, ClassWeights, Optimizer, TrainOptions};
pub use problem::{Folds, Problem, Samples};
pub use regularisation::{Method, Regularisation, Scaling};
pub(crate) use sigmoid::loss as set_loss;
pub use sigmoid::sigmoid;
pub use softmax::{softmax, top};
pub use solve::{Candidate, CrossValidation, LeaveOneOut, solve, solve_for};
