//! A data set: labelled photos as a training or an evaluation takes them, whatever layout they were read from.

use std::path::PathBuf;

use crate::data::photo::{Photo, Rejected};

/// Labelled photos. Deterministic: classes and photos are sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The folder that names are relative to.
    pub root: PathBuf,
    /// The labels, sorted by bytes; a label's place is its [`Class`](crate::data::Class) everywhere.
    pub classes: Vec<String>,
    /// The photos, in the order of their names.
    pub photos: Vec<Photo>,
    /// The entries that were found and can't even be listed.
    pub rejected: Vec<Rejected>,
    /// Warnings: what a user should know although it stops nothing.
    pub warnings: Vec<String>,
}

impl Dataset {
    /// Counts the photos of each class, in the order of [`classes`](Self::classes).
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for class in self.photos.iter().flat_map(|photo| photo.target.classes()) {
            counts[class.index()] += 1;
        }
        counts
    }
}
