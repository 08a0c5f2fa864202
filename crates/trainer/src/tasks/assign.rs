//! Assigns the photos of a data set their parts: the step of a training between features and head.

use std::collections::{BTreeSet, HashSet};

use crate::data::split::{Entry, SplitOptions, split};
use crate::data::{Class, Dataset, Part, Photo, Rejected, duplicates};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::tasks::known::Known;
use crate::tasks::tell::nothing_readable;
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
        let given = |photo: &Photo| photo.part == Some(part);
        if dataset.photos.iter().any(given) && entries.iter().all(|entry| entry.part != Some(part)) {
            return Err(nothing_readable(format!("the given part {part}"), rejected(dataset, known, given)));
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
    tell(copies.iter().collect(), "# with copies, which stay in one part");
    tell(
        differ(&|a, b| entries[a].target != entries[b].target),
        "# in several classes: no classifier can get all of them right",
    );
    tell(differ(&|a, b| parts[a] != parts[b]), "# in several of the folders train, val and test: the test is too kind");
    for (place, class) in dataset.classes.iter().enumerate() {
        let teaches = |photo: &Photo| {
            let kept_from = matches!(photo.part, Some(Part::Validation | Part::Test));
            !kept_from && photo.target.classes().contains(&Class::new(place))
        };
        let mut usable = (0..photos.len()).filter(|&index| teaches(photos[index])).peekable();
        let Some(&first) = usable.peek() else {
            return Err(nothing_readable(format!("class {class:?}"), rejected(dataset, known, teaches)));
        };
        if usable.all(|index| parts[index] != Part::Train) {
            // Of a class's own photos one is always left to learn from: copies in other classes took them along.
            let elsewhere = |other: &&usize| entries[**other].target != entries[first].target;
            let copy = copies.iter().filter(|copy| copy.contains(&first)).flatten().find(elsewhere);
            return Err(Error::NothingToLearn {
                class: class.clone(),
                photo: photos[first].name.clone(),
                of: copy.map_or_else(String::new, |&other| photos[other].name.clone()),
                part: parts[first].to_string(),
            });
        }
    }
    warn_of_untested(dataset, &entries, &parts, progress);
    Ok(parts)
}

/// Lists the photos of a kind that couldn't be read.
fn rejected<'a>(
    dataset: &Dataset,
    known: &'a Known<'_>,
    kind: impl Fn(&Photo) -> bool,
) -> impl Iterator<Item = &'a Rejected> {
    let names: HashSet<String> =
        dataset.photos.iter().filter(|photo| kind(photo)).map(|photo| photo.name.clone()).collect();
    known.rejected.iter().filter(move |rejected| names.contains(&rejected.name))
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
