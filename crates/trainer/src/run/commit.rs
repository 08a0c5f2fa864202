//! Puts the files of a run in their place, all of them or none, and tells whether those that lie there belong together.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::files::{self, Lock};
use crate::run::config::Config;
use crate::run::folder::{CONFIG, MODEL};

/// A new run's files while they are written.
const STAGED: &str = ".trainer-staged";
/// A new run's files once all of them are there: from then on the run is the new one, wherever they lie.
const COMMITTED: &str = ".trainer-committed";

/// The folder of a run that is being made: nobody else writes there meanwhile.
#[derive(Debug)]
pub(crate) struct Making {
    folder: PathBuf,
    _lock: Lock,
}

impl Making {
    /// Makes the folder of a new run, or takes over one whose training didn't end.
    ///
    /// # Errors
    /// It holds a finished run and `force` isn't set, or something that is no run at all; it takes no files; another process writes there.
    pub(crate) fn begin(folder: &Path, force: bool) -> Result<Self> {
        let exists = |problem, finished| Err(Error::OutputExists { path: folder.to_owned(), problem, finished });
        match std::fs::metadata(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            }
            Err(error) => return Err(Error::io("create", folder)(error)),
            Ok(data) if !data.is_dir() => {
                return exists("is a file: give a folder to write the run into", false);
            }
            Ok(_) => {}
        }
        // What isn't a run's folder gets no lock's file either.
        let names = names(folder)?;
        let run = names.iter().any(|name| name == CONFIG) && names.iter().any(|name| name == MODEL);
        match (run || is_pending(folder), names.is_empty(), force) {
            (true, _, false) => return exists("holds a finished run", true),
            (false, false, _) => return exists("isn't empty and holds no run: give a new or an empty folder", false),
            _ => {}
        }
        let Some(lock) = Lock::take(folder)? else {
            return exists("another training is writing into it: wait for its end, or give another folder", false);
        };
        settle(folder)?;
        files::try_folder(&folder.join(CONFIG))?;
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// Puts a run's files in their place, all of them or none: whenever it is killed, the folder holds the run before or the new one.
    ///
    /// They are written and synced aside; one rename makes them the run, and only then do they move to their names, for which any later
    /// reader or writer cares if this one can't.
    ///
    /// # Errors
    /// The disk is full or fails. [`COMMITTED`] tells whether the run is the new one already.
    pub(crate) fn commit(self, files: &[(&'static str, Vec<u8>)], config: &mut Config) -> Result<()> {
        let [staged, committed] = [STAGED, COMMITTED].map(|name| self.folder.join(name));
        config.files = files.iter().map(|(name, bytes)| ((*name).to_owned(), sha256(bytes))).collect();
        let config = serde_json::to_vec_pretty(config).expect("plain data");
        absent(std::fs::remove_dir_all(&staged)).map_err(Error::io("remove", &staged))?;
        std::fs::create_dir(&staged).map_err(Error::io("create", &staged))?;
        let written = (files.iter().map(|(name, bytes)| (*name, bytes)).chain([(CONFIG, &config)]))
            .try_for_each(|(name, bytes)| files::write_new(&staged.join(name), bytes))
            .and_then(|()| files::sync_folder(&staged))
            .and_then(|()| std::fs::rename(&staged, &committed).map_err(Error::io("write", &committed)));
        if let Err(error) = written {
            // Nothing has changed; should it stay, the next training removes it.
            let _ = std::fs::remove_dir_all(&staged);
            return Err(error);
        }
        files::sync_folder(&self.folder)?;
        settle(&self.folder)
    }
}

/// Tells whether a killed training committed a run whose files haven't all moved to their place.
pub(super) fn is_pending(folder: &Path) -> bool {
    folder.join(COMMITTED).exists()
}

/// Checks that the run in a folder is whole: moves what a killed training committed to its place.
///
/// # Errors
/// Another process writes there, or the folder can't be written.
pub(super) fn whole(folder: &Path) -> Result<()> {
    /// How long another process may take for it.
    const TRIES: u32 = 40;
    for _ in 0..TRIES {
        if !is_pending(folder) {
            return Ok(());
        }
        if let Some(_lock) = Lock::take(folder)? {
            return settle(folder);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let problem = "another training is writing into it: wait for its end";
    Err(Error::OutputExists { path: folder.to_owned(), problem, finished: false })
}

/// Moves what was committed to its place. The caller holds the lock.
fn settle(folder: &Path) -> Result<()> {
    let committed = folder.join(COMMITTED);
    let entries = match committed.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io("list", &committed))?,
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("list", &committed))?;
        let path = folder.join(entry.file_name());
        std::fs::rename(entry.path(), &path).map_err(Error::io("write", &path))?;
    }
    files::sync_folder(folder)?;
    std::fs::remove_dir(&committed).map_err(Error::io("remove", &committed))
}

/// Lists what people see in a folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        names.push(entry.map_err(Error::io("list", folder))?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| !name.starts_with('.'));
    Ok(names)
}

/// Takes it for done where there was nothing to do.
fn absent(result: std::io::Result<()>) -> std::io::Result<()> {
    result.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Fault, Remedy};

    fn commit(folder: &Path, force: bool, text: &str) -> Result<()> {
        let file = |name| (name, text.as_bytes().to_vec());
        Making::begin(folder, force)?.commit(&[file(MODEL), file("labels.txt")], &mut Config::example(Vec::new()))
    }

    /// Reads a run's files and checks that they belong together.
    fn read(folder: &Path) -> Result<String> {
        whole(folder)?;
        let config = Config::read(folder)?.unwrap();
        for name in config.files.keys() {
            config.check_file(folder, name, &std::fs::read(folder.join(name)).unwrap())?;
        }
        Ok(std::fs::read_to_string(folder.join(MODEL)).unwrap())
    }

    #[test]
    fn folders_are_taken_over_only_if_they_are_ours() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deep/run");
        drop(Making::begin(&folder, false).unwrap());
        std::fs::write(folder.join(".trainer-xyz.part"), b"").unwrap();
        drop(Making::begin(&folder, false).unwrap());
        assert!(!folder.join(".trainer-xyz.part").exists());
        std::fs::write(folder.join(MODEL), b"").unwrap();
        assert!(Making::begin(&folder, true).unwrap_err().to_string().contains("holds no run"));
        std::fs::remove_file(folder.join(MODEL)).unwrap();
        commit(&folder, false, "first").unwrap();
        let error = commit(&folder, false, "second").unwrap_err();
        assert!(error.remedy() == Some(Remedy::ReplaceOutput) && error.fault() == Fault::Usage, "{error}");
        assert_eq!(read(&folder).unwrap(), "first");
        commit(&folder, true, "second").unwrap();
        assert_eq!(read(&folder).unwrap(), "second");
        assert!(Making::begin(&folder.join(MODEL), true).unwrap_err().to_string().contains("is a file"));
    }

    #[test]
    fn one_training_writes_into_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let first = Making::begin(dir.path(), false).unwrap();
        let error = Making::begin(dir.path(), true).unwrap_err();
        assert!(error.to_string().contains("another training is writing") && error.fault() == Fault::Usage, "{error}");
        first.commit(&[(MODEL, b"first".to_vec())], &mut Config::example(Vec::new())).unwrap();
        assert_eq!(read(dir.path()).unwrap(), "first");
    }

    #[test]
    fn a_run_is_the_old_or_the_new_one_wherever_its_training_is_killed() {
        // The states that a kill leaves between the steps of a commit.
        for moved in 0..=3 {
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join("run");
            commit(&folder, false, "old").unwrap();
            let staged = folder.join(STAGED);
            std::fs::create_dir(&staged).unwrap();
            std::fs::write(staged.join(MODEL), b"half a mod").unwrap();
            assert_eq!(read(&folder).unwrap(), "old");

            // A whole one elsewhere, of which some files have moved.
            let other = dir.path().join("other");
            commit(&other, false, "new").unwrap();
            let committed = folder.join(COMMITTED);
            std::fs::create_dir(&committed).unwrap();
            for (place, name) in [MODEL, "labels.txt", CONFIG].into_iter().enumerate() {
                std::fs::rename(other.join(name), if place < moved { &folder } else { &committed }.join(name)).unwrap();
            }
            if moved % 2 == 0 {
                assert!(commit(&folder, false, "third").unwrap_err().to_string().contains("finished run"));
                commit(&folder, true, "third").unwrap();
                assert_eq!(read(&folder).unwrap(), "third");
            } else {
                assert_eq!(read(&folder).unwrap(), "new");
            }
            assert!(!committed.exists() && !staged.exists() || moved % 2 == 1);
        }
    }

    #[test]
    fn files_of_two_runs_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
        commit(&one, false, "one").unwrap();
        commit(&two, false, "two").unwrap();
        std::fs::copy(two.join("labels.txt"), one.join("labels.txt")).unwrap();
        let error = read(&one).unwrap_err().to_string();
        assert!(error.contains("labels.txt isn't the one that config.json was written with"), "{error}");
    }

    #[test]
    fn what_cannot_be_written_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        commit(dir.path(), false, "old").unwrap();
        let making = Making::begin(dir.path(), true).unwrap();
        // Names with a folder that isn't there, as a full disk would fail.
        let error = making
            .commit(&[(MODEL, b"new".to_vec()), ("no/such", b"".to_vec())], &mut Config::example(Vec::new()))
            .unwrap_err();
        assert_eq!(error.fault(), Fault::Io);
        assert_eq!(read(dir.path()).unwrap(), "old");
        assert!(!dir.path().join(STAGED).exists());
    }
}
