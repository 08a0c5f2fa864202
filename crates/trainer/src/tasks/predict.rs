//! What a run says about photos of unknown class.

use crate::data::{Photo, Rejected};
use crate::error::Result;
use crate::features::{Extraction, Features};
use crate::head::Head;
use crate::report::Prediction;
use crate::run::{self, Run};
use crate::session::{Pretrained, Session};
use crate::tasks::rejected::tell_rejected;

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
    let (features, extraction) = pass(session, run, photos)?;
    tell_rejected(&extraction.rejected, session.progress);
    let logits = logits(&run.head, &features, &extraction)?;
    let rows = extraction.kept.iter().zip(logits.chunks_exact(run.head.classes.len()));
    let predictions = rows.map(|(&(photo, digest), row)| {
        let Photo { name, path, .. } = photos[photo].clone();
        Prediction::new(name, path, digest, None, None, row)
    });
    Ok(Predicted { predictions: predictions.collect(), rejected: extraction.rejected })
}

/// Passes photos through a run's backbone, but for those whose features its training kept.
pub(crate) fn pass(session: &Session<'_>, run: &Run, photos: &[Photo]) -> Result<(Features, Extraction)> {
    // The run's features are keyed by the file that the backbone came from, whose digest its config has.
    let config = std::fs::read(run.folder.join(run::CONFIG)).ok();
    let config = config.and_then(|bytes| serde_json::from_slice::<run::Config>(&bytes).ok());
    let sha256 = config.as_ref().map_or("", |config| &config.weights.sha256);
    let backbone = Pretrained { weights: &run.weights, sha256, recipe: &run.recipe, reading: run.reading };
    session.features(&backbone, photos, config.as_ref().map(|config| config.features.as_path()), false)
}

/// What a head says of all photos kept. Their features aren't copied as a whole.
pub(crate) fn logits(head: &Head, features: &Features, extraction: &Extraction) -> Result<Vec<f32>> {
    let mut logits = Vec::with_capacity(extraction.kept.len() * head.classes.len());
    for some in extraction.kept.chunks(1024) {
        logits.extend(head.logits(&features.gather(some.iter().map(|(_, digest)| digest))?)?);
    }
    Ok(logits)
}
