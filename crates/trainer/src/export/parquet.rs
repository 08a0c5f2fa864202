//! Parquet tables, written as their rows come: the rows of a group at a time are in memory.

use std::fs::File;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::error::{Error, Result};
use crate::export::column::{Cell, Column, Kind};
use crate::files::Draft;

/// The key in a table's metadata under which stands what it holds, by which our own are known.
pub(crate) const TABLE_KEY: &str = "rehead";
/// About so many bytes of rows are in memory at once, beside the same once more as they are encoded.
const GROUP: usize = 4 << 20;
/// So many rows are a group at least.
const LEAST_ROWS: usize = 256;
/// So many rows are a group at most.
pub(crate) const GROUP_ROWS: usize = 4096;

/// A table that is being written; it appears, whole, when it is finished.
#[derive(Debug)]
pub(crate) struct Table {
    path: PathBuf,
    writer: SerializedFileWriter<Draft>,
    cells: Vec<Cells>,
    rows: usize,
    group: usize,
}

/// The cells of a column that wait for their group to be full.
#[derive(Debug)]
enum Cells {
    Texts(Vec<Option<ByteArray>>),
    Shares(Vec<Option<f64>>),
    /// The values of the rows, how many each has, and which there are.
    Rows(Vec<f32>, usize, Vec<bool>),
    Lists(Vec<Option<Vec<ByteArray>>>),
}

impl Table {
    /// Begins a table of `columns`; `what` says what it holds.
    ///
    /// # Errors
    /// The folder takes no files.
    pub(crate) fn begin(path: &Path, what: &str, columns: &[Column]) -> Result<Self> {
        let field = |&Column { name, kind }: &Column| match kind {
            Kind::Text => format!("optional binary {name} (UTF8);"),
            Kind::Share => format!("optional double {name};"),
            Kind::Row(_) => {
                format!("optional group {name} (LIST) {{ repeated group list {{ required float element; }} }}")
            }
            Kind::Texts => {
                format!("optional group {name} (LIST) {{ repeated group list {{ required binary element (UTF8); }} }}")
            }
        };
        let fields: String = columns.iter().map(field).collect();
        let schema = parse_message_type(&format!("message schema {{ {fields} }}")).map_err(failed(path))?;
        // As they are: what is written depends on the rows alone.
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_key_value_metadata(Some(vec![KeyValue::new(TABLE_KEY.to_owned(), what.to_owned())]))
            .build();
        let draft = Draft::begin(path)?;
        let writer = SerializedFileWriter::new(draft, Arc::new(schema), Arc::new(properties)).map_err(failed(path))?;
        let cells = |column: &Column| match column.kind {
            Kind::Text => Cells::Texts(Vec::new()),
            Kind::Share => Cells::Shares(Vec::new()),
            Kind::Row(width) => Cells::Rows(Vec::new(), width, Vec::new()),
            Kind::Texts => Cells::Lists(Vec::new()),
        };
        let bytes: usize = columns.iter().map(|column| column.kind.bytes()).sum();
        let group = (GROUP / bytes.max(1)).clamp(LEAST_ROWS, GROUP_ROWS);
        Ok(Self { path: path.to_owned(), writer, cells: columns.iter().map(cells).collect(), rows: 0, group })
    }

    /// Adds a row: a cell for each column, in their order.
    ///
    /// # Errors
    /// A cell isn't of its column's kind or width; the file can't be written.
    pub(crate) fn add(&mut self, row: &[Cell<'_>]) -> Result<()> {
        let shape = |operand, expected, got| Error::Shape { operation: "write a table", operand, expected, got };
        if row.len() != self.cells.len() {
            return Err(shape("a row", self.cells.len(), row.len()));
        }
        for (number, (cells, cell)) in self.cells.iter_mut().zip(row).enumerate() {
            match (cells, *cell) {
                (Cells::Texts(cells), Cell::Text(text)) => cells.push(text.map(ByteArray::from)),
                (Cells::Shares(cells), Cell::Share(share)) => cells.push(share),
                (Cells::Rows(_, width, _), Cell::Row(Some(row))) if row.len() != *width => {
                    return Err(shape("a cell", *width, row.len()));
                }
                (Cells::Rows(cells, _, there), Cell::Row(row)) => {
                    cells.extend(row.unwrap_or_default());
                    there.push(row.is_some());
                }
                (Cells::Lists(cells), Cell::Texts(list)) => {
                    cells.push(list.map(|list| list.iter().map(|text| text.as_str().into()).collect()));
                }
                _ => return Err(shape("the cell of another column", number, number)),
            }
        }
        self.rows += 1;
        if self.rows == self.group { self.write_group() } else { Ok(()) }
    }

    /// Says something of the whole table, under a key of its own.
    pub(crate) fn note(&mut self, key: &str, value: String) {
        self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    /// Finishes the table.
    ///
    /// # Errors
    /// It can't be written; what was there stays.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.rows > 0 {
            self.write_group()?;
        }
        let Self { path, writer, .. } = self;
        writer.into_inner().map_err(failed(&path))?.finish()
    }

    fn write_group(&mut self) -> Result<()> {
        let Self { path, writer, cells, rows, .. } = self;
        let written = || -> Result<(), ParquetError> {
            let mut group = writer.next_row_group()?;
            for cells in cells {
                let mut column = group.next_column()?.expect("a column for each cell");
                write(column.untyped(), cells)?;
                column.close()?;
            }
            group.close().map(drop)
        };
        written().map_err(failed(path))?;
        *rows = 0;
        Ok(())
    }
}

/// Writes a column's cells, and forgets them.
fn write(column: &mut ColumnWriter<'_>, cells: &mut Cells) -> Result<(), ParquetError> {
    fn levels<T>(cells: &[Option<T>]) -> Vec<i16> {
        cells.iter().map(|cell| i16::from(cell.is_some())).collect()
    }
    match (column, cells) {
        (ColumnWriter::ByteArrayColumnWriter(column), Cells::Texts(cells)) => {
            let levels = levels(cells);
            let values: Vec<ByteArray> = cells.drain(..).flatten().collect();
            column.write_batch(&values, Some(&levels), None)?;
        }
        (ColumnWriter::DoubleColumnWriter(column), Cells::Shares(cells)) => {
            let levels = levels(cells);
            let values: Vec<f64> = cells.drain(..).flatten().collect();
            column.write_batch(&values, Some(&levels), None)?;
        }
        (ColumnWriter::FloatColumnWriter(column), Cells::Rows(cells, width, there)) => {
            let (levels, repeated) = of_lists(there.iter().map(|there| there.then_some(*width)));
            column.write_batch(cells, Some(&levels), Some(&repeated))?;
            cells.clear();
            there.clear();
        }
        (ColumnWriter::ByteArrayColumnWriter(column), Cells::Lists(cells)) => {
            let (levels, repeated) = of_lists(cells.iter().map(|list| list.as_ref().map(Vec::len)));
            let values: Vec<ByteArray> = cells.drain(..).flatten().flatten().collect();
            column.write_batch(&values, Some(&levels), Some(&repeated))?;
        }
        _ => return Err(ParquetError::General("a column of another type".to_owned())),
    }
    Ok(())
}

/// Gives the levels of optional lists of so many values: of definition (0 no list, 1 an empty one, 2 a value) and of repetition (0 begins a list).
fn of_lists(lengths: impl Iterator<Item = Option<usize>>) -> (Vec<i16>, Vec<i16>) {
    let mut levels = (Vec::new(), Vec::new());
    for length in lengths {
        let count = length.unwrap_or(0).max(1);
        levels.0.extend(std::iter::repeat_n(length.map_or(0, |length| if length == 0 { 1 } else { 2 }), count));
        levels.1.extend((0..count).map(|place| i16::from(place > 0)));
    }
    levels
}

/// Makes the error of a table that can't be written.
fn failed(path: &Path) -> impl FnOnce(ParquetError) -> Error {
    |error| {
        let error = match error {
            ParquetError::External(error) => match error.downcast::<std::io::Error>() {
                Ok(error) => *error,
                Err(error) => std::io::Error::other(error),
            },
            error => std::io::Error::other(error),
        };
        Error::io("write", path)(error)
    }
}

/// Tells whether a file is a table that holds `what` and was written by [`Table`].
pub(crate) fn is_ours(path: &Path, what: &str) -> bool {
    let marked = |file: File| {
        // The reader trusts in what a damaged table says of itself.
        let reader = catch_unwind(|| SerializedFileReader::new(file)).ok()?.ok()?;
        let pairs = reader.metadata().file_metadata().key_value_metadata()?;
        Some(pairs.iter().any(|pair| pair.key == TABLE_KEY && pair.value.as_deref() == Some(what)))
    };
    resnet::regular::open(path).ok().and_then(marked).unwrap_or(false)
}

/// Tells that tables can be written, as [`Table`] writes them.
///
/// # Errors
/// None in this build.
pub(crate) fn check_built(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use parquet::record::Field;

    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { name: "path", kind: Kind::Text },
        Column { name: "share", kind: Kind::Share },
        Column { name: "features", kind: Kind::Row(3) },
    ];

    fn written(path: &Path, rows: usize) {
        let mut table = Table::begin(path, "features", &COLUMNS).unwrap();
        for row in 0..rows {
            let (name, value) = (format!("{row}\n\"ä\""), row as f32);
            let text = Cell::Text((row % 3 > 0).then_some(&name));
            let share = Cell::Share((row % 2 > 0).then_some(0.1 * row as f64));
            table.add(&[text, share, Cell::Row(Some(&[value, -value, 1e-40]))]).unwrap();
        }
        assert!(!path.exists());
        table.finish().unwrap();
    }

    #[test]
    fn what_is_written_is_read_in_several_groups_and_is_the_same_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let [path, other] = ["a.parquet", "b.parquet"].map(|name| dir.path().join(name));
        // Two groups, and one that isn't full.
        let rows = 2 * GROUP_ROWS + 5;
        written(&path, rows);
        written(&other, rows);
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&other).unwrap());
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.num_row_groups(), 3);
        let mut count = 0;
        for (number, row) in reader.get_row_iter(None).unwrap().enumerate() {
            let fields: Vec<(String, Field)> = row.unwrap().into_columns();
            let [(path, name), (_, share), (features, values)] = &fields[..] else { panic!("{fields:?}") };
            assert_eq!((path.as_str(), features.as_str()), ("path", "features"));
            let expected = (number % 3 > 0).then(|| Field::Str(format!("{number}\n\"ä\"")));
            assert_eq!(*name, expected.unwrap_or(Field::Null));
            let expected = (number % 2 > 0).then(|| Field::Double(0.1 * number as f64));
            assert_eq!(*share, expected.unwrap_or(Field::Null));
            let Field::ListInternal(list) = values else { panic!("{values:?}") };
            let value = number as f32;
            assert_eq!(list.elements(), [value, -value, 1e-40].map(Field::Float));
            count += 1;
        }
        assert_eq!(count, rows);
    }

    #[test]
    fn only_our_own_tables_of_the_kind_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        written(&path, 3);
        assert!(is_ours(&path, "features") && !is_ours(&path, "predictions"));
        let bytes = std::fs::read(&path).unwrap();
        for place in (0..bytes.len()).rev().take(120) {
            std::fs::write(&path, &bytes[..place]).unwrap();
            assert!(!is_ours(&path, "features"), "{place}");
        }
        assert!(!is_ours(&dir.path().join("none"), "features") && !is_ours(dir.path(), "features"));
    }

    #[test]
    fn a_row_that_does_not_fit_is_refused_and_an_empty_table_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        let mut table = Table::begin(&path, "features", &COLUMNS).unwrap();
        let (text, share) = (Cell::Text(None), Cell::Share(None));
        assert!(table.add(&[text, share]).is_err());
        assert!(table.add(&[text, share, Cell::Row(Some(&[1.0]))]).is_err());
        assert!(table.add(&[share, text, Cell::Row(Some(&[1.0; 3]))]).is_err());
        drop(table);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0, "what isn't finished leaves nothing");
        written(&path, 0);
        assert!(is_ours(&path, "features"));
        assert!(Table::begin(&dir.path().join("no/a.parquet"), "features", &COLUMNS).is_err());
    }
}
