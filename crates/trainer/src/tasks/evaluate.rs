//! A run judged on a folder of labelled photos.

use std::path::Path;

use crate::data::{Dataset, Part, Photo, Rejected};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::head::metrics::{self, Evaluation};
use crate::report::Prediction;
use crate::run::Run;
use crate::session::Session;
use crate::tasks::predict::{logits, pass};
use crate::tasks::rejected::tell_rejected;

/// A judgement of a run on a folder.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The judgement.
    pub evaluation: Evaluation,
    /// The same, photo by photo.
    pub predictions: Vec<Prediction>,
    /// What couldn't be read.
    pub rejected: Vec<Rejected>,
    /// How many photos were left out because the run was trained on them, or chosen by them.
    pub seen: usize,
}

/// Judges a run on a folder of labelled photos: its `test` folder where it has one, else all of it, without the
/// photos that the run was made with unless `all` is set.
///
/// # Errors
/// The folder isn't labelled with the run's classes; none of its photos is left to judge by.
pub fn evaluate(session: &Session<'_>, run: &Run, data: &Path, all: bool) -> Result<Judged> {
    let mut dataset = Dataset::open_for(data, &run.head.classes)?;
    for warning in &dataset.warnings {
        session.progress.warn(warning);
    }
    if dataset.photos.iter().any(|photo| photo.part == Some(Part::Test)) {
        dataset.photos.retain(|photo| photo.part == Some(Part::Test));
    }
    let (features, mut extraction) = pass(session, run, &dataset.photos)?;
    extraction.rejected.splice(0..0, dataset.rejected);
    tell_rejected(&extraction.rejected, session.progress);
    let seen = run.seen()?;
    let found = extraction.kept.len();
    if !all {
        extraction.kept.retain(|(_, digest)| !seen.digests.contains(&hex(digest)));
    }
    let left_out = found - extraction.kept.len();
    if extraction.kept.is_empty() {
        let (what, found) = (data.display().to_string(), dataset.photos.len());
        return Err(match left_out {
            0 => Error::NothingReadable { what, found },
            _ => Error::AllSeen { what, seen: left_out },
        });
    }
    let labels: Vec<usize> = extraction.kept.iter().map(|&(photo, _)| dataset.photos[photo].label).collect();
    let logits = logits(&run.head, &features, &extraction)?;
    let evaluation = metrics::evaluate(&logits, &labels, &run.head.classes, seen.majority)?;
    let rows = extraction.kept.iter().zip(logits.chunks_exact(run.head.classes.len()));
    let predictions = rows.map(|(&(photo, digest), row)| {
        let Photo { name, path, label, part } = dataset.photos[photo].clone();
        Prediction::new(name, path, digest, part, Some(label), row)
    });
    Ok(Judged { evaluation, predictions: predictions.collect(), rejected: extraction.rejected, seen: left_out })
}
