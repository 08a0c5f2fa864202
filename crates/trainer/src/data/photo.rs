//! An entry of a data set: a photo with what is known of it, or one that can't be used.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::part::Part;
use crate::data::target::Target;

/// The endings of a photo's file name, in any case.
pub(super) const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// A file that looks like a photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// The path of its file.
    pub path: PathBuf,
    /// Its path below the data set's folder, with `/` on every system: its name in all outputs.
    pub name: String,
    /// What is true of it, as far as that is known; classes by their place in [`Dataset::classes`](crate::data::Dataset::classes).
    pub target: Target,
    /// Its part, where the folders say it.
    pub part: Option<Part>,
}

impl Photo {
    /// Makes an unlabelled photo of its path alone, which is its name as well.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), name: path.display().to_string(), target: Target::None, part: None }
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

/// Tells whether a file name ends as a photo's does.
pub(super) fn is_photo(name: &str) -> bool {
    Path::new(name)
        .extension()
        .and_then(|end| end.to_str())
        .is_some_and(|end| EXTENSIONS.iter().any(|known| end.eq_ignore_ascii_case(known)))
}
