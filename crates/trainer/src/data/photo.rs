//! An entry of a data set: a photo with what is known of it, or one that can't be used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::member::Member;
use crate::data::part::Part;
use crate::data::source::Source;
use crate::data::target::Target;
use crate::photos::{self, Failure, Limits, Look};
use crate::words::shown;

/// The endings of a photo's file name, in any case.
pub(super) const EXTENSIONS: [&str; 11] =
    ["jpg", "jpeg", "jfif", "jpe", "jfi", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// A photo as it was found, unopened: in a file, in an archive, or in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    /// The path of its file; of what lies in an archive, its path there below that of the archive.
    pub path: PathBuf,
    /// Where its content comes from.
    pub source: Source,
    /// Its path below the data set's folder or archive, with `/` on every system, in plain text (control characters are escaped): its name in all outputs.
    pub name: String,
    /// What is true of it, as far as that is known; classes by their place in [`Dataset::classes`](crate::data::Dataset::classes).
    pub target: Target,
    /// Its part, where the folders say it.
    pub part: Option<Part>,
    /// What it belongs together with, where that is known: a patient, a video, a day. Photos of one group play one part.
    pub group: Option<Arc<str>>,
    /// What it counts among the photos that a head learns from, where most count 1: finite, 0 or more. Evaluations count each photo once.
    pub weight: f64,
}

impl Photo {
    /// Makes an unlabelled photo of its path alone, which in plain text is its name as well.
    pub fn at(path: &Path) -> Self {
        let name = shown(path).into_owned();
        let (target, part, group) = (Target::None, None, None);
        Self { path: path.to_owned(), source: Source::File, name, target, part, group, weight: 1.0 }
    }

    /// Makes an unlabelled photo of a file's content, as it came by a network or lies in a database.
    ///
    /// ```
    /// let photo = trainer::data::Photo::in_memory("upload 17", std::fs::read("Cargo.toml")?);
    /// assert_eq!(photo.name, "upload 17");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn in_memory(name: &str, content: impl Into<Arc<[u8]>>) -> Self {
        Self { source: Source::Memory(content.into()), ..Self::at(Path::new(name)) }
    }

    /// Makes what stands for a photo of which features alone are known, in this row of their file.
    pub fn of_features(row: usize, name: &str) -> Self {
        Self { source: Source::Features(row), ..Self::at(Path::new(name)) }
    }

    /// Reads its content.
    pub(crate) fn read(&self, limits: &Limits) -> Result<Vec<u8>, Failure> {
        self.source.read(&self.path, limits)
    }
}

/// A photo that was found and can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its path below the data set's folder.
    pub name: String,
    /// The reason why it can't be used.
    pub reason: String,
}

/// The endings of files that hold pictures or videos and can't be read.
const FOREIGN: [&str; 30] = [
    "heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "jpx", "jpf", "cr2", "cr3", "crw", "nef", "arw", "dng", "orf",
    "rw2", "raf", "pef", "srw", "x3f", "mrw", "psd", "pdf", "mp4", "mov", "avi", "mkv", "m4v", "webm",
];

/// Tells what a file is by its name's ending and, where that says that it can't be read or there is none, by how the file begins.
///
/// # Errors
/// As [`photos::look`].
pub(super) fn look(path: &Path) -> std::io::Result<Look> {
    look_by(path, || photos::look(path))
}

/// Tells what a member of an archive is, as [`look`] does of a file.
///
/// # Errors
/// It can't be read.
pub(super) fn look_into(name: &str, member: &Member) -> std::io::Result<Look> {
    look_by(Path::new(name), || Ok(photos::look_at(&member.beginning()?)))
}

fn look_by(path: &Path, look: impl Fn() -> std::io::Result<Look>) -> std::io::Result<Look> {
    let end = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
    Ok(match end.as_deref() {
        Some(end) if EXTENSIONS.contains(&end) => Look::Photo,
        Some(end) if FOREIGN.contains(&end) => match look()? {
            Look::Other => Look::Foreign(format!("a .{end} file, which can't be read here: convert it to JPEG or PNG")),
            seen => seen,
        },
        Some(_) => Look::Other,
        None => look()?,
    })
}
