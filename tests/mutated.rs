//! Photos of every format, damaged at random, through the extraction: each is used or rejected with a reason, in bounded time and memory.
//!
//! `MUTATED=5000 cargo test --test mutated -- --nocapture` makes that many instead of a few hundred, `SEED=1` others, and `FOLDER=photos` keeps
//! them there in two classes, for `trainer train`. What is printed are the reasons, the decoders' panics (which the guard turns into a reason),
//! the slowest ten and the process's peak.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use resnet::{Engine, Error, ImageBytes, ImageTensor, Pending, Recipe, Resize, Tap};
use testkit::Samples;
use testkit::formula::crc32;
use trainer::data::Dataset;
use trainer::features::{Engines, Extractor, Features, extract};
use trainer::photos::{Limits, Preparation, Reading, THREAD, decode};

/// Gives the first byte of an image.
struct First;

impl Engine for First {
    fn batch(&self) -> usize {
        8
    }

    fn input_size(&self) -> [usize; 2] {
        [16; 2]
    }

    fn len_of(&self, tap: Tap) -> Option<usize> {
        (tap == Tap::Features).then_some(1)
    }

    fn submit(&self, _: &[ImageTensor]) -> Result<Pending, Error> {
        Err(Error::Options("photos come as bytes".to_owned()))
    }

    fn submit_bytes(&self, images: &[ImageBytes]) -> Result<Pending, Error> {
        self.check_bytes(images)?;
        let rows: Vec<f32> = images.iter().map(|image| f32::from(image.data[0])).collect();
        Ok(Pending::new(move |_| Ok(rows.clone())))
    }
}

/// Reads the photos that Pillow's readings are compared with, of every kind that is read or refused, and adds one that Pillow doesn't write.
fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_photo = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|end| end != "json" && end != "py");
    let mut paths: Vec<PathBuf> = files.filter(is_photo).collect();
    paths.sort();
    let mut seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    seeds.push(interlaced().0);
    seeds
}

/// Writes an interlaced PNG of colours, and gives its pixels.
fn interlaced() -> (Vec<u8>, Vec<u8>) {
    const SIZE: [usize; 2] = [13, 11];
    /// Where each pass begins and how far apart its pixels are, across and down.
    const PASSES: [[usize; 4]; 7] =
        [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
    let pixel = |x: usize, y: usize| [x as u8 * 19, y as u8 * 23, (x * y) as u8];
    let [width, height] = SIZE;
    let mut lines = Vec::new();
    for [left, top, across, down] in PASSES {
        for y in (top..height).step_by(down) {
            lines.push(0);
            lines.extend((left..width).step_by(across).flat_map(|x| pixel(x, y)));
        }
    }
    // Stored, not compressed.
    let length = lines.len() as u16;
    let (a, b) =
        lines.iter().fold((1, 0), |(a, b), &byte| ((a + u32::from(byte)) % 65521, (b + a + u32::from(byte)) % 65521));
    let pixels =
        [&b"\x78\x01\x01"[..], &length.to_le_bytes(), &(!length).to_le_bytes(), &lines, &(b << 16 | a).to_be_bytes()]
            .concat();
    let header = [&(width as u32).to_be_bytes()[..], &(height as u32).to_be_bytes(), &[8, 2, 0, 0, 1]].concat();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, payload) in [(b"IHDR", &header), (b"IDAT", &pixels), (b"IEND", &Vec::new())] {
        png.extend([&(payload.len() as u32).to_be_bytes()[..], name, payload, &[0; 4]].concat());
    }
    with_sums(&mut png);
    (png, (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect())
}

#[test]
fn an_interlaced_png_is_read() {
    let (png, pixels) = interlaced();
    assert_eq!(decode(png, &Reading::default(), &Limits::default()).unwrap().rgb, pixels);
}

/// Finds the pieces that a PNG, a WebP or a JPEG is made of.
fn pieces(bytes: &[u8]) -> Vec<Range<usize>> {
    let number = |at: usize| bytes.get(at..at + 4).map(|four| <[u8; 4]>::try_from(four).unwrap());
    let mut pieces = Vec::new();
    let mut at = if bytes.starts_with(b"\x89PNG") {
        8
    } else if bytes.starts_with(b"RIFF") {
        12
    } else {
        2
    };
    while let Some(four) = number(at) {
        let length = match bytes[0] {
            0x89 => u32::from_be_bytes(four) as usize + 12,
            b'R' => (number(at + 4).map_or(0, u32::from_le_bytes) as usize).next_multiple_of(2) + 8,
            0xff if four[0] == 0xff => usize::from(u16::from_be_bytes([four[2], four[3]])) + 2,
            _ => break,
        };
        if length > bytes.len() - at {
            break;
        }
        pieces.push(at..at + length);
        at += length;
    }
    pieces
}

/// Puts a PNG's checksums right, so that what is damaged is decoded.
fn with_sums(bytes: &mut [u8]) {
    if bytes.starts_with(b"\x89PNG") {
        for piece in pieces(bytes) {
            let (start, end) = (piece.start + 4, piece.end - 4);
            let sum = crc32(bytes[start..end].iter().copied());
            bytes[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

/// Damages a photo once; `other` is one to take parts of.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Samples) {
    let mut below = |end: usize| random.below(end.max(1) as u32) as usize;
    let length = bytes.len();
    // Headers are short, and more depends on them.
    let at = if below(2) == 0 { below(length.min(64)) } else { below(length) };
    let end = (at + 1 + below(64)).min(length);
    match below(8) {
        0 => (0..1 + below(8)).for_each(|_| bytes[below(length)] ^= 1 << below(8)),
        1 => bytes[at..end.min(at + 4)].fill([0, 0xff, 0x7f, 0x80][below(4)]),
        2 => bytes.truncate(1 + below(length)),
        3 => drop(bytes.drain(at..end)),
        4 => drop(
            bytes.splice(at..at, other[below(other.len())..].iter().copied().take(1 + below(64)).collect::<Vec<_>>()),
        ),
        5 => drop(bytes.splice(at.., other[below(other.len())..].iter().copied())),
        6 => {
            // A length or a size that isn't so.
            let lie = [0u32, 1, 2, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff][below(8)];
            let lie = if below(2) == 0 { lie.to_be_bytes() } else { lie.to_le_bytes() };
            let width = [2, 4][below(2)].min(length - at);
            bytes[at..at + width].copy_from_slice(if below(2) == 0 { &lie[..width] } else { &lie[4 - width..] });
        }
        _ => {
            let pieces = pieces(bytes);
            let [mut first, mut second] = [0; 2].map(|_| pieces.get(below(pieces.len())).cloned().unwrap_or(at..end));
            if first.start > second.start {
                std::mem::swap(&mut first, &mut second);
            }
            if first.end <= second.start {
                let parts = [&bytes[..first.start], &bytes[second.clone()], &bytes[first.end..second.start]];
                *bytes = [&parts.concat(), &bytes[first], &bytes[second.end..]].concat();
            } else {
                // The same one: twice.
                let twice = bytes[first.clone()].to_vec();
                bytes.splice(first.end..first.end, twice);
            }
        }
    }
    if below(2) == 0 {
        with_sums(bytes);
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
}

fn option(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Reads the largest that this process has been in memory, in MiB, where the system says.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse::<usize>();
    Some(peak.ok()? >> 10)
}

#[test]
fn damaged_photos_are_used_or_rejected_and_nothing_else_happens() {
    let (count, seed) = (option("MUTATED", 300), option("SEED", 0) as u64);
    let seeds = seeds();
    let mut random = Samples::new(seed);
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("FOLDER").map_or(temporary.path().join("photos"), PathBuf::from);
    ["a", "b"].iter().for_each(|class| std::fs::create_dir_all(folder.join(class)).unwrap());
    for number in 0..count {
        let mut bytes = seeds[number % seeds.len()].clone();
        for _ in 0..1 + random.below(2) {
            let other = random.below(seeds.len() as u32) as usize;
            mutate(&mut bytes, &seeds[other], &mut random);
        }
        let class = if number % 2 == 0 { "a" } else { "b" };
        std::fs::write(folder.join(class).join(format!("{number:05}.jpg")), bytes).unwrap();
    }
    let dataset = Dataset::open(&folder).unwrap();
    assert_eq!((dataset.photos.len(), dataset.rejected.len()), (count, 0));

    // Of panics, where they were.
    static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| match std::thread::current().name() {
        Some(THREAD) => PANICS.lock().unwrap().push(info.location().map(ToString::to_string).unwrap_or_default()),
        _ => usual(info),
    }));
    let recipe = Recipe { input_size: [16; 2], resize: Resize::Exact([16; 2]), ..Recipe::default() };
    let limits = Limits { time: Duration::from_secs(20), ..Limits::default() };
    let preparation = Preparation { recipe, limits, ..Preparation::default() };
    let mut slowest = (Duration::ZERO, String::new());
    let (mut kept, mut rejected) = (0, BTreeMap::<String, usize>::new());
    let start = Instant::now();
    // In small parts, to know which one was slow or large.
    for part in dataset.photos.chunks(10) {
        let (begun, before) = (Instant::now(), peak());
        let mut extractor = Extractor::new(Engines::new(|_| Ok(Box::new(First))), 8);
        let mut features = Features::new(1);
        let done = extract(part, &mut extractor, &mut features, &preparation, &()).unwrap();
        assert_eq!(done.kept.len() + done.rejected.len(), part.len());
        kept += done.kept.len();
        for photo in done.rejected {
            assert!(!photo.reason.is_empty() && !photo.reason.contains("not decoded within"), "{photo:?}");
            let words = photo.reason.chars().filter(|letter| !letter.is_ascii_digit()).take(48).collect();
            *rejected.entry(words).or_default() += 1;
        }
        if begun.elapsed() > slowest.0 {
            slowest = (begun.elapsed(), part[0].name.clone());
        }
        if peak().zip(before).is_some_and(|(after, before)| after > before + 50) {
            println!("from {before:?} to {:?} MiB at {} and the nine behind it", peak(), part[0].name);
        }
    }
    let refused: usize = rejected.values().sum();
    println!(
        "{count} photos of {} seeds in {:.1} s: {kept} used, {refused} rejected",
        seeds.len(),
        start.elapsed().as_secs_f64()
    );
    let mut reasons: Vec<_> = rejected.into_iter().collect();
    reasons.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    reasons.iter().take(60).for_each(|(reason, times)| println!("{times:6}  {reason}"));
    let panics = PANICS.lock().unwrap();
    println!("{} panics caught: {panics:?}", panics.len());
    println!("the slowest ten took {:.2} s, from {}; peak {:?} MiB", slowest.0.as_secs_f64(), slowest.1, peak());
    assert_eq!(kept + refused, count);
    assert!(peak().is_none_or(|peak| peak < 256), "{peak:?} MiB at the peak", peak = peak());
    assert!(kept > count / 20 && refused > count / 20, "the damage is too great or too small");
}
