//! Every photo through the frozen backbone, once: photos are read, decoded and prepared on all cores while the adapter works on the
//! batch before, and the next batch is handed to it before that one is done.

pub mod network;
mod ordered;
mod rows;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use safetensors::tensor::{Dtype, Metadata};
use sha2::{Digest as _, Sha256};

use crate::data::{Photo, Rejected};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::features::ordered::ordered;
use crate::photos::{Decoder, Limits, Picture, Reading, decode_by, decode_into};
use crate::progress::{Progress, Stage};
pub use rows::Rows;

/// What turns photos into features: a backbone on an adapter, or a stand-in.
pub trait Extractor: Sync {
    /// A photo ready for [`Extractor::submit`].
    type Input: Send;
    /// A batch on its way.
    type Pending;

    /// Resizes, crops and normalises one photo; called from many threads at once. `spare` is an input that was used and isn't needed
    /// any more, for its memory's sake.
    ///
    /// # Errors
    /// The reason why this photo can't be used.
    fn prepare(&self, image: &Picture, spare: Option<Self::Input>) -> Result<Self::Input, String>;

    /// Hands over at most [`Extractor::batch`] photos. The batch before may still be on its way.
    ///
    /// # Errors
    /// The adapter failed.
    fn submit(&self, inputs: Vec<Self::Input>) -> Result<Self::Pending>;

    /// The features of a batch, `[inputs, feature_len]`, and its inputs.
    ///
    /// # Errors
    /// The adapter failed.
    fn wait(&self, pending: Self::Pending) -> Result<(Vec<f32>, Vec<Self::Input>)>;

    /// How many numbers a photo becomes.
    fn feature_len(&self) -> usize;

    /// How many photos are taken at once. It may become less.
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
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let damaged = |reason: &str| Error::InvalidRun { path: path.to_owned(), reason: reason.to_owned() };
        let io = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("cut short"),
            _ => Error::io("read", path)(error),
        };
        let size = file.metadata().map_err(io)?.len();
        let mut file = BufReader::new(file);
        // The header and its length, as safetensors writes them.
        let mut header = vec![0; 8];
        file.read_exact(&mut header).map_err(io)?;
        let length = u64::from_le_bytes(std::array::from_fn(|i| header[i]));
        if length > size.saturating_sub(8) {
            return Err(damaged("cut short, or no safetensors"));
        }
        header.resize(8 + length as usize, 0);
        file.read_exact(&mut header[8..]).map_err(io)?;
        let metadata: Metadata =
            serde_json::from_slice(&header[8..]).map_err(|error| damaged(&format!("its header: {error}")))?;
        if metadata.metadata().as_ref().and_then(|data| data.get("key")).map(String::as_str) != Some(key) {
            return Ok(None);
        }
        let (Some(digests), Some(values)) = (metadata.info("sha256"), metadata.info("features")) else {
            return Err(damaged("no tensors `sha256` and `features` in it"));
        };
        let count = digests.shape.first().copied().unwrap_or(0);
        if digests.shape != [count, size_of::<Digest>()]
            || values.shape != [count, len]
            || (digests.dtype, values.dtype) != (Dtype::U8, Dtype::F32)
        {
            return Err(damaged("its tensors have unexpected shapes"));
        }
        let data = header.len() as u64;
        if data + digests.data_offsets.1.max(values.data_offsets.1) as u64 > size {
            return Err(damaged("cut short"));
        }
        let mut keys: Vec<Digest> = vec![[0; size_of::<Digest>()]; count];
        file.seek(SeekFrom::Start(data + digests.data_offsets.0 as u64)).map_err(io)?;
        file.read_exact(keys.as_flattened_mut()).map_err(io)?;
        file.seek(SeekFrom::Start(data + values.data_offsets.0 as u64)).map_err(io)?;
        let mut features = Self::new(key, len);
        let mut bytes = vec![0; 4 * len];
        // Row by row: the file isn't held beside what is made of it.
        for digest in keys {
            file.read_exact(&mut bytes).map_err(io)?;
            let row: Box<[f32]> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            if row.iter().all(|value| value.is_finite()) {
                features.rows.insert(digest, row);
            }
        }
        Ok(Some(features))
    }

    /// Writes all rows: tensors `features` `[photos, len]` and `sha256` `[photos, 32]`, in the order of the latter.
    ///
    /// # Errors
    /// The file can't be written; what was there stays.
    pub fn save(&self, path: &Path) -> Result<()> {
        crate::files::write_with(path, |file| {
            file.write_all(&self.header())?;
            for row in self.rows.values() {
                row.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
            }
            self.rows.keys().try_for_each(|digest| file.write_all(digest))
        })
    }

    /// What stands before the tensors in the file, with its length.
    fn header(&self) -> Vec<u8> {
        let count = self.rows.len();
        let values = count * self.len * size_of::<f32>();
        let tensor = |dtype: &str, columns: usize, start: usize, end: usize| serde_json::json!({ "dtype": dtype, "shape": [count, columns], "data_offsets": [start, end] });
        let header = serde_json::json!({
            "__metadata__": { "key": self.key },
            "features": tensor("F32", self.len, 0, values),
            "sha256": tensor("U8", size_of::<Digest>(), values, values + count * size_of::<Digest>()),
        });
        let mut json = header.to_string().into_bytes();
        json.resize(json.len().next_multiple_of(8), b' ');
        [&(json.len() as u64).to_le_bytes()[..], &json].concat()
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
/// error or an interruption stays in `features`, also that of the batches on their way.
///
/// # Memory
/// However many photos there are, besides their features no more than `3 · batch + 2 · threads` of the extractor's inputs exist, used
/// again and again, and a decoded photo a thread.
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
    let source = Source { decoder: decode_into, reading, limits };
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
    let threads = rayon::current_num_threads();
    // A whole batch besides what is in the making, so that no thread rests while the adapter works on one.
    let ahead = extractor.batch() + threads;
    let spares = Spares(Mutex::new(Vec::new()));
    let mut extraction = Extraction::default();
    let mut queued: HashSet<Digest> = HashSet::new();
    let mut index = 0;
    progress.begin(Stage::Features, photos.len());
    let mut batches =
        Batches { extractor, features, progress, spares: &spares, waiting: Vec::new(), flying: None, computed: 0 };
    let worker = || {
        let mut memory = Vec::new();
        let (known, spares) = (&known, &spares);
        move |photo: &Photo| load(photo, extractor, known, source, &mut memory, spares)
    };
    let outcome = ordered(photos, threads, ahead, worker, |loaded| {
        if progress.cancelled() {
            return Err(Error::Interrupted);
        }
        match loaded {
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
                    batches.waiting.push((digest, input));
                } else {
                    spares.give([input]);
                    progress.advance(1);
                }
            }
        }
        index += 1;
        if batches.waiting.len() >= extractor.batch() { batches.submit() } else { Ok(()) }
    });
    let outcome = outcome.and_then(|()| match progress.cancelled() {
        true => Err(Error::Interrupted),
        false => batches.submit(),
    });
    // Whatever happened: what is on its way has been paid for.
    let landed = batches.land();
    extraction.computed = batches.computed;
    progress.end();
    outcome.and(landed).map(|()| extraction)
}

/// Inputs whose memory is free.
struct Spares<T>(Mutex<Vec<T>>);

impl<T> Spares<T> {
    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give(&self, inputs: impl IntoIterator<Item = T>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(inputs);
    }
}

/// From prepared photos to rows, with one batch on its way while the next is made.
struct Batches<'a, E: Extractor> {
    extractor: &'a E,
    features: &'a mut Features,
    progress: &'a dyn Progress,
    spares: &'a Spares<E::Input>,
    waiting: Vec<(Digest, E::Input)>,
    flying: Option<(Vec<Digest>, E::Pending)>,
    computed: usize,
}

impl<E: Extractor> Batches<'_, E> {
    /// Sends what waits on its way, and only then collects the batch before: so the adapter has always something to do.
    fn submit(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (digests, inputs) = self.waiting.drain(..).unzip();
        let pending = self.extractor.submit(inputs)?;
        let landed = self.land();
        self.flying = Some((digests, pending));
        landed
    }

    /// Waits for what is on its way and keeps it.
    fn land(&mut self) -> Result<()> {
        let Some((digests, pending)) = self.flying.take() else { return Ok(()) };
        let (values, inputs) = self.extractor.wait(pending)?;
        self.spares.give(inputs);
        let len = self.features.len;
        let (expected, got) = (digests.len() * len, values.len());
        if got != expected {
            return Err(Error::Shape {
                operation: "extract features",
                operand: "the backbone's output",
                expected,
                got,
            });
        }
        if values.iter().any(|value| !value.is_finite()) {
            let what = "the backbone's output".to_owned();
            return Err(Error::NotFinite { operation: "extract features", what });
        }
        self.computed += digests.len();
        self.progress.advance(digests.len());
        self.features.rows.extend(digests.into_iter().zip(values.chunks_exact(len).map(Box::from)));
        Ok(())
    }
}

/// The largest picture, in bytes, whose memory a thread keeps for the next one: 16 million pixels.
const KEPT: usize = 48 << 20;

fn load<E: Extractor>(
    photo: &Photo,
    extractor: &E,
    known: &HashSet<Digest>,
    source: &Source,
    memory: &mut Vec<u8>,
    spares: &Spares<E::Input>,
) -> Loaded<E::Input> {
    let (digest, bytes) = match read(&photo.path, source.limits) {
        Ok(read) => read,
        Err(reason) => return Loaded::Rejected(reason),
    };
    if known.contains(&digest) {
        return Loaded::Known(digest);
    }
    let image = decode_by(source.decoder, bytes, source.reading, source.limits, std::mem::take(memory));
    let input = image.and_then(|image| {
        let input = extractor.prepare(&image, spares.take());
        if image.rgb.capacity() <= KEPT {
            *memory = image.rgb;
        }
        input
    });
    match input {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// Width, height and first byte of a picture; counts its work.
    #[derive(Default)]
    struct Measure {
        forwarded: AtomicUsize,
        batches: AtomicUsize,
        /// The number of a batch, from 1, that the adapter refuses.
        fails_at: usize,
    }

    impl Extractor for Measure {
        type Input = Picture;
        type Pending = Vec<Picture>;
        fn prepare(&self, image: &Picture, _: Option<Picture>) -> Result<Picture, String> {
            if image.width == 1 { Err("too narrow".into()) } else { Ok(image.clone()) }
        }
        fn submit(&self, inputs: Vec<Picture>) -> Result<Vec<Picture>> {
            assert!(inputs.len() <= self.batch());
            self.forwarded.fetch_add(inputs.len(), Ordering::Relaxed);
            self.batches.fetch_add(1, Ordering::Relaxed);
            match self.batches.load(Ordering::Relaxed) == self.fails_at {
                true => Err(Error::Device("as planned".into())),
                false => Ok(inputs),
            }
        }
        fn wait(&self, inputs: Vec<Picture>) -> Result<(Vec<f32>, Vec<Picture>)> {
            let row = |image: &Picture| [image.width as f32, image.height as f32, f32::from(image.rgb[0])];
            Ok((inputs.iter().flat_map(row).collect(), inputs))
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
                Photo { path, name, target: Default::default(), part: None }
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
        let mut features = Features::new("ключ \"key\"", 3);
        features.rows.extend((0..9).map(|i| ([i; 32], Box::from([f32::from(i), -1.5, 1e-40]))));
        features.save(&file).unwrap();
        assert_eq!(Features::load(&file, "ключ \"key\"", 3).unwrap().unwrap(), features);
        let bytes = std::fs::read(&file).unwrap();
        // What others read it with agrees.
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("features").unwrap().shape(), [9, 3]);
        assert_eq!(tensors.tensor("sha256").unwrap().data()[32..64], [1; 32]);
        assert!(Features::load(&file, "ключ \"key\"", 2).is_err());
        for keep in [4, 30, bytes.len() - 300, bytes.len() - 1] {
            std::fs::write(&file, &bytes[..keep]).unwrap();
            assert!(Features::load(&file, "ключ \"key\"", 3).is_err(), "{keep}");
        }
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
        let decoder: Decoder =
            |bytes, reading, limits, memory| match decode_into(bytes, reading, limits, Vec::new())?.width {
                4 => std::panic::resume_unwind(Box::new("as planned")),
                7 => loop {
                    std::thread::sleep(std::time::Duration::from_secs(1));
                },
                _ => decode_into(bytes, reading, limits, memory),
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
    fn what_was_on_its_way_is_kept_when_the_adapter_fails() {
        let (_dir, photos) = folder(30);
        let mut features = Features::new("key", 3);
        let extractor = Measure { fails_at: 4, ..Measure::default() };
        let error =
            extract(&photos, &extractor, &mut features, &Reading::default(), &Limits::default(), &()).unwrap_err();
        assert_eq!(error.to_string(), "device: as planned");
        // Three batches of four, the third of which nobody had waited for.
        assert_eq!(features.count(), 12);
    }

    #[test]
    fn numbers_do_not_depend_on_what_is_known() {
        let (_dir, mut photos) = folder(40);
        std::fs::write(&photos[3].path, "no photo").unwrap();
        std::fs::copy(&photos[1].path, &photos[20].path).unwrap();
        let run = |photos: &[Photo], features: &mut Features| {
            let extractor = Measure::default();
            extract(photos, &extractor, features, &Reading::default(), &Limits::default(), &()).unwrap()
        };
        let mut whole = Features::new("key", 3);
        let all = run(&photos, &mut whole);
        let mut piecemeal = Features::new("key", 3);
        run(&photos[10..17], &mut piecemeal);
        let rest = run(&photos, &mut piecemeal);
        assert_eq!((&rest.kept, &rest.rejected), (&all.kept, &all.rejected));
        assert_eq!((piecemeal, rest.computed), (whole.clone(), all.computed - 7));
        photos.reverse();
        let mut reversed = Features::new("key", 3);
        run(&photos, &mut reversed);
        assert_eq!(reversed, whole);
    }

    #[test]
    fn a_failing_backbone_ends_it() {
        struct Fails;
        impl Extractor for Fails {
            type Input = ();
            type Pending = Vec<()>;
            fn prepare(&self, _: &Picture, _: Option<()>) -> Result<(), String> {
                Ok(())
            }
            fn submit(&self, inputs: Vec<()>) -> Result<Vec<()>> {
                Ok(inputs)
            }
            fn wait(&self, inputs: Vec<()>) -> Result<(Vec<f32>, Vec<()>)> {
                Ok((vec![f32::NAN; inputs.len()], inputs))
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
