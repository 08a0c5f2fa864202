//! Tells what a path is that photos are to come from: a folder, a table, an archive.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use resnet::regular;

use crate::data::listing::is_ignored;
use crate::data::origin::INPUT;
use crate::error::{Error, Result};

/// What photos come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A folder of photos.
    Folder,
    /// Tar archives, the parts of one.
    Tars(Vec<PathBuf>),
    Zip,
    /// A table whose columns are separated by commas, semicolons or tabs.
    Csv,
    JsonLines,
    /// Parquet files, the parts of one table.
    Parquet(Vec<PathBuf>),
    /// The standard input.
    Input,
}

/// Endings of files that hold other than photos and can't be read, with what to do.
const REFUSED: [(&[&str], &str); 3] = [
    (&["tgz", "gz", "bz2", "tbz2", "xz", "txz", "zst", "tzst", "lz4", "z"], COMPRESSED),
    (&["json", "xlsx", "xls", "ods", "arrow", "feather", "h5", "hdf5", "tfrecord", "mat", "npz", "pkl"], OTHER),
    (
        &["7z", "rar", "cab", "iso", "dmg", "squashfs"],
        "it isn't an archive that can be read here: make it a .tar or a .zip",
    ),
];

const COMPRESSED: &str = "a compressed file can't be read piece by piece: unpack it to a folder, or decompress it to a .tar, which loses next to nothing of photos";
const OTHER: &str = "it isn't a table that can be read here: write it as .csv, .jsonl or .parquet";

/// Tells what a path is by what stands there and by its ending; none where it is a file of no such kind, which may be a photo.
///
/// # Errors
/// Nothing is there; it can't be looked at; it holds other than photos and can't be read.
pub(super) fn kind(path: &Path) -> Result<Option<Kind>> {
    if path == Path::new(INPUT) {
        return Ok(Some(Kind::Input));
    }
    let data = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::NotAFolder { path: path.to_owned(), problem: "no such folder or file" },
        _ => Error::io("list", path)(error),
    })?;
    if data.is_dir() {
        return folder(path).map(Some);
    }
    let ending = ending(path);
    Ok(Some(match ending.as_str() {
        "csv" | "tsv" => Kind::Csv,
        "jsonl" | "ndjson" => Kind::JsonLines,
        "parquet" => Kind::Parquet(vec![path.to_owned()]),
        "tar" => Kind::Tars(vec![check_tar(path)?]),
        "zip" => Kind::Zip,
        other => {
            return match REFUSED.iter().find(|(endings, _)| endings.contains(&other)) {
                Some((_, problem)) => Err(refused(path, problem)),
                None => Ok(None),
            };
        }
    }))
}

fn refused(path: &Path, problem: &str) -> Error {
    Error::UnusableData { path: path.to_owned(), problem: problem.to_owned() }
}

fn ending(path: &Path) -> String {
    path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Tells a folder of photos from one that holds nothing but the parts of an archive, or of a table.
fn folder(path: &Path) -> Result<Kind> {
    let mut parts = Vec::new();
    let mut kinds = [0; 2];
    for entry in std::fs::read_dir(path).map_err(Error::io("list", path))? {
        let entry = entry.map_err(Error::io("list", path))?;
        if is_ignored(&entry.file_name().to_string_lossy()) {
            continue;
        }
        match ending(&entry.path()).as_str() {
            "tar" => kinds[0] += 1,
            "parquet" => kinds[1] += 1,
            _ => return Ok(Kind::Folder),
        }
        if entry.path().is_dir() {
            return Ok(Kind::Folder);
        }
        parts.push(entry.path());
    }
    parts.sort();
    Ok(match kinds {
        [0, 0] => Kind::Folder,
        [_, 0] => Kind::Tars(parts.into_iter().map(|path| check_tar(&path)).collect::<Result<_>>()?),
        [0, _] => Kind::Parquet(parts),
        _ => return Err(refused(path, "it holds .tar and .parquet files: put one kind into a folder of its own")),
    })
}

/// How compressed files begin: gzip, Zstandard, bzip2, xz.
const MAGIC: [&[u8]; 4] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ"];

/// Refuses an archive that is compressed, though its name doesn't say so.
fn check_tar(path: &Path) -> Result<PathBuf> {
    let mut beginning = Vec::new();
    let read = regular::open(path).and_then(|file| file.take(6).read_to_end(&mut beginning));
    read.map_err(Error::io("read", path))?;
    match MAGIC.iter().any(|magic| beginning.starts_with(magic)) {
        true => Err(refused(path, COMPRESSED)),
        false => Ok(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_stands_there() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let of = |name: &str| kind(&at(name)).map_err(|error| error.to_string());
        for name in
            ["a.CSV", "b.tsv", "c.jsonl", "d.parquet", "e.tar", "f.zip", "g.jpg", "h", "i.tar.gz", "j.json", "k.rar"]
        {
            std::fs::write(at(name), "").unwrap();
        }
        assert_eq!(
            (of("a.CSV"), of("b.tsv"), of("c.jsonl")),
            (Ok(Some(Kind::Csv)), Ok(Some(Kind::Csv)), Ok(Some(Kind::JsonLines)))
        );
        assert_eq!(
            (of("d.parquet"), of("f.zip")),
            (Ok(Some(Kind::Parquet(vec![at("d.parquet")]))), Ok(Some(Kind::Zip)))
        );
        assert_eq!((of("e.tar"), of("g.jpg"), of("h")), (Ok(Some(Kind::Tars(vec![at("e.tar")]))), Ok(None), Ok(None)));
        assert!(of("i.tar.gz").unwrap_err().contains("decompress it to a .tar"));
        assert!(of("j.json").unwrap_err().contains("write it as .csv"));
        assert!(of("k.rar").unwrap_err().contains("make it a .tar or a .zip"));
        assert!(of("none").unwrap_err().contains("no such folder"));
        std::fs::write(at("e.tar"), b"\x1f\x8b\x08").unwrap();
        assert!(of("e.tar").unwrap_err().contains("compressed"));
        assert_eq!(kind(Path::new("-")).unwrap(), Some(Kind::Input));
    }

    #[test]
    fn a_folder_of_shards_is_one_archive() {
        let dir = tempfile::tempdir().unwrap();
        let of = || kind(dir.path()).map_err(|error| error.to_string());
        let at = |name: &str| dir.path().join(name);
        assert_eq!(of(), Ok(Some(Kind::Folder)));
        for name in ["2.tar", "1.tar", ".hidden"] {
            std::fs::write(at(name), "").unwrap();
        }
        assert_eq!(of(), Ok(Some(Kind::Tars(vec![at("1.tar"), at("2.tar")]))));
        std::fs::write(at("1.parquet"), "").unwrap();
        assert!(of().unwrap_err().contains("a folder of its own"));
        std::fs::create_dir(at("cat")).unwrap();
        assert_eq!(of(), Ok(Some(Kind::Folder)));
    }
}
