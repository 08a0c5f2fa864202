//! The embedded default: what the trainer does when it is given nothing.
//!
//! It trains a head on photos that are part of the program, on the backbone that is, as on anybody's photos, beside heads on features that no network has learnt. What lies between
//! is what transfer learning is worth.

mod photos;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::head::TrainOptions;
use crate::hub;
use crate::session::Session;
use crate::tasks::{Backbone, Request, Trained, train};

/// What the demo found, and where it lies.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The head, with what it has to beat in its metrics.
    pub trained: Trained,
    /// The folder of the run.
    pub run: PathBuf,
    /// The folder of photos that the run hasn't seen.
    pub new: PathBuf,
}

/// Writes the photos into a new, empty folder, and trains on them as `trainer train photos --backbone demo --baselines` would.
///
/// # Errors
/// Any of [`train`]'s; the folder takes no files.
pub fn show(session: &Session<'_>, folder: &Path, seed: u64) -> Result<Shown> {
    let name = hub::EMBEDDED.to_owned();
    let weights = hub::resolve_by_env(&name, session.progress)?.weights;
    let [photos, new] = photos::write(folder)?;
    let run = folder.join("run");
    let request = Request {
        backbones: vec![Backbone { name, weights }],
        baselines: true,
        train: TrainOptions { seed, ..Default::default() },
        ..Request::new(photos, "", &run)
    };
    Ok(Shown { trained: train(session, &request)?, run, new })
}
