//! How well a run tells photos that are like none of its classes, given some.

use serde::Serialize;

use crate::data::Photo;
use crate::error::Result;
use crate::head::metrics::roc_area;
use crate::report::Prediction;
use crate::run::Run;
use crate::session::Session;
use crate::tasks::predict::known;
use crate::tasks::tell::nothing_readable;
use crate::tasks::telling::Telling;

/// How well photos of none of the classes are told from others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Unknown {
    /// How many photos are of none of the classes.
    pub photos: usize,
    /// How many of them are rejected; none where that can't be told.
    pub rejected: Option<usize>,
    /// The area under the ROC, known against unknown; none where photos have no scores.
    pub roc_area: Option<f64>,
}

/// Judges photos that are like none of a run's classes, whatever their labels, beside predictions for known ones, which carry their verdicts.
///
/// # Errors
/// None of the photos can be read; the adapter failed.
pub fn unknown(
    session: &Session<'_>,
    run: &Run,
    photos: &[Photo],
    telling: &Telling,
    predictions: &[Prediction],
) -> Result<Unknown> {
    let found = known(session, run, photos, &[])?;
    if found.kept.is_empty() {
        return Err(nothing_readable("photos of none of the classes".to_owned(), &found.rejected));
    }
    let mut others = found.predictions(&run.head, |_, _| None)?;
    telling.tell(&found.rows()?, &mut others)?;
    let scores = |some: &[Prediction]| -> Vec<f64> {
        some.iter().filter_map(|photo| photo.verdict.map(|verdict| verdict.value)).collect()
    };
    Ok(Unknown {
        photos: others.len(),
        rejected: rejected(&others),
        roc_area: roc_area(&scores(predictions), &scores(&others)),
    })
}

/// Counts the photos that are like none of the classes; none where that can't be told.
pub(crate) fn rejected(predictions: &[Prediction]) -> Option<usize> {
    predictions.iter().map(|photo| photo.is_known().map(|known| usize::from(!known))).sum()
}
