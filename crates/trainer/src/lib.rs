//! A folder of labelled photos in, an evaluated classifier out.
//!
//! One way, and each module is one station of it:
//! [`dataset`] lists the photos, [`decode`] reads them, [`features`] passes each through the frozen backbone once, [`split`] deals
//! the parts, [`head`] learns, [`evaluate`] judges, [`report`] tells and [`run`] keeps. [`pipeline`] joins them.
//!
//! ```no_run
//! use trainer::{device, pipeline, run::Run};
//!
//! # fn main() -> trainer::Result<()> {
//! let gpu = pollster::block_on(device::open(&device::Selection::default()))?;
//! let run = Run::open("run".as_ref())?;
//! let photos = [pipeline::photo("new.jpg".as_ref())];
//! let (predictions, _rejected) = pipeline::predict(&run, &photos, 1, &Default::default(), &gpu, &())?;
//! let (class, probability) = predictions[0].top[0];
//! println!("{}: {probability:.2}", run.head.classes[class]);
//! # Ok(()) }
//! ```

pub mod allocator;
pub mod backbone;
pub mod bench;
pub mod cache_dir;
pub mod compiled;
pub mod dataset;
pub mod decode;
pub mod demo;
pub mod device;
pub mod doctor;
pub mod error;
pub mod evaluate;
pub mod features;
pub mod head;
pub mod hub;
pub mod inspect;
mod ordered;
pub mod pipeline;
pub mod progress;
mod random;
pub mod report;
pub mod run;
pub mod split;
pub mod timer;
pub mod tune;

pub use error::{Error, Fault, Result};
