//! Solvers, a file each: they find the head that a problem and options ask for.

mod cross_validation;
mod discriminant;
mod lbfgs;
mod learner;
mod leave_one_out;
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
pub use leave_one_out::LeaveOneOut;
pub use solver::{solve, solve_for};

pub(crate) use discriminant::Discriminant;
pub(crate) use objective::{Learning, Objective, Penalty, Posed};
pub(crate) use on_host::OnHost;
pub(crate) use vector::{dot, largest};
