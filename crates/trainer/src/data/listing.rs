//! Lists what lies in a folder on disk: photos, other files, and what can't be read.

use std::collections::{BTreeMap, HashSet};
use std::fs::FileType;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::data::photo::{EXTENSIONS, Photo, Rejected, look};
use crate::error::{Error, Result};
use crate::photos::{Look, is_the_files};
use crate::words::{first, shown};

/// Names of files that operating systems, archivers and network drives leave lying about.
const JUNK: [&str; 12] = [
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__macosx",
    "@eadir",
    "icon\r",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "@recycle",
    "#recycle",
];

/// The photos of a folder, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The files that look like photos; none has a target.
    pub photos: Vec<Photo>,
    /// Entries that should have been listed and couldn't be: broken links, folders without permission, photos of
    /// formats that can't be read.
    pub rejected: Vec<Rejected>,
    /// Files of other kinds, neither hidden nor known junk.
    pub others: Vec<String>,
    /// Links to folders that are listed already, or that hold the folder itself.
    pub again: Vec<String>,
    /// What a user should know although it stops nothing.
    pub warnings: Vec<String>,
}

/// Makes the error of a folder that holds no photos, but `others` files of other kinds.
pub(super) fn no_photos(path: &Path, others: usize) -> Error {
    Error::NoPhotos { path: path.to_owned(), others, endings: &EXTENSIONS }
}

/// Makes the error of photos that lie beside the class folders of a folder.
pub(super) fn loose(path: &Path, photos: &[String]) -> Error {
    let examples = photos.iter().take(3).cloned().collect();
    Error::LoosePhotos { path: path.to_owned(), photos: photos.len(), examples }
}

/// Tells what is hidden, and what systems leave lying about.
pub(super) fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || JUNK.contains(&name.to_ascii_lowercase().as_str())
}

/// Writes `path` as a name below `root`, in plain text with `/` between its parts.
pub(super) fn name_below(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.components().map(|part| shown(part.as_os_str())).collect::<Vec<_>>().join("/")
}

/// Words the ways that weren't followed, if there are any.
pub(super) fn told_again(again: &[String]) -> Option<String> {
    let ways = || format!("folders are listed once, though links lead to them again ({})", again.len());
    (!again.is_empty()).then(|| format!("{}: {}", ways(), first(again, 5)))
}

/// An entry of a folder, with what a link leads to.
struct Entry {
    path: PathBuf,
    name: String,
    /// What it is, or why that can't be told.
    kind: Result<FileType, String>,
    is_link: bool,
}

impl Entry {
    /// Tells what a file looks like. The inner error is why it can't be read, in words.
    fn look(&self) -> Result<Result<Look, String>> {
        match &self.kind {
            Ok(kind) if kind.is_file() => look(&self.path).map(Ok).map_err(Error::io("read", &self.path)),
            Ok(_) => Ok(Err("it is no regular file but a pipe or a device".to_owned())),
            Err(reason) => Ok(Err(reason.clone())),
        }
    }
}

/// Reads a folder's entries in the order of their names, but for hidden ones and known junk.
///
/// # Errors
/// The machine failed. What is wrong with the folder itself is the inner error.
fn entries(folder: &Path) -> Result<Result<Vec<Entry>, std::io::Error>> {
    let mut entries = Vec::new();
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if is_the_files(&error) => return Ok(Err(error)),
        Err(error) => return Err(Error::io("list", folder)(error)),
    };
    for entry in listed {
        let entry = entry.map_err(Error::io("list", folder))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if is_ignored(&name) {
            continue;
        }
        let own = entry.file_type().map_err(Error::io("look at", &path))?;
        let kind = match own.is_symlink().then(|| std::fs::metadata(&path)) {
            None => Ok(own),
            Some(Ok(data)) => Ok(data.file_type()),
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => Err("a link to nothing".to_owned()),
            Some(Err(error)) if is_the_files(&error) => Err(error.to_string()),
            Some(Err(error)) => return Err(Error::io("look at", &path)(error)),
        };
        entries.push(Entry { path, name, kind, is_link: own.is_symlink() });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Ok(entries))
}

/// Lists every photo below `folder`, named by its path below `root`.
///
/// What is there by itself is listed first, then what links lead to: so each folder has the most plain of its names, and is listed once
/// however many ways lead to it.
pub(super) fn walk(root: &Path, folder: &Path) -> Result<Listing> {
    let real = |path: &Path| path.canonicalize().map_err(Error::io("list", path));
    let mut listing = Listing::default();
    let home = real(root)?;
    let mut seen = HashSet::new();
    let mut links = BTreeMap::from([(folder.to_owned(), real(folder)?)]);
    while let Some((link, target)) = links.pop_first() {
        // What holds the data set would be listed in each of its classes.
        if seen.contains(&target) || link != folder && home.starts_with(&target) {
            listing.again.push(name_below(root, &link));
            continue;
        }
        let mut folders = vec![(link, target)];
        while let Some((path, real_path)) = folders.pop() {
            if !seen.insert(real_path.clone()) {
                listing.again.push(name_below(root, &path));
                continue;
            }
            match entries(&path)? {
                Ok(entries) => {
                    for entry in entries {
                        match &entry.kind {
                            Ok(kind) if kind.is_dir() && entry.is_link => {
                                links.insert(entry.path.clone(), real(&entry.path)?);
                            }
                            Ok(kind) if kind.is_dir() => {
                                let name = entry.path.file_name().unwrap_or_default();
                                folders.push((entry.path.clone(), real_path.join(name)));
                            }
                            _ => listing.add(root, entry)?,
                        }
                    }
                }
                Err(error) => {
                    let (name, reason) = (name_below(root, &path), error.to_string());
                    listing.rejected.push(Rejected { name, reason });
                }
            }
        }
    }
    listing.photos.sort_by(|a, b| a.path.cmp(&b.path));
    listing.rejected.sort_by(|a, b| a.name.cmp(&b.name));
    listing.others.sort();
    listing.again.sort();
    Ok(listing)
}

impl Listing {
    /// Adds what is no folder.
    fn add(&mut self, root: &Path, entry: Entry) -> Result<()> {
        let name = name_below(root, &entry.path);
        match entry.look()? {
            Ok(Look::Photo) => {
                self.photos.push(Photo { name, ..Photo::at(&entry.path) });
            }
            Ok(Look::Other) => self.others.push(name),
            Ok(Look::Foreign(reason)) | Err(reason) => self.rejected.push(Rejected { name, reason }),
        }
        Ok(())
    }
}

/// One level of a folder: its sub-folders and what lies beside them.
#[derive(Clone, Default)]
pub(super) struct Level {
    pub folders: BTreeMap<String, PathBuf>,
    pub photos: Vec<String>,
    pub others: Vec<String>,
    /// What should be a folder or a photo and is neither: broken links, pipes.
    pub rejected: Vec<Rejected>,
    /// Links to what holds the folder.
    pub again: Vec<String>,
}

/// Reads one level of a folder, sorted.
///
/// # Errors
/// It can't be listed.
pub(super) fn level(root: &Path, path: &Path) -> Result<Level> {
    let mut level = Level::default();
    let home = path.canonicalize().map_err(Error::io("list", path))?;
    for entry in entries(path)?.map_err(Error::io("list", path))? {
        let Entry { path, name, kind, is_link } = &entry;
        let below = name_below(root, path);
        if !kind.as_ref().is_ok_and(FileType::is_dir) {
            match entry.look()? {
                Ok(Look::Photo | Look::Foreign(_)) => level.photos.push(below),
                Ok(Look::Other) => level.others.push(below),
                Err(reason) => level.rejected.push(Rejected { name: below, reason }),
            }
        } else if path.file_name().and_then(|name| name.to_str()).is_none() {
            // Two such names may look the same, and one would take the other's place.
            return Err(Error::InvalidLabel { label: name.clone(), problem: "isn't UTF-8" });
        } else if *is_link && home.starts_with(path.canonicalize().map_err(Error::io("list", path))?) {
            // A class of it would hold the photos of all classes.
            level.again.push(below);
        } else {
            level.folders.insert(name.clone(), path.clone());
        }
    }
    Ok(level)
}
