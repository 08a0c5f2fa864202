//! The folder of a job's parts, and the file that says that all of them are there.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::sha256_of;
use crate::error::{Error, Result};
use crate::files;
use crate::shards::about::{About, Job};
use crate::shards::part::Part;
use crate::shards::shard::Shard;
use crate::words::{chain, count, first, shown};

/// The file that comes last, with the digests of all parts.
pub const SUCCESS: &str = "_SUCCESS";

/// What [`SUCCESS`] holds, as JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Success {
    job: Job,
    /// All lines.
    rows: usize,
    /// Those that have an error in the place of features.
    errors: usize,
    /// The parts, in the order of their shards.
    parts: Vec<Listed>,
}

/// A part as [`SUCCESS`] lists it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Listed {
    name: String,
    rows: usize,
    errors: usize,
    bytes: u64,
    /// The SHA-256 of the file.
    sha256: String,
}

/// What stands where a shard's part should be.
#[derive(Debug)]
pub(crate) enum Standing {
    /// Nothing.
    Missing,
    /// The part.
    Whole(About),
    /// A part of another job: of another key or manifest.
    Other,
    /// A file that is no part.
    Foreign,
    /// A part that is damaged, and what is wrong with it.
    Damaged(String),
}

/// The folder of a job's parts.
pub(crate) struct Folder<'a> {
    pub(crate) path: &'a Path,
}

impl Folder<'_> {
    /// Makes it, and checks that it takes files and holds no parts of another number of shards.
    ///
    /// # Errors
    /// It doesn't, or does.
    pub(crate) fn begin(&self, shard: Shard) -> Result<()> {
        std::fs::create_dir_all(self.path).map_err(Error::io("create", self.path))?;
        files::try_folder(&self.file(shard))?;
        let problem = "holds parts of a job of another number of shards: give another folder";
        match self.parts()?.iter().all(|part| part.of() == shard.of()) {
            true => Ok(()),
            false => Err(Error::OutputExists { path: self.path.to_owned(), problem, finished: false }),
        }
    }

    /// Gives the file of a shard's part.
    pub(crate) fn file(&self, shard: Shard) -> PathBuf {
        self.path.join(shard.file_name())
    }

    /// Lists the parts that are there, by their names.
    fn parts(&self) -> Result<Vec<Shard>> {
        let listed = || -> std::io::Result<Vec<Shard>> {
            let names = self.path.read_dir()?.map(|entry| Ok(entry?.file_name().into_string().ok()));
            let names = names.collect::<std::io::Result<Vec<_>>>()?;
            let mut parts: Vec<Shard> = names.iter().flatten().filter_map(|name| Shard::of_file_name(name)).collect();
            parts.sort();
            Ok(parts)
        };
        listed().map_err(Error::io("list", self.path))
    }

    /// Looks at what stands where a shard's part should be, and reads all of it.
    ///
    /// # Errors
    /// It can't be read, which says nothing of what it is.
    pub(crate) fn look(&self, shard: Shard, job: &Job) -> Result<Standing> {
        let looked = Part::open(&self.file(shard)).and_then(|part| match part {
            None => Ok(Standing::Foreign),
            Some(part) if part.about.job != *job => Ok(Standing::Other),
            Some(part) => part.check().map(Standing::Whole),
        });
        match looked {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(Standing::Missing),
            Err(error @ Error::UnusableData { .. }) => Ok(Standing::Damaged(chain(&error))),
            other => other,
        }
    }

    /// Takes back that all parts are there, before one of them is written anew.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn reopen(&self) -> Result<()> {
        let path = self.path.join(SUCCESS);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("write", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Says that all parts are there, if they are; counts those that are missing, damaged or of another job. Whoever finds all of them says so, in the same bytes.
    ///
    /// # Errors
    /// A part can't be read, or the file can't be written.
    pub(crate) fn finish(&self, of: Shard, job: &Job) -> Result<usize> {
        let there = self.parts()?.len();
        let all = of.of() as usize;
        if there < all {
            return Ok(all - there);
        }
        let (mut parts, mut missing) = (Vec::with_capacity(all), 0);
        for shard in of.all() {
            match self.look(shard, job)? {
                Standing::Whole(About { rows, errors, .. }) => {
                    let file = self.file(shard);
                    let (bytes, sha256) = sha256_of(&file).map_err(Error::io("read", &file))?;
                    parts.push(Listed { name: shard.file_name(), rows, errors, bytes, sha256 });
                }
                _ => missing += 1,
            }
        }
        if missing == 0 {
            let rows = parts.iter().map(|part| part.rows).sum();
            let errors = parts.iter().map(|part| part.errors).sum();
            let success = Success { job: job.clone(), rows, errors, parts };
            let text = serde_json::to_string_pretty(&success).expect("plain data");
            files::write(&self.path.join(SUCCESS), format!("{text}\n").as_bytes())?;
        }
        Ok(missing)
    }

    /// Opens the parts of a finished job.
    ///
    /// # Errors
    /// The job isn't finished, or the parts aren't those that it finished with: one is missing, damaged, of another key or of another job.
    pub(crate) fn open(&self) -> Result<Vec<Part>> {
        let wrong = |problem: String| Error::UnusableData { path: self.path.to_owned(), problem };
        let there = self.parts()?;
        let path = self.path.join(SUCCESS);
        let text = match resnet::regular::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let of = there.first().map_or_else(String::new, |part| format!(" of {}", part.of()));
                return Err(wrong(format!(
                    "the job isn't finished: {}{of}, and no {SUCCESS}; computing the other shards, or any shard again, writes it",
                    count(there.len(), "part")
                )));
            }
            text => text.map_err(Error::io("read", &path))?,
        };
        let success: Success =
            serde_json::from_str(&text).map_err(|error| wrong(format!("{SUCCESS} is damaged: {error}")))?;
        let names: Vec<String> = there.iter().map(|shard| shard.file_name()).collect();
        let other: Vec<String> =
            names.iter().filter(|name| success.parts.iter().all(|part| part.name != **name)).cloned().collect();
        if !other.is_empty() {
            let parts = count(other.len(), "part");
            return Err(wrong(format!("{parts} that {SUCCESS} doesn't list: {}", first(&other, 5))));
        }
        let mut parts = Vec::with_capacity(success.parts.len());
        for Listed { name, sha256, .. } in &success.parts {
            let file = self.path.join(name);
            let foreign = || wrong(format!("{name} is a table of something else"));
            let part = Part::open(&file)?.ok_or_else(foreign)?;
            let (key, other) = (&success.job.key, &part.about.job.key);
            if key != other {
                return Err(wrong(format!(
                    "parts of two keys: {name} was computed by another backbone or preparation ({}…) than {SUCCESS} says ({}…)",
                    short(other),
                    short(key)
                )));
            }
            let (_, found) = sha256_of(&file).map_err(Error::io("read", &file))?;
            if found != *sha256 {
                return Err(wrong(format!(
                    "{name} isn't the one that {SUCCESS} lists: computing its shard again puts that right"
                )));
            }
            parts.push(part);
        }
        match parts.is_empty() {
            true => Err(wrong(format!("{SUCCESS} lists no part"))),
            false => Ok(parts),
        }
    }
}

/// Gives the beginning of a key, as far as it is one.
fn short(key: &str) -> String {
    shown(key).chars().take(8).collect()
}
