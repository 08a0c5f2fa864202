//! The store: features on disk by their photos' content, shared by all runs, commands and processes.
//!
//! A folder for each key holds segments, files of some thousand rows that never change once they have their name. Who computes features
//! adds segments; nobody waits, and nobody's rows are lost, for a segment goes only when its rows lie in another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::digest::{Digest, hex};
use crate::error::{Error, Result};
use crate::features::key::Key;
use crate::features::segment::{Row, Segment};
use crate::files;
use crate::photos::{is_bad_sector, is_the_files};
use crate::words::{chain, count, shown};

/// Rows of a full segment: 8 MB of ResNet-18's features.
pub(super) const ROWS: usize = 4096;
/// A segment of fewer rows is small, and more of these than so many are put together.
const SMALL: (usize, usize) = (ROWS / 4, 16);
/// Segments that are open at a time: rows are asked for in any order.
const OPEN: usize = 128;
/// A segment's date says when it was read last, to so much.
const READ_EVERY: Duration = Duration::from_secs(3600);

/// The features of one key on disk.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    key: Key,
    width: usize,
    known: RwLock<Known>,
    /// The segments that were read last.
    open: Mutex<HashMap<usize, Arc<File>>>,
    /// Which rows of which segment couldn't be read.
    damaged: Mutex<BTreeMap<usize, BTreeSet<usize>>>,
    /// Files that are no segments, with the reason.
    strange: Vec<Error>,
}

/// The segments, and where each photo's row lies.
#[derive(Debug, Default)]
struct Known {
    segments: Vec<Segment>,
    /// By the first eight bytes of the photo's digest: the segment, and the number in it. A row's checksum is over all of the digest, so one that
    /// shares them is found out.
    index: HashMap<u64, (u32, u32)>,
}

impl Known {
    fn add(&mut self, segment: Segment, digests: &[Digest]) {
        let place = self.segments.len() as u32;
        self.index.extend(digests.iter().zip(0..).map(|(digest, number)| (short(digest), (place, number))));
        self.segments.push(segment);
    }
}

/// A segment, and the photos whose rows it holds, in their order.
pub(super) type Listed = (Segment, Vec<Digest>);

/// Gives the first eight bytes of a digest.
fn short(digest: &Digest) -> u64 {
    u64::from_le_bytes(*digest.first_chunk().expect("of 32 bytes"))
}

impl Store {
    /// Opens the store in the folder `root`, which is made, as far as it is one of this key.
    ///
    /// # Errors
    /// The folder can't be made or read.
    pub(super) fn open(root: &Path, key: &Key, width: usize) -> Result<Self> {
        let folder = root.join(key.to_string());
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        files::clean(&folder);
        let (segments, strange) = segments(&folder, &key.to_string(), Some(width))?;
        let mut known = Known::default();
        segments.into_iter().for_each(|(segment, digests)| known.add(segment, &digests));
        let (known, open, damaged) = (RwLock::new(known), Default::default(), Default::default());
        Ok(Self { folder, key: key.clone(), width, known, open, damaged, strange })
    }

    /// Reads a photo's row; none where it isn't there, or is damaged, which is noted.
    pub(super) fn get(&self, digest: &Digest) -> Option<Box<[f32]>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let &(place, number) = known.index.get(&short(digest))?;
        let (place, number) = (place as usize, number as usize);
        let segment = &known.segments[place];
        let row = match self.file(place, segment) {
            Ok(file) => segment.row(&file, number, digest),
            // Another process has put its rows into another one since.
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => Err(error),
        };
        match row {
            Ok(Some(row)) => Some(row),
            _ => {
                let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
                damaged.entry(place).or_default().insert(number);
                None
            }
        }
    }

    /// Gives an open segment, whose date then says that it was read.
    fn file(&self, place: usize, segment: &Segment) -> std::io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&place) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(&segment.path)?);
        let now = SystemTime::now();
        let long_ago = |then: SystemTime| now.duration_since(then).is_ok_and(|passed| passed > READ_EVERY);
        if file.metadata().and_then(|data| data.modified()).is_ok_and(long_ago) {
            // In a store that may only be read, nothing is dropped either.
            let _ = file.set_modified(now);
        }
        if open.len() >= OPEN {
            open.clear();
        }
        open.insert(place, file.clone());
        Ok(file)
    }

    /// Adds rows as segments of their own.
    ///
    /// # Errors
    /// They can't be written; what was there stays.
    pub(super) fn add(&self, mut rows: Vec<Row<'_>>) -> Result<()> {
        rows.sort_unstable_by_key(|(digest, _)| *digest);
        rows.chunks(ROWS).try_for_each(|rows| {
            let path = self.write(rows)?;
            // It is kept, also where another process has put its rows into another one since.
            if let Ok((segment, digests)) = Segment::open(&path, &self.key.to_string(), Some(self.width)) {
                self.known.write().unwrap_or_else(PoisonError::into_inner).add(segment, &digests);
            }
            Ok(())
        })
    }

    /// Writes a segment under a name made of its photos, so that the same ones replace each other.
    fn write(&self, rows: &[Row<'_>]) -> Result<PathBuf> {
        let mut hash = Sha256::new();
        rows.iter().for_each(|(digest, _)| hash.update(digest));
        let path = self.folder.join(format!("{}.safetensors", &hex(&hash.finalize())[..32]));
        Segment::write(&path, &self.key, self.width, rows)?;
        Ok(path)
    }

    /// Puts small segments together where there are many, and rewrites those with damaged rows without these.
    ///
    /// # Errors
    /// A file can't be read or written; no row is lost.
    pub(super) fn tidy(&self) -> Result<()> {
        let damaged: BTreeSet<PathBuf> = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
            damaged.keys().map(|&place| known.segments[place].path.clone()).collect()
        };
        let (mut sources, _) = segments(&self.folder, &self.key.to_string(), Some(self.width))?;
        let many = sources.iter().filter(|(segment, _)| segment.count < SMALL.0).count() > SMALL.1;
        sources.retain(|(segment, _)| damaged.contains(&segment.path) || many && segment.count < SMALL.0);
        let (mut known, mut rows) = (BTreeSet::new(), Vec::new());
        for (segment, digests) in &sources {
            let whole = match segment.whole_rows(digests, &known) {
                // Another process has put its rows into another one since.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
                read => read?,
            };
            known.extend(whole.iter().map(|(digest, _)| *digest));
            rows.extend(whole);
        }
        rows.sort_unstable_by_key(|(digest, _)| *digest);
        let rows: Vec<Row<'_>> = rows.iter().map(|(digest, row)| (digest, &row[..])).collect();
        let written = rows.chunks(ROWS).map(|rows| self.write(rows)).collect::<Result<BTreeSet<_>>>()?;
        for (Segment { path, .. }, _) in sources.iter().filter(|(segment, _)| !written.contains(&segment.path)) {
            match std::fs::remove_file(path) {
                // Another process did.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => done.map_err(Error::io("remove", path))?,
            }
        }
        Ok(())
    }

    /// Tells whether rows were damaged that were asked for.
    pub(super) fn is_damaged(&self) -> bool {
        !self.damaged.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Says what of it couldn't be read.
    pub(super) fn problems(&self) -> Vec<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = damaged.iter().map(|(&place, rows)| {
            let path = shown(&known.segments[place].path);
            format!("{path}: {} damaged; their photos' features are computed anew", count(rows.len(), "row"))
        });
        let strange = self.strange.iter().map(|error| format!("{}; remove it", chain(error)));
        strange.chain(rows).collect()
    }
}

/// Reads the headers of the segments in a folder, in the order of their names, each with its photos; and why other files aren't such.
pub(super) fn segments(folder: &Path, key: &str, width: Option<usize>) -> Result<(Vec<Listed>, Vec<Error>)> {
    let mut paths = Vec::new();
    for entry in folder.read_dir().map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension() == Some(OsStr::new("safetensors")) {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut segments, mut strange) = (Vec::new(), Vec::new());
    for path in paths {
        match Segment::open(&path, key, width) {
            Ok(segment) => segments.push(segment),
            // Another process has put its rows into another one since.
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            // The next would fail as well: nothing is known of this one.
            Err(Error::Io { source, action, path }) if !is_the_files(&source) && !is_bad_sector(&source) => {
                return Err(Error::Io { source, action, path });
            }
            Err(error) => strange.push(error),
        }
    }
    Ok((segments, strange))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photos::Preparation;
    use kernels::Precision;

    fn open(root: &Path) -> Store {
        Store::open(root, &Key::new("a", Precision::F32, &Preparation::default()), 2).unwrap()
    }

    fn digest(number: usize) -> Digest {
        Sha256::digest(number.to_le_bytes()).into()
    }

    fn add(store: &Store, numbers: std::ops::Range<usize>) {
        let rows: Vec<_> = numbers.map(|number| (digest(number), [number as f32, 0.5])).collect();
        store.add(rows.iter().map(|(digest, row)| (digest, &row[..])).collect()).unwrap();
    }

    fn count_known(store: &Store, numbers: std::ops::Range<usize>) -> usize {
        let right = |&number: &usize| match store.get(&digest(number)) {
            Some(row) => row[..] == [number as f32, 0.5],
            None => false,
        };
        numbers.filter(right).count()
    }

    fn files(store: &Store) -> Vec<PathBuf> {
        store.folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_several_add_at_once_is_all_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::thread::scope(|scope| {
            for process in 0..4 {
                // Each its own view, as processes have; half of the rows overlap.
                scope.spawn(move || {
                    let store = open(root);
                    for part in 0..20 {
                        let start = 100 * part + 25 * process;
                        add(&store, start..start + 50);
                        store.tidy().unwrap();
                    }
                });
            }
        });
        let store = open(dir.path());
        assert_eq!(count_known(&store, 0..2025), 2025);
        assert!(files(&store).len() <= 4 * (SMALL.1 + 2), "{}", files(&store).len());
        assert!(store.problems().is_empty());
    }

    #[test]
    fn small_segments_are_put_together_and_full_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        add(&store, 0..ROWS + 1);
        assert_eq!(files(&store).len(), 2);
        let full = (files(&store).into_iter()).max_by_key(|path| path.metadata().unwrap().len()).unwrap();
        for number in 0..SMALL.1 {
            add(&store, ROWS + 1 + number..ROWS + 2 + number);
            store.tidy().unwrap();
        }
        assert_eq!((files(&store).len(), full.exists()), (2, true));
        assert_eq!(count_known(&open(dir.path()), 0..ROWS + 1 + SMALL.1), ROWS + 1 + SMALL.1);
        // What was opened before finds nothing where its segments are gone, and computes anew.
        assert_eq!(count_known(&store, 0..ROWS + 1 + SMALL.1), ROWS);
    }

    #[test]
    fn damage_costs_its_own_rows_is_named_and_mended() {
        let dir = tempfile::tempdir().unwrap();
        add(&open(dir.path()), 0..100);
        add(&open(dir.path()), 100..110);
        let [large, small] = {
            let mut files = files(&open(dir.path()));
            files.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
            <[PathBuf; 2]>::try_from(files).unwrap()
        };
        let mut bytes = std::fs::read(&large).unwrap();
        let data = 8 + u64::from_le_bytes(std::array::from_fn(|i| bytes[i])) as usize;
        bytes[data + 12] ^= 1;
        std::fs::write(&large, &bytes).unwrap();
        std::fs::write(&small, &std::fs::read(&small).unwrap()[..200]).unwrap();

        let store = open(dir.path());
        assert_eq!(count_known(&store, 0..110), 99);
        let problems = store.problems();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains(&small.display().to_string()) && problems[0].ends_with("; remove it"));
        assert!(problems[1].starts_with(&format!("{}: 1 row damaged", large.display())), "{problems:?}");
        store.tidy().unwrap();
        assert!(!large.exists() && small.exists());
        let store = open(dir.path());
        assert_eq!((count_known(&store, 0..110), store.problems().len()), (99, 1));
    }

    #[test]
    fn what_killed_processes_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let left = open(dir.path()).folder.join(".trainer-left.part");
        std::fs::write(&left, b"half").unwrap();
        open(dir.path());
        assert!(!left.exists());
    }
}
