//! What a run says about photos of unknown class.

use crate::data::{Photo, Rejected};
use crate::error::Result;
use crate::report::Prediction;
use crate::run::Run;
use crate::session::{Pretrained, Session};
use crate::tasks::known::Known;

/// What a run says about photos.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// Photo by photo.
    pub predictions: Vec<Prediction>,
    /// What couldn't be read.
    pub rejected: Vec<Rejected>,
}

/// Says what a run thinks of photos of unknown class.
///
/// # Errors
/// The adapter failed; the run's files can't be read.
pub fn predict(session: &Session<'_>, run: &Run, photos: &[Photo]) -> Result<Predicted> {
    let known = known(session, run, photos, &[])?;
    let predictions = known.predictions(&run.head, |_, _| None)?;
    Ok(Predicted { predictions, rejected: known.rejected })
}

/// Passes photos through a run's backbone, but for those whose features are kept.
pub(crate) fn known<'a>(
    session: &Session<'_>,
    run: &Run,
    photos: &'a [Photo],
    unlisted: &[Rejected],
) -> Result<Known<'a>> {
    let backbone = Pretrained { weights: &run.weights, recipe: &run.recipe, reading: run.reading };
    Known::new(session, &backbone, photos, unlisted)
}
