//! Each layer of a network by itself, beside what the machine can do at best, and whole passes: `trainer doctor --bench`.

mod filling;
mod layer;
mod measure;
mod memory;
mod passes;
mod yardstick;

pub(crate) use layer::{Layer, SLOW};
pub(crate) use measure::{Bench, measure, taps};
pub(crate) use passes::{Passes, passes};
