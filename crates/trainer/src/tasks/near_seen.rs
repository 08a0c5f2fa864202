//! Finds photos that are evaluated on and nearly the same as ones that the run was made with: as little new to its head as copies are.

use std::collections::HashMap;

use crate::data::{self, Entry, Groups, Part, Photo, Source, Target, leaks};
use crate::digest::{Digest, of_hex};
use crate::error::Result;
use crate::features::{Features, Looking, near_duplicates};
use crate::progress::{Stage, watched};
use crate::run::{Run, Seen};
use crate::session::Session;
use crate::tasks::known::Known;

/// What was found near.
pub(crate) struct NearSeen {
    /// The places, among the known, of photos that are nearly the same as one that the run was made with, each with that one's name, if its file is known.
    pub(crate) photos: Vec<(usize, Option<String>)>,
    /// How many of the photos that the run was made with couldn't be compared, for their features aren't kept.
    pub(crate) unsought: usize,
}

/// Finds which of the known photos are nearly the same as one that the run has `seen`. The features of those come from the store, and their pictures from
/// where the run found them; where a picture isn't there any more, the features alone must be all but equal.
///
/// # Errors
/// The watcher asked to stop; the machine failed.
pub(crate) fn near_seen(session: &Session<'_>, run: &Run, known: &mut Known<'_>, seen: &Seen) -> Result<NearSeen> {
    let mut learnt: Vec<Digest> = seen.digests.iter().filter_map(|digest| of_hex(digest)).collect();
    learnt.sort_unstable();
    learnt.retain(|digest| known.views[0].recall(digest));
    let unsought = seen.digests.len() - learnt.len();
    if learnt.is_empty() {
        return Ok(NearSeen { photos: Vec::new(), unsought });
    }
    let mut found = watched(session.progress, Stage::LISTING, || found_by(run, &known.views[0]));
    // Pairs are looked for between two parts, and not within one that is evaluated on or chosen by.
    let evaluated = known.photos().map(|photo| Photo { part: Some(Part::Test), ..photo.clone() });
    let gone = || Photo::in_memory("", Vec::new());
    let seen = learnt.iter().map(|digest| found.remove(digest).unwrap_or_else(gone));
    let seen = seen.map(|photo| Photo { part: Some(Part::Validation), ..photo });
    let photos: Vec<Photo> = evaluated.chain(seen).collect();
    let digests: Vec<Digest> = known.kept.iter().map(|(_, digest)| *digest).chain(learnt).collect();
    let entry = |(digest, photo): (&Digest, &Photo)| Entry {
        target: &Target::None,
        digest: *digest,
        part: photo.part,
        group: None,
        kept: None,
    };
    let mut groups = Groups::new(&digests.iter().zip(&photos).map(entry).collect::<Vec<_>>());
    let rows = known.views[0].rows(&digests)?;
    let looking =
        Looking { digests: &digests, store: session.store.as_ref(), reading: &run.reading, limits: &session.limits };
    near_duplicates(&photos.iter().collect::<Vec<_>>(), &rows, &mut groups, looking, session.progress)?;
    let parts: Vec<Part> = photos.iter().filter_map(|photo| photo.part).collect();
    let named = |place: usize| Some(&photos[place]).filter(|photo| photo.source == Source::File);
    let near = leaks(&groups, &digests, &parts);
    let near = near.iter().map(|leak| (leak.photo, named(leak.with).map(|photo| photo.name.clone())));
    Ok(NearSeen { photos: near.collect(), unsought })
}

/// Finds the files of photos where the run found them, by content, as far as they are known to be unchanged.
fn found_by(run: &Run, features: &Features) -> HashMap<Digest, Photo> {
    let data = run.config.as_ref().map(|config| &config.data).filter(|data| !data.is_input());
    // What has gone can't be looked at again: its features are what is known of it.
    let listing = data.and_then(|data| data::list(data).ok()).unwrap_or_default();
    listing.photos.into_iter().filter_map(|photo| Some((features.content_of(&photo)?, photo))).collect()
}
