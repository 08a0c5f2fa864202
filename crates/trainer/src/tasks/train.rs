//! From labelled photos to an evaluated run.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use resnet::WeightFile;

use crate::data::split::SplitOptions;
use crate::data::{Class, Dataset, Origin, Part, Target};
use crate::digest::{self, Digest};
use crate::error::{Error, Result};
use crate::files::is_below;
use crate::head::metrics::{Evaluation, evaluate, majority};
use crate::head::{self, Fit, Folds, Head, Problem, TrainOptions};
use crate::machine::device::Summary;
use crate::photos::Reading;
use crate::progress::{Stage, watched};
use crate::report::{Counts, Metrics, Prediction, Seconds};
use crate::run::{self, Config, Making, Weights};
use crate::session::{Overrides, Pretrained, Session};
use crate::tasks::assign::{Assigned, Rules, assign};
use crate::tasks::before::{Before, Since};
use crate::tasks::known::Known;
use crate::tasks::labelled::labelled;
use crate::tasks::likeness::likeness;
use crate::tasks::trained::{Kept, Trained};

/// What a training is asked to do.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where the photos come from.
    pub data: Origin,
    /// The backbone's weights.
    pub weights: PathBuf,
    /// The folder to write the run into.
    pub out: PathBuf,
    /// Replace a finished run there.
    pub force: bool,
    /// Where photos aren't read and prepared as the weights say.
    pub overrides: Overrides,
    /// Which photo plays which part.
    pub split: SplitOptions,
    /// The parts that photos played in an earlier run, by SHA-256 of their content: they keep them, and only others are dealt new ones.
    pub kept: HashMap<Digest, Part>,
    /// How the head is trained.
    pub train: TrainOptions,
}

impl Request {
    /// Asks for a training with the usual options, into a new run.
    ///
    /// ```
    /// use trainer::{head::TrainOptions, tasks::Request};
    ///
    /// let train = TrainOptions { seed: 7, ..Default::default() };
    /// let request = Request { force: true, train, ..Request::new("photos", "resnet18.safetensors", "run") };
    /// assert_eq!(request.split, Default::default());
    /// ```
    pub fn new(data: impl Into<Origin>, weights: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        let (data, weights, out) = (data.into(), weights.into(), out.into());
        let (overrides, split, kept, train) = Default::default();
        Self { data, weights, out, force: false, overrides, split, kept, train }
    }
}

/// Trains a head on labelled photos and writes the run. What a photo counts ([`Photo::weight`](crate::data::Photo)) moves what is learnt alone: where the
/// head is validated and tested, each photo counts once.
///
/// # Errors
/// Any of [`Error`](crate::Error). The features computed until then are kept in the session's store, also when interrupted.
pub fn train(session: &Session<'_>, request: &Request) -> Result<Trained> {
    train_since(session, request, None)
}

/// Trains as [`train`] does, and says what changed since an earlier run.
pub(crate) fn train_since(session: &Session<'_>, request: &Request, before: Option<&Before>) -> Result<Trained> {
    let start = Instant::now();
    request.train.check()?;
    request.split.check()?;
    let by = request.split.group_by.as_deref();
    let mut dataset = watched(session.progress, Stage::LISTING, || labelled(&request.data, by))?;
    learn_from_given(&mut dataset, &request.train);
    let opened;
    let weights = match before {
        Some(before) => &before.weights,
        None => {
            opened = watched(session.progress, Stage::WEIGHTS, || WeightFile::open(&request.weights))?;
            &opened
        }
    };
    // Of what was read, not of the path: what is hashed is what runs and what is saved.
    let sha256 = digest::sha256(weights.bytes());
    let (recipe, reading) = request.overrides.or_of(weights, &request.weights)?;
    check_outside(&request.out, &request.data.path)?;
    let folder = Making::begin(&request.out, request.force)?;
    dataset.warnings.iter().for_each(|warning| session.progress.warn(warning));

    let backbone = Pretrained { weights, recipe: &recipe, reading };
    let known = Known::new(session, &backbone, &dataset.photos, &dataset.rejected)?;
    let learning = Learning {
        dataset: &dataset,
        known: &known,
        reading,
        split: &request.split,
        kept: &request.kept,
        train: &request.train,
        before,
        start,
    };
    let Learnt { head, likeness, metrics, predictions } = learn(session, &learning)?;
    let model = run::model(weights, &head, &recipe, &reading)?;
    let batch = session.batch(recipe.input_size);
    let config = Config {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data: request.data.absolute(),
        classes: dataset.classes.clone(),
        rejected: known.rejected.clone(),
        weights: Some(Weights {
            path: absolute(&request.weights),
            architecture: weights.architecture().to_string(),
            sha256,
        }),
        features: None,
        recipe,
        reading,
        split: request.split.clone(),
        train: request.train,
        batch,
        precision: session.gpu.precision.name().to_owned(),
        adapter: Summary::of(&session.gpu.adapter),
        tuned: session.gpu.tuned.clone(),
        files: BTreeMap::new(),
    };
    let mut trained = Trained { config, metrics, predictions };
    trained.save(folder, Kept { model, known: likeness }, &session.limits)?;
    Ok(trained)
}

/// Lets photos be learnt from that were given to choose by, where nothing is chosen by them and others judge.
pub(crate) fn learn_from_given(dataset: &mut Dataset, train: &TrainOptions) {
    if !train.optimizer.has_epochs() && dataset.photos.iter().any(|photo| photo.part == Some(Part::Test)) {
        // Cross-validation chooses by what is learnt from: photos that were given to choose by can be learnt from too.
        let given = dataset.photos.iter_mut().filter(|photo| photo.part == Some(Part::Validation));
        given.for_each(|photo| photo.part = Some(Part::Train));
    }
}

/// What a head learns from, and how.
pub(crate) struct Learning<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) known: &'a Known<'a>,
    pub(crate) reading: Reading,
    pub(crate) split: &'a SplitOptions,
    /// As in [`Request::kept`].
    pub(crate) kept: &'a HashMap<Digest, Part>,
    pub(crate) train: &'a TrainOptions,
    /// The run that is trained again.
    pub(crate) before: Option<&'a Before>,
    /// When the work began.
    pub(crate) start: Instant,
}

/// What came of it.
pub(crate) struct Learnt {
    pub(crate) head: Head,
    /// What photos like these are known by, as a run keeps it.
    pub(crate) likeness: Option<Vec<u8>>,
    pub(crate) metrics: Metrics,
    pub(crate) predictions: Vec<Prediction>,
}

/// Assigns parts to photos whose features are known, finds the head, and judges it.
pub(crate) fn learn(session: &Session<'_>, learning: &Learning<'_>) -> Result<Learnt> {
    let Learning { dataset, known, reading, split, kept, train, before, start } = learning;
    let featured = Instant::now();

    let rules = Rules { split, kept, reading: *reading, optimizer: train.optimizer };
    let Assigned { parts, leaks, deals, all_train } = assign(session, dataset, known, &rules)?;
    let (learnt, validation) = (known.select(&parts, Part::Train)?, known.select(&parts, Part::Validation)?);
    let deals = dealt(&deals, &learnt.places);
    let problem = Problem {
        classes: &dataset.classes,
        train: learnt.samples(),
        validation: (!validation.targets.is_empty()).then(|| validation.samples()),
        folds: deals.as_ref().map(|deals| Folds { deals, nested: all_train }),
    };
    let fit = head::solve(&session.gpu, &problem, train, session.progress)?;
    let deal = deals.iter().flatten().next();
    let likeness = deal.map(|deal| likeness(session, &problem, deal, &fit, train)).transpose()?.flatten();
    let Fit { head, history, certificate, cross_validation, temperature } = fit;
    let solved = Instant::now();

    let mut predictions = known.predictions(&head, |index, _| Some(parts[index]))?;
    if let Some(found) = &cross_validation {
        // Of photos that it learnt from the head says what it was told: what others say that didn't is worth more.
        let rows = found.logits.chunks_exact(dataset.classes.len());
        for (&place, logits) in learnt.places.iter().zip(rows) {
            predictions[place].logits = logits.to_vec();
            predictions[place].cross_validated = found.nested;
        }
    }
    let majority = majority(&counts(&learnt.targets, &dataset.classes));
    let evaluated = |part, without: &HashSet<usize>| {
        let of_part = |(place, photo): &(usize, &Prediction)| photo.part == Some(part) && !without.contains(place);
        let photos = predictions.iter().enumerate().filter(of_part).map(|(_, photo)| photo);
        evaluate_some(photos, &dataset.classes, majority)
    };
    let none = HashSet::new();
    let (test, validation) = (evaluated(Part::Test, &none)?, evaluated(Part::Validation, &none)?);
    let cross_validated = match &cross_validation {
        Some(_) if all_train => evaluated(Part::Train, &none)?,
        _ => None,
    };
    let leaks: HashSet<usize> =
        leaks.iter().map(|leak| leak.photo).filter(|&photo| parts[photo] == Part::Test).collect();
    let test_without_leaks = if leaks.is_empty() { None } else { evaluated(Part::Test, &leaks)? };
    let judged = match (&test, &validation) {
        _ if cross_validated.is_some() => Part::Train,
        (None, Some(_)) if !train.optimizer.has_epochs() => Part::Validation,
        _ => Part::Test,
    };
    let since = Since { dataset, known, parts: &parts, predictions: &predictions, judged };
    let change = before.map(|before| before.change(&since)).transpose()?;
    let metrics = Metrics {
        schema: Metrics::SCHEMA,
        photos: Counts::new(&parts, known.rejected.len(), known.computed),
        test,
        leaks: leaks.len(),
        test_without_leaks,
        validation,
        cross_validated,
        cross_validation,
        certificate,
        temperature,
        change,
        history,
        seconds: Seconds {
            features: (featured - *start).as_secs_f64(),
            head: (solved - featured).as_secs_f64(),
            total: start.elapsed().as_secs_f64(),
        },
    };
    let known = likeness.map(|known| known.to_bytes());
    Ok(Learnt { head, likeness: known, metrics, predictions })
}

/// Picks the folds of what is learnt from, if there are enough of them to choose and to judge by; each that is left has rows.
fn dealt(deals: &[Vec<usize>], places: &[usize]) -> Option<Vec<Vec<usize>>> {
    let of = |deal: &Vec<usize>| -> Vec<usize> {
        let folds: Vec<usize> = places.iter().map(|&place| deal[place]).collect();
        let used: BTreeSet<usize> = folds.iter().copied().collect();
        folds.iter().map(|fold| used.range(..fold).count()).collect()
    };
    let deals: Vec<Vec<usize>> = deals.iter().map(of).collect();
    let enough = |deal: &Vec<usize>| deal.iter().max().is_some_and(|most| *most >= 2);
    (!deals.is_empty() && deals.iter().all(enough)).then_some(deals)
}

/// Checks that a run doesn't lie in the folder of photos, where the next training would take it for a class.
fn check_outside(out: &Path, data: &Path) -> Result<()> {
    if data.is_dir() && is_below(out, data)? {
        let problem =
            "lies in the folder of photos, where the next training would take it for a class: give a folder elsewhere";
        return Err(Error::OutputExists { path: out.to_owned(), problem, finished: false });
    }
    Ok(())
}

/// Evaluates some predictions, beside always guessing `majority`; none where there are none.
fn evaluate_some<'a>(
    photos: impl Iterator<Item = &'a Prediction>,
    classes: &[String],
    majority: Class,
) -> Result<Option<Evaluation>> {
    let mut photos = photos.peekable();
    if photos.peek().is_none() {
        return Ok(None);
    }
    let photos = photos.map(|photo| (&photo.logits[..], &photo.target));
    evaluate(photos, classes, majority).map(Some)
}

/// Counts the targets of each class.
fn counts(targets: &[Target], classes: &[String]) -> Vec<usize> {
    let mut counts = vec![0; classes.len()];
    targets.iter().filter_map(Target::class).for_each(|class| counts[class.index()] += 1);
    counts
}

/// Makes a path that means the same from any folder.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use resnet::{Architecture, Recipe, Resize};

    use super::*;
    use crate::data::{self, Photo};
    use crate::features::{Rows, StoreOptions};
    use crate::head::Optimizer;
    use crate::machine::device;
    use crate::photos::{Background, Exif, Limits, Reading};
    use crate::run::Run;
    use crate::tasks::{Telling, embed, evaluate, predict};
    use crate::untrained::random_weights;

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
        let dir = tempfile::tempdir().unwrap();
        let (data, out, weights) = (dir.path().join("data"), dir.path().join("run"), dir.path().join("w.safetensors"));
        delicate_photos(&data);
        std::fs::write(&weights, random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], None), 1)).unwrap();
        let gpu = pollster::block_on(device::open(&Default::default())).unwrap();
        let mut session = Session { gpu, batch: Some(5), limits: Limits::default(), store: None, progress: &() };
        session.store = Some(StoreOptions::at(dir.path().join("store")));
        let recipe = Recipe { input_size: [32, 32], resize: Resize::ShorterSide(36), ..Recipe::default() };
        let reading = Reading { exif: Exif::Ignore, background: Background::Over([200, 30, 90]) };
        let close = |got: &[f32], want: &[f32]| got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-5);

        let request = Request {
            data: data.clone().into(),
            weights: weights.clone(),
            out: out.clone(),
            force: false,
            overrides: Overrides { recipe: Some(recipe.clone()), reading: Some(reading) },
            split: SplitOptions::default(),
            kept: HashMap::new(),
            train: TrainOptions { optimizer: Optimizer::ADAMW, epochs: 1, warmup_epochs: 0, ..Default::default() },
        };
        let trained = train(&session, &request).unwrap();
        assert_eq!((trained.config.reading, trained.config.rejected), (reading, Vec::new()));
        // The run's own model finds the features that were kept for the file it came from.
        let run = Run::open(&out).unwrap();
        let flat = |rows: Rows<'_>| rows.iter().flatten().copied().collect::<Vec<f32>>();
        let kept = embed(&session, &data, &out.join(run::MODEL), &Overrides::default()).unwrap();
        assert_eq!(kept.computed, 0);
        let rows = flat(kept.rows().unwrap());

        // These would spare the others the photos.
        session.store = None;
        let same = |predictions: &[Prediction]| {
            assert_eq!(predictions.len(), 12);
            for (got, want) in predictions.iter().zip(&trained.predictions) {
                assert_eq!(got.digest, want.digest);
                let all = |photo: &Prediction| {
                    photo.probabilities().into_iter().map(|share| share as f32).collect::<Vec<_>>()
                };
                assert!(close(&all(got), &all(want)), "{}", got.name);
            }
        };
        let telling = Telling::of(&run, None).unwrap();
        session.batch = Some(4);
        same(&evaluate(&session, &run, &data, true, &telling).unwrap().predictions);
        let photos: Vec<Photo> =
            (data::list(&data).unwrap().photos.iter()).map(|found| Photo::at(&found.path)).collect();
        same(&predict(&session, &run, &photos).unwrap().predictions);
        let embedded = embed(&session, &data, &out.join(run::MODEL), &Overrides::default()).unwrap();
        let embedded = flat(embedded.rows().unwrap());
        assert!(embedded.len() == rows.len() && close(&embedded, &rows));
        let overrides = Overrides { recipe: Some(recipe), reading: Some(Reading::default()) };
        let others = embed(&session, &data, &weights, &overrides).unwrap();
        let others = flat(others.rows().unwrap());
        let same = rows.chunks(8).zip(others.chunks(8)).filter(|(ours, theirs)| close(ours, theirs)).count();
        assert_eq!(same, 6, "three of a class can be read in two ways, and the test must see it");

        // What can be refused at once is refused before the photos are passed through the backbone.
        std::fs::write(out.join(run::PARTS), "{}").unwrap();
        session.progress = &Idle;
        let error = evaluate(&session, &run, &data, false, &telling).unwrap_err();
        assert!(matches!(error, Error::InvalidRun { .. }), "{error}");
    }

    /// Watches a task that must not begin with its photos.
    struct Idle;

    impl crate::progress::Progress for Idle {
        fn begin(&self, stage: Stage, _total: usize) {
            assert_ne!(stage, Stage::FEATURES);
        }
    }
}
