//! What was seen of pairs of pictures: whether both are one photo, so that no two are laid over each other twice.
//!
//! A file beside the quick look-up, which can be made again: what is damaged there only costs time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::error::Result;
use crate::features::lines;
use crate::features::lookup::FOLDER;
use crate::features::upkeep::StoreOptions;
use crate::photos::Reading;

/// What the file begins with. The number is raised when pictures are compared in another way.
const MARK: &[u8; 8] = b"pairs 1\n";
/// Bytes of a verdict.
const LINE: usize = 17;
/// So many verdicts are kept, in 70 MB; beyond, the file begins anew.
const MOST: usize = 1 << 22;

/// Verdicts by pair.
pub(super) struct Verdicts {
    /// Where they are kept, if they are.
    path: Option<PathBuf>,
    known: HashMap<[u8; 16], bool>,
    is_new: bool,
    reading: String,
}

impl Verdicts {
    /// Reads what a store knows of pictures that are read in this way.
    pub(super) fn open(store: Option<&StoreOptions>, reading: &Reading) -> Self {
        let path = store.map(|store| store.folder.join(FOLDER).join("pairs"));
        let known = path.as_deref().and_then(read).unwrap_or_default();
        Self { path, known, is_new: false, reading: format!("{reading:?}") }
    }

    /// Tells whether two pictures are one photo, if they were compared.
    pub(super) fn get(&self, a: &Digest, b: &Digest) -> Option<bool> {
        self.known.get(&self.key(a, b)).copied()
    }

    /// Notes whether two pictures are one photo.
    pub(super) fn note(&mut self, a: &Digest, b: &Digest, alike: bool) {
        self.known.insert(self.key(a, b), alike);
        self.is_new = true;
    }

    /// Keeps what is new.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn keep(&self) -> Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| self.is_new) else { return Ok(()) };
        // Another process may have added to it since.
        let mut all = read(path).unwrap_or_default();
        all.extend(&self.known);
        if all.len() > MOST {
            all.clone_from(&self.known);
        }
        let line = |(key, alike): ([u8; 16], bool)| {
            let mut line = [u8::from(alike); LINE];
            line[..16].copy_from_slice(&key);
            line
        };
        let mut all: Vec<[u8; LINE]> = all.into_iter().map(line).collect();
        all.sort_unstable();
        lines::write(path, MARK, &all)
    }

    fn key(&self, a: &Digest, b: &Digest) -> [u8; 16] {
        let hash = Sha256::new().chain_update(a.min(b)).chain_update(a.max(b)).chain_update(&self.reading).finalize();
        std::array::from_fn(|place| hash[place])
    }
}

/// Reads the verdicts of a file; none where it isn't there, or is damaged.
fn read(path: &Path) -> Option<HashMap<[u8; 16], bool>> {
    let lines = lines::read::<LINE>(path, MARK)?;
    Some(lines.iter().map(|line| (*line.first_chunk().expect("of 17"), line[16] == 1)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photos::{Background, Exif};

    #[test]
    fn what_was_seen_is_known_again_as_long_as_it_is_whole_and_pictures_are_read_so() {
        let dir = tempfile::tempdir().unwrap();
        let store = StoreOptions::at(dir.path());
        let reading = Reading::default();
        let [a, b, c, d] = [1, 2, 3, 4].map(|byte| [byte; 32]);
        let mut verdicts = Verdicts::open(Some(&store), &reading);
        assert_eq!(verdicts.get(&a, &b), None);
        verdicts.note(&a, &b, true);
        verdicts.note(&c, &b, false);
        verdicts.keep().unwrap();
        // Another that was opened before adds to it.
        let mut other = Verdicts { known: HashMap::new(), ..Verdicts::open(Some(&store), &reading) };
        other.note(&c, &d, true);
        other.keep().unwrap();
        let known = |reading: &Reading| {
            let verdicts = Verdicts::open(Some(&store), reading);
            [(&b, &a), (&b, &c), (&c, &d), (&a, &c)].map(|(a, b)| verdicts.get(a, b))
        };
        assert_eq!(known(&reading), [Some(true), Some(false), Some(true), None]);
        assert_eq!(known(&Reading { exif: Exif::Ignore, background: Background::Drop }), [None; 4]);
        let path = dir.path().join(FOLDER).join("pairs");
        let whole = std::fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(known(&reading), [None; 4], "{place}");
        }
        assert_eq!(Verdicts::open(None, &reading).get(&a, &b), None);
        Verdicts::open(None, &reading).keep().unwrap();
    }
}
