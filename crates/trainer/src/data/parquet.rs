//! Reads Parquet tables: paths and labels as in other tables, or photos in the cells themselves, as the Hugging Face hub keeps them.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;
use serde_json::Value;

use crate::data::cell::{Cell, Table};
use crate::data::columns::{Places, Role};
use crate::data::found::Found;
use crate::data::part::Part;
use crate::data::photo::Photo;
use crate::data::row::Row;
use crate::data::rows::{Base, Rows};
use crate::data::source::Source;
use crate::data::table::Ask;
use crate::error::{Error, Result};
use crate::words::shown;

/// Reads tables, the parts of one: what a table's name says of a part holds for rows that say nothing.
///
/// # Errors
/// A file can't be read; a column is missing, or a row can't be used.
pub(super) fn read(ask: &Ask<'_>, files: &[PathBuf]) -> Result<Found> {
    let several = files != [ask.path];
    let folder = match several {
        true => ask.path,
        false => ask.path.parent().unwrap_or(Path::new("")),
    };
    let mut rows = Rows::new(ask.path, Base::Folder(folder));
    let mut line = 0;
    for file in files {
        let part = Part::of_folder(&file.file_stem().unwrap_or_default().to_string_lossy()).filter(|_| several);
        let part = part.map(|(part, _)| part);
        let prefix = if several { format!("{}/", shown(file.file_name().unwrap_or_default())) } else { String::new() };
        line = Reading { ask, file, part, prefix }.read(&mut rows, line)?;
    }
    Ok(rows.into_found())
}

/// How one file is read.
struct Reading<'a> {
    ask: &'a Ask<'a>,
    file: &'a Path,
    part: Option<Part>,
    /// What the names of its photos begin with.
    prefix: String,
}

impl Reading<'_> {
    fn damaged(&self, error: &ParquetError) -> Error {
        let problem = format!("it can't be read as Parquet: {}", shown(&error.to_string()));
        Error::UnusableData { path: self.file.to_owned(), problem }
    }

    /// Adds the file's rows, which are counted from `line`; gives where the count ends.
    fn read(&self, rows: &mut Rows<'_>, line: u64) -> Result<u64> {
        let file = File::open(self.file).map_err(Error::io("read", self.file))?;
        // The reader trusts in what a damaged table says of itself.
        let opened = catch_unwind(|| SerializedFileReader::new(file));
        let broken = || ParquetError::General("the table is damaged".to_owned());
        let reader = opened.unwrap_or_else(|_| Err(broken())).map_err(|error| self.damaged(&error))?;
        let metadata = Arc::new(reader.metadata().clone());
        let schema = metadata.file_metadata().schema();
        let seen: Vec<String> = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
        let places = self.ask.places(&seen)?;
        let names = class_names(&metadata, places.of(Role::Label).map(|place| seen[place].as_str()));
        let mut bytes = Bytes::of(self.file, &metadata, places.of(Role::Path).map_or("", |place| &seen[place]));
        let projection = projection(schema, &places).map_err(|error| self.damaged(&error))?;
        let mut all = reader.get_row_iter(Some(projection)).map_err(|error| self.damaged(&error))?;
        let mut line = line;
        loop {
            let next = catch_unwind(AssertUnwindSafe(|| all.next())).unwrap_or_else(|_| Some(Err(broken())));
            let Some(fields) = next else { return Ok(line) };
            line += 1;
            let fields = fields.map_err(|error| self.damaged(&error))?.into_columns();
            let mut values = vec![Value::Null; seen.len()];
            for (name, field) in fields {
                if let Some(place) = seen.iter().position(|column| *column == name) {
                    values[place] = value(&field);
                }
            }
            if let (Some(place), Some(names)) = (places.of(Role::Label), &names) {
                let label = values[place].as_u64().and_then(|class| names.get(usize::try_from(class).ok()?));
                values[place] = label.map_or_else(|| values[place].clone(), |label| label.as_str().into());
            }
            let row = Row::read(&values, &places).map_err(|problem| rows.wrong(line, problem))?;
            let row = Row { part: row.part.or(self.part), ..row };
            match bytes.next() {
                Some(cell) => {
                    // The table counts its rows from 1, as lines are.
                    let base = row.path.as_deref().and_then(|path| path.rsplit(['/', '\\']).next());
                    let name =
                        format!("{}{line}{}", self.prefix, base.map(|base| format!("/{base}")).unwrap_or_default());
                    let photo = Photo {
                        name: shown(&name).into_owned(),
                        source: Source::Member(cell.into()),
                        ..Photo::at(&self.file.join(&name))
                    };
                    rows.put(line, (name, Ok(photo)), row)?;
                }
                None => rows.add(line, row)?,
            }
        }
    }
}

/// The cells that hold photos, row by row; none where the column holds paths.
struct Bytes {
    table: Arc<Table>,
    column: Option<usize>,
    group: usize,
    row: usize,
}

impl Bytes {
    /// Finds the column of bytes: the one told, or `bytes` in a group of that name. Where all its cells are empty, paths count.
    fn of(file: &Path, metadata: &Arc<ParquetMetaData>, name: &str) -> Self {
        let schema = metadata.file_metadata().schema_descr();
        let holds_bytes = |column: &usize| {
            let path = schema.column(*column).path().string();
            let is_it = match path.strip_prefix(name) {
                Some("") => schema.column(*column).converted_type() == parquet::basic::ConvertedType::NONE,
                Some(rest) => rest == ".bytes",
                None => false,
            };
            let filled = metadata.row_groups().iter().any(|group| {
                let nulls = group.column(*column).statistics().and_then(|statistics| statistics.null_count_opt());
                nulls.is_none_or(|nulls| i64::try_from(nulls).is_ok_and(|nulls| nulls < group.num_rows()))
            });
            is_it && schema.column(*column).physical_type() == Physical::BYTE_ARRAY && filled
        };
        let column = (0..schema.num_columns()).find(holds_bytes);
        let table = Arc::new(Table { path: file.to_owned(), metadata: metadata.clone() });
        Self { table, column, group: 0, row: 0 }
    }

    fn next(&mut self) -> Option<Cell> {
        let column = self.column?;
        while self.row as i64 >= self.table.metadata.row_groups().get(self.group)?.num_rows() {
            (self.group, self.row) = (self.group + 1, 0);
        }
        self.row += 1;
        Some(Cell { table: self.table.clone(), group: self.group, row: self.row - 1, column })
    }
}

/// Picks the columns that are needed, without the photos themselves.
fn projection(schema: &Type, places: &Places) -> Result<Type, ParquetError> {
    let needed = |role: &Role| Some(schema.get_fields()[places.of(*role)?].clone());
    let mut fields = Vec::new();
    for role in Role::ALL {
        let Some(field) = needed(&role) else { continue };
        if role == Role::Path && field.is_group() {
            let inner: Vec<_> = field.get_fields().iter().filter(|inner| inner.name() == "path").cloned().collect();
            if inner.is_empty() {
                continue;
            }
            let builder = Type::group_type_builder(field.name());
            let builder = builder.with_repetition(field.get_basic_info().repetition()).with_fields(inner);
            fields.push(Arc::new(builder.build()?));
        } else if role != Role::Path || is_text(&field) {
            fields.push(field);
        }
    }
    if fields.is_empty() {
        // Rows of nothing can't be counted.
        fields.extend(schema.get_fields().iter().filter(|field| field.is_primitive()).take(1).cloned());
    }
    Type::group_type_builder(schema.name()).with_fields(fields).build()
}

fn is_text(field: &Type) -> bool {
    field.get_basic_info().converted_type() == parquet::basic::ConvertedType::UTF8
}

/// Reads the classes' names, which the hub's tables hold beside the numbers.
fn class_names(metadata: &ParquetMetaData, label: Option<&str>) -> Option<Vec<String>> {
    let pairs = metadata.file_metadata().key_value_metadata()?;
    let text = pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_ref()?;
    let info: Value = serde_json::from_str(text).ok()?;
    let names = info["info"]["features"][label?]["names"].as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Reads a cell as JSON has it; of a group what it says of the path.
fn value(field: &Field) -> Value {
    match field {
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(value) => value.as_str().into(),
        Field::ListInternal(list) => list.elements().iter().map(value).collect::<Vec<_>>().into(),
        Field::Group(row) => {
            let path = row.get_column_iter().find(|(name, _)| *name == "path");
            path.map_or(Value::Null, |(_, field)| value(field))
        }
        _ => Value::Null,
    }
}
