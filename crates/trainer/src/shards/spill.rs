//! Rows of features on disk for the time that a part is computed: they come in the order of names, and are wanted in that of contents.

use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Rows that were put down.
pub(crate) struct Spill {
    folder: PathBuf,
    file: BufWriter<File>,
    width: usize,
    rows: u64,
}

impl Spill {
    /// Begins a file without a name in this folder: it is gone when the process is.
    ///
    /// # Errors
    /// The folder takes no files.
    pub(crate) fn begin(folder: &Path, width: usize) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(Error::io("write", folder))?;
        Ok(Self { folder: folder.to_owned(), file: BufWriter::new(file), width, rows: 0 })
    }

    /// Puts down a row; gives its place.
    ///
    /// # Errors
    /// The disk is full.
    pub(crate) fn put(&mut self, row: &[f32]) -> Result<u64> {
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.file.write_all(&bytes).map_err(Error::io("write", &self.folder))?;
        self.rows += 1;
        Ok(self.rows - 1)
    }

    /// Takes up the row of a place.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn get(&mut self, place: u64) -> Result<Box<[f32]>> {
        let mut bytes = vec![0; 4 * self.width];
        let at = SeekFrom::Start(place * bytes.len() as u64);
        // Seeking writes what waits.
        let read = self.file.seek(at).and_then(|_| self.file.get_mut().read_exact(&mut bytes));
        read.map_err(Error::io("read", &self.folder))?;
        Ok(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_any_order_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::begin(dir.path(), 3).unwrap();
        let rows: Vec<[f32; 3]> = (0..3000).map(|row| [row as f32, -0.0, f32::MIN_POSITIVE]).collect();
        let places: Vec<u64> = rows.iter().map(|row| spill.put(row).unwrap()).collect();
        for (row, place) in rows.iter().zip(places).rev() {
            assert_eq!(*spill.get(place).unwrap(), *row);
        }
        assert!(spill.get(3000).is_err());
        drop(spill);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }
}
