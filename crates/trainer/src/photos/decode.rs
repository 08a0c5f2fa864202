//! Decodes a photo's bytes to pixels, or says why it can't. A table in `docs/preprocessing.md` tells what becomes of each kind of photo,
//! beside what Pillow makes of it.

use std::fmt;
use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, ExtendedColorType, ImageDecoder, ImageFormat, ImageReader};

use crate::photos::limits::Limits;
use crate::photos::memory::{Room, allocate};
use crate::photos::picture::{Alpha, Meaning, Picture, check, into_rgb};
use crate::photos::reading::{Exif, Reading};
use crate::photos::{bmp, foreign, gif, jpeg, jpeg_header, orientation, tiff, webp};

/// The bytes that a decoder may take besides the pixels, for metadata that unfold and for strips and tiles, in bytes.
const OVERHEAD: u64 = 64 << 20;

/// Decodes as [`decode`](crate::photos::decode) does, but on the calling thread, as long as it takes, panics and all: what a fuzzer
/// wants to see.
///
/// # Errors
/// As [`decode`](crate::photos::decode), but for the time and the memory of others.
pub fn decode_unguarded(bytes: &[u8], reading: &Reading, limits: &Limits) -> Result<Picture, String> {
    decode_into(bytes, reading, limits, Vec::new(), &mut |_| Ok(()))
}

/// Decodes as [`decode_unguarded`] does, into `memory` where that is large enough, and asks for `room` before it takes more.
pub(crate) fn decode_into(
    bytes: &[u8],
    reading: &Reading,
    limits: &Limits,
    memory: Vec<u8>,
    room: Room,
) -> Result<Picture, String> {
    if bytes.is_empty() {
        return Err("an empty file".into());
    }
    if let Some(reason) = foreign::reason(bytes) {
        return Err(reason);
    }
    let format = tiff::guess_format(bytes).ok_or("not a photo, or in a format that can't be read here")?;
    if format == ImageFormat::Gif {
        return gif::first_frame(bytes, reading.background, limits, memory, room);
    }
    if format == ImageFormat::Jpeg && !jpeg::is_whole(bytes) {
        return Err("cut short: the JPEG has no end marker".into());
    }
    let bytes = match format {
        ImageFormat::Bmp => bmp::mended(bytes),
        ImageFormat::Jpeg => jpeg_header::mended(bytes)?,
        ImageFormat::Tiff => tiff::mended(bytes)?,
        ImageFormat::WebP => webp::mended(bytes),
        _ => bytes.into(),
    };
    let orientation = match reading.exif {
        Exif::Ignore if format != ImageFormat::Tiff => Orientation::NoTransforms,
        _ => orientation::of(&bytes, format),
    };
    #[cfg(feature = "turbojpeg")]
    if format == ImageFormat::Jpeg {
        return jpeg::by_libjpeg(&bytes, limits, memory, room)?.turned(orientation);
    }
    let mut reader = ImageReader::with_format(Cursor::new(&*bytes), format);
    let mut bounds = image::Limits::default();
    bounds.max_alloc = Some(OVERHEAD);
    reader.limits(bounds.clone());
    let mut decoder = reader.into_decoder().map_err(words)?;
    let (width, height) = decoder.dimensions();
    let pixels = limits.check_pixels(width, height)?;
    let color = decoder.color_type();
    check(color)?;
    // Pixels become RGB where they lie; some decoders hold them once more.
    let (stored, converted) = (decoder.total_bytes(), 3 * pixels);
    let besides = stored.saturating_add(OVERHEAD);
    room(stored.max(converted).saturating_add(stored))?;
    bounds.max_alloc = Some(stored.saturating_add(besides));
    decoder.set_limits(bounds).map_err(words)?;
    // A PNG that marks a level as transparent comes with alpha, which Pillow doesn't see: what was stored tells.
    let deep_grey = decoder.original_color_type() == ExtendedColorType::L16
        || format == ImageFormat::Png && bytes.get(24..26) == Some(&[16, 0]);
    let alpha = match color {
        ColorType::Rgba8 | ColorType::Rgba16 if format == ImageFormat::Tiff => tiff::alpha(&bytes),
        _ if deep_grey => Alpha::Meaningless,
        _ => Alpha::Straight,
    };
    // What a decoder takes of itself it takes without asking, and ends the program where there is none: it is tried for first.
    drop(allocate(Vec::new(), stored)?);
    let mut rgb = allocate(memory, stored.max(converted))?;
    decoder.read_image(&mut rgb[..stored as usize]).map_err(words)?;
    into_rgb(&mut rgb, pixels as usize, Meaning { color, alpha, background: reading.background })?;
    Picture::new([width as usize, height as usize], rgb)?.turned(orientation)
}

/// Words what a decoder says is wrong.
fn words(error: impl fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageBuffer, Luma, LumaA, Rgb, Rgba};

    fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn jpeg() -> Vec<u8> {
        encode(ImageBuffer::from_fn(40, 24, |x, y| Rgb([x as u8 * 6, y as u8 * 10, 99])), ImageFormat::Jpeg)
    }

    /// Decodes with the defaults.
    fn read(bytes: &[u8]) -> Result<Picture, String> {
        decode_unguarded(bytes, &Reading::default(), &Limits::default())
    }

    fn reason(bytes: &[u8]) -> String {
        read(bytes).unwrap_err()
    }

    #[test]
    fn colours_become_rgb() {
        let grey = encode(ImageBuffer::from_pixel(2, 1, Luma([7u8])), ImageFormat::Png);
        assert_eq!(read(&grey).unwrap(), Picture { width: 2, height: 1, rgb: vec![7; 6] });
        let alpha = encode(ImageBuffer::from_pixel(1, 1, Rgba([1u8, 2, 3, 0])), ImageFormat::Png);
        assert_eq!(read(&alpha).unwrap().rgb, [1, 2, 3]);
        let grey_alpha = encode(ImageBuffer::from_pixel(1, 1, LumaA([9u8, 1])), ImageFormat::Png);
        assert_eq!(read(&grey_alpha).unwrap().rgb, [9, 9, 9]);
        let deep = encode(ImageBuffer::from_pixel(1, 1, Rgb([0x00ffu16, 0x8080, 0xffff])), ImageFormat::Png);
        assert_eq!(read(&deep).unwrap().rgb, [0, 0x80, 0xff]);
    }

    #[test]
    fn deep_grey_is_cut_off_whether_or_not_a_level_is_clear() {
        let mut png =
            encode(ImageBuffer::from_fn(3, 1, |x, _| Luma([[40u16, 260, 200][x as usize]])), ImageFormat::Png);
        let plain = read(&png).unwrap();
        assert_eq!(plain.rgb, [40, 40, 40, 255, 255, 255, 200, 200, 200]);
        // A chunk between header and pixels that says that level 200 is clear.
        png.splice(33..33, *b"\0\0\0\x02tRNS\0\xc8\xe3\x2c\x87\xba");
        assert_eq!(read(&png).unwrap(), plain);
    }

    #[test]
    fn every_format_that_is_listed_can_be_read() {
        let picture = ImageBuffer::from_fn(5, 4, |x, y| Rgb([x as u8 * 50, y as u8 * 60, 0]));
        use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
        for format in [Bmp, Gif, Jpeg, Png, Tiff, WebP] {
            let image = read(&encode(picture.clone(), format)).unwrap();
            assert_eq!((image.width, image.height), (5, 4), "{format:?}");
            if !matches!(format, Jpeg | Gif) {
                assert_eq!(&image.rgb, picture.as_raw(), "{format:?}");
            }
        }
    }

    #[test]
    fn the_camera_says_what_is_up() {
        // An EXIF segment that holds one tag: orientation 6, to be turned by 90 degrees clockwise.
        let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01".to_vec();
        exif.extend(b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00");
        let mut bytes = jpeg();
        bytes.splice(2..2, exif);
        let image = read(&bytes).unwrap();
        assert_eq!((image.width, image.height), (24, 40));
        // The top right corner was the top left one: no red, no green.
        assert!(image.rgb[23 * 3] < 20 && image.rgb[23 * 3 + 1] < 20, "{:?}", &image.rgb[23 * 3..24 * 3]);
    }

    #[test]
    fn memory_is_used_again_and_leaves_nothing_behind() {
        let picture = ImageBuffer::from_fn(5, 4, |x, y| Rgb([x as u8 * 50, y as u8 * 60, 7]));
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif] {
            let bytes = encode(picture.clone(), format);
            let fresh = decode_unguarded(&bytes, &Reading::default(), &Limits::default()).unwrap();
            for memory in [vec![9; 1000], vec![9; 3]] {
                let again =
                    decode_into(&bytes, &Reading::default(), &Limits::default(), memory, &mut |_| Ok(())).unwrap();
                assert_eq!(again, fresh, "{format:?}");
            }
        }
        let memory = vec![9; 1000];
        let place = memory.as_ptr();
        let bytes = encode(picture, ImageFormat::Png);
        let image = decode_into(&bytes, &Reading::default(), &Limits::default(), memory, &mut |_| Ok(())).unwrap();
        assert_eq!(image.rgb.as_ptr(), place);
    }

    #[test]
    fn what_is_damaged_is_refused_with_a_reason() {
        assert_eq!(reason(b""), "an empty file");
        assert!(reason(b"hello, this is text").contains("not a photo"));
        let whole = jpeg();
        for keep in [20, whole.len() / 2, whole.len() - 2] {
            assert!(reason(&whole[..keep]).contains("cut short"), "{keep}");
        }
        let png = encode(ImageBuffer::from_pixel(64, 64, Rgb([1u8, 2, 3])), ImageFormat::Png);
        assert!(!reason(&png[..png.len() / 2]).is_empty());
        assert!(read(&whole).is_ok());
    }

    #[test]
    fn large_pictures_are_refused_before_they_are_decoded() {
        let limits = Limits { pixels: 100, ..Limits::default() };
        let error = decode_unguarded(&jpeg(), &Reading::default(), &limits).unwrap_err();
        assert_eq!(error, "40 x 24 pixels are more than the limit of 100");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = jpeg();
        for at in (2..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x5a;
            let _ = decode_unguarded(&bytes, &Reading::default(), &Limits::default());
        }
    }
}
