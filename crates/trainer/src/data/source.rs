//! Where a photo's content comes from, and how it is read.

use std::path::Path;
use std::sync::Arc;

use crate::data::member::Member;
use crate::photos::{Failure, Limits, read};

/// Where a photo's content comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The file at its path.
    #[default]
    File,
    /// Memory.
    Memory(Arc<[u8]>),
    /// An archive, which isn't unpacked for it.
    Member(Member),
    /// Nowhere: of the photo, features alone are known, the row of this number in their file.
    Features(usize),
}

/// Reads a file's content, such as [`read`](crate::photos).
pub(crate) type ReadFile = fn(&Path, &Limits) -> Result<Vec<u8>, Failure>;

impl Source {
    /// Reads the content of the photo at `path`.
    ///
    /// # Errors
    /// It can't be read, or is larger than allowed.
    pub(crate) fn read(&self, path: &Path, limits: &Limits) -> Result<Vec<u8>, Failure> {
        self.read_by(read, path, limits)
    }

    /// Reads the content of the photo at `path`, files by another function.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_by(&self, file: ReadFile, path: &Path, limits: &Limits) -> Result<Vec<u8>, Failure> {
        match self {
            Self::File => file(path, limits),
            Self::Memory(content) => {
                limits.check_bytes(content.len() as u64).map_err(Failure::Photo)?;
                Ok(content.to_vec())
            }
            Self::Member(member) => member.read(limits),
            Self::Features(_) => Err(Failure::Photo("features alone are known of it".to_owned())),
        }
    }
}
