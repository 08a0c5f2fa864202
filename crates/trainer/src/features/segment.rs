//! A file of the store: some thousand rows of features, each with the digest of its photo and a checksum, as safetensors.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use resnet::regular;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::features::key::Key;
use crate::files;

/// A header of more bytes is none of ours, which have three tensors.
const LONGEST_HEADER: u64 = 1 << 20;

/// A row to write: the photo's digest and its features.
pub(super) type Row<'a> = (&'a Digest, &'a [f32]);

/// A segment by its header: how many rows it holds, and where.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// How many rows there are.
    pub(super) count: usize,
    /// How many values each has.
    pub(super) width: usize,
    /// What the key is made of, as JSON.
    pub(super) parts: String,
    /// The bytes of the file.
    pub(super) size: u64,
    /// Where the rows begin in the file.
    rows: u64,
    /// Each row's checksum.
    checksums: Vec<u32>,
}

impl Segment {
    /// Writes rows as one file: tensors `features` `[photos, width]`, `crc32` `[photos]` and `sha256` `[photos, 32]`; the key and its parts
    /// in the metadata.
    ///
    /// # Errors
    /// The file can't be written; what was there stays.
    pub(super) fn write(path: &Path, key: &Key, width: usize, rows: &[Row<'_>]) -> Result<()> {
        files::write_with(path, |file| {
            file.write_all(&header(key, width, rows.len()))?;
            rows.iter().try_for_each(|(_, row)| file.write_all(&bytes(row)))?;
            rows.iter().try_for_each(|(digest, row)| file.write_all(&checksum(digest, &bytes(row)).to_le_bytes()))?;
            rows.iter().try_for_each(|(digest, _)| file.write_all(&digest[..]))
        })
    }

    /// Reads which rows a file holds, and whose, in their order.
    ///
    /// # Errors
    /// It can't be read, or isn't one that was written under this key, and width where that is known.
    pub(super) fn open(path: &Path, key: &str, width: Option<usize>) -> Result<(Self, Vec<Digest>)> {
        let mut file = regular::open(path).map_err(Error::io("read", path))?;
        let damaged = |reason: &str| Error::InvalidRun { path: path.to_owned(), reason: reason.to_owned() };
        let io = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("cut short"),
            _ => Error::io("read", path)(error),
        };
        let size = file.metadata().map_err(io)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER.min(size.saturating_sub(8)) {
            return Err(damaged("cut short, or no safetensors"));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(io)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| damaged(&format!("its header: {error}")))?;
        let stated = |name: &str| metadata.metadata().as_ref().and_then(|data| data.get(name)).map(String::as_str);
        if stated("key") != Some(key) {
            return Err(damaged("of another key than its folder's"));
        }
        let parts = stated("parts").unwrap_or_default().to_owned();
        let [features, checksums, digests] = ["features", "crc32", "sha256"].map(|name| metadata.info(name));
        let (Some(features), Some(checksums), Some(digests)) = (features, checksums, digests) else {
            return Err(damaged("no tensors `features`, `crc32` and `sha256` in it"));
        };
        let count = checksums.shape.first().copied().unwrap_or(0);
        let width = width.or(features.shape.get(1).copied()).unwrap_or(0);
        let is = |info: &TensorInfo, dtype, shape: &[usize]| info.dtype == dtype && info.shape == shape;
        if !is(features, Dtype::F32, &[count, width])
            || !is(checksums, Dtype::U32, &[count])
            || !is(digests, Dtype::U8, &[count, size_of::<Digest>()])
        {
            return Err(damaged("its tensors have unexpected shapes"));
        }
        let start = |info: &TensorInfo| 8 + length + info.data_offsets.0 as u64;
        if [features, checksums, digests].iter().any(|info| 8 + length + info.data_offsets.1 as u64 > size) {
            return Err(damaged("cut short"));
        }
        let mut read = |from: &TensorInfo, bytes: &mut [u8]| {
            file.seek(SeekFrom::Start(start(from))).and_then(|_| file.read_exact(bytes)).map_err(io)
        };
        let mut sums = vec![[0; size_of::<u32>()]; count];
        read(checksums, sums.as_flattened_mut())?;
        let mut of: Vec<Digest> = vec![[0; size_of::<Digest>()]; count];
        read(digests, of.as_flattened_mut())?;
        let (path, rows) = (path.to_owned(), start(features));
        let checksums = sums.into_iter().map(u32::from_le_bytes).collect();
        Ok((Self { path, count, width, parts, size, rows, checksums }, of))
    }

    /// Reads the row of this number, which is that of the photo `digest`, from the open file; none where its checksum isn't that of both.
    pub(super) fn row(&self, file: &File, number: usize, digest: &Digest) -> io::Result<Option<Box<[f32]>>> {
        let mut values = vec![0; 4 * self.width];
        let place = self.rows + (number * values.len()) as u64;
        read_at(file, &mut values, place)?;
        if checksum(digest, &values) != self.checksums[number] {
            return Ok(None);
        }
        Ok(Some(values.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()))
    }

    /// Reads all rows that are whole, given whose they are, but for those in `known`.
    ///
    /// # Errors
    /// The file can't be read.
    pub(super) fn whole_rows(&self, digests: &[Digest], known: &BTreeSet<Digest>) -> Result<Vec<(Digest, Box<[f32]>)>> {
        let file = File::open(&self.path).map_err(Error::io("read", &self.path))?;
        let mut rows = Vec::new();
        for (number, digest) in digests.iter().enumerate().filter(|(_, digest)| !known.contains(*digest)) {
            if let Some(row) = self.row(&file, number, digest).map_err(Error::io("read", &self.path))? {
                rows.push((*digest, row));
            }
        }
        Ok(rows)
    }
}

/// Reads bytes from a place in a file, wherever others are reading in it.
fn read_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, place);
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt as _;
        let mut done = 0;
        while done < bytes.len() {
            match file.seek_read(&mut bytes[done..], place + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => done += more,
            }
        }
        Ok(())
    }
    #[cfg(not(any(unix, windows)))]
    {
        let _ = (file, bytes, place);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Makes what stands before the tensors: the header's length and the header.
fn header(key: &Key, width: usize, count: usize) -> Vec<u8> {
    let mut end = 0;
    let mut tensor = |dtype: &str, shape: &[usize], bytes: usize| {
        let start = end;
        end += bytes;
        serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] })
    };
    let header = serde_json::json!({
        "__metadata__": { "key": key.to_string(), "parts": key.parts() },
        "features": tensor("F32", &[count, width], 4 * count * width),
        "crc32": tensor("U32", &[count], 4 * count),
        "sha256": tensor("U8", &[count, size_of::<Digest>()], count * size_of::<Digest>()),
    });
    let mut json = header.to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    [&(json.len() as u64).to_le_bytes()[..], &json].concat()
}

fn bytes(row: &[f32]) -> Vec<u8> {
    row.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Computes the CRC-32 over a photo's digest and its row's bytes, so that neither changes alone.
fn checksum(digest: &Digest, row: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(digest);
    hash.update(row);
    hash.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photos::Preparation;
    use kernels::Precision;

    fn key(weights: &str) -> Key {
        Key::new(weights, Precision::F32, &Preparation::default())
    }

    fn open(path: &Path) -> Result<(Segment, Vec<Digest>)> {
        Segment::open(path, &key("a").to_string(), Some(3))
    }

    fn written(folder: &Path) -> (PathBuf, Vec<(Digest, [f32; 3])>) {
        let rows: Vec<_> = (0..9).map(|i| ([i; 32], [f32::from(i), -1.5, 1e-40])).collect();
        let path = folder.join("segment.safetensors");
        let views: Vec<Row<'_>> = rows.iter().map(|(digest, row)| (digest, &row[..])).collect();
        Segment::write(&path, &key("a"), 3, &views).unwrap();
        (path, rows)
    }

    #[test]
    fn rows_are_read_as_they_were_written_also_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rows) = written(dir.path());
        let (segment, digests) = open(&path).unwrap();
        let file = File::open(&path).unwrap();
        for number in [7, 0, 8, 7] {
            assert_eq!(digests[number], rows[number].0);
            assert_eq!(segment.row(&file, number, &digests[number]).unwrap(), Some(rows[number].1.into()));
            assert_eq!(segment.row(&file, number, &[9; 32]).unwrap(), None, "it is another photo's");
        }
        assert_eq!((segment.count, segment.width, &*segment.parts), (9, 3, key("a").parts()));
        let bytes = std::fs::read(&path).unwrap();
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["parts"], key("a").parts());
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("features").unwrap().shape(), [9, 3]);
        assert_eq!(tensors.tensor("sha256").unwrap().data()[32..64], [1; 32]);
    }

    #[test]
    fn other_keys_and_cut_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = written(dir.path());
        let [a, b] = ["a", "b"].map(|weights| key(weights).to_string());
        assert!(Segment::open(&path, &b, Some(3)).is_err() && Segment::open(&path, &a, Some(2)).is_err());
        assert!(Segment::open(&path, &a, None).is_ok());
        let bytes = std::fs::read(&path).unwrap();
        for keep in 0..bytes.len() {
            std::fs::write(&path, &bytes[..keep]).unwrap();
            assert!(open(&path).is_err(), "{keep}");
        }
        std::fs::write(&path, "rubbish that is no safetensors").unwrap();
        assert!(open(&path).is_err());
    }

    #[test]
    fn any_changed_byte_of_a_row_is_seen_and_costs_that_row() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rows) = written(dir.path());
        let bytes = std::fs::read(&path).unwrap();
        let data = 8 + u64::from_le_bytes(std::array::from_fn(|i| bytes[i])) as usize;
        for place in data..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x10;
            std::fs::write(&path, &changed).unwrap();
            let (segment, digests) = open(&path).unwrap();
            let whole = segment.whole_rows(&digests, &BTreeSet::new()).unwrap();
            assert_eq!(whole.len(), 8, "byte {place}");
            for (digest, row) in whole {
                assert_eq!(rows[usize::from(digest[0])].1[..], row[..], "byte {place}");
            }
        }
        // Rows that change places, as pieces of two files put together would.
        let mut spliced = bytes.clone();
        spliced[data..data + 24].rotate_left(12);
        std::fs::write(&path, &spliced).unwrap();
        let (segment, digests) = open(&path).unwrap();
        assert_eq!(segment.whole_rows(&digests, &BTreeSet::new()).unwrap().len(), 7);
    }
}
