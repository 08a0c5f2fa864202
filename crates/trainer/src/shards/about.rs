//! What a part says of itself in its metadata.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::words::shown;

/// What a part says that it holds.
pub(super) const WHAT: &str = "a part of features";
/// The key in a part's metadata under which stands [`About`], as JSON.
pub(super) const ABOUT: &str = "rehead.part";

/// What all parts of a job have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The key of the features: see [`Key`](crate::features::Key).
    pub(crate) key: String,
    /// What the key is made of.
    pub(crate) made_by: Value,
    /// The digest of the manifest.
    pub(crate) manifest: String,
    /// How many features a photo has.
    pub(crate) width: usize,
}

/// What a part says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) job: Job,
    /// Which shard it is, counted from 0, and of how many.
    pub(crate) shard: [u32; 2],
    /// Its lines.
    pub(crate) rows: usize,
    /// Those that have an error in the place of features.
    pub(crate) errors: usize,
    /// The SHA-256 of its lines, whatever file holds them.
    pub(crate) sha256: String,
}

/// Makes the error of a part that isn't what was written.
pub(super) fn damaged(path: &Path, problem: &str) -> Error {
    let problem = format!("the part is damaged: {}; computing its shard again writes it anew", shown(problem));
    Error::UnusableData { path: path.to_owned(), problem }
}
