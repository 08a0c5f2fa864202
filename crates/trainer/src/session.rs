//! What a task works with: an open device, how many photos at once, what is allowed of a photo, and who watches.

use std::path::Path;

use resnet::{Recipe, WeightFile};

use crate::data::{Photo, Rejected};
use crate::digest::Digest;
use crate::error::Result;
use crate::features::{Engines, Extraction, Extractor, Features, Key, Outcome, StoreOptions, Watch, extract_each};
use crate::machine::{Cpu, Device, Planned};
use crate::photos::{Limits, Preparation, Reading, View, Views};
use crate::progress::{Named, Progress};
use crate::run::{Run, reading_of, recipe_of};
use crate::words::chain;

/// What a task works with.
///
/// # Example
/// ```no_run
/// use trainer::{Session, machine, photos::Limits};
///
/// let device = pollster::block_on(machine::Device::open(machine::Wanted::Auto, &machine::Selection::default()))?;
/// let session = Session { limits: Limits { pixels: 1 << 24, ..Limits::default() }, ..Session::new(device) };
/// # Ok::<(), trainer::Error>(())
/// ```
pub struct Session<'a> {
    /// What computes.
    pub device: Device,
    /// The network that photos passed through last, where it is to stay for the next of them; none unless a program that lives long puts it there.
    pub planned: Option<Planned>,
    /// Photos that pass through the backbone at once, at most; `None` for what suits the device, see [`Device::batch`].
    pub batch: Option<usize>,
    /// Bounds on photos.
    pub limits: Limits,
    /// The store in which features are kept and found by all who name it; `None` to keep none.
    pub store: Option<StoreOptions>,
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
    pub(crate) recipe: &'a Recipe,
    pub(crate) reading: Reading,
    /// Which view of them it is shown.
    pub(crate) view: View,
    /// What it is called where several are at work; else empty.
    pub(crate) name: &'a str,
}

impl<'a> Pretrained<'a> {
    /// Takes a run's backbone, and its way with photos.
    pub(crate) fn of(run: &'a Run) -> Self {
        Self { weights: &run.weights, recipe: &run.recipe, reading: run.reading, view: View::default(), name: "" }
    }

    /// Lets it be shown another view.
    pub(crate) fn shown(&self, view: View) -> Self {
        Self { view, ..*self }
    }
}

/// What a backbone says of several views of photos.
pub(crate) struct Viewed {
    /// The features, view by view.
    pub(crate) features: Vec<Features>,
    /// Photo by photo the content, or why it can't be used: in one of the views is enough.
    pub(crate) outcomes: Vec<Result<Digest, Rejected>>,
    /// How many photos went through the network now, in the view of which these were most.
    pub(crate) computed: usize,
}

/// So many photos are shown in one view before the next is taken, where they are handed out as they come.
const SHOWN: usize = 2048;

impl Session<'static> {
    /// Works on this device, with the usual limits, keeps no features and tells nobody.
    pub fn new(device: impl Into<Device>) -> Self {
        let (device, limits) = (device.into(), Limits::default());
        Self { device, planned: None, batch: None, limits, store: None, progress: &() }
    }
}

impl Session<'_> {
    /// Works as this does, but by native code, where the device is the CPU under another name; none elsewhere. Results agree to rounding.
    pub(crate) fn on_the_cpu(&self) -> Result<Option<Session<'_>>> {
        let Self { ref store, limits, batch, progress, .. } = *self;
        let on = |cpu| {
            let (device, store) = (Device::Cpu(cpu), store.clone());
            Session { device, planned: None, batch, limits, store, progress }
        };
        self.device.is_software().then(|| Cpu::open().map(on)).transpose()
    }

    /// Tells how many photos of this size pass through the backbone at once, at most.
    pub(crate) fn batch(&self, input_size: [usize; 2]) -> usize {
        self.batch.unwrap_or_else(|| self.device.batch(input_size))
    }

    /// Passes photos through a backbone, but for those whose features the store holds. New features are kept there, also when the work
    /// ends with an error.
    pub(crate) fn features(&self, backbone: &Pretrained<'_>, photos: &[Photo]) -> Result<(Features, Extraction)> {
        let mut extraction = Extraction::default();
        let each = &mut |place, outcome: Outcome<'_>| extraction.add(place, &outcome);
        let most = self.most(backbone, photos);
        let (features, computed) = self.pass((backbone, None), photos, (|features| features, most), each)?;
        Ok((features, Extraction { computed, ..extraction }))
    }

    /// Tells whether anything is kept by keys: computing one takes as long as some photos.
    pub(crate) fn needs_key(&self) -> bool {
        self.store.is_some() || self.planned.is_some()
    }

    /// Passes photos through a backbone as [`features`](Self::features) does, and hands out each one's as they come, in the photos' order: memory
    /// doesn't grow with their number. A key that is known already isn't computed again. Counts those that went through the network.
    pub(crate) fn stream(
        &self,
        (backbone, key): (&Pretrained<'_>, Option<Key>),
        photos: &[Photo],
        each: &mut dyn FnMut(usize, Outcome<'_>) -> Result<()>,
    ) -> Result<usize> {
        let most = self.most(backbone, photos);
        self.pass((backbone, key), photos, (Features::passing, most), each).map(|(_, computed)| computed)
    }

    /// Hands out features as [`stream`](Self::stream) does, of a network that is planned for the same batch however many photos there are: a graphics card may divide long sums
    /// by it, and so the last bits of features depend on it.
    pub(crate) fn stream_evenly(
        &self,
        (backbone, key): (&Pretrained<'_>, Key),
        photos: &[Photo],
        each: &mut dyn FnMut(usize, Outcome<'_>) -> Result<()>,
    ) -> Result<usize> {
        let most = self.batch(backbone.recipe.input_size);
        self.pass((backbone, Some(key)), photos, (Features::passing, most), each).map(|(_, computed)| computed)
    }

    /// Tells how many of these photos pass through a backbone at once, at most.
    fn most(&self, backbone: &Pretrained<'_>, photos: &[Photo]) -> usize {
        let most = self.batch(backbone.recipe.input_size);
        // Who asked for a size gets it.
        let most = if self.batch.is_some() { most } else { most.min(early(photos.len())) };
        most.min(photos.len())
    }

    /// Passes photos through a backbone once for each view, but for those whose features the store holds under that view's key.
    pub(crate) fn views(&self, backbone: &Pretrained<'_>, views: &[View], photos: &[Photo]) -> Result<Viewed> {
        let mut viewed = Viewed { features: Vec::new(), outcomes: Vec::new(), computed: 0 };
        for &view in views {
            let outcomes = &mut viewed.outcomes;
            let each = &mut |place: usize, outcome: Outcome<'_>| {
                let outcome = match outcome {
                    Outcome::Known(digest, _) => Ok(digest),
                    Outcome::Rejected(rejected) => Err(rejected.clone()),
                };
                match outcomes.get_mut(place) {
                    None => outcomes.push(outcome),
                    Some(before) => match (&before, outcome) {
                        (Ok(content), Ok(now)) if *content != now => {
                            let (name, reason) =
                                (photos[place].name.clone(), "it changed while it was read".to_owned());
                            *before = Err(Rejected { name, reason });
                        }
                        (Ok(_), Err(rejected)) => *before = Err(rejected),
                        _ => {}
                    },
                }
                Ok(())
            };
            let names = [backbone.name.to_owned(), view.to_string()];
            let name = names.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>().join(", ");
            let named = Pretrained { name: &name, view, ..*backbone };
            let (features, computed) =
                self.pass((&named, None), photos, (|features| features, self.most(&named, photos)), each)?;
            viewed.features.push(features);
            viewed.computed = viewed.computed.max(computed);
        }
        Ok(viewed)
    }

    /// Passes photos through a backbone as [`stream`](Self::stream) does, once for each view, and hands out the mean of each photo's views. Some thousand photos
    /// are in memory at once.
    pub(crate) fn stream_views(
        &self,
        backbone: &Pretrained<'_>,
        views: Views,
        photos: &[Photo],
        each: &mut dyn FnMut(usize, Outcome<'_>) -> Result<()>,
    ) -> Result<()> {
        if views.is_plain() {
            return self.stream((backbone, None), photos, each).map(drop);
        }
        for (number, some) in photos.chunks(SHOWN).enumerate() {
            let viewed = self.views(backbone, &views.all(), some)?;
            let mean = Features::mean(&viewed.features);
            for (place, outcome) in viewed.outcomes.iter().enumerate() {
                let place = number * SHOWN + place;
                match outcome {
                    Ok(digest) => each(place, Outcome::Known(*digest, mean.rows([digest])?.row(0)))?,
                    Err(rejected) => each(place, Outcome::Rejected(rejected))?,
                }
            }
        }
        Ok(())
    }

    /// Passes photos through a backbone, `most` at once, and treats features in a `way`.
    fn pass(
        &self,
        (backbone, key): (&Pretrained<'_>, Option<Key>),
        photos: &[Photo],
        (way, most): (fn(Features) -> Features, usize),
        each: &mut dyn FnMut(usize, Outcome<'_>) -> Result<()>,
    ) -> Result<(Features, usize)> {
        let Pretrained { weights, recipe, name, .. } = *backbone;
        let preparation = self.preparation(backbone);
        let planned = self.planned.as_ref();
        let key = key.or_else(|| self.needs_key().then(|| self.key(backbone)));
        let mut features = way(self.known(weights, key.as_ref()));
        let engines = Engines::of(&self.device, weights, recipe.input_size);
        let kept = planned.zip(key.as_ref()).and_then(|(planned, key)| planned.take(key.digest(), most));
        let mut extractor = Extractor::new(engines, most).with(kept);
        let watch = Watch { progress: &Named { name, progress: self.progress }, each };
        let computed = extract_each(photos, &mut extractor, &mut features, &preparation, watch);
        if let (Ok(_), Some(planned), Some(key), Some(engine)) = (&computed, planned, &key, extractor.into_engine()) {
            planned.keep(*key.digest(), engine);
        }
        let kept = self.keep(&mut features);
        computed.map(|computed| (features, computed)).map_err(|error| error.keeping(kept))
    }

    /// Keeps what was computed, whatever became of the work, and puts the store in order; counts the photos whose features are kept. A store
    /// that fails decides nothing.
    fn keep(&self, features: &mut Features) -> usize {
        let mut kept = if self.store.is_some() { features.count() } else { 0 };
        if let Err(error) = features.keep() {
            self.progress.warn(&format!("the features of some photos are not kept: {}", chain(&error)));
            kept = 0;
        }
        features.settle().iter().for_each(|problem| self.progress.warn(problem));
        kept
    }

    /// Opens what the store knows of photos that passed through a backbone.
    pub(crate) fn recalled(&self, backbone: &Pretrained<'_>) -> Features {
        self.known(backbone.weights, Some(&self.key(backbone)))
    }

    /// Says what the features of a backbone depend on besides the photos.
    pub(crate) fn key(&self, backbone: &Pretrained<'_>) -> Key {
        Key::of(backbone.weights, self.device.precision(), &self.preparation(backbone))
    }

    /// Says how photos are prepared for a backbone.
    pub(crate) fn preparation(&self, backbone: &Pretrained<'_>) -> Preparation {
        let Pretrained { recipe, reading, view, .. } = *backbone;
        Preparation { recipe: recipe.clone(), reading, limits: self.limits, view }
    }

    /// Opens what the store knows under this key.
    fn known(&self, weights: &WeightFile, key: Option<&Key>) -> Features {
        let width = weights.architecture().features();
        let (Some(store), Some(key)) = (&self.store, key) else { return Features::new(width) };
        Features::kept_in(store, key, width).unwrap_or_else(|error| {
            self.progress.warn(&format!("features are not kept: {}", chain(&error)));
            Features::new(width)
        })
    }
}

/// Counts the photos of a batch with which the adapter starts early on a small set: a quarter of them, in whole eights, so that it works
/// while most are still decoded.
fn early(photos: usize) -> usize {
    photos.div_ceil(4).next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use resnet::Architecture;

    use super::*;
    use crate::machine::{Planned, gpu};
    use crate::untrained::random_weights;

    #[test]
    fn a_small_set_starts_early() {
        assert_eq!([1, 8, 32, 33, 100, 224, 225, 10_000].map(early), [8, 8, 8, 16, 32, 56, 64, 2504]);
    }

    #[test]
    fn a_network_that_stays_planned_says_the_same_and_serves_its_own_weights_alone() {
        let photo = |shade: u8| {
            let mut bytes = std::io::Cursor::new(Vec::new());
            let picture = image::RgbImage::from_fn(40, 40, |x, y| image::Rgb([shade, x as u8, 3 * y as u8]));
            picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
            Photo::in_memory("a photo", bytes.into_inner())
        };
        let weights = |seed| {
            let architecture = Architecture::basic([1; 4], [4, 4, 8, 8], None);
            WeightFile::from_bytes(random_weights(&architecture, seed)).unwrap()
        };
        let (weights, others) = (weights(1), weights(2));
        let recipe = Recipe { input_size: [32, 32], ..Recipe::default() };
        let reading = Reading::default();
        let mut session = Session::new(pollster::block_on(gpu::open(&Default::default())).unwrap());
        let features = |session: &Session<'_>, weights: &WeightFile, photos: &[Photo]| {
            let backbone = Pretrained { weights, recipe: &recipe, reading, view: View::default(), name: "" };
            session.features(&backbone, photos).unwrap().0
        };
        let expected = features(&session, &weights, &[photo(9)]);
        let of_others = features(&session, &others, &[photo(9)]);
        assert_ne!(expected, of_others);
        session.planned = Some(Planned::default());
        features(&session, &weights, &[photo(200), photo(100)]);
        assert_eq!(features(&session, &weights, &[photo(9)]), expected);
        assert_eq!(features(&session, &others, &[photo(9)]), of_others);
        assert_eq!(features(&session, &weights, &[photo(9)]), expected);
        // It stays, for as many photos as it has room for.
        let key = Key::of(
            &weights,
            session.device.precision(),
            &Preparation { recipe: recipe.clone(), reading, ..Preparation::default() },
        );
        let planned = session.planned.as_ref().unwrap();
        let engine = planned.take(key.digest(), 1).unwrap();
        assert!(planned.take(key.digest(), 1).is_none());
        let batch = engine.batch();
        planned.keep(*key.digest(), engine);
        assert!(planned.take(key.digest(), batch + 1).is_none());
    }
}
