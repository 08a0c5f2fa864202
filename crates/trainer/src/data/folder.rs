//! Reads labelled photos in folders, on disk or in an archive: `DIR/class/photo.jpg`, or the same below `DIR/train`, `DIR/val` and `DIR/test`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::data::dataset::Dataset;
use crate::data::found::{Found, Shelf, Unusable};
use crate::data::listing::name_below;
use crate::data::origin::ClassOrder;
use crate::data::photo::Photo;
use crate::data::scan::{Scan, scan};
use crate::data::target::Class;
use crate::data::tree::Tree;
use crate::error::{Error, Result};
use crate::words::first;

/// Reads a folder, to train on or for a head that knows the classes `known`.
///
/// # Errors
/// As [`Dataset::open`] and [`Dataset::open_for`].
pub(super) fn read(tree: &Tree, root: &Path, known: Option<&[String]>, order: ClassOrder) -> Result<Dataset> {
    find(tree, root, known)?.check(known, order).map_err(|error| match error {
        Error::SingleClass { path, class, hint } if hint.is_empty() => {
            let hint = single_class_hint(tree, root, &class);
            Error::SingleClass { path, class, hint }
        }
        other => other,
    })
}

/// Lists the photos of each class.
fn find(tree: &Tree, root: &Path, known: Option<&[String]>) -> Result<Found> {
    let Scan { groups, others, rejected, again, warnings } = scan(tree, root, known)?;
    let mut found = Found { others, again, warnings, folders: true, ..Found::new(root, root) };
    found.reject(&rejected);
    found.reject(tree.rejected());
    for (part, path, level) in groups {
        let mut classes = BTreeSet::new();
        for (label, folder) in &level.folders {
            let class = found.vocabulary.class(label);
            classes.insert(class);
            let listing = tree.walk(root, folder)?;
            let photo = |photo: Photo| Photo { target: class.into(), part: part.or(photo.part), ..photo };
            found.photos.extend(listing.photos.into_iter().map(photo));
            let unusable = |rejected| Unusable { target: class.into(), part, ..Unusable::unknown(rejected) };
            found.unusable.extend(listing.rejected.into_iter().map(unusable));
            found.others.extend(listing.others);
            found.again.extend(listing.again);
        }
        found.loose.extend(level.photos);
        let name = name_below(root, &path);
        found.shelves.push(Shelf { part, path, name, classes });
    }
    // The names of shards may say parts.
    if found.shelves.len() == 1 && found.photos.iter().any(|photo| photo.part != found.shelves[0].part) {
        found.shelve();
    }
    if let [Shelf { classes, .. }] = &found.shelves[..] {
        let told = alike_inside(&found.photos, classes.len());
        found.warnings.extend(told);
    }
    Ok(found)
}

/// Warns where all classes hold the same folders and nothing else, as parts do in whatever language they are named.
fn alike_inside(photos: &[Photo], classes: usize) -> Option<String> {
    let mut inside: BTreeMap<Class, BTreeSet<&str>> = BTreeMap::new();
    for photo in photos {
        let mut below = photo.name.split('/').skip(1);
        let (folder, _file) = (below.next()?, below.next()?);
        inside.entry(photo.target.class()?).or_default().insert(folder);
    }
    let names: Vec<String> = inside.values().next()?.iter().map(|folder| format!("{folder:?}")).collect();
    let mut folders = inside.values();
    let one = folders.next()?;
    (classes > 1 && inside.len() == classes && one.len() > 1 && folders.all(|other| other == one)).then(|| {
        format!(
            "every class folder holds the same folders, {}: if those are the classes, name what holds them train, val and test",
            first(&names, 5)
        )
    })
}

/// Suggests a folder further down: one too high up looks like a single class with nested folders.
fn single_class_hint(tree: &Tree, root: &Path, class: &str) -> String {
    match tree.level(root, &root.join(class)) {
        Ok(level) if !class.is_empty() && level.folders.len() > 1 && level.photos.is_empty() => {
            format!("; {:?} holds {} folders: is that the one to give?", root.join(class), level.folders.len())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::open::list;
    use crate::data::part::Part;
    use crate::data::photo::Rejected;
    use tempfile::TempDir;

    /// Makes a folder with these files; a name that ends in `/` is an empty folder.
    fn tree(files: &[impl AsRef<str>]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files.iter().map(AsRef::as_ref) {
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
    fn parts_are_known_by_their_usual_names() {
        for (train, test) in [
            ("Train", "Test"),
            ("Training", "Testing"),
            ("seg_train", "seg_test"),
            ("train_images", "TEST"),
            ("seg_train/seg_train", "seg_test/seg_test"),
        ] {
            let files = ["a/1.png", "b/1.png"].map(|name| [train, test].map(|part| format!("{part}/{name}"))).concat();
            let dir = tree(&files.iter().map(String::as_str).collect::<Vec<_>>());
            let dataset = Dataset::open(dir.path()).unwrap();
            assert_eq!(dataset.classes, ["a", "b"]);
            for photo in &dataset.photos {
                let part = if photo.name.starts_with(train) { Part::Train } else { Part::Test };
                assert_eq!(photo.part, Some(part), "{}", photo.name);
            }
        }
        let dir = tree(&["train/a/1.png", "train/b/1.png", "dev/a/1.png"]);
        assert_eq!(Dataset::open(dir.path()).unwrap().photos[0].part, Some(Part::Validation));
    }

    #[test]
    fn what_looks_like_a_split_and_is_none_is_refused() {
        let looks = |files: &[&str], problem: &str| {
            let message = message(files);
            assert!(message.contains("look like the parts of a split") && message.contains(problem), "{message}");
        };
        looks(&["val/a/1.png", "val/b/1.png", "test/a/1.png", "test/b/1.png"], "none of them is to train on");
        looks(&["train/1.png", "test/1.png"], "\"train\" holds 1 photo and no class folders");
        looks(&["train/", "test/a/1.png", "test/b/1.png"], "\"train\" holds 0 photos and no class folders");
        looks(
            &["train/a/1.png", "train/b/1.png", "test/a/", "test/b/x.txt"],
            "\"test\" holds no photo that can be used",
        );
        let stray = message(&["train/a/1.png", "train/b/1.png", "train/stray.png", "test/a/1.png"]);
        assert!(stray.contains("1 photo outside any class folder") && stray.contains("train/stray.png"), "{stray}");
    }

    #[test]
    fn a_part_without_labels_is_left_aside_with_a_word() {
        for test in ["test", "test1", "Testing"] {
            let dir = tree(&["train/a/1.png", "train/b/1.png", &format!("{test}/1.png"), &format!("{test}/2.png")]);
            let dataset = Dataset::open(dir.path()).unwrap();
            assert_eq!((dataset.classes.len(), dataset.photos.len()), (2, 2));
            assert!(dataset.photos.iter().all(|photo| photo.part.is_none()));
            let word = format!("{test:?} holds 2 photos and no class folders: they have no labels and were left aside");
            assert_eq!(dataset.warnings, [word]);
        }
    }

    #[test]
    fn a_test_alone_can_be_evaluated_on() {
        let known = ["a", "b", "c"].map(str::to_owned);
        let dir = tree(&["test/a/1.png", "test/b/1.png"]);
        let dataset = Dataset::open_for(dir.path(), &known).unwrap();
        assert_eq!(names(&dataset), ["test/a/1.png", "test/b/1.png"]);
        assert!(dataset.photos.iter().all(|photo| photo.part == Some(Part::Test)));
        assert!(message(&["test/a/1.png", "test/b/1.png"]).contains("is that the one to give?"));
        // Classes that the parts share in part only.
        let dir = tree(&["val/c/1.png", "val/a/1.png", "test/b/1.png"]);
        assert_eq!(classes(&Dataset::open_for(dir.path(), &known).unwrap()), [1, 0, 2].map(Class::new));
        // A class may be called so.
        let dir = tree(&["test/deep/1.png", "bus/1.png"]);
        let dataset = Dataset::open_for(dir.path(), &["bus", "test"].map(str::to_owned)).unwrap();
        assert_eq!(classes(&dataset), [0, 1].map(Class::new));
        // Never the photos of train in place of a test without any.
        let dir = tree(&["train/a/1.png", "test/a/1.txt"]);
        let error = Dataset::open_for(dir.path(), &known).unwrap_err();
        assert!(error.to_string().contains("\"test\" holds no photo"), "{error}");
    }

    #[test]
    fn parts_in_another_language_are_asked_about() {
        let dir = tree(&["apprendre/a/1.png", "apprendre/b/1.png", "essayer/a/1.png", "essayer/b/1.png"]);
        let warnings = Dataset::open(dir.path()).unwrap().warnings;
        assert!(warnings[0].contains("the same folders, \"a\", \"b\""), "{warnings:?}");
        let dir = tree(&["cat/day/1.png", "cat/2.png", "dog/day/1.png"]);
        assert_eq!(Dataset::open(dir.path()).unwrap().warnings, [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let missing = Dataset::open(Path::new("no/such/folder")).unwrap_err().to_string();
        assert!(missing.starts_with("no/such/folder: no such folder"), "{missing}");
        assert!(message(&["a/x.txt", "b/"]).contains("no photos in it (1 other file)"));
        assert!(message(&[]).contains("no photos in it (0 other files)"));
        assert!(message(&["a/1.png", "b/2.png", "c/", "d/x.txt"]).contains("no photos in class \"c\", \"d\""));
        let run = message(&["a/1.png", "b/2.png", "run/model.safetensors", "run/labels.txt"]);
        assert!(run.ends_with("take the folder elsewhere; \"run\" holds a model, as a run does"), "{run}");
        assert!(message(&["a/1.png", "b/2.png", "3.png"]).contains("1 photo outside any class folder"));
        assert!(message(&["1.png", "2.png"]).contains("(1.png, 2.png)"));
        assert!(message(&["a/1.png"]).contains("a single class, \"a\""));
        assert!(message(&["all/a/1.png", "all/b/1.png"]).contains("holds 2 folders: is that the one to give?"));
        assert!(message(&["a\nb/1.png", "c/1.png"]).contains("control character"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn folders_whose_names_are_no_text_do_not_merge() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tree(&["a/1.png", "b/2.png"]);
        for byte in [0xfe, 0xff] {
            let folder = dir.path().join(std::ffi::OsStr::from_bytes(&[b'c', byte]));
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("3.png"), [byte]).unwrap();
        }
        let error = Dataset::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("\"c\u{fffd}\" isn't UTF-8"), "{error}");
    }

    #[test]
    fn what_systems_leave_lying_about_is_no_class() {
        let dir = tree(&[
            "a/1.png",
            "b/2.png",
            "$RECYCLE.BIN/3.png",
            "System Volume Information/4.png",
            "lost+found/",
            "__MACOSX/5.png",
        ]);
        assert_eq!(Dataset::open(dir.path()).unwrap().classes, ["a", "b"]);
    }

    #[test]
    fn labels_a_reader_cannot_tell_apart() {
        for (labels, difference) in [
            (["Cat", "cat"], "case"),
            (["cat", "cat "], "blanks"),
            (["cafe\u{301}", "caf\u{e9}"], "Unicode form"),
            (["m2", "m\u{b2}"], "Unicode form"),
        ] {
            let dataset = Dataset::open(tree(&labels.map(|label| format!("{label}/1.png"))).path()).unwrap();
            assert_eq!(dataset.classes, labels);
            let told = dataset.warnings.join("\n");
            assert!(told.contains(&format!("are two classes, though they differ only by {difference}")), "{told}");
        }
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
        assert!(
            Dataset::open_for(dir.path(), &known[2..])
                .unwrap_err()
                .to_string()
                .contains("among the 1 class trained on")
        );
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
        assert_eq!(dataset.rejected, std::slice::from_ref(&broken));

        // So are those that should be classes, or parts.
        let link = |name: &str| std::os::unix::fs::symlink("nowhere", dir.path().join(name)).unwrap();
        link("eel");
        let named = Rejected { name: "eel".into(), ..broken.clone() };
        let dataset = Dataset::open(dir.path()).unwrap();
        let looped = "folders are listed once, though links lead to them again (1): a/loop".to_owned();
        assert_eq!((dataset.rejected, dataset.warnings), (vec![broken, named], vec![looped]));
        std::fs::remove_dir_all(dir.path().join("b")).unwrap();
        let error = Dataset::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("a single class, \"a\"") && error.ends_with("\"eel\" is a link to nothing"), "{error}");
        std::fs::remove_dir_all(dir.path().join("a")).unwrap();
        let error = Dataset::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("\"eel\"") && error.ends_with("a link to nothing"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn names_of_photos_are_one_line_of_plain_text() {
        let dir = tree(&["a/1\n\u{1b}[2J.png", "b/1.png", "b/\u{85}.txt"]);
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(names(&dataset), [r"a/1\n\u{1b}[2J.png", "b/1.png"]);
        assert!(dataset.photos[0].path.exists());
        assert!(dataset.warnings[0].ends_with(r"b/\u{85}.txt"), "{:?}", dataset.warnings);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_is_listed_once_however_many_ways_lead_to_it() {
        use std::os::unix::fs::symlink;
        // Two links in each of twenty folders: a million ways to the photo at the end.
        let dir = tree(&["b/1.png", "elsewhere/00/0.png"]);
        let outside = tree(&["0.png"]);
        for depth in 1..20 {
            let folder = outside.path().join(format!("{depth:02}"));
            std::fs::create_dir(&folder).unwrap();
            let next = outside.path().join(format!("{:02}", depth + 1));
            for way in ["left", "right"] {
                symlink(&next, folder.join(way)).unwrap();
            }
        }
        std::fs::create_dir(outside.path().join("20")).unwrap();
        std::fs::write(outside.path().join("20/end.png"), "").unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        symlink(outside.path().join("01"), dir.path().join("a/first")).unwrap();
        symlink("../a", dir.path().join("a/self")).unwrap();
        symlink("..", dir.path().join("a/up")).unwrap();
        // Classes that hold all the others.
        symlink(".", dir.path().join("all")).unwrap();
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(dataset.classes, ["a", "b", "elsewhere"]);
        let end = format!("a/first/{}end.png", "left/".repeat(19));
        assert_eq!(names(&dataset), [&end, "b/1.png", "elsewhere/00/0.png"]);
        let told = dataset.warnings.join("\n");
        let beginning = "folders are listed once, though links lead to them again (22): all, a/first/";
        assert!(told.starts_with(beginning), "{told}");
        // What is there by itself has its plain name, and isn't listed again by its other one.
        let dir = tree(&["a/z/1.png", "b/1.png"]);
        symlink("z", dir.path().join("a/first")).unwrap();
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(names(&dataset), ["a/z/1.png", "b/1.png"]);
        assert_eq!(dataset.warnings, ["folders are listed once, though links lead to them again (1): a/first"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_named_and_never_opened() {
        let dir = tree(&["a/1.png", "b/1.png"]);
        // Opened, a pipe would be waited for without end.
        for pipe in ["a/2.png", "b/no_ending", "c"] {
            let path = dir.path().join(pipe);
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        }
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("a/3")).unwrap();
        std::os::unix::fs::symlink("gone", dir.path().join("d")).unwrap();
        let dataset = Dataset::open(dir.path()).unwrap();
        let rejected: Vec<_> = dataset.rejected.iter().map(|photo| (&*photo.name, &*photo.reason)).collect();
        let not_regular = "it is no regular file but a pipe or a device";
        let expected =
            [("a/2.png", not_regular), ("a/3", not_regular), ("b/no_ending", not_regular), ("c", not_regular)];
        assert_eq!(rejected, [&expected[..], &[("d", "a link to nothing")]].concat());
        assert_eq!((dataset.classes.len(), names(&dataset)), (2, vec!["a/1.png", "b/1.png"]));
    }

    #[test]
    fn photos_of_other_formats_are_rejected_by_name() {
        let dir =
            tree(&["a/1.jfif", "a/2.HEIC", "a/3.cr2", "b/1.jpe", "b/2.mov", "b/3.jfi", "b/notes.txt", "b/README"]);
        std::fs::write(dir.path().join("a/4"), b"\x89PNG\r\n\x1a\n").unwrap();
        std::fs::write(dir.path().join("a/5.heic"), b"\0\0\0\x14ftypheic\0\0\0\0mif1").unwrap();
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(names(&dataset), ["a/1.jfif", "a/4", "b/1.jpe", "b/3.jfi"]);
        let rejected: Vec<_> = dataset.rejected.iter().map(|photo| (&*photo.name, &photo.reason[..7])).collect();
        assert_eq!(
            rejected,
            [("a/2.HEIC", "a .heic"), ("a/3.cr2", "a .cr2 "), ("a/5.heic", "HEIC, w"), ("b/2.mov", "a .mov ")]
        );
        let class = message(&["cat/1.jpg", "dog/1.heic", "dog/2.heic"]);
        assert!(class.contains("class \"dog\": none of its 2 photos can be read: a .heic file"), "{class}");
        assert!(class.contains("convert it to JPEG") && !class.contains("remove the folder"), "{class}");
    }

    #[test]
    fn unlabelled_folders_can_be_listed() {
        let dir = tree(&["1.png", "x/2.jpg", "x/notes"]);
        let listing = list(dir.path()).unwrap();
        assert_eq!((listing.photos.len(), listing.others), (2, vec!["x/notes".to_owned()]));
        assert!(matches!(list(tree(&["x/notes"]).path()), Err(Error::NoPhotos { others: 1, .. })));
    }
}
