//! Reads a folder of labelled photos: `DIR/class/photo.jpg`, or the same below `DIR/train`, `DIR/val` and `DIR/test`.

use std::path::{Path, PathBuf};

use crate::data::dataset::Dataset;
use crate::data::labels::{check_labels, hint};
use crate::data::listing::{Level, Listing, check_folder, level, name_below, no_photos, walk};
use crate::data::part::Part;
use crate::data::photo::Photo;
use crate::data::target::{Class, Target};
use crate::error::{Error, Result};
use crate::words::first;

impl Dataset {
    /// Reads the layout of a folder, `DIR/class/photo.jpg` or the same below `DIR/train`, `DIR/val` and `DIR/test`; opens no photo.
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

    /// Reads a folder to evaluate a head on that knows `classes`: photos get their place among these, and a single class will do.
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
            let label = photo.target.class().map(|class| &dataset.classes[class.index()]);
            let known = classes.iter().position(|class| Some(class) == label);
            photo.target = known.map_or(Target::None, |place| Class::new(place).into());
        }
        dataset.classes = classes.to_vec();
        Ok(dataset)
    }
}

/// What a folder holds, before it is checked.
struct Scan {
    /// Where class folders stand, and the part they play there.
    groups: Vec<(Option<Part>, PathBuf, Level)>,
    others: Vec<String>,
    warnings: Vec<String>,
}

/// Finds out where the class folders stand.
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
        warnings.push(format!("folder {name:?} beside \"train\" is no part of the data and was ignored"));
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
    /// Lists the photos of each class, unless the folder isn't fit to be trained on.
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
            for (place, class) in classes.iter().enumerate() {
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
                photos.extend(listing.photos.into_iter().map(|photo| Photo {
                    target: Class::new(place).into(),
                    part: *part,
                    ..photo
                }));
                rejected.extend(listing.rejected);
                others.extend(listing.others);
            }
        }
        if photos.is_empty() && rejected.is_empty() && loose_photos.is_empty() {
            return Err(no_photos(root, others.len()));
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

fn unknown_class(path: &Path, unknown: Vec<String>, known: &[String]) -> Error {
    let hint = hint(&unknown, known);
    Error::UnknownClass { path: path.to_owned(), classes: unknown, known: known.len(), hint }
}

/// Suggests a folder further down: one too high up looks like a single class with nested folders.
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
    use crate::data::listing::list;
    use crate::data::photo::Rejected;
    use tempfile::TempDir;

    /// Makes a folder with these files; a name that ends in `/` is an empty folder.
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

    fn classes(dataset: &Dataset) -> Vec<Class> {
        dataset.photos.iter().filter_map(|photo| photo.target.class()).collect()
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
        assert_eq!(classes(&dataset), [0, 0, 1].map(Class::new));
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
        assert_eq!((classes(&dataset), dataset.classes.len()), (vec![Class::new(1)], 3));
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
