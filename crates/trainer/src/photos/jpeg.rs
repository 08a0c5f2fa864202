//! Decodes JPEGs, with the decoder that was built in, and finds those that are cut short.

#[cfg(feature = "turbojpeg")]
use std::panic::AssertUnwindSafe;

use crate::photos::segments::{self, END_OF_IMAGE, START_OF_IMAGE, START_OF_SCAN};
#[cfg(feature = "turbojpeg")]
use crate::photos::{
    limits::Limits,
    memory::{Room, allocate},
    picture::{Picture, in_place},
};

/// The name of the JPEG decoder. Its pixels, and so the features, differ a little from another's.
pub const JPEG_DECODER: &str = if cfg!(feature = "turbojpeg") { "libjpeg-turbo" } else { "zune-jpeg" };

/// Tells whether an end-of-image marker follows the file's own scans; another picture may lie behind. JPEG decoders fill what is
/// missing with grey instead of failing; a photo half grey would be learnt from.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let mut scanned = false;
    for segment in segments::of_jpeg(bytes) {
        match segment.marker {
            START_OF_SCAN => scanned = true,
            START_OF_IMAGE => return false,
            END_OF_IMAGE => return scanned,
            _ => {}
        }
    }
    false
}

/// Decodes a JPEG by libjpeg-turbo, as Pillow has it do: exact inverse DCT, smooth enlarging of the colour planes, the full size.
#[cfg(feature = "turbojpeg")]
pub(super) fn by_libjpeg(bytes: &[u8], limits: &Limits, memory: Vec<u8>, room: Room) -> Result<Picture, String> {
    use mozjpeg::{ColorSpace, Decompress};
    let words = |error: std::io::Error| error.to_string();
    // What it refuses it says by unwinding.
    let decoded = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let decoder = Decompress::new_mem(bytes).map_err(words)?;
        let [width, height] = [decoder.width(), decoder.height()];
        let pixels = limits.check_pixels(width as u32, height as u32)?;
        let (space, channels) = match decoder.components().len() {
            1 => (ColorSpace::JCS_GRAYSCALE, 1),
            4 => (ColorSpace::JCS_CMYK, 4),
            _ => (ColorSpace::JCS_RGB, 3),
        };
        // Of progressive ones the decoder holds all coefficients besides, two bytes each.
        let stored = pixels * channels;
        room(stored.max(3 * pixels) + 2 * stored)?;
        let mut rgb = allocate(memory, stored.max(3 * pixels))?;
        let mut started = decoder.to_colorspace(space).map_err(words)?;
        started.read_scanlines_into(&mut rgb[..stored as usize]).map_err(words)?;
        started.finish().map_err(words)?;
        Ok::<_, String>(([width, height], channels, rgb))
    }));
    let ([width, height], channels, mut rgb) = decoded.unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().map_or("a damaged JPEG", |said| said);
        Err(format!("libjpeg-turbo: {}", said.trim_start_matches("libjpeg fatal error: ")))
    })?;
    match channels {
        1 => in_place(&mut rgb, width * height, |[grey]| [grey; 3]),
        4 => in_place(&mut rgb, width * height, inks),
        _ => {}
    }
    rgb.truncate(3 * width * height);
    Picture::new([width, height], rgb)
}

/// Converts CMYK as Adobe stores it, inverted, to RGB as Pillow does.
#[cfg(feature = "turbojpeg")]
fn inks([cyan, magenta, yellow, key]: [u8; 4]) -> [u8; 3] {
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(255 - ink) * u32::from(key) + 128;
        (i64::from(key) - i64::from(((product >> 8) + product) >> 8)).max(0) as u8
    })
}

#[cfg(test)]
mod tests {
    use crate::photos::{Limits, Picture, Reading, decode_unguarded};
    use image::{ImageBuffer, ImageFormat, Rgb};
    use std::io::Cursor;

    fn encode() -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture = ImageBuffer::from_fn(40, 24, |x, y| Rgb([x as u8 * 6, y as u8 * 10, 99]));
        picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    fn read(bytes: &[u8]) -> Result<Picture, String> {
        decode_unguarded(bytes, &Reading::default(), &Limits::default())
    }

    #[test]
    fn stray_bytes_between_markers_cut_nothing_short() {
        let whole = encode();
        let table = whole.windows(2).position(|pair| pair == [0xff, 0xdb]).unwrap();
        for stray in [&[0, 7][..], &[0xff, 0xff], &[1, 2, 3]] {
            let mut bytes = whole.clone();
            bytes.splice(table..table, stray.iter().copied());
            assert_eq!(read(&bytes), read(&whole), "{stray:?}");
        }
        // A segment that says it is shorter than it is.
        let mut bytes = whole.clone();
        bytes.splice(2..2, *b"\xff\xe5\0\x04abcd");
        assert_eq!(read(&bytes), read(&whole));
    }

    #[test]
    fn another_pictures_end_is_not_its_own() {
        let whole = encode();
        let cut = &whole[..whole.len() - 30];
        for behind in [&whole[..], &whole[..whole.len() / 2], b"\xff\xd8\xff\xd9"] {
            assert!(read(&[cut, behind].concat()).unwrap_err().contains("cut short"));
            assert_eq!(read(&[&whole, behind].concat()), read(&whole));
        }
        // The thumbnail's end lies within a segment.
        let mut bytes = whole[..whole.len() / 2].to_vec();
        bytes.splice(2..2, *b"\xff\xe5\0\x06\xff\xda\xff\xd9");
        assert!(read(&bytes).unwrap_err().contains("cut short"));
    }
}
