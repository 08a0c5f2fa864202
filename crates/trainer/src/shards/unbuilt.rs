//! What stands for the reading of parts in a build without Parquet: none can be opened.

use std::path::Path;

use crate::error::{Error, Result};
use crate::shards::line::Line;

/// A part that can't be read.
pub(super) enum Groups {}

impl Groups {
    /// Refuses to open a part.
    ///
    /// # Errors
    /// Always.
    pub(super) fn open(path: &Path) -> Result<Option<(Self, String)>> {
        Err(Error::NotBuiltIn { action: "read", path: path.to_owned(), feature: "parquet" })
    }

    pub(super) fn next(&mut self) -> Result<Option<Vec<Line>>> {
        match *self {}
    }
}
