//! Decodes JPEGs, with the decoder that was built in, and finds those that are cut short.

#[cfg(feature = "turbojpeg")]
use image::{DynamicImage, GrayImage, RgbImage};

/// The name of the JPEG decoder. Its pixels, and so the features, differ a little from another's.
pub const JPEG_DECODER: &str = if cfg!(feature = "turbojpeg") { "libjpeg-turbo" } else { "zune-jpeg" };

/// Tells whether an end-of-image marker follows the first scan. JPEG decoders fill what is missing with grey instead of
/// failing; a photo half grey would be learnt from.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
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

/// Decodes a JPEG by libjpeg-turbo, as Pillow has it do: exact inverse DCT, smooth enlarging of the colour planes, the full size.
#[cfg(feature = "turbojpeg")]
pub(super) fn by_libjpeg(bytes: &[u8]) -> Result<DynamicImage, String> {
    use mozjpeg::{ColorSpace, Decompress};
    // What it refuses it says by unwinding.
    let decoded = std::panic::catch_unwind(|| {
        let decoder = Decompress::new_mem(bytes)?;
        let (width, height) = (decoder.width() as u32, decoder.height() as u32);
        let (space, channels) = match decoder.components().len() {
            1 => (ColorSpace::JCS_GRAYSCALE, 1),
            4 => (ColorSpace::JCS_CMYK, 4),
            _ => (ColorSpace::JCS_RGB, 3),
        };
        let mut started = decoder.to_colorspace(space)?;
        let pixels: Vec<u8> = started.read_scanlines()?;
        started.finish()?;
        std::io::Result::Ok((width, height, channels, pixels))
    });
    let (width, height, channels, pixels) = match decoded {
        Ok(decoded) => decoded.map_err(|error| error.to_string())?,
        Err(payload) => return Err(payload.downcast_ref::<String>().cloned().unwrap_or("a damaged JPEG".into())),
    };
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
