//! Folders for what is written where no place was named: new ones, so that nothing is replaced.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Makes the folder of a run that was given none: `run` in the current folder, or the first of `run-2`, `run-3` … that isn't there, so
/// that no two trainings write into the same. To be replaced there is `run` itself.
pub(crate) fn next_run(photos: &Path, force: bool) -> Result<PathBuf> {
    let whole = |path: &Path| path.canonicalize().map_err(Error::io("read", path));
    let here = Path::new(".");
    if photos.is_dir() && whole(here)?.starts_with(whole(photos)?) {
        return Err(Error::InvalidOption {
            option: "--out",
            value: "none".to_owned(),
            expected: "a folder for the run, since the current folder lies in that of the photos",
        });
    }
    new_folder("run", force)
}

/// Makes a folder in the current one, `name` or the first of `name-2`, `name-3` … that isn't there; `force` takes `name` as it is.
pub(crate) fn new_folder(name: &str, force: bool) -> Result<PathBuf> {
    let names = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{name}-{number}")));
    for name in names {
        let folder = PathBuf::from(name);
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !force => {}
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Error::io("create", &folder)(error)),
            _ => return Ok(folder),
        }
    }
    unreachable!("names don't end")
}
