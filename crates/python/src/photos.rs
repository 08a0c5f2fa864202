//! Photos as Python gives them: contents of files in buffers, or paths.

use std::collections::HashMap;
use std::path::PathBuf;

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use trainer::data::Photo;

/// A photo as Python gives it.
#[derive(FromPyObject)]
pub(crate) enum Image {
    /// The content of its file.
    Content(PyBuffer<u8>),
    /// The path of its file.
    Path(PathBuf),
}

/// Photos, with those that are missing left out.
pub(crate) struct Photos {
    /// Those that are there.
    pub photos: Vec<Photo>,
    /// The row of each of them.
    pub rows: Vec<usize>,
    /// How many rows there are.
    pub count: usize,
}

/// What is said of a row where no photo is.
const MISSING: &str = "no photo is there: the row is null";

impl Photos {
    /// Copies the contents, so that the interpreter may do with them what it likes meanwhile.
    pub fn of(py: Python<'_>, images: &[Option<Image>]) -> PyResult<Self> {
        let (mut photos, mut rows) = (Vec::new(), Vec::new());
        for (row, image) in images.iter().enumerate() {
            let photo = match image {
                None => continue,
                Some(Image::Path(path)) => Photo::at(path),
                Some(Image::Content(buffer)) => Photo::in_memory(&format!("row {row}"), buffer.to_vec(py)?),
            };
            photos.push(photo);
            rows.push(row);
        }
        Ok(Self { photos, rows, count: images.len() })
    }

    /// Lists row by row why its photo can't be used; none where it can. `rejected` says it by place among the photos.
    pub fn errors(&self, mut rejected: HashMap<usize, String>) -> Vec<Option<String>> {
        let mut errors = vec![Some(MISSING.to_owned()); self.count];
        self.rows.iter().enumerate().for_each(|(place, &row)| errors[row] = rejected.remove(&place));
        errors
    }
}
