//! Computes the features of photos: photos are read, decoded and prepared on all cores while the device works on a batch, and the next
//! batch is handed to it before that one is done.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use resnet::ImageBytes;
use sha2::{Digest as _, Sha256};

use crate::data::{Photo, ReadFile, Rejected, Source};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::features::extractor::{Extractor, Flight};
use crate::features::lookup::Stamp;
use crate::features::memory::{Features, OnDisk};
use crate::features::ordered::{Crew, ordered};
use crate::photos::{Decoder, Failure, Preparation, decode_by, decode_into, read};
use crate::progress::{Progress, Stage};
use crate::words::chain;

/// How many photos wait at most for one before them whose features are still to come.
const QUEUE: usize = 1024;

/// What became of a photo.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<'a> {
    /// Its content, and its features.
    Known(Digest, &'a [f32]),
    /// It can't be used.
    Rejected(&'a Rejected),
}

/// Who watches an extraction, and takes what comes of each photo.
pub struct Watch<'a> {
    /// Who watches.
    pub progress: &'a dyn Progress,
    /// Takes each photo's outcome, with its place among the photos, in their order. An error ends the work.
    pub each: &'a mut dyn FnMut(usize, Outcome<'_>) -> Result<()>,
}

/// The outcome of an extraction: which photos have features now, and which were rejected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extraction {
    /// Photos whose features are known now: place among the photos given, and content. In their order.
    pub kept: Vec<(usize, Digest)>,
    /// The photos that can't be read, with the reason, in their order.
    pub rejected: Vec<Rejected>,
    /// How many went through the network; the others were known, or copies of one that went.
    pub computed: usize,
}

impl Extraction {
    /// Lists the contents of the photos whose features are known, in their order.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.kept.iter().map(|(_, digest)| digest)
    }
}

/// Computes the features of every photo that can be read and that `features` lacks.
///
/// Photos are taken in order and batches made of them in order, so the same photos give the same numbers. What was computed before an
/// error or an interruption stays in `features`, also that of the batches on their way.
///
/// # Memory
/// Besides the features no more than `3 · batch + 2 · threads` prepared photos exist, used again and again, and a decoded photo a thread,
/// however many photos there are; where adapters share the work, up to five batches more for each.
///
/// # Errors
/// The recipe can't be followed; the device failed; features came out NaN or infinite; the watcher asked to stop; the machine failed where
/// a photo was read, which says nothing about the photo: too many open files, too little memory, no thread.
///
/// # Example
/// ```no_run
/// # fn main() -> trainer::Result<()> {
/// use trainer::data::Dataset;
/// use trainer::features::{Engines, Extractor, Features, extract};
/// use trainer::photos::Preparation;
///
/// let dataset = Dataset::open("photos")?;
/// let weights = resnet::WeightFile::open("resnet18.safetensors")?;
/// let gpu = pollster::block_on(trainer::machine::open(&Default::default()))?;
/// let preparation = Preparation::default();
/// let mut extractor = Extractor::new(Engines::on(&gpu, &weights, preparation.recipe.input_size), 8);
/// let mut features = Features::new(weights.architecture().features());
/// let extraction = extract(&dataset.photos, &mut extractor, &mut features, &preparation, &())?;
/// let rows = features.rows(extraction.digests())?;
/// assert_eq!(rows.len(), extraction.kept.len());
/// # Ok(()) }
/// ```
pub fn extract(
    photos: &[Photo],
    extractor: &mut Extractor,
    features: &mut Features,
    preparation: &Preparation,
    progress: &dyn Progress,
) -> Result<Extraction> {
    let mut extraction = Extraction::default();
    let each = &mut |place, outcome: Outcome<'_>| extraction.add(place, &outcome);
    let computed = extract_each(photos, extractor, features, preparation, Watch { progress, each })?;
    Ok(Extraction { computed, ..extraction })
}

/// Computes features as [`extract`] does and hands out each photo's as they come, in the order of the photos; counts those that went through the
/// network.
///
/// Where features only pass through ([`Features::passing`]), memory doesn't grow with the number of photos; a copy of a photo long gone is
/// found in the store, or else computed again.
///
/// # Errors
/// As [`extract`]; that of `watch.each`.
pub fn extract_each(
    photos: &[Photo],
    extractor: &mut Extractor,
    features: &mut Features,
    preparation: &Preparation,
    watch: Watch<'_>,
) -> Result<usize> {
    preparation.recipe.check()?;
    extract_by(&Way { read, decoder: decode_into, preparation }, photos, extractor, features, watch)
}

impl Extraction {
    /// Adds what became of a photo.
    pub(crate) fn add(&mut self, place: usize, outcome: &Outcome<'_>) -> Result<()> {
        match outcome {
            Outcome::Known(digest, _) => self.kept.push((place, *digest)),
            Outcome::Rejected(rejected) => self.rejected.push((*rejected).clone()),
        }
        Ok(())
    }
}

/// How a photo's content becomes what a network takes.
struct Way<'a> {
    read: ReadFile,
    decoder: Decoder,
    preparation: &'a Preparation,
}

fn extract_by(
    source: &Way,
    photos: &[Photo],
    extractor: &mut Extractor,
    features: &mut Features,
    watch: Watch<'_>,
) -> Result<usize> {
    let known: HashSet<Digest> = features.digests().copied().collect();
    let shelf = features.shelf();
    let threads = rayon::current_num_threads();
    // A whole batch besides what is in the making, so that no thread rests while the device works on one.
    let crew = Crew { threads, ahead: extractor.batch() + threads, builder: Builder::new };
    let spares = Spares::default();
    let progress = watch.progress;
    progress.begin(Stage::FEATURES, photos.len());
    let (waiting, flying, queue) = Default::default();
    let mut batches = Batches { extractor, features, watch, spares: &spares, waiting, flying, queue, computed: 0 };
    let worker = || {
        let mut loader = Loader { source, known: &known, shelf: shelf.as_ref(), spares: &spares, memory: Vec::new() };
        move |photo: &Photo| loader.load(photo)
    };
    let mut place = 0;
    let outcome = ordered(photos, crew, worker, |loaded| {
        if progress.cancelled() {
            return Err(Error::Interrupted { kept: 0 });
        }
        batches.take(place, loaded)?;
        place += 1;
        batches.hand_out()
    });
    let outcome = outcome.and_then(|()| match progress.cancelled() {
        true => Err(Error::Interrupted { kept: 0 }),
        false => batches.submit(),
    });
    // Whatever happened: what is on its way has been paid for.
    let landed = batches.land(0);
    let outcome = outcome.and(landed).and_then(|()| batches.hand_out());
    progress.end();
    outcome.map(|()| batches.computed)
}

/// Prepared photos whose memory is free.
#[derive(Default)]
struct Spares(Mutex<Vec<ImageBytes>>);

impl Spares {
    /// Takes a free one, or makes an empty one.
    fn take(&self) -> ImageBytes {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give(&self, images: impl IntoIterator<Item = ImageBytes>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(images);
    }
}

/// Batches between prepared photos and rows: as many are on their way as keep the device at work, while the next is made.
struct Batches<'a, 'e, 'w> {
    extractor: &'a mut Extractor<'e>,
    features: &'a mut Features,
    watch: Watch<'w>,
    spares: &'a Spares,
    waiting: Vec<(Digest, ImageBytes)>,
    flying: VecDeque<(Vec<Digest>, Flight)>,
    /// The photos that weren't handed out, by their places: the content, or why it can't be used.
    queue: VecDeque<(usize, Result<Digest, Rejected>)>,
    computed: usize,
}

impl Batches<'_, '_, '_> {
    /// Takes the next photo.
    fn take(&mut self, place: usize, loaded: Loaded) -> Result<()> {
        let outcome = match loaded {
            Loaded::Failed(error) => return Err(error),
            Loaded::Rejected(rejected) => Err(rejected),
            Loaded::Known(digest, row) => {
                if let Some(row) = row {
                    self.features.take(digest, row);
                }
                Ok(digest)
            }
            Loaded::Ready(digest, image) => {
                if self.features.row(&digest).is_none() && !self.is_under_way(&digest) {
                    self.waiting.push((digest, image));
                    self.queue.push_back((place, Ok(digest)));
                    let full = self.waiting.len() >= self.extractor.batch();
                    return if full { self.submit() } else { Ok(()) };
                }
                self.spares.give([image]);
                Ok(digest)
            }
        };
        self.watch.progress.advance(1);
        self.queue.push_back((place, outcome));
        // What is known doesn't wait for ever for a batch that isn't full.
        if self.queue.len() >= QUEUE { self.submit().and_then(|()| self.land(0)) } else { Ok(()) }
    }

    /// Tells whether a photo waits for the network, or is on its way.
    fn is_under_way(&self, digest: &Digest) -> bool {
        let flying = self.flying.iter().flat_map(|(digests, _)| digests);
        self.waiting.iter().map(|(digest, _)| digest).chain(flying).any(|other| other == digest)
    }

    /// Hands out the photos of which all is known, as far as none before them is missing.
    fn hand_out(&mut self) -> Result<()> {
        while let Some((place, outcome)) = self.queue.front() {
            let outcome = match outcome {
                Ok(digest) => match self.features.row(digest) {
                    Some(row) => Outcome::Known(*digest, row),
                    None => break,
                },
                Err(rejected) => Outcome::Rejected(rejected),
            };
            (self.watch.each)(*place, outcome)?;
            self.queue.pop_front();
        }
        self.features.forget(self.queue.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()));
        Ok(())
    }

    /// Sends what waits on its way, and only then collects what came before, so that the device always has a batch to work on.
    fn submit(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (digests, images) = self.waiting.drain(..).unzip();
        let flight = self.extractor.submit(images, self.watch.progress)?;
        self.flying.push_back((digests, flight));
        self.land(self.extractor.flights() - 1)
    }

    /// Waits until no more than `left` batches are on their way, and keeps what comes. What follows one that fails is collected too.
    fn land(&mut self, left: usize) -> Result<()> {
        let mut outcome = Ok(());
        while self.flying.len() > left {
            let landed = self.flying.pop_front().map_or(Ok(()), |flight| self.collect(flight));
            outcome = outcome.and(landed);
        }
        outcome
    }

    /// Waits for a batch and keeps what comes of it.
    fn collect(&mut self, (digests, flight): (Vec<Digest>, Flight)) -> Result<()> {
        let (values, images) = self.extractor.wait(flight, self.watch.progress)?;
        self.spares.give(images);
        self.features.insert(&digests, &values)?;
        if let Err(error) = self.features.keep_as_it_goes() {
            self.watch.progress.warn(&format!("features aren't kept yet: {}", chain(&error)));
        }
        self.computed += digests.len();
        self.watch.progress.advance(digests.len());
        Ok(())
    }
}

/// The result of loading a photo.
enum Loaded {
    /// What is known of it, unless it's in memory.
    Known(Digest, Option<Box<[f32]>>),
    Ready(Digest, ImageBytes),
    Rejected(Rejected),
    /// The machine failed.
    Failed(Error),
}

/// The state with which a thread loads photos.
struct Loader<'a> {
    source: &'a Way<'a>,
    known: &'a HashSet<Digest>,
    shelf: Option<&'a OnDisk>,
    spares: &'a Spares,
    /// The pixels of the photo before, for their memory.
    memory: Vec<u8>,
}

/// The largest picture, in bytes, whose memory a thread keeps for the next one: 16 million pixels.
const KEPT: usize = 48 << 20;

impl Loader<'_> {
    fn load(&mut self, photo: &Photo) -> Loaded {
        self.prepared(photo).unwrap_or_else(|failure| match failure {
            Failure::Photo(reason) => Loaded::Rejected(Rejected { name: photo.name.clone(), reason }),
            Failure::Machine(error) => Loaded::Failed(error),
        })
    }

    /// Tells what a photo's file is taken for unchanged by, where that is asked for.
    fn stamp(&self, photo: &Photo) -> Option<Stamp> {
        let of_file = self.shelf.is_some() && photo.source == Source::File;
        of_file.then(|| photo.path.metadata().ok().and_then(|data| Stamp::of(&data))).flatten()
    }

    /// Finds what is known of a content.
    fn find(&self, digest: Digest) -> Option<Loaded> {
        if self.known.contains(&digest) {
            return Some(Loaded::Known(digest, None));
        }
        self.shelf?.store.get(&digest).map(|row| Loaded::Known(digest, Some(row)))
    }

    fn prepared(&mut self, photo: &Photo) -> Result<Loaded, Failure> {
        let Way { read, decoder, preparation } = self.source;
        let Preparation { reading, limits, .. } = preparation;
        let before = self.stamp(photo);
        let settled = before.as_ref().filter(|stamp| limits.check_bytes(stamp.size()).is_ok());
        if let (Some(shelf), Some(stamp)) = (self.shelf, settled)
            && let Some(known) = shelf.lookup.get(&photo.path, stamp).and_then(|digest| self.find(digest))
        {
            return Ok(known);
        }
        let bytes = photo.source.read_by(*read, &photo.path, limits)?;
        let digest = Sha256::digest(&bytes).into();
        if let (Some(shelf), Some(stamp)) = (self.shelf, before)
            && self.stamp(photo) == before
        {
            shelf.lookup.note(&photo.path, stamp, digest);
        }
        if let Some(known) = self.find(digest) {
            return Ok(known);
        }
        let (picture, _share) = decode_by(*decoder, bytes, reading, limits, std::mem::take(&mut self.memory))?;
        let image = preparation.image(&picture, self.spares.take());
        if picture.rgb.capacity() <= KEPT {
            self.memory = picture.rgb;
        }
        image.map(|image| Loaded::Ready(digest, image)).map_err(|error| Failure::Photo(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use kernels::Precision;

    use super::*;
    use crate::features::engines::Engines;
    use crate::features::fake::{colours, engines, preparation};
    use crate::features::key::Key;
    use crate::features::upkeep::StoreOptions;
    use crate::photos::Limits;

    /// Counts the images and the batches that engines are given.
    #[derive(Clone, Default)]
    struct Counts(Arc<[AtomicUsize; 2]>);

    impl Counts {
        fn engines(&self) -> Engines<'static> {
            self.failing_at(usize::MAX)
        }

        /// Engines of which one fails, at the batch of this number from 1.
        fn failing_at(&self, batch: usize) -> Engines<'static> {
            let Self(counts) = self.clone();
            engines(move |images| {
                counts[0].fetch_add(images.len(), Ordering::SeqCst);
                match counts[1].fetch_add(1, Ordering::SeqCst) + 1 == batch {
                    true => Err(resnet::Error::Options("as planned".into())),
                    false => Ok(colours(images)),
                }
            })
        }

        fn get(&self) -> [usize; 2] {
            self.0.each_ref().map(|count| count.load(Ordering::SeqCst))
        }
    }

    /// Features of `photos`, four at once.
    fn run(photos: &[Photo], engines: Engines, features: &mut Features, progress: &dyn Progress) -> Result<Extraction> {
        extract(photos, &mut Extractor::new(engines, 4), features, &preparation(), progress)
    }

    /// Photos of one colour each, which is their number.
    fn folder(count: usize) -> (tempfile::TempDir, Vec<Photo>) {
        let dir = tempfile::tempdir().unwrap();
        let photos = (0..count)
            .map(|number| {
                let path = dir.path().join(format!("{number:03}.png"));
                let pixel = image::Rgb([number as u8; 3]);
                image::RgbImage::from_pixel(2 + number as u32, 3, pixel).save(&path).unwrap();
                Photo { name: format!("{number:03}.png"), ..Photo::at(&path) }
            })
            .collect();
        (dir, photos)
    }

    /// Reads the colours of photos off their features.
    fn seen(features: &Features, extraction: &Extraction) -> Vec<f32> {
        let rows = features.rows(extraction.digests()).unwrap();
        rows.iter().map(|row| (row[0] * 255.0).round()).collect()
    }

    #[test]
    fn each_photo_goes_through_once_in_order_and_the_rest_is_named() {
        let (_dir, mut photos) = folder(11);
        std::fs::write(&photos[3].path, "no photo").unwrap();
        std::fs::copy(&photos[0].path, &photos[7].path).unwrap();
        std::fs::remove_file(&photos[9].path).unwrap();
        image::RgbImage::new(50, 50).save(&photos[10].path).unwrap();
        photos.swap(1, 2);
        let counts = Counts::default();
        let mut features = Features::new(3);
        let limits = Limits { pixels: 100, ..Limits::default() };
        let preparation = Preparation { limits, ..preparation() };
        let mut extractor = Extractor::new(counts.engines(), 4);
        let result = extract(&photos, &mut extractor, &mut features, &preparation, &()).unwrap();
        let kept: Vec<usize> = result.kept.iter().map(|&(place, _)| place).collect();
        assert_eq!(kept, [0, 1, 2, 4, 5, 6, 7, 8]);
        let rejected: Vec<&str> = result.rejected.iter().map(|photo| photo.name.as_str()).collect();
        assert_eq!(rejected, ["003.png", "009.png", "010.png"]);
        assert!(result.rejected[2].reason.contains("more than the limit of 100"), "{:?}", result.rejected);
        assert_eq!((result.computed, counts.get()), (7, [7, 2]));
        assert_eq!(seen(&features, &result), [0.0, 2.0, 1.0, 4.0, 5.0, 6.0, 0.0, 8.0]);
    }

    #[test]
    fn a_photo_in_memory_is_the_photo_of_its_file() {
        let (_dir, photos) = folder(5);
        let in_memory: Vec<Photo> =
            photos.iter().map(|photo| Photo::in_memory(&photo.name, std::fs::read(&photo.path).unwrap())).collect();
        let features = |photos: &[Photo]| {
            let mut features = Features::new(3);
            let result = run(photos, Counts::default().engines(), &mut features, &()).unwrap();
            (seen(&features, &result), result)
        };
        assert_eq!(features(&in_memory), features(&photos));
        let preparation = Preparation { limits: Limits { bytes: 9, ..Limits::default() }, ..preparation() };
        let mut extractor = Extractor::new(Counts::default().engines(), 4);
        let result = extract(&in_memory, &mut extractor, &mut Features::new(3), &preparation, &()).unwrap();
        assert!(result.rejected.len() == 5 && result.rejected[0].reason.contains("more than the limit of 9"));
    }

    #[test]
    fn a_second_run_computes_only_what_changed() {
        let (dir, photos) = folder(9);
        let key = Key::new("", Precision::F32, &preparation());
        let kept = || Features::kept_in(&StoreOptions::at(dir.path().join("store")), &key, 3).unwrap();
        let mut features = kept();
        run(&photos, Counts::default().engines(), &mut features, &()).unwrap();
        features.keep().unwrap();
        image::RgbImage::from_pixel(50, 50, image::Rgb([99; 3])).save(&photos[5].path).unwrap();
        let mut again = kept();
        let counts = Counts::default();
        let result = run(&photos, counts.engines(), &mut again, &()).unwrap();
        assert_eq!((result.computed, counts.get()), (1, [1, 1]));
        assert_eq!(seen(&again, &result), [0.0, 1.0, 2.0, 3.0, 4.0, 99.0, 6.0, 7.0, 8.0]);
    }

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let (dir, photos) = folder(9);
        // Younger files aren't trusted.
        std::thread::sleep(std::time::Duration::from_millis(2_100));
        let key = Key::new("", Precision::F32, &preparation());
        let store = StoreOptions::at(dir.path().join("store"));
        let run = |store: &StoreOptions, read: fn(&Path, &Limits) -> Result<Vec<u8>, Failure>| {
            let mut features = Features::kept_in(store, &key, 3).unwrap();
            let preparation = preparation();
            let source = Way { read, decoder: decode_into, preparation: &preparation };
            let mut extractor = Extractor::new(Counts::default().engines(), 4);
            let mut result = Extraction::default();
            let each = &mut |place, outcome: Outcome<'_>| result.add(place, &outcome);
            let watch = Watch { progress: &(), each };
            let computed = extract_by(&source, &photos, &mut extractor, &mut features, watch);
            features.keep().unwrap();
            assert!(features.settle().is_empty());
            computed.map(|computed| (computed, seen(&features, &result)))
        };
        let fails: fn(&Path, &Limits) -> Result<Vec<u8>, Failure> =
            |path, _| Err(Failure::Machine(Error::io("read", path)(std::io::Error::other("read again"))));
        let expected: Vec<f32> = (0..9).map(|number| number as f32).collect();
        assert_eq!(run(&store, read).unwrap(), (9, expected.clone()));
        assert_eq!(run(&store, fails).unwrap(), (0, expected));
        // Who doesn't trust dates reads it all.
        let rehash = StoreOptions { rehash: true, ..store.clone() };
        assert!(run(&rehash, fails).unwrap_err().to_string().ends_with("000.png"));
        // The same size and the same date: another content has another date as an entry, where the system tells it.
        let path = &photos[5].path;
        let data = path.metadata().unwrap();
        let mut bytes = std::fs::read(path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(path, bytes).unwrap();
        std::fs::File::options().write(true).open(path).unwrap().set_modified(data.modified().unwrap()).unwrap();
        if cfg!(unix) {
            assert!(run(&store, fails).unwrap_err().to_string().ends_with("005.png"));
        }
    }

    #[test]
    fn what_passes_through_comes_in_order_and_leaves_memory() {
        let (dir, mut photos) = folder(60);
        std::fs::write(&photos[3].path, "no photo").unwrap();
        // Copies: of one on its way, and of one long gone.
        photos.insert(8, photos[6].clone());
        photos.push(photos[0].clone());
        let key = Key::new("", Precision::F32, &preparation());
        for store in [None, Some(StoreOptions::at(dir.path().join("store")))] {
            for again in [false, true] {
                let known = |store| Features::kept_in(store, &key, 3).unwrap();
                let mut features = store.as_ref().map_or_else(|| Features::new(3), known).passing();
                let mut came = Vec::new();
                let each = &mut |place, outcome: Outcome<'_>| {
                    came.push((
                        place,
                        match outcome {
                            Outcome::Known(_, row) => Some((row[0] * 255.0).round() as usize),
                            Outcome::Rejected(_) => None,
                        },
                    ));
                    Ok(())
                };
                let mut extractor = Extractor::new(Counts::default().engines(), 4);
                let watch = Watch { progress: &(), each };
                let computed = extract_each(&photos, &mut extractor, &mut features, &preparation(), watch).unwrap();
                features.keep().unwrap();
                let number = |photo: &Photo| photo.name[..3].parse::<usize>().unwrap();
                let expected = photos.iter().map(number).map(|number| (number != 3).then_some(number)).enumerate();
                assert_eq!(came, expected.collect::<Vec<_>>());
                assert_eq!(computed, if store.is_some() && again { 0 } else { 59 });
            }
        }
    }

    #[test]
    fn who_takes_them_may_end_it() {
        let (_dir, photos) = folder(60);
        let each = &mut |place, _: Outcome<'_>| match place {
            20 => Err(Error::io("write", Path::new("out"))(std::io::Error::other("no space"))),
            _ => Ok(()),
        };
        let mut extractor = Extractor::new(Counts::default().engines(), 4);
        let mut features = Features::new(3).passing();
        let watch = Watch { progress: &(), each };
        let error = extract_each(&photos, &mut extractor, &mut features, &preparation(), watch).unwrap_err();
        assert_eq!(error.to_string(), "can't write out");
    }

    #[test]
    fn nothing_is_planned_where_all_is_known() {
        let (_dir, photos) = folder(9);
        let mut features = Features::new(3);
        run(&photos, Counts::default().engines(), &mut features, &()).unwrap();
        let never = Engines::new(|_| panic!("planned for nothing"));
        assert_eq!(run(&photos, never, &mut features, &()).unwrap().computed, 0);
    }

    #[test]
    fn interruption_keeps_what_is_done() {
        struct StopAfter(AtomicUsize, AtomicBool);
        impl Progress for StopAfter {
            fn advance(&self, steps: usize) {
                self.1.store(self.0.fetch_add(steps, Ordering::Relaxed) + steps >= 8, Ordering::Relaxed);
            }
            fn cancelled(&self) -> bool {
                self.1.load(Ordering::Relaxed)
            }
        }
        let (_dir, photos) = folder(60);
        let mut features = Features::new(3);
        let watcher = StopAfter(AtomicUsize::new(0), AtomicBool::new(false));
        let error = run(&photos, Counts::default().engines(), &mut features, &watcher).unwrap_err();
        assert!(matches!(error, Error::Interrupted { .. }));
        assert!((8..60).contains(&features.count()), "{}", features.count());
    }

    #[test]
    fn a_decoder_that_panics_or_hangs_costs_its_photo_only() {
        let (_dir, photos) = folder(9);
        // Told apart by their width, 2 and up.
        let decoder: Decoder =
            |bytes, reading, limits, memory, room| match decode_into(bytes, reading, limits, Vec::new(), room)?.width {
                4 => std::panic::resume_unwind(Box::new("as planned")),
                7 => loop {
                    std::thread::sleep(std::time::Duration::from_secs(1));
                },
                _ => decode_into(bytes, reading, limits, memory, &mut |_| Ok(())),
            };
        // Long enough for the others on a machine that has much else to do.
        let limits = Limits { time: std::time::Duration::from_secs(2), ..Limits::default() };
        let source = Way { read, decoder, preparation: &Preparation { limits, ..preparation() } };
        let mut features = Features::new(3);
        let mut extractor = Extractor::new(Counts::default().engines(), 4);
        let mut result = Extraction::default();
        let each = &mut |place, outcome: Outcome<'_>| result.add(place, &outcome);
        extract_by(&source, &photos, &mut extractor, &mut features, Watch { progress: &(), each }).unwrap();
        assert_eq!(seen(&features, &result), [0.0, 1.0, 3.0, 4.0, 6.0, 7.0, 8.0]);
        let rejected: Vec<_> =
            result.rejected.iter().map(|photo| (photo.name.as_str(), photo.reason.as_str())).collect();
        let reasons = ["the decoder failed on it: a damaged file", "not decoded within the limit of 2 seconds"];
        assert_eq!(rejected, [("002.png", reasons[0]), ("005.png", reasons[1])]);
    }

    #[test]
    fn a_machine_that_fails_ends_it_and_blames_no_photo() {
        let (_dir, photos) = folder(30);
        let fails: fn(&Path, &Limits) -> Result<Vec<u8>, Failure> = |path, limits| match path.ends_with("020.png") {
            true => Err(Failure::Machine(Error::io("read", path)(std::io::Error::other("too many open files")))),
            false => read(path, limits),
        };
        let preparation = preparation();
        let source = Way { read: fails, decoder: decode_into, preparation: &preparation };
        let mut features = Features::new(3);
        let mut extractor = Extractor::new(Counts::default().engines(), 4);
        let watch = Watch { progress: &(), each: &mut |_, _| Ok(()) };
        let error = extract_by(&source, &photos, &mut extractor, &mut features, watch).unwrap_err();
        assert_eq!(error.fault(), crate::Fault::Io);
        assert!(error.to_string().ends_with("020.png"), "{error}");
        // Five batches were on their way or done.
        assert_eq!(features.count(), 20);
    }

    #[test]
    fn what_was_on_its_way_is_kept_when_the_device_fails() {
        let (_dir, photos) = folder(30);
        let mut features = Features::new(3);
        let error = run(&photos, Counts::default().failing_at(4), &mut features, &()).unwrap_err();
        assert!(error.to_string().ends_with("as planned"), "{error}");
        // Three batches of four, the third of which nobody had waited for.
        assert_eq!(features.count(), 12);
    }

    #[test]
    fn numbers_do_not_depend_on_what_is_known() {
        let (_dir, mut photos) = folder(40);
        std::fs::write(&photos[3].path, "no photo").unwrap();
        std::fs::copy(&photos[1].path, &photos[20].path).unwrap();
        let run = |photos: &[Photo], features: &mut Features| {
            run(photos, Counts::default().engines(), features, &()).unwrap()
        };
        let mut whole = Features::new(3);
        let all = run(&photos, &mut whole);
        let mut piecemeal = Features::new(3);
        run(&photos[10..17], &mut piecemeal);
        let rest = run(&photos, &mut piecemeal);
        assert_eq!((&rest.kept, &rest.rejected), (&all.kept, &all.rejected));
        assert_eq!((piecemeal, rest.computed), (whole.clone(), all.computed - 7));
        photos.reverse();
        let mut reversed = Features::new(3);
        run(&photos, &mut reversed);
        assert_eq!(reversed, whole);
    }

    #[test]
    fn a_failing_network_ends_it() {
        let (_dir, photos) = folder(20);
        let mut features = Features::new(3);
        let nan = || engines(|images| Ok(vec![f32::NAN; 3 * images.len()]));
        let error = run(&photos, nan(), &mut features, &()).unwrap_err();
        assert_eq!(error.to_string(), "extract features: the network's output is not finite");
        assert_eq!(features.count(), 0);
        assert!(run(&photos, engines(|_| Ok(vec![1.0; 5])), &mut features, &()).is_err());
        let recipe = resnet::Recipe { std: [0.0; 3], ..preparation().recipe };
        let preparation = Preparation { recipe, ..preparation() };
        let mut extractor = Extractor::new(Counts::default().engines(), 4);
        assert!(extract(&photos, &mut extractor, &mut features, &preparation, &()).is_err());
    }

    #[test]
    fn what_reaches_the_network_is_read_and_prepared_as_asked_for() {
        use crate::photos::{Background, Exif, Reading, decode};

        let dir = tempfile::tempdir().unwrap();
        let photos: Vec<Photo> = (delicate_photos(dir.path()).iter().map(|path| Photo::at(path))).collect();
        let reading = Reading { exif: Exif::Ignore, background: Background::Over([200, 30, 90]) };
        let [asked, default] = [reading, Reading::default()].map(|reading| Preparation { reading, ..preparation() });
        let given = |preparation: &Preparation, batch: usize| {
            let given = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&given);
            let engines = engines(move |images| {
                log.lock().unwrap().extend_from_slice(images);
                Ok(colours(images))
            });
            let mut extractor = Extractor::new(engines, batch);
            extract(&photos, &mut extractor, &mut Features::new(3), preparation, &()).unwrap();
            given.lock().unwrap().clone()
        };
        let expected = |preparation: &Preparation| -> Vec<resnet::ImageTensor> {
            let tensor = |photo: &Photo| {
                let bytes = std::fs::read(&photo.path).unwrap();
                let picture = decode(bytes, &preparation.reading, &preparation.limits).unwrap();
                preparation.image(&picture, ImageBytes::default()).unwrap().tensor()
            };
            photos.iter().map(tensor).collect()
        };
        for (preparation, batch) in [(&asked, 1), (&asked, 4), (&asked, 9), (&default, 4)] {
            assert_eq!(given(preparation, batch), expected(preparation), "{batch}");
        }
        let differ = expected(&asked).iter().zip(expected(&default)).filter(|(a, b)| **a != *b).count();
        assert_eq!(differ, 3, "three can be read in two ways, and the test must see it");
    }

    /// Photos that are easily read in two ways: turned by the camera, transparent, deep, compressed with loss.
    fn delicate_photos(folder: &Path) -> Vec<std::path::PathBuf> {
        use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgb, Rgba};
        let rgb = ImageBuffer::from_fn(50, 40, |x, y| Rgb([20, 2 * x as u8, 3 * y as u8]));
        let clear = ImageBuffer::from_fn(45, 60, |x, y| Rgba([x as u8, 20, y as u8, 4 * x as u8]));
        let deep = ImageBuffer::from_fn(70, 35, |x, y| Luma([20 + (x * y) as u16 / 20]));
        let photos: [(&str, DynamicImage, ImageFormat); 6] = [
            ("plain.jpg", rgb.clone().into(), ImageFormat::Jpeg),
            ("turned.jpg", rgb.clone().into(), ImageFormat::Jpeg),
            ("plain.gif", rgb.into(), ImageFormat::Gif),
            ("clear.png", clear.clone().into(), ImageFormat::Png),
            ("clear.webp", clear.into(), ImageFormat::WebP),
            ("deep.png", deep.into(), ImageFormat::Png),
        ];
        let write = |(name, image, format): (&str, DynamicImage, ImageFormat)| {
            let mut bytes = std::io::Cursor::new(Vec::new());
            image.write_to(&mut bytes, format).unwrap();
            let mut bytes = bytes.into_inner();
            if name.starts_with("turned") {
                // An EXIF segment that holds one tag: orientation 6.
                let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01".to_vec();
                exif.extend(b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00");
                bytes.splice(2..2, exif);
            }
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        photos.into_iter().map(write).collect()
    }
}
