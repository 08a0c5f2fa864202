//! A run evaluated on a folder of labelled photos.

use std::path::Path;

use crate::data::{Dataset, Part, Rejected};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::head::metrics::{self, Evaluation};
use crate::report::Prediction;
use crate::run::Run;
use crate::session::Session;
use crate::tasks::known::predictions;
use crate::tasks::predict::features;
use crate::tasks::tell::tell_rejected;

/// A run's evaluation on a folder.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The figures.
    pub evaluation: Evaluation,
    /// What the run says of each photo.
    pub predictions: Vec<Prediction>,
    /// What couldn't be read.
    pub rejected: Vec<Rejected>,
    /// How many photos were left out because the run was trained on them, or chosen by them.
    pub seen: usize,
}

/// Evaluates a run on a folder of labelled photos: on its `test` folder where it has one, else on all of it, without the
/// photos that the run was made with unless `all` is set.
///
/// # Errors
/// The folder isn't labelled with the run's classes; none of its photos is left.
pub fn evaluate(session: &Session<'_>, run: &Run, data: &Path, all: bool) -> Result<Evaluated> {
    let mut dataset = Dataset::open_for(data, &run.head.classes)?;
    dataset.warnings.iter().for_each(|warning| session.progress.warn(warning));
    if dataset.photos.iter().any(|photo| photo.part == Some(Part::Test)) {
        dataset.photos.retain(|photo| photo.part == Some(Part::Test));
    }
    let seen = run.seen()?;
    let (features, mut extraction) = features(session, run, &dataset.photos)?;
    extraction.rejected.splice(0..0, dataset.rejected);
    tell_rejected(&extraction.rejected, session.progress);

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
    let known = (&features, &extraction);
    let predictions = predictions(&run.head, &dataset.photos, known, |_, photo| (photo.part, photo.target.clone()))?;
    let judged = predictions.iter().map(|photo| (&photo.logits[..], &photo.target));
    let evaluation = metrics::evaluate(judged, &run.head.classes, seen.majority)?;
    Ok(Evaluated { evaluation, predictions, rejected: extraction.rejected, seen: left_out })
}
