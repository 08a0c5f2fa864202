//! SHA-256 of contents, by which photos, weights and files are known whatever their names.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// SHA-256 of some bytes.
pub type Digest = [u8; 32];

/// Writes bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Computes the SHA-256 of a file, in hexadecimal digits.
///
/// # Errors
/// It can't be read.
pub fn sha256(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = resnet::regular::open(path).map_err(Error::io("read", path))?;
    std::io::copy(&mut file, &mut hash).map_err(Error::io("read", path))?;
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, b"abc").unwrap();
        assert!(sha256(&path).unwrap().starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }
}
