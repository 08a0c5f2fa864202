//! The cache's layout, as Python's huggingface_hub has it:
//!
//! ```text
//! models--org--name/refs/main                       the commit that a branch or tag was met at
//! models--org--name/snapshots/COMMIT/FILE           a link to ../../blobs/ETAG
//! models--org--name/blobs/ETAG                      the content; .incomplete while it comes in
//! models--org--name/.no_exist/COMMIT/FILE           empty: the repository has no such file
//! .locks/models--org--name/ETAG.lock                held by who downloads
//! ```
//!
//! # Reference
//! <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// One repository's part of the cache.
pub(super) struct RepoCache {
    folder: PathBuf,
    #[cfg(feature = "hub")]
    locks: PathBuf,
}

impl RepoCache {
    pub(super) fn new(cache: &Path, id: &str) -> Self {
        let name = format!("models--{}", id.replace('/', "--"));
        Self {
            #[cfg(feature = "hub")]
            locks: cache.join(".locks").join(&name),
            folder: cache.join(name),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Looks up the commit that a revision is known to be.
    pub(super) fn commit(&self, revision: &str) -> Result<Option<String>> {
        if is_commit(revision) {
            return Ok(Some(revision.to_owned()));
        }
        let path = self.folder.join("refs").join(revision);
        match resnet::regular::read_to_string(&path) {
            Ok(commit) => Ok(Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Finds a commit's file, if its content is here.
    pub(super) fn file(&self, commit: &str, name: &str) -> Option<PathBuf> {
        Some(self.snapshot(commit).join(name)).filter(|path| path.is_file())
    }

    /// Tells whether a commit's file is here or known not to exist.
    pub(super) fn knows(&self, commit: &str, name: &str) -> bool {
        self.file(commit, name).is_some() || self.folder.join(".no_exist").join(commit).join(name).exists()
    }
}

/// Tells whether this is a whole commit hash, which always means the same files.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(feature = "hub")]
mod writing {
    use std::fs::{File, TryLockError, create_dir_all};
    use std::time::Duration;

    use super::*;
    use crate::files;
    use crate::progress::Progress;

    impl RepoCache {
        /// Gives the path where content lies under its hash.
        pub(in crate::hub) fn blob(&self, etag: &str) -> PathBuf {
            self.folder.join("blobs").join(etag)
        }

        /// Notes that a commit has no such file.
        pub(in crate::hub) fn set_absent(&self, commit: &str, name: &str) -> Result<()> {
            write(&self.folder.join(".no_exist").join(commit).join(name), b"")
        }

        /// Notes which commit a branch or tag is.
        pub(in crate::hub) fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
            if is_commit(revision) {
                Ok(())
            } else {
                write(&self.folder.join("refs").join(revision), commit.as_bytes())
            }
        }

        /// Makes a blob visible as a commit's file.
        pub(in crate::hub) fn link(&self, commit: &str, name: &str, etag: &str) -> Result<()> {
            let path = self.snapshot(commit).join(name);
            make_parent(&path)?;
            if path.is_file() {
                return Ok(());
            }
            // A link to content that is gone.
            if path.symlink_metadata().is_ok() {
                std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
            let linked = symlink(&Path::new("../../blobs").join(etag), &path);
            // Where links need a privilege (Windows), a second name for the same content does as well.
            match linked.or_else(|_| std::fs::hard_link(self.blob(etag), &path)) {
                Err(_) if path.is_file() => Ok(()),
                result => result.map_err(Error::io("create", &path)),
            }
        }

        /// Waits until no other thread or process downloads this content.
        pub(in crate::hub) fn lock(&self, etag: &str, progress: &dyn Progress) -> Result<Lock> {
            let path = self.locks.join(format!("{etag}.lock"));
            make_parent(&path)?;
            let mut told = false;
            loop {
                if progress.cancelled() {
                    return Err(Error::Interrupted { kept: 0 });
                }
                let file = File::options().create(true).truncate(false).write(true).open(&path);
                let file = file.map_err(Error::io("create", &path))?;
                match file.try_lock() {
                    Ok(()) => match files::still_named(&file).map_err(Error::io("look at", &path))? {
                        true => return Ok(Lock { _file: file }),
                        false => continue,
                    },
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
                }
                if !told {
                    progress.warn("another process downloads the same file: waiting for it");
                    told = true;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Held while content is downloaded; dropped with the process that holds it, however that ends.
    pub(in crate::hub) struct Lock {
        _file: File,
    }

    #[cfg(unix)]
    fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
        std::os::unix::fs::symlink(target, link)
    }

    #[cfg(windows)]
    fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
        std::os::windows::fs::symlink_file(target, link)
    }

    fn write(path: &Path, bytes: &[u8]) -> Result<()> {
        make_parent(path)?;
        files::write(path, bytes)
    }

    pub(in crate::hub) fn make_parent(path: &Path) -> Result<&Path> {
        let folder = path.parent().unwrap_or(Path::new("."));
        create_dir_all(folder).map_err(Error::io("create", folder))?;
        Ok(folder)
    }
}
#[cfg(feature = "hub")]
pub(super) use writing::make_parent;
