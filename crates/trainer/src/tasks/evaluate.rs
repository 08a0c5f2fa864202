//! Evaluates a run on labelled photos that it has not seen.

use std::collections::HashSet;

use serde::Serialize;

use crate::data::{Class, Dataset, Origin, Part, Rejected};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::head::conformal::{self, Sets};
use crate::head::metrics::Evaluation;
use crate::progress::{Stage, watched};
use crate::report::Prediction;
use crate::run::Run;
use crate::session::Session;
use crate::tasks::judge::evaluate_some;
use crate::tasks::near_seen::{NearSeen, near_seen};
use crate::tasks::predict::known;
use crate::tasks::tell::nothing_readable;
use crate::tasks::telling::Telling;
use crate::tasks::unknown::rejected;
use crate::words::{count, first, shown};

/// A run's evaluation on a folder.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The metrics.
    pub evaluation: Evaluation,
    /// What the run says of each photo.
    pub predictions: Vec<Prediction>,
    /// The photos that couldn't be read.
    pub rejected: Vec<Rejected>,
    /// How many photos were left out because the run was trained on them, or chosen by them.
    pub seen: usize,
    /// The photos that are nearly the same as one that the run was made with. They are evaluated on, and make the figures too kind.
    pub near: Vec<Near>,
    /// The metrics without these, where there are some, and others.
    pub without_near: Option<Evaluation>,
    /// How many of the photos that the run was made with weren't compared with these but for copies, since their features aren't kept.
    pub unsought: usize,
    /// How many photos are like none of the classes, says the run, though they are of them; none where it can't tell.
    pub rejected_as_unknown: Option<usize>,
    /// How sets of classes turn out, where they were asked for.
    pub sets: Option<Sets>,
}

/// A photo that is nearly the same as one that a run was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Near {
    /// Its name.
    pub photo: String,
    /// The other's name in the run's data set, where its file is still known.
    pub with: Option<String>,
}

/// Evaluates a run on labelled photos: on those of the `test` part where there is one, else on all, without the
/// photos that the run was made with unless `all` is set. Photos that are nearly the same as one of these are named in a warning, and the metrics without them
/// stand beside. `telling` says of each photo what it can.
///
/// # Errors
/// The folder isn't labelled with the run's classes; none of its photos is left.
pub fn evaluate(
    session: &Session<'_>,
    run: &Run,
    data: impl Into<Origin>,
    all: bool,
    telling: &Telling,
) -> Result<Evaluated> {
    let data = data.into();
    let mut dataset = watched(session.progress, Stage::LISTING, || Dataset::open_for(&data, &run.head.classes))?;
    if run.head.thresholds.is_none() {
        dataset.check_single()?;
    }
    dataset.warnings.iter().for_each(|warning| session.progress.warn(warning));
    if dataset.photos.iter().any(|photo| photo.part == Some(Part::Test)) {
        dataset.photos.retain(|photo| photo.part == Some(Part::Test));
    }
    let seen = run.seen()?;
    let mut known = known(session, run, &dataset.photos, &dataset.rejected)?;

    let found = known.kept.len();
    if !all {
        known.kept.retain(|(_, digest)| !seen.digests.contains(&hex(digest)));
    }
    let left_out = found - known.kept.len();
    if known.kept.is_empty() {
        let what = shown(&data.path).into_owned();
        return Err(match left_out {
            0 => nothing_readable(what, &known.rejected),
            _ => Error::AllSeen { what, seen: left_out },
        });
    }
    // Who asks for all knows that not all are new.
    let NearSeen { photos: found, unsought } = match all {
        true => NearSeen { photos: Vec::new(), unsought: 0 },
        false => near_seen(session, run, &mut known, &seen)?,
    };
    let mut predictions = known.predictions(&run.head, |_, photo| photo.part)?;
    telling.tell(&known.rows()?, &mut predictions)?;
    let sets = telling.least().map(|least| sets(&predictions, least)).transpose()?;
    let judged = |without: &HashSet<usize>| {
        let others = predictions.iter().enumerate().filter(|(place, _)| !without.contains(place));
        evaluate_some(others.map(|(_, photo)| photo), &run.head, &seen.majority)
    };
    let evaluation = judged(&HashSet::new())?.expect("a photo is left");
    let places: HashSet<usize> = found.iter().map(|(place, _)| *place).collect();
    let without_near = if places.is_empty() { None } else { judged(&places)? };
    let near: Vec<Near> =
        found.into_iter().map(|(place, with)| Near { photo: predictions[place].name.clone(), with }).collect();
    tell(session, &near, [unsought, seen.digests.len()]);
    Ok(Evaluated {
        evaluation,
        rejected_as_unknown: rejected(&predictions),
        sets,
        predictions,
        rejected: known.rejected,
        seen: left_out,
        near,
        without_near,
        unsought,
    })
}

/// Measures the sets of photos.
fn sets(predictions: &[Prediction], least: f64) -> Result<Sets> {
    let probabilities: Vec<f64> = predictions.iter().flat_map(Prediction::probabilities).collect();
    let classes: Vec<Class> = predictions.iter().filter_map(|photo| photo.target.class()).collect();
    conformal::measure(&probabilities, &classes, least)
}

/// Names the photos that aren't quite new to the head, and says how many of those that it has seen couldn't be compared with them.
fn tell(session: &Session<'_>, near: &[Near], [unsought, seen]: [usize; 2]) {
    if !near.is_empty() {
        let worded = |Near { photo, with }: &Near| {
            let with = with.as_deref().unwrap_or("one whose file isn't known any more");
            format!("{photo} is nearly the same as {with}")
        };
        let (photos, worded) = (count(near.len(), "photo"), near.iter().map(worded).collect::<Vec<_>>());
        let told = format!("{photos} nearly the same as ones that the run was made with, so the figures are too kind");
        session.progress.warn(&format!("{told}: {}", first(&worded, 5)));
    }
    if unsought > 0 {
        session.progress.warn(&format!(
            "of {unsought} of the {} that the run was made with no features are kept: copies of those were looked for, and nothing that is nearly the same",
            count(seen, "photo")
        ));
    }
}
