//! Reads the first directory of a TIFF, which EXIF is too: its whole numbers by their tags.

/// The first directory of a TIFF or BigTIFF, of either byte order.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// The bytes of an entry's count and of its value: 8 in BigTIFF.
    width: usize,
    /// As many entries as the file holds.
    entries: &'a [u8],
}

impl<'a> Directory<'a> {
    /// Finds the directory; none where the bytes are no TIFF.
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = match bytes.get(..2)? {
            b"II" => false,
            b"MM" => true,
            _ => return None,
        };
        let (width, count_width) = match number(bytes.get(2..4)?, big_endian) {
            42 => (4, 2),
            43 => (8, 8),
            _ => return None,
        };
        let at = usize::try_from(number(bytes.get(width..2 * width)?, big_endian)).ok()?;
        let rest = bytes.get(at..)?;
        let count = usize::try_from(number(rest.get(..count_width)?, big_endian)).ok()?;
        let entries = &rest[count_width..];
        let entries = &entries[..entries.len().min(count.saturating_mul(4 + 2 * width))];
        Some(Self { bytes, big_endian, width, entries })
    }

    /// Tells whether a tag is there, of any type.
    pub(super) fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// Lists a tag's values where they are whole numbers (BYTE or UNDEFINED are text), and nothing otherwise. Of a tag that is there
    /// twice the last counts.
    pub(super) fn numbers(&self, tag: u16) -> Vec<u64> {
        self.find(tag).unwrap_or_default()
    }

    /// Gives a tag's only value.
    pub(super) fn number(&self, tag: u16) -> Option<u64> {
        match self.numbers(tag)[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    fn entry(&self, tag: u16) -> Option<&'a [u8]> {
        self.entries.chunks_exact(4 + 2 * self.width).rfind(|entry| self.value(&entry[..2]) == u64::from(tag))
    }

    fn find(&self, tag: u16) -> Option<Vec<u64>> {
        let entry = self.entry(tag)?;
        let size = match self.value(&entry[2..4]) {
            6 => 1,
            3 | 8 => 2,
            4 | 9 | 13 => 4,
            16..=18 => 8,
            _ => return None,
        };
        let length = usize::try_from(self.value(&entry[4..4 + self.width])).ok()?.checked_mul(size)?;
        let place = &entry[4 + self.width..];
        let values = match place.get(..length) {
            Some(values) => values,
            None => {
                let at = usize::try_from(self.value(place)).ok()?;
                self.bytes.get(at..at.checked_add(length)?)?
            }
        };
        Some(values.chunks_exact(size).map(|value| self.value(value)).collect())
    }

    fn value(&self, bytes: &[u8]) -> u64 {
        number(bytes, self.big_endian)
    }
}

/// Reads an unsigned number of up to 8 bytes.
fn number(bytes: &[u8], big_endian: bool) -> u64 {
    let append = |value, &byte| value << 8 | u64::from(byte);
    if big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) }
}
