//! From a training: what its run knows its photos by, and which score tells photos of none of its classes.

use std::collections::BTreeSet;

use crate::data::{Class, Target};
use crate::error::{Error, Fault, Result};
use crate::features::Rows;
use crate::head::reject::{self, Known, Trial, choose, out_of_fold};
use crate::head::{Choice, Optimizer, Problem, Regularisation, Samples, TrainOptions, conformal, solve_for};
use crate::machine::Device;
use crate::progress::{Progress, Stage, watched};
use crate::report::Metrics;
use crate::run::{Chosen, Likeness};
use crate::session::Session;
use crate::words::chain;

/// So many photos are kept at most.
const KEPT: usize = 5_000;
/// So many of them choose the score and its threshold, at most.
const CHOOSING: usize = 2_000;
/// The share of known photos that are rejected falsely.
const RATE: f64 = 0.05;
/// The gradient's share of its start at which a head is good enough to choose a score by.
const TOLERANCE: f64 = 1e-3;

/// Keeps what a run knows its photos by, given what a head has learnt from, the folds of its rows, and what its training found; none where there was
/// no cross-validation. Every k-th photo is kept, as few as leave no more than 5,000. That no score can be chosen, or that photos are too few for its threshold, is a warning.
///
/// # Errors
/// The device fails, or the watcher asks to stop.
pub(crate) fn likeness(
    session: &Session<'_>,
    problem: &Problem<'_>,
    folds: &[usize],
    found: &Metrics,
    options: &TrainOptions,
) -> Result<Option<Likeness>> {
    let temperature = found.temperature.map_or(1.0, |temperature| temperature.value);
    let (Some(found), Some(certificate)) = (&found.cross_validation, &found.certificate) else { return Ok(None) };
    let classes: Vec<Class> = problem.train.targets.iter().filter_map(Target::class).collect();
    let width = problem.classes.len();
    let probabilities: Vec<f64> = found.logits.chunks_exact(width).flat_map(crate::head::softmax).collect();
    let true_ones = conformal::true_ones(&probabilities, &classes)?;
    let kept: Vec<usize> = every(classes.len(), KEPT).collect();
    let pick = |classes: &[Class]| kept.iter().map(|&row| classes[row]).collect::<Vec<Class>>();
    let mut likeness = Likeness::new(&problem.train.rows.select(kept.iter().copied()), pick(&classes), true_ones)?;
    let rows = Rows::new(&likeness.features, likeness.width)?;
    let folds: Vec<usize> = kept.iter().map(|&row| folds[row]).collect();
    let logits: Vec<f32> = kept.iter().flat_map(|&row| &found.logits[row * width..][..width]).copied().collect();
    let weights: Option<Vec<f64>> = problem.train.weights.map(|weights| kept.iter().map(|&row| weights[row]).collect());
    let known = Known { rows: &rows, classes: &likeness.classes, folds: &folds };
    let regularisation = certificate.regularisation;
    let heads =
        Heads { device: &session.device, watch: &Quiet(session.progress), regularisation, options, temperature };
    let chosen = watched(session.progress, Stage::UNKNOWN, || chosen(&known, &logits, weights.as_deref(), &heads));
    let warn = |error: &Error| {
        let why = chain(error);
        session.progress.warn(&format!("whether photos are like none of the classes won't be told: {why}"));
    };
    likeness.chosen = match chosen {
        Ok((chosen, few)) => {
            few.iter().for_each(warn);
            Some(chosen)
        }
        Err(error) if matches!(error.fault(), Fault::Device | Fault::Interrupted | Fault::Io) => return Err(error),
        Err(error) => {
            warn(&error);
            None
        }
    };
    Ok(Some(likeness))
}

/// Lists every k-th of so many, as few as leave no more than `most`.
fn every(count: usize, most: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by(count.div_ceil(most).max(1))
}

/// Chooses the score and finds its threshold; where there are too few photos for one, the error says so.
fn chosen(
    known: &Known<'_>,
    logits: &[f32],
    weights: Option<&[f64]>,
    heads: &Heads<'_>,
) -> Result<(Chosen, Option<Error>)> {
    let some: Vec<usize> = every(known.classes.len(), CHOOSING).collect();
    let rows = known.rows.select(some.iter().copied());
    let classes: Vec<Class> = some.iter().map(|&row| known.classes[row]).collect();
    let folds: Vec<usize> = some.iter().map(|&row| known.folds[row]).collect();
    let weights: Option<Vec<f64>> = weights.map(|weights| some.iter().map(|&row| weights[row]).collect());
    let choosing = Known { rows: &rows, classes: &classes, folds: &folds };
    let choice = choose(&choosing, |trial| heads.logits(&choosing, weights.as_deref(), trial))?;
    let scores = out_of_fold(choice.score, known, &some, logits)?;
    let (threshold, few) = match reject::threshold(&scores, RATE) {
        Ok(threshold) => (Some(threshold), None),
        Err(error @ Error::TooFewPhotos { .. }) => (None, Some(error)),
        Err(error) => return Err(error),
    };
    Ok((Chosen { choice, threshold, rate: RATE }, few))
}

/// How heads are solved that do without a class.
struct Heads<'a> {
    device: &'a Device,
    watch: &'a Quiet<'a>,
    regularisation: Regularisation,
    options: &'a TrainOptions,
    temperature: f64,
}

impl Heads<'_> {
    /// Learns a head from what a trial leaves, as the one that is kept was, and gives its logits of what is judged.
    fn logits(&self, known: &Known<'_>, weights: Option<&[f64]>, trial: &Trial) -> Result<Vec<f32>> {
        let learnt: Vec<Class> = trial.learnt.iter().map(|&row| known.classes[row]).collect();
        // The class that is left out, and those of which no photo is left, have no output.
        let present: Vec<Class> = learnt.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let place = |class: &Class| present.binary_search(class).expect("a class that is present");
        let targets: Vec<Target> = learnt.iter().map(|class| Class::new(place(class)).into()).collect();
        let labels: Vec<String> = present.iter().map(|class| class.index().to_string()).collect();
        let weights: Option<Vec<f64>> = weights.map(|weights| trial.learnt.iter().map(|&row| weights[row]).collect());
        let rows = known.rows.select(trial.learnt.iter().copied());
        let train = Samples { rows: &rows, targets: &targets, weights: weights.as_deref() };
        let problem = Problem { classes: &labels, train, validation: None, folds: None, views: 1 };
        let optimizer = Optimizer::Lbfgs {
            method: None,
            l2: None,
            scaling: None,
            tolerance: TOLERANCE,
            folds: 5,
            choice: Choice::Best,
        };
        let options = TrainOptions { optimizer, ..*self.options };
        let head = solve_for(self.device, &problem, &options, self.regularisation, self.watch)?.head;
        let logits = head.logits(&known.rows.select(trial.judged.iter().copied()))?;
        Ok(logits.into_iter().map(|logit| (f64::from(logit) / self.temperature) as f32).collect())
    }
}

/// A watcher that is told nothing of many small steps, and may ask to stop all the same.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}
