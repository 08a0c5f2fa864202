//! Evaluates a run on labelled photos that it has not seen.

use crate::data::{Dataset, Origin, Part, Rejected};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::head::metrics::{self, Evaluation};
use crate::progress::{Stage, watched};
use crate::report::Prediction;
use crate::run::Run;
use crate::session::Session;
use crate::tasks::predict::known;
use crate::tasks::tell::nothing_readable;
use crate::words::shown;

/// A run's evaluation on a folder.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The metrics.
    pub evaluation: Evaluation,
    /// What the run says of each photo.
    pub predictions: Vec<Prediction>,
    /// The photos that couldn't be read.
    pub rejected: Vec<Rejected>,
    /// How many photos were left out because the run was trained on them, or chosen by them.
    pub seen: usize,
}

/// Evaluates a run on labelled photos: on those of the `test` part where there is one, else on all, without the
/// photos that the run was made with unless `all` is set.
///
/// # Errors
/// The folder isn't labelled with the run's classes; none of its photos is left.
pub fn evaluate(session: &Session<'_>, run: &Run, data: impl Into<Origin>, all: bool) -> Result<Evaluated> {
    let data = data.into();
    let mut dataset = watched(session.progress, Stage::LISTING, || Dataset::open_for(&data, &run.head.classes))?;
    dataset.check_single()?;
    dataset.warnings.iter().for_each(|warning| session.progress.warn(warning));
    if dataset.photos.iter().any(|photo| photo.part == Some(Part::Test)) {
        dataset.photos.retain(|photo| photo.part == Some(Part::Test));
    }
    let seen = run.seen()?;
    let mut known = known(session, run, &dataset.photos, &dataset.rejected)?;

    let found = known.kept.len();
    if !all {
        known.kept.retain(|(_, digest)| !seen.digests.contains(&hex(digest)));
    }
    let left_out = found - known.kept.len();
    if known.kept.is_empty() {
        let what = shown(&data.path).into_owned();
        return Err(match left_out {
            0 => nothing_readable(what, &known.rejected),
            _ => Error::AllSeen { what, seen: left_out },
        });
    }
    let predictions = known.predictions(&run.head, |_, photo| photo.part)?;
    let judged = predictions.iter().map(|photo| (&photo.logits[..], &photo.target));
    let evaluation = metrics::evaluate(judged, &run.head.classes, seen.majority)?;
    Ok(Evaluated { evaluation, predictions, rejected: known.rejected, seen: left_out })
}
