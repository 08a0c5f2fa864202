//! Photos of every kind against Pillow, and files made to exhaust the machine.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use testkit::formula::crc32;
use trainer::photos::{Background, Exif, JPEG_DECODER, Limits, Picture, Reading, decode};

#[derive(Deserialize)]
struct Fixture {
    bombs: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    about: String,
    format: String,
    mode: String,
    exif: Exif,
    background: Background,
    size: [usize; 2],
    crc32: u32,
    /// A PNG of the same pixels.
    expected: Option<PathBuf>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos")
}

fn fixture() -> Fixture {
    serde_json::from_slice(&fs::read(folder().join("photos.json")).unwrap()).unwrap()
}

/// Says where this crate differs from Pillow: the most that a byte may differ, or what the refusal must say.
fn difference(case: &Case) -> Result<u8, &'static str> {
    let jpeg = |levels| Ok(if JPEG_DECODER == "libjpeg-turbo" { 0 } else { levels });
    match case.file.as_str() {
        "keep_rgb.jpg" | "cmyk.jpg" | "cmyk_plain.jpg" | "grey.jpg" => jpeg(1),
        "rgb444.jpg" | "ycck.jpg" => jpeg(2),
        name if name.starts_with("exif") && name.ends_with(".jpg") => jpeg(1),
        name if name.ends_with(".jpg") => jpeg(4),
        "rgb555.bmp" | "rgb565.bmp" | "cmyk.tif" | "jpeg.tif" => Ok(1),
        // What the runs jump over is black here and the palette's first colour there.
        "rle8_delta.bmp" => Ok(255),
        "grey_alpha.tif" | "palette.tif" | "float.tif" => Err("not support"),
        _ => Ok(0),
    }
}

/// Finds the largest difference of a byte from Pillow's; where only a checksum is known, equality alone can be told.
fn compare(case: &Case, picture: &Picture) -> u8 {
    assert_eq!([picture.width, picture.height], case.size, "{}", case.file);
    let Some(expected) = &case.expected else {
        assert_eq!(crc32(picture.rgb.iter().copied()), case.crc32, "{}: {}", case.file, case.about);
        return 0;
    };
    let expected = image::open(folder().join(expected)).unwrap().into_rgb8().into_raw();
    assert_eq!(crc32(expected.iter().copied()), case.crc32, "{}: the fixture", case.file);
    picture.rgb.iter().zip(&expected).map(|(ours, theirs)| ours.abs_diff(*theirs)).max().unwrap()
}

#[test]
fn every_kind_is_read_as_pillow_reads_it() {
    let cases = fixture().cases;
    assert!(cases.len() >= 100, "{}", cases.len());
    let mut table =
        String::from("| format | Pillow's mode | photo | options | we differ by |\n|---|---|---|---|---|\n");
    for case in &cases {
        let bytes = fs::read(folder().join(&case.file)).unwrap();
        let reading = Reading { exif: case.exif, background: case.background };
        let outcome = decode(bytes, &reading, &Limits::default());
        let label = format!("{}: {}", case.file, case.about);
        let verdict = match (outcome, difference(case)) {
            (Ok(picture), Ok(allowed)) => {
                let found = compare(case, &picture);
                assert!(found <= allowed, "{label}: differs by {found}, {allowed} allowed");
                let mut wrong = picture;
                wrong.rgb[0] ^= 0x80;
                assert!(
                    case.expected.is_none() || allowed == 255 || compare(case, &wrong) > allowed,
                    "{label}: passes wrong"
                );
                if found == 0 { "0".into() } else { format!("{found} of 255") }
            }
            (Err(reason), Err(expected)) => {
                assert!(reason.contains(expected), "{label}: {reason}");
                "refused".into()
            }
            (outcome, expected) => panic!("{label}: {outcome:?}, expected {expected:?}"),
        };
        let options = match (case.exif, case.background) {
            (Exif::Ignore, _) => "`--exif ignore`".into(),
            (_, Background::Drop) => String::new(),
            (_, background) => format!("`--background {background}`"),
        };
        let Case { format, mode, about, .. } = case;
        writeln!(table, "| {format} | {mode} | {about} | {options} | {verdict} |").unwrap();
    }
    if JPEG_DECODER == "libjpeg-turbo" {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/preprocessing.md");
        let page = fs::read_to_string(page).unwrap_or_default();
        assert!(page.contains(&table), "docs/preprocessing.md doesn't hold this table:\n{table}");
    }
}

#[test]
fn bombs_are_refused_in_little_memory() {
    let bombs = fixture().bombs;
    assert_eq!(bombs.len(), 7);
    for bomb in &bombs {
        let bytes = fs::read(folder().join(bomb)).unwrap();
        assert!(bytes.len() < 2048, "{bomb}");
        let reason = decode(bytes.clone(), &Reading::default(), &Limits::default()).unwrap_err();
        let expected = match bomb.as_str() {
            "bomb_tile.tif" => "",
            "bomb.jpg" => "can't hold the 65500 x 65500 pixels",
            _ => "more than the limit of 134217728",
        };
        assert!(reason.contains(expected), "{bomb}: {reason}");
        // Only the header is too large: under other limits it is another reason, if any.
        if bomb == "bomb.webp" {
            let limits = Limits { pixels: 1 << 29, ..Limits::default() };
            let reason = decode(bytes, &Reading::default(), &limits).unwrap_err();
            assert!(!reason.contains("more than the limit"), "{bomb}: {reason}");
        }
    }
    // The whole test process, fixtures and all. (Elsewhere the reasons have to do.)
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kilobytes < 256 << 10, "{kilobytes} kB at the peak");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn too_little_memory_is_an_error_of_the_photo() {
    const LIMITED: &str = "DECODE_IN_LITTLE_MEMORY";
    if std::env::var_os(LIMITED).is_none() {
        // Another process, which has room for itself and for no large picture.
        let command = r#"ulimit -v 500000 && exec "$0" --exact too_little_memory_is_an_error_of_the_photo"#;
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", command]).arg(std::env::current_exe().unwrap()).env(LIMITED, "");
        let ended = shell.output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        return;
    }
    // Headers alone: before there are pixels, there must be memory for them.
    let png = |depth: u8, colour: u8| {
        let [width, height] = [12_000u32, 11_000].map(u32::to_be_bytes);
        let header = [&b"IHDR"[..], &width, &height, &[depth, colour, 0, 0, 0]].concat();
        let mut bytes = [b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &header[..]].concat();
        bytes.extend(crc32(header.iter().copied()).to_be_bytes());
        bytes.extend(b"\0\0\0\x01IDAT\x78");
        bytes
    };
    let [width, height] = [60_000u16, 2200].map(u16::to_le_bytes);
    let size = [width, height].concat();
    let gif = [b"GIF89a", &size[..], b"\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0", &size, b"\0\x02\x01\x44\0;"].concat();
    for bytes in [png(8, 0), png(16, 0), png(8, 2), png(8, 6), png(16, 6), gif] {
        let reason = decode(bytes, &Reading::default(), &Limits::default()).unwrap_err();
        assert!(reason.starts_with("no memory for the "), "{reason}");
    }
}
