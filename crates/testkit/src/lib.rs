//! What the tests of Rehead share: a device, poisoned outputs, samples, comparison.
//!
//! A machine without any adapter fails the tests; it never passes them by skipping.

mod compare;
pub mod formula;
mod gpu;
mod sample;

pub use compare::{assert_close, assert_control};
pub use gpu::{Gpu, Output, gpu, gpu_with, gpu_with_halves, tune};
pub use sample::Samples;
