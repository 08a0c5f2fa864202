//! Opens the photos of a training: the data set, its groups, and whether a head of one class a photo can learn from it.

use crate::data::{Dataset, Origin};
use crate::error::Result;

/// Opens labelled photos to train on, each with its group by the column or the pattern `by`, if that is asked for.
///
/// # Errors
/// As [`Dataset::open_grouped`]; a photo isn't of exactly one class.
pub(crate) fn labelled(data: &Origin, by: Option<&str>) -> Result<Dataset> {
    let dataset = match by {
        Some(by) => Dataset::open_grouped(data, by)?,
        None => Dataset::open(data)?,
    };
    dataset.check_single()?;
    Ok(dataset)
}
