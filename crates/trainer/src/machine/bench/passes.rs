//! Whole passes through a network, on whichever engine: what photos a second come of it.

use std::time::{Duration, Instant};

use resnet::{Engine, Tap};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::machine::bench::measure::random_images;
use crate::machine::timer::median;
use crate::progress::Progress;

/// How long passes are measured, and how many there are at least.
const TIME: Duration = Duration::from_secs(3);
const LEAST: usize = 3;

/// Passes through a network, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Passes {
    /// Images of a pass.
    pub batch: usize,
    /// The median of a pass, in milliseconds.
    pub pass_ms: f64,
    /// Images a second, by `pass_ms`.
    pub images_per_second: f64,
}

/// Measures passes of an engine's whole batch, in three seconds or three passes, after one that isn't counted.
///
/// # Errors
/// The engine fails; the user stopped it.
pub fn passes(engine: &dyn Engine, progress: &dyn Progress) -> Result<Passes> {
    let batch = engine.batch();
    let images = random_images(engine.input_size(), batch);
    let mut times = Vec::new();
    let pass = || -> Result<f64> {
        let start = Instant::now();
        engine.submit(&images)?.wait(Tap::Features)?;
        Ok(start.elapsed().as_secs_f64())
    };
    pass()?;
    let start = Instant::now();
    while times.len() < LEAST || start.elapsed() < TIME {
        if progress.cancelled() {
            return Err(Error::Interrupted { kept: 0 });
        }
        times.push(pass()?);
    }
    let pass = median(times);
    Ok(Passes { batch, pass_ms: 1e3 * pass, images_per_second: batch as f64 / pass })
}
