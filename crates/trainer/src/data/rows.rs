//! The rows of a table, made photos: their files found, repetitions joined, contradictions refused.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::data::contents::{Contents, clean};
use crate::data::found::{Found, Unusable};
use crate::data::photo::{Photo, Rejected};
use crate::data::row::{Row, first};
use crate::error::{Error, Result};
use crate::words::shown;

/// Where the photos lie that a table names.
#[derive(Clone, Copy)]
pub(super) enum Base<'a> {
    /// On disk, relative to this folder.
    Folder(&'a Path),
    /// In an archive, below the folder whose name, with a `/` at its end, is given.
    Archive(&'a Contents, &'a str),
    /// Nowhere: features alone are known of them.
    Features(&'a FindRow<'a>),
}

/// Finds what a row of a table is of, by its path or by the order in which it comes: its name, and the photo or why there is none. What is wrong with the row
/// itself is an error.
pub(super) type FindRow<'a> = dyn Fn(Option<&str>) -> Result<(String, Result<Photo, String>), String> + 'a;

/// Photos as rows name them.
pub(super) struct Rows<'a> {
    file: PathBuf,
    base: Base<'a>,
    found: Found,
    /// The first row of each path, with what it made.
    seen: HashMap<String, (u64, Made)>,
    /// The rows that say again what others have said.
    repeated: Vec<u64>,
    groups: HashSet<Arc<str>>,
}

#[derive(Clone, Copy)]
enum Made {
    Photo(usize),
    Unusable,
}

impl<'a> Rows<'a> {
    /// Starts a table without rows. `file` is named in errors.
    pub fn new(file: &Path, base: Base<'a>) -> Self {
        let root = match base {
            Base::Folder(folder) => folder,
            Base::Archive(contents, _) => &contents.path,
            Base::Features(_) => Path::new(""),
        };
        let (seen, repeated, groups) = Default::default();
        Self { file: file.to_owned(), base, found: Found::new(file, root), seen, repeated, groups }
    }

    /// Makes the error of a row, counted by the line where it stands.
    pub fn wrong(&self, line: u64, problem: impl Into<String>) -> Error {
        Error::Row { path: self.file.clone(), line, problem: problem.into() }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// It has no path, or an address; another row says something else of the same photo.
    pub fn add(&mut self, line: u64, row: Row) -> Result<()> {
        if let Base::Features(find) = self.base {
            let found = find(row.path.as_deref()).map_err(|problem| self.wrong(line, problem))?;
            return self.put(line, found, row);
        }
        let Some(path) = &row.path else { return Err(self.wrong(line, "it names no photo")) };
        if let Some(scheme) = scheme(path) {
            let problem =
                format!("{:?} is an address ({scheme}): download the photos and name their files", first(path));
            return Err(self.wrong(line, problem));
        }
        self.put(line, self.find(path), row)
    }

    /// Adds a row whose photo is known, by a name of its own, or why there is none.
    ///
    /// # Errors
    /// Another row says something else of the same photo.
    pub fn put(&mut self, line: u64, (name, photo): (String, Result<Photo, String>), row: Row) -> Result<()> {
        let Row { labels, part, weight, group, .. } = row;
        let target = self.found.vocabulary.target(&labels);
        let group = group.map(|group| self.group(&group));
        match self.seen.get(&name) {
            Some(&(before, made)) => {
                if let Made::Photo(place) = made {
                    let first = &self.found.photos[place];
                    let same = [
                        ("labels", first.target == target),
                        ("splits", first.part == part),
                        ("weights", first.weight == weight),
                        ("groups", first.group == group),
                    ];
                    if let Some((what, _)) = same.iter().find(|(_, same)| !same) {
                        let problem =
                            format!("{:?} has other {what} in line {before}: leave one of the two", shown(&name));
                        return Err(self.wrong(line, problem));
                    }
                }
                self.repeated.push(line);
            }
            None => {
                let made = match photo {
                    Ok(photo) => {
                        self.found.photos.push(Photo { target, part, weight, group, ..photo });
                        Made::Photo(self.found.photos.len() - 1)
                    }
                    Err(reason) => {
                        let rejected = Rejected { name: shown(&name).into_owned(), reason };
                        self.found.unusable.push(Unusable { rejected, target, part, weight, group });
                        Made::Unusable
                    }
                };
                self.seen.insert(name, (line, made));
            }
        }
        Ok(())
    }

    /// Gives a group's name, which its photos share.
    fn group(&mut self, name: &str) -> Arc<str> {
        if let Some(group) = self.groups.get(name) {
            return group.clone();
        }
        let group: Arc<str> = name.into();
        self.groups.insert(group.clone());
        group
    }

    /// Finds a photo: its name, which is the same for each way to write its path, and the photo, or why there is none.
    fn find(&self, path: &str) -> (String, Result<Photo, String>) {
        match self.base {
            Base::Folder(folder) => {
                let whole = folder.join(path);
                let below = whole.strip_prefix(folder).unwrap_or(&whole);
                let parts = below.components().filter(|part| *part != Component::CurDir);
                let name: PathBuf = parts.collect();
                let name = name.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
                let photo = match std::fs::metadata(&whole) {
                    Ok(data) if data.is_file() => Ok(Photo { name: shown(&name).into_owned(), ..Photo::at(&whole) }),
                    Ok(data) if data.is_dir() => Err("it is a folder".to_owned()),
                    Ok(_) => Err("it is no regular file but a pipe or a device".to_owned()),
                    Err(error) => Err(format!("{} can't be found: {error}", shown(&whole))),
                };
                (name, photo)
            }
            Base::Archive(contents, prefix) => match clean(path) {
                Ok(Some(cleaned)) => {
                    let name = format!("{prefix}{cleaned}");
                    let member = contents.members.get(&(name.clone(), 0));
                    let photo = member.map(|member| contents.photo(&name, 0, member));
                    (name, photo.ok_or_else(|| "it isn't in the archive".to_owned()))
                }
                Ok(None) => {
                    (path.to_owned(), Err("it is hidden, or something that systems leave lying about".to_owned()))
                }
                Err(reason) => (path.to_owned(), Err(reason.to_owned())),
            },
            Base::Features(_) => (path.to_owned(), Err("features have no files".to_owned())),
        }
    }

    /// Gives all that was found, each photo on the shelf of its part.
    pub fn into_found(mut self) -> Found {
        if let [first, ..] = self.repeated[..] {
            let (all, are) = (self.repeated.len(), if self.repeated.len() == 1 { "row says" } else { "rows say" });
            let told =
                format!("{all} {are} again what another has said, and count once (the first is in line {first})");
            self.found.warnings.push(told);
        }
        self.found.shelve();
        self.found
    }
}

/// Finds the scheme of an address: `https` of `https://…`.
fn scheme(path: &str) -> Option<&str> {
    let (scheme, _) = path.split_once("://")?;
    let letters = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
    (scheme.len() > 1 && scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(letters))
        .then_some(scheme)
}
