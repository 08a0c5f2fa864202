//! The session that every task works with: an open adapter, the batch, limits on photos, and who watches; and the way to features.

use std::path::Path;

use resnet::{Recipe, WeightFile};

use crate::data::Photo;
use crate::error::Result;
use crate::features::{Engines, Extraction, Extractor, Features, Key, extract};
use crate::machine::device::Gpu;
use crate::photos::{Limits, Preparation, Reading};
use crate::progress::Progress;
use crate::run::{reading_of, recipe_of};
use crate::words::chain;

/// The adapter, batch, limits and progress that a task works with.
///
/// # Example
/// ```no_run
/// use trainer::{Session, machine::device, photos::Limits};
///
/// let gpu = pollster::block_on(device::open(&device::Selection::default()))?;
/// let session = Session { gpu, batch: 8, limits: Limits::default(), progress: &() };
/// # Ok::<(), trainer::Error>(())
/// ```
pub struct Session<'a> {
    /// The adapter.
    pub gpu: Gpu,
    /// Photos that pass through the backbone at once, at most.
    pub batch: usize,
    /// Bounds on photos.
    pub limits: Limits,
    /// The watcher of the work.
    pub progress: &'a dyn Progress,
}

/// The recipe and reading that take the place of the weights' own.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Resize, crop and normalisation.
    pub recipe: Option<Recipe>,
    /// Orientation and transparency.
    pub reading: Option<Reading>,
}

impl Overrides {
    /// Decides how photos are prepared for the weights that were read from `path`: as asked for, else as the weights say.
    pub(crate) fn or_of(&self, weights: &WeightFile, path: &Path) -> Result<(Recipe, Reading)> {
        let recipe = match &self.recipe {
            Some(recipe) => recipe.clone(),
            None => recipe_of(weights, path)?.0,
        };
        Ok((recipe, self.reading.map_or_else(|| reading_of(weights, path), Ok)?))
    }
}

/// A backbone as a task needs it: its weights, and how photos are prepared for it.
pub(crate) struct Pretrained<'a> {
    pub(crate) weights: &'a WeightFile,
    /// SHA-256 of the file that the weights came from, in hexadecimal digits.
    pub(crate) sha256: &'a str,
    pub(crate) recipe: &'a Recipe,
    pub(crate) reading: Reading,
}

/// Whether features are read from a file and kept in it.
#[derive(Clone, Copy)]
pub(crate) enum Keep<'a> {
    /// They are not kept.
    No,
    /// They are taken from this file where it has them, and not added to it.
    Read(&'a Path),
    /// They are taken from this file where it has them, and new ones are added to it.
    Add(&'a Path),
}

impl Session<'_> {
    /// Passes photos through a backbone, but for those whose features are known. New features are kept as `keep` says, also
    /// when the work ends with an error.
    pub(crate) fn features(
        &self,
        backbone: &Pretrained<'_>,
        photos: &[Photo],
        keep: Keep<'_>,
    ) -> Result<(Features, Extraction)> {
        let Pretrained { weights, sha256, recipe, reading } = *backbone;
        let preparation = Preparation { recipe: recipe.clone(), reading, limits: self.limits };
        let key = Key::new(sha256, self.gpu.precision, &preparation);
        let width = weights.architecture().features();
        let mut features = match keep {
            Keep::No => Features::new(width),
            Keep::Read(path) | Keep::Add(path) => self.known(path, &key, width),
        };
        let before = features.count();
        let engines = Engines::on(&self.gpu, weights, recipe.input_size);
        let mut extractor = Extractor::new(engines, self.batch.min(photos.len()));
        let extraction = extract(photos, &mut extractor, &mut features, &preparation, self.progress);
        let saved = match keep {
            Keep::Add(path) if features.count() > before => features.save(path, &key),
            _ => Ok(()),
        };
        match (extraction, saved) {
            (Ok(extraction), saved) => saved.map(|()| (features, extraction)),
            (Err(error), saved) => {
                // The first error is the cause; that features are lost besides is a pity.
                if let Err(lost) = saved {
                    self.progress.warn(&format!("features are not kept: {}", chain(&lost)));
                }
                Err(error)
            }
        }
    }

    /// Loads the features of an earlier run, or none; a damaged file costs time, no more.
    fn known(&self, path: &Path, key: &Key, width: usize) -> Features {
        match Features::load(path, key, width) {
            Ok(Some(features)) => features,
            Ok(None) => Features::new(width),
            Err(error) => {
                self.progress.warn(&format!("{}; features are computed anew", chain(&error)));
                Features::new(width)
            }
        }
    }
}
