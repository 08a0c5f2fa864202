//! Finds the camera's note of what is up where Pillow finds it.

use std::borrow::Cow;

use image::ImageFormat;
use image::metadata::Orientation;

use crate::photos::directory::Directory;
use crate::photos::segments::{self, START_OF_SCAN};
use crate::photos::webp::EXIF;

/// What EXIF may begin with; JPEG has it always, other formats sometimes.
const PREFIX: &[u8] = b"Exif\0\0";

/// Reads the orientation of a photo. Damaged metadata is no reason to refuse the photo: none is found there.
pub(super) fn of(bytes: &[u8], format: ImageFormat) -> Orientation {
    note(bytes, format).and_then(|note| by_exif(&note)).unwrap_or(Orientation::NoTransforms)
}

/// Finds the EXIF.
fn note(bytes: &[u8], format: ImageFormat) -> Option<Cow<'_, [u8]>> {
    match format {
        ImageFormat::Jpeg => {
            let header = segments::of_jpeg(bytes).take_while(|segment| segment.marker != START_OF_SCAN);
            let parts = header.filter(|segment| segment.marker == 0xe1);
            // What doesn't fit into one segment goes on in the next.
            Some(parts.filter_map(|segment| segment.payload.strip_prefix(PREFIX)).flatten().copied().collect())
        }
        ImageFormat::Png => {
            segments::of_png(bytes).filter(|(name, _)| name == b"eXIf").last().map(|(_, exif)| exif.into())
        }
        ImageFormat::WebP => {
            let (_, header) = segments::of_webp(bytes).next().filter(|(name, _)| name == b"VP8X")?;
            let told = header.first()? & EXIF != 0;
            segments::of_webp(bytes).find(|(name, _)| told && name == b"EXIF").map(|(_, exif)| exif.into())
        }
        ImageFormat::Tiff => Some(bytes.into()),
        _ => None,
    }
}

/// Reads the orientation of an EXIF, stored as any type of whole number.
fn by_exif(mut exif: &[u8]) -> Option<Orientation> {
    const ORIENTATION: u16 = 0x112;
    while let Some(rest) = exif.strip_prefix(PREFIX) {
        exif = rest;
    }
    let value = Directory::first(exif)?.number(ORIENTATION)?;
    Orientation::from_exif(u8::try_from(value).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photos::{Limits, Reading, decode_unguarded};
    use image::{ImageBuffer, Luma};
    use std::io::Cursor;

    /// Encodes 3 x 2 pixels.
    fn encode(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        ImageBuffer::from_pixel(3, 2, Luma([7u8])).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// Writes an EXIF with one entry.
    fn exif(tag: u16, kind: u16, value: [u8; 4]) -> Vec<u8> {
        let mut bytes = b"MM\0*\0\0\0\x08\0\x01".to_vec();
        bytes.extend([&tag.to_be_bytes()[..], &kind.to_be_bytes(), b"\0\0\0\x01", &value, b"\0\0\0\0"].concat());
        bytes
    }

    fn turned() -> Vec<u8> {
        exif(0x112, 3, [0, 6, 0, 0])
    }

    fn jpeg(notes: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = encode(ImageFormat::Jpeg);
        for note in notes.iter().rev() {
            let length = (note.len() as u16 + 8).to_be_bytes();
            bytes.splice(2..2, [b"\xff\xe1", &length[..], PREFIX, note].concat());
        }
        bytes
    }

    fn webp(bits: u8, note: Option<&[u8]>) -> Vec<u8> {
        let plain = encode(ImageFormat::WebP);
        let mut chunks = [b"VP8X\x0a\0\0\0", &[bits, 0, 0, 0, 2, 0, 0, 1, 0, 0][..], &plain[12..]].concat();
        if let Some(note) = note {
            chunks.extend([b"EXIF", &(note.len() as u32).to_le_bytes()[..], note].concat());
        }
        [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunks].concat()
    }

    fn is_turned(bytes: &[u8]) -> bool {
        let picture = decode_unguarded(bytes, &Reading::default(), &Limits::default()).unwrap();
        assert_eq!(picture.width * picture.height, 6);
        picture.height == 3
    }

    #[test]
    fn any_whole_number_says_what_is_up() {
        for (kind, value) in
            [(3, [0, 6, 0, 0]), (8, [0, 6, 0, 0]), (4, [0, 0, 0, 6]), (9, [0, 0, 0, 6]), (6, [6, 0, 0, 0])]
        {
            assert!(is_turned(&jpeg(&[exif(0x112, kind, value)])), "{kind}");
        }
        // Text isn't, nor is anything beyond 8; another tag's number is another's.
        for (tag, kind, value) in [(0x112, 2, *b"6\0\0\0"), (0x112, 4, [0, 0, 1, 6]), (0x113, 3, [0, 6, 0, 0])] {
            assert!(!is_turned(&jpeg(&[exif(tag, kind, value)])), "{kind}");
        }
    }

    #[test]
    fn of_two_segments_the_second_goes_on_with_the_first() {
        let other = exif(0x10f, 3, [0, 6, 0, 0]);
        assert!(is_turned(&jpeg(&[turned(), other.clone()])));
        assert!(!is_turned(&jpeg(&[other, turned()])));
        let whole = turned();
        let (head, tail) = whole.split_at(12);
        assert!(is_turned(&jpeg(&[head.to_vec(), tail.to_vec()])));
    }

    #[test]
    fn png_may_tell_it_after_the_pixels() {
        let png = encode(ImageFormat::Png);
        let note = turned();
        let named = [b"eXIf", &note[..]].concat();
        let mut chunk = [&(note.len() as u32).to_be_bytes()[..], &named].concat();
        chunk.extend(crc32(&named).to_be_bytes());
        for at in [33, png.len() - 12] {
            let mut bytes = png.clone();
            bytes.splice(at..at, chunk.clone());
            assert!(is_turned(&bytes), "{at}");
        }
        assert!(!is_turned(&png));
    }

    #[test]
    fn webp_may_begin_it_as_jpeg_does_or_lack_it() {
        let prefixed = [PREFIX, &turned()].concat();
        for note in [&turned()[..], &prefixed] {
            assert!(is_turned(&webp(EXIF, Some(note))));
            assert!(!is_turned(&webp(0, Some(note))));
        }
        for bits in [EXIF, 4, EXIF | 4] {
            assert!(!is_turned(&webp(bits, None)), "{bits}");
        }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc: u32, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xedb8_8320 * (crc & 1)))
        })
    }
}
