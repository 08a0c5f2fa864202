//! Keeps features by photo, in memory and in a file, so that a photo passes through a backbone once.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::features::key::Key;
use crate::features::rows::Rows;

/// Features by photo content. Kept in a file, they spare the next training the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    width: usize,
    rows: BTreeMap<Digest, Box<[f32]>>,
}

impl Features {
    /// Makes an empty store of `width` values a photo.
    pub fn new(width: usize) -> Self {
        Self { width, rows: BTreeMap::new() }
    }

    /// Reads what [`Features::save`] wrote under the same key; `None` if there is no file, or one of another key.
    ///
    /// # Errors
    /// The file can't be read, or isn't such a file: the features can be computed anew.
    pub fn load(path: &Path, key: &Key, width: usize) -> Result<Option<Self>> {
        let file = match resnet::regular::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let damaged = |reason: &str| Error::InvalidRun { path: path.to_owned(), reason: reason.to_owned() };
        let io = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("cut short"),
            _ => Error::io("read", path)(error),
        };
        let size = file.metadata().map_err(io)?.len();
        let mut file = BufReader::new(file);
        // The header and its length, as safetensors writes them.
        let mut header = vec![0; 8];
        file.read_exact(&mut header).map_err(io)?;
        let length = u64::from_le_bytes(std::array::from_fn(|i| header[i]));
        if length > size.saturating_sub(8) {
            return Err(damaged("cut short, or no safetensors"));
        }
        header.resize(8 + length as usize, 0);
        file.read_exact(&mut header[8..]).map_err(io)?;
        let metadata: Metadata =
            serde_json::from_slice(&header[8..]).map_err(|error| damaged(&format!("its header: {error}")))?;
        if metadata.metadata().as_ref().and_then(|data| data.get("key")) != Some(&key.to_string()) {
            return Ok(None);
        }
        let (Some(digests), Some(values)) = (metadata.info("sha256"), metadata.info("features")) else {
            return Err(damaged("no tensors `sha256` and `features` in it"));
        };
        let count = digests.shape.first().copied().unwrap_or(0);
        if digests.shape != [count, size_of::<Digest>()]
            || values.shape != [count, width]
            || (digests.dtype, values.dtype) != (Dtype::U8, Dtype::F32)
        {
            return Err(damaged("its tensors have unexpected shapes"));
        }
        let data = header.len() as u64;
        if data + digests.data_offsets.1.max(values.data_offsets.1) as u64 > size {
            return Err(damaged("cut short"));
        }
        let mut keys: Vec<Digest> = vec![[0; size_of::<Digest>()]; count];
        file.seek(SeekFrom::Start(data + digests.data_offsets.0 as u64)).map_err(io)?;
        file.read_exact(keys.as_flattened_mut()).map_err(io)?;
        file.seek(SeekFrom::Start(data + values.data_offsets.0 as u64)).map_err(io)?;
        let mut features = Self::new(width);
        let mut bytes = vec![0; 4 * width];
        // Row by row: the file isn't held beside what is made of it.
        for digest in keys {
            file.read_exact(&mut bytes).map_err(io)?;
            let row: Box<[f32]> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            if row.iter().all(|value| value.is_finite()) {
                features.rows.insert(digest, row);
            }
        }
        Ok(Some(features))
    }

    /// Writes all rows under a key: tensors `features` `[photos, width]` and `sha256` `[photos, 32]`, in the order of the latter; the key
    /// and its parts in the metadata.
    ///
    /// # Errors
    /// The file can't be written; what was there stays.
    pub fn save(&self, path: &Path, key: &Key) -> Result<()> {
        crate::files::write_with(path, |file| {
            file.write_all(&self.header(key))?;
            for row in self.rows.values() {
                row.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
            }
            self.rows.keys().try_for_each(|digest| file.write_all(digest))
        })
    }

    /// Writes what stands before the tensors in the file: the header's length and the header.
    fn header(&self, key: &Key) -> Vec<u8> {
        let count = self.rows.len();
        let values = count * self.width * size_of::<f32>();
        let tensor = |dtype: &str, columns: usize, start: usize, end: usize| serde_json::json!({ "dtype": dtype, "shape": [count, columns], "data_offsets": [start, end] });
        let header = serde_json::json!({
            "__metadata__": { "key": key.to_string(), "parts": key.parts() },
            "features": tensor("F32", self.width, 0, values),
            "sha256": tensor("U8", size_of::<Digest>(), values, values + count * size_of::<Digest>()),
        });
        let mut json = header.to_string().into_bytes();
        json.resize(json.len().next_multiple_of(8), b' ');
        [&(json.len() as u64).to_le_bytes()[..], &json].concat()
    }

    /// Tells by its first bytes whether a file was written by [`Features::save`], under whatever key.
    pub(crate) fn wrote(beginning: &[u8]) -> bool {
        metadata(beginning).is_some_and(|metadata| {
            metadata.metadata().as_ref().is_some_and(|data| data.contains_key("key"))
                && metadata.info("sha256").is_some()
                && metadata.info("features").is_some()
        })
    }

    /// Counts the photos that are known.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Gives the number of values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Lists the photos that are known, by content.
    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.rows.keys()
    }

    /// Keeps the rows of these photos, `[digests, width]`.
    ///
    /// # Errors
    /// There are more or fewer values; one of them is NaN or infinite.
    pub(super) fn insert(&mut self, digests: &[Digest], values: &[f32]) -> Result<()> {
        let (expected, got) = (digests.len() * self.width, values.len());
        if got != expected {
            return Err(Error::Shape { operation: "extract features", operand: "the network's output", expected, got });
        }
        if values.iter().any(|value| !value.is_finite()) {
            let what = "the network's output".to_owned();
            return Err(Error::NotFinite { operation: "extract features", what });
        }
        self.rows.extend(digests.iter().copied().zip(values.chunks_exact(self.width).map(Box::from)));
        Ok(())
    }

    /// Views the rows of these photos, in their order.
    ///
    /// # Errors
    /// A photo's features were never extracted.
    pub fn rows<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<Rows<'_>> {
        let row = |digest| {
            self.rows.get(digest).map(|row| &row[..]).ok_or(Error::Shape {
                operation: "view features",
                operand: "the row of a photo that was not extracted",
                expected: self.width,
                got: 0,
            })
        };
        Rows::from_rows(digests.into_iter().map(row).collect::<Result<_>>()?, self.width)
    }
}

/// Reads the header of a safetensors file from its first bytes, where they are one.
fn metadata(beginning: &[u8]) -> Option<Metadata> {
    let (length, rest) = beginning.split_first_chunk()?;
    serde_json::from_slice(rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photos::Preparation;
    use kernels::Precision;

    fn key(weights: &str) -> Key {
        Key::new(weights, Precision::F32, &Preparation::default())
    }

    fn some(count: u8) -> Features {
        let mut features = Features::new(3);
        for i in 0..count {
            features.insert(&[[i; 32]], &[f32::from(i), -1.5, 1e-40]).unwrap();
        }
        features
    }

    #[test]
    fn other_keys_and_damaged_files_are_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("features.safetensors");
        let load = |weights: &str, width: usize| Features::load(&file, &key(weights), width);
        assert!(load("a", 3).unwrap().is_none());
        Features::new(3).save(&file, &key("a")).unwrap();
        assert!(load("b", 3).unwrap().is_none());
        assert!(load("a", 3).unwrap().is_some());
        std::fs::write(&file, "rubbish that is no safetensors").unwrap();
        assert!(load("a", 3).is_err());
        let features = some(9);
        features.save(&file, &key("a")).unwrap();
        assert_eq!(load("a", 3).unwrap().unwrap(), features);
        let bytes = std::fs::read(&file).unwrap();
        // What others read it with agrees.
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["parts"], key("a").parts());
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("features").unwrap().shape(), [9, 3]);
        assert_eq!(tensors.tensor("sha256").unwrap().data()[32..64], [1; 32]);
        assert!(load("a", 2).is_err());
        for keep in [4, 30, bytes.len() - 300, bytes.len() - 1] {
            std::fs::write(&file, &bytes[..keep]).unwrap();
            assert!(load("a", 3).is_err(), "{keep}");
        }
    }

    #[test]
    fn rows_are_views_in_the_order_asked_for() {
        let features = some(9);
        let rows = features.rows([&[7; 32], &[2; 32], &[7; 32]]).unwrap();
        assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), [7.0, 2.0, 7.0]);
        assert!(std::ptr::eq(rows.row(0), rows.row(2)));
        let error = features.rows([&[7; 32], &[9; 32]]).unwrap_err().to_string();
        assert!(error.contains("not extracted"), "{error}");
    }
}
