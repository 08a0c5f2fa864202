//! A folder of labelled photos in, an evaluated classifier out.
//!
//! One way, and each module is one station of it:
//! [`dataset`] lists the photos, [`decode`] reads them, [`features`] passes each through the frozen backbone once, [`split`] deals
//! the parts, [`head`] learns, [`evaluate`] judges, [`report`] tells and [`run`] keeps. [`pipeline`] joins them.

pub mod backbone;
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
pub mod pipeline;
pub mod progress;
pub mod report;
pub mod run;
pub mod split;

pub use error::{Error, Fault, Result};
