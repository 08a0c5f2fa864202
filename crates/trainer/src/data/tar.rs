//! Lists what a tar archive holds: where each member lies, and what the small files beside photos say of them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use resnet::regular;
use serde_json::Value;
use tar::{Archive, Entry, EntryType};

use crate::data::columns::{Columns, Role};
use crate::data::contents::{Contents, clean};
use crate::data::member::Piece;
use crate::data::row::{Labels, Row, first};
use crate::error::{Error, Result};
use crate::words::shown;

/// The largest file beside a photo that is taken to say something of it, in bytes.
const NOTE: u64 = 1 << 20;

/// Adds what a tar archive holds, as the shard of this number. Bytes that aren't read now are skipped.
///
/// # Errors
/// It can't be read; it is compressed, damaged or cut short.
pub(super) fn read(contents: &mut Contents, path: &Path, shard: usize, columns: &Columns) -> Result<()> {
    let file = regular::open(path).map_err(Error::io("read", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let damaged = |problem: String| Error::DamagedArchive { path: path.to_owned(), problem };
    let broken = |error: io::Error| match error.raw_os_error() {
        Some(_) => Error::io("read", path)(error),
        None => damaged(shown(&error.to_string()).into_owned()),
    };
    let file_path: Arc<Path> = path.into();
    let mut archive = Archive::new(file);
    for entry in archive.entries_with_seek().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let Some(name) = contents.name(&entry.path_bytes(), shard) else { continue };
        let Some(cleaned) = contents.cleaned(&name, shard) else { continue };
        let (offset, size) = (entry.raw_file_position(), entry.size());
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                if offset.checked_add(size).is_none_or(|end| end > length) {
                    return Err(damaged(format!("it is cut short in {:?}", shown(&cleaned))));
                }
                note(contents, &cleaned, shard, &mut entry, columns).map_err(broken)?;
                contents.add(cleaned, shard, Piece { file: file_path.clone(), offset, size }.into());
            }
            EntryType::Directory => {
                contents.folders.insert(cleaned);
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().and_then(|name| String::from_utf8(name.into_owned()).ok());
                let target = target.and_then(|name| clean(&name).ok().flatten());
                match target.and_then(|target| contents.members.get(&(target, shard)).cloned()) {
                    Some(member) => contents.add(cleaned, shard, member),
                    None => contents.reject(&name, shard, "a link to nothing in the archive"),
                }
            }
            EntryType::Symlink => contents.reject(&name, shard, "a link, which isn't followed in an archive"),
            EntryType::GNUSparse => contents.reject(&name, shard, "a sparse file, which can't be read in an archive"),
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                contents.reject(&name, shard, "it is no regular file but a pipe or a device");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Splits a name at the first dot of its last part, as WebDataset does: files of one key are of one sample.
pub(super) fn key(name: &str) -> (&str, &str) {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[base..].find('.') {
        Some(dot) => (&name[..base + dot], &name[base + dot + 1..]),
        None => (name, ""),
    }
}

/// Notes what a small file says of the photos of its key.
fn note(
    contents: &mut Contents,
    name: &str,
    shard: usize,
    entry: &mut Entry<'_, File>,
    columns: &Columns,
) -> io::Result<()> {
    let (key, ending) = key(name);
    let read: fn(&[u8], &Columns) -> Result<Row, String> = match ending {
        "cls" => class,
        "json" => json,
        _ => return Ok(()),
    };
    if entry.size() > NOTE {
        return Ok(());
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    let row = read(&bytes, columns).map_err(|problem| format!("its .{ending} file: {problem}"));
    let both = match contents.notes.remove(&(key.to_owned(), shard)) {
        Some(other) => other.and_then(|other| merged(other, row?)),
        None => row,
    };
    contents.notes.insert((key.to_owned(), shard), both);
    Ok(())
}

/// Reads a class, which is a number or text.
fn class(bytes: &[u8], _: &Columns) -> Result<Row, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it isn't UTF-8")?.trim();
    let labels = if text.is_empty() { Labels::None } else { Labels::One(text.to_owned()) };
    Ok(Row { labels, ..Row::default() })
}

/// Reads an object whose fields are named as the columns of a table.
fn json(bytes: &[u8], columns: &Columns) -> Result<Row, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| first(&error.to_string()))?;
    let Value::Object(fields) = value else { return Err(format!("no object: {}", first(&value.to_string()))) };
    let (mut names, values): (Vec<String>, Vec<Value>) = fields.into_iter().unzip();
    let mut columns = columns.clone();
    // Whose file it lies beside is known.
    columns.name(Role::Path, "");
    if columns.label.is_none() {
        names.iter_mut().filter(|name| *name == "cls").for_each(|name| *name = Role::Label.name().to_owned());
    }
    let places = columns.places(Path::new("its fields"), &names).map_err(|error| error.to_string())?;
    Row::read(&values, &places)
}

/// Joins what two files say of one sample.
fn merged(a: Row, b: Row) -> Result<Row, String> {
    let labels = match (a.labels, b.labels) {
        (one, Labels::None) | (Labels::None, one) => one,
        (one, other) if one == other => one,
        _ => return Err("the two files beside it say two classes".to_owned()),
    };
    let weight = if a.weight == 1.0 { b.weight } else { a.weight };
    Ok(Row { path: None, labels, part: a.part.or(b.part), weight, group: a.group.or(b.group) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::part::Part;

    #[test]
    fn a_key_ends_at_the_first_dot_of_the_last_part() {
        for (name, split) in
            [("a.b/0001.left.jpg", ("a.b/0001", "left.jpg")), ("0001.cls", ("0001", "cls")), ("a/none", ("a/none", ""))]
        {
            assert_eq!(key(name), split);
        }
    }

    #[test]
    fn files_beside_photos_say_what_columns_say() {
        let usual = Columns::default();
        assert_eq!(class(b" 7\n", &usual).unwrap().labels, Labels::One("7".into()));
        assert!(class(b"\xff", &usual).is_err());
        let row =
            json(br#"{"cls": "cat", "split": "test", "file_name": "x", "path": "y", "weight": 2}"#, &usual).unwrap();
        assert_eq!((row.labels, row.part, row.weight), (Labels::One("cat".into()), Some(Part::Test), 2.0));
        assert_eq!(
            json(br#"{"labels": ["a", "b"]}"#, &usual).unwrap().labels,
            Labels::Several(vec!["a".into(), "b".into()])
        );
        assert_eq!(json(br#"{"width": 3}"#, &usual).unwrap().labels, Labels::None);
        for bad in ["", "[1]", r#"{"weight": -1}"#, r#"{"label": "a", "class": "b"}"#] {
            assert!(json(bad.as_bytes(), &usual).is_err(), "{bad}");
        }
        let told = Columns { label: Some("species".into()), ..Columns::default() };
        assert_eq!(json(br#"{"cls": 1, "species": "owl"}"#, &told).unwrap().labels, Labels::One("owl".into()));
    }

    #[test]
    fn a_hard_link_is_what_it_names_and_other_links_are_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        let mut builder = tar::Builder::new(File::create(&path).unwrap());
        let mut add = |kind: EntryType, name: &str, target: Option<&str>, content: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_path(name).unwrap();
            target.iter().for_each(|target| header.set_link_name(target).unwrap());
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        };
        add(EntryType::Regular, "a/1.png", None, "one");
        add(EntryType::Link, "b/2.png", Some("./a/1.png"), "");
        add(EntryType::Link, "b/3.png", Some("a/9.png"), "");
        add(EntryType::Symlink, "b/4.png", Some("../a/1.png"), "");
        add(EntryType::Fifo, "b/5.png", None, "");
        builder.finish().unwrap();
        let mut contents = Contents { path: path.clone(), ..Contents::default() };
        read(&mut contents, &path, 0, &Columns::default()).unwrap();
        let names: Vec<&str> = contents.members.keys().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a/1.png", "b/2.png"]);
        assert!(contents.members.values().all(|member| member.beginning().unwrap() == b"one"));
        let rejected: Vec<_> = contents.rejected.iter().map(|photo| (&*photo.name, &photo.reason[..7])).collect();
        assert_eq!(rejected, [("b/3.png", "a link "), ("b/4.png", "a link,"), ("b/5.png", "it is n")]);
    }
}
