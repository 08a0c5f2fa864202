//! Weight files that chance has damaged: bits flipped, ends cut, pieces lost and doubled, headers that lie. Each is opened and inspected in this
//! process: it is read or refused in words, and never panics, hangs, or takes memory out of proportion.
//!
//! An ordinary run tries 200; `MUTANTS=2000 cargo test --test mutated_weights -- --nocapture` tries more and prints what came of them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use resnet::{Architecture, WeightFile};
use testkit::{Samples, formula};

/// The system's allocator, which counts the bytes that are in use, and were at most.
struct Counting {
    live: AtomicUsize,
    most: AtomicUsize,
}

impl Counting {
    fn taken(&self, bytes: usize) {
        self.most.fetch_max(self.live.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
    }

    /// Does some work, and tells how many bytes more than before were in use at its peak.
    fn peak<T>(&self, work: impl FnOnce() -> T) -> (T, usize) {
        let before = self.live.load(Ordering::SeqCst);
        self.most.store(before, Ordering::SeqCst);
        let done = work();
        (done, self.most.load(Ordering::SeqCst) - before)
    }
}

// SAFETY: all work is the system allocator's; counting takes no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.taken(layout.size());
        // SAFETY: what the caller promises is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        self.live.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static MEMORY: Counting = Counting { live: AtomicUsize::new(0), most: AtomicUsize::new(0) };

/// Puts a file together from its header's text and its data.
fn joined(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// Tells where the header ends, if the file is long enough.
fn header_end(bytes: &[u8]) -> usize {
    let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    usize::try_from(length).unwrap_or(usize::MAX).saturating_add(8).min(bytes.len())
}

/// Values that weights may get.
const VALUES: [f32; 8] = [0.0, -1.0, 1e-40, 3e38, -3e38, f32::INFINITY, f32::NAN, 65520.0];
/// Numbers that a header may lie with.
const NUMBERS: [&str; 10] = [
    "0",
    "1",
    "7",
    "-1",
    "1e400",
    "2.5",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999",
];
/// Words of a header, and what may be written in their place.
const WORDS: [&str; 18] = [
    "F32",
    "F16",
    "F64",
    "BOOL",
    "I64",
    "F4",
    "dtype",
    "shape",
    "data_offsets",
    "weight",
    "bias",
    "running_var",
    "layer1",
    "layer4",
    "conv1",
    "bn2",
    "fc",
    "[",
];
/// What may be written into a header where a new entry can begin.
const ENTRIES: [&str; 6] = [
    r#""fc.bias":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"#,
    r#""__metadata__":{"recipe":"{}","reading":"[","labels":"7","license":"\n\u001b"},"#,
    r#""__metadata__":{"recipe":"{\"input_size\":[99999999999,1]}"},"#,
    r#""layer1.9999999999.conv1.weight":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"#,
    r#""layer4.63.conv3.weight":{"dtype":"F32","shape":[1,0,18446744073709551615],"data_offsets":[0,0]},"#,
    r#""x":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]],"#,
];

/// Makes the mutant of this number.
fn mutant(number: u64, whole: &[u8]) -> Vec<u8> {
    let mut draw = Samples::new(number);
    let mut bytes = whole.to_vec();
    for _ in 0..[1, 1, 1, 2, 3][draw.below(5) as usize] {
        mutate(&mut bytes, &mut draw);
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, draw: &mut Samples) {
    let place = |draw: &mut Samples, end: usize| draw.below(end.max(1) as u32) as usize;
    let end = header_end(bytes);
    let (header, data) = bytes.split_at(end);
    let header = header.get(8..).unwrap_or_default();
    match draw.below(8) {
        0 => {
            for _ in 0..1 + draw.below(16) {
                let at = place(draw, end);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << draw.below(8);
                }
            }
        }
        1 => {
            let at = end + place(draw, data.len()) / 4 * 4;
            let value = VALUES[place(draw, VALUES.len())].to_le_bytes();
            if let Some(old) = bytes.get_mut(at..at + 4) {
                old.copy_from_slice(&value);
            }
        }
        2 => bytes.truncate(place(draw, bytes.len())),
        3 => {
            let (from, length) = (place(draw, bytes.len()), place(draw, 4096));
            bytes.drain(from..bytes.len().min(from + length));
        }
        4 => {
            let (from, length, at) = (place(draw, bytes.len()), place(draw, 4096), place(draw, bytes.len()));
            let piece = bytes[from..bytes.len().min(from + length)].to_vec();
            bytes.splice(at..at, piece);
        }
        5 => {
            let lies = [0, 1, 8, end as u64, 100_000_000, 100_000_001, u64::from(u32::MAX), u64::MAX - 7, u64::MAX];
            let lie = lies[place(draw, lies.len())].to_le_bytes();
            bytes.splice(..bytes.len().min(8), lie);
        }
        // From here on the header is as long as it says.
        6 => {
            let digits: Vec<usize> = (0..header.len()).filter(|at| header[*at].is_ascii_digit()).collect();
            let Some(from) = digits.get(place(draw, digits.len())).copied() else { return };
            let number = NUMBERS[place(draw, NUMBERS.len())].as_bytes();
            let rest = header[from..].iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(header.len() - from);
            *bytes = joined(&[&header[..from], number, &header[from + rest..]].concat(), data);
        }
        _ => {
            let text = String::from_utf8_lossy(header);
            let edited = if draw.below(2) == 0 {
                let [old, new] = [(); 2].map(|()| WORDS[place(draw, WORDS.len())]);
                match text.match_indices(old).nth(place(draw, text.matches(old).count())) {
                    Some((at, _)) => [&text[..at], new, &text[at + old.len()..]].concat(),
                    None => return,
                }
            } else {
                text.replacen('{', &format!("{{{}", ENTRIES[place(draw, ENTRIES.len())]), 1)
            };
            *bytes = joined(edited.as_bytes(), data);
        }
    }
}

/// Opens and inspects a file by all ways, and tells whether it was taken for a network.
fn look(path: &Path, bytes: Vec<u8>) -> bool {
    std::fs::write(path, &bytes).unwrap();
    let by_path = WeightFile::open(path);
    let plain = |text: &str| assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    if let Ok(file) = &by_path {
        assert!(file.bytes() == bytes && file.backbone_tensors().count() <= file.tensors().count());
        let convs = file.convs().filter(Result::is_ok).count();
        assert!(convs <= file.architecture().network().convs().count());
        let _ = file.head();
        let _ = trainer::run::reading_of(file, path);
    }
    let taken = by_path.is_ok();
    assert_eq!(WeightFile::from_bytes(bytes).is_ok(), taken, "a file is what its bytes are");
    let files = trainer::hub::resolve_by_env(path.to_str().unwrap(), &()).unwrap();
    match trainer::tasks::inspect(&files) {
        Ok(found) => assert!(taken && serde_json::to_value(&found).is_ok()),
        Err(error) => plain(&error.to_string()),
    }
    taken
}

/// Headers as large as can be, for what they hold.
fn heavy() -> Vec<(&'static str, Vec<u8>)> {
    let repeated = |count: usize, piece: &str| piece.repeat(count);
    let entries = |count: usize, name: &str| -> String {
        (0..count).map(|i| format!(r#""{name}{i}":{{"dtype":"F32","shape":[],"data_offsets":[0,0]}},"#)).collect()
    };
    let of = |body: String| joined(format!(r#"{{{body}"x":0}}"#).as_bytes(), &[]);
    vec![
        ("a header of 100 MB", [&100_000_000_u64.to_le_bytes()[..], b"{", &vec![b' '; 99_999_999]].concat()),
        ("a header of 99 MB of entries", of(entries(1_500_000, "layer1.0.conv1."))),
        ("a name of 8 MB", of(format!(r#""{}":0,"#, repeated(8 << 20, "a").split_off(200)))),
        (
            "a shape of numbers",
            of(format!(r#""y":{{"dtype":"F32","shape":[{}1],"data_offsets":[0,4]}},"#, repeated(109_000, "1,"))),
        ),
        ("names of 600 letters", of(entries(12_000, &repeated(600, "a")))),
        (
            "metadata",
            of(format!(
                r#""__metadata__":{{{}"b":""}},"#,
                (0..50_000).map(|i| format!(r#""{i}":"","#)).collect::<String>()
            )),
        ),
    ]
}

#[test]
fn no_mutant_panics_hangs_or_takes_much_memory() {
    let count: u64 = std::env::var("MUTANTS").map_or(200, |count| count.parse().expect("MUTANTS is a number"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutant.safetensors");
    let networks = [
        Architecture::basic([1, 1, 1, 1], [4, 8, 8, 16], Some(3)),
        Architecture::basic([1, 2, 1, 1], [4, 4, 4, 4], None),
    ];
    let wholes = networks.map(|network| formula::weights(&network.tensors()));
    let (mut taken, mut panics, mut longest, mut share) = (0, Vec::new(), Duration::ZERO, 0.0_f64);
    for number in 0..count {
        let bytes = mutant(number, &wholes[number as usize % wholes.len()]);
        let (length, start) = (bytes.len(), Instant::now());
        let (found, peak) = MEMORY.peak(|| catch_unwind(AssertUnwindSafe(|| look(&path, bytes))));
        longest = longest.max(start.elapsed());
        share = share.max(peak as f64 / (length as f64 + f64::from(1 << 16)));
        match found {
            Ok(network) => taken += usize::from(network),
            Err(_) => panics.push(number),
        }
    }
    println!("{count} mutants: {taken} taken for a network, {} panics, {longest:?} the longest", panics.len());
    println!("memory: {share:.1} times the file and 64 KiB at most");
    assert!(panics.is_empty(), "mutants that panic: {panics:?}");
    assert!(taken > 0 && taken < count as usize, "chance hits what matters, and what doesn't");
    assert!(share < 3.0 && longest < Duration::from_secs(5), "{share} {longest:?}");

    for (what, bytes) in heavy() {
        std::fs::write(&path, &bytes).unwrap();
        let (length, start) = (bytes.len(), Instant::now());
        drop(bytes);
        let (refused, peak) = MEMORY.peak(|| WeightFile::open(&path).is_err());
        println!(
            "{what}: {:.1} MB in {:?}, {:.1} MB of memory",
            length as f64 / 1e6,
            start.elapsed(),
            peak as f64 / 1e6
        );
        assert!(refused && peak < 4 * length.min(8 << 20) + (8 << 20), "{what}: {peak} bytes");
        assert!(start.elapsed() < Duration::from_secs(5), "{what}: {:?}", start.elapsed());
    }
}
