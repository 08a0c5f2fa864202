//! Embeds a folder: the backbone's features of every photo, for other programs to work with.

use std::path::Path;

use resnet::WeightFile;

use crate::data::{self, Origin, Rejected};
use crate::digest::Digest;
use crate::error::Result;
use crate::features::{Features, Rows};
use crate::progress::{Stage, watched};
use crate::session::{Overrides, Pretrained, Session};
use crate::tasks::tell::{nothing_readable, tell_rejected};
use crate::words::shown;

/// Features of all photos of a folder.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The photos' names, one for each row.
    pub names: Vec<String>,
    /// The photos that couldn't be read.
    pub rejected: Vec<Rejected>,
    /// How many went through the network now; the others' features were kept, or they are copies.
    pub computed: usize,
    features: Features,
    digests: Vec<Digest>,
}

impl Embedded {
    /// Views the features, a row for each name.
    ///
    /// # Errors
    /// None, after [`embed`].
    pub fn rows(&self) -> Result<Rows<'_>> {
        self.features.rows(&self.digests)
    }
}

/// Passes every photo that is found, labelled or not, through the backbone in the file `weights`.
///
/// # Errors
/// No photos that can be read; the adapter failed.
pub fn embed(
    session: &Session<'_>,
    data: impl Into<Origin>,
    weights: &Path,
    overrides: &Overrides,
) -> Result<Embedded> {
    let data = data.into();
    let listing = watched(session.progress, Stage::LISTING, || data::list(&data))?;
    listing.warnings.iter().for_each(|word| session.progress.warn(word));
    let file = watched(session.progress, Stage::WEIGHTS, || WeightFile::open(weights))?;
    let (recipe, reading) = overrides.or_of(&file, weights)?;
    let backbone = Pretrained { weights: &file, recipe: &recipe, reading };
    let (features, mut extraction) = session.features(&backbone, &listing.photos)?;
    extraction.rejected.splice(0..0, listing.rejected);
    tell_rejected(&extraction.rejected, session.progress);
    if extraction.kept.is_empty() {
        return Err(nothing_readable(shown(&data.path).into_owned(), &extraction.rejected));
    }
    Ok(Embedded {
        names: extraction.kept.iter().map(|&(photo, _)| listing.photos[photo].name.clone()).collect(),
        digests: extraction.kept.into_iter().map(|(_, digest)| digest).collect(),
        rejected: extraction.rejected,
        computed: extraction.computed,
        features,
    })
}
