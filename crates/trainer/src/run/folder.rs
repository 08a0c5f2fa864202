//! The names of a run's files, and the check that a folder may become a run.

use std::collections::HashSet;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;

/// The network with its new head.
pub const MODEL: &str = "model.safetensors";
/// The labels.
pub const LABELS: &str = "labels.txt";
/// The configuration; written last, so that a folder with it is whole.
pub const CONFIG: &str = "config.json";
/// Which photo played which part.
pub const PARTS: &str = "parts.json";
/// How good the head is.
pub const METRICS: &str = "metrics.json";
/// What the head says about each photo.
pub const PREDICTIONS: &str = "predictions.csv";
/// The report as a page.
pub const REPORT: &str = "report.html";
/// The features of all photos.
pub const FEATURES: &str = "features.safetensors";

/// Makes the folder of a new run, or takes over one whose training didn't end.
///
/// # Errors
/// It holds a finished run and `force` isn't set, or something that is no run at all; it takes no files.
pub fn prepare(folder: &Path, force: bool) -> Result<()> {
    let exists = |problem, finished| Err(Error::OutputExists { path: folder.to_owned(), problem, finished });
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return std::fs::create_dir_all(folder).map_err(Error::io("create", folder));
        }
        Err(error) => return Err(Error::io("create", folder)(error)),
        Ok(data) if !data.is_dir() => {
            return exists("is a file: give a folder to write the run into", false);
        }
        Ok(_) => {}
    }
    let mut names = HashSet::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if files::is_temporary(&name) {
            // A killed run's. Should it be in use by a living one, that one fails and says so.
            std::fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
        } else if !name.starts_with('.') {
            names.insert(name);
        }
    }
    let finished = names.contains(CONFIG) && names.contains(MODEL);
    let unfinished = names.iter().all(|name| name == FEATURES);
    match (finished, unfinished, force) {
        (true, _, false) => exists("holds a finished run", true),
        (true, _, true) | (false, true, _) => files::try_folder(&folder.join(CONFIG)),
        (false, false, _) => exists("isn't empty and holds no run: give a new or an empty folder", false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Fault, Remedy};

    #[test]
    fn folders_are_taken_over_only_if_they_are_ours() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deep/run");
        let put = |name: &str| std::fs::write(folder.join(name), b"").unwrap();
        prepare(&folder, false).unwrap();
        prepare(&folder, false).unwrap();
        put(FEATURES);
        put(".trainer-xyz.part");
        prepare(&folder, false).unwrap();
        assert!(!folder.join(".trainer-xyz.part").exists());
        put(MODEL);
        assert!(prepare(&folder, true).unwrap_err().to_string().contains("holds no run"));
        put(CONFIG);
        let error = prepare(&folder, false).unwrap_err();
        assert!(error.remedy() == Some(Remedy::ReplaceOutput) && error.fault() == Fault::Usage, "{error}");
        prepare(&folder, true).unwrap();
        assert!(prepare(&folder.join(MODEL), true).unwrap_err().to_string().contains("is a file"));
    }
}
