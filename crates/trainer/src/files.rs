//! Writes files that appear whole or not at all, under a temporary name and then renamed, so that no crash leaves half a file.

use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// How a temporary file's name begins and ends.
const TEMPORARY: (&str, &str) = (".trainer-", ".part");

/// Tells whether this is the name of a temporary file: a killed program's, if nobody is writing it now.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1)
}

/// Files that become visible together: each is written and synced under a temporary name, and renamed by [`commit`](Self::commit).
///
/// Dropped before that, nothing has changed. (A machine that stops amid the renames leaves some files new and some old, each
/// of them whole.)
#[derive(Debug)]
pub(crate) struct Staged {
    folder: PathBuf,
    files: Vec<(NamedTempFile, PathBuf)>,
}

impl Staged {
    /// Stages files for this folder, which exists.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: Vec::new() }
    }

    /// Writes and syncs one file.
    ///
    /// # Errors
    /// The folder isn't writable, or the disk is full.
    pub fn add(&mut self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        self.add_with(name, |file| file.write_all(bytes))
    }

    /// Lets `content` write one file, and syncs it.
    ///
    /// # Errors
    /// As [`Staged::add`].
    pub fn add_with(
        &mut self,
        name: impl AsRef<Path>,
        content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<()> {
        let path = self.folder.join(name);
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
        #[cfg(unix)]
        {
            // As any new file: the user's umask decides, not the temporary file's secrecy.
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(&self.folder).map_err(Error::io("write", &path))?;
        let mut writer = std::io::BufWriter::new(&mut file);
        content(&mut writer).and_then(|()| writer.flush()).map_err(Error::io("write", &path))?;
        drop(writer);
        file.as_file().sync_all().map_err(Error::io("write", &path))?;
        self.files.push((file, path));
        Ok(())
    }

    /// Gives all files their names, in the order they were added.
    ///
    /// # Errors
    /// A rename failed, for instance because a folder has that name.
    pub fn commit(self) -> Result<()> {
        for (file, path) in self.files {
            file.persist(&path).map_err(|error| Error::io("write", &path)(error.error))?;
        }
        Ok(())
    }
}

/// Writes a file whole or not at all.
///
/// # Errors
/// As [`Staged`]; what was there stays.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// Writes a file as [`write()`] does, of content that isn't in memory as a whole.
///
/// # Errors
/// As [`Staged`]; what was there stays.
pub(crate) fn write_with(path: &Path, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    stage(path, content)?.commit()
}

/// Tries whether a file could be written at this path, and leaves nothing behind.
///
/// # Errors
/// As [`Staged::add`].
pub(crate) fn try_folder(path: &Path) -> Result<()> {
    stage(path, |_| Ok(())).map(drop)
}

/// Stages one file. A link stays one: what it leads to is replaced.
fn stage(path: &Path, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<Staged> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut staged = Staged::new(folder);
    staged.add_with(path.file_name().unwrap_or_default(), content)?;
    Ok(staged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_appear_together_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"old").unwrap();
        let mut staged = Staged::new(dir.path());
        staged.add("a", b"new").unwrap();
        staged.add("b", b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        drop(staged);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let mut staged = Staged::new(dir.path());
        staged.add("a", b"new").unwrap();
        staged.add("b", b"new").unwrap();
        staged.commit().unwrap();
        assert_eq!(
            (std::fs::read(&path).unwrap(), std::fs::read_dir(dir.path()).unwrap().count()),
            (b"new".to_vec(), 2)
        );
        assert!(write(&dir.path().join("no/such/file"), b"").unwrap_err().to_string().starts_with("can't write"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let [target, link] = ["target", "link"].map(|name| dir.path().join(name));
        std::fs::write(&target, b"old").unwrap();
        std::os::unix::fs::symlink("target", &link).unwrap();
        write(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
    }

    #[cfg(unix)]
    #[test]
    fn outputs_are_as_readable_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        write(&dir.path().join("ours"), b"").unwrap();
        std::fs::write(dir.path().join("usual"), b"").unwrap();
        assert_eq!(mode("ours"), mode("usual"));
    }
}
