//! From a folder of photos to a judged run.

use std::path::{Path, PathBuf};
use std::time::Instant;

use resnet::WeightFile;

use crate::data::split::{Entry, SplitOptions, duplicates, split};
use crate::data::{Dataset, Part, Photo};
use crate::digest;
use crate::error::{Error, Result};
use crate::features::Extraction;
use crate::files::Staged;
use crate::head::metrics::{Evaluation, evaluate};
use crate::head::{self, Samples, TrainOptions};
use crate::machine::device::Summary;
use crate::progress::Progress;
use crate::report::{self, Metrics, Photos, Prediction, Seconds};
use crate::run::{self, Config, Weights, majority};
use crate::session::{Overrides, Pretrained, Session};
use crate::tasks::predict::logits;
use crate::tasks::rejected::tell_rejected;
use crate::words::{count, first};

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

/// Trains a head on a folder of photos and writes the run.
///
/// # Errors
/// Any of [`Error`]. The features computed until then are kept for the next time, also when interrupted.
pub fn train(session: &Session<'_>, request: &Request) -> Result<Trained> {
    let Session { gpu, progress, .. } = session;
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

    let cache = request.cache.clone().unwrap_or_else(|| request.out.join(run::FEATURES));
    let backbone = Pretrained { weights: &weights, sha256: &weights_sha256, recipe: &recipe, reading };
    let (features, mut extraction) = session.features(&backbone, &dataset.photos, Some(&cache), true)?;
    extraction.rejected.splice(0..0, dataset.rejected.iter().cloned());
    tell_rejected(&extraction.rejected, *progress);
    let featured = Instant::now();

    let parts = deal(&dataset, &extraction, &request.split, *progress)?;
    let labels: Vec<usize> = extraction.kept.iter().map(|&(photo, _)| dataset.photos[photo].label).collect();
    let of = |part: Part| -> Result<(Vec<f32>, Vec<usize>)> {
        let members: Vec<usize> = (0..parts.len()).filter(|&index| parts[index] == part).collect();
        let rows = features.gather(members.iter().map(|&index| &extraction.kept[index].1))?;
        Ok((rows, members.iter().map(|&index| labels[index]).collect()))
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
        *progress,
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
        let Photo { name, path, label, .. } = dataset.photos[photo].clone();
        Prediction::new(name, path, digest, Some(part), Some(label), row)
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
        batch: session.batch,
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

/// The part of each photo kept, with warnings about copies, and an error where a class has nothing to learn from.
fn deal(
    dataset: &Dataset,
    extraction: &Extraction,
    options: &SplitOptions,
    progress: &dyn Progress,
) -> Result<Vec<Part>> {
    let photo = |index: usize| &dataset.photos[extraction.kept[index].0];
    let entries: Vec<Entry> = (extraction.kept.iter())
        .map(|&(index, digest)| Entry { label: dataset.photos[index].label, digest, part: dataset.photos[index].part })
        .collect();
    let parts = split(&entries, options)?;
    let copies = duplicates(&entries);
    let name = |indices: &Vec<usize>| photo(indices[0]).name.clone();
    let tell = |which: Vec<&Vec<usize>>, what: &str| {
        if !which.is_empty() {
            let names: Vec<String> = which.iter().map(|indices| name(indices)).collect();
            progress.warn(&format!("{}: {}", what.replace('#', &count(names.len(), "photo")), first(&names, 5)));
        }
    };
    let differs = |value: &dyn Fn(usize) -> usize| {
        copies.iter().filter(|copy| copy.iter().any(|&index| value(index) != value(copy[0]))).collect::<Vec<_>>()
    };
    tell(copies.iter().collect(), "# occur more than once, and copies stay in one part");
    tell(differs(&|index| entries[index].label), "# lie in several classes: no classifier can get all of them right");
    tell(
        differs(&|index| parts[index] as usize),
        "# lie in several of the folders train, val and test: the test is too kind",
    );
    for (class, &found) in dataset.classes.iter().zip(&dataset.counts()) {
        let train = (0..entries.len())
            .any(|index| parts[index] == Part::Train && dataset.classes[entries[index].label] == *class);
        if !train {
            return Err(Error::NothingReadable { what: format!("class {class:?}"), found });
        }
    }
    Ok(parts)
}

/// A path that means the same from any folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
