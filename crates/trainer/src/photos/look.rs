//! Tells by a file's first bytes whether it is a photo, without decoding it.

use std::io::{self, Read as _};
use std::path::Path;

use resnet::regular;

use crate::photos::file::is_the_files;
use crate::photos::{foreign, tiff};

/// Formats say what they are in their first bytes; of cameras' raw ones, whose directory may lie further behind, this finds most.
const BEGINNING: u64 = 4096;

/// What a file looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A photo that may be read.
    Photo,
    /// It holds pictures in a format that can't be read here: the reason names it and the way out.
    Foreign(String),
    /// Nothing of this kind, or it can't be opened.
    Other,
}

/// Looks at how a file begins.
///
/// # Errors
/// The machine failed: what the file holds isn't known.
pub(crate) fn look(path: &Path) -> io::Result<Look> {
    let mut bytes = Vec::new();
    match regular::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut bytes)) {
        Err(error) if is_the_files(&error) => return Ok(Look::Other),
        read => read?,
    };
    Ok(look_at(&bytes))
}

/// Tells what begins with these bytes.
pub(crate) fn look_at(bytes: &[u8]) -> Look {
    match foreign::reason(bytes) {
        Some(reason) => Look::Foreign(reason),
        None if tiff::guess_format(bytes).is_some() => Look::Photo,
        None => Look::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_how_they_begin() {
        let dir = tempfile::tempdir().unwrap();
        let seen = |bytes: &[u8]| {
            std::fs::write(dir.path().join("file"), bytes).unwrap();
            look(&dir.path().join("file")).unwrap()
        };
        for photo in [&b"\xff\xd8\xff\xe0"[..], b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP"] {
            assert_eq!(seen(photo), Look::Photo, "{photo:?}");
        }
        let heic = seen(b"\0\0\0\x14ftypheic\0\0\0\0mif1");
        assert!(matches!(&heic, Look::Foreign(reason) if reason.starts_with("HEIC")), "{heic:?}");
        for other in [&b""[..], b"notes", b"#!/bin/sh"] {
            assert_eq!(seen(other), Look::Other, "{other:?}");
        }
        assert_eq!(look(&dir.path().join("absent")).unwrap(), Look::Other);
    }
}
