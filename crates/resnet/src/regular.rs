//! Opens regular files and nothing else: at a pipe the program would wait for somebody to write, from a device it would read without end.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

/// Opens a file. Links are followed.
///
/// # Errors
/// The system's; [`ErrorKind::IsADirectory`]; [`ErrorKind::InvalidInput`] for what is no regular file.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    let data = std::fs::metadata(&path)?;
    if data.is_dir() {
        return Err(Error::new(ErrorKind::IsADirectory, "it is a folder"));
    }
    if !data.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no regular file but a pipe or a device"));
    }
    File::open(path)
}

/// Reads a whole file.
///
/// # Errors
/// As [`open`]; [`ErrorKind::OutOfMemory`].
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let file = open(path)?;
    let size = file.metadata()?.len();
    content(file, size)
}

/// Reads all of an open file of this size, as far as is known.
///
/// # Errors
/// The system's, of reading alone; [`ErrorKind::OutOfMemory`].
pub fn content(mut file: File, size: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(size).map_err(Error::other)?)?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file of text.
///
/// # Errors
/// As [`read`]; [`ErrorKind::InvalidData`] for what isn't UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|_| Error::new(ErrorKind::InvalidData, "it isn't UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_files_are_read_by_links_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "text").unwrap();
        assert_eq!((read(&path).unwrap(), read_to_string(&path).unwrap()), (b"text".to_vec(), "text".to_owned()));
        assert_eq!(open(dir.path()).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(open(dir.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
            assert_eq!(read(dir.path().join("link")).unwrap(), b"text");
            // Opened, it would be waited for without end.
            let pipe = dir.path().join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            for path in [&pipe, Path::new("/dev/zero")] {
                assert_eq!(read(path).unwrap_err().to_string(), "it is no regular file but a pipe or a device");
            }
        }
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(read_to_string(&path).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
