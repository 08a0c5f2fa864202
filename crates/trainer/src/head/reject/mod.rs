//! "None of these": scores that tell whether a photo is like those that a head has learnt from, since a head names one of its classes whatever it is shown.
//!
//! All scores are greater for photos like the known ones. [`similarity`] and [`Gaussian`] look at features, [`energy`] and [`probability`] at logits. [`choose`] finds
//! the one that tells best, without a single unknown photo; [`out_of_fold`] scores the known photos as new ones, [`threshold`] says below which value a photo is none of
//! these, and a [`Detector`] judges new ones.
//!
//! ```
//! use trainer::features::Rows;
//! use trainer::head::{metrics::roc_area, reject};
//!
//! let known = [1.0, 0.1, 0.9, 0.0, 1.0, 0.2, 0.1, 1.0];
//! let known = Rows::new(&known, 2)?;
//! // Each among the others, and two that are like none of them.
//! let own = reject::similarity(&known, &known, |row, other| row == other)?;
//! let other = reject::similarity(&Rows::new(&[-1.0, 0.2, -0.3, -1.0], 2)?, &known, |_, _| false)?;
//! assert_eq!(roc_area(&own, &other), Some(1.0));
//! # Ok::<(), trainer::Error>(())
//! ```

mod choose;
mod covariance;
mod detector;
mod gaussian;
mod logits;
mod neighbours;
mod threshold;

pub use choose::{Choice, Known, Score, Trial, choose};
pub use covariance::{Shrunk, ledoit_wolf};
pub use detector::{Detector, Verdict, out_of_fold};
pub use gaussian::Gaussian;
pub use logits::{energy, probability};
pub use neighbours::{NEAREST, similarity};
pub use threshold::threshold;
