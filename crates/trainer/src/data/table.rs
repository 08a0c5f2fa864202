//! Reads tables of photos: CSV with its delimiter found, JSON Lines, and what comes on the standard input.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, BufRead, Read as _};
use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};
use serde_json::Value;

use crate::data::columns::{Columns, Places, Role, missing};
use crate::data::photo::EXTENSIONS;
use crate::data::row::{Row, first};
use crate::data::rows::Rows;
use crate::error::{Error, Result};
use crate::words::count;

/// What is asked of a table.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    /// The table, as errors name it.
    pub path: &'a Path,
    pub columns: &'a Columns,
    /// What is made of labels.
    pub labels: Labelling,
    /// By what photos are to be grouped: it may be the name of a column.
    pub by: Option<&'a By<'a>>,
    /// Whether there may be no paths, since rows stand in an order that says what they are of.
    pub pathless: bool,
}

/// What is made of the labels of a table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Labelling {
    /// They must be there.
    Needed,
    /// They are taken where they are there.
    Taken,
    /// None are looked for.
    Left,
}

/// What may be the name of the column that holds groups.
pub(super) struct By<'a> {
    name: &'a str,
    is_column: Cell<bool>,
}

impl<'a> By<'a> {
    /// Asks for the column of this very name.
    pub fn new(name: &'a str) -> Self {
        Self { name, is_column: Cell::new(false) }
    }

    /// Tells whether a table had it.
    pub fn is_column(&self) -> bool {
        self.is_column.get()
    }
}

impl Ask<'_> {
    /// Finds the columns that are needed.
    pub fn places(&self, seen: &[String]) -> Result<Places> {
        let places = self.places_of(self.columns, seen)?;
        match self.labels == Labelling::Needed && !places.have_labels() {
            true => Err(missing(self.path, Role::Label, "no column is known to hold labels".to_owned(), seen)),
            false => Ok(places),
        }
    }

    /// Finds the columns, of which only that of paths must be there, if rows need any. Where no labels are needed none are looked for.
    fn places_of(&self, columns: &Columns, seen: &[String]) -> Result<Places> {
        let mut columns = columns.clone();
        if self.labels == Labelling::Left {
            columns.name(Role::Label, "");
            columns.name(Role::Labels, "");
        }
        let mut places = columns.places(self.path, seen)?;
        if let Some(by) = self.by
            && let Some(place) = seen.iter().position(|column| column == by.name)
        {
            by.is_column.set(true);
            places.put(Role::Group, place);
        }
        let none = |role, problem: &str| Err(missing(self.path, role, problem.to_owned(), seen));
        if places.of(Role::Path).is_none() && !self.pathless {
            let is_row = |cell: &String| cell.rsplit_once('.').is_some_and(|(_, end)| is_photo(end));
            return match seen.iter().any(is_row) {
                true => {
                    none(Role::Path, "its first line is a row already, where the names of the columns should stand")
                }
                false => none(Role::Path, "no column is known to hold paths"),
            };
        }
        Ok(places)
    }

    fn io(&self) -> impl FnOnce(io::Error) -> Error {
        Error::io("read", self.path)
    }
}

fn is_photo(ending: &str) -> bool {
    EXTENSIONS.contains(&ending.to_lowercase().as_str())
}

/// The longest line that is looked at for the columns' names, in bytes.
const HEADER: u64 = 1 << 20;

/// Reads the first line that isn't blank, without a byte order mark: the line, and how many stood before it.
fn first_line(ask: &Ask<'_>, input: &mut impl BufRead) -> Result<(Vec<u8>, u64)> {
    let mut before = 0;
    loop {
        let mut line = Vec::new();
        input.by_ref().take(HEADER).read_until(b'\n', &mut line).map_err(ask.io())?;
        if before == 0 {
            let wrong = |problem: &str| Error::Row { path: ask.path.to_owned(), line: 1, problem: problem.to_owned() };
            if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
                return Err(wrong("it is UTF-16: save the table as UTF-8"));
            }
            if let Some(rest) = line.strip_prefix(b"\xef\xbb\xbf") {
                line = rest.to_vec();
            }
        }
        if line.is_empty() || !line.trim_ascii().is_empty() {
            return Ok((line, before));
        }
        before += 1;
    }
}

/// Reads a table with a line of columns' names, separated by commas, semicolons or tabs.
///
/// # Errors
/// A column is missing, or a row can't be used.
pub(super) fn csv(ask: &Ask<'_>, mut input: impl BufRead, rows: &mut Rows<'_>) -> Result<()> {
    let (header, before) = first_line(ask, &mut input)?;
    records(ask, (header, before), input, rows)
}

fn records(ask: &Ask<'_>, (header, before): (Vec<u8>, u64), rest: impl BufRead, rows: &mut Rows<'_>) -> Result<()> {
    let delimiter = delimiter(&header);
    let mut reader = ReaderBuilder::new().delimiter(delimiter).trim(Trim::All).from_reader(header.chain(rest));
    let wrong = |rows: &Rows<'_>, error: csv::Error| {
        let line = before + error.position().map_or(1, csv::Position::line);
        match error.into_kind() {
            ErrorKind::Io(error) => Error::io("read", ask.path)(error),
            ErrorKind::Utf8 { .. } => rows.wrong(line, "it isn't UTF-8: save the table as UTF-8"),
            ErrorKind::UnequalLengths { expected_len, len, .. } => rows.wrong(
                line,
                format!(
                    "it has {} where there are {expected_len} columns",
                    count(usize::try_from(len).unwrap_or(usize::MAX), "cell")
                ),
            ),
            other => rows.wrong(line, format!("{other:?}")),
        }
    };
    let seen: Vec<String> = reader.headers().map_err(|error| wrong(rows, error))?.iter().map(str::to_owned).collect();
    let places = ask.places(&seen)?;
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| wrong(rows, error))? {
        let line = before + record.position().map_or(0, csv::Position::line);
        let values: Vec<Value> = record.iter().map(|cell| cell.into()).collect();
        let row = Row::read(&values, &places).map_err(|problem| rows.wrong(line, problem))?;
        rows.add(line, row)?;
    }
    Ok(())
}

/// Finds what separates the columns: what stands most often between their names.
fn delimiter(header: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for &byte in header {
        quoted ^= byte == b'"';
        counts.iter_mut().filter(|(delimiter, _)| !quoted && *delimiter == byte).for_each(|(_, count)| *count += 1);
    }
    // Of equals the first.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |&(delimiter, _)| delimiter)
}

/// Reads an object a line, whose fields are named as columns are.
///
/// # Errors
/// A field is missing, or a line can't be used.
pub(super) fn json_lines(ask: &Ask<'_>, mut input: impl BufRead, rows: &mut Rows<'_>) -> Result<()> {
    let (line, before) = first_line(ask, &mut input)?;
    objects(ask, (line, before), input, rows)
}

fn objects(
    ask: &Ask<'_>,
    (mut text, before): (Vec<u8>, u64),
    mut rest: impl BufRead,
    rows: &mut Rows<'_>,
) -> Result<()> {
    let (mut line, mut seen) = (before, BTreeSet::new());
    while !text.is_empty() {
        line += 1;
        if !text.trim_ascii().is_empty() {
            let object = serde_json::from_slice(&text).map_err(|error| {
                // It counts the lines of what it was given, which is one.
                let error = error.to_string();
                rows.wrong(line, format!("no JSON: {}", first(error.split(" at line").next().unwrap_or_default())))
            })?;
            let Value::Object(fields) = object else {
                return Err(rows.wrong(line, format!("no object but {}", first(&object.to_string()))));
            };
            let (names, values): (Vec<String>, Vec<Value>) = fields.into_iter().unzip();
            // Fields that were told may be missing from a line: they are found where any line has them.
            let columns = known(ask.columns, &names);
            let places = ask.places_of(&columns, &names)?;
            let row = Row::read(&values, &places).map_err(|problem| rows.wrong(line, problem))?;
            rows.add(line, row)?;
            seen.extend(names);
        }
        text.clear();
        rest.read_until(b'\n', &mut text).map_err(ask.io())?;
    }
    // What no line has is missing.
    let seen: Vec<String> = seen.into_iter().collect();
    if !seen.is_empty() {
        ask.places(&seen)?;
    }
    Ok(())
}

/// Leaves out what was told of the fields that a line hasn't, but for the path.
fn known(columns: &Columns, names: &[String]) -> Columns {
    let mut known = columns.clone();
    let told = [&mut known.label, &mut known.labels, &mut known.split, &mut known.weight, &mut known.group];
    for column in told {
        if column.as_ref().is_some_and(|column| !names.contains(column)) {
            *column = Some(String::new());
        }
    }
    known
}

/// Reads what comes on the standard input: JSON Lines or a table, as its first line says, else a path a line.
///
/// # Errors
/// As of a table; a list of paths has no labels.
pub(super) fn lines(ask: &Ask<'_>, mut input: impl BufRead, rows: &mut Rows<'_>) -> Result<()> {
    let (mut text, before) = first_line(ask, &mut input)?;
    if text.trim_ascii_start().starts_with(b"{") {
        return objects(ask, (text, before), input, rows);
    }
    let mut header = ReaderBuilder::new().delimiter(delimiter(&text)).trim(Trim::All).from_reader(&text[..]);
    let columns = header.headers().map(|names| names.iter().map(str::to_owned).collect::<Vec<_>>()).unwrap_or_default();
    if ask.columns.have_paths(&columns) {
        return records(ask, (text, before), input, rows);
    }
    let mut line = before;
    while !text.is_empty() {
        line += 1;
        let path = std::str::from_utf8(&text).map_err(|_| rows.wrong(line, "it isn't UTF-8"))?;
        let path = path.trim_end_matches(['\n', '\r']);
        if !path.trim().is_empty() {
            rows.add(line, Row { path: Some(path.to_owned()), ..Row::default() })?;
        }
        text.clear();
        input.read_until(b'\n', &mut text).map_err(ask.io())?;
    }
    Ok(())
}
