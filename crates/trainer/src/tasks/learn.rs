//! From photos whose features are known to a judged head, and to the run that keeps it: what a training on photos and one on features share.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use resnet::Recipe;

use crate::data::split::SplitOptions;
use crate::data::{Dataset, Origin, Part, Target};
use crate::digest::Digest;
use crate::error::Result;
use crate::head::metrics::{beside, majority, most_frequent};
use crate::head::{self, Fit, Folds, Head, Problem, TrainOptions};
use crate::photos::{Reading, Views};
use crate::progress::Named;
use crate::report::{Counts, Metrics, Prediction, Seconds};
use crate::run::{Config, FromFeatures, Making, Weights};
use crate::session::Session;
use crate::tasks::assign::{Assigned, Rules, assign};
use crate::tasks::before::{Before, Since};
use crate::tasks::judge::evaluate_some;
use crate::tasks::known::Known;
use crate::tasks::likeness::likeness;
use crate::tasks::trained::{Kept, Trained};

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
    /// As in [`Request::kept`](crate::tasks::Request).
    pub(crate) kept: &'a HashMap<Digest, Part>,
    pub(crate) train: &'a TrainOptions,
    /// The run that is trained again.
    pub(crate) before: Option<&'a Before>,
    /// When the work began.
    pub(crate) start: Instant,
    /// What the backbone is called where several are at work; else empty.
    pub(crate) name: &'a str,
}

/// What came of it.
pub(crate) struct Learnt {
    pub(crate) head: Head,
    pub(crate) metrics: Metrics,
    pub(crate) predictions: Vec<Prediction>,
    /// The loss of each photo that was learnt from, by heads of cross-validation that didn't, the mean over all deals of the folds, in the order of their contents; none without cross-validation.
    pub(crate) losses: Vec<f64>,
}

/// What a run is made from, besides what was learnt.
pub(crate) struct MadeFrom {
    /// Where the photos, or the labels of features, came from, absolute.
    pub(crate) data: Origin,
    /// The backbone, where there is one.
    pub(crate) weights: Option<Weights>,
    /// The features that another program computed, in its place.
    pub(crate) features: Option<FromFeatures>,
    pub(crate) recipe: Recipe,
    /// The views of each photo.
    pub(crate) views: Views,
}

impl Learnt {
    /// Writes the run into its folder, with the bytes of its network, and computes before what a run that is kept alone has: the nearest neighbour beside its figures, and what its photos are known by.
    pub(crate) fn write(
        mut self,
        session: &Session<'_>,
        (learning, assigned): (&Learning<'_>, &Assigned),
        from: MadeFrom,
        (folder, model): (Making, Vec<u8>),
    ) -> Result<Trained> {
        let known = self.complete(session, learning, assigned)?;
        let MadeFrom { data, weights, features, recipe, views } = from;
        let config = Config {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            data,
            classes: learning.dataset.classes.clone(),
            several_labels: learning.dataset.has_sets(),
            rejected: learning.known.rejected.clone(),
            weights,
            features,
            batch: session.batch(recipe.input_size),
            recipe,
            reading: learning.reading,
            views,
            split: learning.split.clone(),
            train: *learning.train,
            precision: session.device.precision().name().to_owned(),
            engine: session.device.engine().to_owned(),
            adapter: session.device.summary(),
            tuned: session.device.tuned().cloned(),
            files: BTreeMap::new(),
        };
        let mut trained = Trained { config, metrics: self.metrics, predictions: self.predictions };
        trained.save(folder, Kept { model, known }, &session.limits)?;
        Ok(trained)
    }

    /// Sets the nearest neighbour beside the figures of what judges, and gives what photos like these are known by, as a run keeps it.
    fn complete(
        &mut self,
        session: &Session<'_>,
        learning: &Learning<'_>,
        assigned: &Assigned,
    ) -> Result<Option<Vec<u8>>> {
        let start = Instant::now();
        let Learning { dataset, known, train, .. } = learning;
        let (learnt, metrics) = (known.select(&assigned.parts, Part::Train)?, &mut self.metrics);
        let deals = dealt(&assigned.deals, &learnt.places);
        let deal = deals.iter().flatten().next();
        if let Some(test) = metrics.test.take() {
            let nearest = known.select(&assigned.parts, Part::Test)?.nearest(&learnt, |_, _| false)?;
            metrics.test = Some(beside(test, nearest));
        }
        if let (Some(found), Some(deal)) = (metrics.cross_validated.take(), deal) {
            let nearest = learnt.nearest(&learnt, |row, other| deal[row] == deal[other])?;
            metrics.cross_validated = Some(beside(found, nearest));
        }
        let problem =
            Problem { classes: &dataset.classes, train: learnt.samples(), validation: None, folds: None, views: 1 };
        let likeness = match deal {
            // Scores of photos of none of the classes take one class a photo.
            Some(deal) if !problem.is_of_sets() => likeness(session, &problem, deal, metrics, train)?,
            _ => None,
        };
        let seconds = start.elapsed().as_secs_f64();
        metrics.seconds.head += seconds;
        metrics.seconds.total += seconds;
        Ok(likeness.map(|known| known.to_bytes()))
    }
}

impl Learning<'_> {
    /// Assigns the photos their parts.
    pub(crate) fn assigned(&self, session: &Session<'_>) -> Result<Assigned> {
        let Learning { dataset, known, reading, split, kept, train, .. } = self;
        assign(session, dataset, known, &Rules { split, kept, reading: *reading, optimizer: train.optimizer })
    }
}

/// Finds the head of photos whose features are known and that were assigned their parts, and judges it.
pub(crate) fn learn(session: &Session<'_>, learning: &Learning<'_>, assigned: &Assigned) -> Result<Learnt> {
    let Learning { dataset, known, train, before, start, name, .. } = learning;
    let Assigned { parts, leaks, deals, all_train } = assigned;
    let featured = Instant::now();

    let (learnt, validation) = (known.select(parts, Part::Train)?, known.select(parts, Part::Validation)?);
    let deals = dealt(deals, &learnt.places);
    // All views of a photo are of its fold.
    let (shown, views) = (known.select_views(parts, Part::Train)?, known.views.len());
    let each = |deal: &Vec<usize>| deal.iter().flat_map(|&fold| std::iter::repeat_n(fold, views)).collect::<Vec<_>>();
    let of_rows: Option<Vec<Vec<usize>>> = deals.as_ref().map(|deals| deals.iter().map(each).collect());
    let problem = Problem {
        classes: &dataset.classes,
        train: shown.samples(),
        validation: (!validation.targets.is_empty()).then(|| validation.samples()),
        folds: of_rows.as_ref().map(|deals| Folds { deals, nested: *all_train }),
        views,
    };
    let fit = head::solve(&session.device, &problem, train, &Named { name, progress: session.progress })?;
    let Fit { head, history, certificate, cross_validation, leave_one_out, temperature } = fit;
    let solved = Instant::now();

    let mut predictions = known.predictions(&head, |index, _| Some(parts[index]))?;
    let losses = cross_validation.as_ref().map(|found| found.losses.clone()).unwrap_or_default();
    if let Some(found) = &cross_validation {
        // Of photos that it learnt from the head says what it was told: what others say that didn't is worth more.
        let rows = found.logits.chunks_exact(dataset.classes.len());
        for (&place, logits) in learnt.places.iter().zip(rows) {
            predictions[place].logits = logits.to_vec();
            predictions[place].cross_validated = found.nested;
        }
        for (&place, named) in learnt.places.iter().zip(&found.named) {
            predictions[place].named = Some(named.clone());
        }
    }
    let majority = match problem.is_of_sets() {
        false => majority(&counts(&learnt.targets, &dataset.classes)).into(),
        true => most_frequent(learnt.targets.iter().map(Target::classes)),
    };
    let evaluated = |part, without: &HashSet<usize>| {
        let of_part = |(place, photo): &(usize, &Prediction)| photo.part == Some(part) && !without.contains(place);
        let photos = predictions.iter().enumerate().filter(of_part).map(|(_, photo)| photo);
        evaluate_some(photos, &head, &majority)
    };
    let none = HashSet::new();
    let (test, validation) = (evaluated(Part::Test, &none)?, evaluated(Part::Validation, &none)?);
    let cross_validated = match cross_validation {
        Some(_) if *all_train => evaluated(Part::Train, &none)?,
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
    let since = Since { dataset, known, parts, predictions: &predictions, judged };
    let change = before.map(|before| before.change(&since)).transpose()?;
    let metrics = Metrics {
        schema: Metrics::SCHEMA,
        photos: Counts::new(parts, known.rejected.len(), known.computed),
        test,
        leaks: leaks.len(),
        test_without_leaks,
        validation,
        cross_validated,
        cross_validation,
        certificate,
        leave_one_out,
        temperature,
        change,
        backbones: None,
        views: None,
        baselines: None,
        history,
        seconds: Seconds {
            features: (featured - *start).as_secs_f64(),
            head: (solved - featured).as_secs_f64(),
            total: start.elapsed().as_secs_f64(),
        },
    };
    Ok(Learnt { head, metrics, predictions, losses })
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

/// Counts the targets of each class.
fn counts(targets: &[Target], classes: &[String]) -> Vec<usize> {
    let mut counts = vec![0; classes.len()];
    targets.iter().filter_map(Target::class).for_each(|class| counts[class.index()] += 1);
    counts
}
