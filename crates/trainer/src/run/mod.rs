//! Runs: the folder that a training writes, and the classifier that is read back from it.
//!
//! | file | holds |
//! |---|---|
//! | `model.safetensors` | the whole network under torchvision's names, the new head as `fc`; labels and preprocessing in its metadata; of features, the head alone |
//! | `labels.txt` | the labels, one a line, in the order of the outputs |
//! | `config.json` | everything needed to do it again, and the digests of the other files ([`Config`]) |
//! | `parts.json` | which photo played which part, by content, so that `evaluate` can leave out what the head has seen ([`Parts`]) |
//! | `known.safetensors` | features and classes of photos that were learnt from, and the score by which photos are none of these ([`Likeness`]) |
//! | `metrics.json` | how good the head is, in figures |
//! | `predictions.csv` | what the head says about each photo; `compare` reads it again ([`Judged`]) |
//! | `report.html` | figures and predictions as a page |

mod commit;
mod config;
mod folder;
mod judged;
mod likeness;
mod model;
mod named;
mod of_features;
mod parts;
mod preparation;

pub(crate) use commit::Making;
pub use config::{Config, FromFeatures, Weights};
pub use folder::{CONFIG, KNOWN, LABELS, METRICS, MODEL, PARTS, PREDICTIONS, REPORT};
pub use judged::Judged;
pub use likeness::{Chosen, Likeness};
pub use model::Run;
pub(crate) use model::{head_alone, model, open_weights};
pub use named::Named;
pub use of_features::HeadRun;
pub use parts::{Parts, Seen};
pub use preparation::{reading_of, recipe_of};
