//! Writes files that appear whole or not at all: written and synced under a temporary name, then renamed, so that no crash leaves half a file.

use std::fs::{File, TryLockError};
use std::io::{BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use resnet::regular;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// How a temporary name begins and ends.
const TEMPORARY: (&str, &str) = (".trainer-", ".part");
/// The file by whose lock one process at a time works in a folder.
const LOCK: &str = ".trainer-lock";

/// Writes a file whole or not at all. A link stays one: what it leads to is replaced.
///
/// # Errors
/// The folder isn't writable, the disk is full, a folder has that name; what was there stays.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// Writes a file as [`write()`] does, of content that isn't in memory as a whole.
///
/// # Errors
/// As [`write()`].
pub(crate) fn write_with(path: &Path, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let mut draft = Draft::begin(path)?;
    content(&mut draft.file).map_err(Error::io("write", path))?;
    draft.finish()
}

/// A file that is written bit by bit, and appears when it is finished.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl Draft {
    /// Begins a file; a link stays one, as with [`write()`].
    ///
    /// # Errors
    /// As [`write()`].
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Ok(Self { file: BufWriter::new(temporary(&path)?), path })
    }

    /// Makes it appear, whole and on disk.
    ///
    /// # Errors
    /// As [`write()`].
    pub(crate) fn finish(self) -> Result<()> {
        let Self { path, file } = self;
        let io = |error| Error::io("write", &path)(error);
        let file = file.into_inner().map_err(|error| io(error.into_error()))?;
        file.as_file().sync_all().map_err(io)?;
        file.persist(&path).map_err(|error| io(error.error))?;
        sync_folder(folder_of(&path))
    }

    /// Names the file in an error of writing it.
    pub(crate) fn failed(&self, error: std::io::Error) -> Error {
        Error::io("write", &self.path)(error)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Read for Draft {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.file.get_mut().read(bytes)
    }
}

impl Seek for Draft {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// Writes a new file, which appears whole, where nothing lies yet; tells whether that was so.
///
/// # Errors
/// As [`write()`].
pub(crate) fn write_beside(path: &Path, bytes: &[u8]) -> Result<bool> {
    let mut file = temporary(path)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(Error::io("write", path))?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        done => done.map(|_| true).map_err(|error| Error::io("write", path)(error.error)),
    }
}

/// Writes a file as [`write()`] does, at once, so that a power cut may damage it: for what can be made again, and whose reader sees damage.
///
/// # Errors
/// As [`write()`].
pub(crate) fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = temporary(path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.persist(path).map_err(|error| Error::io("write", path)(error.error)).map(drop)
}

/// Tells whether a path, as far as it is there already, lies in a folder.
///
/// # Errors
/// The folder can't be looked at.
pub(crate) fn is_below(path: &Path, folder: &Path) -> Result<bool> {
    let folder = folder.canonicalize().map_err(Error::io("read", folder))?;
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // The rest will be below what is there.
    let there = whole.ancestors().find_map(|folder| folder.canonicalize().ok());
    Ok(there.is_some_and(|there| there.starts_with(folder)))
}

/// Tries whether a file could be written at this path, and leaves nothing behind.
///
/// # Errors
/// As [`write()`].
pub(crate) fn try_folder(path: &Path) -> Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    clean(folder_of(&path));
    temporary(&path).map(drop)
}

/// Writes and syncs a new file, which nobody looks for yet.
///
/// # Errors
/// The disk is full; there is such a file.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = File::create_new(path);
    file.and_then(|mut file| fill(&mut file, |file| file.write_all(bytes))).map_err(Error::io("write", path))
}

/// Makes the names in a folder last: what was renamed is found under its new name after a crash too.
///
/// # Errors
/// The disk failed.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Elsewhere folders can't be opened, and names last without.
    if cfg!(unix) {
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            // A file system that knows no such thing.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {}
            done => done.map_err(Error::io("write into", folder))?,
        }
    }
    Ok(())
}

/// Held by the one process that works in a folder; let go when that ends, however it does.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes a folder's lock; none where another process has it.
    ///
    /// # Errors
    /// The folder isn't writable.
    pub(crate) fn take(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(LOCK);
        loop {
            let file = File::options().create(true).truncate(false).write(true).open(&path);
            let file = file.map_err(Error::io("write", &path))?;
            match file.try_lock() {
                Ok(()) => {
                    if still_named(&file).map_err(Error::io("look at", &path))? {
                        return Ok(Some(Self { path, _file: file }));
                    }
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                // A network file system without locks: nothing could ever be written there.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    return Ok(Some(Self { path, _file: file }));
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // One that stays is in nobody's way.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Tells whether a locked file hasn't been removed while it was waited for: a lock on a removed file excludes nobody.
///
/// # Errors
/// The file system doesn't say: asking for the lock again would never end.
pub(crate) fn still_named(file: &File) -> std::io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Ok(file.metadata()?.nlink() > 0)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(true)
    }
}

/// Removes the files that killed processes left in a folder. One that can't be removed stays: it is in nobody's way.
pub(crate) fn clean(folder: &Path) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let temporary = name.to_str().is_some_and(|name| name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1));
        // Who writes holds its lock.
        if temporary && regular::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Makes a temporary file in the folder of `path`, locked as long as its writer lives.
fn temporary(path: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
    #[cfg(unix)]
    {
        // As any new file: the user's umask decides, not the temporary file's secrecy.
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    loop {
        let file = builder.tempfile_in(folder_of(path)).map_err(Error::io("write", path))?;
        // Where there are no locks, nobody can take it for a dead one's either. Else it may have been, before it was locked.
        if file.as_file().lock().is_err() || still_named(file.as_file()).map_err(Error::io("write", path))? {
            return Ok(file);
        }
    }
}

/// Writes and syncs.
fn fill(file: &mut File, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut writer = BufWriter::new(&mut *file);
    content(&mut writer)?;
    writer.flush()?;
    drop(writer);
    file.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"old").unwrap();
        let failed = write_with(&path, |file| {
            file.write_all(b"new")?;
            Err(std::io::Error::other("the disk is full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), format!("can't write {}", path.display()));
        assert_eq!((std::fs::read(&path).unwrap(), names(dir.path())), (b"old".to_vec(), vec!["a".to_owned()]));
        write(&path, b"new").unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), names(dir.path())), (b"new".to_vec(), vec!["a".to_owned()]));
        assert!(write(&dir.path().join("no/such/file"), b"").unwrap_err().to_string().starts_with("can't write"));
    }

    #[test]
    fn what_the_dead_left_goes_and_what_the_living_write_stays() {
        let dir = tempfile::tempdir().unwrap();
        let alive = temporary(&dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join(".trainer-dead.part"), b"half").unwrap();
        std::fs::write(dir.path().join(".trainer-lock"), b"").unwrap();
        std::fs::write(dir.path().join("mine.part"), b"").unwrap();
        try_folder(&dir.path().join("b")).unwrap();
        let alive = alive.path().file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected = vec![alive, ".trainer-lock".to_owned(), "mine.part".to_owned()];
        expected.sort();
        assert_eq!(names(dir.path()), expected);
    }

    #[test]
    fn one_at_a_time_works_in_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        assert!(lock.is_some() && Lock::take(dir.path()).unwrap().is_none());
        drop(lock);
        assert!(names(dir.path()).is_empty());
        assert!(Lock::take(dir.path()).unwrap().is_some());
        assert!(Lock::take(&dir.path().join("none")).is_err());
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
