//! Embeds a folder: the backbone's features of every photo, for other programs to work with.

use std::path::Path;

use crate::data::{self, Origin, Photo, Rejected};
use crate::digest::Digest;
use crate::error::Result;
use crate::features::{Features, Outcome, Rows};
use crate::progress::{Stage, watched};
use crate::session::{Overrides, Session};
use crate::tasks::embedder::Embedder;
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
    let Source { photos, unlisted, embedder } = Source::open(session, &data, weights, overrides)?;
    let (features, mut extraction) = session.features(&embedder.backbone(), &photos)?;
    extraction.rejected.splice(0..0, unlisted);
    told(session, &data, &extraction.rejected, extraction.kept.len())?;
    Ok(Embedded {
        names: extraction.kept.iter().map(|&(photo, _)| photos[photo].name.clone()).collect(),
        digests: extraction.kept.into_iter().map(|(_, digest)| digest).collect(),
        rejected: extraction.rejected,
        computed: extraction.computed,
        features,
    })
}

/// Embeds a folder as [`embed`] does, and hands out each photo with the SHA-256 of its content and its features as they come, in the order of their names: memory doesn't grow
/// with the number of photos.
///
/// # Errors
/// As [`embed`]; that of `each`.
pub fn embed_each(
    session: &Session<'_>,
    data: impl Into<Origin>,
    weights: &Path,
    overrides: &Overrides,
    each: &mut Each<'_>,
) -> Result<Streamed> {
    let data = data.into();
    let Source { photos, unlisted: mut rejected, embedder } = Source::open(session, &data, weights, overrides)?;
    let mut rows = 0;
    let computed = embedder.embed(session, &photos, &mut |place, outcome| match outcome {
        Outcome::Known(digest, row) => {
            rows += 1;
            each(&photos[place], &digest, row)
        }
        Outcome::Rejected(photo) => {
            rejected.push(photo.clone());
            Ok(())
        }
    })?;
    told(session, &data, &rejected, rows)?;
    Ok(Streamed { rows, rejected, computed })
}

/// Takes a photo, the SHA-256 of its content, and its features.
pub type Each<'a> = dyn FnMut(&Photo, &Digest, &[f32]) -> Result<()> + 'a;

/// What was handed out.
#[derive(Clone, Debug)]
pub struct Streamed {
    /// Photos with features.
    pub rows: usize,
    /// The photos that couldn't be read.
    pub rejected: Vec<Rejected>,
    /// How many went through the network now.
    pub computed: usize,
}

/// The photos of a folder, and the backbone through which they pass.
struct Source {
    photos: Vec<Photo>,
    unlisted: Vec<Rejected>,
    embedder: Embedder,
}

impl Source {
    fn open(session: &Session<'_>, data: &Origin, weights: &Path, overrides: &Overrides) -> Result<Self> {
        let listing = watched(session.progress, Stage::LISTING, || data::list(data))?;
        listing.warnings.iter().for_each(|word| session.progress.warn(word));
        let embedder = Embedder::open(session, weights, overrides)?;
        Ok(Self { photos: listing.photos, unlisted: listing.rejected, embedder })
    }
}

/// Tells which photos were left out; it is an error where none is left.
fn told(session: &Session<'_>, data: &Origin, rejected: &[Rejected], rows: usize) -> Result<()> {
    tell_rejected(rejected, session.progress);
    if rows == 0 { Err(nothing_readable(shown(&data.path).into_owned(), rejected)) } else { Ok(()) }
}
