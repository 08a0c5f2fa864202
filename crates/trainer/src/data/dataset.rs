//! A data set: labelled photos as a training or an evaluation takes them, whatever layout they were read from.

use std::path::PathBuf;

use crate::data::photo::{Photo, Rejected};
use crate::data::target::{Class, Target};
use crate::error::{Error, Result};

/// Labelled photos. Deterministic: classes and photos are sorted by name.
///
/// The same photos with the same labels are the same data set, whatever they were read from, but for their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The folder that names are relative to.
    pub root: PathBuf,
    /// The labels, sorted by bytes unless another order was asked for; a label's place is its [`Class`](crate::data::Class) everywhere.
    pub classes: Vec<String>,
    /// The photos, in the order of their names.
    pub photos: Vec<Photo>,
    /// The entries that were found and can't even be listed.
    pub rejected: Vec<Rejected>,
    /// Warnings: what a user should know although it stops nothing.
    pub warnings: Vec<String>,
}

impl Dataset {
    /// Checks that each photo is of exactly one class, as a head of one class a photo needs it.
    ///
    /// # Errors
    /// [`Error::NotOneClass`] names the first photo that is of none or of several.
    pub fn check_single(&self) -> Result<()> {
        let label = |class: &Class| self.classes[class.index()].clone();
        match self.photos.iter().find(|photo| photo.target.class().is_none()) {
            Some(Photo { name, target, .. }) => {
                Err(Error::NotOneClass { photo: name.clone(), classes: target.classes().iter().map(label).collect() })
            }
            None => Ok(()),
        }
    }

    /// Tells whether photos may be of several classes, or of none.
    pub fn has_sets(&self) -> bool {
        self.photos.iter().any(|photo| matches!(photo.target, Target::Set(_)))
    }

    /// Counts the photos of each class, in the order of [`classes`](Self::classes).
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for class in self.photos.iter().flat_map(|photo| photo.target.classes()) {
            counts[class.index()] += 1;
        }
        counts
    }
}
