//! Mends a bitmap whose header says that the pixels begin where its palette does, as Pillow mends it.

use std::borrow::Cow;

/// Where the header says where the pixels begin.
const OFFSET: usize = 10;
/// Where the header's second part begins, with its own length.
const INFO: usize = 14;

/// Moves the pixels' beginning behind the palette.
pub(super) fn mended(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some(offset) = behind_palette(bytes) else { return bytes.into() };
    let mut mended = bytes.to_vec();
    mended[OFFSET..OFFSET + 4].copy_from_slice(&offset.to_le_bytes());
    mended.into()
}

/// Finds where the palette ends, if the pixels are said to begin where it begins.
fn behind_palette(bytes: &[u8]) -> Option<u32> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (offset, info) = (number(OFFSET)?, number(INFO)?);
    // The old header is short, and its palette has no fourth byte.
    let (bits_at, colour) = if info == 12 { (INFO + 10, 3) } else { (INFO + 14, 4) };
    let bits = u32::from(u16::from_le_bytes(bytes.get(bits_at..bits_at + 2)?.try_into().ok()?));
    if bits > 8 || offset != info.checked_add(INFO as u32)? {
        return None;
    }
    let colours = if info == 12 { 0 } else { number(INFO + 32)? };
    let colours = if colours == 0 { 1 << bits } else { colours };
    offset.checked_add(colours.checked_mul(colour)?)
}

#[cfg(test)]
mod tests {
    use crate::photos::{Limits, Reading, decode_unguarded};

    /// Two pixels of a palette of red, green and blue, by the old or the usual header.
    fn bitmap(old: bool, offset: u32, colours: u32) -> Vec<u8> {
        let mut bytes = [b"BM\0\0\0\0\0\0\0\0", &offset.to_le_bytes()[..]].concat();
        let palette: &[&[u8]] = &[&[0, 0, 255, 0], &[0, 255, 0, 0], &[255, 0, 0, 0]];
        if old {
            bytes.extend(b"\x0c\0\0\0\x02\0\x01\0\x01\0\x08\0");
            bytes.extend(palette.iter().flat_map(|colour| &colour[..3]));
            bytes.extend([9; 253 * 3]);
        } else {
            bytes.extend(b"\x28\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\x08\0");
            bytes.extend([[0; 4]; 4].concat());
            bytes.extend([colours.to_le_bytes(), [0; 4]].concat());
            bytes.extend(palette.concat());
            bytes.resize(bytes.len() + if colours == 0 { 253 * 4 } else { 0 }, 9);
        }
        bytes.extend([2, 1, 0, 0]);
        bytes
    }

    #[test]
    fn pixels_begin_behind_the_palette() {
        // The right offset, and the palette's.
        for (old, colours, offsets) in [(false, 3, [66, 54]), (false, 0, [1078, 54]), (true, 0, [794, 26])] {
            for offset in offsets {
                let bytes = bitmap(old, offset, colours);
                let picture = decode_unguarded(&bytes, &Reading::default(), &Limits::default()).unwrap();
                assert_eq!(picture.rgb, [0, 0, 255, 0, 255, 0], "{offset}");
            }
        }
    }
}
