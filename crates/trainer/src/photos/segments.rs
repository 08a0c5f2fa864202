//! Walks the parts that JPEG, PNG and WebP files are made of, without decoding them.

/// A marker of a JPEG and what its segment holds: nothing where a marker stands alone.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    /// The marker's second byte.
    pub(super) marker: u8,
    /// Where the marker begins.
    pub(super) at: usize,
    /// What follows the length.
    pub(super) payload: &'a [u8],
}

/// The marker that a JPEG begins with.
pub(super) const START_OF_IMAGE: u8 = 0xd8;
/// The marker that a JPEG ends with.
pub(super) const END_OF_IMAGE: u8 = 0xd9;
/// The marker that the coded pixels follow.
pub(super) const START_OF_SCAN: u8 = 0xda;

/// Lists the segments of a JPEG after its first marker. Scans are stepped over, and stray bytes, as libjpeg does; a segment that the
/// file doesn't hold to its end isn't listed.
pub(super) fn of_jpeg(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = 2;
    std::iter::from_fn(move || {
        while !matches!(bytes.get(at..at + 2)?, [0xff, 0x01..=0xfe]) {
            at += 1;
        }
        let (marker, start) = (bytes[at + 1], at);
        at += 2;
        if matches!(marker, 0x01 | 0xd0..=END_OF_IMAGE) {
            return Some(Segment { marker, at: start, payload: &[] });
        }
        let length = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?])).max(2);
        let payload = bytes.get(at + 2..at + length)?;
        at += length;
        Some(Segment { marker, at: start, payload })
    })
}

/// Lists the chunks of a PNG, by name.
pub(super) fn of_png(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (size, after) = rest.split_first_chunk()?;
        let (name, after) = after.split_at_checked(4)?;
        let (payload, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
        rest = after.get(4..).unwrap_or_default();
        Some((name, payload))
    })
}

/// Lists the chunks of a WebP, by name.
pub(super) fn of_webp(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes.get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (name, after) = rest.split_at_checked(4)?;
        let (size, after) = after.split_first_chunk()?;
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        let (payload, after) = after.split_at_checked(size)?;
        rest = after.get(size % 2..).unwrap_or_default();
        Some((name, payload))
    })
}
