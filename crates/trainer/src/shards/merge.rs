//! The parts of a job as one table: line by line in their order, as a file, or as features to learn from.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::data::{Rejected, Told};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::features::{FeatureFile, Features};
use crate::outputs::{self, Existing};
use crate::shards::about::Job;
use crate::shards::folder::Folder;
use crate::shards::line::{Line, Order};
use crate::shards::part::{Draft, Part};
use crate::shards::shard::Shard;

/// The lines of all parts, in one order. A group of rows of each part is in memory.
struct Merged {
    parts: Vec<Part>,
    /// The next line of each part that has one.
    next: BTreeMap<(Order, usize), Line>,
}

impl Merged {
    /// Opens the folder of a finished job, or a merged table.
    ///
    /// # Errors
    /// It is neither.
    fn open(path: &Path) -> Result<Self> {
        let parts = match path.is_dir() {
            true => Folder { path }.open()?,
            false => vec![whole(path)?],
        };
        let mut merged = Self { parts, next: BTreeMap::new() };
        (0..merged.parts.len()).try_for_each(|place| merged.refill(place))?;
        Ok(merged)
    }

    fn job(&self) -> &Job {
        &self.parts[0].about.job
    }

    fn refill(&mut self, place: usize) -> Result<()> {
        if let Some(line) = self.parts[place].next()? {
            self.next.insert((line.order(), place), line);
        }
        Ok(())
    }

    /// Gives the next line.
    ///
    /// # Errors
    /// A part can't be read, or is damaged.
    fn next(&mut self) -> Result<Option<Line>> {
        let Some(((_, place), line)) = self.next.pop_first() else { return Ok(None) };
        self.refill(place)?;
        Ok(Some(line))
    }
}

/// Opens a merged table.
fn whole(path: &Path) -> Result<Part> {
    let wrong = |problem: &str| Error::UnusableData { path: path.to_owned(), problem: problem.to_owned() };
    let part = Part::open(path)?.ok_or_else(|| wrong("no table of features that a job of shards wrote"))?;
    match part.about.shard == [0, 1] {
        true => Ok(part),
        false => Err(wrong("one part of several: give their folder, or merge them")),
    }
}

/// Merges the parts of a finished job, in the folder `parts`, into one file: that which a job of one shard writes, to the byte. Gives its lines, and how many of these have an error
/// in the place of features.
///
/// # Memory
/// About 10 MB for each part.
///
/// # Errors
/// The job isn't finished, or a part is damaged; the file is there and to be kept, or can't be written.
pub fn merge(parts: &Path, out: &Path, existing: Existing) -> Result<[usize; 2]> {
    outputs::check(out, existing, |_| matches!(Part::open(out), Ok(Some(_))))?;
    let mut merged = Merged::open(parts)?;
    let mut draft = Draft::begin(out, merged.job().clone(), Shard::WHOLE)?;
    while let Some(line) = merged.next()? {
        draft.add(&line)?;
    }
    draft.finish().map(|about| [about.rows, about.errors])
}

/// The features of a finished job, with all that its manifest said of the photos.
pub struct FeatureTable {
    /// The rows of photos that could be read, in the order of their contents, by which they are known.
    pub file: FeatureFile,
    /// The photos that couldn't be read.
    pub rejected: Vec<Rejected>,
    /// What is said of each.
    pub(crate) told: Vec<Told>,
}

impl FeatureTable {
    /// Tells whether a path is to be read as such: a folder, or a Parquet file.
    pub fn is_at(path: &Path) -> bool {
        path.is_dir() || path.extension().is_some_and(|end| end.eq_ignore_ascii_case("parquet"))
    }

    /// Reads the folder of a finished job, or the merged table of one. Memory is taken for all features.
    ///
    /// # Errors
    /// The job isn't finished, or a part is damaged, or of another job; [`Error::NotBuiltIn`]: this build reads no Parquet.
    pub fn open(path: &Path) -> Result<Self> {
        let mut merged = Merged::open(path)?;
        let mut features = Features::new(merged.job().width);
        let (mut digests, mut names, mut rejected, mut told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut hash = Sha256::new();
        while let Some(line) = merged.next()? {
            line.hash(&mut hash);
            let Line { name, row, outcome } = line;
            let place = match outcome {
                Ok((digest, values)) => {
                    // Of copies the first row counts, whatever computed the others.
                    if digests.last() != Some(&digest) {
                        features.insert(&[digest], &values)?;
                    }
                    digests.push(digest);
                    names.push(name.clone());
                    Ok(digests.len() - 1)
                }
                Err(reason) => {
                    rejected.push(Rejected { name: name.clone(), reason: reason.clone() });
                    Err(reason)
                }
            };
            told.push(Told { name, row, place });
        }
        let sha256 = hex(&hash.finalize());
        Ok(Self { file: FeatureFile { names: Some(names), digests, features, sha256 }, rejected, told })
    }
}
