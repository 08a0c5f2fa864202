//! From labelled photos to an evaluated run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::data::split::SplitOptions;
use crate::data::{Dataset, Origin, Part};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::files::is_below;
use crate::head::TrainOptions;
use crate::photos::Views;
use crate::progress::{Stage, watched};
use crate::report::Seconds;
use crate::run::{self, Making, Weights};
use crate::session::{Overrides, Session};
use crate::tasks::assign::Assigned;
use crate::tasks::backbones::{Backbone, Files, Passed, Rival, agree, choose};
use crate::tasks::baselines::baselines;
use crate::tasks::before::Before;
use crate::tasks::known::Known;
use crate::tasks::labelled::labelled;
use crate::tasks::learn::{Learning, Learnt, MadeFrom, learn, learn_from_given};
use crate::tasks::tell::tell_rejected;
use crate::tasks::trained::Trained;
use crate::tasks::views::{Tried, try_views};

/// What a training is asked to do.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where the photos come from.
    pub data: Origin,
    /// The backbone; of several the best is kept, see [`Metrics::backbones`](crate::report::Metrics::backbones).
    pub backbones: Vec<Backbone>,
    /// Keep the cheapest backbone whose log loss is within a standard error of the lowest, in the place of the one with the lowest.
    pub within_error: bool,
    /// Views of each photo besides the plain one, which are kept where the head gains by them: see [`Metrics::views`](crate::report::Metrics::views).
    pub views: Views,
    /// Train heads on features too that no network has learnt, to compare with: see [`Metrics::baselines`](crate::report::Metrics::baselines).
    pub baselines: bool,
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
    /// Asks for a training on one backbone with the usual options, into a new run.
    ///
    /// ```
    /// use trainer::{head::TrainOptions, tasks::Request};
    ///
    /// let train = TrainOptions { seed: 7, ..Default::default() };
    /// let request = Request { force: true, train, ..Request::new("photos", "resnet18.safetensors", "run") };
    /// assert_eq!(request.split, Default::default());
    /// ```
    pub fn new(data: impl Into<Origin>, weights: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        let (data, backbones, out) = (data.into(), vec![Backbone::at(weights)], out.into());
        let (views, overrides, split, kept, train) = Default::default();
        let [within_error, baselines, force] = [false; 3];
        Self { data, backbones, within_error, views, baselines, out, force, overrides, split, kept, train }
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
    let mut dataset = watched(session.progress, Stage::LISTING, || labelled(&request.data, by, &request.train))?;
    learn_from_given(&mut dataset, &request.train);
    let files = Files::open(session, &request.backbones, before)?;
    let rivals = Rival::all(&request.backbones, &files, &request.overrides)?;
    rivals.iter().try_for_each(|rival| request.views.check(&rival.recipe))?;
    check_outside(&request.out, &request.data.path)?;
    let folder = Making::begin(&request.out, request.force)?;
    dataset.warnings.iter().for_each(|warning| session.progress.warn(warning));

    let mut passed = rivals.iter().map(|rival| rival.pass(session, &dataset)).collect::<Result<Vec<_>>>()?;
    tell_rejected(&passed[0].known.rejected, session.progress);
    agree(&mut passed);
    let featured = Instant::now();
    let all = Common { session, request, dataset: &dataset, before, start };
    // The same parts and folds for all.
    let assigned = all.learning(&rivals[0], &passed[0].known).assigned(session)?;
    let learnt = |(rival, passed): (&Rival<'_>, &Passed<'_>)| all.learn(rival, &passed.known, &assigned);
    let mut learnt = rivals.iter().zip(&passed).map(learnt).collect::<Result<Vec<_>>>()?;
    let (chosen, backbones) = choose(&rivals, &passed, &learnt, request.within_error)?;
    // What the other backbones say isn't needed any more, and may be much.
    let (rival, mut known, learnt) = (&rivals[chosen], passed.swap_remove(chosen).known, learnt.swap_remove(chosen));
    drop(passed);
    let Tried { mut learnt, views, seconds } = match request.views.is_plain() {
        true => Tried { learnt, views: request.views, seconds: 0.0 },
        false => {
            try_views(session, rival, request.views, (&mut known, learnt), &|known| all.learn(rival, known, &assigned))?
        }
    };
    learnt.metrics.backbones = backbones;
    if request.baselines {
        // What is only compared with needn't tell how much its figure hangs on a deal,
        let once = Assigned { deals: assigned.deals.iter().take(1).cloned().collect(), ..assigned.clone() };
        // nor wait for a software adapter.
        let native = session.on_the_cpu()?;
        let session = native.as_ref().unwrap_or(session);
        let all = Common { session, ..all };
        let learn = &|rival: &Rival<'_>, known: &Known<'_>| all.learn(rival, known, &once);
        let seed = request.train.seed;
        learnt.metrics.baselines = baselines(session, &dataset, (rival, &known, &learnt), learn, seed)?;
    }
    learnt.metrics.photos.computed = known.computed;
    learnt.metrics.seconds = Seconds {
        features: (featured - start).as_secs_f64() + seconds,
        head: featured.elapsed().as_secs_f64() - seconds,
        total: start.elapsed().as_secs_f64(),
    };

    let Rival { path, weights, ref sha256, ref recipe, reading, .. } = *rival;
    let model = run::model(weights, &learnt.head, recipe, (&reading, views))?;
    let (architecture, sha256) = (weights.architecture().to_string(), sha256.clone());
    let weights = Some(Weights { path: absolute(path), architecture, sha256 });
    let (data, recipe) = (request.data.absolute(), recipe.clone());
    let origin = MadeFrom { data, weights, features: None, recipe, views };
    learnt.write(session, (&all.learning(rival, &known), &assigned), origin, (folder, model))
}

/// What all backbones of a training have in common.
#[derive(Clone, Copy)]
struct Common<'a> {
    session: &'a Session<'a>,
    request: &'a Request,
    dataset: &'a Dataset,
    before: Option<&'a Before>,
    start: Instant,
}

impl<'a> Common<'a> {
    fn learning<'k>(&self, rival: &Rival<'k>, known: &'k Known<'k>) -> Learning<'k>
    where
        'a: 'k,
    {
        let Self { request, dataset, before, start, .. } = *self;
        let Request { split, kept, train, .. } = request;
        Learning { dataset, known, reading: rival.reading, split, kept, train, before, start, name: rival.name }
    }

    fn learn(&self, rival: &Rival<'_>, known: &Known<'_>, assigned: &Assigned) -> Result<Learnt> {
        learn(self.session, &self.learning(rival, known), assigned)
    }
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
    use crate::machine::gpu;
    use crate::photos::{Background, Exif, Reading};
    use crate::report::Prediction;
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
        let gpu = pollster::block_on(gpu::open(&Default::default())).unwrap();
        let mut session = Session { batch: Some(5), ..Session::new(gpu) };
        session.store = Some(StoreOptions::at(dir.path().join("store")));
        let recipe = Recipe { input_size: [32, 32], resize: Resize::ShorterSide(36), ..Recipe::default() };
        let reading = Reading { exif: Exif::Ignore, background: Background::Over([200, 30, 90]) };
        let close = |got: &[f32], want: &[f32]| got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-5);

        let request = Request {
            data: data.clone().into(),
            backbones: vec![Backbone::at(&weights)],
            within_error: false,
            views: Views::default(),
            baselines: false,
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
