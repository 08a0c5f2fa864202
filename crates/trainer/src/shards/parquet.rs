//! Reads the lines of a part, a group of rows at a time.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::data::{Labels, Part, Row};
use crate::digest::of_hex;
use crate::error::{Error, Result};
use crate::export::{GROUP_ROWS, TABLE_KEY};
use crate::shards::about::{ABOUT, WHAT, damaged};
use crate::shards::line::Line;

/// The groups of rows of a part.
pub(super) struct Groups {
    path: PathBuf,
    metadata: Arc<ParquetMetaData>,
    next: usize,
}

impl Groups {
    /// Opens a part, and gives what it says of itself; none where the file is a table of something else.
    ///
    /// # Errors
    /// It can't be read, or is damaged.
    pub(super) fn open(path: &Path) -> Result<Option<(Self, String)>> {
        let file = resnet::regular::open(path).map_err(Error::io("read", path))?;
        // The reader trusts in what a damaged table says of itself.
        let opened = catch_unwind(|| SerializedFileReader::new(file)).unwrap_or_else(|_| Err(general("no Parquet")));
        let metadata = Arc::new(opened.map_err(|error| damaged(path, &error.to_string()))?.metadata().clone());
        let value = |key: &str| {
            let pairs = metadata.file_metadata().key_value_metadata()?;
            pairs.iter().find(|pair| pair.key == key)?.value.clone()
        };
        if value(TABLE_KEY).as_deref() != Some(WHAT) {
            return Ok(None);
        }
        let about = value(ABOUT).ok_or_else(|| damaged(path, "it doesn't say what it is"))?;
        Ok(Some((Self { path: path.to_owned(), metadata, next: 0 }, about)))
    }

    /// Reads the next group.
    ///
    /// # Errors
    /// It can't be read, or is damaged.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Line>>> {
        let Some(group) = self.metadata.row_groups().get(self.next) else { return Ok(None) };
        self.next += 1;
        // Open for the moment alone: there may be more parts than files that may be open.
        let file = resnet::regular::open(&self.path).map_err(Error::io("read", &self.path))?;
        let read = catch_unwind(AssertUnwindSafe(|| lines(&Arc::new(file), group)));
        let lines = read.unwrap_or_else(|_| Err(general("a page is none")));
        lines.map(Some).map_err(|error| damaged(&self.path, &error.to_string()))
    }
}

fn general(problem: &str) -> ParquetError {
    ParquetError::General(problem.to_owned())
}

/// Finds the part of photos that is written so.
fn part(word: &str) -> Option<Part> {
    Part::ALL.into_iter().find(|part| part.to_string() == word)
}

/// Reads the lines of a group.
fn lines(file: &Arc<File>, group: &RowGroupMetaData) -> Result<Vec<Line>, ParquetError> {
    let rows = usize::try_from(group.num_rows()).ok().filter(|rows| *rows <= GROUP_ROWS);
    let rows = rows.ok_or_else(|| general("a group of more rows than any has"))?;
    let column = |place: usize| -> Result<ColumnReader, ParquetError> {
        let column = group.columns().get(place).ok_or_else(|| general("a column is missing"))?;
        let pages = SerializedPageReader::new(file.clone(), column, rows, None)?;
        Ok(get_column_reader(column.column_descr_ptr(), Box::new(pages)))
    };
    let texts = |place: usize| -> Result<_, ParquetError> { texts(column(place)?, rows).map(Vec::into_iter) };
    let (mut names, mut digests, mut one) = (texts(0)?, texts(1)?, texts(2)?);
    let (mut splits, mut groups, mut errors) = (texts(4)?, texts(6)?, texts(8)?);
    let mut several = several(column(3)?, rows)?.into_iter();
    let mut weights = shares(column(5)?, rows)?.into_iter();
    let mut features = features(column(7)?, rows)?.into_iter();
    let mut line = || -> Option<Line> {
        let labels = match (one.next()?, several.next()?) {
            (None, None) => Labels::None,
            (Some(label), None) => Labels::One(label),
            (None, Some(labels)) => Labels::Several(labels),
            _ => return None,
        };
        let part = splits.next()?.map(|word| part(&word).ok_or(())).transpose().ok()?;
        let row = Row { path: None, labels, part, weight: weights.next()??, group: groups.next()? };
        let outcome = match (digests.next()?, features.next()?, errors.next()?) {
            (Some(digest), Some(row), None) => Ok((of_hex(&digest)?, row)),
            (None, None, Some(reason)) => Err(reason),
            _ => return None,
        };
        Some(Line { name: names.next()??, row, outcome })
    };
    let lines: Option<Vec<Line>> = (0..rows).map(|_| line()).collect();
    lines.ok_or_else(|| general("a line says two things, or nothing"))
}

/// Reads the cells of a column of texts.
fn texts(column: ColumnReader, rows: usize) -> Result<Vec<Option<String>>, ParquetError> {
    let ColumnReader::ByteArrayColumnReader(mut column) = column else { return Err(general("no column of texts")) };
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    column.read_records(rows, Some(&mut levels), None, &mut values)?;
    let mut values = values.iter().map(text);
    levels.iter().map(|level| if *level > 0 { values.next().transpose() } else { Ok(None) }).collect()
}

fn text(bytes: &ByteArray) -> Result<String, ParquetError> {
    bytes.as_utf8().map(str::to_owned)
}

/// Reads the cells of a column of numbers.
fn shares(column: ColumnReader, rows: usize) -> Result<Vec<Option<f64>>, ParquetError> {
    let ColumnReader::DoubleColumnReader(mut column) = column else { return Err(general("no column of numbers")) };
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    column.read_records(rows, Some(&mut levels), None, &mut values)?;
    let mut values = values.into_iter();
    Ok(levels.iter().map(|level| if *level > 0 { values.next() } else { None }).collect())
}

/// Reads the cells of a column of lists of texts.
fn several(column: ColumnReader, rows: usize) -> Result<Vec<Option<Vec<String>>>, ParquetError> {
    let ColumnReader::ByteArrayColumnReader(mut column) = column else { return Err(general("no column of lists")) };
    let (mut values, mut levels, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    column.read_records(rows, Some(&mut levels), Some(&mut repeated), &mut values)?;
    let values = values.iter().map(text).collect::<Result<Vec<String>, _>>()?;
    Ok(of_lists(&levels, &repeated, values))
}

/// Reads the cells of a column of features.
fn features(column: ColumnReader, rows: usize) -> Result<Vec<Option<Box<[f32]>>>, ParquetError> {
    let ColumnReader::FloatColumnReader(mut column) = column else { return Err(general("no column of features")) };
    let (mut values, mut levels, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    column.read_records(rows, Some(&mut levels), Some(&mut repeated), &mut values)?;
    Ok(of_lists(&levels, &repeated, values).into_iter().map(|row| row.map(Vec::into_boxed_slice)).collect())
}

/// Puts lists together again of their levels: of definition (0 no list, 1 an empty one, 2 a value) and of repetition (0 begins a list).
fn of_lists<T>(levels: &[i16], repeated: &[i16], values: Vec<T>) -> Vec<Option<Vec<T>>> {
    let (mut lists, mut values): (Vec<Option<Vec<T>>>, _) = (Vec::new(), values.into_iter());
    for (level, repeated) in levels.iter().zip(repeated) {
        if *repeated == 0 {
            lists.push((*level > 0).then(Vec::new));
        }
        if let (Some(Some(list)), 2) = (lists.last_mut(), *level) {
            list.extend(values.next());
        }
    }
    lists
}
