//! Reads a JPEG's header before the decoder does: refuses by name what it can't read or would make garbage of, and mends what it would
//! take for other colours than libjpeg does.

use std::borrow::Cow;

use crate::photos::jpeg::JPEG_DECODER;
use crate::photos::segments::{self, END_OF_IMAGE, START_OF_SCAN, Segment};

/// The marker of the segment that says how far restart markers are apart; 0 where there are none.
const RESTARTS: u8 = 0xdd;

/// Makes a JPEG's header one of which the decoder makes what libjpeg makes of it.
///
/// # Errors
/// The decoder can't read such a JPEG, in words.
pub(super) fn mended(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let segments: Vec<Segment> =
        segments::of_jpeg(bytes).take_while(|segment| segment.marker != END_OF_IMAGE).collect();
    let Some(frame) = segments.iter().find(|segment| is_frame(segment.marker)) else { return Ok(bytes.into()) };
    let components = components(frame);
    if let Some(kind) = unreadable(frame.marker, components, &segments) {
        return Err(format!("a JPEG {kind} can't be read by {JPEG_DECODER}: save it anew"));
    }
    if let (Some([height, width]), true) = (size(frame), bits(frame, components) > 8 * bytes.len() as u64) {
        return Err(format!("cut short: {} bytes can't hold the {width} x {height} pixels of the JPEG", bytes.len()));
    }
    Ok(if JPEG_DECODER == "libjpeg-turbo" { bytes.into() } else { coloured(bytes, components, &segments) })
}

/// Tells whether a marker begins a frame. Among these numbers are those of tables.
fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

/// Lists a frame's components: identifier, sampling (across and down, in four bits each), table.
fn components<'a>(frame: &Segment<'a>) -> &'a [[u8; 3]] {
    let components = frame.payload.get(6..).unwrap_or_default().as_chunks::<3>().0;
    &components[..components.len().min(usize::from(frame.payload.get(5).copied().unwrap_or(0)))]
}

/// Reads a frame's height and width, in pixels.
fn size(frame: &Segment) -> Option<[u64; 2]> {
    let numbers = frame.payload.get(1..5)?.as_chunks::<2>().0;
    Some([0, 1].map(|side| u64::from(u16::from_be_bytes(numbers[side]))))
}

/// Counts the bits that a frame's scans take at least: one for each block of 8 x 8 values. Without this, a header of a few bytes
/// would make a decoder fill all memory with grey.
fn bits(frame: &Segment, components: &[[u8; 3]]) -> u64 {
    let Some([height, width]) = size(frame) else { return 0 };
    let sampling = |component: &[u8; 3]| [component[1] & 15, component[1] >> 4].map(u64::from);
    let most = |side: usize| components.iter().map(|component| sampling(component)[side]).max().unwrap_or(0).max(1);
    let blocks = |pixels: u64, own: u64, side: usize| (pixels * own).div_ceil(8 * most(side));
    let plane = |[down, across]: [u64; 2]| blocks(height, down, 0) * blocks(width, across, 1);
    components.iter().map(|component| plane(sampling(component))).sum()
}

/// Names what the decoder can't read.
fn unreadable(frame: u8, components: &[[u8; 3]], segments: &[Segment]) -> Option<&'static str> {
    match frame {
        0xc3 | 0xc7 => return Some("without loss"),
        0xc5 | 0xc6 => return Some("in several sizes (hierarchical)"),
        0xc9.. => return Some("with arithmetic coding"),
        _ if JPEG_DECODER == "libjpeg-turbo" => return None,
        _ => {}
    }
    let sampling = |component: &[u8; 3]| [component[1] >> 4, component[1] & 15];
    let [across, down] = sampling(components.first()?);
    // That a sampling is none at all the decoder says.
    let fits = |of: u8, most: u8| of == 0 || most.is_multiple_of(of);
    if !components.iter().map(sampling).all(|[x, y]| fits(x, across) && fits(y, down)) {
        return Some("whose colours are sampled more finely than its brightness");
    }
    let scan = segments.iter().find(|segment| segment.marker == START_OF_SCAN)?;
    let apart = usize::from(*scan.payload.first()?) < components.len();
    let sampled = components.iter().any(|component| component[1] != 0x11);
    let restarts = segments.iter().any(|segment| segment.marker == RESTARTS && segment.payload != [0, 0]);
    (frame != 0xc2 && apart && (sampled || restarts))
        .then_some("whose planes are stored one after the other (non-interleaved)")
}

/// Lets the decoder see the colours that libjpeg sees: JFIF means YCbCr whatever is beside it, then Adobe's marker counts, then the
/// components' identifiers.
fn coloured<'a>(bytes: &'a [u8], components: &[[u8; 3]], segments: &[Segment]) -> Cow<'a, [u8]> {
    const TRANSFORM: usize = 11;
    let header = || segments.iter().take_while(|segment| segment.marker != START_OF_SCAN);
    let adobe = || header().filter(|segment| segment.marker == 0xee && segment.payload.starts_with(b"Adobe"));
    let jfif = header()
        .any(|segment| segment.marker == 0xe0 && segment.payload.len() >= 14 && segment.payload.starts_with(b"JFIF\0"));
    let transform = adobe().filter_map(|segment| segment.payload.get(TRANSFORM)).last().copied();
    let odd = adobe().any(|segment| segment.payload.get(TRANSFORM).is_none_or(|&transform| transform > 2));
    let letters = components.iter().map(|component| component[0]).eq(*b"RGB");
    let mut mended = Cow::from(bytes);
    match components.len() {
        3 if (letters || transform == Some(0) || odd) && (jfif || transform.is_some_and(|t| t != 0)) => {
            for segment in adobe() {
                mended.to_mut()[segment.at + 4] = 0;
            }
            for segment in segments.iter().filter(|_| letters) {
                // Where the first identifier is, and how many bytes lie between two.
                let (first, step) = match segment.marker {
                    START_OF_SCAN => (1, 2),
                    marker if is_frame(marker) => (6, 3),
                    _ => continue,
                };
                for at in (first..segment.payload.len()).step_by(step).take(3) {
                    let id = &mut mended.to_mut()[segment.at + 4 + at];
                    *id = b"RGB".iter().position(|letter| letter == id).map_or(*id, |place| place as u8 + 1);
                }
            }
        }
        4 if transform.is_some_and(|transform| transform == 1 || transform > 2) => {
            for segment in adobe().filter(|segment| segment.payload.len() > TRANSFORM) {
                mended.to_mut()[segment.at + 4 + TRANSFORM] = 2;
            }
        }
        _ => {}
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photos::{Limits, Picture, Reading, decode_unguarded};
    use image::{ImageBuffer, ImageFormat, Rgb};
    use std::io::Cursor;

    /// Encodes a picture with JFIF, its planes together and equally sampled.
    fn encode() -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture = ImageBuffer::from_fn(40, 24, |x, y| Rgb([x as u8 * 6, y as u8 * 10, 99]));
        picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    fn read(bytes: &[u8]) -> Result<Picture, String> {
        decode_unguarded(bytes, &Reading::default(), &Limits::default())
    }

    fn find(bytes: &[u8], marker: u8) -> usize {
        segments::of_jpeg(bytes).find(|segment| segment.marker == marker).unwrap().at
    }

    /// Puts Adobe's marker behind JFIF's.
    fn with_adobe(mut bytes: Vec<u8>, transform: u8) -> Vec<u8> {
        let jfif = find(&bytes, 0xe0) + 18;
        let marker = [b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0", &[transform][..]].concat();
        bytes.splice(jfif..jfif, marker);
        bytes
    }

    fn with_letters(mut bytes: Vec<u8>) -> Vec<u8> {
        let (frame, scan) = (find(&bytes, 0xc0), find(&bytes, START_OF_SCAN));
        for (place, letter) in b"RGB".iter().enumerate() {
            bytes[frame + 10 + 3 * place] = *letter;
            bytes[scan + 5 + 2 * place] = *letter;
        }
        bytes
    }

    fn without_jfif(mut bytes: Vec<u8>) -> Vec<u8> {
        let at = find(&bytes, 0xe0) + 4;
        bytes[at] = b'X';
        bytes
    }

    #[test]
    fn colours_are_those_that_libjpeg_sees() {
        let plain = read(&encode()).unwrap();
        for transform in [0, 1, 2, 9] {
            assert_eq!(read(&with_adobe(encode(), transform)).unwrap(), plain, "{transform}");
            assert_eq!(read(&with_adobe(with_letters(encode()), transform)).unwrap(), plain, "{transform}, R G B");
        }
        assert_eq!(read(&with_letters(encode())).unwrap(), plain);
        assert_eq!(read(&without_jfif(encode())).unwrap(), plain);
        assert_eq!(read(&without_jfif(with_adobe(with_letters(encode()), 1))).unwrap(), plain);
        // Without JFIF they are what Adobe's marker says, or else the identifiers.
        let planes = read(&without_jfif(with_adobe(encode(), 0))).unwrap();
        assert_ne!(planes, plain);
        assert_eq!(read(&without_jfif(with_letters(encode()))).unwrap(), planes);
    }

    #[test]
    fn a_size_that_the_file_cannot_hold_is_refused() {
        let mut bytes = encode();
        let at = find(&bytes, 0xc0) + 5;
        assert_eq!(bytes[at..at + 4], [0, 24, 0, 40]);
        // A few more rows are filled up, as libjpeg does.
        bytes[at + 1] = 40;
        assert_eq!(read(&bytes).unwrap().height, 40);
        bytes[at..at + 4].copy_from_slice(&[0x2c; 4]);
        let reason = read(&bytes).unwrap_err();
        assert!(
            reason.starts_with("cut short: ") && reason.ends_with("hold the 11308 x 11308 pixels of the JPEG"),
            "{reason}"
        );
    }

    #[test]
    fn what_would_become_garbage_is_refused_by_name() {
        let changed = |changes: &[(u8, usize, u8)]| {
            let whole = encode();
            let mut bytes = whole.clone();
            for &(marker, place, value) in changes {
                bytes[find(&whole, marker) + place] = value;
            }
            read(&bytes)
        };
        assert!(changed(&[(0xc0, 1, 0xc9)]).unwrap_err().contains("arithmetic"));
        assert!(changed(&[(0xc0, 1, 0xc3)]).unwrap_err().contains("without loss"));
        if JPEG_DECODER == "zune-jpeg" {
            assert!(changed(&[(0xc0, 14, 0x22)]).unwrap_err().contains("more finely than its brightness"));
            assert!(changed(&[(0xc0, 11, 0x22), (START_OF_SCAN, 4, 1)]).unwrap_err().contains("non-interleaved"));
        }
        assert!(changed(&[]).is_ok());
    }

    /// Appends bits to a scan.
    struct Bits(Vec<u8>, u32, u32);

    impl Bits {
        fn push(&mut self, value: u32, count: u32) {
            for at in (0..count).rev() {
                self.1 = self.1 << 1 | (value >> at & 1);
                self.2 += 1;
                if self.2 == 8 {
                    self.0.push(self.1 as u8);
                    if self.1 as u8 == 0xff {
                        self.0.push(0);
                    }
                    (self.1, self.2) = (0, 0);
                }
            }
        }

        /// Fills the last byte up with ones.
        fn fill(&mut self) {
            self.push(0xff, (8 - self.2) % 8);
        }
    }

    /// Encodes 32 x 32 pixels in blocks of one value each: the planes' sampling, the planes of each scan, the units between restarts.
    fn blocks(sampling: [u8; 3], scans: &[&[usize]], restarts: u16) -> Vec<u8> {
        let mut bytes = [&b"\xff\xd8\xff\xdb\0\x43\0"[..], &[8; 64], b"\xff\xc0\0\x11\x08\0\x20\0\x20\x03"].concat();
        (0..3).for_each(|plane| bytes.extend([plane as u8 + 1, sampling[plane], 0]));
        // Twelve codes of four bits for the first value, and one bit for no others.
        bytes.extend(b"\xff\xc4\0\x1f\0\0\0\0\x0c\0\0\0\0\0\0\0\0\0\0\0\0".iter().copied().chain(0..12));
        bytes.extend(b"\xff\xc4\0\x14\x10\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        bytes.extend([&[0xff, RESTARTS, 0, 4], &restarts.to_be_bytes()[..]].concat());
        let size = |plane: usize| [sampling[plane] >> 4, sampling[plane] & 15].map(u32::from);
        let most = |side: usize| (0..3).map(|plane| size(plane)[side]).max().unwrap();
        let value = |plane: u32, x: u32, y: u32| (31 * x + 17 * y + 50 * plane) as i32 % 120 - 60;
        for planes in scans {
            bytes.extend([0xff, START_OF_SCAN, 0, 6 + 2 * planes.len() as u8, planes.len() as u8]);
            planes.iter().for_each(|&plane| bytes.extend([plane as u8 + 1, 0]));
            bytes.extend([0, 63, 0]);
            let (mut bits, mut last) = (Bits(Vec::new(), 0, 0), [0; 3]);
            // A unit holds a block of a plane by itself, or so many blocks of each plane as it is sampled.
            let unit = |plane: usize| if planes.len() == 1 { [1, 1] } else { size(plane) };
            let across = |side: usize| 4 * size(planes[0])[side] / unit(planes[0])[side] / most(side);
            for index in 0..across(0) * across(1) {
                if restarts > 0 && index > 0 && index % u32::from(restarts) == 0 {
                    bits.fill();
                    bits.0.extend([0xff, 0xd0 + ((index / u32::from(restarts) - 1) % 8) as u8]);
                    last = [0; 3];
                }
                for &plane in *planes {
                    let [width, height] = unit(plane);
                    let (left, top) = (index % across(0) * width, index / across(0) * height);
                    for (y, x) in (top..top + height).flat_map(|y| (left..left + width).map(move |x| (y, x))) {
                        let value = value(plane as u32, x, y);
                        let step = value - std::mem::replace(&mut last[plane], value);
                        let length = 32 - step.unsigned_abs().leading_zeros();
                        bits.push(length, 4);
                        bits.push(if step < 0 { step - 1 } else { step } as u32 & ((1 << length) - 1), length);
                        bits.push(0, 1);
                    }
                }
            }
            bits.fill();
            bytes.extend(bits.0);
        }
        [&bytes[..], &[0xff, END_OF_IMAGE]].concat()
    }

    #[test]
    fn planes_stored_apart_are_those_stored_together_or_refused() {
        for sampling in [[0x11; 3], [0x21, 0x11, 0x11], [0x12, 0x11, 0x11], [0x22, 0x11, 0x11], [0x11, 0x22, 0x22]] {
            for restarts in [0, 1, 3] {
                let together = read(&blocks(sampling, &[&[0, 1, 2]], restarts));
                assert_eq!(together.is_ok(), sampling != [0x11, 0x22, 0x22] || JPEG_DECODER == "libjpeg-turbo");
                for scans in [&[&[0][..], &[1], &[2]][..], &[&[2], &[1], &[0]], &[&[0], &[1, 2]]] {
                    match read(&blocks(sampling, scans, restarts)) {
                        Ok(apart) => assert_eq!(Ok(&apart), together.as_ref(), "{sampling:?}, {scans:?}, {restarts}"),
                        Err(reason) => assert_ne!(JPEG_DECODER, "libjpeg-turbo", "{sampling:?}, {scans:?}: {reason}"),
                    }
                }
            }
        }
    }
}
