//! What a TIFF's directory says that its decoder doesn't heed.

use std::borrow::Cow;

use image::ImageFormat;

use crate::photos::directory::Directory;
use crate::photos::picture::Alpha;

/// Finds a file's format by its first bytes. BigTIFF is one that its decoder reads, and isn't looked for elsewhere.
pub(super) fn guess_format(bytes: &[u8]) -> Option<ImageFormat> {
    if bytes.starts_with(b"II\x2b\0") || bytes.starts_with(b"MM\0\x2b") {
        return Some(ImageFormat::Tiff);
    }
    image::guess_format(bytes).ok()
}

/// Puts the bits of a TIFF in the usual order.
///
/// # Errors
/// It is stored in a way that its decoder fails on, in words.
pub(super) fn mended(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    const COMPRESSION: u16 = 259;
    const FILL_ORDER: u16 = 266;
    const PLANAR_CONFIGURATION: u16 = 284;
    const TILE_WIDTH: u16 = 322;
    /// Where strips and tiles begin, and their lengths.
    const PLACES: [(u16, u16); 2] = [(273, 279), (324, 325)];
    let Some(directory) = Directory::first(bytes) else { return Ok(bytes.into()) };
    if directory.number(PLANAR_CONFIGURATION) == Some(2) && directory.has(TILE_WIDTH) {
        return Err("a TIFF of tiles whose colours are stored apart can't be read here: save it as strips".into());
    }
    // JPEG has an order of its own.
    if directory.number(FILL_ORDER) != Some(2) || matches!(directory.number(COMPRESSION), Some(6 | 7)) {
        return Ok(bytes.into());
    }
    let mut mended = bytes.to_vec();
    for (offsets, lengths) in PLACES {
        for (offset, length) in directory.numbers(offsets).into_iter().zip(directory.numbers(lengths)) {
            let end = usize::try_from(offset.saturating_add(length)).unwrap_or(usize::MAX).min(bytes.len());
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(end);
            // From the file, so that strips that share bytes aren't turned twice.
            for (turned, byte) in mended[start..end].iter_mut().zip(&bytes[start..end]) {
                *turned = byte.reverse_bits();
            }
        }
    }
    Ok(mended.into())
}

/// Tells what the fourth channel of a colour photo is, as Pillow takes it.
pub(super) fn alpha(bytes: &[u8]) -> Alpha {
    const EXTRA_SAMPLES: u16 = 338;
    match Directory::first(bytes).map(|directory| directory.numbers(EXTRA_SAMPLES)).as_deref() {
        Some([1]) => Alpha::Associated,
        Some([0]) => Alpha::Meaningless,
        _ => Alpha::Straight,
    }
}

#[cfg(test)]
mod tests {
    use crate::photos::{Background, Limits, Picture, Reading, decode_unguarded};

    /// Writes a TIFF or a BigTIFF: pixels, then a directory of SHORTs. A tag without values tells of the pixels' place or length.
    fn tiff(big: bool, entries: &[(u16, &[u16])], pixels: &[u8]) -> Vec<u8> {
        let width = if big { 8 } else { 4 };
        let start = 2 * width;
        let number = |value: usize, width: usize| (value as u64).to_le_bytes()[..width].to_vec();
        let mut bytes = if big { b"II\x2b\0\x08\0\0\0".to_vec() } else { b"II*\0".to_vec() };
        bytes.extend(number(start + pixels.len(), width));
        bytes.extend(pixels);
        bytes.extend(number(entries.len(), if big { 8 } else { 2 }));
        let mut behind = Vec::new();
        let end = bytes.len() + entries.len() * (4 + 2 * width) + width;
        for &(tag, values) in entries {
            let place = if matches!(tag, 279 | 325) { pixels.len() as u16 } else { start as u16 };
            let values = if values.is_empty() { &[place] } else { values };
            bytes.extend([tag.to_le_bytes(), 3u16.to_le_bytes()].concat());
            bytes.extend(number(values.len(), width));
            let mut value: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            if value.len() > width {
                let at = number(end + behind.len(), width);
                behind.append(&mut std::mem::replace(&mut value, at));
            }
            value.resize(width, 0);
            bytes.extend(value);
        }
        [bytes, vec![0; width], behind].concat()
    }

    /// One row of colour with a fourth channel, of 8 or 16 bits.
    fn rgba(bits: u16, extra: u16, pixels: &[u8]) -> Vec<u8> {
        let width = pixels.len() as u16 / (bits / 2);
        let size: [(u16, &[u16]); 4] = [(256, &[width]), (257, &[1]), (258, &[bits; 4]), (262, &[2])];
        let rest: [(u16, &[u16]); 5] = [(273, &[]), (277, &[4]), (278, &[1]), (279, &[]), (338, &[extra])];
        tiff(false, &[&size[..], &rest].concat(), pixels)
    }

    fn read(bytes: &[u8]) -> Result<Picture, String> {
        decode_unguarded(bytes, &Reading::default(), &Limits::default())
    }

    #[test]
    fn colours_are_divided_by_the_alpha_that_they_were_multiplied_by() {
        let pixels = [10, 50, 99, 100, 1, 2, 3, 0, 7, 8, 9, 255, 200, 4, 5, 100];
        let divided = [25, 127, 252, 0, 0, 0, 7, 8, 9, 255, 10, 12];
        assert_eq!(read(&rgba(8, 1, &pixels)).unwrap().rgb, divided);
        let deep: Vec<u8> = pixels.iter().flat_map(|&value| [0x55, value]).collect();
        assert_eq!(read(&rgba(16, 1, &deep)).unwrap().rgb, divided);
        let plain = [10, 50, 99, 1, 2, 3, 7, 8, 9, 200, 4, 5];
        assert_eq!(read(&rgba(8, 2, &pixels)).unwrap().rgb, plain);
        // A fourth channel of no meaning lets nothing through.
        let reading = Reading { background: Background::Over([255; 3]), ..Reading::default() };
        assert_eq!(decode_unguarded(&rgba(8, 0, &pixels), &reading, &Limits::default()).unwrap().rgb, plain);
    }

    #[test]
    fn bits_in_reverse_are_put_in_order() {
        let entries = |order| -> Vec<(u16, Vec<u16>)> {
            let [size, rest] = [[(256, 8), (257, 2), (258, 1), (262, 1)], [(266, order), (273, 0), (278, 2), (279, 0)]];
            let value = |(tag, value)| (tag, if matches!(tag, 273 | 279) { vec![] } else { vec![value] });
            [size, rest].concat().into_iter().map(value).collect()
        };
        let bytes = |order, pixels: &[u8]| {
            let entries = entries(order);
            let entries: Vec<_> = entries.iter().map(|(tag, values)| (*tag, &values[..])).collect();
            tiff(false, &entries, pixels)
        };
        let usual = read(&bytes(1, &[0b1100_1000, 0b0000_0111])).unwrap();
        assert_eq!(usual.rgb[..9], [255, 255, 255, 255, 255, 255, 0, 0, 0]);
        assert_eq!(read(&bytes(2, &[0b0001_0011, 0b1110_0000])).unwrap(), usual);
    }

    #[test]
    fn tiles_with_colours_apart_are_refused_by_name() {
        let size: [(u16, &[u16]); 5] = [(256, &[16]), (257, &[16]), (258, &[8; 3]), (262, &[2]), (277, &[3])];
        let places = [16 / 2, 264, 520];
        let tiles: [(u16, &[u16]); 5] = [(284, &[2]), (322, &[16]), (323, &[16]), (324, &places), (325, &[256; 3])];
        let bytes = tiff(false, &[&size[..], &tiles].concat(), &[7; 768]);
        assert!(read(&bytes).unwrap_err().contains("tiles whose colours are stored apart"));
    }

    #[test]
    fn a_big_tiff_is_read() {
        let size: [(u16, &[u16]); 4] = [(256, &[2]), (257, &[1]), (258, &[8]), (262, &[1])];
        let rest: [(u16, &[u16]); 4] = [(273, &[]), (277, &[1]), (278, &[1]), (279, &[])];
        let entries = [&size[..], &rest].concat();
        let [small, big] = [false, true].map(|big| read(&tiff(big, &entries, &[3, 9])).unwrap());
        assert_eq!(big.rgb, [3, 3, 3, 9, 9, 9]);
        assert_eq!(small, big);
    }
}
