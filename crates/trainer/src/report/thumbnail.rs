//! A photo made small, in the text of a page.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, RgbImage};

use crate::photos::{Failure, Limits, Reading, decode};

/// The longest side, in pixels.
const SIDE: u32 = 112;

/// Makes a photo small, as a `data:` URL of a JPEG, read as `reading` says and within `limits`; none if its content couldn't be read, or can't be
/// decoded.
pub(crate) fn thumbnail(content: Result<Vec<u8>, Failure>, reading: &Reading, limits: &Limits) -> Option<String> {
    let picture = decode(content.ok()?, reading, limits).ok()?;
    let picture = RgbImage::from_raw(picture.width as u32, picture.height as u32, picture.rgb)?;
    let small = DynamicImage::from(picture).thumbnail(SIDE, SIDE);
    let mut bytes = Cursor::new(Vec::new());
    small.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 75)).ok()?;
    Some(format!("data:image/jpeg;base64,{}", base64(bytes.get_ref())))
}

/// Writes bytes in base64, as RFC 4648, section 4, defines it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().enumerate().fold(0u32, |bits, (i, &byte)| bits | u32::from(byte) << (16 - 8 * i));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= chunk.len() { DIGITS[value].into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::photos::{Background, Exif, read};

    /// Reads a thumbnail back.
    fn pixels(url: &str) -> RgbImage {
        let digits = url.strip_prefix("data:image/jpeg;base64,").unwrap();
        let value = |byte: u8| match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let coded: Vec<u8> = digits.trim_end_matches('=').bytes().map(value).collect();
        let bits = |chunk: &[u8]| chunk.iter().fold(0u32, |bits, &six| bits << 6 | u32::from(six));
        let bytes: Vec<u8> = coded
            .chunks(4)
            .flat_map(|chunk| {
                let bits = bits(chunk) << (6 * (4 - chunk.len()));
                bits.to_be_bytes()[1..chunk.len()].to_vec()
            })
            .collect();
        image::load_from_memory(&bytes).unwrap().into_rgb8()
    }

    #[test]
    fn thumbnails_are_read_as_the_run_reads_photos() {
        let dir = tempfile::tempdir().unwrap();
        let (turned, clear) = (dir.path().join("turned.jpg"), dir.path().join("clear.png"));
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::new(300, 200).write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        let mut bytes = bytes.into_inner();
        // An EXIF segment that holds one tag: orientation 6, a quarter turn.
        let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01".to_vec();
        exif.extend(b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00");
        bytes.splice(2..2, exif);
        std::fs::write(&turned, &bytes).unwrap();
        image::RgbaImage::new(60, 60).save(&clear).unwrap();

        let limits = Limits::default();
        let of = |path: &Path, exif, background| {
            pixels(&thumbnail(read(path, &limits), &Reading { exif, background }, &limits).unwrap())
        };
        assert_eq!(of(&turned, Exif::Apply, Background::Drop).dimensions(), (75, 112));
        assert_eq!(of(&turned, Exif::Ignore, Background::Drop).dimensions(), (112, 75));
        let colour = |background| *of(&clear, Exif::Apply, background).get_pixel(30, 30);
        let near = |pixel: image::Rgb<u8>, rgb: [u8; 3]| pixel.0.iter().zip(rgb).all(|(a, b)| a.abs_diff(b) < 12);
        assert!(near(colour(Background::Drop), [0; 3]));
        assert!(near(colour(Background::Over([200, 30, 90])), [200, 30, 90]));

        let reading = Reading::default();
        let within = |path: &Path, limits: Limits| thumbnail(read(path, &limits), &reading, &limits);
        assert_eq!(within(&turned, Limits { pixels: 59_999, ..limits }), None);
        assert_eq!(within(&turned, Limits { bytes: bytes.len() as u64 - 1, ..limits }), None);
        assert!(within(&turned, Limits { pixels: 60_000, ..limits }).is_some());
        assert_eq!(within(&dir.path().join("gone.jpg"), limits), None);
    }

    #[test]
    fn base64_as_in_the_standard() {
        let known =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in known {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xef, 0xbe]), "/+++");
    }
}
