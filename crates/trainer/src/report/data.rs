//! What a report says, computed once: figures, the worst confusions, the surest mistakes. Text and pages show it.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::data::{Class, Part};
use crate::head::metrics::Evaluation;
use crate::head::{Certificate, CrossValidation, History, LeaveOneOut, Regularisation, Temperature};
use crate::photos::Limits;
use crate::report::change::Change;
use crate::report::choice::{Backbones, Baselines, Table, TriedViews};
use crate::report::prediction::Prediction;
use crate::report::thumbnail::thumbnail;
use crate::run::Config;
use crate::words::{count, shown};

/// How many mistakes are shown.
const MISTAKES: usize = 24;

/// The content of `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// What the fields mean: [`Metrics::SCHEMA`] here.
    pub schema: u32,
    /// How many photos there are, by part.
    pub photos: Counts,
    /// The evaluation on photos that had no say in training; absent if none were set aside.
    pub test: Option<Evaluation>,
    /// How many of the photos to test are copies of others that the head learnt from or was chosen by, nearly the same, or of one group with them.
    #[serde(default)]
    pub leaks: usize,
    /// The evaluation on the other photos to test, where some are not new to the head.
    #[serde(default)]
    pub test_without_leaks: Option<Evaluation>,
    /// The evaluation on the validation part: too kind where it chose the epoch, and honest where nothing was chosen by it.
    pub validation: Option<Evaluation>,
    /// The evaluation of every photo by a head that neither learnt from it nor was chosen by it, where none were set aside.
    #[serde(default)]
    pub cross_validated: Option<Evaluation>,
    /// What the head's regularisation was chosen by.
    #[serde(default)]
    pub cross_validation: Option<CrossValidation>,
    /// How near to the optimum the head is.
    #[serde(default)]
    pub certificate: Option<Certificate>,
    /// How good the head is on each photo to learn from had it not learnt from that one, to second order: of a logistic head and few photos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave_one_out: Option<LeaveOneOut>,
    /// What the optimum's logits were divided by, for probabilities to believe.
    #[serde(default)]
    pub temperature: Option<Temperature>,
    /// What changed since the run that was trained again, and whether the head got better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// The backbones that were compared, of which the run has the one that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbones: Option<Backbones>,
    /// The views of photos that were compared with the plain one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<TriedViews>,
    /// What features give that no network has learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baselines: Option<Baselines>,
    /// How the training went.
    pub history: History,
    /// Where the time went.
    pub seconds: Seconds,
}

impl Metrics {
    /// The version of the fields; greater where one has gone or means something else, and not where one is new.
    pub const SCHEMA: u32 = 1;

    /// Gives the evaluation on what had the least say: photos that were set aside, else all by cross-validation, else those to validate by.
    pub fn evaluation(&self) -> Option<&Evaluation> {
        self.test.as_ref().or(self.cross_validated.as_ref()).or(self.validation.as_ref())
    }
}

/// How many photos there are, by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Photos that the head learnt from.
    pub train: usize,
    /// Photos that chose the epoch, or judge in the place of a test part.
    pub validation: usize,
    /// Photos that the result was evaluated on.
    pub test: usize,
    /// Photos that couldn't be read.
    pub rejected: usize,
    /// How many of all went through the backbone now; the features of the others were known.
    pub computed: usize,
}

impl Counts {
    /// Counts the parts of all photos that could be read.
    pub(crate) fn new(parts: &[Part], rejected: usize, computed: usize) -> Self {
        let [train, validation, test] = Part::ALL.map(|part| parts.iter().filter(|&&other| other == part).count());
        Self { train, validation, test, rejected, computed }
    }
}

/// Seconds of wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Reading, decoding, and the backbone.
    pub features: f64,
    /// Training the head.
    pub head: f64,
    /// From the start to the report.
    pub total: f64,
}

/// What a report shows of a training.
#[derive(Clone, Debug)]
pub struct Data<'a> {
    /// The part that was evaluated.
    pub title: &'static str,
    /// How good the head is, where photos were set aside to find out.
    pub evaluation: Option<&'a Evaluation>,
    /// How good it is without photos that aren't new to it, where there are such.
    pub without_leaks: Option<String>,
    /// Which classes are taken for which, the most frequent first.
    pub confusions: Vec<Confused<'a>>,
    /// How many photos were taken for a class that they aren't of, where each is of one.
    pub mistakes: usize,
    /// The mistakes that the head was surest of, the surest first.
    pub surest: Vec<Mistake<'a>>,
    /// How the training went.
    pub history: &'a History,
    /// What the regularisation was chosen by, where it was.
    pub cross_validation: Option<&'a CrossValidation>,
    /// What was tried side by side, and which of it was kept.
    pub tables: Vec<Table>,
    /// How the run was made: names and values.
    pub facts: Vec<(&'static str, String)>,
}

/// A class that is taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confused<'a> {
    /// How many of its photos are taken for the other.
    pub photos: usize,
    /// How many photos it has.
    pub support: usize,
    /// Its label.
    pub label: &'a str,
    /// The other's label.
    pub taken_for: &'a str,
}

/// A photo that is taken for what it isn't.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake<'a> {
    /// The photo's name.
    pub name: &'a str,
    /// The label of its class.
    pub label: &'a str,
    /// The label of the class that it is taken for.
    pub taken_for: &'a str,
    /// How sure the head is of that.
    pub probability: f64,
    /// The photo, small, as a `data:` URL of a JPEG; none if it can't be read any more.
    pub thumbnail: Option<String>,
}

impl<'a> Data<'a> {
    /// Gathers what a report shows: the evaluation on the test part, else on the validation part, else that there is none.
    ///
    /// Thumbnails are read from the photos as the run reads them, within `limits`.
    pub fn new(config: &'a Config, metrics: &'a Metrics, predictions: &'a [Prediction], limits: &Limits) -> Self {
        let (part, title, evaluation) = match judged(config, metrics) {
            Some((part, title, evaluation)) => (Some(part), title, Some(evaluation)),
            None => (None, "No photos were set aside for an evaluation", None),
        };
        let label = |class: Class| config.classes.get(class.index()).map_or("", String::as_str);
        let evaluated = predictions.iter().filter(|photo| part.is_some() && photo.part == part);
        let mut wrong: Vec<(&Prediction, Class, Class, f64)> = evaluated
            .filter(|photo| photo.named.is_none() && photo.is_wrong())
            .filter_map(|photo| {
                let (class, probability) = *photo.top(1).first()?;
                Some((photo, photo.target.class()?, class, probability))
            })
            .collect();
        wrong.sort_by(|(a, .., sure), (b, .., surer)| surer.total_cmp(sure).then_with(|| a.name.cmp(&b.name)));
        let surest = wrong.iter().take(MISTAKES).map(|&(photo, truth, class, probability)| Mistake {
            name: &photo.name,
            label: label(truth),
            taken_for: label(class),
            probability,
            thumbnail: thumbnail(photo.source.read(&photo.path, limits), &config.reading, limits),
        });
        Self {
            title,
            evaluation,
            without_leaks: without_leaks(metrics),
            confusions: evaluation.map(confusions).unwrap_or_default(),
            mistakes: wrong.len(),
            surest: surest.collect(),
            history: &metrics.history,
            cross_validation: metrics.cross_validation.as_ref(),
            tables: tables(metrics),
            facts: facts(config, metrics),
        }
    }
}

/// Makes the tables of what was tried side by side.
pub fn tables(metrics: &Metrics) -> Vec<Table> {
    let tested = metrics.test.is_some();
    let backbones = metrics.backbones.iter().map(|tried| tried.table(tested));
    let views = metrics.views.iter().map(|tried| tried.table(tested));
    let guessing = metrics.evaluation().map(|judged| &judged.baseline);
    backbones.chain(views).chain(metrics.baselines.iter().map(|found| found.table(guessing))).collect()
}

/// Picks what judges a head: its part, what to call it, and the evaluation on it.
pub fn judged<'a>(config: &Config, metrics: &'a Metrics) -> Option<(Part, &'static str, &'a Evaluation)> {
    let Metrics { test, validation, cross_validated, .. } = metrics;
    let validation = || match config.train.optimizer.has_epochs() {
        true => (validation, Part::Validation, "Validation photos (they chose the epoch)"),
        false => (validation, Part::Validation, "Photos never trained on"),
    };
    let choices = [
        (test, Part::Test, "Photos never trained on"),
        (cross_validated, Part::Train, "All photos, each judged by a head that never saw it"),
        validation(),
    ];
    choices.into_iter().find_map(|(evaluation, part, title)| evaluation.as_ref().map(|found| (part, title, found)))
}

/// Words how a head was found: its optimum, or the best of the epochs; none where nothing is known of it.
pub fn how_found(metrics: &Metrics) -> Option<String> {
    let Metrics { history, certificate, cross_validation, .. } = metrics;
    let Some(certificate) = certificate else {
        return (!history.epochs.is_empty())
            .then(|| format!("{}, the best is number {}", count(history.epochs.len(), "epoch"), history.best));
    };
    let chosen = match cross_validation {
        Some(found) if found.candidates.len() > 1 => {
            format!(", of {} by {}-fold cross-validation", found.candidates.len(), found.folds)
        }
        _ => String::new(),
    };
    let share = certificate.share();
    let closed = |words: String| Some(format!("{words}{chosen}: in closed form, to {share:.0e}"));
    match certificate.regularisation {
        Regularisation::Logistic { l2, .. } => {
            let steps = count(certificate.steps, "step");
            Some(format!("the optimum with L2 {l2}{chosen}: the gradient fell to {share:.0e} of its start in {steps}"))
        }
        Regularisation::Prototype { sharpness, .. } => {
            closed(format!("the nearest of the classes' means with sharpness {sharpness}"))
        }
        Regularisation::Covariance { shrinkage, sharpness, .. } => {
            closed(format!("the nearest mean by a covariance shrunk by {shrinkage} with sharpness {sharpness}"))
        }
    }
}

/// Words how the share that is right depends on how the folds were dealt, where they judge.
pub fn deals(metrics: &Metrics) -> Option<String> {
    let found =
        metrics.cross_validation.as_ref().filter(|found| metrics.cross_validated.is_some() && found.top1.len() > 1)?;
    let shares: Vec<String> = found.top1.iter().map(|share| format!("{:.1}", 100.0 * share)).collect();
    let mean = 100.0 * found.top1.iter().sum::<f64>() / found.top1.len() as f64;
    let closed = found.candidates.iter().any(|candidate| candidate.regularisation.l2().is_none());
    let of_sets = metrics.cross_validated.as_ref().is_some_and(|judged| judged.of_sets.is_some());
    let (choice, what) = match (closed, of_sets) {
        (true, _) => (", the choice of the head included", ""),
        (false, true) => (", the choice of L2 and thresholds included", "exact match "),
        (false, false) => (", the choice of L2 included", ""),
    };
    Some(format!(
        "Judged by {}-fold cross-validation{}; {what}with the folds dealt anew: {} %, mean {mean:.1} %. The head that is kept learnt from all photos",
        found.folds,
        if found.nested { choice } else { "" },
        shares.join(", ")
    ))
}

/// Words how good the head is on photos each of which it did without, where that is known.
pub fn left_out(metrics: &Metrics) -> Option<String> {
    let LeaveOneOut { top1, log_loss } = metrics.leave_one_out?;
    Some(format!(
        "Without each photo in turn, by a Newton step: {:.1} % right, log-loss {log_loss:.3}. Copies and groups stay, and the choice had all photos",
        100.0 * top1
    ))
}

/// Words how good a head is without the photos to test that aren't new to it, where there are such.
pub fn without_leaks(metrics: &Metrics) -> Option<String> {
    let Metrics { leaks, test_without_leaks: others, .. } = metrics;
    let photos = match leaks {
        0 => return None,
        1 => "1 photo to test isn't".to_owned(),
        _ => format!("{leaks} photos to test aren't"),
    };
    let others = match others {
        None => "and there is no other".to_owned(),
        Some(others) => {
            let [top1, low, high] = [others.top1, others.top1_interval[0], others.top1_interval[1]].map(|x| 100.0 * x);
            let without = count(others.count, "other photo");
            format!("and of {without} it gets {top1:.1} % right (95 % interval {low:.1} to {high:.1})")
        }
    };
    Some(format!("{photos} new to the head (copies, near-duplicates or one group with others it has seen), {others}"))
}

/// Lists how a run was made.
fn facts(config: &Config, metrics: &Metrics) -> Vec<(&'static str, String)> {
    let (photos, adapter) = (&metrics.photos, &config.adapter);
    let parts = format!(
        "{} train, {} validation, {} test, {} rejected",
        photos.train, photos.validation, photos.test, photos.rejected
    );
    let found = [("head found by", how_found(metrics)), ("judged", deals(metrics)), ("left out", left_out(metrics))];
    let found = found.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let source: Vec<(&str, String)> = match (&config.weights, &config.features) {
        (Some(weights), _) => vec![
            ("backbone", format!("{}, {}", weights.architecture, shown(&weights.path))),
            ("SHA-256 of the weights", weights.sha256.clone()),
        ],
        (None, Some(features)) => vec![
            ("features", format!("{} rows of {} values, {}", features.rows, features.width, shown(&features.path))),
            ("SHA-256 of the features", features.sha256.clone()),
        ],
        (None, None) => Vec::new(),
    };
    let facts = vec![("photos", shown(&config.data.path).into_owned()), ("parts", parts)];
    let made = vec![
        ("seed", config.split.seed.to_string()),
        ("head", serde_json::to_string(&config.train).expect("plain data")),
        ("engine", format!("{}: {} ({}, {})", config.engine, adapter.name, adapter.kind, adapter.driver)),
        ("time", format!("{:.1} s", metrics.seconds.total)),
        ("trainer", config.version.clone()),
    ];
    let views = (!config.views.is_plain()).then(|| ("views", config.views.to_string()));
    let found = found.chain(views);
    found.chain(facts).chain(source).chain(made).collect()
}

/// Lists the confusions that occur, most frequent first, those of equal frequency by class.
pub(crate) fn confusions(evaluation: &Evaluation) -> Vec<Confused<'_>> {
    let wrong = evaluation.confusion.iter().filter(|[truth, predicted, _]| truth != predicted);
    let confused = |&[truth, predicted, photos]: &[usize; 3]| {
        let (class, other) = (&evaluation.classes[truth], &evaluation.classes[predicted]);
        Confused { photos, support: class.support, label: &class.label, taken_for: &other.label }
    };
    let mut confusions: Vec<_> = wrong.map(confused).collect();
    // The sort is stable, and the classes came in their order.
    confusions.sort_by_key(|confused| Reverse(confused.photos));
    confusions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::metrics::Baseline;
    use crate::report::choice::Scores;

    #[test]
    fn what_takes_no_learning_stands_beside() {
        let scores = |top1| Scores { top1: Some(top1), top1_interval: Some([0.125, 0.875]), ..Default::default() };
        let found = Baselines { own: scores(0.75), random: scores(0.5), colours: Scores::default() };
        let table = found.table(Some(&Baseline { class: "a".to_owned(), top1: 0.25 }));
        let text = table.text();
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
        assert!(line("the backbone").contains("75.0 %") && line("the same").contains("12.5 to 87.5"), "{text}");
        assert!(line("how often").contains('·') && line("Always guessing \"a\"").ends_with("25.0 %"), "{text}");
        let mut metrics = metrics(None);
        assert_eq!(tables(&metrics), []);
        metrics.baselines = Some(found);
        assert_eq!(tables(&metrics), [found.table(None)]);
    }

    use crate::photos::{Background, Reading};
    use crate::report::tests::{classes, evaluated, metrics};

    #[test]
    fn the_worst_comes_first() {
        let (mut evaluation, _) = evaluated(12, 3);
        evaluation.confusion = vec![[0, 1, 1], [0, 2, 3], [1, 0, 3], [1, 1, 1], [2, 1, 2], [2, 2, 2]];
        let found: Vec<_> = confusions(&evaluation).iter().map(|c| (c.photos, c.label, c.taken_for)).collect();
        let [a, b, c] = ["class <0>", "class <1>", "class <2>"];
        assert_eq!(found, [(3, a, c), (3, b, a), (2, c, b), (1, a, b)]);

        let (evaluation, mut predictions) = evaluated(60, 2);
        // Thirty photos of class 1 are taken for class 0, each more surely than the one before.
        for (i, photo) in predictions.iter_mut().filter(|photo| photo.target.class() == Some(Class::new(1))).enumerate()
        {
            photo.logits = vec![i as f32 / 10.0, -0.1];
        }
        let (config, metrics) = (Config::example(classes(2)), metrics(Some(evaluation)));
        let data = Data::new(&config, &metrics, &predictions, &Limits::default());
        assert_eq!((data.mistakes, data.surest.len()), (31, MISTAKES));
        assert_eq!((data.surest[0].name, data.surest[0].label, data.surest[0].taken_for), ("0.jpg", a, b));
        assert_eq!((data.surest[1].name, data.surest[1].label, data.surest[1].taken_for), ("59.jpg", b, a));
        assert!(data.surest.is_sorted_by(|before, after| before.probability > after.probability));
        // Photos of another part have no place in it.
        predictions.iter_mut().for_each(|photo| photo.part = Some(Part::Train));
        assert_eq!(Data::new(&config, &metrics, &predictions, &Limits::default()).mistakes, 0);
    }

    #[test]
    fn thumbnails_follow_the_run_and_the_limits() {
        let dir = tempfile::tempdir().unwrap();
        let (evaluation, mut predictions) = evaluated(12, 3);
        predictions[0].path = dir.path().join("clear.png");
        image::RgbaImage::new(60, 60).save(&predictions[0].path).unwrap();
        let metrics = metrics(Some(evaluation));
        let of = |background, limits: &Limits| {
            let reading = Reading { background, ..Default::default() };
            let config = Config { reading, ..Config::example(classes(3)) };
            Data::new(&config, &metrics, &predictions, limits).surest[0].thumbnail.clone()
        };
        let limits = Limits::default();
        let (dropped, over) = (of(Background::Drop, &limits), of(Background::Over([200, 30, 90]), &limits));
        assert!(dropped.is_some() && over.is_some() && dropped != over);
        assert_eq!(of(Background::Drop, &Limits { pixels: 3599, ..limits }), None);
    }
}
