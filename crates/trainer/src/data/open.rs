//! Opens data sets: tells by what stands at a path how photos are read there.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use resnet::regular;

use crate::data::columns::Columns;
use crate::data::contents::Contents;
use crate::data::dataset::Dataset;
use crate::data::folder;
use crate::data::found::Found;
use crate::data::group_by::grouped;
use crate::data::kind::{Kind, kind};
use crate::data::listing::{Listing, no_photos, told_again, walk};
use crate::data::manifest::Manifest;
use crate::data::origin::Origin;
use crate::data::part::Part;
use crate::data::photo::Photo;
use crate::data::rows::{Base, Rows};
use crate::data::samples;
use crate::data::table::{self, Ask, By, Labelling};
use crate::data::tar;
use crate::data::tree::Tree;
use crate::data::zip;
use crate::error::{Error, Result};
use crate::photos::{Failure, Limits};
use crate::words::shown;

impl Dataset {
    /// Reads labelled photos to train on; opens no photo.
    ///
    /// * A folder, `DIR/class/photo.jpg` or the same below `DIR/train`, `DIR/val` and `DIR/test`. Folders named as parts are (`train`, `Training`,
    ///   `seg_train`; `val`, `valid`, `dev`; `test`, `Testing`) are no classes: those that hold class folders are the parts, and one without labels
    ///   is left aside with a warning, unless it is `train`. Otherwise every sub-folder is a class. Folders inside a class are walked, each
    ///   once; links are followed, unless they lead to what is listed already, which is told; hidden files are ignored.
    /// * A table: CSV with commas, semicolons or tabs, JSON Lines, or Parquet where that is built in, with columns of paths and labels, and of
    ///   splits, weights and groups where there are such ([`Columns`]). Photos without a label are left aside with a warning.
    /// * An archive, which isn't unpacked: a tar, or a folder of tars, with folders as above, or with `0001.cls` or `0001.json` beside
    ///   `0001.jpg`; a zip with folders as above; either with a table at its top.
    /// * `-`: a table, JSON Lines or paths on the standard input.
    ///
    /// # Errors
    /// Nothing of these kinds is there; no photos; photos beside the class folders; a single class; a class without photos; a label that
    /// can't be written on a line; parts without a labelled `train`; a part without photos; a class that `train` lacks; a row that
    /// can't be used or says other than another of the same photo; a damaged archive.
    pub fn open(origin: impl Into<Origin>) -> Result<Self> {
        read(&origin.into(), None, None)
    }

    /// Reads labelled photos as [`Dataset::open`] does, and gives each its group. Where they come from a table that has a column of the very name `by`, that
    /// holds the groups; else `by` is a regular expression, and the group is what its first parentheses match in a photo's name, or all that it matches.
    /// Photos of no group are taken one by one, and counted in a warning.
    ///
    /// # Errors
    /// As [`Dataset::open`]; `by` is no column and no regular expression, or finds no group.
    pub fn open_grouped(origin: impl Into<Origin>, by: &str) -> Result<Self> {
        let column = By::new(by);
        let dataset = read(&origin.into(), None, Some(&column))?;
        grouped(dataset, by, column.is_column())
    }

    /// Reads labelled photos to evaluate a head on that knows `classes`: photos get their place among these, a single class will do, and so
    /// will parts without `train`.
    ///
    /// # Errors
    /// As [`Dataset::open`], and a class that isn't among `classes`.
    pub fn open_for(origin: impl Into<Origin>, classes: &[String]) -> Result<Self> {
        read(&origin.into(), Some(classes), None)
    }
}

/// Checks that photos may come from a path, by what stands there, before any work.
///
/// # Errors
/// Nothing is there, or what can't be read.
pub fn check(origin: &Origin) -> Result<()> {
    usable(origin).map(|_| ())
}

/// Lists every photo of a folder, a table or an archive, labelled or not. Links are followed; a folder to which several ways lead is listed once.
///
/// # Errors
/// Nothing of these kinds is there; no photos; the machine failed to list it, which says nothing about what is in it; a table or an archive is damaged.
pub fn list(origin: impl Into<Origin>) -> Result<Listing> {
    let origin = origin.into();
    let listing = listed(&origin, usable(&origin)?)?;
    if listing.photos.is_empty() && listing.rejected.is_empty() {
        return Err(no_photos(&origin.path, listing.others.len()));
    }
    Ok(listing)
}

/// Lists photos of several paths: photos, and all that [`list`] takes. Each is named by its whole path.
///
/// # Errors
/// As [`list`]; of what isn't there nothing is said here, for it is rejected as a photo is that can't be read.
pub fn list_all(paths: &[PathBuf], columns: &Columns) -> Result<Listing> {
    let mut all = Listing::default();
    for path in paths {
        let origin = Origin { columns: columns.clone(), ..Origin::from(path) };
        let kind = match kind(path) {
            Err(Error::NotAFolder { .. }) => None,
            kind => kind?,
        };
        let Some(kind) = kind else {
            all.photos.push(Photo::at(path));
            continue;
        };
        let Listing { photos, rejected, others, again, warnings } = listed(&origin, kind)?;
        if photos.is_empty() && rejected.is_empty() {
            return Err(no_photos(path, others.len()));
        }
        all.photos.extend(photos.into_iter().map(|photo| Photo { name: shown(&photo.path).into_owned(), ..photo }));
        all.rejected.extend(rejected);
        all.others.extend(others);
        all.again.extend(again);
        all.warnings.extend(warnings);
    }
    Ok(all)
}

/// Lists every photo of a folder, a table or an archive with all that a table, or files beside photos, say of it, in the order of their names. What folders' names mean is left
/// open.
///
/// # Errors
/// As [`list`]; two rows say different things of one photo.
pub(crate) fn manifest(origin: &Origin) -> Result<Manifest> {
    let mut manifest = match told(origin, usable(origin)?, Labelling::Taken)? {
        Told::Rows(found) => found.manifest(),
        Told::Names(listing) => Manifest::of(listing),
    };
    if manifest.entries.is_empty() {
        return Err(no_photos(&origin.path, 0));
    }
    manifest.entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(manifest)
}

/// Tells what kind of place this is.
fn usable(origin: &Origin) -> Result<Kind> {
    let Some(kind) = kind(&origin.path)? else {
        return Err(Error::NotAFolder { path: origin.path.clone(), problem: "not a folder" });
    };
    if kind == Kind::Folder && origin.columns != Columns::default() {
        return Err(Error::InvalidOption {
            option: "columns",
            value: format!("the folder {}", shown(&origin.path)),
            expected: "a table, or an archive that holds one: folders have no columns",
        });
    }
    Ok(kind)
}

fn read(origin: &Origin, known: Option<&[String]>, by: Option<&By<'_>>) -> Result<Dataset> {
    let Origin { path, class_order: order, .. } = origin;
    match usable(origin)? {
        Kind::Folder => folder::read(&Tree::Disk, path, known, *order),
        kind @ (Kind::Tars(_) | Kind::Zip) => {
            let contents = contents(origin, kind)?;
            let mut warnings: Vec<String> = contents.warnings().into_iter().collect();
            let mut dataset = match table_at_top(&contents)? {
                Some(table) => in_archive(origin, &contents, &table, (Labelling::Needed, by))?.check(known, *order)?,
                None if samples::are_in(&contents) => samples::find(&contents).check(known, *order)?,
                None => {
                    let tree = Tree::Archive(contents);
                    let top = top(&tree, path, known)?;
                    Dataset { root: path.clone(), ..folder::read(&tree, &top, known, *order)? }
                }
            };
            dataset.warnings.append(&mut warnings);
            Ok(dataset)
        }
        kind => table(origin, kind, (Labelling::Needed, by))?.check(known, *order),
    }
}

fn listed(origin: &Origin, kind: Kind) -> Result<Listing> {
    let mut listing = match told(origin, kind, Labelling::Left)? {
        Told::Rows(found) => found.listing(),
        Told::Names(listing) => listing,
    };
    listing.warnings.extend(told_again(&listing.again));
    Ok(listing)
}

/// What a place says of its photos.
enum Told {
    /// What stands in a table, or in files beside them.
    Rows(Found),
    /// Nothing but their names.
    Names(Listing),
}

/// Reads all that a place says of its photos, but for what the names of folders may mean.
fn told(origin: &Origin, kind: Kind, labels: Labelling) -> Result<Told> {
    let path = &origin.path;
    match kind {
        Kind::Folder => walk(path, path).map(Told::Names),
        kind @ (Kind::Tars(_) | Kind::Zip) => {
            let contents = contents(origin, kind)?;
            let warnings = contents.warnings();
            if let Some(table) = table_at_top(&contents)? {
                let mut found = in_archive(origin, &contents, &table, (labels, None))?;
                found.warnings.extend(warnings);
                return Ok(Told::Rows(found));
            }
            if samples::are_in(&contents) {
                let mut found = samples::find(&contents);
                found.warnings.extend(warnings);
                return Ok(Told::Rows(found));
            }
            let mut listing = contents.walk(path);
            listing.rejected.extend(contents.rejected.iter().cloned());
            listing.warnings.extend(warnings);
            Ok(Told::Names(listing))
        }
        kind => table(origin, kind, (labels, None)).map(Told::Rows),
    }
}

/// Lists what archives hold.
fn contents(origin: &Origin, kind: Kind) -> Result<Contents> {
    let path = &origin.path;
    match kind {
        Kind::Tars(files) => {
            let mut contents = Contents { path: path.clone(), ..Contents::default() };
            if files != [path.clone()] {
                let named = |file: &PathBuf| {
                    let name = file.file_name().unwrap_or_default();
                    let part = Part::of_folder(&file.file_stem().unwrap_or_default().to_string_lossy());
                    (shown(name).into_owned(), part.map(|(part, _)| part))
                };
                contents.shards = files.iter().map(named).collect();
            }
            for (shard, file) in files.iter().enumerate() {
                tar::read(&mut contents, file, shard, &origin.columns)?;
            }
            Ok(contents)
        }
        _ => zip::read(path),
    }
}

/// What a table in an archive may be called, but for its ending.
const TABLES: [&str; 2] = ["metadata", "labels"];

/// Finds the table at the top of an archive, or in the only folder there.
///
/// # Errors
/// There are two.
fn table_at_top(contents: &Contents) -> Result<Option<String>> {
    if !contents.shards.is_empty() {
        return Ok(None);
    }
    let only = contents
        .members
        .keys()
        .next()
        .and_then(|(name, _)| name.split_once('/'))
        .map(|(folder, _)| format!("{folder}/"));
    let only = only.filter(|folder| contents.members.keys().all(|(name, _)| name.starts_with(folder.as_str())));
    let prefix = only.unwrap_or_default();
    let is_table = |name: &&String| {
        let Some((stem, ending)) = name[prefix.len()..].rsplit_once('.') else { return false };
        TABLES.contains(&stem.to_lowercase().as_str())
            && ["csv", "tsv", "jsonl"].contains(&ending.to_lowercase().as_str())
    };
    let mut tables = contents.members.keys().map(|(name, _)| name).filter(is_table);
    match (tables.next(), tables.next()) {
        (Some(one), Some(other)) => Err(Error::UnusableData {
            path: contents.path.clone(),
            problem: format!("it holds two tables, {:?} and {:?}: leave one of them in it", shown(one), shown(other)),
        }),
        (table, _) => Ok(table.cloned()),
    }
}

/// What is made of a table's labels, and by what its photos are to be grouped.
type Asked<'a> = (Labelling, Option<&'a By<'a>>);

/// Reads the table of this name in an archive.
fn in_archive(origin: &Origin, contents: &Contents, name: &str, (labels, by): Asked<'_>) -> Result<Found> {
    let path = origin.path.join(name);
    let bytes = contents.members[&(name.to_owned(), 0)].read(&Limits::default()).map_err(|failure| match failure {
        Failure::Machine(error) => error,
        Failure::Photo(problem) => Error::UnusableData { path: path.clone(), problem },
    })?;
    let prefix = name.rfind('/').map_or("", |slash| &name[..=slash]);
    let ask = Ask { path: &path, columns: &origin.columns, labels, by, pathless: false };
    let mut rows = Rows::new(&path, Base::Archive(contents, prefix));
    match name.to_lowercase().ends_with(".jsonl") {
        true => table::json_lines(&ask, Cursor::new(bytes), &mut rows)?,
        false => table::csv(&ask, Cursor::new(bytes), &mut rows)?,
    }
    let mut found = rows.into_found();
    found.reject(&contents.rejected);
    Ok(found)
}

/// Finds the folder in an archive that stands for a data set's: one that alone holds all the others is gone through.
fn top(tree: &Tree, root: &Path, known: Option<&[String]>) -> Result<PathBuf> {
    let mut top = root.to_owned();
    loop {
        let level = tree.level(root, &top)?;
        let Some((name, inner)) = level.folders.first_key_value() else { return Ok(top) };
        let is_class = Part::of_folder(name).is_some() || known.is_some_and(|known| known.contains(name));
        if level.folders.len() > 1 || !level.photos.is_empty() || is_class {
            return Ok(top);
        }
        let below = tree.level(root, inner)?;
        if below.folders.is_empty() || !below.photos.is_empty() {
            return Ok(top);
        }
        top = inner.clone();
    }
}

/// Reads a table.
fn table(origin: &Origin, kind: Kind, (labels, by): Asked<'_>) -> Result<Found> {
    let path = &origin.path;
    let ask = Ask { path, columns: &origin.columns, labels, by, pathless: false };
    let folder = path.parent().unwrap_or(Path::new(""));
    let open =
        || -> Result<BufReader<File>> { Ok(BufReader::new(regular::open(path).map_err(Error::io("read", path))?)) };
    let mut rows = Rows::new(path, Base::Folder(folder));
    match kind {
        Kind::Csv => table::csv(&ask, open()?, &mut rows)?,
        Kind::JsonLines => table::json_lines(&ask, open()?, &mut rows)?,
        Kind::Parquet(files) => return parquet(&ask, &files),
        // No other kind is a table.
        _ => table::lines(&ask, std::io::stdin().lock(), &mut rows)?,
    }
    Ok(rows.into_found())
}

#[cfg(feature = "parquet")]
use crate::data::parquet::read as parquet;

/// Refuses what this build can't read.
#[cfg(not(feature = "parquet"))]
fn parquet(ask: &Ask<'_>, _: &[PathBuf]) -> Result<Found> {
    Err(Error::NotBuiltIn { action: "read", path: ask.path.to_owned(), feature: "parquet" })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use rawzip::{CompressionMethod, ZipArchiveWriter};

    use super::*;
    use crate::data::origin::ClassOrder;
    use crate::data::photo::Rejected;

    /// Writes a file below a folder.
    fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes a tar archive of these members.
    fn tarred(path: &Path, members: &[(&str, &str)]) {
        let mut builder = ::tar::Builder::new(File::create(path).unwrap());
        for (name, content) in members {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            // As it stands: the builder would refuse what leads out.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.finish().unwrap();
    }

    /// Writes a zip archive of these members, deflated or as they are.
    fn zipped(path: &Path, members: &[(&str, &str)], deflated: bool) {
        let mut archive = ZipArchiveWriter::new(File::create(path).unwrap());
        for (name, content) in members {
            let name = rawzip::path::EntryPath::verbatim(name.as_bytes());
            let method = if deflated { CompressionMethod::DEFLATE } else { CompressionMethod::STORE };
            let (mut entry, config) = archive.new_file(name).compression_method(method).start().unwrap();
            let descriptor = if deflated {
                let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::default()));
                writer.write_all(content.as_bytes()).unwrap();
                let (encoder, descriptor) = writer.finish().unwrap();
                encoder.finish().unwrap();
                descriptor
            } else {
                let mut writer = config.wrap(&mut entry);
                writer.write_all(content.as_bytes()).unwrap();
                writer.finish().unwrap().1
            };
            entry.finish(descriptor).unwrap();
        }
        archive.finish().unwrap();
    }

    /// What is known of each photo, by its content: its classes, part, group and weight.
    type Facts = BTreeMap<String, (Vec<String>, Option<Part>, Option<String>, f64)>;

    fn facts(dataset: &Dataset) -> Facts {
        let label = |class: &crate::data::Class| dataset.classes[class.index()].clone();
        let of = |photo: &Photo| {
            let content = photo.source.read(&photo.path, &Limits::default()).unwrap();
            let labels = photo.target.classes().iter().map(label).collect();
            let group = photo.group.as_ref().map(|group| group.to_string());
            (String::from_utf8(content).unwrap(), (labels, photo.part, group, photo.weight))
        };
        dataset.photos.iter().map(of).collect()
    }

    fn message(origin: impl Into<Origin>) -> String {
        let error = Dataset::open(origin).unwrap_err();
        assert_eq!(error.fault(), crate::Fault::Input, "{error}");
        error.to_string()
    }

    /// Writes a table beside photos `1.png` to `5.png`, and opens it.
    fn table(name: &str, text: impl AsRef<[u8]>) -> Result<Dataset, String> {
        let dir = tempfile::tempdir().unwrap();
        for number in 1..6 {
            write(dir.path(), &format!("{number}.png"), number.to_string());
        }
        let path = write(dir.path(), name, text);
        Dataset::open(path).map_err(|error| error.to_string())
    }

    fn names(photos: &[Photo]) -> Vec<&str> {
        photos.iter().map(|photo| photo.name.as_str()).collect()
    }

    fn rejected(rejected: &[Rejected]) -> Vec<(&str, &str)> {
        rejected.iter().map(|photo| (&*photo.name, &*photo.reason)).collect()
    }

    #[test]
    fn the_same_photos_are_the_same_data_set_whatever_holds_them() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let all: Vec<(String, String)> = ["train/cat", "train/dog", "val/cat", "test/dog"]
            .iter()
            .flat_map(|folder| {
                (1..3).map(move |number| (format!("{folder}/{number}.png"), format!("{folder} {number}")))
            })
            .collect();
        let members: Vec<(&str, &str)> = all.iter().map(|(name, content)| (&**name, &**content)).collect();
        members.iter().for_each(|(name, content)| drop(write(&at("folder"), name, content)));
        let expected = facts(&Dataset::open(at("folder")).unwrap());
        assert_eq!(expected.len(), 8);
        assert_eq!(expected["val/cat 1"], (vec!["cat".to_owned()], Some(Part::Validation), None, 1.0));

        let split = |name: &str| name.split('/').next().unwrap().to_owned();
        let label = |name: &str| name.split('/').nth(1).unwrap().to_owned();
        let rows = |line: &dyn Fn(&str) -> String| members.iter().map(|(name, _)| line(name)).collect::<String>();
        let csv = "path,label,split\n".to_owned() + &rows(&|name| format!("{name},{},{}\n", label(name), split(name)));
        write(&at("folder"), "../a.csv", csv.replace("\nt", "\nfolder/t").replace("\nv", "\nfolder/v"));
        let tsv = "\u{feff}Image\tClass\tSubset\r\n".to_owned()
            + &rows(&|name| format!("./folder/{name}\t{}\t{}\r\n", label(name), split(name)));
        write(&at("folder"), "../a.tsv", tsv);
        let semicolons = "file_name;species;fold;notes\n".to_owned()
            + &rows(&|name| format!("folder/{name};{};{}1;\"a,b,c\"\n", label(name), split(name)));
        write(&at("folder"), "../semicolons.csv", semicolons);
        let jsonl = rows(&|name| {
            format!("{{\"path\": \"folder/{name}\", \"label\": {:?}, \"part\": {:?}}}\n\n", label(name), split(name))
        });
        write(&at("folder"), "../a.jsonl", jsonl);
        tarred(&at("a.tar"), &members);
        zipped(&at("stored.zip"), &members, false);
        zipped(&at("deflated.zip"), &members, true);
        let wrapped: Vec<(String, &str)> =
            all.iter().map(|(name, content)| (format!("photos/all/{name}"), &**content)).collect();
        let wrapped: Vec<(&str, &str)> = wrapped.iter().map(|(name, content)| (&**name, *content)).collect();
        zipped(&at("wrapped.zip"), &wrapped, true);
        zipped(&at("table.zip"), &[&members[..], &[("metadata.csv", &csv), ("readme.txt", "")]].concat(), true);
        // WebDataset: a shard a part, classes beside the photos.
        std::fs::create_dir(at("shards")).unwrap();
        for part in ["train", "val", "test"] {
            let of_part: Vec<&(&str, &str)> = members.iter().filter(|(name, _)| split(name) == part).collect();
            let samples: Vec<(String, String)> = of_part
                .iter()
                .enumerate()
                .flat_map(|(number, (name, content))| {
                    let class = (format!("{number:04}.cls"), label(name));
                    [class, (format!("{number:04}.png"), content.to_string())]
                })
                .collect();
            let samples: Vec<(&str, &str)> = samples.iter().map(|(name, content)| (&**name, &**content)).collect();
            tarred(&at(&format!("shards/birds-{part}-000.tar")), &samples);
        }
        // One shard, with all in JSON.
        let samples: Vec<(String, String)> = all
            .iter()
            .enumerate()
            .flat_map(|(number, (name, content))| {
                let json = format!("{{\"class\": {:?}, \"split\": {:?}}}", label(name), split(name));
                [(format!("{number}.png"), content.clone()), (format!("{number}.json"), json)]
            })
            .collect();
        let samples: Vec<(&str, &str)> = samples.iter().map(|(name, content)| (&**name, &**content)).collect();
        tarred(&at("json.tar"), &samples);
        for name in [
            "a.csv",
            "a.tsv",
            "semicolons.csv",
            "a.jsonl",
            "a.tar",
            "stored.zip",
            "deflated.zip",
            "wrapped.zip",
            "table.zip",
            "shards",
            "json.tar",
        ] {
            let dataset = Dataset::open(at(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(facts(&dataset), expected, "{name}");
            assert_eq!(
                (&dataset.classes[..], &dataset.rejected[..]),
                (&["cat".to_owned(), "dog".to_owned()][..], &[][..]),
                "{name}"
            );
            let known = ["bird", "cat", "dog"].map(str::to_owned);
            assert_eq!(facts(&Dataset::open_for(at(name), &known).unwrap()), expected, "{name}");
            let error = Dataset::open_for(at(name), &known[..2]).unwrap_err().to_string();
            assert!(error.contains("class \"dog\" is not among the 2 classes trained on"), "{name}: {error}");
            let mut listed = list(at(name)).unwrap();
            assert_eq!((listed.photos.len(), listed.rejected.len()), (8, 0), "{name}");
            assert!(listed.photos.iter().all(|photo| photo.target == crate::data::Target::None), "{name}");
            listed.photos.sort_by(|a, b| a.name.cmp(&b.name));
            assert_eq!(names(&listed.photos), names(&dataset.photos), "{name}");
        }
        // The comparison can fail: of another class, of another part.
        for other in [csv.replacen(",dog,", ",cat,", 1), csv.replacen(",val", ",test", 1)] {
            zipped(&at("other.zip"), &[&members[..], &[("labels.csv", &other)]].concat(), true);
            assert_ne!(facts(&Dataset::open(at("other.zip")).unwrap()), expected);
        }
    }

    #[test]
    fn rows_say_parts_weights_groups_and_classes() {
        let dataset = table(
            "a.csv",
            "Path,Species,Set,Sample_Weight,Group_ID\n1.png, owl ,Training,2,p1\n2.png,7,,,p1\n3.png,owl,dev,0.5,\n./4.png,007,test,0,p2\n",
        );
        let error = dataset.unwrap_err();
        assert!(error.contains("class \"007\" is not among the 2 classes"), "{error}");
        let dataset = table(
            "a.csv",
            "Path,Species,Set,Sample_Weight,Group_ID\n1.png, owl ,Training,2,p1\n2.png,7,,,p1\n3.png,owl,dev,0.5,\n./4.png,7,test,0,p2\n",
        )
        .unwrap();
        assert_eq!(names(&dataset.photos), ["1.png", "2.png", "3.png", "4.png"]);
        let facts: Vec<_> = facts(&dataset_in_memory(&dataset)).into_values().collect();
        let fact = |label: &str, part, group: Option<&str>, weight| {
            (vec![label.to_owned()], Some(part), group.map(str::to_owned), weight)
        };
        assert_eq!(
            facts,
            [
                fact("owl", Part::Train, Some("p1"), 2.0),
                fact("7", Part::Train, Some("p1"), 1.0),
                fact("owl", Part::Validation, None, 0.5),
                fact("7", Part::Test, Some("p2"), 0.0),
            ]
        );
        assert!(
            dataset.warnings.contains(&"1 photo of no part, beside others that have one: taken for train".to_owned()),
            "{:?}",
            dataset.warnings
        );
        // One part alone is none.
        let dataset = table("a.csv", "path,label,split\n1.png,a,train\n2.png,b,train\n").unwrap();
        assert!(dataset.photos.iter().all(|photo| photo.part.is_none()));
        let error = table("a.csv", "path,label,split\n1.png,a,val\n2.png,b,test\n").unwrap_err();
        assert!(error.contains("parts validation, test, and none is to train on"), "{error}");
    }

    /// The same data set, whose folder is gone, with each photo's name for its content.
    fn dataset_in_memory(dataset: &Dataset) -> Dataset {
        let photo = |photo: &Photo| {
            let Photo { source, .. } = Photo::in_memory("", photo.name.as_bytes());
            Photo { source, ..photo.clone() }
        };
        Dataset { photos: dataset.photos.iter().map(photo).collect(), ..dataset.clone() }
    }

    #[test]
    fn missing_files_are_rejected_repeated_rows_count_once_and_contradictions_are_errors() {
        let dataset = table("a.csv", "path,label\n1.png,a\n2.png,b\n9.png,a\n./1.png,a\n2.png,b\n,\n").unwrap_err();
        assert!(dataset.contains("a.csv, line 7: it names no photo"), "{dataset}");
        let dataset = table("a.csv", "path,label\n1.png,a\n2.png,b\n9.png,a\n./1.png,a\n2.png,b\n3.png,\n").unwrap();
        assert_eq!(names(&dataset.photos), ["1.png", "2.png"]);
        assert_eq!(dataset.rejected.len(), 1);
        assert!(dataset.rejected[0].name == "9.png" && dataset.rejected[0].reason.contains("9.png can't be found"));
        let told = [
            "2 rows say again what another has said, and count once (the first is in line 5)",
            "1 photo has no label and was left aside",
        ];
        assert_eq!(dataset.warnings, told);
        for (row, what) in [
            ("1.png,b,train,1,g", "labels"),
            ("1.png,a,test,1,g", "splits"),
            ("1.png,a,train,2,g", "weights"),
            ("1.png,a,train,1,h", "groups"),
        ] {
            let text = format!("path,label,split,weight,group\n1.png,a,train,1,g\n2.png,b,train,1,g\n{row}\n");
            let error = table("a.csv", text).unwrap_err();
            assert!(error.contains(&format!("a.csv, line 4: \"1.png\" has other {what} in line 2")), "{error}");
        }
        let class = table("a.csv", "path,label\n1.png,a\n8.png,b\n9.png,b\n").unwrap_err();
        assert!(class.contains("class \"b\": none of its 2 photos can be read"), "{class}");
        let part = table("a.csv", "path,label,split\n1.png,a,train\n2.png,b,train\n9.png,b,test\n").unwrap_err();
        assert!(part.contains("the part test: its only photo can't be used"), "{part}");
    }

    #[test]
    fn what_a_table_lacks_is_said() {
        for (text, problem) in [
            ("1.png,a\n2.png,b\n", "its first line is a row already"),
            (
                "name,label\n1.png,a\n",
                "no column is known to hold paths; its columns are \"name\", \"label\", and that of the path is usually called path",
            ),
            ("path,kind\n1.png,a\n", "no column is known to hold labels; its columns are \"path\", \"kind\""),
            ("", "no column is known to hold paths"),
            ("path,label,split\n1.png,a,7\n", "line 2: the split \"7\" names no part"),
            ("path,label,weight\n1.png,a,-1\n", "line 2: the weight \"-1\" is no number of 0 or more"),
            ("\n\npath,label\n1.png,a\n2.png\n", "line 5: it has 1 cell where there are 2 columns"),
            ("path,label\nhttps://x.org/1.png,a\n", "line 2: \"https://x.org/1.png\" is an address (https): download"),
            ("path,label\n1.png,a\n2.png,a\n", "a single class, \"a\""),
            ("path,label\n", "no photos in it"),
            ("path,label\n1.png,\n2.png,\n", "2 photos without a label"),
            ("path,label\n1.png,a\n2.png,\"b\u{1}\"\n", "control character"),
        ] {
            let error = table("a.csv", text).unwrap_err();
            assert!(error.contains(problem), "{text:?}: {error}");
        }
        for (bytes, problem) in [
            (&b"path,label\n1.png,caf\xe9\n"[..], "line 2: it isn't UTF-8: save the table as UTF-8"),
            (b"\xff\xfep\0a\0", "line 1: it is UTF-16"),
        ] {
            let error = table("a.csv", bytes).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        for (text, problem) in [
            ("{\"path\": \"1.png\", \"label\": \"a\"}\n{\"path\": ", "line 2: no JSON"),
            ("[1]\n", "line 1: no object but [1]"),
            (
                "{\"file\": \"1.png\"}\n{\"file\": \"2.png\", \"x\": 1}\n",
                "no column is known to hold labels; its columns are \"file\", \"x\"",
            ),
            ("{\"a\": 1}", "no column is known to hold paths; its columns are \"a\""),
        ] {
            let error = table("a.jsonl", text).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        let columns = Dataset::open(write(tempfile::tempdir().unwrap().path(), "a.csv", "name,label\n")).unwrap_err();
        assert_eq!(columns.remedy(), Some(crate::Remedy::NameColumn { role: "path" }));
    }

    #[test]
    fn columns_are_told_and_classes_sorted_as_told() {
        let dir = tempfile::tempdir().unwrap();
        ["1.png", "2.png"].iter().for_each(|name| drop(write(dir.path(), name, name)));
        let path = write(dir.path(), "a.csv", "photo,label,kind,fold\n1.png,x,cat10,7\n2.png,x,cat2,8\n");
        let columns = Columns {
            path: Some("photo".into()),
            label: Some("kind".into()),
            split: Some(String::new()),
            ..Columns::default()
        };
        let origin = Origin { columns, ..Origin::from(&path) };
        assert_eq!(Dataset::open(&origin).unwrap().classes, ["cat10", "cat2"]);
        let natural = Dataset::open(Origin { class_order: ClassOrder::Natural, ..origin.clone() }).unwrap();
        assert_eq!(natural.classes, ["cat2", "cat10"]);
        assert_eq!(natural.photos[0].target.class(), Some(crate::data::Class::new(1)));
        let columns = Columns { label: Some("species".into()), ..origin.columns };
        assert!(
            message(Origin { columns: columns.clone(), ..Origin::from(&path) })
                .contains("no column is called \"species\"")
        );
        let folder = Dataset::open(Origin { columns, ..Origin::from(dir.path()) }).unwrap_err();
        assert!(folder.to_string().contains("folders have no columns"), "{folder}");
    }

    #[test]
    fn photos_of_several_classes_are_found_and_refused_where_one_is_needed() {
        let dataset = table("a.csv", "path,labels\n1.png,a|b\n2.png,b;b\n3.png,\n").unwrap();
        let target = |classes: &[usize]| {
            crate::data::Target::Set(classes.iter().copied().map(crate::data::Class::new).collect())
        };
        let targets: Vec<_> = dataset.photos.iter().map(|photo| photo.target.clone()).collect();
        assert_eq!(targets, [target(&[0, 1]), target(&[1])]);
        let error = dataset.check_single().unwrap_err().to_string();
        assert_eq!(error, "1.png has 2 classes, \"a\", \"b\": each photo must be of exactly one class here");
        // Where each has one, it is its class.
        let dataset =
            table("a.jsonl", "{\"path\": \"1.png\", \"labels\": [\"a\"]}\n{\"path\": \"2.png\", \"labels\": [\"b\"]}")
                .unwrap();
        assert_eq!(dataset.photos[1].target, crate::data::Class::new(1).into());
        dataset.check_single().unwrap();
        let none = table(
            "a.jsonl",
            "{\"path\": \"1.png\", \"labels\": [\"a\", \"b\"]}\n{\"path\": \"2.png\", \"labels\": []}",
        )
        .unwrap();
        assert_eq!(none.photos[1].target, target(&[]));
    }

    #[test]
    fn members_are_named_hidden_and_refused_as_files_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        let members = [
            ("./a/1.png", "1"),
            ("b/2.png", "2"),
            ("a/.hidden.png", ""),
            ("__MACOSX/a/1.png", ""),
            ("../c/3.png", ""),
            ("/d/4.png", ""),
            ("a/notes.txt", ""),
            ("b/5.heic", "no photo"),
            ("b/6\n.png", "6"),
        ];
        tarred(&path, &members);
        zipped(&dir.path().join("a.zip"), &members[..], true);
        for name in ["a.tar", "a.zip"] {
            let dataset = Dataset::open(dir.path().join(name)).unwrap();
            assert_eq!(names(&dataset.photos), ["a/1.png", "b/2.png", r"b/6\n.png"], "{name}");
            assert_eq!(dataset.photos[0].path, dir.path().join(name).join("a/1.png"));
            let reasons = rejected(&dataset.rejected);
            assert_eq!(reasons.len(), 3, "{reasons:?}");
            assert!(reasons.contains(&("../c/3.png", "its name leads out of the archive")), "{reasons:?}");
            assert!(
                reasons.contains(&("/d/4.png", "its name begins at a root, and not in the archive")),
                "{reasons:?}"
            );
            assert!(
                reasons.iter().any(|(name, reason)| *name == "b/5.heic" && reason.contains("a .heic file")),
                "{reasons:?}"
            );
            assert_eq!(dataset.warnings, ["ignored, no photos by their names (1): a/notes.txt"]);
            assert!(dataset.photos[2].source.read(&dataset.photos[2].path, &Limits::default()).is_ok());
        }
        tarred(&path, &[("a\nb/1.png", ""), ("c/2.png", "")]);
        assert!(message(&path).contains("control character"));
        tarred(&path, &[("a/1.png", ""), ("2.png", "")]);
        assert!(message(&path).contains("1 photo outside any class folder"));
        tarred(&path, &[("a/1.png", "")]);
        assert!(message(&path).contains("a single class, \"a\""));
        tarred(&path, &[("a/1.txt", "")]);
        assert!(message(&path).contains("no photos in it"));
        tarred(&path, &[("a/1.png", "first"), ("b/2.png", ""), ("a/1.png", "last")]);
        let dataset = Dataset::open(&path).unwrap();
        assert!(
            facts(&dataset).contains_key("last")
                && dataset.warnings[0].contains("twice, where the last counts (1): a/1.png")
        );
        zipped(&dir.path().join("a.zip"), &[("a/1.png", ""), ("b/2.png", ""), ("empty/", "")], false);
        assert!(message(dir.path().join("a.zip")).contains("no photos in class \"empty\""));
        zipped(&dir.path().join("a.zip"), &[("a\\1.png", "1"), ("b\\2.png", "2")], false);
        assert_eq!(Dataset::open(dir.path().join("a.zip")).unwrap().classes, ["a", "b"]);
    }

    #[test]
    fn a_table_in_an_archive_names_members_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zip");
        let table = "file_name,label\nimages/1.png,a\n./images/2.png,b\n../3.png,a\nimages/4.png,b\n/5.png,a\n";
        zipped(&path, &[("set/images/1.png", "1"), ("set/images/2.png", "2"), ("set/metadata.csv", table)], true);
        let dataset = Dataset::open(&path).unwrap();
        assert_eq!(names(&dataset.photos), ["set/images/1.png", "set/images/2.png"]);
        let reasons = rejected(&dataset.rejected);
        assert_eq!(
            reasons.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["../3.png", "/5.png", "set/images/4.png"]
        );
        assert!(reasons[0].1.contains("leads out") && reasons[2].1 == "it isn't in the archive", "{reasons:?}");
        zipped(&path, &[("1.png", ""), ("metadata.csv", table), ("labels.jsonl", "")], false);
        assert!(message(&path).contains("it holds two tables, \"labels.jsonl\" and \"metadata.csv\""));
        zipped(&path, &[("1.png", "1"), ("metadata.csv", "file_name,label\n1.png\n")], false);
        assert!(message(&path).contains("metadata.csv, line 2: it has 1 cell"));
    }

    #[test]
    fn damaged_archives_are_errors_and_damaged_members_rejected_photos() {
        let dir = tempfile::tempdir().unwrap();
        let (tar, zip) = (dir.path().join("a.tar"), dir.path().join("a.zip"));
        tarred(&tar, &[("a/1.png", &"x".repeat(2000)), ("b/2.png", &"y".repeat(2000))]);
        let whole = std::fs::read(&tar).unwrap();
        std::fs::write(&tar, &whole[..4000]).unwrap();
        assert!(message(&tar).contains("a.tar: the archive is damaged: it is cut short in \"b/2.png\""));
        let mut bad = whole.clone();
        bad[20] ^= 1;
        std::fs::write(&tar, bad).unwrap();
        assert!(message(&tar).contains("the archive is damaged"));
        std::fs::write(&tar, vec![b'x'; 2000]).unwrap();
        assert!(message(&tar).contains("the archive is damaged"));

        for deflated in [false, true] {
            let text: String = (0..300).map(|number: u32| format!("{},", number * number)).collect();
            zipped(&zip, &[("a/1.png", &text), ("b/2.png", "short")], deflated);
            let whole = std::fs::read(&zip).unwrap();
            let mut bad = whole.clone();
            bad[100] ^= 0x55;
            std::fs::write(&zip, &bad).unwrap();
            let dataset = Dataset::open(&zip).unwrap();
            let read = |photo: &Photo, limits: &Limits| {
                photo.source.read(&photo.path, limits).map_err(|failure| match failure {
                    Failure::Photo(reason) => reason,
                    Failure::Machine(error) => panic!("{error}"),
                })
            };
            assert!(read(&dataset.photos[0], &Limits::default()).unwrap_err().starts_with("its content can't be read"));
            assert_eq!(read(&dataset.photos[1], &Limits::default()).unwrap(), b"short");
            // More than is allowed isn't unpacked, whatever it says to be.
            let small = Limits { bytes: 4, ..Limits::default() };
            assert_eq!(read(&dataset.photos[1], &small).unwrap_err(), "5 bytes are more than the limit of 4");
            std::fs::write(&zip, &whole[..whole.len() - 30]).unwrap();
            assert!(message(&zip).contains("a.zip: the archive is damaged"));
        }
        std::fs::write(&zip, "").unwrap();
        assert!(message(&zip).contains("a.zip: the archive is damaged"));
    }

    #[test]
    fn a_member_that_is_larger_than_it_says_is_not_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let zip = dir.path().join("a.zip");
        zipped(&zip, &[("a/1.png", &"0".repeat(1 << 20)), ("b/2.png", "")], true);
        let mut bytes = std::fs::read(&zip).unwrap();
        // The sizes that the central directory states: 1 MiB becomes 9 bytes.
        let place = (0..bytes.len() - 4).rfind(|&place| bytes[place..place + 4] == (1u32 << 20).to_le_bytes()).unwrap();
        bytes[place..place + 4].copy_from_slice(&9u32.to_le_bytes());
        std::fs::write(&zip, &bytes).unwrap();
        let photo = &Dataset::open(&zip).unwrap().photos[0];
        let limits = Limits { bytes: 1000, ..Limits::default() };
        assert!(matches!(photo.source.read(&photo.path, &limits), Err(Failure::Photo(_))));
    }

    #[test]
    fn whatever_the_bytes_are_nothing_panics() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let text: String = (0..200).map(|number: u32| format!("{},", number * number)).collect();
        let members =
            [("a/1.png", &*text), ("a/1.json", r#"{"label": "x", "weight": 2}"#), ("b/2.png", "2"), ("b/2.cls", "y")];
        tarred(&at("a.tar"), &members);
        zipped(&at("a.zip"), &members, true);
        zipped(&at("b.zip"), &[&members[..], &[("labels.csv", "path,label\na/1.png,x\nb/2.png,y\n")]].concat(), false);
        write(dir.path(), "a.csv", "path;labels;split;weight\n1.png;\"a|b\";train;1\n2.png;c;test;2\n");
        write(
            dir.path(),
            "a.jsonl",
            "{\"path\": \"1.png\", \"labels\": [\"a\"], \"split\": \"train\"}\n{\"path\": \"2.png\", \"label\": 3}\n",
        );
        let mut random = crate::random::SplitMix64(7);
        let mut below = |count: usize| (random.bits() % count as u64) as usize;
        let mut outcomes = [0; 2];
        for name in ["a.tar", "a.zip", "b.zip", "a.csv", "a.jsonl"] {
            let whole = std::fs::read(at(name)).unwrap();
            for _ in 0..200 {
                let mut bytes = whole.clone();
                for _ in 0..=below(3) {
                    let place = below(bytes.len());
                    match below(4) {
                        0 => bytes.truncate(place.max(1)),
                        1 => drop(bytes.splice(place..place, whole[..place.min(9)].iter().copied())),
                        2 => bytes[place] = 0xff,
                        _ => bytes[place] ^= 1 << below(8),
                    }
                }
                std::fs::write(at(name), &bytes).unwrap();
                match Dataset::open(at(name)) {
                    Ok(dataset) => {
                        outcomes[0] += 1;
                        for photo in &dataset.photos {
                            let _ = photo.source.read(&photo.path, &Limits::default());
                        }
                    }
                    Err(error) => {
                        outcomes[1] += 1;
                        assert!(!error.to_string().is_empty());
                    }
                }
                let _ = list(at(name));
            }
        }
        assert!(outcomes.iter().all(|&count| count > 50), "{outcomes:?}");
    }

    #[test]
    fn labels_are_no_matter_where_none_are_needed() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "1.png", "1");
        for (name, text) in [
            ("a.csv", "path,label,class\n1.png,a,b\n"),
            ("a.jsonl", "{\"path\": \"1.png\", \"label\": 1, \"class\": 2}"),
        ] {
            let path = write(dir.path(), name, text);
            assert_eq!(list(&path).unwrap().photos.len(), 1);
            assert!(message(&path).contains("both seem to hold the label"));
        }
    }

    #[test]
    fn samples_of_webdataset_have_notes_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        tarred(
            &path,
            &[
                ("0.left.png", "0l"),
                ("0.right.png", "0r"),
                ("0.cls", "1\n"),
                ("x/1.jpg", "1"),
                ("x/1.json", r#"{"label": "2", "weight": 3, "group": "g", "width": 7}"#),
                ("2.png", "2"),
                ("3.png", "3"),
                ("3.json", "{"),
                ("4.png", "4"),
                ("4.cls", "1"),
                ("4.json", r#"{"cls": "2"}"#),
            ],
        );
        let dataset = Dataset::open(&path).unwrap();
        let fact =
            |label: &str, group: Option<&str>, weight| (vec![label.to_owned()], None, group.map(str::to_owned), weight);
        let expected =
            [("0l", fact("1", Some("0"), 1.0)), ("0r", fact("1", Some("0"), 1.0)), ("1", fact("2", Some("g"), 3.0))];
        assert_eq!(facts(&dataset), expected.map(|(content, fact)| (content.to_owned(), fact)).into());
        let reasons = rejected(&dataset.rejected);
        assert!(reasons[0].0 == "3.png" && reasons[0].1.starts_with("its .json file: "), "{reasons:?}");
        assert_eq!(reasons[1], ("4.png", "the two files beside it say two classes"));
        assert_eq!(dataset.warnings, ["1 photo has no label and was left aside"]);
        // Files beside photos that say no class leave folders their say.
        tarred(&path, &[("a/1.png", "1"), ("a/1.json", "{\"width\": 3}"), ("b/2.png", "2"), ("b/2.json", "{}")]);
        assert_eq!(Dataset::open(&path).unwrap().classes, ["a", "b"]);
    }

    #[test]
    fn shards_are_one_archive_and_may_share_names() {
        let dir = tempfile::tempdir().unwrap();
        tarred(&dir.path().join("1.tar"), &[("a/1.png", "1"), ("b/2.png", "2")]);
        tarred(&dir.path().join("2.tar"), &[("a/1.png", "3"), ("b/2.png", "4")]);
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(names(&dataset.photos), ["1.tar/a/1.png", "1.tar/b/2.png", "2.tar/a/1.png", "2.tar/b/2.png"]);
        assert_eq!((facts(&dataset).len(), dataset.counts()), (4, vec![2, 2]));
    }

    #[test]
    fn photos_of_an_archive_are_read_by_many_threads_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let members: Vec<(String, String)> = (0..200)
            .map(|number| (format!("{}/{number}.png", number % 2), format!("{number} ").repeat(1000)))
            .collect();
        let members: Vec<(&str, &str)> = members.iter().map(|(name, content)| (&**name, &**content)).collect();
        tarred(&dir.path().join("a.tar"), &members);
        zipped(&dir.path().join("a.zip"), &members, true);
        for name in ["a.tar", "a.zip"] {
            let dataset = Dataset::open(dir.path().join(name)).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for photo in &dataset.photos {
                            let number = photo.name[2..].trim_end_matches(".png");
                            let content = photo.source.read(&photo.path, &Limits::default()).unwrap();
                            assert_eq!(content, format!("{number} ").repeat(1000).as_bytes());
                        }
                    });
                }
            });
        }
    }

    #[test]
    fn several_paths_are_listed_by_their_whole_paths() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        ["1.png", "folder/2.png"].iter().for_each(|name| drop(write(dir.path(), name, name)));
        tarred(&at("a.tar"), &[("3.png", "3")]);
        let csv = write(dir.path(), "a.csv", "path,label\n1.png,a\n");
        let paths = [at("1.png"), at("folder"), at("a.tar"), csv, at("gone.jpg")];
        let listing = list_all(&paths, &Columns::default()).unwrap();
        let expected =
            ["1.png", "folder/2.png", "a.tar/3.png", "1.png", "gone.jpg"].map(|name| shown(&at(name)).into_owned());
        assert_eq!(names(&listing.photos), expected.each_ref().map(String::as_str));
        assert!(
            matches!(list_all(&[dir.path().join("none.tar.gz")], &Columns::default()), Ok(listing) if listing.photos.len() == 1)
        );
        write(dir.path(), "b.tar.gz", "");
        assert!(list_all(&[at("b.tar.gz")], &Columns::default()).is_err());
    }

    #[test]
    fn groups_are_a_column_s_where_there_is_one_of_that_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let rows =
            [("1_p7.png", "a", "anna"), ("2_p7.png", "b", "ben"), ("3_p8.png", "a", "anna"), ("4_p8.png", "b", "")];
        let csv: String = rows.map(|(path, label, group)| format!("{path},{label},{group},\n")).concat();
        let csv = format!("path,label,p.,group\n{csv}");
        let json = |(path, label, group): &(&str, &str, &str)| match group.is_empty() {
            true => format!("{{\"path\": \"{path}\", \"label\": \"{label}\"}}\n"),
            false => format!("{{\"path\": \"{path}\", \"label\": \"{label}\", \"p.\": \"{group}\"}}\n"),
        };
        rows.iter().for_each(|(path, ..)| drop(write(dir.path(), path, path)));
        write(dir.path(), "a.csv", &csv);
        write(dir.path(), "a.jsonl", rows.iter().map(json).collect::<String>());
        let members = [&rows.map(|(path, ..)| (path, path))[..], &[("labels.csv", csv.as_str())]].concat();
        zipped(&at("a.zip"), &members, true);
        let groups = |name: &str, by: &str| {
            let dataset = Dataset::open_grouped(at(name), by).map_err(|error| error.to_string())?;
            let groups = dataset.photos.iter().map(|photo| photo.group.as_deref().unwrap_or("-").to_owned());
            Ok::<_, String>((groups.collect::<Vec<_>>().join(" "), dataset.warnings.join("; ")))
        };
        for name in ["a.csv", "a.jsonl", "a.zip"] {
            let told = "1 photo of no group, each taken by itself: the column \"p.\" says none for 4_p8.png";
            assert_eq!(groups(name, "p."), Ok(("anna ben anna -".to_owned(), told.to_owned())), "{name}");
            // As a pattern the same finds other groups.
            assert_eq!(groups(name, "(p.)\\."), Ok(("p7 p7 p8 p8".to_owned(), String::new())), "{name}");
            assert!(groups(name, "patient").unwrap_err().contains("finds nothing in the first, 1_p7.png"), "{name}");
        }
        // A folder has no columns.
        for (path, label, _) in rows {
            write(&at("folder"), &format!("{label}/{path}"), path);
        }
        assert_eq!(groups("folder", "p."), Ok(("p7 p8 p7 p8".to_owned(), String::new())));
        assert!(groups("a.csv", "group").unwrap_err().contains("the column \"group\", which is empty"));
    }

    #[test]
    fn the_standard_input_is_a_table_or_a_list() {
        let read = |text: &str, labelled| {
            let columns = Columns::default();
            let labels = if labelled { Labelling::Needed } else { Labelling::Left };
            let ask = Ask { path: Path::new("-"), columns: &columns, labels, by: None, pathless: false };
            let dir = tempfile::tempdir().unwrap();
            ["1.png", "2 b.png", "path"].iter().for_each(|name| drop(write(dir.path(), name, name)));
            let mut rows = Rows::new(Path::new("-"), Base::Folder(dir.path()));
            table::lines(&ask, text.as_bytes(), &mut rows).map_err(|error| error.to_string())?;
            let listing = rows.into_found().listing();
            Ok::<_, String>((
                listing.photos.into_iter().map(|photo| photo.name).collect::<Vec<_>>().join(" "),
                listing.rejected.len(),
            ))
        };
        let both = Ok(("1.png 2 b.png".to_owned(), 0));
        assert_eq!(read("1.png\n2 b.png\n", false), both);
        assert_eq!(read("1.png\r\n\r\n2 b.png", false), both);
        assert_eq!(read("label\tpath\na\t1.png\nb\t2 b.png\n", true), both);
        assert_eq!(read("\u{feff}{\"path\": \"1.png\", \"label\": 1}\n{\"path\": \"2 b.png\"}\n", true), both);
        assert_eq!(read("gone.png\n1.png\n", false), Ok(("1.png".to_owned(), 1)));
        assert!(read("path\n1.png\n", true).unwrap_err().contains("no column is known to hold labels"));
        assert_eq!(read("", false), Ok((String::new(), 0)));
    }

    #[cfg(not(feature = "parquet"))]
    #[test]
    fn what_is_not_built_in_is_said_with_its_feature() {
        let dir = tempfile::tempdir().unwrap();
        let error = Dataset::open(write(dir.path(), "a.parquet", "PAR1")).unwrap_err();
        assert_eq!(error.remedy(), Some(crate::Remedy::BuildWith { feature: "parquet" }));
    }
}
