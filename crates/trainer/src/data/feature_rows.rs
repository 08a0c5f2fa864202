//! Rows of features that another program computed, made a data set: what a table, or their own names, say of them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

use resnet::regular;

use crate::data::dataset::Dataset;
use crate::data::found::Found;
use crate::data::group_by::grouped;
use crate::data::origin::{ClassOrder, Origin};
use crate::data::part::Part;
use crate::data::photo::{Photo, Rejected};
use crate::data::row::{Labels, Row};
use crate::data::rows::{Base, Rows};
use crate::data::table::{self, Ask, By, Labelling};
use crate::error::{Error, Result};
use crate::words::{count, first, shown};

/// Rows of features, as far as a data set needs to know them.
#[derive(Clone, Copy, Debug)]
pub struct FeatureRows<'a> {
    /// The file that holds them, as errors name it.
    pub path: &'a Path,
    /// The name of each, where they have names.
    pub names: Option<&'a [String]>,
    /// How many there are.
    pub count: usize,
    /// Photos beside them that have none, since they couldn't be read.
    pub rejected: &'a [Rejected],
}

/// What is said of a row of features, or of a photo that couldn't be read.
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) row: Row,
    /// Which row of features it is, or why there is none.
    pub(crate) place: Result<usize, String>,
}

impl Dataset {
    /// Gives rows of features the labels, parts, groups and weights of a table. Its rows are found by their names, where the table has a column of paths and
    /// the features have names; else they stand in the features' order. `by` is as in [`Dataset::open_grouped`].
    ///
    /// # Errors
    /// The table can't be read; it names rows that there aren't, or has more or fewer than there are; as [`Dataset::open`].
    pub fn of_features(rows: &FeatureRows<'_>, labels: &Origin, by: Option<&str>) -> Result<Self> {
        let column = by.map(By::new);
        let ask = Ask {
            path: &labels.path,
            columns: &labels.columns,
            labels: Labelling::Needed,
            by: column.as_ref(),
            pathless: true,
        };
        let dataset = read(rows, &ask)?.check(None, labels.class_order)?;
        match by.zip(column.as_ref()) {
            Some((by, column)) => grouped(dataset, by, column.is_column()),
            None => Ok(dataset),
        }
    }

    /// Gives rows of features the labels that their names say: `cat/1.jpg` is of the class `cat`, and `test/cat/1.jpg` of the part to test as well.
    ///
    /// # Errors
    /// There are no names, or one that says no class; as [`Dataset::open`].
    pub fn of_named_features(rows: &FeatureRows<'_>, order: ClassOrder, by: Option<&str>) -> Result<Self> {
        let (value, expected) = (
            format!("the features {} alone", shown(rows.path)),
            "a table that says the label of each row, or names of rows such as class/photo.jpg",
        );
        let unsaid = Error::InvalidOption { option: "labels", value, expected };
        let Some(names) = rows.names else { return Err(unsaid) };
        let parted = names.iter().all(|name| {
            let mut folders = name.split('/');
            folders.next().and_then(Part::of_folder).is_some() && folders.count() > 1
        });
        let mut found = Rows::new(rows.path, Base::Folder(Path::new("")));
        let failed = rows.rejected.iter().map(|Rejected { name, reason }| (name, Err(reason.clone())));
        let all = names.iter().enumerate().map(|(number, name)| (name, Ok(Photo::of_features(number, name))));
        for (number, (name, photo)) in all.chain(failed).enumerate() {
            let (part, rest) = match name.split_once('/') {
                Some((folder, rest)) if parted => (Part::of_folder(folder).map(|(part, _)| part), rest),
                _ => (None, name.as_str()),
            };
            let Some((label, _)) = rest.split_once('/').filter(|(label, _)| !label.is_empty()) else {
                return Err(unsaid);
            };
            let row = Row { labels: Labels::One(label.to_owned()), part, ..Row::default() };
            // Names may be the same: a row is its own.
            let key = if photo.is_ok() { format!("row {number}") } else { name.clone() };
            found.put(number as u64 + 1, (key, photo), row)?;
        }
        finish(found, order, by)
    }

    /// Gives rows of features the labels, parts, groups and weights that came with them.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub(crate) fn of_told_features(path: &Path, told: &[Told], order: ClassOrder, by: Option<&str>) -> Result<Self> {
        let mut found = Rows::new(path, Base::Folder(Path::new("")));
        for (number, Told { name, row, place }) in told.iter().enumerate() {
            let photo = place.clone().map(|place| Photo::of_features(place, name));
            found.put(number as u64 + 1, (name.clone(), photo), row.clone())?;
        }
        finish(found, order, by)
    }
}

/// Checks what was found, and groups it by its names.
fn finish(found: Rows<'_>, order: ClassOrder, by: Option<&str>) -> Result<Dataset> {
    let dataset = found.into_found().check(None, order)?;
    match by {
        Some(by) => grouped(dataset, by, false),
        None => Ok(dataset),
    }
}

/// Writes a name as names are compared: with `/`, and without folders that mean nothing.
fn plain(path: &str) -> String {
    let parts: PathBuf = Path::new(path).components().filter(|part| *part != Component::CurDir).collect();
    shown(&parts.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")).into_owned()
}

/// Reads what a table says of rows.
fn read(rows: &FeatureRows<'_>, ask: &Ask<'_>) -> Result<Found> {
    let places = places(rows);
    // How many rows were found in their order, which were named and aren't there, and which were found by name.
    let (ordered, missing, used) = (Cell::new(0), RefCell::new(Vec::new()), RefCell::new(vec![false; rows.count]));
    let find = |path: Option<&str>| match (path, rows.names) {
        (Some(path), Some(_)) => {
            let name = plain(path);
            match places.get(name.as_str()) {
                Some(Place::One(place)) => {
                    used.borrow_mut()[*place] = true;
                    Ok((name.clone(), Ok(Photo::of_features(*place, &name))))
                }
                Some(Place::None(reason)) => Ok((name, Err((*reason).to_owned()))),
                Some(Place::Several) => Err(format!("{name:?} is the name of several rows of {}", shown(rows.path))),
                None => {
                    missing.borrow_mut().push(name.clone());
                    Ok((name, Err("there are no features of it".to_owned())))
                }
            }
        }
        (path, names) => {
            let place = ordered.replace(ordered.get() + 1);
            let name = path.or_else(|| names?.get(place).map(String::as_str));
            let name = name.map_or_else(|| format!("row {place}"), |name| shown(name).into_owned());
            // Names may be the same: a row is its own.
            Ok((format!("row {place}"), Ok(Photo::of_features(place, &name))))
        }
    };
    let mut found = Rows::new(ask.path, Base::Features(&find));
    fill(ask, &mut found)?;
    let mut found = found.into_found();
    let wrong = |problem: String| Error::UnusableData { path: ask.path.to_owned(), problem };
    let (ordered, missing, used) = (ordered.get(), missing.into_inner(), used.into_inner());
    let named = used.iter().filter(|used| **used).count();
    if !missing.is_empty() {
        let rows_of = count(missing.len(), "row");
        return Err(wrong(format!("{rows_of} without features in {}: {}", shown(rows.path), first(&missing, 5))));
    }
    if ordered > 0 && (named > 0 || ordered != rows.count) {
        let there = count(rows.count, "row");
        return Err(wrong(match named {
            0 => format!(
                "it has {}, and {} has {there}: without names on both sides they are taken in their order, and must be as many",
                count(ordered, "row"),
                shown(rows.path)
            ),
            _ => format!("{} of no name beside others that have one", count(ordered, "row")),
        }));
    }
    if named > 0 && named < rows.count {
        let names = rows.names.unwrap_or_default().iter().zip(&used).filter(|(_, used)| !**used);
        let unsaid: Vec<String> = names.map(|(name, _)| name.clone()).collect();
        let of = count(unsaid.len(), "row");
        let told =
            format!("{of} of features left aside, of which {} says nothing: {}", shown(ask.path), first(&unsaid, 5));
        found.warnings.push(told);
    }
    Ok(found)
}

/// The row of a name.
enum Place<'a> {
    One(usize),
    Several,
    /// The photo couldn't be read.
    None(&'a str),
}

/// Finds the row of each name.
fn places<'a>(rows: &FeatureRows<'a>) -> HashMap<String, Place<'a>> {
    let names = rows.names.unwrap_or_default();
    let failed = rows.rejected.iter().map(|Rejected { name, reason }| (plain(name), Place::None(reason)));
    let mut places: HashMap<String, Place<'a>> = failed.collect();
    for (number, name) in names.iter().enumerate() {
        places.entry(plain(name)).and_modify(|place| *place = Place::Several).or_insert(Place::One(number));
    }
    places
}

/// Reads the table itself.
fn fill(ask: &Ask<'_>, rows: &mut Rows<'_>) -> Result<()> {
    let path = ask.path;
    let open =
        || -> Result<BufReader<File>> { Ok(BufReader::new(regular::open(path).map_err(Error::io("read", path))?)) };
    if Origin::from(path).is_input() {
        let mut input = std::io::stdin().lock();
        let begins = input.fill_buf().map_err(Error::io("read", path))?;
        return match begins.trim_ascii_start().starts_with(b"{") {
            true => table::json_lines(ask, input, rows),
            false => table::csv(ask, input, rows),
        };
    }
    match path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).as_deref() {
        Some("csv" | "tsv") => table::csv(ask, open()?, rows),
        Some("jsonl" | "ndjson") => table::json_lines(ask, open()?, rows),
        _ => {
            let problem = "labels of features are read from a table: .csv, .tsv, .jsonl, or - for the standard input";
            Err(Error::UnusableData { path: path.to_owned(), problem: problem.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::Source;

    fn rows(names: Option<&[String]>, count: usize) -> FeatureRows<'_> {
        FeatureRows { path: Path::new("x.npy"), names, count, rejected: &[] }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// Says of each photo its row, name, label, part, group and weight.
    fn facts(dataset: &Dataset) -> Vec<String> {
        let fact = |photo: &Photo| {
            let Source::Features(row) = photo.source else { panic!("{photo:?}") };
            let label = &dataset.classes[photo.target.class().unwrap().index()];
            let part = photo.part.map_or("-".to_owned(), |part| part.to_string());
            format!("{row} {} {label} {part} {} {}", photo.name, photo.group.as_deref().unwrap_or("-"), photo.weight)
        };
        dataset.photos.iter().map(fact).collect()
    }

    fn of(rows: &FeatureRows<'_>, file: &str, text: &str, by: Option<&str>) -> Result<Dataset, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file);
        std::fs::write(&path, text).unwrap();
        Dataset::of_features(rows, &Origin::from(path), by).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_are_found_by_name_or_stand_in_their_order() {
        let given = names(&["b/1.jpg", "a/2.jpg", "c.jpg", "d/3.jpg"]);
        let table = "path,label,split,group,weight\n./a/2.jpg,x,train,g,0.5\nb/1.jpg,y,test,h,\nd/3.jpg,y,train,,2\n";
        let dataset = of(&rows(Some(&given), 4), "y.csv", table, None).unwrap();
        assert_eq!(facts(&dataset), ["1 a/2.jpg x train g 0.5", "0 b/1.jpg y test h 1", "3 d/3.jpg y train - 2"]);
        let left = &dataset.warnings[0];
        assert!(left.starts_with("1 row of features left aside") && left.ends_with("says nothing: c.jpg"), "{left}");
        // Without a column of paths they stand in order, with the names that they have.
        let ordered = "label\tgroup\nx\t\ny\tg\nx\tg\n";
        let dataset = of(&rows(Some(&given[..3]), 3), "y.tsv", ordered, None).unwrap();
        assert_eq!(facts(&dataset), ["1 a/2.jpg y - g 1", "0 b/1.jpg x - - 1", "2 c.jpg x - g 1"]);
        // Where the features have no names, those of the table are taken; they may be the same.
        let lines = "{\"label\": \"x\", \"path\": \"p\"}\n{\"label\": \"y\", \"path\": \"p\"}\n{\"label\": null}\n";
        let dataset = of(&rows(None, 3), "y.jsonl", lines, None).unwrap();
        assert_eq!(facts(&dataset), ["0 p x - - 1", "1 p y - - 1"]);
        assert_eq!(dataset.warnings, ["1 photo has no label and was left aside"]);
        let dataset = of(&rows(None, 2), "y.csv", "label,day\nx,mon\ny,tue\n", Some("day")).unwrap();
        assert_eq!(facts(&dataset), ["0 row 0 x - mon 1", "1 row 1 y - tue 1"]);
        let by_name = of(&rows(Some(&given[..2]), 2), "y.csv", "label\nx\ny\n", Some("^(.)/")).unwrap();
        assert_eq!(facts(&by_name), ["1 a/2.jpg y - a 1", "0 b/1.jpg x - b 1"]);
    }

    #[test]
    fn rows_without_features_are_named_and_others_counted() {
        let given = names(&["a", "b"]);
        for (names, text, problem) in [
            (Some(&given), "path,label\na,x\nc,y\nd,y\n", "2 rows without features in x.npy: c, d"),
            (Some(&given), "label\nx\ny\nx\n", "it has 3 rows, and x.npy has 2 rows"),
            (None, "label\nx\n", "it has 1 row, and x.npy has 2 rows"),
            (Some(&given), "path,label\na,x\n,y\n", "1 row of no name beside others that have one"),
            (Some(&given), "path,label\na,x\na,y\n", "\"a\" has other labels in line 2"),
            (Some(&given), "path\na\nb\n", "no column is known to hold labels"),
        ] {
            let error = of(&rows(names.map(Vec::as_slice), 2), "y.csv", text, None).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
        let twice = names(&["a", "a"]);
        let error = of(&rows(Some(&twice), 2), "y.csv", "path,label\na,x\n", None).unwrap_err();
        assert!(error.contains("line 2: \"a\" is the name of several rows of x.npy"), "{error}");
        let error = of(&rows(None, 2), "y.parquet", "", None).unwrap_err();
        assert!(error.contains("labels of features are read from a table"), "{error}");
    }

    #[test]
    fn names_of_folders_are_labels_where_no_table_says_them() {
        let named = |given: &[&str]| {
            let given = names(given);
            let order = ClassOrder::Bytes;
            Dataset::of_named_features(&rows(Some(&given), given.len()), order, None)
        };
        let dataset = named(&["cat/1.jpg", "dog/x/2.jpg"]).unwrap();
        assert_eq!(facts(&dataset), ["0 cat/1.jpg cat - - 1", "1 dog/x/2.jpg dog - - 1"]);
        let dataset = named(&["val/cat/1.jpg", "train/cat/2.jpg", "train/dog/3.jpg"]).unwrap();
        let parts = [
            "1 train/cat/2.jpg cat train - 1",
            "2 train/dog/3.jpg dog train - 1",
            "0 val/cat/1.jpg cat validation - 1",
        ];
        assert_eq!(facts(&dataset), parts);
        let unsaid = [named(&["cat/1.jpg", "2.jpg"]), named(&["/1.jpg"]), {
            Dataset::of_named_features(&rows(None, 2), ClassOrder::Bytes, None)
        }];
        for error in unsaid.map(Result::unwrap_err) {
            assert!(error.fault() == crate::Fault::Usage && error.to_string().contains("a table that says"), "{error}");
        }
    }
}
