//! Decides, before any work, whether an output may be written at a path: nothing is replaced that isn't ours, of that very kind.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;

/// What a file of a kind is known by lies in its first bytes.
const BEGINNING: u64 = 1 << 20;

/// What becomes of a file of our own that lies there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced, since the user said so.
    Replace,
    /// It stays, and is an error.
    Keep,
}

impl Existing {
    /// Takes what `--force`, or its like, says of a finished output.
    pub fn forced(force: bool) -> Self {
        if force { Self::Replace } else { Self::Keep }
    }
}

/// Checks that a file can be written at `path`: the folder takes files, and nothing lies there but what `ours` knows by its first bytes.
/// Tells whether that lies there.
///
/// # Errors
/// [`Error::OutputExists`] for what isn't a regular file, isn't of the kind, or is to be kept; [`Error::Io`] for a folder that takes no files.
pub fn check(path: &Path, existing: Existing, ours: impl Fn(&[u8]) -> bool) -> Result<bool> {
    let refused = |problem, finished| Err(Error::OutputExists { path: path.to_owned(), problem, finished });
    let there = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(Error::io("write", path)(error)),
        Ok(data) if !data.is_file() => return refused("isn't a regular file: give another name", false),
        // Nothing is lost with it.
        Ok(data) if data.len() == 0 => false,
        Ok(_) => {
            let mut bytes = Vec::new();
            let read = File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut bytes));
            read.map_err(Error::io("read", path))?;
            match existing {
                _ if !ours(&bytes) => {
                    return refused("holds something else than this would write: give another name", false);
                }
                Existing::Keep => return refused("is there already", true),
                Existing::Replace => true,
            }
        }
    };
    files::try_folder(path)?;
    Ok(there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Fault, Remedy};

    fn ours(bytes: &[u8]) -> bool {
        bytes.starts_with(b"ours")
    }

    #[test]
    fn only_what_is_ours_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        for existing in [Existing::Replace, Existing::Keep] {
            check(&path, existing, ours).unwrap();
            std::fs::write(&path, b"").unwrap();
            check(&path, existing, ours).unwrap();
            std::fs::write(&path, b"a photo").unwrap();
            let error = check(&path, existing, ours).unwrap_err();
            assert!(error.to_string().contains("holds something else"), "{error}");
            assert_eq!((error.fault(), error.remedy()), (Fault::Usage, None));
            assert_eq!(std::fs::read(&path).unwrap(), b"a photo");
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::write(&path, b"ours, and more").unwrap();
        check(&path, Existing::forced(true), ours).unwrap();
        let error = check(&path, Existing::forced(false), ours).unwrap_err();
        assert_eq!((error.fault(), error.remedy()), (Fault::Usage, Some(Remedy::ReplaceOutput)));
        assert!(check(dir.path(), Existing::Replace, ours).unwrap_err().to_string().contains("regular file"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "trying leaves nothing behind");
    }

    #[test]
    fn a_folder_that_takes_no_files_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let error = check(&dir.path().join("no/such/out"), Existing::Keep, ours).unwrap_err();
        assert!(error.to_string().starts_with("can't write") && error.fault() == Fault::Io, "{error}");
        #[cfg(target_os = "linux")]
        assert!(
            check(Path::new("/dev/null"), Existing::Replace, ours).unwrap_err().to_string().contains("regular file")
        );
    }
}
