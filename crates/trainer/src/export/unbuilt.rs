//! What stands for Parquet tables in a build without them: none can be begun.

use std::path::Path;

use crate::error::{Error, Result};
use crate::export::column::{Cell, Column};

/// A table that can't be.
#[derive(Debug)]
pub(crate) enum Table {}

impl Table {
    /// Refuses to begin a table.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn begin(path: &Path, _: &str, _: &[Column]) -> Result<Self> {
        Err(unbuilt(path))
    }

    pub(crate) fn add(&mut self, _: &[Cell<'_>]) -> Result<()> {
        match *self {}
    }

    pub(crate) fn note(&mut self, _: &str, _: String) {
        match *self {}
    }

    pub(crate) fn finish(self) -> Result<()> {
        match self {}
    }
}

/// Knows no table.
pub(crate) fn is_ours(_: &Path, _: &str) -> bool {
    false
}

/// Tells that no table can be written.
///
/// # Errors
/// Always.
pub(crate) fn check_built(path: &Path) -> Result<()> {
    Err(unbuilt(path))
}

fn unbuilt(path: &Path) -> Error {
    Error::NotBuiltIn { action: "write", path: path.to_owned(), feature: "parquet" }
}
