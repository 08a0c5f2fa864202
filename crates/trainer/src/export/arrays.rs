//! Rows of features in files, written as they come: NumPy's .npy, safetensors, CSV, Parquet.

use std::fmt::Write as _;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::digest::{Digest, hex};
use crate::error::{Error, Result};
use crate::export::column::{Cell, Column, Kind};
use crate::export::table::{self, Table};
use crate::files::Draft;
use crate::words::{cell, shown};

/// Bytes before the rows of a .npy: magic, version, length and the header, at a multiple of 64.
const NPY_HEADER: usize = 128;

/// What a file of features is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// NumPy's .npy, version 1.0, `[rows, width]` in f32. It has no room for names: they go into a .txt file beside it, one a line.
    Npy,
    /// safetensors: the tensor `features`, `[rows, width]` in f32, and the names as a JSON list `paths` in the metadata.
    Safetensors,
    /// CSV: the name as `path`, then `f0`, `f1` and so on.
    Csv,
    /// Parquet, where it is built in: the name as `path`, the SHA-256 of the photo's content as `sha256` in hexadecimal digits, and the list
    /// `features` of f32.
    Parquet,
}

impl Format {
    /// Tells the format that a file's name asks for by its ending; none where that is another.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "npy" => Some(Self::Npy),
            "safetensors" => Some(Self::Safetensors),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// Tells whether the file at `path`, of which these are the first bytes, was written in this format by [`Array`].
    pub fn is_ours(self, path: &Path, beginning: &[u8]) -> bool {
        match self {
            Self::Npy => npy_rows(beginning).is_some(),
            // The names may be more than the first bytes.
            Self::Safetensors => {
                beginning.get(8..).is_some_and(|header| header.starts_with(br#"{"__metadata__":{"paths":"#))
            }
            Self::Csv => beginning.starts_with(b"path,f0"),
            // What it is stands at its end.
            Self::Parquet => table::is_ours(path, WHAT),
        }
    }
}

/// A file of features that is being written; it appears, whole, when it is finished.
///
/// ```
/// use trainer::export::{Array, Format};
///
/// # let folder = std::env::temp_dir().join(format!("array-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("features.csv");
/// let mut array = Array::begin(&path, Format::Csv, 2)?;
/// array.add("a.jpg", &[7; 32], &[0.5, 1.0])?;
/// array.finish()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "path,f0,f1\na.jpg,0.5,1\n");
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Array {
    width: usize,
    to: To,
}

/// What rows are written to.
#[derive(Debug)]
enum To {
    Flat(Box<Flat>),
    Table(Box<Table>),
}

/// What a table of features says that it holds.
const WHAT: &str = "features";

impl Array {
    /// Begins a file of rows of `width` values.
    ///
    /// # Errors
    /// The folder takes no files; [`Error::NotBuiltIn`]: this build doesn't write the format.
    pub fn begin(path: &Path, format: Format, width: usize) -> Result<Self> {
        let to = match format {
            Format::Parquet => {
                let columns = [("path", Kind::Text), ("sha256", Kind::Text), ("features", Kind::Row(width))];
                let columns = columns.map(|(name, kind)| Column { name, kind });
                To::Table(Box::new(Table::begin(path, WHAT, &columns)?))
            }
            format => To::Flat(Box::new(Flat::begin(path, format, width)?)),
        };
        Ok(Self { width, to })
    }

    /// Adds a row. The name is plain text: [`Photo::name`](crate::data::Photo::name); `digest` is the SHA-256 of the photo's content.
    ///
    /// # Errors
    /// The row has another width; the file can't be written.
    pub fn add(&mut self, name: &str, digest: &Digest, row: &[f32]) -> Result<()> {
        let (expected, got) = (self.width, row.len());
        if got != expected {
            return Err(Error::Shape { operation: "write features", operand: "a row", expected, got });
        }
        match &mut self.to {
            To::Flat(flat) => flat.add(name, row),
            To::Table(table) => {
                table.add(&[Cell::Text(Some(name)), Cell::Text(Some(&hex(digest))), Cell::Row(Some(row))])
            }
        }
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// It can't be written; what was there stays.
    pub fn finish(self) -> Result<()> {
        match self.to {
            To::Flat(flat) => flat.finish(),
            To::Table(table) => table.finish(),
        }
    }
}

/// A file of rows one after the other.
#[derive(Debug)]
struct Flat {
    format: Format,
    path: PathBuf,
    rows: usize,
    width: usize,
    file: Draft,
    /// The file of names beside a .npy.
    beside: Option<Draft>,
    /// The names so far, as the inside of a JSON list, where they stand before the rows.
    names: String,
}

impl Flat {
    /// Begins a file of rows of `width` values.
    ///
    /// # Errors
    /// The folder takes no files.
    fn begin(path: &Path, format: Format, width: usize) -> Result<Self> {
        let mut file = Draft::begin(path)?;
        let begun = match format {
            Format::Npy => file.write_all(&[0; NPY_HEADER]),
            Format::Csv => {
                let columns = (0..width).fold("path".to_owned(), |line, number| format!("{line},f{number}"));
                writeln!(file, "{columns}")
            }
            _ => Ok(()),
        };
        begun.map_err(|error| file.failed(error))?;
        let beside = (format == Format::Npy).then(|| Draft::begin(&names_beside(path))).transpose()?;
        Ok(Self { format, path: path.to_owned(), rows: 0, width, file, beside, names: String::new() })
    }

    /// Adds a row. The name is plain text: [`Photo::name`](crate::data::Photo::name).
    ///
    /// # Errors
    /// The row has another width; the file can't be written.
    fn add(&mut self, name: &str, row: &[f32]) -> Result<()> {
        self.rows += 1;
        let written = match self.format {
            Format::Csv => {
                let mut line = csv::Writer::from_writer(Vec::new());
                let values = row.iter().map(f32::to_string);
                let name = cell(name).into_owned();
                line.write_record(std::iter::once(name).chain(values)).expect("memory takes it");
                self.file.write_all(&line.into_inner().expect("memory takes it"))
            }
            _ => self.file.write_all(bytemuck_le(row).as_slice()),
        };
        written.map_err(|error| self.file.failed(error))?;
        if let Some(names) = &mut self.beside {
            writeln!(names, "{name}").map_err(|error| names.failed(error))?;
        }
        if self.format == Format::Safetensors {
            let comma = if self.rows > 1 { "," } else { "" };
            let _ = write!(self.names, "{comma}{}", serde_json::to_string(name).expect("plain text"));
        }
        Ok(())
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// It can't be written; what was there stays.
    fn finish(self) -> Result<()> {
        let Self { format, path, rows, width, mut file, beside, names } = self;
        match format {
            Format::Npy => {
                let header = npy_header(rows, width);
                let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&header));
                written.map_err(|error| file.failed(error))?;
            }
            Format::Safetensors => {
                // The names stand before the rows, and are known after them.
                let mut whole = Draft::begin(&path)?;
                let header = safetensors_header(rows, width, &names);
                let copied = whole.write_all(&header).and_then(|()| {
                    file.seek(SeekFrom::Start(0))?;
                    std::io::copy(&mut file, &mut whole).map(drop)
                });
                copied.map_err(|error| whole.failed(error))?;
                file = whole;
            }
            _ => {}
        }
        // Names are known by the rows beside them.
        beside.map_or(Ok(()), Draft::finish)?;
        file.finish()
    }
}

/// Gives the path of the names beside a .npy.
pub fn names_beside(path: &Path) -> PathBuf {
    path.with_extension("txt")
}

/// Tells the format that a file's name asks for.
///
/// # Errors
/// [`Error::InvalidOption`]: it asks for another one; [`Error::NotBuiltIn`]: this build doesn't write it.
pub fn format_of(path: &Path) -> Result<Format> {
    let (value, expected) = (shown(path).into_owned(), "a name ending in .safetensors, .npy, .csv or .parquet");
    let format = Format::of(path).ok_or(Error::InvalidOption { option: "the file of features", value, expected })?;
    if format == Format::Parquet {
        table::check_built(path)?;
    }
    Ok(format)
}

fn npy_header(rows: usize, width: usize) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let padded = NPY_HEADER - 11;
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(((padded + 1) as u16).to_le_bytes());
    file.extend(format!("{header:padded$}\n").bytes());
    file
}

/// Reads how many rows a .npy has that [`Array`] wrote from its first bytes; none of another file.
pub fn npy_rows(beginning: &[u8]) -> Option<usize> {
    let header = beginning.strip_prefix(b"\x93NUMPY\x01\x00")?.get(2..118)?;
    let shape =
        std::str::from_utf8(header).ok()?.strip_prefix("{'descr': '<f4', 'fortran_order': False, 'shape': (")?;
    shape.split_once(',')?.0.parse().ok()
}

fn safetensors_header(rows: usize, width: usize, names: &str) -> Vec<u8> {
    let paths = serde_json::to_string(&format!("[{names}]")).expect("plain text");
    let end = 4 * rows * width;
    let mut header = format!(
        r#"{{"__metadata__":{{"paths":{paths}}},"features":{{"dtype":"F32","shape":[{rows},{width}],"data_offsets":[0,{end}]}}}}"#
    )
    .into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header].concat()
}

fn bytemuck_le(row: &[f32]) -> Vec<u8> {
    row.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [(&str, [f32; 3]); 2] = [("a/\"1\".jpg", [1.0, -0.5, 1e-40]), ("=b", [0.1, 3.0, 4.0])];

    fn written(format: Format, name: &str) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        assert_eq!(format_of(&path).unwrap(), format);
        let mut array = Array::begin(&path, format, 3).unwrap();
        ROWS.iter().for_each(|(name, row)| array.add(name, &[7; 32], row).unwrap());
        assert!(array.add("c", &[7; 32], &[1.0]).is_err());
        assert!(!path.exists());
        array.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(format.is_ours(&path, &bytes));
        (dir, path, bytes)
    }

    fn values() -> Vec<u8> {
        ROWS.iter().flat_map(|(_, row)| row).flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn npy_is_padded_to_64_with_its_names_beside() {
        let (dir, path, bytes) = written(Format::Npy, "f.npy");
        assert_eq!((bytes.len(), &bytes[128..]), (128 + 24, &values()[..]));
        assert_eq!(usize::from(u16::from_le_bytes([bytes[8], bytes[9]])) + 10, 128);
        assert!(String::from_utf8_lossy(&bytes[10..128]).contains("'shape': (2, 3)"));
        assert_eq!((npy_rows(&bytes), npy_rows(b"\x93NUMPY\x01\x00v"), npy_rows(b"photo")), (Some(2), None, None));
        assert_eq!(std::fs::read_to_string(names_beside(&path)).unwrap(), "a/\"1\".jpg\n=b\n");
        assert_eq!(dir.path().read_dir().unwrap().count(), 2);
        // The largest numbers have room.
        assert_eq!(npy_header(usize::MAX, usize::MAX).len(), 128);
    }

    #[test]
    fn safetensors_come_with_their_names() {
        let (dir, _, bytes) = written(Format::Safetensors, "f.safetensors");
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensor = read.tensor("features").unwrap();
        assert_eq!((tensor.shape(), tensor.data()), (&[2, 3][..], &values()[..]));
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let paths = &metadata.metadata().as_ref().unwrap()["paths"];
        assert_eq!(serde_json::from_str::<Vec<String>>(paths).unwrap(), ROWS.map(|(name, _)| name));
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
        // Weights are none.
        let weights = crate::random_weights(&resnet::Architecture::basic([1; 4], [4, 4, 8, 8], None), 1);
        let ours = |bytes: &[u8]| Format::Safetensors.is_ours("f".as_ref(), bytes);
        assert!(!ours(&weights) && !ours(b"") && !ours(&[255; 40]));
    }

    #[cfg(feature = "parquet")]
    #[test]
    fn parquet_has_the_same_numbers_with_their_photos() {
        use parquet::file::reader::{FileReader as _, SerializedFileReader};
        use parquet::record::Field;

        let (dir, path, _) = written(Format::Parquet, "f.parquet");
        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        let mut rows = reader.get_row_iter(None).unwrap();
        for (name, values) in ROWS {
            let row = rows.next().unwrap().unwrap();
            let [path, sha256, features] = row.get_column_iter().collect::<Vec<_>>()[..] else { panic!("{row}") };
            assert_eq!(path, (&"path".to_owned(), &Field::Str(name.to_owned())));
            assert_eq!(sha256, (&"sha256".to_owned(), &Field::Str("07".repeat(32))));
            let Field::ListInternal(list) = features.1 else { panic!("{row}") };
            assert_eq!((features.0.as_str(), list.elements()), ("features", &values.map(Field::Float)[..]));
        }
        assert!(rows.next().is_none());
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
        std::fs::write(&path, b"PAR1, and then a photo").unwrap();
        assert!(!Format::Parquet.is_ours(&path, b"PAR1, and"));
    }

    #[cfg(not(feature = "parquet"))]
    #[test]
    fn what_is_not_built_in_is_the_command_s_fault_and_named_with_its_feature() {
        let error = format_of("f.parquet".as_ref()).unwrap_err();
        assert_eq!(error.fault(), crate::Fault::Usage);
        assert_eq!(error.remedy(), Some(crate::Remedy::BuildWith { feature: "parquet" }));
        assert!(error.to_string().contains("can't write .parquet files"), "{error}");
        assert!(Array::begin("f.parquet".as_ref(), Format::Parquet, 2).is_err());
    }

    #[test]
    fn csv_has_the_same_numbers_and_no_formula() {
        let (_dir, _, bytes) = written(Format::Csv, "f.csv");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        assert_eq!(reader.headers().unwrap(), vec!["path", "f0", "f1", "f2"]);
        for (line, (name, row)) in
            reader.records().map(|line| line.unwrap()).zip(["a/\"1\".jpg", "'=b"].iter().zip(ROWS.map(|(_, row)| row)))
        {
            assert_eq!(&line[0], *name);
            assert!(
                line.iter().skip(1).zip(row).all(|(text, value)| text.parse::<f32>().unwrap() == value),
                "{line:?}"
            );
        }
    }
}
