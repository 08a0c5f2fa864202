//! Which variant of each kernel is the fastest here: measured, kept, and used from then on.

mod fingerprint;
mod measure;
mod operands;
mod table;

pub use fingerprint::{defaults, fingerprint};
pub use measure::{Candidate, Shape, Tuning, measure};
pub use table::{Key, Tuned, load, save};
