//! Which variant of each kernel is the fastest here: measured, kept, and used from then on.

mod measure;
mod operands;
mod table;

pub use measure::{Candidate, Shape, Tuning, defaults, measure};
pub use table::{Key, Tuned, load, save};
