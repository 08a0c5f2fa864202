//! A folder of labelled photos in, an evaluated classifier out.

#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod demo;
pub mod digest;
pub mod error;
pub mod export;
pub mod features;
pub mod files;
pub mod head;
pub mod hub;
pub mod machine;
pub mod photos;
pub mod progress;
mod random;
pub mod report;
pub mod run;
pub mod session;
pub mod tasks;
pub mod untrained;
pub mod words;

pub use error::{Error, Fault, Remedy, Result};
pub use session::Session;
