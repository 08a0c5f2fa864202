//! Finds how photos are prepared for a network: the recipe and the reading that its weight file, or a file beside it, states.

use std::path::{Path, PathBuf};

use resnet::{Recipe, WeightFile};

use crate::error::{Error, Result};
use crate::photos::{Reading, Views};
use crate::words::shown;

/// Finds the recipe that belongs to a weight file, and the file that holds it: a run's own, from its metadata; timm's or
/// transformers', from the configuration beside it; else torchvision's, which no file holds.
///
/// # Errors
/// It is given, and can't be followed.
pub fn recipe_of(weights: &WeightFile, path: &Path) -> Result<(Recipe, Option<PathBuf>)> {
    // Others name recipes of training so: what isn't an object is none of ours.
    let own = weights.metadata().get("recipe").filter(|text| text.trim_start().starts_with('{'));
    let Some(text) = own else { return Ok(Recipe::beside(path)?) };
    let recipe = Recipe::from_json(text).map_err(|error| match error {
        resnet::Error::Recipe { field, problem, source } => {
            let problem = format!("{problem} (in the metadata of {}, key `recipe`)", shown(path));
            resnet::Error::Recipe { field, problem, source }
        }
        other => other,
    })?;
    Ok((recipe, Some(path.to_owned())))
}

/// Finds how photos are read for these weights: a run's own way, from its metadata, else the default.
///
/// # Errors
/// It is given, and can't be followed.
pub fn reading_of(weights: &WeightFile, path: &Path) -> Result<Reading> {
    let Some(text) = weights.metadata().get("reading") else { return Ok(Reading::default()) };
    let damaged =
        |error| Error::InvalidRun { path: path.to_owned(), reason: format!("its metadata, reading: {error}") };
    serde_json::from_str(text).map_err(damaged)
}

/// Finds the views by whose mean these weights' head judges a photo: a run's own, from its metadata, else the plain one.
///
/// # Errors
/// They are given, and aren't known.
pub fn views_of(weights: &WeightFile, path: &Path) -> Result<Views> {
    let Some(text) = weights.metadata().get("views") else { return Ok(Views::default()) };
    let damaged = |error| Error::InvalidRun { path: path.to_owned(), reason: format!("its metadata, views: {error}") };
    text.parse().map_err(damaged)
}
