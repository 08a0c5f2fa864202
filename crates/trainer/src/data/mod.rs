//! A folder of labelled photos: `DIR/class/photo.jpg`, or the same below `DIR/train`, `DIR/val` and `DIR/test`.

pub mod split;
mod target;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use walkdir::WalkDir;

use crate::error::{Error, Result};
use crate::words::first;

pub use target::{Class, Target};

/// How a photo's file name ends, in any case.
pub const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// What operating systems, archivers and network drives leave lying about.
const JUNK: [&str; 6] = ["thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"];

/// The part a photo plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The head learns from it.
    Train,
    /// It decides when to stop, and which epoch's head is kept.
    Validation,
    /// It judges the result and touches nothing else.
    Test,
}

impl Part {
    /// All three, in the order of their use.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Names a folder of this part may have.
    fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train"],
            Self::Validation => &["val", "valid", "validation"],
            Self::Test => &["test"],
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// A file that looks like a photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Where it is.
    pub path: PathBuf,
    /// Its path below the data set's folder, with `/` on every system: its name in all outputs.
    pub name: String,
    /// Index of its class in [`Dataset::classes`].
    pub label: usize,
    /// Its part, where the folders say it.
    pub part: Option<Part>,
}

impl Photo {
    /// A photo given by its path alone.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), name: path.display().to_string(), label: 0, part: None }
    }
}

/// A photo that was found and can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its path below the data set's folder.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The photos of a folder, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// What looks like photos; every label is 0.
    pub photos: Vec<Photo>,
    /// What should have been listed and couldn't be: broken links, folders without permission.
    pub rejected: Vec<Rejected>,
    /// Files of other kinds, neither hidden nor known junk.
    pub others: Vec<String>,
}

/// A folder of labelled photos. Deterministic: classes and photos are sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The folder.
    pub root: PathBuf,
    /// The labels, sorted by bytes; a label's index is the class's number everywhere.
    pub classes: Vec<String>,
    /// The photos, by name.
    pub photos: Vec<Photo>,
    /// What couldn't even be listed.
    pub rejected: Vec<Rejected>,
    /// What a user should know although it stops nothing.
    pub warnings: Vec<String>,
}

impl Dataset {
    /// Reads the folder's layout; opens no photo.
    ///
    /// The parts are taken from the folders where `train` holds class folders (and no photos of its own) and `val`, `valid`,
    /// `validation` or `test` stands beside it, or nothing does; otherwise every sub-folder is a class. Folders
    /// inside a class are walked, links are followed and loops survived, hidden files are ignored.
    ///
    /// # Errors
    /// No such folder; no photos; photos beside the class folders; a single class; a class without photos; labels
    /// that differ only by case, blanks or Unicode form; a class that `train` lacks.
    pub fn open(root: &Path) -> Result<Self> {
        let found = scan(root)?;
        let dataset = found.build(root)?;
        match dataset.classes.len() {
            0 | 1 => Err(Error::SingleClass {
                path: root.to_owned(),
                class: dataset.classes.first().cloned().unwrap_or_default(),
                hint: single_class_hint(root, &dataset),
            }),
            _ => Ok(dataset),
        }
    }

    /// Reads a folder to be judged by a head that knows `classes`: labels index into those, a single one will do.
    ///
    /// # Errors
    /// As [`Dataset::open`], and a class that isn't among `classes`.
    pub fn open_for(root: &Path, classes: &[String]) -> Result<Self> {
        let mut dataset = scan(root)?.build(root)?;
        let unknown: Vec<String> = dataset.classes.iter().filter(|label| !classes.contains(label)).cloned().collect();
        if !unknown.is_empty() {
            return Err(unknown_class(root, unknown, classes));
        }
        for photo in &mut dataset.photos {
            let label = &dataset.classes[photo.label];
            photo.label = classes.iter().position(|class| class == label).unwrap_or_default();
        }
        dataset.classes = classes.to_vec();
        Ok(dataset)
    }

    /// How many photos each class has.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for photo in &self.photos {
            counts[photo.label] += 1;
        }
        counts
    }
}

/// Every photo below a folder, labelled or not.
///
/// # Errors
/// No such folder; no photos.
pub fn list(root: &Path) -> Result<Listing> {
    check_folder(root)?;
    let listing = walk(root, root);
    if listing.photos.is_empty() && listing.rejected.is_empty() {
        return Err(Error::NoPhotos { path: root.to_owned(), others: listing.others.len() });
    }
    Ok(listing)
}

/// True for a file name that ends as a photo's does.
pub fn is_photo(name: &str) -> bool {
    Path::new(name)
        .extension()
        .and_then(|end| end.to_str())
        .is_some_and(|end| EXTENSIONS.iter().any(|known| end.eq_ignore_ascii_case(known)))
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

/// `path` below `root`, with `/` between its parts.
fn name_below(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn walk(root: &Path, folder: &Path) -> Listing {
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
                if is_photo(&name) {
                    listing.photos.push(Photo { path: entry.into_path(), name, label: 0, part: None });
                } else {
                    listing.others.push(name);
                }
            }
            // A link back to a folder we are in: everything there is being listed already.
            Err(error) if error.loop_ancestor().is_some() => {}
            Err(error) => {
                let name = name_below(root, error.path().unwrap_or(folder));
                let hidden = name.rsplit('/').next().is_some_and(is_ignored);
                if !hidden {
                    let reason = match error.io_error() {
                        Some(io) if io.kind() == std::io::ErrorKind::NotFound => "a link to nothing".to_owned(),
                        Some(io) => io.to_string(),
                        None => error.to_string(),
                    };
                    listing.rejected.push(Rejected { name, reason });
                }
            }
        }
    }
    listing
}

/// One level of a folder: its sub-folders and what lies beside them.
struct Level {
    folders: BTreeMap<String, PathBuf>,
    photos: Vec<String>,
    others: Vec<String>,
}

fn level(root: &Path, path: &Path) -> Result<Level> {
    let mut level = Level { folders: BTreeMap::new(), photos: Vec::new(), others: Vec::new() };
    for entry in std::fs::read_dir(path).map_err(Error::io("list", path))? {
        let entry = entry.map_err(Error::io("list", path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_ignored(&name) {
        } else if entry.path().is_dir() {
            level.folders.insert(name, entry.path());
        } else if is_photo(&name) {
            level.photos.push(name_below(root, &entry.path()));
        } else {
            level.others.push(name_below(root, &entry.path()));
        }
    }
    level.photos.sort();
    level.others.sort();
    Ok(level)
}

/// What a folder holds, before it is judged.
struct Scan {
    /// Where class folders stand, and the part they play there.
    groups: Vec<(Option<Part>, PathBuf, Level)>,
    others: Vec<String>,
    warnings: Vec<String>,
}

fn scan(root: &Path) -> Result<Scan> {
    check_folder(root)?;
    let top = level(root, root)?;
    let mut groups = Vec::new();
    let mut parts = Vec::new();
    for part in Part::ALL {
        for folder in part.folders() {
            if let Some(path) = top.folders.get(*folder) {
                parts.push((part, (*folder).to_owned(), path.clone()));
            }
        }
    }
    let train = match parts.first() {
        Some((Part::Train, _, path)) if parts.len() > 1 || top.folders.len() == 1 => {
            let level = level(root, path)?;
            (!level.folders.is_empty() && level.photos.is_empty()).then_some(level)
        }
        _ => None,
    };
    let mut warnings = Vec::new();
    let mut others = top.others.clone();
    let Some(train) = train else {
        return Ok(Scan { groups: vec![(None, root.to_owned(), top)], others, warnings });
    };
    if !top.photos.is_empty() {
        return Err(loose(root, &top.photos));
    }
    for name in top.folders.keys().filter(|name| parts.iter().all(|(_, folder, _)| folder != *name)) {
        warnings.push(format!("folder {name:?} beside {:?} is not a part of the data and was ignored", "train"));
    }
    others.extend(train.others.iter().cloned());
    let alone = parts.len() == 1;
    let mut train = Some(train);
    for (part, _, path) in parts {
        let level = match train.take() {
            Some(level) => level,
            None => {
                let level = level(root, &path)?;
                others.extend(level.others.iter().cloned());
                level
            }
        };
        groups.push(((!alone).then_some(part), path, level));
    }
    Ok(Scan { groups, others, warnings })
}

impl Scan {
    fn build(self, root: &Path) -> Result<Dataset> {
        let Self { groups, mut others, mut warnings } = self;
        let mut photos = Vec::new();
        let mut rejected = Vec::new();
        let mut classes: Vec<String> = Vec::new();
        let mut loose_photos = Vec::new();
        let mut empty = Vec::new();
        for (index, (part, path, level)) in groups.iter().enumerate() {
            loose_photos.extend(level.photos.iter().cloned());
            if index == 0 {
                classes = level.folders.keys().cloned().collect();
                check_labels(&classes)?;
            } else {
                let unknown: Vec<_> = level.folders.keys().filter(|label| !classes.contains(label)).cloned().collect();
                if !unknown.is_empty() {
                    return Err(unknown_class(path, unknown, &classes));
                }
            }
            for (label, class) in classes.iter().enumerate() {
                let listing = match level.folders.get(class) {
                    Some(folder) => walk(root, folder),
                    None => Listing::default(),
                };
                if listing.photos.is_empty() && listing.rejected.is_empty() {
                    if index == 0 {
                        empty.push(class.clone());
                    } else {
                        warnings.push(format!("class {class:?} has no photos in {}", name_below(root, path)));
                    }
                }
                photos.extend(listing.photos.into_iter().map(|photo| Photo { label, part: *part, ..photo }));
                rejected.extend(listing.rejected);
                others.extend(listing.others);
            }
        }
        if photos.is_empty() && rejected.is_empty() && loose_photos.is_empty() {
            return Err(Error::NoPhotos { path: root.to_owned(), others: others.len() });
        }
        if !loose_photos.is_empty() {
            return Err(loose(root, &loose_photos));
        }
        if !empty.is_empty() {
            return Err(Error::EmptyClass { path: groups[0].1.clone(), classes: empty });
        }
        if !others.is_empty() {
            others.sort();
            warnings.push(format!("ignored, no photos by their names ({}): {}", others.len(), first(&others, 5)));
        }
        photos.sort_by(|a, b| a.name.cmp(&b.name));
        rejected.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Dataset { root: root.to_owned(), classes, photos, rejected, warnings })
    }
}

fn loose(path: &Path, photos: &[String]) -> Error {
    let examples = photos.iter().take(3).cloned().collect();
    Error::LoosePhotos { path: path.to_owned(), count: photos.len(), examples }
}

fn check_labels(labels: &[String]) -> Result<()> {
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for label in labels {
        if label.chars().any(char::is_control) {
            let problem = "holds a control character, which labels.txt can't";
            return Err(Error::InvalidLabel { label: label.clone(), problem });
        }
        if label.trim().is_empty() {
            return Err(Error::InvalidLabel { label: label.clone(), problem: "is blank" });
        }
        if let Some(first) = seen.insert(plain(label), label) {
            return Err(Error::ClashingLabels {
                first: first.clone(),
                second: label.clone(),
                difference: difference(first, label),
            });
        }
    }
    Ok(())
}

/// A label as a reader sees it: one Unicode form, single blanks, lower case.
fn plain(label: &str) -> String {
    let composed: String = label.nfkc().collect::<String>().to_lowercase();
    composed.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn difference(a: &str, b: &str) -> &'static str {
    if a.to_lowercase() == b.to_lowercase() {
        "case"
    } else if a.split_whitespace().eq(b.split_whitespace()) {
        "blanks"
    } else if a.nfkc().eq(b.nfkc()) {
        "Unicode form (they look the same)"
    } else {
        "case, blanks or Unicode form"
    }
}

fn unknown_class(path: &Path, unknown: Vec<String>, known: &[String]) -> Error {
    let hint = unknown
        .iter()
        .find_map(|label| known.iter().find(|class| plain(class) == plain(label)))
        .map(|class| format!(": is {class:?} meant?"))
        .unwrap_or_default();
    Error::UnknownClass { path: path.to_owned(), classes: unknown, known: known.len(), hint }
}

/// A folder too high up looks like one class with nested folders: say so.
fn single_class_hint(root: &Path, dataset: &Dataset) -> String {
    let Some(class) = dataset.classes.first() else {
        return String::new();
    };
    match level(root, &root.join(class)) {
        Ok(level) if level.folders.len() > 1 && level.photos.is_empty() => {
            format!("; {:?} holds {} folders: is that the one to give?", root.join(class), level.folders.len())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A folder with these files; a name that ends in `/` is an empty folder.
    fn tree(files: &[&str]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            if file.ends_with('/') {
                std::fs::create_dir_all(path).unwrap();
            } else {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, file).unwrap();
            }
        }
        dir
    }

    fn message(files: &[&str]) -> String {
        let dir = tree(files);
        let error = Dataset::open(dir.path()).unwrap_err();
        assert_eq!(error.fault(), crate::error::Fault::Input);
        error.to_string()
    }

    fn names(dataset: &Dataset) -> Vec<&str> {
        dataset.photos.iter().map(|photo| photo.name.as_str()).collect()
    }

    #[test]
    fn classes_are_folders_sorted_and_nested() {
        let dir = tree(&["b/1.JPG", "a/deep/er/2.webp", "a/3.Tiff", "a/.hidden.jpg", "a/.trash/4.jpg", "b/Thumbs.db"]);
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(dataset.classes, ["a", "b"]);
        assert_eq!(names(&dataset), ["a/3.Tiff", "a/deep/er/2.webp", "b/1.JPG"]);
        assert_eq!(dataset.photos.iter().map(|photo| photo.label).collect::<Vec<_>>(), [0, 0, 1]);
        assert_eq!(dataset.counts(), [2, 1]);
        assert!(dataset.warnings.is_empty(), "{:?}", dataset.warnings);
    }

    #[test]
    fn other_files_are_counted_and_named() {
        let dir = tree(&["a/1.png", "b/1.png", "b/notes.txt", "readme.md", "__MACOSX/a/1.png"]);
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(dataset.warnings, ["ignored, no photos by their names (2): b/notes.txt, readme.md"]);
    }

    #[test]
    fn parts_come_from_folders() {
        let files = ["train/a/1.png", "train/b/1.png", "valid/a/2.png", "test/b/3.png", "annotations/x.xml"];
        let dir = tree(&files);
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(names(&dataset), ["test/b/3.png", "train/a/1.png", "train/b/1.png", "valid/a/2.png"]);
        let parts: Vec<_> = dataset.photos.iter().map(|photo| photo.part.unwrap()).collect();
        assert_eq!(parts, [Part::Test, Part::Train, Part::Train, Part::Validation]);
        assert!(dataset.warnings.iter().any(|warning| warning.contains("\"annotations\"")), "{:?}", dataset.warnings);
        assert!(dataset.warnings.iter().any(|warning| warning == "class \"b\" has no photos in valid"));
    }

    #[test]
    fn train_alone_is_split_later_and_a_train_is_also_a_vehicle() {
        let dir = tree(&["train/a/1.png", "train/b/1.png"]);
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(dataset.classes, ["a", "b"]);
        assert!(dataset.photos.iter().all(|photo| photo.part.is_none()));
        let dir = tree(&["train/1.png", "bus/1.png", "test/1.png"]);
        assert_eq!(Dataset::open(dir.path()).unwrap().classes, ["bus", "test", "train"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let missing = Dataset::open(Path::new("no/such/folder")).unwrap_err().to_string();
        assert!(missing.starts_with("no/such/folder: no such folder"), "{missing}");
        assert!(message(&["a/x.txt", "b/"]).contains("no photos in it (1 other files)"));
        assert!(message(&[]).contains("no photos in it (0 other files)"));
        assert!(message(&["a/1.png", "b/2.png", "c/", "d/x.txt"]).contains("no photos in class \"c\", \"d\""));
        assert!(message(&["a/1.png", "b/2.png", "3.png"]).contains("1 photos lie outside any class folder"));
        assert!(message(&["1.png", "2.png"]).contains("(1.png, 2.png)"));
        assert!(message(&["a/1.png"]).contains("a single class, \"a\""));
        assert!(message(&["all/a/1.png", "all/b/1.png"]).contains("holds 2 folders: is that the one to give?"));
        assert!(message(&["a\nb/1.png", "c/1.png"]).contains("control character"));
    }

    #[test]
    fn labels_a_reader_cannot_tell_apart() {
        assert!(message(&["Cat/1.png", "cat/1.png"]).contains("\"Cat\" and \"cat\" differ only by case"));
        assert!(message(&["cat/1.png", "cat /1.png"]).contains("differ only by blanks"));
        let accents = message(&["caf\u{e9}/1.png", "cafe\u{301}/1.png"]);
        assert!(accents.contains("differ only by Unicode form"), "{accents}");
        let unknown = message(&["train/Cat/1.png", "train/dog/1.png", "val/cat/1.png"]);
        assert!(
            unknown.contains("class \"cat\" is not among the 2 classes trained on: is \"Cat\" meant?"),
            "{unknown}"
        );
        let files = ["train/a/1.png", "train/b/1.png", "test/z/1.png"];
        assert!(message(&files).contains("class \"z\" is not among the 2 classes"));
    }

    #[test]
    fn known_classes_keep_their_numbers() {
        let dir = tree(&["b/1.png"]);
        let known: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
        let dataset = Dataset::open_for(dir.path(), &known).unwrap();
        assert_eq!((dataset.photos[0].label, dataset.classes.len()), (1, 3));
        assert!(Dataset::open_for(dir.path(), &known[2..]).unwrap_err().to_string().contains("among the 1 classes"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_loops_survived_and_broken_ones_named() {
        let dir = tree(&["a/1.png", "b/1.png"]);
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/loop")).unwrap();
        std::os::unix::fs::symlink("nowhere.png", dir.path().join("a/broken.png")).unwrap();
        std::os::unix::fs::symlink("1.png", dir.path().join("b/again.png")).unwrap();
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(names(&dataset), ["a/1.png", "b/1.png", "b/again.png"]);
        let broken = Rejected { name: "a/broken.png".into(), reason: "a link to nothing".into() };
        assert_eq!(dataset.rejected, [broken]);
    }

    #[test]
    fn unlabelled_folders_can_be_listed() {
        let dir = tree(&["1.png", "x/2.jpg", "x/notes"]);
        let listing = list(dir.path()).unwrap();
        assert_eq!((listing.photos.len(), listing.others), (2, vec!["x/notes".to_owned()]));
        assert!(matches!(list(tree(&["x/notes"]).path()), Err(Error::NoPhotos { others: 1, .. })));
    }
}
