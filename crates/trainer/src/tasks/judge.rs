//! Evaluates predictions, by the metrics that suit them: photos of one class each, or of sets of classes.

use crate::data::Target;
use crate::error::Result;
use crate::head::Head;
use crate::head::metrics::{Evaluation, SaidOfSet, evaluate, evaluate_sets};
use crate::report::Prediction;

/// Evaluates some predictions of a head, beside always guessing `majority`; none where there are none.
pub(crate) fn evaluate_some<'a>(
    photos: impl Iterator<Item = &'a Prediction>,
    head: &Head,
    majority: &Target,
) -> Result<Option<Evaluation>> {
    let mut photos = photos.peekable();
    if photos.peek().is_none() {
        return Ok(None);
    }
    let Some(thresholds) = &head.thresholds else {
        let photos = photos.map(|photo| (&photo.logits[..], &photo.target));
        return evaluate(photos, &head.classes, majority.class().unwrap_or_default()).map(Some);
    };
    let said = photos.map(|photo| {
        let (logits, named) = (&photo.logits[..], photo.named.as_deref().unwrap_or_default());
        SaidOfSet { logits, named, target: &photo.target }
    });
    let mut found = evaluate_sets(said, &head.classes, majority)?;
    found.classes.iter_mut().zip(thresholds).for_each(|(class, threshold)| class.threshold = Some(*threshold));
    Ok(Some(found))
}
