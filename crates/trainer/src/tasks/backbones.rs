//! Several backbones on the same photos and folds: which there are, what each says of the photos, and which is kept.

use std::path::{Path, PathBuf};
use std::time::Instant;

use resnet::{Recipe, WeightFile};

use crate::data::Dataset;
use crate::digest::{self, Digest};
use crate::error::{Error, Result};
use crate::head::metrics::Paired;
use crate::photos::{Reading, View, Views};
use crate::progress::{Named, Stage, watched};
use crate::report::{Backbones, Scores, TriedBackbone};
use crate::run::open_weights;
use crate::session::{Overrides, Pretrained, Session};
use crate::tasks::before::Before;
use crate::tasks::known::Known;
use crate::tasks::learn::Learnt;
use crate::words::shown;

/// A backbone that a training may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backbone {
    /// What it is called, where several are compared.
    pub name: String,
    /// Its weights.
    pub weights: PathBuf,
}

impl Backbone {
    /// Takes the weights in a file, by whose path they are called.
    pub fn at(weights: impl Into<PathBuf>) -> Self {
        let weights = weights.into();
        Self { name: shown(&weights).into_owned(), weights }
    }
}

/// The weight files of backbones, each read whole.
pub(crate) enum Files<'a> {
    /// Those of the run that is trained again.
    Kept(&'a Before),
    Opened(Vec<WeightFile>),
}

impl<'a> Files<'a> {
    /// Reads the weights of all, unless the run that is trained again has them.
    pub(crate) fn open(session: &Session<'_>, backbones: &[Backbone], before: Option<&'a Before>) -> Result<Self> {
        let open = |backbone: &Backbone| {
            let progress = &Named { name: naming(backbones, backbone), progress: session.progress };
            watched(progress, Stage::WEIGHTS, || open_weights(&backbone.weights))
        };
        match before {
            Some(before) => Ok(Self::Kept(before)),
            None => backbones.iter().map(open).collect::<Result<_>>().map(Self::Opened),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &WeightFile> {
        let (kept, opened) = match self {
            Self::Kept(before) => (Some(&before.weights), &[][..]),
            Self::Opened(files) => (None, &files[..]),
        };
        kept.into_iter().chain(opened)
    }
}

/// Gives a backbone's name where there are others, else none.
fn naming<'a>(backbones: &[Backbone], backbone: &'a Backbone) -> &'a str {
    if backbones.len() > 1 { &backbone.name } else { "" }
}

/// A backbone that was opened.
pub(crate) struct Rival<'a> {
    /// Its name where there are others; else empty.
    pub(crate) name: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) weights: &'a WeightFile,
    pub(crate) sha256: String,
    pub(crate) recipe: Recipe,
    pub(crate) reading: Reading,
}

/// What a backbone says of photos.
pub(crate) struct Passed<'a> {
    pub(crate) known: Known<'a>,
    /// Seconds that each photo took that went through it now; none where all were known.
    pub(crate) seconds: Option<f64>,
}

impl<'a> Rival<'a> {
    /// Checks backbones whose files are open, all before a photo passes through one.
    ///
    /// # Errors
    /// There is none; two are the same; a recipe can't be followed.
    pub(crate) fn all(backbones: &'a [Backbone], files: &'a Files<'_>, overrides: &Overrides) -> Result<Vec<Self>> {
        let invalid = |value, expected| Err(Error::InvalidOption { option: "backbone", value, expected });
        if backbones.is_empty() {
            return invalid("none".to_owned(), "one at least");
        }
        let mut rivals: Vec<Self> = Vec::new();
        for (backbone, weights) in backbones.iter().zip(files.iter()) {
            // Of what was read, not of the path: what is hashed is what runs and what is saved.
            let (path, sha256) = (&*backbone.weights, digest::sha256(weights.bytes()));
            if let Some(other) = rivals.iter().position(|other| other.sha256 == sha256) {
                let names = format!("{}, {}", backbones[other].name, backbone.name);
                return invalid(names, "different backbones: these are the same weights");
            }
            let (recipe, reading) = overrides.or_of(weights, path)?;
            rivals.push(Self { name: naming(backbones, backbone), path, weights, sha256, recipe, reading });
        }
        Ok(rivals)
    }

    pub(crate) fn pretrained(&self) -> Pretrained<'_> {
        let Self { name, weights, ref recipe, reading, .. } = *self;
        Pretrained { weights, recipe, reading, view: View::default(), name }
    }

    /// Passes the photos through it, but for those whose features are kept.
    pub(crate) fn pass<'d>(&self, session: &Session<'_>, dataset: &'d Dataset) -> Result<Passed<'d>> {
        let start = Instant::now();
        let known = Known::new(session, (&self.pretrained(), Views::default()), &dataset.photos, &dataset.rejected)?;
        let seconds = (known.computed > 0).then(|| start.elapsed().as_secs_f64() / known.computed as f64);
        Ok(Passed { known, seconds })
    }
}

/// Leaves the photos that all backbones know with the same content, so that all are judged by the same: one may have changed between two passes.
pub(crate) fn agree(passed: &mut [Passed<'_>]) {
    let Some((first, others)) = passed.split_first() else { return };
    let known = |kept: &[(usize, Digest)], photo: &(usize, Digest)| kept.binary_search(photo).is_ok();
    let mut common = first.known.kept.clone();
    common.retain(|photo| others.iter().all(|other| known(&other.known.kept, photo)));
    passed.iter_mut().for_each(|each| each.known.kept.clone_from(&common));
}

/// Chooses among backbones by what cross-validation says of photos that a head didn't learn from: the lowest log loss, or the cheapest within a standard error of it. Photos
/// that were set aside to test have no say. Gives the place of the one, and what there is to say of all, where there are several.
///
/// # Errors
/// There are several, and no cross-validation to choose by.
pub(crate) fn choose(
    rivals: &[Rival<'_>],
    passed: &[Passed<'_>],
    learnt: &[Learnt],
    within_error: bool,
) -> Result<(usize, Option<Backbones>)> {
    if rivals.len() == 1 {
        return Ok((0, None));
    }
    if learnt.iter().any(|learnt| learnt.losses.is_empty()) {
        let names: Vec<&str> = rivals.iter().map(|rival| rival.name).collect();
        let expected = "one alone: several are chosen among by cross-validation, which takes lbfgs and three photos or groups that don't belong together";
        return Err(Error::InvalidOption { option: "backbone", value: names.join(", "), expected });
    }
    let scores: Vec<Scores> = learnt.iter().map(scores).collect();
    let costs: Vec<u64> =
        rivals.iter().map(|rival| rival.weights.architecture().flops(rival.recipe.input_size)).collect();
    let loss = |place: usize| scores[place].out_of_fold;
    let by_loss = |a: &usize, b: &usize| loss(*a).total_cmp(&loss(*b)).then(costs[*a].cmp(&costs[*b]));
    let best = (0..rivals.len()).min_by(by_loss).expect("there are several");
    let behind: Vec<Paired> = learnt.iter().map(|each| Paired::of(&each.losses, &learnt[best].losses)).collect();
    let is_as_good = |place: &usize| behind[*place].difference <= behind[*place].error;
    let kept = match within_error {
        true => (0..rivals.len()).filter(is_as_good).min_by(|a, b| costs[*a].cmp(&costs[*b]).then(by_loss(a, b))),
        false => None,
    };
    let tried = rivals.iter().zip(passed).zip(&scores).enumerate().map(|(place, ((rival, passed), scores))| {
        let architecture = rival.weights.architecture();
        TriedBackbone {
            name: rival.name.to_owned(),
            architecture: architecture.to_string(),
            width: architecture.features(),
            bytes: rival.weights.bytes().len() as u64,
            flops: costs[place],
            milliseconds: passed.seconds.map(|seconds| 1e3 * seconds),
            scores: *scores,
            behind: behind[place],
        }
    });
    let (tried, kept) = (tried.collect(), kept.unwrap_or(best));
    Ok((kept, Some(Backbones { tried, kept, within_error })))
}

/// Gathers how good a head is by what judges it, and by what is chosen by.
pub(crate) fn scores(learnt: &Learnt) -> Scores {
    let judged = learnt.metrics.evaluation();
    Scores {
        top1: judged.map(|judged| judged.top1),
        top1_interval: judged.map(|judged| judged.top1_interval),
        log_loss: judged.map(|judged| judged.log_loss),
        out_of_fold: learnt.losses.iter().sum::<f64>() / learnt.losses.len() as f64,
    }
}
