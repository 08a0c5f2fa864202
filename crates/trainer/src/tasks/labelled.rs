//! Opens the photos of a training: the data set, its groups, and whether a head of one class a photo can learn from it.

use crate::data::{Dataset, Origin, group_by};
use crate::error::Result;

/// Opens labelled photos to train on, each with the group that `by` finds in its name, if that is asked for.
///
/// # Errors
/// As [`Dataset::open`]; `by` finds no group; a photo isn't of exactly one class.
pub(crate) fn labelled(data: &Origin, by: Option<&str>) -> Result<Dataset> {
    let mut dataset = Dataset::open(data)?;
    if let Some(by) = by {
        let alone = group_by(&mut dataset.photos, by)?;
        dataset.warnings.extend(alone);
    }
    dataset.check_single()?;
    Ok(dataset)
}
