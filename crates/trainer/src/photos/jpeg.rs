//! Decodes JPEGs, with the decoder that was built in, and finds those that are cut short.

#[cfg(feature = "turbojpeg")]
use image::{DynamicImage, GrayImage, RgbImage};

use crate::photos::segments::{self, END_OF_IMAGE, START_OF_IMAGE, START_OF_SCAN};
#[cfg(feature = "turbojpeg")]
use crate::photos::{limits::Limits, picture::room};

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
pub(super) fn by_libjpeg(bytes: &[u8], limits: &Limits, memory: Vec<u8>) -> Result<DynamicImage, String> {
    use mozjpeg::{ColorSpace, Decompress};
    let words = |error: std::io::Error| error.to_string();
    // What it refuses it says by unwinding.
    let decoded = std::panic::catch_unwind(|| {
        let decoder = Decompress::new_mem(bytes).map_err(words)?;
        let (width, height) = (decoder.width() as u32, decoder.height() as u32);
        limits.check_pixels(width, height)?;
        let (space, channels) = match decoder.components().len() {
            1 => (ColorSpace::JCS_GRAYSCALE, 1),
            4 => (ColorSpace::JCS_CMYK, 4),
            _ => (ColorSpace::JCS_RGB, 3),
        };
        let mut started = decoder.to_colorspace(space).map_err(words)?;
        let mut pixels = room(memory, width as usize * height as usize * channels)?;
        started.read_scanlines_into(&mut pixels).map_err(words)?;
        started.finish().map_err(words)?;
        Ok::<_, String>((width, height, channels, pixels))
    });
    let (width, height, channels, pixels) = decoded.unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().map_or("a damaged JPEG", |said| said);
        Err(format!("libjpeg-turbo: {}", said.trim_start_matches("libjpeg fatal error: ")))
    })?;
    let image = match channels {
        1 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        3 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, inks(&pixels)).map(DynamicImage::from),
    };
    image.ok_or_else(|| "the JPEG holds fewer pixels than it says".into())
}

/// Converts CMYK as Adobe stores it, inverted, to RGB as Pillow does.
#[cfg(feature = "turbojpeg")]
fn inks(pixels: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(pixels.len() / 4 * 3);
    for &[cyan, magenta, yellow, key] in pixels.as_chunks::<4>().0 {
        rgb.extend([cyan, magenta, yellow].map(|ink| {
            let product = u32::from(255 - ink) * u32::from(key) + 128;
            (i64::from(key) - i64::from(((product >> 8) + product) >> 8)).max(0) as u8
        }));
    }
    rgb
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
