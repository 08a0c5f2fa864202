//! Trains a run again on photos that were added, removed, moved or renamed since, with the same settings.

use std::path::{Path, PathBuf};

use crate::data::Origin;
use crate::error::{Error, Result};
use crate::progress::{Stage, watched};
use crate::session::{Overrides, Session};
use crate::tasks::backbones::Backbone;
use crate::tasks::before::Before;
use crate::tasks::train::{Request, train_since};
use crate::tasks::trained::Trained;

/// How a run is trained again.
#[derive(Clone, Debug, Default)]
pub struct Again {
    /// Where the photos are now, unless they are where they were.
    pub data: Option<Origin>,
    /// Where the new run goes, unless it takes the place of the old one.
    pub out: Option<PathBuf>,
    /// Replace a finished run at `out`.
    pub force: bool,
}

/// Trains the run in the folder `run` again. Settings are the run's; photos that are still there keep their parts, so that both heads can be
/// compared on photos that neither learnt from; only the features of new photos are computed, where the session has a store.
/// [`Metrics::change`](crate::report::Metrics) says what changed.
///
/// # Errors
/// There is no run, or one that doesn't say how it was made; as [`train`](crate::tasks::train).
pub fn train_again(session: &Session<'_>, run: &Path, again: Again) -> Result<Trained> {
    let before = watched(session.progress, Stage::WEIGHTS, || Before::open(run))?;
    let config = &before.config;
    let Again { data, out, force } = again;
    let in_place = out.is_none();
    let request = Request {
        data: data.unwrap_or_else(|| config.data.clone()),
        backbones: vec![Backbone::at(before.path.clone())],
        within_error: false,
        views: config.views,
        baselines: false,
        out: out.unwrap_or_else(|| run.to_owned()),
        force: force || in_place,
        overrides: Overrides { recipe: Some(config.recipe.clone()), reading: Some(config.reading) },
        split: config.split.clone(),
        kept: before.parts(),
        train: config.train,
    };
    if request.data.is_input() {
        let (value, expected) = ("-".to_owned(), "photos that can be listed again: give a folder or a table");
        return Err(Error::InvalidOption { option: "the run's photos", value, expected });
    }
    train_since(session, &request, Some(&before))
}
