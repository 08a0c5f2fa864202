//! A manifest: every photo of a job with all that is said of it, before it is known which can be read.

use sha2::{Digest as _, Sha256};

use crate::data::listing::{Listing, told_again};
use crate::data::photo::Photo;
use crate::data::row::Row;
use crate::digest::Digest;

/// The photos of a job, in the order of their names.
pub(crate) struct Manifest {
    pub(crate) entries: Vec<Entry>,
    /// What a user should know although it stops nothing.
    pub(crate) warnings: Vec<String>,
}

/// A photo of a manifest.
pub(crate) struct Entry {
    /// Its name, by which it is known among the others.
    pub(crate) name: String,
    /// What is said of it.
    pub(crate) row: Row,
    /// The photo, or why there is none.
    pub(crate) photo: Result<Photo, String>,
}

impl Manifest {
    /// Takes photos of which nothing is said.
    pub(super) fn of(listing: Listing) -> Self {
        let Listing { photos, rejected, again, warnings, .. } = listing;
        let photos =
            photos.into_iter().map(|photo| Entry { name: photo.name.clone(), row: Row::default(), photo: Ok(photo) });
        let rejected = (rejected.into_iter()).map(|rejected| Entry {
            name: rejected.name,
            row: Row::default(),
            photo: Err(rejected.reason),
        });
        let warnings = warnings.into_iter().chain(told_again(&again)).collect();
        Self { entries: photos.chain(rejected).collect(), warnings }
    }

    /// Computes the SHA-256 of all names and of what is said of them, whether or not the photos are there.
    pub(crate) fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        for Entry { name, row, .. } in &self.entries {
            row.hash(name, &mut hash);
        }
        hash.finalize().into()
    }
}
