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

#[cfg(test)]
mod tests {
    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::data::columns::Columns;
    use crate::data::dataset::Dataset;
    use crate::data::table::Labelling;
    use crate::photos::{Failure, Limits};

    /// A row: the photo, its path, its label, its part.
    type Cells<'a> = (Option<&'a str>, Option<&'a str>, Option<i64>, Option<&'a str>);

    /// Writes a table as the hub does, a row group for each list of rows, a page for few photos.
    fn write(path: &Path, groups: &[&[Cells<'_>]], names: Option<&str>, compression: Compression) {
        let schema = "message schema { optional group image { optional binary bytes; optional binary path (UTF8); }
            optional int64 label; optional binary split (UTF8); }";
        let info = names.map(|names| {
            let json =
                format!(r#"{{"info": {{"features": {{"label": {{"names": {names}, "_type": "ClassLabel"}}}}}}}}"#);
            vec![KeyValue::new("huggingface".to_owned(), json)]
        });
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_data_page_size_limit(64)
            .set_write_batch_size(1)
            .set_key_value_metadata(info)
            .build();
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
        for rows in groups {
            let mut group = writer.next_row_group().unwrap();
            let texts =
                |cells: Vec<Option<&str>>,
                 depth: i16,
                 group: &mut parquet::file::writer::SerializedRowGroupWriter<'_, File>| {
                    let values: Vec<ByteArray> = cells.iter().flatten().map(|&text| text.into()).collect();
                    let levels: Vec<i16> =
                        cells.iter().map(|cell| if cell.is_some() { depth } else { depth - 1 }).collect();
                    let mut column = group.next_column().unwrap().unwrap();
                    column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
                    column.close().unwrap();
                };
            texts(rows.iter().map(|row| row.0).collect(), 2, &mut group);
            texts(rows.iter().map(|row| row.1).collect(), 2, &mut group);
            let labels: Vec<i64> = rows.iter().filter_map(|row| row.2).collect();
            let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.2.is_some())).collect();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<Int64Type>().write_batch(&labels, Some(&levels), None).unwrap();
            column.close().unwrap();
            texts(rows.iter().map(|row| row.3).collect(), 1, &mut group);
            group.close().unwrap();
        }
        writer.close().unwrap();
    }

    fn open(path: &Path) -> Result<Dataset> {
        let columns = Columns::default();
        let found = read(
            &Ask { path, columns: &columns, labels: Labelling::Needed, by: None, pathless: false },
            &[path.to_owned()],
        )?;
        found.check(None, Default::default())
    }

    fn content(photo: &Photo) -> String {
        String::from_utf8(photo.source.read(&photo.path, &Limits::default()).unwrap()).unwrap()
    }

    #[test]
    fn photos_in_cells_are_read_by_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        let photos: Vec<String> = (0..40).map(|number| format!("photo {number} ").repeat(number)).collect();
        let rows: Vec<Cells<'_>> = (photos.iter().enumerate())
            .map(|(number, photo)| (Some(&**photo), Some("x/a.png"), Some(number as i64 % 2), None))
            .collect();
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())] {
            write(&path, &[&rows[..30], &[], &rows[30..]], Some(r#"["cat", "dog"]"#), compression);
            let dataset = open(&path).unwrap();
            assert_eq!(dataset.classes, ["cat", "dog"]);
            assert_eq!((dataset.photos.len(), dataset.counts()), (40, vec![20, 20]));
            for photo in &dataset.photos {
                let row: usize = photo.name.strip_suffix("/a.png").unwrap().parse().unwrap();
                assert_eq!(content(photo), photos[row - 1], "{compression:?}");
                assert_eq!(photo.target.class().unwrap().index(), (row - 1) % 2);
            }
            let last = dataset.photos.iter().find(|photo| photo.name.starts_with("40/")).unwrap();
            let small = Limits { bytes: 100, ..Limits::default() };
            let Err(Failure::Photo(reason)) = last.source.read(&last.path, &small) else { panic!() };
            assert!(reason.contains("more than the limit of 100"), "{reason}");
        }
        // Without names the numbers are the labels, and parts are said by rows.
        let rows = [
            (Some("1"), None, Some(7), Some("train")),
            (Some("2"), None, Some(10), Some("train")),
            (Some("3"), None, Some(7), Some("test")),
            (Some("4"), None, None, None),
        ];
        write(&path, &[&rows], None, Compression::SNAPPY);
        let dataset = open(&path).unwrap();
        let parts: Vec<_> = dataset.photos.iter().map(|photo| (photo.name.as_str(), photo.part.unwrap())).collect();
        assert_eq!(parts, [("1", Part::Train), ("2", Part::Train), ("3", Part::Test)]);
        assert_eq!(dataset.classes, ["10", "7"]);
        assert_eq!(dataset.warnings, ["1 photo has no label and was left aside", "class \"10\" has no photos in test"]);
    }

    #[test]
    fn paths_are_read_where_cells_hold_no_photo_and_what_is_wrong_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        ["1.png", "2.png"].iter().for_each(|name| std::fs::write(dir.path().join(name), name).unwrap());
        let row = |name, label| (None, Some(name), Some(label), None);
        write(&path, &[&[row("1.png", 0), row("2.png", 1), row("9.png", 1)]], None, Compression::SNAPPY);
        let dataset = open(&path).unwrap();
        assert_eq!((content(&dataset.photos[0]), dataset.rejected.len()), ("1.png".to_owned(), 1));
        let bad = (Some("3"), None, Some(1), Some("sometimes"));
        write(&path, &[&[(Some("1"), None, Some(0), None), bad]], None, Compression::SNAPPY);
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("a.parquet, line 2: the split \"sometimes\" names no part"), "{error}");
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 10, whole.len() - 9, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(open(&path).unwrap_err().to_string().contains("it can't be read as Parquet"), "{cut}");
        }
    }

    #[test]
    fn files_of_parts_are_one_table() {
        let dir = tempfile::tempdir().unwrap();
        let rows = [(Some("1"), None, Some(0), None), (Some("2"), None, Some(1), None)];
        let others = [(Some("3"), None, Some(0), None), (Some("4"), None, Some(1), None)];
        write(&dir.path().join("train-00000-of-00001.parquet"), &[&rows], None, Compression::SNAPPY);
        write(&dir.path().join("test-00000-of-00001.parquet"), &[&others], None, Compression::SNAPPY);
        let columns = Columns::default();
        let files = ["train", "test"].map(|part| dir.path().join(format!("{part}-00000-of-00001.parquet")));
        let found = read(
            &Ask { path: dir.path(), columns: &columns, labels: Labelling::Needed, by: None, pathless: false },
            &files,
        )
        .unwrap();
        let dataset = found.check(None, Default::default()).unwrap();
        let parts: Vec<_> = dataset.photos.iter().map(|photo| (content(photo), photo.part.unwrap())).collect();
        assert_eq!(
            parts,
            [("3", Part::Test), ("4", Part::Test), ("1", Part::Train), ("2", Part::Train)]
                .map(|(content, part)| (content.to_owned(), part))
        );
    }
}
