//! Lists what lies in a folder: photos, other files, and what can't be read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::data::photo::{EXTENSIONS, Photo, Rejected, look};
use crate::data::target::Target;
use crate::error::{Error, Result};
use crate::photos::Look;
use crate::words::shown;

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files that look like photos; none has a target.
    pub photos: Vec<Photo>,
    /// Entries that should have been listed and couldn't be: broken links, folders without permission, photos of
    /// formats that can't be read.
    pub rejected: Vec<Rejected>,
    /// Files of other kinds, neither hidden nor known junk.
    pub others: Vec<String>,
}

/// Lists every photo below a folder, labelled or not.
///
/// # Errors
/// No such folder; no photos.
pub fn list(root: &Path) -> Result<Listing> {
    check_folder(root)?;
    let listing = walk(root, root);
    if listing.photos.is_empty() && listing.rejected.is_empty() {
        return Err(no_photos(root, listing.others.len()));
    }
    Ok(listing)
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

fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || JUNK.contains(&name.to_ascii_lowercase().as_str())
}

/// Checks that this is a folder.
///
/// # Errors
/// [`Error::NotAFolder`]; it can't be looked at.
pub fn check_folder(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(data) if data.is_dir() => Ok(()),
        Ok(_) => Err(Error::NotAFolder { path: path.to_owned(), problem: "not a folder" }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::NotAFolder { path: path.to_owned(), problem: "no such folder" })
        }
        Err(error) => Err(Error::io("list", path)(error)),
    }
}

/// Writes `path` as a name below `root`, in plain text with `/` between its parts.
pub(super) fn name_below(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.components().map(|part| shown(part.as_os_str())).collect::<Vec<_>>().join("/")
}

/// Lists every photo below `folder`, named by its path below `root`.
pub(super) fn walk(root: &Path, folder: &Path) -> Listing {
    let mut listing = Listing::default();
    let home = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    // The walk notices a loop inside the class folder; a link to what holds that folder is one too.
    let leads_back = |entry: &walkdir::DirEntry| {
        entry.path_is_symlink() && entry.path().canonicalize().is_ok_and(|target| home.starts_with(target))
    };
    let entries = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(|entry| {
        entry.depth() == 0 || !(is_ignored(&entry.file_name().to_string_lossy()) || leads_back(entry))
    });
    for entry in entries {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) => {
                let name = name_below(root, entry.path());
                match look(entry.path()) {
                    Look::Photo => {
                        listing.photos.push(Photo { path: entry.into_path(), name, target: Target::None, part: None });
                    }
                    Look::Foreign(reason) => listing.rejected.push(Rejected { name, reason }),
                    Look::Other => listing.others.push(name),
                }
            }
            // A link back to a folder we are in: everything there is being listed already.
            Err(error) if error.loop_ancestor().is_some() => {}
            Err(error) => {
                let name = name_below(root, error.path().unwrap_or(folder));
                let hidden = name.rsplit('/').next().is_some_and(is_ignored);
                if !hidden {
                    let reason = match error.io_error() {
                        Some(io) if io.kind() == std::io::ErrorKind::NotFound => TO_NOTHING.to_owned(),
                        Some(io) => io.to_string(),
                        None => shown(&error.to_string()).into_owned(),
                    };
                    listing.rejected.push(Rejected { name, reason });
                }
            }
        }
    }
    listing
}

/// Why a link that leads nowhere can't be used, be it a photo or a class.
const TO_NOTHING: &str = "a link to nothing";

/// One level of a folder: its sub-folders and what lies beside them.
pub(super) struct Level {
    pub folders: BTreeMap<String, PathBuf>,
    pub photos: Vec<String>,
    pub others: Vec<String>,
    pub rejected: Vec<Rejected>,
}

/// Reads one level of a folder, sorted.
///
/// # Errors
/// It can't be listed.
pub(super) fn level(root: &Path, path: &Path) -> Result<Level> {
    let mut level = Level { folders: BTreeMap::new(), photos: Vec::new(), others: Vec::new(), rejected: Vec::new() };
    for entry in std::fs::read_dir(path).map_err(Error::io("list", path))? {
        let entry = entry.map_err(Error::io("list", path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_ignored(&name) {
            continue;
        }
        if entry.path().is_dir() {
            if entry.file_name().to_str().is_none() {
                // Two such names may look the same, and one would take the other's place.
                return Err(Error::InvalidLabel { label: name, problem: "isn't UTF-8" });
            }
            level.folders.insert(name, entry.path());
        } else if !entry.path().exists() {
            level.rejected.push(Rejected { name: name_below(root, &entry.path()), reason: TO_NOTHING.to_owned() });
        } else if look(&entry.path()) == Look::Other {
            level.others.push(name_below(root, &entry.path()));
        } else {
            level.photos.push(name_below(root, &entry.path()));
        }
    }
    level.photos.sort();
    level.others.sort();
    Ok(level)
}
