//! Metrics: how good a classifier is, in f64, from its logits and what is true. A file holds a metric; `evaluate` takes them all, and `figures` is the
//! table of what is shown.

mod accuracy;
mod areas;
mod average_precision;
mod balanced_accuracy;
mod baseline;
mod calibration;
mod confusion;
mod evaluate;
mod evaluate_sets;
mod evaluation;
mod figure;
mod figures;
mod hamming_loss;
mod log_loss;
mod mcnemar;
mod micro_f1;
mod named;
mod nearest_neighbour;
mod paired;
mod ranked;
mod roc;
mod top_k;

pub(crate) use accuracy::wilson;
pub use average_precision::average_precision;
pub use baseline::Baseline;
pub(crate) use baseline::{majority, most_frequent};
pub use calibration::Bin;
pub use confusion::ClassScore;
pub(crate) use evaluate::beside;
pub use evaluate::evaluate;
pub use evaluate_sets::{SaidOfSet, evaluate_sets};
pub use evaluation::{Evaluation, OfSets};
pub use figure::{Figure, Unit};
pub use mcnemar::McNemar;
pub use nearest_neighbour::{Classified, nearest_neighbour};
pub use paired::Paired;
pub use roc::roc_area;
pub use top_k::top_k;
