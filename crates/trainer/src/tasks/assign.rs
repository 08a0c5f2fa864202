//! Assigns the photos of a data set their parts: the step of a training between features and head.

use std::collections::BTreeSet;

use crate::data::split::{Entry, SplitOptions, split};
use crate::data::{Class, Dataset, Part, Photo, duplicates};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::tasks::known::Known;
use crate::words::{count, first};

/// Assigns each photo whose features are known its part, warns of copies, and refuses a class that has nothing to learn from
/// and a part whose folder was given and has no photo that could be read.
pub(crate) fn assign(
    dataset: &Dataset,
    known: &Known<'_>,
    options: &SplitOptions,
    progress: &dyn Progress,
) -> Result<Vec<Part>> {
    let photos: Vec<&Photo> = known.photos().collect();
    let entries: Vec<Entry> = (photos.iter().zip(&known.kept))
        .map(|(photo, &(_, digest))| Entry { target: &photo.target, digest, part: photo.part })
        .collect();
    for part in Part::ALL {
        let given = dataset.photos.iter().filter(|photo| photo.part == Some(part)).count();
        if given > 0 && entries.iter().all(|entry| entry.part != Some(part)) {
            return Err(Error::NothingReadable { what: format!("the given part {part}"), found: given });
        }
    }
    let parts = split(&entries, options)?;
    let copies = duplicates(entries.iter().map(|entry| entry.digest));
    let name = |indices: &Vec<usize>| photos[indices[0]].name.clone();
    let tell = |which: Vec<&Vec<usize>>, what: &str| {
        if !which.is_empty() {
            let names: Vec<String> = which.iter().map(|indices| name(indices)).collect();
            progress.warn(&format!("{}: {}", what.replace('#', &count(names.len(), "photo")), first(&names, 5)));
        }
    };
    let differ = |differs: &dyn Fn(usize, usize) -> bool| {
        copies.iter().filter(|copy| copy.iter().any(|&index| differs(index, copy[0]))).collect::<Vec<_>>()
    };
    tell(copies.iter().collect(), "# occur more than once, and copies stay in one part");
    tell(
        differ(&|a, b| entries[a].target != entries[b].target),
        "# lie in several classes: no classifier can get all of them right",
    );
    tell(
        differ(&|a, b| parts[a] != parts[b]),
        "# lie in several of the folders train, val and test: the test is too kind",
    );
    for (place, (class, &found)) in dataset.classes.iter().zip(&dataset.counts()).enumerate() {
        let train = (0..entries.len())
            .any(|index| parts[index] == Part::Train && entries[index].target.classes().contains(&Class::new(place)));
        if !train {
            return Err(Error::NothingReadable { what: format!("class {class:?}"), found });
        }
    }
    warn_of_untested(dataset, &entries, &parts, progress);
    Ok(parts)
}

/// Names the classes without a photo to test, where others have one.
fn warn_of_untested(dataset: &Dataset, entries: &[Entry], parts: &[Part], progress: &dyn Progress) {
    let tested: BTreeSet<Class> = (entries.iter().zip(parts))
        .filter(|(_, part)| **part == Part::Test)
        .flat_map(|(entry, _)| entry.target.classes().iter().copied())
        .collect();
    let names = dataset.classes.iter().enumerate().filter(|(place, _)| !tested.contains(&Class::new(*place)));
    let untested: Vec<String> = names.map(|(_, name)| name.clone()).collect();
    if !tested.is_empty() && !untested.is_empty() {
        let (classes, have) = (count(untested.len(), "class"), if untested.len() == 1 { "has" } else { "have" });
        progress.warn(&format!("{classes} {have} no photo to be tested on: {}", first(&untested, 5)));
    }
}
