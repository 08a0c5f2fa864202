//! The tasks: from a folder to a run, and from a run to judgements and predictions. Each reads as what it does.

mod embed;
mod evaluate;
mod inspect;
mod predict;
mod rejected;
mod train;

pub use embed::{Embedded, embed};
pub use evaluate::{Judged, evaluate};
pub use inspect::{Inspection, Needs, inspect};
pub use predict::{Predicted, predict};
pub use rejected::tell_rejected;
pub use train::{Request, Trained, train};
