//! How a head is found: a solver a file.

mod learner;
mod minibatch;
mod update;

pub use minibatch::solve;
