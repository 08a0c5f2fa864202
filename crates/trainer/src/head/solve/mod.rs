//! How a head is found: a solver a file.

pub(crate) mod minibatch;
