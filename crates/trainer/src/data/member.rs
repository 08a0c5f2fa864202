//! A photo in an archive: where it lies there, and how it is read without unpacking the archive.

use std::fmt;
use std::io::{self, ErrorKind, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::DeflateDecoder;
use rawzip::{FileReader, ZipArchive, ZipArchiveEntryWayfinder};
use resnet::regular;

#[cfg(feature = "parquet")]
use crate::data::cell::Cell;
use crate::error::Error;
use crate::photos::{Failure, Limits, is_bad_sector};

/// A photo's place in an archive. Many threads may read one archive at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Piece(Piece),
    Zipped(Zipped),
    #[cfg(feature = "parquet")]
    Cell(Cell),
}

/// Bytes of a file, which is opened for each reading: there may be more shards than files can be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub file: Arc<Path>,
    pub offset: u64,
    pub size: u64,
}

/// A member of a zip archive, stored as it is or deflated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zipped {
    pub zip: Arc<Zip>,
    pub entry: ZipArchiveEntryWayfinder,
    pub deflated: bool,
}

/// An open zip archive.
pub(super) struct Zip {
    pub path: PathBuf,
    pub archive: ZipArchive<FileReader>,
}

impl PartialEq for Zip {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Zip {}

impl fmt::Debug for Zip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zip").field("path", &self.path).finish_non_exhaustive()
    }
}

impl From<Piece> for Member {
    fn from(piece: Piece) -> Self {
        Self(Place::Piece(piece))
    }
}

impl From<Zipped> for Member {
    fn from(zipped: Zipped) -> Self {
        Self(Place::Zipped(zipped))
    }
}

#[cfg(feature = "parquet")]
impl From<Cell> for Member {
    fn from(cell: Cell) -> Self {
        Self(Place::Cell(cell))
    }
}

/// As much of a photo says what it is.
const BEGINNING: u64 = 4096;

impl Member {
    /// Reads its content.
    ///
    /// # Errors
    /// The member is damaged, encrypted or larger than allowed, which is its own fault; or its archive can't be read any more.
    pub(super) fn read(&self, limits: &Limits) -> Result<Vec<u8>, Failure> {
        limits.check_bytes(self.size()).map_err(Failure::Photo)?;
        // One byte more than is allowed tells what is larger than it says.
        let bytes = self.content(limits.bytes.saturating_add(1)).map_err(|error| match is_the_machines(&error) {
            true => Failure::Machine(Error::io("read", self.archive())(error)),
            false => Failure::Photo(format!("its content can't be read: {error}")),
        })?;
        limits.check_bytes(bytes.len() as u64).map_err(Failure::Photo)?;
        Ok(bytes)
    }

    /// Reads how it begins, so that it can be told what it is.
    ///
    /// # Errors
    /// As the system, or what unpacks it, says.
    pub(super) fn beginning(&self) -> io::Result<Vec<u8>> {
        self.content(BEGINNING)
    }

    /// Gives the archive that it lies in.
    pub(super) fn archive(&self) -> &Path {
        match &self.0 {
            Place::Piece(piece) => &piece.file,
            Place::Zipped(zipped) => &zipped.zip.path,
            #[cfg(feature = "parquet")]
            Place::Cell(cell) => cell.file(),
        }
    }

    /// Gives the bytes that it says to have; of a cell of a table that shows when it is read.
    fn size(&self) -> u64 {
        match &self.0 {
            Place::Piece(piece) => piece.size,
            Place::Zipped(zipped) => zipped.entry.uncompressed_size_hint(),
            #[cfg(feature = "parquet")]
            Place::Cell(_) => 0,
        }
    }

    /// Reads its content, or as much as `most` bytes of it.
    fn content(&self, most: u64) -> io::Result<Vec<u8>> {
        match &self.0 {
            Place::Piece(Piece { file, offset, size }) => {
                let mut file = regular::open(file).map_err(|error| io::Error::new(ErrorKind::NotFound, error))?;
                file.seek(SeekFrom::Start(*offset))?;
                let bytes = read_most(file, most.min(*size), *size)?;
                match (bytes.len() as u64) < most.min(*size) {
                    true => Err(io::Error::new(ErrorKind::UnexpectedEof, "its archive is cut short")),
                    false => Ok(bytes),
                }
            }
            Place::Zipped(Zipped { zip, entry, deflated }) => {
                let size = entry.uncompressed_size_hint();
                let entry = zip.archive.get_entry(*entry).map_err(of_zip)?;
                // What is read to its end is checked against its size and checksum.
                match deflated {
                    true => read_most(entry.verifying_reader(DeflateDecoder::new(entry.reader())), most, size),
                    false => read_most(entry.verifying_reader(entry.reader()), most, size),
                }
            }
            #[cfg(feature = "parquet")]
            Place::Cell(cell) => cell.content(most),
        }
    }
}

fn read_most(from: impl Read, most: u64, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(size.min(most)).map_err(io::Error::other)?)?;
    from.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes the system's error of what the reader of zip archives says.
fn of_zip(error: rawzip::Error) -> io::Error {
    match error.kind() {
        rawzip::ErrorKind::IO(source) => source
            .raw_os_error()
            .map_or_else(|| io::Error::new(source.kind(), source.to_string()), io::Error::from_raw_os_error),
        _ => io::Error::other(error),
    }
}

/// Tells whether the machine failed, or the archive is gone, so that nothing is known of the photo.
fn is_the_machines(error: &io::Error) -> bool {
    let systems = error.raw_os_error().is_some() && !is_bad_sector(error);
    systems || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::OutOfMemory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_file_is_read_within_limits_and_a_missing_file_is_no_fault_of_the_photo() {
        let dir = tempfile::tempdir().unwrap();
        let file: Arc<Path> = dir.path().join("a").into();
        std::fs::write(&file, "0123456789").unwrap();
        let piece = |offset, size| Member::from(Piece { file: file.clone(), offset, size });
        let limits = Limits { bytes: 4, ..Limits::default() };
        assert_eq!(piece(3, 4).read(&limits).unwrap(), b"3456");
        assert_eq!(piece(3, 4).beginning().unwrap(), b"3456");
        let reason = |member: Member| match member.read(&limits) {
            Err(Failure::Photo(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(piece(0, 5)), "5 bytes are more than the limit of 4");
        assert!(reason(piece(8, 4)).ends_with("its archive is cut short"));
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(piece(3, 4).read(&limits), Err(Failure::Machine(Error::Io { path, .. })) if path == *file));
    }
}
