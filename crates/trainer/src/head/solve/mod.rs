//! Solvers, a file each: they find the head that a problem and options ask for.

mod learner;
mod minibatch;
mod update;

pub use minibatch::solve;
