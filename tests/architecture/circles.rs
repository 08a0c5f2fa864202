//! Finds what is wrong with the uses between files: circles, and uses that go up among rooms.

use crate::uses::Uses;
use std::collections::{BTreeMap, BTreeSet};

/// Finds the sets of files that use each other, if only through others.
pub fn circles(uses: &Uses) -> BTreeSet<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = uses
        .keys()
        .map(|file| {
            let (mut reached, mut ahead) = (BTreeSet::new(), vec![file]);
            while let Some(file) = ahead.pop() {
                ahead.extend(uses[file].keys().filter(|next| reached.insert(*next)));
            }
            (file, reached)
        })
        .collect();
    reached
        .iter()
        .map(|(file, ahead)| {
            ahead.iter().filter(|other| reached[*other].contains(file)).map(|other| (*other).clone()).collect()
        })
        .filter(|circle: &BTreeSet<String>| !circle.is_empty())
        .collect()
}

/// Finds the uses that go up among the rooms of a source folder, which are its files and folders, named from the ground up; and
/// the files without a room, and the rooms without a file.
pub fn upwards(uses: &Uses, source: &str, rooms: &[&str]) -> Vec<String> {
    let room = |file: &str| Some(file.strip_prefix(source)?.split(['/', '.']).next()?.to_owned());
    let floor = |file: &str| rooms.iter().position(|known| Some(*known) == room(file).as_deref());
    let empty = rooms.iter().filter(|known| uses.keys().all(|file| room(file).as_deref() != Some(**known)));
    let mut found: Vec<String> = empty.map(|room| format!("{source}{room} is in the plan and has no file")).collect();
    for (from, used) in uses.iter().filter(|(file, _)| room(file).is_some()) {
        let Some(own) = floor(from) else {
            found.push(format!("{from} has no room in the plan"));
            continue;
        };
        for (to, names) in used.iter().filter(|(to, _)| floor(to) > Some(own)) {
            found.push(format!("{from} -> {to}: {}", list(names)));
        }
    }
    found
}

/// Writes a line for each use between some files.
pub fn describe(uses: &Uses, files: &BTreeSet<String>) -> String {
    let mut lines = String::new();
    for from in files {
        for (to, names) in uses[from].iter().filter(|(to, _)| files.contains(*to)) {
            lines += &format!("{from} -> {to}: {}\n", list(names));
        }
    }
    lines
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
