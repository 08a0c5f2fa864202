//! trainer
pub mod demo;
