//! A photo in a cell of a Parquet table, read by itself: of its column no more than one page is held.

use std::fmt;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

/// A table whose cells hold photos.
pub(super) struct Table {
    pub path: PathBuf,
    pub metadata: Arc<ParquetMetaData>,
}

/// A cell: a row of a row group, and a column.
#[derive(Clone)]
pub(super) struct Cell {
    pub table: Arc<Table>,
    pub group: usize,
    pub row: usize,
    pub column: usize,
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        let place = |cell: &Self| (cell.group, cell.row, cell.column);
        self.table.path == other.table.path && place(self) == place(other)
    }
}

impl Eq for Cell {}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cell({}, {}, {}, {})", self.table.path.display(), self.group, self.row, self.column)
    }
}

impl Cell {
    /// Gives the table's file.
    pub fn file(&self) -> &Path {
        &self.table.path
    }

    /// Reads its bytes, or as many as `most` of them.
    pub fn content(&self, most: u64) -> io::Result<Vec<u8>> {
        let file = File::open(&self.table.path)?;
        // The reader trusts in what a damaged table says of itself.
        let read = catch_unwind(AssertUnwindSafe(|| self.read(file)));
        let bytes = read.unwrap_or_else(|_| Err(ParquetError::General("the table is damaged".to_owned())));
        let bytes = bytes.map_err(|error| io::Error::other(error.to_string()))?;
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes.data()[..most].to_vec())
    }

    fn read(&self, file: File) -> Result<ByteArray, ParquetError> {
        let group = self.table.metadata.row_group(self.group);
        let column = group.column(self.column);
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let pages = SerializedPageReader::new(Arc::new(file), column, rows, None)?;
        let ColumnReader::ByteArrayColumnReader(mut reader) =
            get_column_reader(column.column_descr_ptr(), Box::new(pages))
        else {
            return Err(ParquetError::General("its column holds no bytes".to_owned()));
        };
        reader.skip_records(self.row)?;
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        reader.read_records(1, Some(&mut levels), None, &mut values)?;
        values.pop().ok_or_else(|| ParquetError::General("the cell is empty".to_owned()))
    }
}
