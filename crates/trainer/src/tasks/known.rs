//! Predicts for photos whose features are known: what evaluate, predict and train share.

use crate::data::{Part, Photo, Target};
use crate::error::Result;
use crate::features::{Extraction, Features};
use crate::head::Head;
use crate::report::Prediction;

/// Rows whose logits are computed at a time, so that not all of them stand in memory twice.
const ROWS: usize = 1024;

/// Predicts with a head for each photo whose features are known, in their order. `role` gives the part that the photo plays and what is
/// true of it, by its place among those photos.
pub(crate) fn predictions(
    head: &Head,
    photos: &[Photo],
    (features, extraction): (&Features, &Extraction),
    role: impl Fn(usize, &Photo) -> (Option<Part>, Target),
) -> Result<Vec<Prediction>> {
    let mut predictions = Vec::with_capacity(extraction.kept.len());
    for some in extraction.kept.chunks(ROWS) {
        let logits = head.logits(&features.rows(some.iter().map(|(_, digest)| digest))?)?;
        for (&(place, digest), logits) in some.iter().zip(logits.chunks_exact(head.classes.len())) {
            let photo = &photos[place];
            let (part, target) = role(predictions.len(), photo);
            let (name, path) = (photo.name.clone(), photo.path.clone());
            predictions.push(Prediction { name, path, digest, part, target, logits: logits.to_vec() });
        }
    }
    Ok(predictions)
}
