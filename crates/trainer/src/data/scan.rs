//! Finds out where the class folders of a data set stand: in its folder, or in the folders of its parts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::data::listing::{Level, loose};
use crate::data::part::Part;
use crate::data::photo::Rejected;
use crate::data::tree::Tree;
use crate::error::{Error, Result};
use crate::words::count;

/// What a folder holds, before it is checked.
pub(super) struct Scan {
    /// Where class folders stand, and the part they play there; `train` first.
    pub groups: Vec<(Option<Part>, PathBuf, Level)>,
    pub others: Vec<String>,
    pub rejected: Vec<Rejected>,
    /// Links to what is listed already.
    pub again: Vec<String>,
    pub warnings: Vec<String>,
}

/// A folder that is named as a part is.
struct Candidate<'a> {
    part: Part,
    name: &'a str,
    path: PathBuf,
    level: Level,
}

/// Finds out where the class folders stand, for a training or for a head that knows the classes `known`.
///
/// # Errors
/// The folder can't be listed; photos lie beside the parts; what looks like parts can't be used as such.
pub(super) fn scan(tree: &Tree, root: &Path, known: Option<&[String]>) -> Result<Scan> {
    let top = tree.level(root, root)?;
    let training = known.is_none();
    let Some(split) = find_split((tree, root), &top, known)? else {
        let Level { others, rejected, again, .. } = top.clone();
        let groups = vec![(None, root.to_owned(), top)];
        return Ok(Scan { groups, others, rejected, again, warnings: Vec::new() });
    };
    if !top.photos.is_empty() {
        return Err(loose(root, &top.photos));
    }
    let unusable = |problem| {
        let folders = split.iter().map(|folder| folder.name.to_owned()).collect();
        Error::UnusableSplit { path: root.to_owned(), folders, problem }
    };
    const CLASSES: &str = "or, if they are classes, give them other names";
    let mut warnings = Vec::new();
    for name in top.folders.keys().filter(|name| split.iter().all(|folder| folder.name != *name)) {
        warnings.push(format!("folder {name:?} beside {:?} is no part of the data and was ignored", split[0].name));
    }
    for folder in split.iter().filter(|folder| folder.level.folders.is_empty()) {
        let holds =
            format!("{:?} holds {} and no class folders", folder.name, count(folder.level.photos.len(), "photo"));
        if training && folder.part == Part::Train {
            return Err(unusable(format!("{holds}: move each into the folder of its class, {CLASSES}")));
        }
        warnings.push(format!("{holds}: they have no labels and were left aside"));
    }
    let labelled = |folder: &&Candidate| !folder.level.folders.is_empty();
    match split.iter().find(labelled) {
        Some(first) if !training || first.part == Part::Train => {}
        Some(_) => return Err(unusable(format!("none of them is to train on: add a folder \"train\", {CLASSES}"))),
        None => return Err(unusable(format!("none holds class folders: move each photo into one, {CLASSES}"))),
    }
    let Level { mut others, mut rejected, mut again, .. } = top.clone();
    let mut groups = Vec::new();
    for folder in split.into_iter().filter(|folder| labelled(&folder)) {
        others.extend_from_slice(&folder.level.others);
        rejected.extend_from_slice(&folder.level.rejected);
        again.extend_from_slice(&folder.level.again);
        groups.push((Some(folder.part), folder.path, folder.level));
    }
    Ok(Scan { groups, others, rejected, again, warnings })
}

/// Finds the folders that are parts and no classes, in the order of the parts.
///
/// Parts have a word for a part in their names, and what else is in them is the same for all. They hold class folders, or nothing stands
/// beside them: bus, train and test, each with photos, may well be classes. A single one is a part if nothing else can be meant.
fn find_split<'a>(
    (tree, root): (&Tree, &Path),
    top: &'a Level,
    known: Option<&[String]>,
) -> Result<Option<Vec<Candidate<'a>>>> {
    let mut alike: BTreeMap<String, Vec<Candidate<'a>>> = BTreeMap::new();
    for (name, path) in &top.folders {
        if let Some((part, left)) = Part::of_folder(name) {
            let (path, level) = unpacked((tree, root), name, path)?;
            alike.entry(left).or_default().push(Candidate { part, name, path, level });
        }
    }
    let mut splits: Vec<_> = alike
        .into_values()
        .filter_map(|mut folders| {
            folders.sort_by_key(|folder| folder.part);
            let several = folders[0].part != folders[folders.len() - 1].part;
            let alone = folders.len() == top.folders.len();
            let labelled = folders.iter().any(|folder| !folder.level.folders.is_empty());
            let is_split = match known {
                _ if several => labelled || alone,
                // To be evaluated on: a part will do, unless the classes are beside it or called so.
                Some(known) => labelled && !top.folders.keys().any(|name| known.contains(name)),
                None => labelled && alone && folders[0].part == Part::Train,
            };
            is_split.then_some(folders)
        })
        .collect();
    splits.sort_by_key(|folders| (folders[0].part, usize::MAX - folders.len()));
    Ok(splits.into_iter().next())
}

/// Reads a level of a part, or what an archive put into a folder of the same name: `seg_train/seg_train`.
fn unpacked((tree, root): (&Tree, &Path), name: &str, path: &Path) -> Result<(PathBuf, Level)> {
    let found = tree.level(root, path)?;
    match found.folders.first_key_value() {
        Some((inner, below)) if inner == name && found.folders.len() == 1 && found.photos.is_empty() => {
            Ok((below.clone(), tree.level(root, below)?))
        }
        _ => Ok((path.to_owned(), found)),
    }
}
