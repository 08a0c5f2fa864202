//! A folder of labelled photos in, an evaluated classifier out.
//!
//! A backbone that knows ImageNet is frozen, and a new dense layer is trained on what it says of each photo. [`tasks`] are the way
//! in: [`tasks::train`] makes a run, [`tasks::predict`] and [`tasks::evaluate`] use it, [`tasks::embed`] gives the features
//! themselves. Each works with a [`Session`]: an open device, limits, and who watches.
//!
//! The rooms on the way, each usable by itself: [`data`] says which photos there are and what is true of them, [`photos`] reads them,
//! [`features`] passes each through the network once, [`head`] learns and evaluates, [`run`] keeps what came of it, [`report`] tells it,
//! [`export`] writes arrays. [`hub`] finds weights by name.
//!
//! ```no_run
//! use trainer::{Session, data::Photo, machine, run::Run, tasks};
//!
//! # fn main() -> trainer::Result<()> {
//! let device = pollster::block_on(machine::Device::open(machine::Wanted::Auto, &machine::Selection::default()))?;
//! let session = Session::new(device);
//! let run = Run::open("run".as_ref())?;
//! let predicted = tasks::predict(&session, &run, &[Photo::at("new.jpg".as_ref())])?;
//! for (class, probability) in predicted.predictions[0].top(3) {
//!     println!("{}: {probability:.2}", run.head.classes[class.index()]);
//! }
//! # Ok(()) }
//! ```
//!
//! `examples/train.rs` trains and predicts, and shows its progress. The feature `cli`, on by default, holds the command line; without
//! it the library brings no argument parser and no terminal.

#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod demo;
mod digest;
mod error;
pub mod export;
pub mod features;
mod files;
pub mod head;
pub mod hub;
pub mod machine;
pub mod outputs;
pub mod photos;
pub mod progress;
mod random;
pub mod report;
pub mod run;
mod session;
pub mod shards;
pub mod tasks;
mod threads;
mod untrained;
mod words;

pub use digest::Digest;
pub use error::{Error, Fault, Remedy, Result};
pub use progress::Progress;
pub use session::{Overrides, Session};
pub use untrained::random_weights;
