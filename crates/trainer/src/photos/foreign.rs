//! Names what holds pictures and can't be read here, whatever the file is called, and the way out.

use crate::photos::directory::Directory;

const EXPORT: &str = "export it as JPEG or PNG";
const HEIF: &str = "convert it to JPEG by `heif-convert` or `sips` (an iPhone takes JPEGs under Settings, Camera, Formats, Most Compatible)";
const AVIF: &str = "convert it to PNG by `avifdec`";
const RAW: &str = "develop it to JPEG, or let the camera keep a JPEG beside it";
const VIDEO: &str = "take its frames as JPEGs by `ffmpeg`";

/// How a file of a format begins.
const BEGINNINGS: &[(&[u8], &str, &str)] = &[
    (b"\xff\x0a", "JPEG XL", "convert it to PNG by `djxl`"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "convert it to PNG by `djxl`"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", "convert it to PNG by `opj_decompress`"),
    (b"\xff\x4f\xff\x51", "JPEG 2000", "convert it to PNG by `opj_decompress`"),
    (b"8BPS", "Photoshop (PSD)", EXPORT),
    (b"%PDF-", "PDF", "take its pictures out by `pdfimages -j`"),
    (b"FUJIFILMCCD-RAW", "a camera's raw format (RAF)", RAW),
    (b"IIU\0", "a camera's raw format (RW2)", RAW),
    (b"IIRO", "a camera's raw format (ORF)", RAW),
    (b"IIRS", "a camera's raw format (ORF)", RAW),
    (b"MMOR", "a camera's raw format (ORF)", RAW),
    (b"\0MRM", "a camera's raw format (MRW)", RAW),
    (b"FOVb", "a camera's raw format (X3F)", RAW),
    (b"II\x1a\0\0\0HEAPCCDR", "a camera's raw format (CRW)", RAW),
    (b"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)", VIDEO),
    (b"\0\0\x01\xba", "a video (MPEG)", VIDEO),
    (b"\0\0\x01\xb3", "a video (MPEG)", VIDEO),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a video (WMV)", VIDEO),
    (b"FLV\x01", "a video (FLV)", VIDEO),
    (b"OggS", "a video (Ogg)", VIDEO),
];

/// Says which format that can't be read here a file has, and how to come by one that can; nothing of any other file.
pub(super) fn reason(bytes: &[u8]) -> Option<String> {
    let beginning = BEGINNINGS.iter().find(|(beginning, ..)| bytes.starts_with(beginning));
    let known = beginning.map(|&(_, name, way)| (name, way));
    let (name, way) = known.or_else(|| in_boxes(bytes)).or_else(|| raw_tiff(bytes))?;
    Some(format!("{name}, which can't be read here: {way}"))
}

/// Names what is stored in boxes of the ISO base media format, by its brands; and AVI.
fn in_boxes(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if bytes.starts_with(b"RIFF") && bytes.get(8..12)? == b"AVI " {
        return Some(("a video (AVI)", VIDEO));
    }
    let size: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    match bytes.get(4..8)? {
        b"ftyp" => {}
        b"moov" | b"mdat" | b"wide" => return Some(("a video (QuickTime)", VIDEO)),
        _ => return None,
    }
    let end = bytes.len().min(u32::from_be_bytes(size) as usize).max(8);
    let brands = bytes[8..end].as_chunks::<4>().0;
    let has = |wanted: &[&[u8; 4]]| brands.iter().any(|brand| wanted.contains(&brand));
    Some(if has(&[b"avif", b"avis"]) {
        ("AVIF", AVIF)
    } else if has(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"]) {
        ("HEIC", HEIF)
    } else if has(&[b"mif1", b"mif2", b"msf1", b"miaf"]) {
        ("HEIF", HEIF)
    } else if has(&[b"crx "]) {
        ("a camera's raw format (CR3)", RAW)
    } else {
        ("a video (MP4 or QuickTime)", VIDEO)
    })
}

/// Names a camera's raw format that is stored as a TIFF: read as one, it would be its small preview.
fn raw_tiff(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const NEW_SUBFILE_TYPE: u16 = 254;
    const SUB_DIRECTORIES: u16 = 330;
    const DNG_VERSION: u16 = 50706;
    let directory = Directory::first(bytes)?;
    if bytes.get(8..10) == Some(b"CR") {
        return Some(("a camera's raw format (CR2)", RAW));
    }
    if directory.has(DNG_VERSION) {
        return Some(("a camera's raw format (DNG)", RAW));
    }
    let preview = directory.number(NEW_SUBFILE_TYPE).is_some_and(|kind| kind & 1 == 1);
    (preview && directory.has(SUB_DIRECTORIES)).then_some(("a camera's raw format (such as NEF or ARW)", RAW))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photos::{Limits, Reading, decode_unguarded};

    fn boxed(brands: &[u8]) -> Vec<u8> {
        let mut bytes = (8 + brands.len() as u32).to_be_bytes().to_vec();
        bytes.extend([b"ftyp", brands].concat());
        bytes.extend(b"\0\0\0\x08free avif");
        bytes
    }

    /// A TIFF of a directory with one value of type LONG for each tag.
    fn tiff(entries: &[(u16, u32)]) -> Vec<u8> {
        let mut bytes = b"MM\0*\0\0\0\x08".to_vec();
        bytes.extend((entries.len() as u16).to_be_bytes());
        for (tag, value) in entries {
            bytes.extend([&tag.to_be_bytes()[..], b"\0\x04\0\0\0\x01", &value.to_be_bytes()].concat());
        }
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn formats_that_cannot_be_read_are_named_with_the_way_out() {
        let cases: &[(Vec<u8>, &str, &str)] = &[
            (boxed(b"heic\0\0\0\0mif1heic"), "HEIC", "Most Compatible"),
            (boxed(b"mif1\0\0\0\0mif1heix"), "HEIC", "heif-convert"),
            (boxed(b"mif1\0\0\0\0"), "HEIF", "sips"),
            (boxed(b"mif1\0\0\0\0avif"), "AVIF", "avifdec"),
            (boxed(b"avif\0\0\0\0"), "AVIF", "avifdec"),
            (boxed(b"crx \0\0\0\x01crx isom"), "CR3", "develop"),
            (boxed(b"qt  \0\0\0\0"), "video", "ffmpeg"),
            (boxed(b"isom\0\0\0\0mp42"), "video", "ffmpeg"),
            (b"RIFF\x10\0\0\0AVI LIST".to_vec(), "AVI", "ffmpeg"),
            (b"\xff\x0a\xfa\x1f".to_vec(), "JPEG XL", "djxl"),
            (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ".to_vec(), "JPEG 2000", "opj_decompress"),
            (b"8BPS\0\x01".to_vec(), "PSD", "export"),
            (b"%PDF-1.7\n".to_vec(), "PDF", "pdfimages"),
            (b"II*\0\x10\0\0\0CR\x02\0\0\0\0\0\0\0".to_vec(), "CR2", "develop"),
            (tiff(&[(254, 1), (50706, 0x0104_0000)]), "DNG", "develop"),
            (tiff(&[(254, 1), (256, 160), (330, 900)]), "NEF", "develop"),
        ];
        for (bytes, name, way) in cases {
            let said = decode_unguarded(bytes, &Reading::default(), &Limits::default()).unwrap_err();
            assert!(said.contains(name) && said.contains(way) && said.contains("can't be read here"), "{name}: {said}");
        }
        for other in [&b"not a photo"[..], b"\0\0\0\x08", b"RIFF", &tiff(&[(254, 1)]), &tiff(&[(254, 0), (330, 9)])] {
            assert_eq!(reason(other), None);
        }
    }
}
