//! Features that another program computed: rows read from a file, with their names and the digests by which they are known.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek as _};
use std::path::{Path, PathBuf};

use resnet::regular;
use safetensors::tensor::{Dtype, Metadata};
use sha2::{Digest as _, Sha256};

use crate::digest::{Digest, hex};
use crate::error::{Error, Result};
use crate::features::memory::Features;
use crate::features::npy;
use crate::features::number::{Number, Shape};
use crate::words::{count, shown};

/// Rows of features from a file.
///
/// # Formats
/// * NumPy's `.npy`, versions 1 to 3: one array, `[rows, width]`, in C order, of little-endian f2, f4 or f8. Names may stand in a `.txt` file beside it, a line a row.
/// * `.safetensors`: the tensor `features`, or the only one that there is, `[rows, width]`, of f16, bf16, f32 or f64. Names may stand in the metadata, as a JSON list `paths`.
#[derive(Clone, Debug)]
pub struct FeatureFile {
    /// The name of each row, plain text, where there are names.
    pub names: Option<Vec<String>>,
    /// SHA-256 of each row's values as little-endian f32. Equal rows have one.
    pub digests: Vec<Digest>,
    /// The rows by their digests, in f32.
    pub features: Features,
    /// SHA-256 of the file, in hexadecimal digits; of a job of shards, that of the rows of all parts in their order.
    pub sha256: String,
}

impl FeatureFile {
    /// Reads a file of features, once and in pieces: memory is taken for its values as f32 alone.
    ///
    /// # Errors
    /// It can't be read; it is of another format, shape or type, or cut short; a value is NaN, infinite or beyond f32; there are more or fewer names than
    /// rows. Each says what to do.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |problem: String| Error::UnusableData { path: path.to_owned(), problem };
        let failed = |error: std::io::Error| Error::io("read", path)(error);
        let mut file = regular::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let head = head(&mut file, size).map_err(failed)?;
        let ending = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
        let (shape, start, names) = if head.starts_with(npy::MAGIC) {
            let (shape, start) = npy::read(&head, size).map_err(wrong)?;
            (shape, start, beside(path)?)
        } else if ending.as_deref() == Some("safetensors") {
            tensor(&head, size).map_err(wrong)?
        } else {
            let problem = match ending.as_deref() {
                Some("npz") => "an .npz holds several arrays: write one of them by `np.save(\"x.npy\", array)`",
                _ => "no features that can be read: write them as .npy (`np.save(\"x.npy\", x)`) or .safetensors",
            };
            return Err(wrong(problem.to_owned()));
        };
        drop(head);
        if let Some((names, from)) = &names
            && names.len() != shape.rows
        {
            let (names, rows) = (count(names.len(), "name"), count(shape.rows, "row"));
            let problem =
                format!("{rows}, and {names} in {}: one a row is needed, or none at all", shown(from.as_path()));
            return Err(wrong(problem));
        }
        let (mut features, mut digests) = (Features::new(shape.width), Vec::with_capacity(shape.rows));
        let mut whole = Sha256::new();
        let mut input = BufReader::new(file);
        std::io::copy(&mut input.by_ref().take(start), &mut whole).map_err(failed)?;
        let mut bytes = vec![0; shape.width * shape.number.size()];
        let mut row: Vec<f32> = Vec::with_capacity(shape.width);
        for number in 0..shape.rows {
            input.read_exact(&mut bytes).map_err(failed)?;
            whole.update(&bytes);
            row.clear();
            shape.number.read(&bytes, &mut row);
            if let Some(place) = row.iter().position(|value| !value.is_finite()) {
                let problem =
                    format!("row {number}, column {place}: NaN, infinite or beyond f32: a head needs finite numbers");
                return Err(wrong(problem));
            }
            let mut digest = Sha256::new();
            row.iter().for_each(|value| digest.update(value.to_le_bytes()));
            let digest: Digest = digest.finalize().into();
            features.insert(&[digest], &row)?;
            digests.push(digest);
        }
        std::io::copy(&mut input, &mut whole).map_err(failed)?;
        let names = names.map(|(names, _)| names.iter().map(|name| shown(name).into_owned()).collect());
        Ok(Self { names, digests, features, sha256: hex(&whole.finalize()) })
    }

    /// Gives the name of a row: its own, or `row 3`, counted from 0.
    pub fn name(&self, row: usize) -> String {
        self.names.as_ref().and_then(|names| names.get(row).cloned()).unwrap_or_else(|| format!("row {row}"))
    }
}

/// Names, and the file that holds them.
type Names = Option<(Vec<String>, PathBuf)>;

/// Reads the names beside a .npy, where there are some: `trainer embed` writes them so.
fn beside(path: &Path) -> Result<Names> {
    let beside = path.with_extension("txt");
    match regular::read_to_string(&beside) {
        Ok(text) => Ok(Some((text.lines().map(str::to_owned).collect(), beside))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &beside)(error)),
    }
}

/// Reads the beginning of a file, as far as its header can go, and winds it back.
fn head(file: &mut File, size: u64) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(LENGTH).read_to_end(&mut head)?;
    let rest = match <[u8; LENGTH as usize]>::try_from(head.as_slice()) {
        Ok(length) if !head.starts_with(npy::MAGIC) => u64::from_le_bytes(length).min(size),
        _ => npy::HEAD,
    };
    file.take(rest).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}

/// Bytes of the length with which a safetensors file begins.
const LENGTH: u64 = 8;

/// Finds the tensor of features by the header of a safetensors file of `size` bytes: its shape, its first byte, and the names in the metadata.
fn tensor(head: &[u8], size: u64) -> Result<(Shape, u64, Names), String> {
    let damaged = |error: &dyn std::fmt::Display| format!("no safetensors file, or a damaged one: {error}");
    let text = head.get(LENGTH as usize..).unwrap_or_default();
    let metadata: Metadata = serde_json::from_slice(text).map_err(|error| damaged(&error))?;
    let data = head.len() as u64;
    if data.checked_add(metadata.data_len() as u64) != Some(size) {
        return Err(damaged(&format!("{size} bytes, of which {data} are its header")));
    }
    let (name, tensors) = ("features", metadata.tensors());
    let info = match (tensors.get(name), tensors.len()) {
        (Some(info), _) => info,
        (None, 1) => tensors.values().next().ok_or("it is empty")?,
        (None, others) => {
            let tensors = count(others, "tensor");
            return Err(format!("{tensors}, and none is called `{name}`: call that of the rows so"));
        }
    };
    let number = match info.dtype {
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::Bf16,
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        other => return Err(format!("values of type {other:?}: write floating point numbers, as by `x.float()`")),
    };
    let shape = Shape::of(&info.shape, number)?;
    let (start, end) = info.data_offsets;
    if shape.bytes().and_then(|bytes| bytes.checked_add(start)) != Some(end) || end > metadata.data_len() {
        return Err(damaged(&format!("a tensor of {:?} from {start} to {end}", info.shape)));
    }
    let names = match metadata.metadata().as_ref().and_then(|metadata| metadata.get("paths")) {
        Some(text) => {
            let names = serde_json::from_str(text)
                .map_err(|error| format!("`paths` in its metadata is no JSON list of names: {error}"))?;
            Some((names, PathBuf::from("its metadata")))
        }
        None => None,
    };
    Ok((shape, data + start as u64, names))
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use safetensors::tensor::TensorView;

    use super::*;
    use crate::digest::sha256;

    /// What the fixtures hold, which `generate.py beside them` writes.
    const VALUES: [[f32; 3]; 2] = [[0.5, -1.25, 3.0], [1024.0, -0.0625, 0.0]];

    fn open(name: &str, bytes: &[u8]) -> Result<FeatureFile, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        FeatureFile::open(&path).map_err(|error| error.to_string())
    }

    fn rows(file: &FeatureFile) -> Vec<Vec<f32>> {
        file.features.rows(&file.digests).unwrap().iter().map(<[f32]>::to_vec).collect()
    }

    /// Makes a .npy of a version with this header.
    fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(header.len()).unwrap().to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length[..] };
        [npy::MAGIC, &[version, 0], length, header.as_bytes(), data].concat()
    }

    fn header(descr: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
    }

    fn bytes() -> Vec<u8> {
        VALUES.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn safetensors(tensors: &[(&str, Dtype, &[usize], &[u8])], paths: Option<&str>) -> Vec<u8> {
        let tensors: Vec<_> = tensors
            .iter()
            .map(|&(name, dtype, shape, data)| (name, TensorView::new(dtype, shape.to_vec(), data).unwrap()))
            .collect();
        let metadata = paths.map(|paths| [("paths".to_owned(), paths.to_owned())].into());
        safetensors::serialize(tensors, metadata).unwrap()
    }

    #[test]
    fn what_numpy_writes_is_read() {
        for (name, whole) in [
            ("f2.npy", &include_bytes!("../../../../tests/fixtures/features/f2.npy")[..]),
            ("f4.npy", include_bytes!("../../../../tests/fixtures/features/f4.npy")),
            ("f8.npy", include_bytes!("../../../../tests/fixtures/features/f8.npy")),
        ] {
            let file = open(name, whole).unwrap();
            assert_eq!((rows(&file), file.features.width()), (VALUES.map(Vec::from).to_vec(), 3), "{name}");
            assert_eq!((file.names.as_ref(), file.name(1)), (None, "row 1".to_owned()));
            assert_eq!(file.sha256, sha256(whole));
            // A row is known by its values, whatever type they had.
            let digest: Digest = Sha256::digest(&bytes()[..12]).into();
            assert_eq!(file.digests[0], digest);
        }
    }

    #[test]
    fn every_version_is_read() {
        for version in 1..=3 {
            let file = open("x.npy", &npy(version, &header("<f4", "False", "(2, 3)"), &bytes())).unwrap();
            assert_eq!(rows(&file), VALUES.map(Vec::from));
        }
        // As Python 2 wrote it, in another order and without a comma at the end.
        let old = "{\"shape\": (2L, 3L), 'fortran_order': False, 'descr': '<f4'}";
        assert_eq!(rows(&open("x.npy", &npy(1, old, &bytes())).unwrap()), VALUES.map(Vec::from));
        let error = open("x.npy", &npy(4, &header("<f4", "False", "(2, 3)"), &bytes())).unwrap_err();
        assert!(error.contains("version 4.0 of .npy: 1 to 3 can be read"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_said_with_what_to_do() {
        for (descr, fortran, shape, problem) in [
            (">f4", "False", "(2, 3)", "big-endian (>f4): write `x.astype(\"<f4\")`"),
            ("<i8", "False", "(2, 3)", "its values are \"<i8\", expected <f2, <f4 or <f8: write `x.astype"),
            ("<f4", "True", "(2, 3)", "Fortran's order: write `np.ascontiguousarray(x)`"),
            ("<f4", "False", "(6,)", "its shape is [6], expected [rows, width]: `x.reshape(1, -1)`"),
            ("<f4", "False", "(1, 2, 3)", "`x.reshape(len(x), -1)`"),
            ("<f4", "False", "()", "its shape is []"),
            ("<f4", "False", "(0, 3)", "there is nothing in it"),
            ("<f4", "False", "(6, 0)", "there is nothing in it"),
            ("<f4", "False", "(3, 3)", "3 rows of 3 numbers are said, and there are 24 bytes: the file is cut short"),
            ("<f4", "False", "(1, 3)", "12 bytes stand behind its numbers"),
            ("<f4", "False", "(4294967296, 4294967296)", "the file is cut short"),
            ("<f4", "False", "(18446744073709551615, 1)", "the file is cut short"),
            ("<f4", "False", "(18446744073709551616, 1)", "a shape that isn't one, or that no machine holds"),
            ("<f4", "False", "(-1, 3)", "a shape that isn't one"),
            ("<f4", "Maybe", "(2, 3)", "with a key that means nothing"),
        ] {
            let error = open("x.npy", &npy(1, &header(descr, fortran, shape), &bytes())).unwrap_err();
            assert!(error.contains(problem), "{descr} {fortran} {shape}: {error}");
        }
        let table = "{'descr': [('a', '<f4'), ('b', '<f4', (2,))], 'fortran_order': False, 'shape': (2,), }";
        assert!(open("x.npy", &npy(1, table, &bytes())).unwrap_err().contains("\"a table of several types\""));
        for (header, problem) in [
            ("", "no dictionary"),
            ("{", "no dictionary"),
            ("{}", "without type, order or shape"),
            ("{'descr", "with a text that doesn't end"),
            ("{'descr': [", "with a list that doesn't end"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} or so", "with something behind it"),
        ] {
            let error = open("x.npy", &npy(1, header, &bytes())).unwrap_err();
            assert!(error.contains(problem), "{header}: {error}");
        }
        for (name, content, problem) in [
            ("x.npy", &b"no array"[..], "no features that can be read: write them as .npy"),
            ("x.npz", b"PK", "write one of them by `np.save"),
            ("x.safetensors", b"no tensors", "no safetensors file, or a damaged one"),
            ("x.safetensors", &[255; 40], "no safetensors file, or a damaged one"),
        ] {
            let error = open(name, content).unwrap_err();
            assert!(error.contains(problem), "{name}: {error}");
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_and_never_panics() {
        let whole = npy(2, &header("<f4", "False", "(2, 3)"), &bytes());
        for end in 0..whole.len() {
            assert!(open("x.npy", &whole[..end]).is_err(), "{end}");
        }
        // A header that says to be longer than any file.
        let mut long = whole.clone();
        long[8..12].copy_from_slice(&[255; 4]);
        assert!(open("x.npy", &long).unwrap_err().contains("cut short in its header"));
        for place in 0..whole.len() {
            for flipped in [0, 0xff, whole[place] ^ 1] {
                let mut damaged = whole.clone();
                damaged[place] = flipped;
                if let Ok(file) = open("x.npy", &damaged) {
                    assert_eq!(file.digests.len() * file.features.width(), 6);
                }
            }
        }
    }

    #[test]
    fn numbers_that_are_none_are_named_by_their_place() {
        let of = |values: [f64; 4]| {
            let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            open("x.npy", &npy(1, &header("<f8", "False", "(2, 2)"), &data))
        };
        assert!(of([1.0, 2.0, 3.0, 3e38]).is_ok());
        for bad in [f64::NAN, f64::INFINITY, -f64::INFINITY, 1e39] {
            assert!(of([1.0, 2.0, bad, 3.0]).unwrap_err().contains("row 1, column 0: NaN, infinite or beyond f32"));
            assert!(of([1.0, bad, 2.0, 3.0]).unwrap_err().contains("row 0, column 1"));
        }
    }

    #[test]
    fn tensors_are_read_in_every_type_with_their_names() {
        let flat: Vec<f32> = VALUES.concat();
        let halves: Vec<u8> = flat.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        let brains: Vec<u8> = flat.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect();
        let doubles: Vec<u8> = flat.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect();
        for (dtype, data) in
            [(Dtype::F16, &halves), (Dtype::BF16, &brains), (Dtype::F32, &bytes()), (Dtype::F64, &doubles)]
        {
            let file = open("x.safetensors", &safetensors(&[("x", dtype, &[2, 3], data)], None)).unwrap();
            assert_eq!((rows(&file), &file.names), (VALUES.map(Vec::from).to_vec(), &None), "{dtype:?}");
        }
        let two: &[(&str, Dtype, &[usize], &[u8])] =
            &[("a", Dtype::F32, &[1], &[0; 4]), ("features", Dtype::F32, &[2, 3], &bytes())];
        let file = open("x.safetensors", &safetensors(two, Some(r#"["a/1.jpg", "b\n"]"#))).unwrap();
        assert_eq!(
            (rows(&file), file.name(0), file.name(1)),
            (VALUES.map(Vec::from).to_vec(), "a/1.jpg".into(), "b\\n".into())
        );
        // A tensor that is said to lie elsewhere, or to be longer than it is.
        let whole = safetensors(&[("x", Dtype::F32, &[2, 3], &bytes())], None);
        for (said, damaged) in [("[0,24]", "[8,24]"), ("[2,3]", "[3,3]"), ("[0,24]", "[0,99]"), ("[2,3]", "[2,9]")] {
            let text: Vec<u8> = whole[8..].to_vec();
            let at = text.windows(said.len()).position(|part| part == said.as_bytes()).unwrap();
            let mut whole = whole.clone();
            whole[8 + at..8 + at + said.len()].copy_from_slice(damaged.as_bytes());
            let error = open("x.safetensors", &whole).unwrap_err();
            assert!(error.contains("a damaged one"), "{damaged}: {error}");
        }
        for end in 0..whole.len() {
            assert!(open("x.safetensors", &whole[..end]).is_err(), "{end}");
        }
        for (tensors, paths, problem) in [
            (two, Some("[\"a\"]"), "2 rows, and 1 name in its metadata: one a row is needed"),
            (two, Some("a"), "`paths` in its metadata is no JSON list of names"),
            (&[two[0], ("b", Dtype::F32, &[2, 3], &bytes())], None, "2 tensors, and none is called `features`"),
            (&two[..1], None, "its shape is [1]"),
            (&[("a", Dtype::I32, &[2, 3], &bytes())], None, "values of type I32: write floating point numbers"),
        ] {
            let error = open("x.safetensors", &safetensors(tensors, paths)).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn names_stand_in_a_list_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npy");
        std::fs::write(&path, npy(1, &header("<f4", "False", "(2, 3)"), &bytes())).unwrap();
        std::fs::write(dir.path().join("x.txt"), "a/1.jpg\r\nb/2.jpg\n").unwrap();
        assert_eq!(FeatureFile::open(&path).unwrap().names.unwrap(), ["a/1.jpg", "b/2.jpg"]);
        std::fs::write(dir.path().join("x.txt"), "notes on x").unwrap();
        let error = FeatureFile::open(&path).unwrap_err();
        assert!(
            error.to_string().contains("2 rows, and 1 name in ") && error.fault() == crate::Fault::Input,
            "{error}"
        );
        assert_eq!(FeatureFile::open(&dir.path().join("y.npy")).unwrap_err().fault(), crate::Fault::Io);
    }

    #[test]
    fn equal_rows_are_one() {
        let twice = [&bytes()[..12], &bytes()[..12]].concat();
        let file = open("x.npy", &npy(1, &header("<f4", "False", "(2, 3)"), &twice)).unwrap();
        assert!(file.digests[0] == file.digests[1] && file.features.count() == 1);
        assert_eq!(rows(&file), [VALUES[0]; 2].map(Vec::from));
    }
}
