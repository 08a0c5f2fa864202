//! Computes the features of photos: photos are read, decoded and prepared on all cores while the device works on a batch, and the next
//! batch is handed to it before that one is done.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use resnet::ImageBytes;
use sha2::{Digest as _, Sha256};

use crate::data::{Photo, ReadFile, Rejected};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::features::extractor::{Extractor, Flight};
use crate::features::memory::Features;
use crate::features::ordered::{Crew, ordered};
use crate::features::store::Store;
use crate::photos::{Decoder, Failure, Preparation, decode_by, decode_into, read};
use crate::progress::{Progress, Stage};
use crate::words::chain;

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
/// however many photos there are.
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
    preparation.recipe.check()?;
    extract_by(&Source { read, decoder: decode_into, preparation }, photos, extractor, features, progress)
}

/// How a photo's content becomes what a network takes.
struct Source<'a> {
    read: ReadFile,
    decoder: Decoder,
    preparation: &'a Preparation,
}

fn extract_by(
    source: &Source,
    photos: &[Photo],
    extractor: &mut Extractor,
    features: &mut Features,
    progress: &dyn Progress,
) -> Result<Extraction> {
    let known: HashSet<Digest> = features.digests().copied().collect();
    let store = features.store();
    let threads = rayon::current_num_threads();
    // A whole batch besides what is in the making, so that no thread rests while the device works on one.
    let crew = Crew { threads, ahead: extractor.batch() + threads, builder: Builder::new };
    let spares = Spares::default();
    let mut extraction = Extraction::default();
    let mut queued: HashSet<Digest> = HashSet::new();
    let mut place = 0;
    progress.begin(Stage::FEATURES, photos.len());
    let mut batches =
        Batches { extractor, features, progress, spares: &spares, waiting: Vec::new(), flying: None, computed: 0 };
    let worker = || {
        let mut loader = Loader { source, known: &known, store: store.as_deref(), spares: &spares, memory: Vec::new() };
        move |photo: &Photo| loader.load(photo)
    };
    let outcome = ordered(photos, crew, worker, |loaded| {
        if progress.cancelled() {
            return Err(Error::Interrupted { kept: 0 });
        }
        match loaded {
            Loaded::Failed(error) => return Err(error),
            Loaded::Rejected(reason) => {
                extraction.rejected.push(Rejected { name: photos[place].name.clone(), reason });
                progress.advance(1);
            }
            Loaded::Known(digest, row) => {
                extraction.kept.push((place, digest));
                if let Some(row) = row {
                    batches.features.take(digest, row);
                }
                progress.advance(1);
            }
            Loaded::Ready(digest, image) => {
                extraction.kept.push((place, digest));
                if queued.insert(digest) {
                    batches.waiting.push((digest, image));
                } else {
                    spares.give([image]);
                    progress.advance(1);
                }
            }
        }
        place += 1;
        if batches.waiting.len() >= batches.extractor.batch() { batches.submit() } else { Ok(()) }
    });
    let outcome = outcome.and_then(|()| match progress.cancelled() {
        true => Err(Error::Interrupted { kept: 0 }),
        false => batches.submit(),
    });
    // Whatever happened: what is on its way has been paid for.
    let landed = batches.land();
    extraction.computed = batches.computed;
    progress.end();
    outcome.and(landed).map(|()| extraction)
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

/// Batches between prepared photos and rows: one is on its way while the next is made.
struct Batches<'a, 'e> {
    extractor: &'a mut Extractor<'e>,
    features: &'a mut Features,
    progress: &'a dyn Progress,
    spares: &'a Spares,
    waiting: Vec<(Digest, ImageBytes)>,
    flying: Option<(Vec<Digest>, Flight)>,
    computed: usize,
}

impl Batches<'_, '_> {
    /// Sends what waits on its way, and only then collects the batch before, so that the device always has a batch to work on.
    fn submit(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (digests, images) = self.waiting.drain(..).unzip();
        let flight = self.extractor.submit(images, self.progress)?;
        let landed = self.land();
        self.flying = Some((digests, flight));
        landed
    }

    /// Waits for what is on its way and keeps it.
    fn land(&mut self) -> Result<()> {
        let Some((digests, flight)) = self.flying.take() else { return Ok(()) };
        let (values, images) = self.extractor.wait(flight, self.progress)?;
        self.spares.give(images);
        self.features.insert(&digests, &values)?;
        if let Err(error) = self.features.keep_as_it_goes() {
            self.progress.warn(&format!("features aren't kept yet: {}", chain(&error)));
        }
        self.computed += digests.len();
        self.progress.advance(digests.len());
        Ok(())
    }
}

/// The result of loading a photo.
enum Loaded {
    /// What is known of it, unless it's in memory.
    Known(Digest, Option<Box<[f32]>>),
    Ready(Digest, ImageBytes),
    Rejected(String),
    /// The machine failed.
    Failed(Error),
}

impl From<Failure> for Loaded {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Photo(reason) => Self::Rejected(reason),
            Failure::Machine(error) => Self::Failed(error),
        }
    }
}

/// The state with which a thread loads photos.
struct Loader<'a> {
    source: &'a Source<'a>,
    known: &'a HashSet<Digest>,
    store: Option<&'a Store>,
    spares: &'a Spares,
    /// The pixels of the photo before, for their memory.
    memory: Vec<u8>,
}

/// The largest picture, in bytes, whose memory a thread keeps for the next one: 16 million pixels.
const KEPT: usize = 48 << 20;

impl Loader<'_> {
    fn load(&mut self, photo: &Photo) -> Loaded {
        self.prepared(photo).unwrap_or_else(Loaded::from)
    }

    fn prepared(&mut self, photo: &Photo) -> Result<Loaded, Failure> {
        let Source { read, decoder, preparation } = self.source;
        let Preparation { reading, limits, .. } = preparation;
        let bytes = photo.source.read_by(*read, &photo.path, limits)?;
        let digest = Sha256::digest(&bytes).into();
        if self.known.contains(&digest) {
            return Ok(Loaded::Known(digest, None));
        }
        if let Some(row) = self.store.and_then(|store| store.get(&digest)) {
            return Ok(Loaded::Known(digest, Some(row)));
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
        let kept = || Features::kept_in(&dir.path().join("store"), &key, 3).unwrap();
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
        let source = Source { read, decoder, preparation: &Preparation { limits, ..preparation() } };
        let mut features = Features::new(3);
        let mut extractor = Extractor::new(Counts::default().engines(), 4);
        let result = extract_by(&source, &photos, &mut extractor, &mut features, &()).unwrap();
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
        let source = Source { read: fails, decoder: decode_into, preparation: &preparation };
        let mut features = Features::new(3);
        let mut extractor = Extractor::new(Counts::default().engines(), 4);
        let error = extract_by(&source, &photos, &mut extractor, &mut features, &()).unwrap_err();
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
