//! Features in memory by photo, and in a store where they are kept, so that a photo passes through a backbone once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::data::{Photo, Source};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::features::key::Key;
use crate::features::lookup::{Lookup, Stamp};
use crate::features::rows::Rows;
use crate::features::store::{ROWS, Store};
use crate::features::upkeep::{StoreOptions, cap};
use crate::words::chain;

/// How long computed rows wait at most until they are kept.
const WAIT: Duration = Duration::from_secs(60);
/// How many rows that pass through wait at most, where none can be kept; they are computed again another time.
const WAITING: usize = 8 * ROWS;
/// How many rows stay in memory behind those that passed through: a burst of copies finds them there.
const BEHIND: usize = 512;

/// Features by photo content. Kept in a store, they spare any later work the network, as they are computed: a killed process loses those
/// of a minute.
#[derive(Clone, Debug)]
pub struct Features {
    width: usize,
    rows: BTreeMap<Digest, Box<[f32]>>,
    kept: Option<Kept>,
    /// How many rows have passed through and are gone, if that is how it works.
    passed: Option<usize>,
}

/// What is known on disk: rows by photo, photos by file.
#[derive(Clone, Debug)]
pub(super) struct OnDisk {
    pub(super) store: Arc<Store>,
    pub(super) lookup: Arc<Lookup>,
}

/// The store, and what is to be added to it.
#[derive(Clone, Debug)]
struct Kept {
    options: StoreOptions,
    shelf: OnDisk,
    fresh: BTreeSet<Digest>,
    /// When rows were written last, or should have been.
    tried: Instant,
    failed: bool,
    /// Whether any were written.
    written: bool,
}

/// Equal are those that know the same of the same photos in memory, wherever they keep it.
impl PartialEq for Features {
    fn eq(&self, other: &Self) -> bool {
        (self.width, &self.rows) == (other.width, &other.rows)
    }
}

impl Features {
    /// Makes an empty table of `width` values a photo, which is kept nowhere.
    pub fn new(width: usize) -> Self {
        Self { width, rows: BTreeMap::new(), kept: None, passed: None }
    }

    /// Makes a table of what the store holds under this key, and keeps there what is added. Rows are read when they are asked for.
    ///
    /// # Errors
    /// The store's folder can't be made or read.
    pub fn kept_in(store: &StoreOptions, key: &Key, width: usize) -> Result<Self> {
        let lookup = Arc::new(Lookup::open(&store.folder, !store.rehash));
        let shelf = OnDisk { store: Arc::new(Store::open(&store.folder, key, width)?), lookup };
        let (fresh, tried) = (BTreeSet::new(), Instant::now());
        let options = store.clone();
        let kept = Kept { options, shelf, fresh, tried, failed: false, written: false };
        Ok(Self { kept: Some(kept), ..Self::new(width) })
    }

    /// Lets rows pass through: they are in memory until they were handed out and kept, however many there are.
    pub fn passing(self) -> Self {
        Self { passed: Some(0), ..self }
    }

    /// Counts the photos whose features are or were in memory.
    pub fn count(&self) -> usize {
        self.rows.len() + self.passed.unwrap_or(0)
    }

    /// Gives the number of values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Lists the photos whose features are in memory, by content.
    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.rows.keys()
    }

    /// Gives a photo's row, if it's in memory.
    pub(super) fn row(&self, digest: &Digest) -> Option<&[f32]> {
        self.rows.get(digest).map(|row| &row[..])
    }

    /// Lets rows go that have passed through, but for those `needed` still and those to be kept.
    pub(super) fn forget<'a>(&mut self, needed: impl Iterator<Item = &'a Digest>) {
        let (Some(passed), rows) = (&mut self.passed, &mut self.rows) else { return };
        let fresh = self.kept.as_ref().map(|kept| &kept.fresh);
        if rows.len() >= fresh.map_or(0, BTreeSet::len) + BEHIND {
            let (before, needed) = (rows.len(), needed.collect::<BTreeSet<_>>());
            rows.retain(|digest, _| needed.contains(digest) || fresh.is_some_and(|fresh| fresh.contains(digest)));
            *passed += before - rows.len();
        }
    }

    /// Gives what is known on disk, to read from while rows are added.
    pub(super) fn shelf(&self) -> Option<OnDisk> {
        self.kept.as_ref().map(|kept| kept.shelf.clone())
    }

    /// Takes a photo's row from the store, unless it's in memory; tells whether it is there.
    pub(crate) fn recall(&mut self, digest: &Digest) -> bool {
        if self.rows.contains_key(digest) {
            return true;
        }
        let row = self.kept.as_ref().and_then(|kept| kept.shelf.store.get(digest));
        row.map(|row| self.rows.insert(*digest, row)).is_some()
    }

    /// Tells which content a photo's file has, if it is unchanged since it was read.
    pub(crate) fn content_of(&self, photo: &Photo) -> Option<Digest> {
        let lookup = &self.kept.as_ref()?.shelf.lookup;
        match photo.source {
            Source::File => lookup.get(&photo.path, &Stamp::of(&photo.path.metadata().ok()?)?),
            _ => None,
        }
    }

    /// Takes a row from the store.
    pub(super) fn take(&mut self, digest: Digest, row: Box<[f32]>) {
        self.rows.insert(digest, row);
    }

    /// Adds the computed rows of these photos, `[digests, width]`.
    ///
    /// # Errors
    /// There are more or fewer values; one of them is NaN or infinite.
    pub(crate) fn insert(&mut self, digests: &[Digest], values: &[f32]) -> Result<()> {
        let (expected, got) = (digests.len() * self.width, values.len());
        if got != expected {
            return Err(Error::Shape { operation: "extract features", operand: "the network's output", expected, got });
        }
        if values.iter().any(|value| !value.is_finite()) {
            let what = "the network's output".to_owned();
            return Err(Error::NotFinite { operation: "extract features", what });
        }
        self.rows.extend(digests.iter().copied().zip(values.chunks_exact(self.width).map(Box::from)));
        if let Some(kept) = &mut self.kept {
            kept.fresh.extend(digests);
        }
        Ok(())
    }

    /// Writes computed rows to the store, where there are enough for a segment or they have waited for long.
    ///
    /// # Errors
    /// They can't be written; they wait for another try.
    pub(super) fn keep_as_it_goes(&mut self) -> Result<()> {
        let due = |kept: &Kept| kept.fresh.len() >= ROWS && !kept.failed || kept.tried.elapsed() >= WAIT;
        if self.kept.as_ref().is_some_and(due) { self.keep() } else { Ok(()) }
    }

    /// Writes all computed rows to the store, if there is one.
    ///
    /// # Errors
    /// They can't be written.
    pub fn keep(&mut self) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let rows = kept.fresh.iter().map(|digest| (digest, &*self.rows[digest])).collect();
        let added = kept.shelf.store.add(rows);
        (kept.tried, kept.failed) = (Instant::now(), added.is_err());
        kept.written |= added.is_ok() && !kept.fresh.is_empty();
        if added.is_ok() || self.passed.is_some() && kept.fresh.len() >= WAITING {
            kept.fresh.clear();
        }
        added
    }

    /// Puts the store in order after the work: what is known of files is kept, small segments put together, and what there is no room for goes.
    /// Gives what went wrong, and what of the store couldn't be read, in words.
    pub(crate) fn settle(&self) -> Vec<String> {
        let Some(Kept { options, shelf: OnDisk { store, lookup }, written, .. }) = &self.kept else {
            return Vec::new();
        };
        let tidied = if *written || store.is_damaged() { store.tidy() } else { Ok(()) };
        let capped = if *written { cap(options) } else { Ok(()) };
        let failed = [lookup.keep(), tidied, capped].into_iter().filter_map(Result::err);
        store.problems().into_iter().chain(failed.map(|error| chain(&error))).collect()
    }

    /// Takes the mean of several views of photos, row by row, of those that all views know. A head is linear, so what it makes of the mean is the mean of what it
    /// makes of each.
    pub(crate) fn mean(views: &[Self]) -> Self {
        let Some((first, others)) = views.split_first() else { return Self::new(0) };
        let mut mean = Self::new(first.width);
        for (digest, row) in &first.rows {
            let Some(others) = others.iter().map(|view| view.row(digest)).collect::<Option<Vec<_>>>() else { continue };
            let of = |(column, &value): (usize, &f32)| {
                let sum: f64 = others.iter().map(|row| f64::from(row[column])).sum();
                ((f64::from(value) + sum) / views.len() as f64) as f32
            };
            mean.rows.insert(*digest, row.iter().enumerate().map(of).collect());
        }
        mean
    }

    /// Views the rows of these photos in each of several views: all of the first photo, then all of the next.
    ///
    /// # Errors
    /// A view of a photo was never extracted.
    pub(crate) fn side_by_side<'a>(views: &'a [Self], digests: &[&Digest]) -> Result<Rows<'a>> {
        let columns = views.iter().map(|view| view.rows(digests.iter().copied())).collect::<Result<Vec<_>>>()?;
        let rows = (0..digests.len()).flat_map(|photo| columns.iter().map(move |rows| rows.row(photo)));
        Rows::from_rows(rows.collect(), views.first().map_or(0, Self::width))
    }

    /// Views the rows of these photos, in their order.
    ///
    /// # Errors
    /// A photo's features were never extracted.
    pub fn rows<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<Rows<'_>> {
        let row = |digest| {
            self.rows.get(digest).map(|row| &row[..]).ok_or(Error::Shape {
                operation: "view features",
                operand: "the row of a photo that was not extracted",
                expected: self.width,
                got: 0,
            })
        };
        Rows::from_rows(digests.into_iter().map(row).collect::<Result<_>>()?, self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photos::Preparation;
    use kernels::Precision;

    fn key() -> Key {
        Key::new("a", Precision::F32, &Preparation::default())
    }

    #[test]
    fn rows_are_views_in_the_order_asked_for() {
        let mut features = Features::new(3);
        for i in 0..9 {
            features.insert(&[[i; 32]], &[f32::from(i), -1.5, 1e-40]).unwrap();
        }
        let rows = features.rows([&[7; 32], &[2; 32], &[7; 32]]).unwrap();
        assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), [7.0, 2.0, 7.0]);
        assert!(std::ptr::eq(rows.row(0), rows.row(2)));
        let error = features.rows([&[7; 32], &[9; 32]]).unwrap_err().to_string();
        assert!(error.contains("not extracted"), "{error}");
    }

    #[test]
    fn views_lie_side_by_side_and_have_a_mean() {
        let view = |by: f32| {
            let mut features = Features::new(2);
            features.insert(&[[1; 32], [2; 32]], &[by, 10.0, 2.0 * by, 20.0]).unwrap();
            features
        };
        let mut views = [view(1.0), view(4.0)];
        views[0].insert(&[[3; 32]], &[0.0; 2]).unwrap();
        let rows = Features::side_by_side(&views, &[&[2; 32], &[1; 32]]).unwrap();
        assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), [2.0, 8.0, 1.0, 4.0]);
        assert!(Features::side_by_side(&views, &[&[3; 32]]).is_err());
        let mean = Features::mean(&views);
        assert_eq!((mean.count(), mean.row(&[2; 32])), (2, Some(&[5.0, 20.0][..])));
    }

    #[test]
    fn rows_are_kept_as_soon_as_they_fill_a_segment_and_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let kept = |digest: &Digest| Store::open(dir.path(), &key(), 1).unwrap().get(digest).is_some();
        let digest = |number: usize| -> Digest { std::array::from_fn(|i| number.to_le_bytes()[i % 8]) };
        let mut features = Features::kept_in(&StoreOptions::at(dir.path()), &key(), 1).unwrap();
        for number in 0..ROWS {
            assert!(!kept(&digest(0)));
            features.insert(&[digest(number)], &[number as f32]).unwrap();
            if number % 1000 == 0 || number == ROWS - 1 {
                features.keep_as_it_goes().unwrap();
            }
        }
        assert!(kept(&digest(0)) && kept(&digest(ROWS - 1)));
        features.insert(&[digest(ROWS)], &[1.0]).unwrap();
        features.keep_as_it_goes().unwrap();
        assert!(!kept(&digest(ROWS)));
        features.keep().unwrap();
        assert!(kept(&digest(ROWS)));
    }

    #[test]
    fn what_passes_through_leaves_memory_once_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let digest = |number: usize| -> Digest { std::array::from_fn(|i| number.to_le_bytes()[i % 8]) };
        let mut features = Features::kept_in(&StoreOptions::at(dir.path()), &key(), 1).unwrap().passing();
        for number in 0..2 * ROWS {
            features.insert(&[digest(number)], &[number as f32]).unwrap();
            features.keep_as_it_goes().unwrap();
            features.forget([digest(3)].iter());
            assert!(features.rows.len() < ROWS + BEHIND + 2, "{}", features.rows.len());
        }
        assert_eq!((features.count(), features.row(&digest(3))), (2 * ROWS, Some(&[3.0][..])));
        assert!(features.row(&digest(4)).is_none() && features.shelf().unwrap().store.get(&digest(4)).is_some());
        // Where none can be kept, memory stays bounded too.
        let folder = dir.path().join(key().to_string());
        std::fs::remove_dir_all(&folder).unwrap();
        let mut failed = 0;
        for number in 0..WAITING + 2 * ROWS {
            features.insert(&[digest(1 << 20 | number)], &[0.5]).unwrap();
            failed += usize::from(number % 1000 == 0 && features.keep().is_err());
            features.forget([].iter());
        }
        assert!(failed > 10 && features.rows.len() < WAITING + 1000 + BEHIND, "{failed} {}", features.rows.len());
    }

    #[test]
    fn what_cannot_be_kept_waits_for_another_try() {
        let dir = tempfile::tempdir().unwrap();
        let mut features = Features::kept_in(&StoreOptions::at(dir.path()), &key(), 1).unwrap();
        features.insert(&[[1; 32]], &[0.5]).unwrap();
        let folder = dir.path().join(key().to_string());
        std::fs::remove_dir(&folder).unwrap();
        assert!(features.keep().is_err());
        std::fs::create_dir(&folder).unwrap();
        features.keep().unwrap();
        assert!(Store::open(dir.path(), &key(), 1).unwrap().get(&[1; 32]).is_some());
    }
}
