//! Mends a WebP whose header tells of metadata that aren't there, which its decoder refuses.

use std::borrow::Cow;

use crate::photos::segments;

/// The bit of the header that tells of EXIF.
pub(super) const EXIF: u8 = 8;
/// The bit of the header that tells of XMP.
const XMP: u8 = 4;
/// Where the header's bits are.
const BITS: usize = 20;

/// Clears the bits of metadata that aren't there.
pub(super) fn mended(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut names = segments::of_webp(bytes).map(|(name, _)| name);
    if names.next() != Some(b"VP8X") {
        return bytes.into();
    }
    let mut absent = EXIF | XMP;
    for name in names {
        match name {
            b"EXIF" => absent &= !EXIF,
            b"XMP " => absent &= !XMP,
            _ => {}
        }
    }
    if bytes.get(BITS).is_none_or(|bits| bits & absent == 0) {
        return bytes.into();
    }
    let mut mended = bytes.to_vec();
    mended[BITS] &= !absent;
    mended.into()
}
