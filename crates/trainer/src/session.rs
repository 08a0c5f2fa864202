//! What a task works with: an open adapter, how many photos at once, what is allowed of a photo, and who watches.

use std::path::Path;

use resnet::{Recipe, WeightFile};

use crate::data::Photo;
use crate::error::{Error, Result};
use crate::features::network::GpuExtractor;
use crate::features::{Extraction, Features, extract};
use crate::machine::device::Gpu;
use crate::photos::{JPEG_DECODER, Limits, Reading};
use crate::progress::Progress;
use crate::run;

/// What a task works with.
pub struct Session<'a> {
    /// The adapter.
    pub gpu: Gpu,
    /// Photos that pass through the backbone at once, at most.
    pub batch: usize,
    /// Bounds on photos.
    pub limits: Limits,
    /// Who watches.
    pub progress: &'a dyn Progress,
}

/// What is asked for instead of the weights' own way with photos.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Resize, crop and normalisation.
    pub recipe: Option<Recipe>,
    /// Orientation and transparency.
    pub reading: Option<Reading>,
}

impl Overrides {
    /// What to do: as asked for, else as the weights say.
    pub(crate) fn or_of(&self, weights: &WeightFile, path: &Path) -> Result<(Recipe, Reading)> {
        let recipe = self.recipe.clone().map_or_else(|| Ok(run::recipe_of(weights, path)?.0), Ok::<_, Error>)?;
        let reading = self.reading.map_or_else(|| run::reading_of(weights, path), Ok)?;
        Ok((recipe, reading))
    }
}

/// A backbone as a task needs it: its weights, and how photos are prepared for it.
pub(crate) struct Pretrained<'a> {
    pub(crate) weights: &'a WeightFile,
    /// Of the file that the weights came from, in hexadecimal digits.
    pub(crate) sha256: &'a str,
    pub(crate) recipe: &'a Recipe,
    pub(crate) reading: Reading,
}

impl Session<'_> {
    /// Passes photos through a backbone, but for those whose features are known: those that the file `kept` holds. What
    /// `save` names is written even when the work is interrupted.
    pub(crate) fn features(
        &self,
        backbone: &Pretrained<'_>,
        photos: &[Photo],
        kept: Option<&Path>,
        save: bool,
    ) -> Result<(Features, Extraction)> {
        let extractor = GpuExtractor::new(
            &self.gpu,
            backbone.weights,
            backbone.recipe,
            self.batch.min(photos.len()),
            self.progress,
        )?;
        let len = backbone.weights.architecture().features();
        let key = self.key(backbone, extractor.tuned());
        let mut features = kept.map_or_else(|| Features::new(&*key, len), |path| known(path, &key, len, self.progress));
        let before = features.count();
        let extraction = extract(photos, &extractor, &mut features, &backbone.reading, &self.limits, self.progress);
        if let (true, Some(path)) = (save && features.count() > before, kept) {
            features.save(path)?;
        }
        Ok((features, extraction?))
    }

    fn key(&self, backbone: &Pretrained<'_>, tuned: Option<&str>) -> String {
        let tuned = tuned.map_or_else(String::new, |digest| format!(", tuned {digest}"));
        let recipe = serde_json::to_string(backbone.recipe).expect("plain data");
        let reading = serde_json::to_string(&backbone.reading).expect("plain data");
        let version = env!("CARGO_PKG_VERSION");
        let weights = format!("{} in {}", backbone.sha256, self.gpu.precision.name());
        format!("trainer {version}, {JPEG_DECODER}, weights {weights}, recipe {recipe}, reading {reading}{tuned}")
    }
}

/// The features of an earlier run, or none; a damaged file costs time, no more.
fn known(path: &Path, key: &str, len: usize, progress: &dyn Progress) -> Features {
    match Features::load(path, key, len) {
        Ok(Some(features)) => features,
        Ok(None) => Features::new(key, len),
        Err(error) => {
            progress.warn(&format!("{error}; features are computed anew"));
            Features::new(key, len)
        }
    }
}
