//! Reads a photo's file, and tells whose fault it is where that fails: the photo's, which is left out, or the machine's, which ends the work.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

use resnet::regular;

use crate::error::Error;
use crate::photos::limits::Limits;
use crate::words::chain;

/// Why a photo gives no pixels.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It can't be used: the reason, in words.
    Photo(String),
    /// The machine failed, and nothing is known of the photo.
    Machine(Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Photo(reason) => out.write_str(reason),
            Self::Machine(error) => out.write_str(&chain(error)),
        }
    }
}

/// Reads a photo's content.
///
/// What is wrong with the file is the photo's fault: it isn't there, may not be read, isn't regular, is too large, or lies on a bad sector,
/// which shows when it is read. All else is the machine's: too many open files, too little memory, a disk that answers nothing any more.
pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, Failure> {
    let machine = |error| Failure::Machine(Error::io("read", path)(error));
    let unopened = |error: io::Error| match is_the_files(&error) {
        true => Failure::Photo(error.to_string()),
        false => machine(error),
    };
    let file = regular::open(path).map_err(unopened)?;
    let size = file.metadata().map_err(unopened)?.len();
    if size > limits.bytes {
        return Err(Failure::Photo(format!("{size} bytes are more than the limit of {}", limits.bytes)));
    }
    regular::content(file, size).map_err(|error| match is_bad_sector(&error) {
        true => Failure::Photo(format!("its content can't be read: {error}")),
        false => machine(error),
    })
}

/// Tells whether an error in reading a file's content is that of a part of the disk that can't be read: EIO, and ERROR_CRC on Windows.
pub(crate) fn is_bad_sector(error: &io::Error) -> bool {
    error.raw_os_error() == Some(if cfg!(windows) { 23 } else { 5 })
}

/// What systems say, besides what has a kind, of a name that can't be: links that lead in a circle, a name too long (ELOOP, ENAMETOOLONG;
/// ERROR_CANT_RESOLVE_FILENAME, ERROR_FILENAME_EXCED_RANGE).
const BAD_NAME: [i32; 2] = match () {
    () if cfg!(windows) => [1921, 206],
    () if cfg!(any(target_os = "linux", target_os = "android")) => [40, 36],
    () => [62, 63],
};

/// Tells whether an error in opening or listing a file is its own fault, and not the machine's, where the next would fail as well.
pub(crate) fn is_the_files(error: &io::Error) -> bool {
    use ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    [NotFound, PermissionDenied, IsADirectory, NotADirectory, InvalidInput].contains(&error.kind())
        || error.raw_os_error().is_some_and(|code| BAD_NAME.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_its_own_fault() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let reason = |path: &Path| match read(path, &Limits { bytes: 3, ..Limits::default() }) {
            Err(Failure::Photo(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert!(!reason(&path).is_empty());
        assert!(!reason(&dir.path().join("a".repeat(3000))).is_empty());
        assert!(!reason(&dir.path().join("a\0b")).is_empty());
        assert_eq!(reason(dir.path()), "it is a folder");
        std::fs::write(&path, "abcd").unwrap();
        assert_eq!(reason(&path), "4 bytes are more than the limit of 3");
        assert!(!reason(&path.join("b")).is_empty());
        #[cfg(unix)]
        {
            assert!(reason(Path::new("/dev/zero")).contains("no regular file"));
            std::os::unix::fs::symlink("circle", dir.path().join("circle")).unwrap();
            assert!(!reason(&dir.path().join("circle")).is_empty());
        }
        assert_eq!(read(&path, &Limits::default()).unwrap(), b"abcd");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_machine_lacks_is_no_fault_of_a_file() {
        // ENOENT, EACCES, ENOTDIR, EISDIR, ENAMETOOLONG, ELOOP, EPERM; EMFILE, ENFILE, ENOMEM, EIO, EAGAIN, ESTALE, ENOSPC, ETIMEDOUT.
        for own in [2, 13, 20, 21, 36, 40, 1] {
            assert!(is_the_files(&io::Error::from_raw_os_error(own)), "{own}");
        }
        for machine in [24, 23, 12, 5, 11, 116, 28, 110] {
            assert!(!is_the_files(&io::Error::from_raw_os_error(machine)), "{machine}");
        }
    }
}
