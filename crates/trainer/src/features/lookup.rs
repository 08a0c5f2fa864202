//! The quick look-up: which content a file had when it was read, by its path, size and dates, so that an unchanged one isn't read again.
//!
//! A file for each folder of photos, which can be made again: what is damaged there, or can't be read, only costs time.

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use crate::digest::{Digest, hex};
use crate::error::Result;
use crate::features::lines;
use crate::files;

/// The folder of these files, below the store's.
pub(super) const FOLDER: &str = "files";
/// What such a file begins with.
const MARK: &[u8; 8] = b"rehead1\n";
/// Bytes of a line: name, size, dates, digest.
const LINE: usize = 4 * 8 + size_of::<Digest>();
/// A file that changed so shortly before it was read may have changed again with the same date: file systems count in up to two seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// What a file is taken for unchanged by: its size, and when it was changed last, in content and as an entry (where a system tells that).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    modified: i64,
    changed: i64,
}

impl Stamp {
    /// Takes it from what the file system says; none where it tells no date.
    pub(super) fn of(data: &Metadata) -> Option<Self> {
        let since = |time: SystemTime| match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).ok(),
            Err(before) => i64::try_from(before.duration().as_nanos()).ok().map(|nanos| -nanos),
        };
        let modified = since(data.modified().ok()?)?;
        #[cfg(unix)]
        let changed = {
            use std::os::unix::fs::MetadataExt as _;
            data.ctime().checked_mul(1_000_000_000)?.checked_add(data.ctime_nsec())?
        };
        #[cfg(not(unix))]
        let changed = 0;
        Some(Self { size: data.len(), modified, changed })
    }

    /// Gives the bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Tells whether the file has been let alone for so long, at `now`, that a later change has another date.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
        self.modified.max(self.changed) < now - SETTLED.as_nanos() as i64
    }
}

/// The contents of the files of a folder, by the first bytes of their names' digests.
type Folder = HashMap<u64, (Stamp, Digest)>;

/// What is known of files, as folders are asked for.
#[derive(Debug)]
pub(super) struct Lookup {
    root: PathBuf,
    /// Whether what is there is believed.
    trusted: bool,
    /// By the folder as it is named: where it is kept, and what was read there.
    read: Mutex<HashMap<PathBuf, Arc<(PathBuf, Folder)>>>,
    /// What is new, by where it is kept.
    fresh: Mutex<HashMap<PathBuf, Folder>>,
}

impl Lookup {
    /// Opens the look-up of the store in the folder `root`; one that isn't trusted knows nothing, and is written all the same.
    pub(super) fn open(root: &Path, trusted: bool) -> Self {
        Self { root: root.join(FOLDER), trusted, read: Mutex::default(), fresh: Mutex::default() }
    }

    /// Gives the digest of a file's content, if it was read when it had this stamp.
    pub(super) fn get(&self, path: &Path, stamp: &Stamp) -> Option<Digest> {
        if !self.trusted {
            return None;
        }
        let folder = self.folder(path)?;
        let (then, digest) = folder.1.get(&name_of(path)?)?;
        (then == stamp).then_some(*digest)
    }

    /// Notes the digest of a file's content, which was read while it had this stamp.
    pub(super) fn note(&self, path: &Path, stamp: Stamp, digest: Digest) {
        if !stamp.is_settled(SystemTime::now()) {
            return;
        }
        let (Some(folder), Some(name)) = (self.folder(path), name_of(path)) else { return };
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.entry(folder.0.clone()).or_default().insert(name, (stamp, digest));
    }

    /// Writes what is new.
    ///
    /// # Errors
    /// A file can't be written; the others are.
    pub(super) fn keep(&self) -> Result<()> {
        let fresh = std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner));
        if fresh.is_empty() {
            return Ok(());
        }
        files::clean(&self.root);
        let mut outcome = Ok(());
        for (path, new) in fresh {
            // Another process may have added to it since.
            let mut all = read(&path).unwrap_or_default();
            all.extend(new);
            outcome = outcome.and(write(&path, &all));
        }
        outcome
    }

    /// Gives what is known of the folder that holds a file.
    fn folder(&self, path: &Path) -> Option<Arc<(PathBuf, Folder)>> {
        let folder = path.parent()?;
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = known.get(folder) {
            return Some(folder.clone());
        }
        let named = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let real = named.canonicalize().ok()?;
        let kept = self.root.join(&hex(&Sha256::digest(real.as_os_str().as_encoded_bytes()))[..32]);
        let lines = read(&kept).unwrap_or_default();
        Some(known.entry(folder.to_owned()).or_insert(Arc::new((kept, lines))).clone())
    }
}

/// Gives the number that stands for a file's name.
fn name_of(path: &Path) -> Option<u64> {
    let digest: Digest = Sha256::digest(path.file_name()?.as_encoded_bytes()).into();
    digest.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Reads a folder's lines; none where they aren't there, or are damaged.
fn read(path: &Path) -> Option<Folder> {
    let line = |line: &[u8; LINE]| {
        let (numbers, digest) = line.split_at(4 * 8);
        let number = |place: usize| <[u8; 8]>::try_from(&numbers[8 * place..][..8]).expect("eight");
        let [name, size] = [0, 1].map(|place| u64::from_le_bytes(number(place)));
        let [modified, changed] = [2, 3].map(|place| i64::from_le_bytes(number(place)));
        (name, (Stamp { size, modified, changed }, Digest::try_from(digest).expect("the rest of a line")))
    };
    Some(lines::read(path, MARK)?.iter().map(line).collect())
}

/// Writes a folder's lines.
fn write(path: &Path, folder: &Folder) -> Result<()> {
    let line = |(name, (Stamp { size, modified, changed }, digest)): (&u64, &(Stamp, Digest))| {
        let numbers = [name.to_le_bytes(), size.to_le_bytes(), modified.to_le_bytes(), changed.to_le_bytes()];
        let mut line = [0; LINE];
        line[..4 * 8].copy_from_slice(numbers.as_flattened());
        line[4 * 8..].copy_from_slice(digest);
        line
    };
    let mut all: Vec<_> = folder.iter().collect();
    all.sort_unstable_by_key(|(name, _)| **name);
    lines::write(path, MARK, &all.into_iter().map(line).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a file that was changed a minute ago; on Unix its entry was changed now all the same.
    fn file(folder: &Path, name: &str, content: &str) -> (PathBuf, Stamp) {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        let stamp = Stamp::of(&path.metadata().unwrap()).unwrap();
        (path, Stamp { changed: stamp.modified, ..stamp })
    }

    #[test]
    fn an_unchanged_file_is_known_by_every_way_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("photos");
        std::fs::create_dir(&folder).unwrap();
        let lookup = Lookup::open(dir.path(), true);
        let files = ["a", "b", "c"].map(|name| file(&folder, name, name));
        for ((path, stamp), number) in files.iter().zip(1..) {
            assert_eq!(lookup.get(path, stamp), None);
            lookup.note(path, *stamp, [number; 32]);
        }
        lookup.keep().unwrap();
        let again = Lookup::open(dir.path(), true);
        let (path, stamp) = &files[1];
        assert_eq!(again.get(path, stamp), Some([2; 32]));
        assert_eq!(again.get(&folder.join("../photos/b"), stamp), Some([2; 32]));
        for changed in [Stamp { size: 9, ..*stamp }, Stamp { modified: 9, ..*stamp }, Stamp { changed: 9, ..*stamp }] {
            assert_eq!(again.get(path, &changed), None);
        }
        assert_eq!(again.get(&folder.join("d"), stamp), None);
        assert_eq!(Lookup::open(dir.path(), false).get(path, stamp), None);
        // Others' lines stay where some are added.
        again.note(path, *stamp, [7; 32]);
        again.keep().unwrap();
        let third = Lookup::open(dir.path(), true);
        assert_eq!([0, 1, 2].map(|i| third.get(&files[i].0, &files[i].1)), [[1; 32], [7; 32], [3; 32]].map(Some));
    }

    #[test]
    fn what_has_just_changed_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let lookup = Lookup::open(dir.path(), true);
        let (path, stamp) = file(dir.path(), "a", "a");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        for young in [
            Stamp { modified: now - 1_000_000_000, ..stamp },
            Stamp { changed: now - 1_000_000_000, ..stamp },
            Stamp { modified: now + 1_000_000_000_000, ..stamp },
        ] {
            lookup.note(&path, young, [1; 32]);
        }
        lookup.keep().unwrap();
        assert!(!dir.path().join(FOLDER).exists());
    }

    #[test]
    fn damage_costs_time_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (path, stamp) = file(dir.path(), "a", "a");
        let lookup = Lookup::open(dir.path(), true);
        lookup.note(&path, stamp, [1; 32]);
        lookup.keep().unwrap();
        let kept = dir.path().join(FOLDER).read_dir().unwrap().next().unwrap().unwrap().path();
        let whole = std::fs::read(&kept).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 4;
            std::fs::write(&kept, &bytes).unwrap();
            assert_eq!(Lookup::open(dir.path(), true).get(&path, &stamp), None, "{place}");
            std::fs::write(&kept, &whole[..place]).unwrap();
            assert_eq!(Lookup::open(dir.path(), true).get(&path, &stamp), None, "{place}");
        }
        std::fs::write(&kept, &whole).unwrap();
        assert_eq!(Lookup::open(dir.path(), true).get(&path, &stamp), Some([1; 32]));
    }
}
