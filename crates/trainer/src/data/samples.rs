//! Reads the samples of tar archives as WebDataset keeps them: `0001.jpg`, and beside it `0001.cls` or `0001.json`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::data::contents::Contents;
use crate::data::found::{Found, Unusable};
use crate::data::photo::{Photo, Rejected};
use crate::data::row::{Labels, Row};
use crate::data::tar::key;
use crate::photos::Look;

/// Tells whether files beside photos say what is on them.
pub(super) fn are_in(contents: &Contents) -> bool {
    contents.notes.values().any(|note| note.as_ref().is_ok_and(|row| row.labels != Labels::None))
}

/// Finds the photos and what the files beside them say. Several photos of one sample are of one group.
pub(super) fn find(contents: &Contents) -> Found {
    let mut found = Found::new(&contents.path, &contents.path);
    let mut photos: HashMap<(&str, usize), usize> = HashMap::new();
    for (name, shard, photo) in contents.each(&contents.path) {
        *photos.entry((key(name).0, shard)).or_default() += usize::from(photo.is_ok());
    }
    let mut groups: HashMap<String, Arc<str>> = HashMap::new();
    let nothing = Ok(Row::default());
    for (name, shard, photo) in contents.each(&contents.path) {
        let full_name = contents.full_name(name, shard);
        let reject = |reason: &str| Unusable::unknown(Rejected { name: full_name.clone(), reason: reason.to_owned() });
        let sample = key(name).0;
        match (photo, contents.notes.get(&(sample.to_owned(), shard)).unwrap_or(&nothing)) {
            (Ok(_), Err(problem)) => found.unusable.push(reject(problem)),
            (Ok(photo), Ok(row)) => {
                let together = photos[&(sample, shard)] > 1;
                let group = row.group.clone().or_else(|| together.then(|| contents.full_name(sample, shard)));
                let group =
                    group.map(|name| groups.entry(name).or_insert_with_key(|name| name.as_str().into()).clone());
                let (target, part) = (found.vocabulary.target(&row.labels), row.part.or(photo.part));
                found.photos.push(Photo { target, part, group, weight: row.weight, ..photo });
            }
            (Err(Look::Foreign(reason)), _) => found.unusable.push(reject(&reason)),
            // The files that say what is on photos, among others.
            (Err(_), _) => {}
        }
    }
    found.reject(&contents.rejected);
    found.shelve();
    found
}
