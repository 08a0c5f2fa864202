//! Every photo through the frozen backbone, once: decoding on all cores while the adapter works on the batch before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc::sync_channel;

use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest as _, Sha256};

use crate::dataset::{Photo, Rejected};
use crate::decode::{Decoder, Image, Limits, Reading, decode_by, decode_unguarded};
use crate::error::{Error, Result};
use crate::progress::{Progress, Stage};
use crate::split::Digest;

/// What turns photos into features: a backbone on an adapter, or a stand-in.
pub trait Extractor: Sync {
    /// A photo ready for [`Extractor::forward`].
    type Input: Send;

    /// Resizes, crops and normalises one photo; called from many threads at once.
    ///
    /// # Errors
    /// The reason why this photo can't be used.
    fn prepare(&self, image: Image) -> Result<Self::Input, String>;

    /// The features of at most [`Extractor::batch`] photos, `[inputs, feature_len]`.
    ///
    /// # Errors
    /// The adapter failed.
    fn forward(&self, inputs: &[Self::Input]) -> Result<Vec<f32>>;

    /// How many numbers a photo becomes.
    fn feature_len(&self) -> usize;

    /// How many photos are taken at once.
    fn batch(&self) -> usize;
}

/// Features by photo content, and the key of what computed them. Kept in a file, it spares the next run the backbone.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    key: String,
    len: usize,
    rows: BTreeMap<Digest, Box<[f32]>>,
}

impl Features {
    /// None yet. `key` stands for all that features depend on besides the photo: weights, preprocessing, program.
    pub fn new(key: impl Into<String>, len: usize) -> Self {
        Self { key: key.into(), len, rows: BTreeMap::new() }
    }

    /// Reads what [`Features::save`] wrote under the same key; `None` if there is no file or another key's.
    ///
    /// # Errors
    /// The file can't be read, or isn't such a file: the features can be computed anew.
    pub fn load(path: &Path, key: &str, len: usize) -> Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let damaged = |reason: &str| Error::InvalidRun { path: path.to_owned(), reason: reason.to_owned() };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(&error.to_string()))?;
        if metadata.metadata().as_ref().and_then(|data| data.get("key")).map(String::as_str) != Some(key) {
            return Ok(None);
        }
        let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(&error.to_string()))?;
        let (Ok(digests), Ok(values)) = (file.tensor("sha256"), file.tensor("features")) else {
            return Err(damaged("no tensors `sha256` and `features` in it"));
        };
        let count = digests.data().len() / size_of::<Digest>();
        if digests.shape() != [count, size_of::<Digest>()]
            || values.shape() != [count, len]
            || (digests.dtype(), values.dtype()) != (Dtype::U8, Dtype::F32)
        {
            return Err(damaged("its tensors have unexpected shapes"));
        }
        let mut features = Self::new(key, len);
        for (digest, row) in digests.data().as_chunks().0.iter().zip(values.data().chunks_exact(4 * len)) {
            let row: Box<[f32]> = row.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            if row.iter().all(|value| value.is_finite()) {
                features.rows.insert(*digest, row);
            }
        }
        Ok(Some(features))
    }

    /// Writes all rows: tensors `features` `[photos, len]` and `sha256` `[photos, 32]`, in the order of the latter.
    ///
    /// # Errors
    /// The file can't be written; what was there stays.
    pub fn save(&self, path: &Path) -> Result<()> {
        let digests: Vec<u8> = self.rows.keys().flatten().copied().collect();
        let values: Vec<u8> = self.rows.values().flatten().flat_map(|value| value.to_le_bytes()).collect();
        let count = self.rows.len();
        let view = |dtype, shape, data| TensorView::new(dtype, shape, data).expect("as many bytes as the shape says");
        let tensors = [
            ("features", view(Dtype::F32, vec![count, self.len], &values)),
            ("sha256", view(Dtype::U8, vec![count, size_of::<Digest>()], &digests)),
        ];
        let metadata = HashMap::from([("key".to_owned(), self.key.clone())]);
        let bytes = safetensors::serialize(tensors, Some(metadata)).expect("two tensors and a string");
        crate::run::write(path, &bytes)
    }

    /// How many photos are known.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Features a photo.
    pub fn feature_len(&self) -> usize {
        self.len
    }

    /// The rows of these photos, `[digests, feature_len]`.
    ///
    /// # Errors
    /// A photo that was never extracted.
    pub fn gather<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        for digest in digests {
            let row = self.rows.get(digest).ok_or(Error::Shape {
                operation: "gather features",
                operand: "the row of a photo that was not extracted",
                expected: self.len,
                got: 0,
            })?;
            values.extend_from_slice(row);
        }
        Ok(values)
    }
}

/// What became of the photos.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extraction {
    /// Photos whose features are known now: index into the photos given, and content. In their order.
    pub kept: Vec<(usize, Digest)>,
    /// The others, with the reason, in their order.
    pub rejected: Vec<Rejected>,
    /// How many went through the backbone; the others were known, or copies of one that went.
    pub computed: usize,
}

/// What a decoding thread hands over.
enum Loaded<T> {
    Known(Digest),
    Ready(Digest, T),
    Rejected(String),
}

/// Sees to it that `features` knows every photo that can be read.
///
/// Photos are taken in order and batches made of them in order, so the same photos give the same numbers. What was computed before an
/// error or an interruption stays in `features`.
///
/// # Errors
/// The adapter failed, features came out NaN or infinite, or the watcher asked to stop.
pub fn extract<E: Extractor>(
    photos: &[Photo],
    extractor: &E,
    features: &mut Features,
    reading: &Reading,
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<Extraction> {
    let source = Source { decoder: decode_unguarded, reading, limits };
    extract_from(&source, photos, extractor, features, progress)
}

/// How pixels are come by.
struct Source<'a> {
    decoder: Decoder,
    reading: &'a Reading,
    limits: &'a Limits,
}

fn extract_from<E: Extractor>(
    source: &Source,
    photos: &[Photo],
    extractor: &E,
    features: &mut Features,
    progress: &dyn Progress,
) -> Result<Extraction> {
    let known: HashSet<Digest> = features.rows.keys().copied().collect();
    let batch = extractor.batch().max(1);
    // Enough for every core, in batches where possible.
    let stride = batch.max(rayon::current_num_threads());
    let mut extraction = Extraction::default();
    let (sender, receiver) = sync_channel(1);
    progress.begin(Stage::Features, photos.len());
    let outcome = std::thread::scope(|scope| {
        let known = &known;
        scope.spawn(move || {
            for chunk in photos.chunks(stride) {
                let loaded: Vec<_> = chunk.par_iter().map(|photo| load(photo, extractor, known, source)).collect();
                if progress.cancelled() || sender.send(loaded).is_err() {
                    return;
                }
            }
        });
        // Its own, so that an early return drops it and with it the sender's hope.
        let receiver = receiver;
        let mut waiting: Vec<(Digest, E::Input)> = Vec::with_capacity(batch);
        let mut queued: HashSet<Digest> = HashSet::new();
        let mut index = 0;
        for loaded in &receiver {
            for outcome in loaded {
                match outcome {
                    Loaded::Rejected(reason) => {
                        extraction.rejected.push(Rejected { name: photos[index].name.clone(), reason });
                        progress.advance(1);
                    }
                    Loaded::Known(digest) => {
                        extraction.kept.push((index, digest));
                        progress.advance(1);
                    }
                    Loaded::Ready(digest, input) => {
                        extraction.kept.push((index, digest));
                        if queued.insert(digest) {
                            waiting.push((digest, input));
                        } else {
                            progress.advance(1);
                        }
                    }
                }
                index += 1;
                if waiting.len() == batch {
                    extraction.computed += flush(&mut waiting, extractor, features, progress)?;
                }
            }
        }
        if progress.cancelled() {
            return Err(Error::Interrupted);
        }
        extraction.computed += flush(&mut waiting, extractor, features, progress)?;
        Ok(extraction)
    });
    progress.end();
    outcome
}

fn load<E: Extractor>(photo: &Photo, extractor: &E, known: &HashSet<Digest>, source: &Source) -> Loaded<E::Input> {
    let (digest, bytes) = match read(&photo.path, source.limits) {
        Ok(read) => read,
        Err(reason) => return Loaded::Rejected(reason),
    };
    if known.contains(&digest) {
        return Loaded::Known(digest);
    }
    match decode_by(source.decoder, bytes, source.reading, source.limits).and_then(|image| extractor.prepare(image)) {
        Ok(input) => Loaded::Ready(digest, input),
        Err(reason) => Loaded::Rejected(reason),
    }
}

/// A photo's content and its digest, or the reason why not.
fn read(path: &Path, limits: &Limits) -> Result<(Digest, Vec<u8>), String> {
    let data = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !data.is_file() {
        return Err("not a regular file".into());
    }
    if data.len() > limits.bytes {
        return Err(format!("{} bytes are more than the limit of {}", data.len(), limits.bytes));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    Ok((Sha256::digest(&bytes).into(), bytes))
}

fn flush<E: Extractor>(
    waiting: &mut Vec<(Digest, E::Input)>,
    extractor: &E,
    features: &mut Features,
    progress: &dyn Progress,
) -> Result<usize> {
    if waiting.is_empty() {
        return Ok(0);
    }
    let (digests, inputs): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
    let values = extractor.forward(&inputs)?;
    let expected = digests.len() * features.len;
    if values.len() != expected {
        let got = values.len();
        return Err(Error::Shape { operation: "extract features", operand: "the backbone's output", expected, got });
    }
    if values.iter().any(|value| !value.is_finite()) {
        let what = "the backbone's output".to_owned();
        return Err(Error::NotFinite { operation: "extract features", what });
    }
    features.rows.extend(digests.iter().copied().zip(values.chunks_exact(features.len).map(Box::from)));
    progress.advance(digests.len());
    Ok(digests.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// Width, height and first byte of a picture; counts its work.
    #[derive(Default)]
    struct Measure {
        forwarded: AtomicUsize,
        batches: AtomicUsize,
    }

    impl Extractor for Measure {
        type Input = Image;
        fn prepare(&self, image: Image) -> Result<Image, String> {
            if image.width == 1 { Err("too narrow".into()) } else { Ok(image) }
        }
        fn forward(&self, inputs: &[Image]) -> Result<Vec<f32>> {
            assert!(inputs.len() <= self.batch());
            self.forwarded.fetch_add(inputs.len(), Ordering::Relaxed);
            self.batches.fetch_add(1, Ordering::Relaxed);
            let row = |image: &Image| [image.width as f32, image.height as f32, f32::from(image.rgb[0])];
            Ok(inputs.iter().flat_map(row).collect())
        }
        fn feature_len(&self) -> usize {
            3
        }
        fn batch(&self) -> usize {
            4
        }
    }

    fn folder(count: usize) -> (tempfile::TempDir, Vec<Photo>) {
        let dir = tempfile::tempdir().unwrap();
        let photos = (0..count)
            .map(|index| {
                let name = format!("{index:03}.png");
                let path = dir.path().join(&name);
                image::RgbImage::from_pixel(2 + index as u32, 3, image::Rgb([index as u8; 3])).save(&path).unwrap();
                Photo { path, name, label: 0, part: None }
            })
            .collect();
        (dir, photos)
    }

    #[test]
    fn each_photo_goes_through_once_in_order_and_the_rest_is_named() {
        let (_dir, mut photos) = folder(11);
        std::fs::write(&photos[3].path, "no photo").unwrap();
        std::fs::copy(&photos[0].path, &photos[7].path).unwrap();
        std::fs::remove_file(&photos[9].path).unwrap();
        image::RgbImage::new(1, 1).save(&photos[10].path).unwrap();
        photos.swap(1, 2);
        let extractor = Measure::default();
        let mut features = Features::new("key", 3);
        let result = extract(&photos, &extractor, &mut features, &Reading::default(), &Limits::default(), &()).unwrap();
        let kept: Vec<usize> = result.kept.iter().map(|&(index, _)| index).collect();
        assert_eq!(kept, [0, 1, 2, 4, 5, 6, 7, 8]);
        let rejected: Vec<&str> = result.rejected.iter().map(|photo| photo.name.as_str()).collect();
        assert_eq!(rejected, ["003.png", "009.png", "010.png"]);
        assert!(result.rejected[2].reason.contains("too narrow"));
        assert_eq!(result.computed, 7);
        assert_eq!(extractor.batches.load(Ordering::Relaxed), 2);
        let rows = features.gather(result.kept.iter().map(|(_, digest)| digest)).unwrap();
        let widths: Vec<f32> = rows.chunks(3).map(|row| row[0]).collect();
        assert_eq!(widths, [2.0, 4.0, 3.0, 6.0, 7.0, 8.0, 2.0, 10.0]);
    }

    #[test]
    fn a_second_run_computes_only_what_changed() {
        let (dir, photos) = folder(9);
        let file = dir.path().join("features.safetensors");
        let mut features = Features::new("key", 3);
        extract(&photos, &Measure::default(), &mut features, &Reading::default(), &Limits::default(), &()).unwrap();
        features.save(&file).unwrap();
        image::RgbImage::new(50, 50).save(&photos[5].path).unwrap();
        let mut again = Features::load(&file, "key", 3).unwrap().unwrap();
        assert_eq!(again, features);
        let extractor = Measure::default();
        let result = extract(&photos, &extractor, &mut again, &Reading::default(), &Limits::default(), &()).unwrap();
        assert_eq!((result.computed, extractor.forwarded.load(Ordering::Relaxed)), (1, 1));
        assert_eq!(result.kept.len(), 9);
        assert_eq!(again.gather([&result.kept[5].1]).unwrap(), [50.0, 50.0, 0.0]);
    }

    #[test]
    fn other_keys_and_damaged_files_are_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("features.safetensors");
        assert!(Features::load(&file, "key", 3).unwrap().is_none());
        let features = Features::new("key", 3);
        features.save(&file).unwrap();
        assert!(Features::load(&file, "other", 3).unwrap().is_none());
        assert!(Features::load(&file, "key", 3).unwrap().is_some());
        std::fs::write(&file, "rubbish that is no safetensors").unwrap();
        assert!(Features::load(&file, "key", 3).is_err());
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
        let mut features = Features::new("key", 3);
        let watcher = StopAfter(AtomicUsize::new(0), AtomicBool::new(false));
        let error =
            extract(&photos, &Measure::default(), &mut features, &Reading::default(), &Limits::default(), &watcher)
                .unwrap_err();
        assert!(matches!(error, Error::Interrupted));
        assert!((8..60).contains(&features.count()), "{}", features.count());
    }

    #[test]
    fn a_decoder_that_panics_or_hangs_costs_its_photo_only() {
        let (_dir, photos) = folder(9);
        // Told apart by their width, 2 and up.
        let decoder: Decoder = |bytes, reading, limits| match decode_unguarded(bytes, reading, limits)?.width {
            4 => std::panic::resume_unwind(Box::new("as planned")),
            7 => loop {
                std::thread::sleep(std::time::Duration::from_secs(1));
            },
            _ => decode_unguarded(bytes, reading, limits),
        };
        // Long enough for the others on a machine that has much else to do.
        let limits = Limits { time: std::time::Duration::from_secs(2), ..Limits::default() };
        let source = Source { decoder, reading: &Reading::default(), limits: &limits };
        let mut features = Features::new("key", 3);
        let result = extract_from(&source, &photos, &Measure::default(), &mut features, &()).unwrap();
        let kept: Vec<usize> = result.kept.iter().map(|&(index, _)| index).collect();
        assert_eq!(kept, [0, 1, 3, 4, 6, 7, 8]);
        let rejected: Vec<_> =
            result.rejected.iter().map(|photo| (photo.name.as_str(), photo.reason.as_str())).collect();
        let reasons = ["the decoder failed on it: a damaged file", "not decoded within the limit of 2 seconds"];
        assert_eq!(rejected, [("002.png", reasons[0]), ("005.png", reasons[1])]);
    }

    #[test]
    fn a_failing_backbone_ends_it() {
        struct Fails;
        impl Extractor for Fails {
            type Input = ();
            fn prepare(&self, _: Image) -> Result<(), String> {
                Ok(())
            }
            fn forward(&self, inputs: &[()]) -> Result<Vec<f32>> {
                Ok(vec![f32::NAN; inputs.len()])
            }
            fn feature_len(&self) -> usize {
                1
            }
            fn batch(&self) -> usize {
                2
            }
        }
        let (_dir, photos) = folder(20);
        let mut features = Features::new("key", 1);
        let error = extract(&photos, &Fails, &mut features, &Reading::default(), &Limits::default(), &()).unwrap_err();
        assert_eq!(error.to_string(), "extract features: the backbone's output is not finite");
        assert_eq!(features.count(), 0);
        let mut wrong = Features::new("key", 2);
        assert!(extract(&photos, &Fails, &mut wrong, &Reading::default(), &Limits::default(), &()).is_err());
    }
}
