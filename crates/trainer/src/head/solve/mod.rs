//! Solvers, a file each: they find the head that a problem and options ask for.

mod cross_validation;
mod lbfgs;
mod learner;
mod minibatch;
mod native;
mod native_learner;
mod objective;
mod on_device;
mod on_host;
mod optimum;
mod slopes;
mod solver;
mod steps;
mod update;
mod vector;
mod walk;
mod work;

pub use cross_validation::{Candidate, CrossValidation};
pub use solver::solve;

pub(crate) use objective::{Learning, Objective, Penalty, Posed};
pub(crate) use on_host::OnHost;
pub(crate) use vector::largest;
