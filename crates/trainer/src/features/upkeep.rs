//! The upkeep of a store: what it holds, whether it is whole, and what goes when it is too large or too old.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::features::lookup;
use crate::features::segment::Segment;
use crate::features::store::segments;
use crate::files;
use crate::progress::{Progress, Stage};
use crate::words::{chain, count, shown};

/// What was read or written so lately isn't dropped for its size: who works with it now would compute it again.
const IN_USE: Duration = Duration::from_secs(24 * 3600);

/// The store in which features are kept and found by all who name it.
///
/// ```
/// let store = trainer::features::StoreOptions { rehash: true, ..trainer::features::StoreOptions::at("features") };
/// assert_eq!(store.most, 50_000_000_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Its folder.
    pub folder: PathBuf,
    /// Read every photo's file, also where its size and dates are those of a file that was read.
    pub rehash: bool,
    /// Bytes at most: beyond, what was read longest ago is dropped, though nothing that was read within a day.
    pub most: u64,
}

impl StoreOptions {
    /// The store in this folder: dates are trusted, and it holds 50 GB at most, those of 24 million photos by ResNet-18.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), rehash: false, most: 50_000_000_000 }
    }
}

/// What a store holds of one backbone, prepared in one way: features under one key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shelf {
    /// The key, in hexadecimal digits: the name of its folder.
    pub key: String,
    /// What the key is made of: weights, precision, recipe and so on.
    pub parts: serde_json::Value,
    /// Values of a row.
    pub width: usize,
    /// Photos whose features are kept; one that lies in several segments counts as often.
    pub rows: usize,
    /// Files.
    pub segments: usize,
    /// Bytes on disk.
    pub bytes: u64,
    /// Seconds since any of it was read or written.
    pub unread: u64,
}

/// What is wrong with a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Rows whose checksums are right.
    pub whole: usize,
    /// Rows whose checksums aren't: their photos' features are computed anew.
    pub damaged: usize,
    /// What is wrong, file by file.
    pub problems: Vec<String>,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Rows of features.
    pub rows: usize,
    /// Bytes on disk.
    pub bytes: u64,
}

/// What may stay in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Bytes of features at most: what was read longest ago is dropped until no more are left. What was in use within a day stays.
    pub bytes: Option<u64>,
    /// The longest time for which something may lie unread.
    pub unread: Option<Duration>,
}

/// Checks that a folder can be a store: it is one, or empty, or can be made; and files can be written there.
///
/// # Errors
/// [`Error::OutputExists`]: something else lies there. [`Error::Io`]: it can't be made or written.
pub fn check(root: &Path) -> Result<()> {
    match root.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(root).map_err(Error::io("create", root))?;
        }
        _ => drop(keys(root)?),
    }
    files::try_folder(&root.join("features"))
}

/// Says what a store holds, key by key, the largest first.
///
/// # Errors
/// It isn't there, isn't a store, or can't be read.
pub fn info(root: &Path) -> Result<Vec<Shelf>> {
    let mut shelves = Vec::new();
    for (key, folder) in keys(root)? {
        let (segments, _) = segments(&folder, &key, None)?;
        let Some((first, _)) = segments.first() else { continue };
        let unread = segments.iter().map(|(segment, _)| unread(segment)).min();
        shelves.push(Shelf {
            parts: serde_json::from_str(&first.parts).unwrap_or_default(),
            width: first.width,
            rows: segments.iter().map(|(segment, _)| segment.count).sum(),
            segments: segments.len(),
            bytes: segments.iter().map(|(segment, _)| segment.size).sum(),
            unread: unread.unwrap_or_default().as_secs(),
            key,
        });
    }
    shelves.sort_by_key(|shelf| std::cmp::Reverse(shelf.bytes));
    Ok(shelves)
}

/// Reads every row of a store and compares its checksum. Changes nothing.
///
/// # Errors
/// It isn't there, isn't a store, or can't be read; the watcher asked to stop.
pub fn verify(root: &Path, progress: &dyn Progress) -> Result<Verified> {
    let mut verified = Verified::default();
    let keys = keys(root)?;
    let count = |(_, folder): &(String, PathBuf)| folder.read_dir().map_or(0, Iterator::count);
    progress.begin(Stage::VERIFY, keys.iter().map(count).sum());
    let outcome = verify_keys(keys, &mut verified, progress);
    progress.end();
    outcome.map(|()| verified)
}

fn verify_keys(keys: Vec<(String, PathBuf)>, verified: &mut Verified, progress: &dyn Progress) -> Result<()> {
    for (key, folder) in keys {
        let (segments, strange) = segments(&folder, &key, None)?;
        verified.problems.extend(strange.iter().map(|error| chain(error)));
        for (segment, digests) in segments {
            if progress.cancelled() {
                return Err(Error::Interrupted { kept: 0 });
            }
            progress.advance(1);
            match segment.whole_rows(&digests, &Default::default()) {
                Ok(rows) if rows.len() == segment.count => verified.whole += rows.len(),
                Ok(rows) => {
                    let damaged = segment.count - rows.len();
                    verified.whole += rows.len();
                    verified.damaged += damaged;
                    verified.problems.push(format!(
                        "{}: {damaged} of {} rows damaged",
                        shown(&segment.path),
                        segment.count
                    ));
                }
                // Another process has put its rows into another one since.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    verified.damaged += segment.count;
                    verified.problems.push(chain(&error));
                }
            }
        }
    }
    Ok(())
}

/// Drops what a cap leaves no room for: what was read longest ago goes first.
///
/// # Errors
/// It isn't there, isn't a store, or a file can't be removed.
pub fn prune(root: &Path, cap: &Cap) -> Result<Dropped> {
    let mut all: Vec<(Duration, Segment)> = Vec::new();
    for (key, folder) in keys(root)? {
        files::clean(&folder);
        let (segments, _) = segments(&folder, &key, None)?;
        all.extend(segments.into_iter().map(|(segment, _)| (unread(&segment), segment)));
    }
    // The path decides between those of one moment, so that the same ones go whoever prunes.
    all.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.path.cmp(&other.path)));
    let mut left: u64 = all.iter().map(|(_, segment)| segment.size).sum();
    let mut dropped = Dropped::default();
    for (unread, segment) in all {
        let old = cap.unread.is_some_and(|most| unread > most);
        let large = cap.bytes.is_some_and(|most| left > most) && unread > IN_USE;
        if old || large {
            remove(&segment.path)?;
            left -= segment.size;
            dropped = Dropped { rows: dropped.rows + segment.count, bytes: dropped.bytes + segment.size };
        }
    }
    for path in lines(root)? {
        let age = path.metadata().and_then(|data| data.modified()).ok().and_then(|then| then.elapsed().ok());
        if cap.unread.is_some_and(|most| age.is_some_and(|age| age > most)) {
            remove(&path)?;
        }
    }
    for (_, folder) in keys(root)? {
        // As far as they are empty.
        let _ = std::fs::remove_dir(folder);
    }
    Ok(dropped)
}

/// Drops what a store has no room for, if there is more in it than its options say.
///
/// # Errors
/// As [`prune`].
pub(super) fn cap(store: &StoreOptions) -> Result<()> {
    let mut bytes = 0;
    for (_, folder) in keys(&store.folder)? {
        for entry in folder.read_dir().map_err(Error::io("list", &folder))? {
            // What has gone since takes no room.
            bytes += entry.and_then(|entry| entry.metadata()).map_or(0, |data| data.len());
        }
    }
    match bytes > store.most {
        true => prune(&store.folder, &Cap { bytes: Some(store.most), unread: None }).map(drop),
        false => Ok(()),
    }
}

/// Drops all features, of one key where its first digits are given, and leaves what else may lie in the folder.
///
/// # Errors
/// It isn't there, isn't a store; no key, or several, begin so; a file can't be removed.
pub fn clear(root: &Path, key: Option<&str>) -> Result<Dropped> {
    let mut keys = keys(root)?;
    if let Some(beginning) = key {
        keys.retain(|(key, _)| key.starts_with(beginning));
        if keys.len() != 1 {
            let value = format!("{beginning}, with which {} begin", count(keys.len(), "key"));
            return Err(Error::InvalidOption { option: "the key", value, expected: "the first digits of one key" });
        }
    }
    let mut dropped = Dropped::default();
    for (key, folder) in &keys {
        files::clean(folder);
        let (segments, strange) = segments(folder, key, None)?;
        for (segment, _) in segments {
            remove(&segment.path)?;
            dropped = Dropped { rows: dropped.rows + segment.count, bytes: dropped.bytes + segment.size };
        }
        for error in strange {
            if let Error::InvalidRun { path, .. } = error {
                remove(&path)?;
            }
        }
        // As far as it is empty.
        let _ = std::fs::remove_dir(folder);
    }
    if key.is_none() {
        lines(root)?.iter().try_for_each(|path| remove(path))?;
        let _ = std::fs::remove_dir(root.join(lookup::FOLDER));
    }
    Ok(dropped)
}

/// Lists the folders of a store's keys, in their order.
fn keys(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let other = |problem| Err(Error::OutputExists { path: root.to_owned(), problem, finished: false });
    let entries = match root.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return other("is a file: give a folder to keep features in");
        }
        entries => entries.map_err(Error::io("list", root))?,
    };
    let mut keys = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list", root))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.len() == 2 * size_of::<Digest>() && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            keys.push((name, entry.path()));
        } else if !name.starts_with('.') && name != lookup::FOLDER {
            return other("holds something else than features: give a new or an empty folder");
        }
    }
    keys.sort();
    Ok(keys)
}

/// Lists the files of the quick look-up.
fn lines(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(lookup::FOLDER);
    match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries
            .map_err(Error::io("list", &folder))?
            .map(|entry| Ok(entry.map_err(Error::io("list", &folder))?.path()))
            .collect(),
    }
}

/// Tells how long ago a segment was read or written.
fn unread(segment: &Segment) -> Duration {
    let then = segment.path.metadata().and_then(|data| data.modified());
    then.ok().and_then(|then| SystemTime::now().duration_since(then).ok()).unwrap_or_default()
}

/// Removes a file, unless another process did.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.map_err(Error::io("remove", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::key::Key;
    use crate::features::store::Store;
    use crate::photos::Preparation;
    use kernels::Precision;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Adds a segment of so many rows under the key of these weights, read so many days ago.
    fn add(root: &Path, weights: &str, rows: u8, days: u32) -> PathBuf {
        let key = Key::new(weights, Precision::F32, &Preparation::default());
        let before: Vec<_> = keys(root)
            .map(|keys| keys.into_iter().flat_map(|(_, folder)| paths(&folder)).collect())
            .unwrap_or_default();
        let store = Store::open(root, &key, 2).unwrap();
        let rows: Vec<_> = (0..rows).map(|row| ([row + days as u8 * 16; 32], [f32::from(row), 1.0])).collect();
        store.add(rows.iter().map(|(digest, row)| (digest, &row[..])).collect()).unwrap();
        let path = paths(&root.join(key.to_string())).into_iter().find(|path| !before.contains(path)).unwrap();
        std::fs::File::open(&path).unwrap().set_modified(SystemTime::now() - days * DAY).unwrap();
        path
    }

    fn paths(folder: &Path) -> Vec<PathBuf> {
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_a_store_holds_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(info(dir.path()).unwrap(), []);
        add(dir.path(), "a", 3, 5);
        add(dir.path(), "a", 4, 2);
        add(dir.path(), "b", 2, 9);
        let shelves = info(dir.path()).unwrap();
        assert_eq!(shelves.iter().map(|shelf| (shelf.rows, shelf.segments)).collect::<Vec<_>>(), [(7, 2), (2, 1)]);
        assert_eq!((&shelves[1].parts["weights"], shelves[1].width), (&"b".into(), 2));
        assert!(shelves[0].unread / 3600 == 48 && shelves[0].bytes > 7 * 8, "{:?}", shelves[0]);
        assert!(info(&dir.path().join("none")).is_err());
    }

    #[test]
    fn what_was_read_longest_ago_goes_first_and_what_is_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        let old = add(dir.path(), "b", 2, 9);
        let older = add(dir.path(), "a", 3, 12);
        let new = add(dir.path(), "a", 4, 0);
        let size = |path: &Path| path.metadata().unwrap().len();
        let all = size(&old) + size(&older) + size(&new);
        let cap = |bytes| Cap { bytes: Some(bytes), unread: None };
        assert_eq!(prune(dir.path(), &cap(all)).unwrap(), Dropped::default());
        let bytes = size(&older);
        assert_eq!(prune(dir.path(), &cap(all - 1)).unwrap(), Dropped { rows: 3, bytes });
        assert!(old.exists() && new.exists() && !older.exists());
        super::cap(&StoreOptions::at(dir.path())).unwrap();
        assert!(old.exists());
        super::cap(&StoreOptions { most: 9, ..StoreOptions::at(dir.path()) }).unwrap();
        assert!(!old.exists());
        assert!(new.exists() && !old.parent().unwrap().exists());
        let unread = Cap { bytes: None, unread: Some(Duration::from_secs(3600)) };
        assert_eq!(prune(dir.path(), &unread).unwrap().rows, 0);
        std::fs::File::open(&new).unwrap().set_modified(SystemTime::now() - DAY / 2).unwrap();
        assert_eq!(prune(dir.path(), &unread).unwrap().rows, 4);
    }

    #[test]
    fn reading_a_segment_counts_as_using_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = add(dir.path(), "a", 3, 12);
        let store = Store::open(dir.path(), &Key::new("a", Precision::F32, &Preparation::default()), 2).unwrap();
        let age = || SystemTime::now().duration_since(path.metadata().unwrap().modified().unwrap()).unwrap_or_default();
        assert!(age() > 11 * DAY);
        assert!(store.get(&[12 * 16 + 1; 32]).is_some());
        assert!(age() < DAY);
    }

    #[test]
    fn damage_is_found_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = add(dir.path(), "a", 3, 0);
        add(dir.path(), "b", 5, 0);
        let whole = Verified { whole: 8, ..Default::default() };
        assert_eq!(verify(dir.path(), &()).unwrap(), whole);
        let mut bytes = std::fs::read(&path).unwrap();
        let data = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        bytes[data + 9] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let found = verify(dir.path(), &()).unwrap();
        assert_eq!((found.whole, found.damaged, found.problems.len()), (7, 1, 1));
        assert!(found.problems[0].ends_with("1 of 3 rows damaged"), "{found:?}");
        std::fs::write(&path, &bytes[..20]).unwrap();
        let found = verify(dir.path(), &()).unwrap();
        assert!(found.problems[0].contains("cut short"), "{found:?}");
    }

    #[test]
    fn all_goes_or_what_one_key_holds() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|weights| add(dir.path(), weights, 3, 0));
        std::fs::write(b.with_file_name("x.safetensors"), "rubbish").unwrap();
        std::fs::create_dir(dir.path().join(lookup::FOLDER)).unwrap();
        std::fs::write(dir.path().join(lookup::FOLDER).join("1"), "rubbish").unwrap();
        let key = a.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert!(clear(dir.path(), Some("")).unwrap_err().to_string().contains("2 keys"));
        assert!(clear(dir.path(), Some("xyz")).is_err());
        assert_eq!(clear(dir.path(), Some(&key[..12])).unwrap().rows, 3);
        assert!(!a.exists() && b.exists());
        assert_eq!(clear(dir.path(), None).unwrap().rows, 3);
        assert_eq!(paths(dir.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_folder_of_other_things_becomes_no_store_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("deep/store");
        check(&root).unwrap();
        add(&root, "a", 3, 0);
        check(&root).unwrap();
        std::fs::create_dir(root.join("cat")).unwrap();
        assert!(check(&root).unwrap_err().to_string().contains("something else than features"));
        assert!(clear(&root, None).is_err() && prune(&root, &Cap { bytes: Some(0), unread: None }).is_err());
        assert_eq!(verify(&root, &()).unwrap_err().fault(), crate::Fault::Usage);
        std::fs::write(dir.path().join("file"), b"").unwrap();
        assert!(check(&dir.path().join("file")).unwrap_err().to_string().contains("is a file"));
    }
}
