//! A photo's bytes to 8-bit RGB, or the reason why not.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{DynamicImage, ImageDecoder, ImageReader, Limits as DecoderLimits};

/// Bounds that hold before anything is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest file, in bytes.
    pub bytes: u64,
    /// The most pixels: a decoder takes up to 8 bytes for each, on every core.
    pub pixels: u64,
}

impl Default for Limits {
    /// 256 MiB and 128 Mi pixels: beyond any camera, short of a decompression bomb.
    fn default() -> Self {
        Self { bytes: 1 << 28, pixels: 1 << 27 }
    }
}

/// A decoded photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// `[height, width, 3]`, red first.
    pub rgb: Vec<u8>,
}

/// Decodes a photo; its content says what it is, not its name.
///
/// As Pillow's `convert("RGB")`: grey is repeated, alpha dropped without blending, palettes looked up, colour
/// profiles ignored, the first frame of an animation taken; 16 bits are scaled to 8. The orientation that a camera
/// notes (EXIF) is applied. The pixels of a JPEG may differ from libjpeg's by a few levels, since the standard leaves the
/// enlarging of the colour planes open.
///
/// # Errors
/// The reason, in words: an unknown or damaged format, a file cut short, more pixels than `limits` allow. A decoder
/// that panics costs this photo only.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Image, String> {
    if bytes.is_empty() {
        return Err("an empty file".into());
    }
    catch_unwind(AssertUnwindSafe(|| decode_inner(bytes, limits)))
        .unwrap_or_else(|_| Err("the decoder failed on it: a damaged file".into()))
}

fn decode_inner(bytes: &[u8], limits: &Limits) -> Result<Image, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    if reader.format().is_none() {
        return Err("not a photo, or in a format that can't be read here".into());
    }
    if reader.format() == Some(image::ImageFormat::Jpeg) && !jpeg_is_whole(bytes) {
        return Err("cut short: the JPEG has no end marker".into());
    }
    let mut bounds = DecoderLimits::default();
    bounds.max_alloc = Some(limits.pixels.saturating_mul(8));
    reader.limits(bounds);
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(format!("{width} x {height} pixels are more than the limit of {}", limits.pixels));
    }
    // Damaged metadata is no reason to refuse the photo.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    image.apply_orientation(orientation);
    let image = image.into_rgb8();
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width == 0 || height == 0 {
        return Err("no pixels".into());
    }
    Ok(Image { width, height, rgb: image.into_raw() })
}

/// True if an end-of-image marker follows the first scan. JPEG decoders fill what is missing with grey instead of
/// failing; a photo half grey would be learnt from.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    // Over the segments before the first scan, whose payload may hold a thumbnail with markers of its own.
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        match marker {
            0xff => at += 1,
            0xda => return bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9]),
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};

    fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn jpeg() -> Vec<u8> {
        encode(ImageBuffer::from_fn(40, 24, |x, y| Rgb([x as u8 * 6, y as u8 * 10, 99])), ImageFormat::Jpeg)
    }

    fn reason(bytes: &[u8]) -> String {
        decode(bytes, &Limits::default()).unwrap_err()
    }

    #[test]
    fn colours_become_rgb() {
        let limits = Limits::default();
        let grey = encode(ImageBuffer::from_pixel(2, 1, Luma([7u8])), ImageFormat::Png);
        assert_eq!(decode(&grey, &limits).unwrap(), Image { width: 2, height: 1, rgb: vec![7; 6] });
        let alpha = encode(ImageBuffer::from_pixel(1, 1, Rgba([1u8, 2, 3, 0])), ImageFormat::Png);
        assert_eq!(decode(&alpha, &limits).unwrap().rgb, [1, 2, 3]);
        let grey_alpha = encode(ImageBuffer::from_pixel(1, 1, LumaA([9u8, 1])), ImageFormat::Png);
        assert_eq!(decode(&grey_alpha, &limits).unwrap().rgb, [9, 9, 9]);
        let deep = encode(ImageBuffer::from_pixel(1, 1, Rgb([0u16, 0x8080, 0xffff])), ImageFormat::Png);
        assert_eq!(decode(&deep, &limits).unwrap().rgb, [0, 0x80, 0xff]);
    }

    #[test]
    fn every_format_that_is_listed_can_be_read() {
        let picture = ImageBuffer::from_fn(5, 4, |x, y| Rgb([x as u8 * 50, y as u8 * 60, 0]));
        use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
        for format in [Bmp, Gif, Jpeg, Png, Tiff, WebP] {
            let image = decode(&encode(picture.clone(), format), &Limits::default()).unwrap();
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
        let image = decode(&bytes, &Limits::default()).unwrap();
        assert_eq!((image.width, image.height), (24, 40));
        // The top right corner was the top left one: no red, no green.
        assert!(image.rgb[23 * 3] < 20 && image.rgb[23 * 3 + 1] < 20, "{:?}", &image.rgb[23 * 3..24 * 3]);
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
        assert!(decode(&whole, &Limits::default()).is_ok());
    }

    #[test]
    fn large_pictures_are_refused_before_they_are_decoded() {
        let limits = Limits { pixels: 100, ..Limits::default() };
        let error = decode(&jpeg(), &limits).unwrap_err();
        assert_eq!(error, "40 x 24 pixels are more than the limit of 100");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = jpeg();
        for at in (2..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x5a;
            let _ = decode(&bytes, &Limits::default());
        }
    }
}
