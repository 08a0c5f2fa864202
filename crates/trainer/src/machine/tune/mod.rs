//! Tunes kernels: measures which variant of each is the fastest here, keeps the winners, and uses them from then on.

mod measure;
mod operands;
mod table;

pub use measure::{Candidate, Shape, Tuning, defaults, measure};
pub use table::{Key, Tuned, load, save};
