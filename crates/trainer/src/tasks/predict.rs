//! What a run says about photos of unknown class.

use std::path::Path;

use crate::data::{Photo, Rejected};
use crate::error::Result;
use crate::features::{Outcome, Rows};
use crate::report::Prediction;
use crate::run::{Run, open_weights};
use crate::session::{Overrides, Pretrained, Session};
use crate::tasks::known::Known;
use crate::tasks::tell::tell_rejected;
use crate::tasks::telling::Telling;

/// What a run says about photos.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// Photo by photo.
    pub predictions: Vec<Prediction>,
    /// What couldn't be read.
    pub rejected: Vec<Rejected>,
}

/// What is said of a photo, or why nothing is.
pub type Said<'a> = Result<Prediction, &'a Rejected>;

/// Says what a run thinks of photos of unknown class.
///
/// # Errors
/// The adapter failed; the run's files can't be read.
pub fn predict(session: &Session<'_>, run: &Run, photos: &[Photo]) -> Result<Predicted> {
    let mut predictions = Vec::new();
    let telling = Telling::of(run, None)?;
    let rejected = predict_each(session, run, photos, &telling, &mut |_, outcome| {
        predictions.extend(outcome.ok());
        Ok(())
    })?;
    Ok(Predicted { predictions, rejected })
}

/// Predicts as [`predict`] does, tells of each photo what `telling` can, and hands out what is said of each photo, or why it can't be used, as they come, in their order: memory
/// doesn't grow with the number of photos. Gives those that can't be used.
///
/// # Errors
/// As [`predict`]; that of `each`.
pub fn predict_each(
    session: &Session<'_>,
    run: &Run,
    photos: &[Photo],
    telling: &Telling,
    each: &mut dyn FnMut(&Photo, Said<'_>) -> Result<()>,
) -> Result<Vec<Rejected>> {
    let backbone = Pretrained::of(run);
    let mut rejected = Vec::new();
    session.stream_views(&backbone, run.views, photos, &mut |place, outcome| {
        let photo = &photos[place];
        match outcome {
            Outcome::Known(digest, row) => {
                let row = Rows::new(row, row.len())?;
                let logits = run.head.logits(&row)?;
                let mut said = [Prediction::of(photo, digest, &run.head, logits)];
                telling.tell(&row, &mut said)?;
                let [said] = said;
                each(photo, Ok(said))
            }
            Outcome::Rejected(reject) => {
                rejected.push(reject.clone());
                each(photo, Err(reject))
            }
        }
    })?;
    tell_rejected(&rejected, session.progress);
    Ok(rejected)
}

/// Opens a weight file with its own head as if it were a run, to predict with; photos are prepared as the weights say, but for `overrides`.
///
/// # Errors
/// The file can't be read, isn't of this family, or has no head; its recipe can't be followed.
pub fn own_head(weights: &Path, overrides: &Overrides) -> Result<Run> {
    let file = open_weights(weights)?;
    let (recipe, reading) = overrides.or_of(&file, weights)?;
    Run::of_weights(file, weights, recipe, reading)
}

/// Passes photos through a run's backbone, but for those whose features are kept.
pub(crate) fn known<'a>(
    session: &Session<'_>,
    run: &Run,
    photos: &'a [Photo],
    unlisted: &[Rejected],
) -> Result<Known<'a>> {
    let known = Known::new(session, (&Pretrained::of(run), run.views), photos, unlisted)?;
    tell_rejected(&known.rejected, session.progress);
    Ok(known)
}
