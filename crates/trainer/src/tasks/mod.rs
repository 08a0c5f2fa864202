//! The tasks: from a folder to a run, and from a run to evaluations and predictions. Each reads as what it does.

mod again;
mod assign;
mod backbones;
mod before;
mod compare;
mod embed;
mod evaluate;
mod features;
mod inspect;
mod judge;
mod known;
pub(crate) mod labelled;
mod learn;
mod likeness;
mod near_seen;
mod predict;
pub(crate) mod tell;
mod telling;
mod train;
mod trained;
mod unknown;
mod verify;
mod views;

pub use again::{Again, train_again};
pub use backbones::Backbone;
pub use compare::compare;
pub use embed::{Each, Embedded, Streamed, embed, embed_each};
pub use evaluate::{Evaluated, Near, evaluate};
pub use features::{FeaturesRequest, predict_features, train_features};
pub use inspect::{Inspection, Needs, inspect};
pub use predict::{Predicted, Said, own_head, predict, predict_each};
pub use telling::Telling;
pub use train::{Request, train};
pub use trained::Trained;
pub use unknown::{Unknown, unknown};
pub use verify::{Verified, verify};
