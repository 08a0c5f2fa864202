//! What a task works with: an open adapter, how many photos at once, what is allowed of a photo, and who watches.

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

/// What a task works with.
///
/// # Example
/// ```no_run
/// use trainer::{Session, machine, photos::Limits};
///
/// let gpu = pollster::block_on(machine::open(&machine::Selection::default()))?;
/// let session = Session { gpu, batch: None, limits: Limits::default(), progress: &() };
/// # Ok::<(), trainer::Error>(())
/// ```
pub struct Session<'a> {
    /// The adapter.
    pub gpu: Gpu,
    /// Photos that pass through the backbone at once, at most; `None` for what suits the adapter, see [`Gpu::batch`].
    pub batch: Option<usize>,
    /// Bounds on photos.
    pub limits: Limits,
    /// Who watches.
    pub progress: &'a dyn Progress,
}

/// What takes the place of the weights' own way with photos.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Resize, crop and normalisation.
    pub recipe: Option<Recipe>,
    /// Orientation and transparency.
    pub reading: Option<Reading>,
}

impl Overrides {
    /// How photos are prepared for the weights that were read from `path`: as asked for, else as the weights say.
    pub(crate) fn or_of(&self, weights: &WeightFile, path: &Path) -> Result<(Recipe, Reading)> {
        let recipe = match &self.recipe {
            Some(recipe) => Recipe::check_beside(path).map(|()| recipe.clone())?,
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

/// Where features are kept beyond the work at hand.
#[derive(Clone, Copy)]
pub(crate) enum Keep<'a> {
    /// Nowhere.
    No,
    /// They are taken from this file, where it has them.
    Read(&'a Path),
    /// And new ones are added to it.
    Add(&'a Path),
}

impl Session<'_> {
    /// Tells how many photos of this size pass through the backbone at once, at most.
    pub(crate) fn batch(&self, input_size: [usize; 2]) -> usize {
        self.batch.unwrap_or_else(|| self.gpu.batch(input_size))
    }

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
            Keep::Read(path) | Keep::Add(path) => known(path, &key, width, self.progress),
        };
        let before = features.count();
        let engines = Engines::on(&self.gpu, weights, recipe.input_size);
        let most = self.batch(recipe.input_size);
        // Who asked for a size gets it.
        let most = if self.batch.is_some() { most } else { most.min(early(photos.len())) };
        let mut extractor = Extractor::new(engines, most.min(photos.len()));
        let extraction = extract(photos, &mut extractor, &mut features, &preparation, self.progress);
        let saved = match keep {
            Keep::Add(path) if features.count() > before => features.save(path, &key),
            _ => Ok(()),
        };
        let kept = if saved.is_ok() && matches!(keep, Keep::Add(_)) { features.count() - before } else { 0 };
        let extraction = extraction.map_err(|error| error.keeping(kept));
        Ok((features, settle(extraction, saved, self.progress)?))
    }
}

/// Counts the photos of a batch with which the adapter starts early on a small set: a quarter of them, in whole eights, so that it works
/// while most are still decoded.
fn early(photos: usize) -> usize {
    photos.div_ceil(4).next_multiple_of(8)
}

/// Joins what came of some work and of saving its features thereafter. The first error is the cause; that features are lost besides is told.
fn settle<T>(work: Result<T>, saved: Result<()>, progress: &dyn Progress) -> Result<T> {
    match (work, saved) {
        (Err(error), Err(lost)) => {
            progress.warn(&format!("the features computed until now are lost: {}", chain(&lost)));
            Err(error)
        }
        (work, saved) => work.and_then(|work| saved.map(|()| work)),
    }
}

/// Loads the features of an earlier run, or none; a damaged file costs time, no more.
fn known(path: &Path, key: &Key, width: usize, progress: &dyn Progress) -> Features {
    match Features::load(path, key, width) {
        Ok(Some(features)) => features,
        Ok(None) => Features::new(width),
        Err(error) => {
            progress.warn(&format!("{}; features are computed anew", chain(&error)));
            Features::new(width)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::Error;
    use crate::progress::Warnings;

    #[test]
    fn a_small_set_starts_early() {
        assert_eq!([1, 8, 32, 33, 100, 224, 225, 10_000].map(early), [8, 8, 8, 16, 32, 56, 64, 2504]);
    }

    #[test]
    fn a_failing_save_hides_no_other_error() {
        let warnings = Warnings::default();
        let full = || Error::io("write", Path::new("features"))(io::Error::other("the disk is full"));
        let device = || Error::Device("it fell off the bus".to_owned());
        let both = settle::<()>(Err(device()), Err(full()), &warnings).unwrap_err();
        assert_eq!(both.to_string(), "device: it fell off the bus");
        assert_eq!(
            warnings.take(),
            ["the features computed until now are lost: can't write features: the disk is full"]
        );
        assert_eq!(settle::<()>(Err(device()), Ok(()), &warnings).unwrap_err().to_string(), both.to_string());
        assert!(matches!(settle(Ok(3), Err(full()), &warnings), Err(Error::Io { .. })));
        assert_eq!(settle(Ok(3), Ok(()), &warnings).unwrap(), 3);
        assert!(warnings.take().is_empty());
    }

    #[test]
    fn a_warning_comes_with_its_cause() {
        let (folder, warnings) = (tempfile::tempdir().unwrap(), Warnings::default());
        let key = Key::new("ab", Default::default(), &Preparation::default());
        assert_eq!(known(&folder.path().join("none"), &key, 3, &warnings).count(), 0);
        assert!(warnings.take().is_empty());
        // A folder can be opened, and not be read.
        assert_eq!(known(folder.path(), &key, 3, &warnings).count(), 0);
        let told = warnings.take();
        let beginning = format!("can't read {}: ", folder.path().display());
        assert!(told[0].starts_with(&beginning) && told[0].ends_with("; features are computed anew"), "{told:?}");
        assert!(told[0].len() > beginning.len() + "; features are computed anew".len(), "{told:?}");
    }
}
