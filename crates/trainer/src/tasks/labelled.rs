//! Opens the photos of a training: the data set, its groups, and whether a head can learn from it as it is asked to.

use crate::data::{Dataset, Origin};
use crate::error::Result;
use crate::head::TrainOptions;

/// Opens labelled photos to train on with these options, each with its group by the column or the pattern `by`, if that is asked for.
///
/// # Errors
/// As [`Dataset::open_grouped`]; photos may be of several classes, and the options take one.
pub(crate) fn labelled(data: &Origin, by: Option<&str>, train: &TrainOptions) -> Result<Dataset> {
    let dataset = match by {
        Some(by) => Dataset::open_grouped(data, by)?,
        None => Dataset::open(data)?,
    };
    check(&dataset, train)?;
    Ok(dataset)
}

/// Checks that a head can learn as the options say.
///
/// # Errors
/// Photos may be of several classes, and the options take one.
pub(crate) fn check(dataset: &Dataset, train: &TrainOptions) -> Result<()> {
    if dataset.has_sets() { train.check_sets() } else { dataset.check_single() }
}
