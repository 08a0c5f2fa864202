//! SHA-256 of contents, by which photos, weights and files are known whatever their names.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// SHA-256 of some bytes.
pub type Digest = [u8; 32];

/// Writes bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads a digest that [`hex`] has written; none of another text.
pub fn of_hex(text: &str) -> Option<Digest> {
    let pairs = text.as_bytes().as_chunks::<2>();
    if text.len() != 2 * size_of::<Digest>() || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let value = |digit: u8| if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 };
    Some(std::array::from_fn(|place| 16 * value(pairs.0[place][0]) + value(pairs.0[place][1])))
}

/// Computes the SHA-256 of some bytes, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Reads a file piece by piece: its length in bytes, and the SHA-256 of its content in hexadecimal digits.
///
/// # Errors
/// It can't be read.
pub(crate) fn sha256_of(path: &Path) -> std::io::Result<(u64, String)> {
    let (mut file, mut hash) = (resnet::regular::open(path)?, Sha256::new());
    let bytes = std::io::copy(&mut file, &mut hash)?;
    Ok((bytes, hex(&hash.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_known_one() {
        let digest: Digest = Sha256::digest(b"abc").into();
        assert_eq!(of_hex(&hex(&digest)), Some(digest));
        assert_eq!([of_hex("ab"), of_hex(&"AB".repeat(32)), of_hex(&"é".repeat(32))], [None; 3]);
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
