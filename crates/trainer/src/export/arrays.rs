//! Rows of features in the formats of NumPy and safetensors.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};

use crate::features::Rows;

/// Writes safetensors: the tensor `features`, `[rows, width]` in f32, and `names`, one a row, as a JSON list `paths` in the metadata.
pub fn safetensors(rows: &Rows<'_>, names: &[String]) -> Vec<u8> {
    let bytes = bytes(rows);
    let shape = vec![rows.len(), rows.width()];
    let view = TensorView::new(Dtype::F32, shape, &bytes).expect("as many bytes as the shape says");
    let paths = serde_json::to_string(names).expect("plain data");
    let metadata = HashMap::from([("paths".to_owned(), paths)]);
    safetensors::serialize([("features", view)], Some(metadata)).expect("one plain tensor")
}

/// Writes NumPy's .npy, version 1.0, `[rows, width]` in f32: it has no room for names.
pub fn npy(rows: &Rows<'_>) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows.len(), rows.width());
    // Magic, version and length are 10 bytes; the data begins at a multiple of 64.
    let padded = (header.len() + 11).next_multiple_of(64) - 11;
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(((padded + 1) as u16).to_le_bytes());
    file.extend(format!("{header:padded$}\n").bytes());
    file.extend(bytes(rows));
    file
}

/// Tells by its first bytes whether a file was written by [`safetensors()`].
pub fn is_safetensors(beginning: &[u8]) -> bool {
    // The names may be more than the first bytes.
    beginning.get(8..).is_some_and(|header| header.starts_with(br#"{"__metadata__":{"paths":"#))
}

/// Tells by its first bytes how many rows a file has that [`npy`] wrote; none of another file.
pub fn npy_rows(beginning: &[u8]) -> Option<usize> {
    let header = beginning.strip_prefix(b"\x93NUMPY\x01\x00")?.get(2..118)?;
    let shape =
        std::str::from_utf8(header).ok()?.strip_prefix("{'descr': '<f4', 'fortran_order': False, 'shape': (")?;
    shape.split_once(',')?.0.parse().ok()
}

fn bytes(rows: &Rows<'_>) -> Vec<u8> {
    rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npy_is_padded_to_64() {
        let bytes = npy(&Rows::new(&[1.0; 6], 3).unwrap());
        assert_eq!(bytes.len(), 128 + 24);
        assert_eq!(usize::from(u16::from_le_bytes([bytes[8], bytes[9]])) + 10, 128);
        assert!(String::from_utf8_lossy(&bytes[10..128]).contains("'shape': (2, 3)"));
        assert_eq!((npy_rows(&bytes), npy_rows(b"\x93NUMPY\x01\x00v"), npy_rows(b"photo")), (Some(2), None, None));
    }

    #[test]
    fn safetensors_come_with_their_names() {
        let values = [1.0, 2.0, 3.0, 4.0];
        let names = ["a/\"1\".jpg", "b"].map(str::to_owned);
        let bytes = safetensors(&Rows::new(&values, 2).unwrap(), &names);
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensor = read.tensor("features").unwrap();
        assert_eq!(tensor.shape(), [2, 2]);
        assert!(values.iter().flat_map(|value| value.to_le_bytes()).eq(tensor.data().iter().copied()));
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let paths = &metadata.metadata().as_ref().unwrap()["paths"];
        assert_eq!(serde_json::from_str::<Vec<String>>(paths).unwrap(), names);
        assert!(is_safetensors(&bytes));
        // Weights are none.
        let weights = crate::random_weights(&resnet::Architecture::basic([1; 4], [4, 4, 8, 8], None), 1);
        assert!(!is_safetensors(&weights) && !is_safetensors(b"") && !is_safetensors(&[255; 40]));
    }
}
