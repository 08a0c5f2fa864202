//! A tree of folders, on disk or in an archive.

use std::path::Path;

use crate::data::contents::Contents;
use crate::data::listing::{Level, Listing, level, walk};
use crate::data::photo::Rejected;
use crate::error::Result;

/// Where a tree of folders stands.
pub(super) enum Tree {
    /// On disk.
    Disk,
    /// In an archive, whose path stands for its root.
    Archive(Contents),
}

impl Tree {
    /// Reads one level of a folder, sorted.
    ///
    /// # Errors
    /// It can't be listed.
    pub fn level(&self, root: &Path, folder: &Path) -> Result<Level> {
        match self {
            Self::Disk => level(root, folder),
            Self::Archive(contents) => Ok(contents.level(folder)),
        }
    }

    /// Lists every photo below `folder`, each named by its path below `root`.
    ///
    /// # Errors
    /// The machine failed.
    pub fn walk(&self, root: &Path, folder: &Path) -> Result<Listing> {
        match self {
            Self::Disk => walk(root, folder),
            Self::Archive(contents) => Ok(contents.walk(folder)),
        }
    }

    /// Lists what of an archive can't be used, wherever it stands.
    pub fn rejected(&self) -> &[Rejected] {
        match self {
            Self::Disk => &[],
            Self::Archive(contents) => &contents.rejected,
        }
    }
}
