//! The stations joined: from a folder to a run, and from a run to judgements and predictions.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use resnet::{Recipe, WeightFile};

use crate::data::split::{Entry, SplitOptions, split};
use crate::data::{self, Class, Dataset, Part, Photo, Rejected, Target, duplicates};
use crate::digest::{self, hex};
use crate::error::{Error, Result};
use crate::features::{Engines, Extraction, Extractor, Features, Key, Rows, extract};
use crate::files::Staged;
use crate::head::metrics::{Evaluation, evaluate};
use crate::head::{self, Head, Samples, TrainOptions};
use crate::machine::device::{Gpu, Summary};
use crate::photos::{Limits, Preparation, Reading};
use crate::progress::Progress;
use crate::report::{self, Metrics, Photos, Prediction, Seconds};
use crate::run::{self, Config, Run, Weights, majority};
use crate::words;
use crate::words::{chain, first};

/// What a training is asked to do.
#[derive(Clone, Debug)]
pub struct Request {
    /// The folder of photos.
    pub data: PathBuf,
    /// The backbone's weights.
    pub weights: PathBuf,
    /// The folder to write the run into.
    pub out: PathBuf,
    /// Replace a finished run there.
    pub force: bool,
    /// Where features are kept instead of in the run.
    pub cache: Option<PathBuf>,
    /// Where photos aren't read and prepared as the weights say.
    pub overrides: Overrides,
    /// Which photo plays which part.
    pub split: SplitOptions,
    /// How the head is trained.
    pub train: TrainOptions,
    /// Photos a batch in the backbone.
    pub batch: usize,
    /// Bounds on photos.
    pub limits: Limits,
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
    fn or_of(&self, weights: &WeightFile, path: &Path) -> Result<(Recipe, Reading)> {
        let recipe = self.recipe.clone().map_or_else(|| Ok(recipe_of(weights, path)?.0), Ok::<_, Error>)?;
        let reading = self.reading.map_or_else(|| run::reading_of(weights, path), Ok)?;
        Ok((recipe, reading))
    }
}

/// What a training did.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Everything needed to do it again.
    pub config: Config,
    /// The judgement.
    pub metrics: Metrics,
    /// The judgement, photo by photo.
    pub predictions: Vec<Prediction>,
}

/// The preprocessing that belongs to a weight file, and the file that says so: a run's own, from its metadata; timm's or
/// transformers', from the configuration beside it; else torchvision's, which no file says.
///
/// # Errors
/// It is given, and can't be followed.
pub fn recipe_of(weights: &WeightFile, path: &Path) -> Result<(Recipe, Option<PathBuf>)> {
    match weights.metadata().get("recipe") {
        Some(text) => Ok((Recipe::from_json(text)?, Some(path.to_owned()))),
        None => Ok(Recipe::beside(path)?),
    }
}

/// Trains a head on a folder of photos and writes the run.
///
/// # Errors
/// Any of [`Error`]. The features computed until then are kept for the next time, also when interrupted.
pub fn train(request: &Request, gpu: &Gpu, progress: &dyn Progress) -> Result<Trained> {
    let start = Instant::now();
    request.train.validate()?;
    let dataset = Dataset::open(&request.data)?;
    // Both read the whole file.
    let (weights, weights_sha256) =
        rayon::join(|| WeightFile::open(&request.weights), || digest::sha256(&request.weights));
    let (weights, weights_sha256) = (weights?, weights_sha256?);
    let (recipe, reading) = request.overrides.or_of(&weights, &request.weights)?;
    run::prepare(&request.out, request.force)?;
    for warning in &dataset.warnings {
        progress.warn(warning);
    }

    let preparation = Preparation { recipe: recipe.clone(), reading, limits: request.limits };
    let mut extractor = Extractor::new(Engines::on(gpu, &weights, recipe.input_size), request.batch);
    let cache = request.cache.clone().unwrap_or_else(|| request.out.join(run::FEATURES));
    let key = Key::new(&weights_sha256, gpu.precision, &preparation);
    let mut features = known(&cache, &key, weights.architecture().features(), progress);
    let before = features.count();
    let extraction = extract(&dataset.photos, &mut extractor, &mut features, &preparation, progress);
    if features.count() > before {
        features.save(&cache, &key)?;
    }
    let mut extraction = extraction?;
    extraction.rejected.splice(0..0, dataset.rejected.iter().cloned());
    tell_rejected(&extraction.rejected, progress);
    let featured = Instant::now();

    let parts = deal(&dataset, &extraction, &request.split, progress)?;
    let labels: Vec<usize> =
        extraction.kept.iter().filter_map(|&(photo, _)| label(&dataset.photos[photo].target)).collect();
    let of = |part: Part| -> Result<(Vec<f32>, Vec<usize>)> {
        let members: Vec<usize> = (0..parts.len()).filter(|&index| parts[index] == part).collect();
        let rows = features.rows(members.iter().map(|&index| &extraction.kept[index].1))?;
        Ok((flat(&rows), members.iter().map(|&index| labels[index]).collect()))
    };
    let (train, validation, test) = (of(Part::Train)?, of(Part::Validation)?, of(Part::Test)?);
    let validation_samples =
        (!validation.1.is_empty()).then_some(Samples { features: &validation.0, labels: &validation.1 });
    let (head, history) = head::train(
        gpu,
        Samples { features: &train.0, labels: &train.1 },
        validation_samples,
        &dataset.classes,
        &request.train,
        progress,
    )?;
    let trained = Instant::now();

    let mut counts = vec![0; dataset.classes.len()];
    train.1.iter().for_each(|&label| counts[label] += 1);
    let majority = majority(&counts);
    let judge = |(features, labels): &(Vec<f32>, Vec<usize>)| -> Result<Option<Evaluation>> {
        match labels.is_empty() {
            true => Ok(None),
            false => evaluate(&head.logits(features)?, labels, &dataset.classes, majority).map(Some),
        }
    };
    let (test_evaluation, validation_evaluation) = (judge(&test)?, judge(&validation)?);
    let logits = logits(&head, &features, &extraction)?;
    let rows = logits.chunks_exact(dataset.classes.len());
    let predictions = extraction.kept.iter().zip(&parts).zip(rows).map(|((&(photo, digest), &part), row)| {
        let Photo { name, path, target, .. } = dataset.photos[photo].clone();
        Prediction::new(name, path, digest, Some(part), label(&target), row)
    });
    let predictions = predictions.collect();

    let config = Config {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data: absolute(&request.data),
        classes: dataset.classes.clone(),
        rejected: extraction.rejected,
        weights: Weights {
            path: absolute(&request.weights),
            sha256: weights_sha256,
            architecture: weights.architecture().to_string(),
        },
        recipe: recipe.clone(),
        reading,
        split: request.split,
        train: request.train,
        features: absolute(&cache),
        batch: request.batch,
        precision: gpu.precision.name().to_owned(),
        adapter: Summary::of(&gpu.adapter),
        tuned: gpu.tuned.clone(),
    };
    let metrics = Metrics {
        photos: Photos {
            train: train.1.len(),
            validation: validation.1.len(),
            test: test.1.len(),
            rejected: config.rejected.len(),
            computed: extraction.computed,
        },
        test: test_evaluation,
        validation: validation_evaluation,
        history,
        seconds: Seconds {
            features: (featured - start).as_secs_f64(),
            head: (trained - featured).as_secs_f64(),
            total: start.elapsed().as_secs_f64(),
        },
    };
    let trained = Trained { config, metrics, predictions };
    let model = run::model(&weights, &head, &recipe, &reading)?;
    save(&request.out, &trained, &model)?;
    Ok(trained)
}

fn save(folder: &Path, trained: &Trained, model: &[u8]) -> Result<()> {
    let Trained { config, metrics, predictions } = trained;
    let json = |value: serde_json::Result<Vec<u8>>| value.expect("plain data");
    let mut staged = Staged::new(folder);
    staged.add(run::MODEL, model)?;
    staged.add(run::LABELS, (config.classes.join("\n") + "\n").as_bytes())?;
    staged.add(run::METRICS, &json(serde_json::to_vec_pretty(metrics)))?;
    staged.add(run::PREDICTIONS, &report::predictions_csv(predictions, &config.classes)?)?;
    staged.add(run::REPORT, page(trained).as_bytes())?;
    staged.add(run::CONFIG, &json(serde_json::to_vec_pretty(config)))?;
    staged.commit()
}

/// The report as a page, on the test part, or on what there is.
fn page(trained: &Trained) -> String {
    let Trained { config, metrics, predictions } = trained;
    let (part, title, evaluation) = match (&metrics.test, &metrics.validation) {
        (Some(test), _) => (Part::Test, "Photos never trained on", test),
        (None, Some(validation)) => (Part::Validation, "Validation photos (they chose the epoch)", validation),
        (None, None) => return String::from("<!doctype html><title>No photos were set aside to judge by</title>\n"),
    };
    let judged: Vec<_> = predictions.iter().filter(|photo| photo.part == Some(part)).cloned().collect();
    let photos = &metrics.photos;
    let facts = [
        ("photos", config.data.display().to_string()),
        (
            "parts",
            format!(
                "{} train, {} validation, {} test, {} rejected",
                photos.train, photos.validation, photos.test, photos.rejected
            ),
        ),
        ("backbone", format!("{}, {}", config.weights.architecture, config.weights.path.display())),
        ("SHA-256 of the weights", config.weights.sha256.clone()),
        ("seed", config.split.seed.to_string()),
        ("head", serde_json::to_string(&config.train).expect("plain data")),
        ("adapter", format!("{} ({}, {})", config.adapter.name, config.adapter.kind, config.adapter.driver)),
        ("time", format!("{:.1} s", metrics.seconds.total)),
        ("trainer", config.version.clone()),
    ];
    report::html(title, evaluation, &metrics.history, &judged, &facts)
}

/// Names what was left out, with the reasons.
pub fn tell_rejected(rejected: &[Rejected], progress: &dyn Progress) {
    if !rejected.is_empty() {
        let photos = words::count(rejected.len(), "photo");
        progress.warn(&format!("{photos} left out:\n{}", report::rejections(rejected).trim_end()));
    }
}

/// The features of an earlier run, or none; a damaged file costs time, no more.
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

/// The part of each photo kept, with warnings about copies, and an error where a class has nothing to learn from.
fn deal(
    dataset: &Dataset,
    extraction: &Extraction,
    options: &SplitOptions,
    progress: &dyn Progress,
) -> Result<Vec<Part>> {
    let photo = |index: usize| &dataset.photos[extraction.kept[index].0];
    let entries: Vec<Entry> = (extraction.kept.iter())
        .map(|&(index, digest)| Entry {
            target: &dataset.photos[index].target,
            digest,
            part: dataset.photos[index].part,
        })
        .collect();
    let parts = split(&entries, options)?;
    let copies = duplicates(entries.iter().map(|entry| entry.digest));
    let name = |indices: &Vec<usize>| photo(indices[0]).name.clone();
    let tell = |which: Vec<&Vec<usize>>, what: &str| {
        if !which.is_empty() {
            let names: Vec<String> = which.iter().map(|indices| name(indices)).collect();
            progress.warn(&format!("{}: {}", what.replace('#', &words::count(names.len(), "photo")), first(&names, 5)));
        }
    };
    let differ = |differs: &dyn Fn(usize, usize) -> bool| {
        copies.iter().filter(|copy| copy.iter().any(|&index| differs(index, copy[0]))).collect::<Vec<_>>()
    };
    tell(copies.iter().collect(), "# occur more than once, and copies stay in one part");
    tell(
        differ(&|a, b| entries[a].target != entries[b].target),
        "# lie in several classes: no classifier can get all of them right",
    );
    tell(
        differ(&|a, b| parts[a] != parts[b]),
        "# lie in several of the folders train, val and test: the test is too kind",
    );
    for (place, (class, &found)) in dataset.classes.iter().zip(&dataset.counts()).enumerate() {
        let train = (0..entries.len())
            .any(|index| parts[index] == Part::Train && entries[index].target.classes().contains(&Class::new(place)));
        if !train {
            return Err(Error::NothingReadable { what: format!("class {class:?}"), found });
        }
    }
    Ok(parts)
}

/// A judgement of a run on a folder.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The judgement.
    pub evaluation: Evaluation,
    /// The same, photo by photo.
    pub predictions: Vec<Prediction>,
    /// What couldn't be read.
    pub rejected: Vec<Rejected>,
    /// How many photos were left out because the run was trained on them, or chosen by them.
    pub seen: usize,
}

/// Judges a run on a folder of labelled photos: its `test` folder where it has one, else all of it, without the
/// photos that the run was made with unless `all` is set.
///
/// # Errors
/// The folder isn't labelled with the run's classes; none of its photos is left to judge by.
pub fn judge(
    run: &Run,
    data: &Path,
    all: bool,
    batch: usize,
    limits: &Limits,
    gpu: &Gpu,
    progress: &dyn Progress,
) -> Result<Judged> {
    let mut dataset = Dataset::open_for(data, &run.head.classes)?;
    for warning in &dataset.warnings {
        progress.warn(warning);
    }
    if dataset.photos.iter().any(|photo| photo.part == Some(Part::Test)) {
        dataset.photos.retain(|photo| photo.part == Some(Part::Test));
    }
    let (features, mut extraction) = pass(run, &dataset.photos, batch, limits, gpu, progress)?;
    extraction.rejected.splice(0..0, dataset.rejected);
    tell_rejected(&extraction.rejected, progress);
    let seen = run.seen()?;
    let found = extraction.kept.len();
    if !all {
        extraction.kept.retain(|(_, digest)| !seen.digests.contains(&hex(digest)));
    }
    let left_out = found - extraction.kept.len();
    if extraction.kept.is_empty() {
        let what = match left_out {
            0 => data.display().to_string(),
            _ => format!("{}: the run was made with {left_out} of them (--all judges those too)", data.display()),
        };
        return Err(Error::NothingReadable { what, found: dataset.photos.len() });
    }
    let labels: Vec<usize> =
        extraction.kept.iter().filter_map(|&(photo, _)| label(&dataset.photos[photo].target)).collect();
    let logits = logits(&run.head, &features, &extraction)?;
    let evaluation = evaluate(&logits, &labels, &run.head.classes, seen.majority)?;
    let rows = extraction.kept.iter().zip(logits.chunks_exact(run.head.classes.len()));
    let predictions = rows.map(|(&(photo, digest), row)| {
        let Photo { name, path, target, part } = dataset.photos[photo].clone();
        Prediction::new(name, path, digest, part, label(&target), row)
    });
    Ok(Judged { evaluation, predictions: predictions.collect(), rejected: extraction.rejected, seen: left_out })
}

/// What a run says about photos of unknown class.
///
/// # Errors
/// None of the photos can be read; the adapter failed.
pub fn predict(
    run: &Run,
    photos: &[Photo],
    batch: usize,
    limits: &Limits,
    gpu: &Gpu,
    progress: &dyn Progress,
) -> Result<(Vec<Prediction>, Vec<Rejected>)> {
    let (features, extraction) = pass(run, photos, batch, limits, gpu, progress)?;
    tell_rejected(&extraction.rejected, progress);
    let logits = logits(&run.head, &features, &extraction)?;
    let rows = extraction.kept.iter().zip(logits.chunks_exact(run.head.classes.len()));
    let predictions = rows.map(|(&(photo, digest), row)| {
        let Photo { name, path, .. } = photos[photo].clone();
        Prediction::new(name, path, digest, None, None, row)
    });
    Ok((predictions.collect(), extraction.rejected))
}

/// Photos through a run's backbone, using the features that its training kept.
fn pass(
    run: &Run,
    photos: &[Photo],
    batch: usize,
    limits: &Limits,
    gpu: &Gpu,
    progress: &dyn Progress,
) -> Result<(Features, Extraction)> {
    let preparation = Preparation { recipe: run.recipe.clone(), reading: run.reading, limits: *limits };
    let engines = Engines::on(gpu, &run.weights, run.recipe.input_size);
    let mut extractor = Extractor::new(engines, batch.min(photos.len()));
    let width = run.weights.architecture().features();
    // The run's features are keyed by the file the backbone came from, whose digest its config has.
    let path = run.folder.join(run::CONFIG);
    let config = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Config>(&bytes).ok());
    let mut features = match config {
        Some(config) => {
            let key = Key::new(&config.weights.sha256, gpu.precision, &preparation);
            known(&config.features, &key, width, progress)
        }
        None => Features::new(width),
    };
    let extraction = extract(photos, &mut extractor, &mut features, &preparation, progress)?;
    Ok((features, extraction))
}

/// What a head says of all photos kept. Their features aren't copied as a whole.
fn logits(head: &Head, features: &Features, extraction: &Extraction) -> Result<Vec<f32>> {
    let mut logits = Vec::with_capacity(extraction.kept.len() * head.classes.len());
    for some in extraction.kept.chunks(1024) {
        logits.extend(head.logits(&flat(&features.rows(some.iter().map(|(_, digest)| digest))?))?);
    }
    Ok(logits)
}

/// Rows one after the other.
fn flat(rows: &Rows) -> Vec<f32> {
    rows.iter().flatten().copied().collect()
}

/// Features of all photos of a folder.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The photos' names, one for each row.
    pub names: Vec<String>,
    /// `[names, feature_len]`.
    pub features: Vec<f32>,
    /// What couldn't be read.
    pub rejected: Vec<Rejected>,
}

/// Passes every photo of a folder, labelled or not, through a backbone.
///
/// # Errors
/// No photos that can be read; the adapter failed.
pub fn embed(
    data: &Path,
    weights: &Path,
    overrides: &Overrides,
    batch: usize,
    limits: &Limits,
    gpu: &Gpu,
    progress: &dyn Progress,
) -> Result<Embedded> {
    let listing = data::list(data)?;
    let file = WeightFile::open(weights)?;
    let (recipe, reading) = overrides.or_of(&file, weights)?;
    let mut extractor = Extractor::new(Engines::on(gpu, &file, recipe.input_size), batch);
    let preparation = Preparation { recipe, reading, limits: *limits };
    let mut features = Features::new(file.architecture().features());
    let mut extraction = extract(&listing.photos, &mut extractor, &mut features, &preparation, progress)?;
    extraction.rejected.splice(0..0, listing.rejected);
    tell_rejected(&extraction.rejected, progress);
    if extraction.kept.is_empty() {
        return Err(Error::NothingReadable { what: data.display().to_string(), found: extraction.rejected.len() });
    }
    Ok(Embedded {
        names: extraction.kept.iter().map(|&(photo, _)| listing.photos[photo].name.clone()).collect(),
        features: flat(&features.rows(extraction.digests())?),
        rejected: extraction.rejected,
    })
}

impl Embedded {
    /// As safetensors: the tensor `features`, the names as a JSON list `paths` in the metadata.
    pub fn safetensors(&self) -> Vec<u8> {
        use safetensors::tensor::{Dtype, TensorView};
        let bytes = self.bytes();
        let view = TensorView::new(Dtype::F32, self.shape().to_vec(), &bytes).expect("as many bytes as the shape says");
        let paths = serde_json::to_string(&self.names).expect("plain data");
        let metadata = HashMap::from([("paths".to_owned(), paths)]);
        safetensors::serialize([("features", view)], Some(metadata)).expect("one plain tensor")
    }

    /// As NumPy's .npy, version 1.0, which has no room for names.
    pub fn npy(&self) -> Vec<u8> {
        let [rows, columns] = self.shape();
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
        // Magic, version and length are 10 bytes; the data begins at a multiple of 64.
        let padded = (header.len() + 11).next_multiple_of(64) - 11;
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(((padded + 1) as u16).to_le_bytes());
        bytes.extend(format!("{header:padded$}\n").bytes());
        bytes.extend(self.bytes());
        bytes
    }

    /// Photos and features a photo.
    pub fn shape(&self) -> [usize; 2] {
        [self.names.len(), self.features.len() / self.names.len().max(1)]
    }

    fn bytes(&self) -> Vec<u8> {
        self.features.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

/// A path that means the same from any folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The place of a photo's class, where it has one.
fn label(target: &Target) -> Option<usize> {
    target.class().map(Class::index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::untrained::random_weights;
    use resnet::{Architecture, Interpolation, Resize};

    #[test]
    fn weights_own_their_preprocessing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        std::fs::write(&path, random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], None), 1)).unwrap();
        let weights = WeightFile::open(&path).unwrap();
        assert_eq!(recipe_of(&weights, &path).unwrap(), (Recipe::default(), None));
        // timm's, beside the weights.
        let timm = r#"{"pretrained_cfg": {"input_size": [3, 64, 64], "crop_pct": 1.0, "interpolation": "bicubic"}}"#;
        std::fs::write(dir.path().join("config.json"), timm).unwrap();
        let (recipe, from) = recipe_of(&weights, &path).unwrap();
        assert_eq!(from, Some(dir.path().join("config.json")));
        assert_eq!((recipe.input_size, recipe.resize), ([64, 64], Resize::ShorterSide(64)));
        assert_eq!(recipe.interpolation, Interpolation::Bicubic);
        // A run's own, in the metadata of its model, before any file beside it.
        let head = Head { weight: vec![0.5; 16], bias: vec![0.0; 2], classes: vec!["a".into(), "b".into()] };
        let own = Recipe { input_size: [32, 32], ..Recipe::default() };
        std::fs::write(dir.path().join(run::MODEL), run::model(&weights, &head, &own, &Reading::default()).unwrap())
            .unwrap();
        let run = Run::open(dir.path()).unwrap();
        assert_eq!(recipe_of(&run.weights, &path).unwrap(), (own.clone(), Some(path.clone())));
        assert_eq!((run.recipe, run.head), (own, head.clone()));
        let narrow = Head { weight: vec![0.5; 8], ..head };
        assert!(run::model(&weights, &narrow, &Recipe::default(), &Reading::default()).is_err());
    }

    /// Photos that are easily read in two ways: turned by the camera, transparent, deep, compressed with loss.
    fn delicate_photos(folder: &Path) {
        use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgb, Rgba};
        for (class, shade) in [("a", 20u8), ("b", 160)] {
            std::fs::create_dir_all(folder.join(class)).unwrap();
            let write = |name: &str, image: DynamicImage, format: ImageFormat| {
                let mut bytes = std::io::Cursor::new(Vec::new());
                image.write_to(&mut bytes, format).unwrap();
                let mut bytes = bytes.into_inner();
                if name.starts_with("turned") {
                    // An EXIF segment that holds one tag: orientation 6.
                    let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01".to_vec();
                    exif.extend(b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00");
                    bytes.splice(2..2, exif);
                }
                std::fs::write(folder.join(class).join(name), bytes).unwrap();
            };
            let rgb = ImageBuffer::from_fn(50, 40, |x, y| Rgb([shade, 2 * x as u8, 3 * y as u8]));
            write("plain.jpg", rgb.clone().into(), ImageFormat::Jpeg);
            write("turned.jpg", rgb.clone().into(), ImageFormat::Jpeg);
            write("plain.gif", rgb.into(), ImageFormat::Gif);
            let clear = ImageBuffer::from_fn(45, 60, |x, y| Rgba([x as u8, shade, y as u8, 4 * x as u8]));
            write("clear.png", clear.clone().into(), ImageFormat::Png);
            write("clear.webp", clear.into(), ImageFormat::WebP);
            let deep = ImageBuffer::from_fn(70, 35, |x, y| Luma([u16::from(shade) + (x * y) as u16 / 20]));
            write("deep.png", deep.into(), ImageFormat::Png);
        }
    }

    #[test]
    fn every_command_takes_photos_in_the_same_way() {
        use crate::photos::{Background, Exif};

        let dir = tempfile::tempdir().unwrap();
        let (data, out, weights) = (dir.path().join("data"), dir.path().join("run"), dir.path().join("w.safetensors"));
        delicate_photos(&data);
        std::fs::write(&weights, random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], None), 1)).unwrap();
        let gpu = pollster::block_on(crate::machine::device::open(&Default::default())).unwrap();
        let recipe = Recipe { input_size: [32, 32], resize: Resize::ShorterSide(36), ..Recipe::default() };
        let reading = Reading { exif: Exif::Ignore, background: Background::Over([200, 30, 90]) };
        let limits = Limits::default();
        let close = |got: &[f32], want: &[f32]| got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-5);

        let request = Request {
            data: data.clone(),
            weights: weights.clone(),
            out: out.clone(),
            force: false,
            cache: None,
            overrides: Overrides { recipe: Some(recipe.clone()), reading: Some(reading) },
            split: SplitOptions::default(),
            train: TrainOptions { epochs: 1, warmup_epochs: 0, ..Default::default() },
            batch: 5,
            limits,
        };
        let trained = train(&request, &gpu, &()).unwrap();
        assert_eq!((trained.config.reading, trained.config.rejected), (reading, Vec::new()));
        let key = Key::new(
            &trained.config.weights.sha256,
            gpu.precision,
            &Preparation { recipe: recipe.clone(), reading, limits },
        );
        let kept = Features::load(&out.join(run::FEATURES), &key, 8).unwrap().unwrap();
        let digests: Vec<_> = trained.predictions.iter().map(|photo| photo.digest).collect();
        let rows = flat(&kept.rows(&digests).unwrap());

        // Features that were kept would spare the others the photos.
        std::fs::remove_file(out.join(run::FEATURES)).unwrap();
        let run = Run::open(&out).unwrap();
        let same = |predictions: &[Prediction]| {
            assert_eq!(predictions.len(), 12);
            for (got, want) in predictions.iter().zip(&trained.predictions) {
                assert_eq!(got.digest, want.digest);
                let all = |photo: &Prediction| photo.top.iter().map(|&(_, share)| share as f32).collect::<Vec<_>>();
                assert!(close(&all(got), &all(want)), "{}", got.name);
            }
        };
        same(&judge(&run, &data, true, 4, &limits, &gpu, &()).unwrap().predictions);
        let photos: Vec<Photo> =
            (data::list(&data).unwrap().photos.iter()).map(|found| Photo::at(&found.path)).collect();
        same(&predict(&run, &photos, 3, &limits, &gpu, &()).unwrap().0);
        let embedded = embed(&data, &out.join(run::MODEL), &Overrides::default(), 7, &limits, &gpu, &()).unwrap();
        assert!(embedded.features.len() == rows.len() && close(&embedded.features, &rows));
        let overrides = Overrides { recipe: Some(recipe), reading: Some(Reading::default()) };
        let others = embed(&data, &weights, &overrides, 7, &limits, &gpu, &()).unwrap().features;
        let same = rows.chunks(8).zip(others.chunks(8)).filter(|(ours, theirs)| close(ours, theirs)).count();
        assert_eq!(same, 6, "three of a class can be read in two ways, and the test must see it");
    }

    #[test]
    fn npy_is_padded_to_64() {
        let embedded = Embedded { names: vec!["a".into(), "b".into()], features: vec![1.0; 6], rejected: Vec::new() };
        let bytes = embedded.npy();
        assert_eq!(bytes.len(), 128 + 24);
        assert_eq!(usize::from(u16::from_le_bytes([bytes[8], bytes[9]])) + 10, 128);
        assert!(String::from_utf8_lossy(&bytes[10..128]).contains("'shape': (2, 3)"));
    }
}
