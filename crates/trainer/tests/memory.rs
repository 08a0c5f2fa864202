//! Ten thousand photos take no more memory than a few hundred. A process of its own: its peak is measured.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use trainer::data::Photo;
use trainer::features::{Extractor, Features, extract};
use trainer::photos::Picture;
use trainer::progress::Progress;

const PHOTOS: usize = 10_000;
const BATCH: usize = 8;
/// f32 values of an input: 48 KiB. All photos' at once would be 470 MiB.
const INPUT: usize = 64 * 64 * 3;

/// How many inputs there are, were at most, and were ever made.
#[derive(Default)]
struct Counts {
    live: AtomicUsize,
    most: AtomicUsize,
    made: AtomicUsize,
}

struct Input<'a> {
    data: Vec<f32>,
    counts: &'a Counts,
}

impl<'a> Input<'a> {
    fn new(counts: &'a Counts) -> Self {
        counts.made.fetch_add(1, Ordering::SeqCst);
        counts.most.fetch_max(counts.live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Self { data: vec![0.0; INPUT], counts }
    }
}

impl Drop for Input<'_> {
    fn drop(&mut self) {
        self.counts.live.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The mean and the first value of a picture. Slower than reading, so that the queue runs full.
struct Slow<'a>(&'a Counts);

impl<'a> Extractor for Slow<'a> {
    type Input = Input<'a>;
    type Pending = Vec<Input<'a>>;

    fn prepare(&self, image: &Picture, spare: Option<Input<'a>>) -> Result<Input<'a>, String> {
        let mut input = spare.unwrap_or_else(|| Input::new(self.0));
        input.data.iter_mut().zip(image.rgb.iter().cycle()).for_each(|(to, from)| *to = f32::from(*from));
        Ok(input)
    }

    fn submit(&self, inputs: Vec<Input<'a>>) -> trainer::Result<Vec<Input<'a>>> {
        Ok(inputs)
    }

    fn wait(&self, inputs: Vec<Input<'a>>) -> trainer::Result<(Vec<f32>, Vec<Input<'a>>)> {
        std::thread::sleep(std::time::Duration::from_micros(100));
        let row = |input: &Input| [input.data.iter().sum::<f32>() / INPUT as f32, input.data[0]];
        Ok((inputs.iter().flat_map(row).collect(), inputs))
    }

    fn feature_len(&self) -> usize {
        2
    }

    fn batch(&self) -> usize {
        BATCH
    }
}

/// Notes the process's peak after some photos.
struct Peaks {
    done: AtomicUsize,
    early: AtomicUsize,
}

impl Progress for Peaks {
    fn advance(&self, steps: usize) {
        let done = self.done.fetch_add(steps, Ordering::SeqCst) + steps;
        if (500..500 + steps).contains(&done) {
            self.early.store(peak_kilobytes().unwrap_or(0), Ordering::SeqCst);
        }
    }
}

/// The largest that this process has been in memory, where the system says.
fn peak_kilobytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// A bitmap of 64x64, its own for each number.
fn photo(folder: &Path, number: usize) -> Photo {
    let pixels = image::RgbImage::from_fn(64, 64, |x, y| {
        image::Rgb([number as u8, (number >> 8) as u8, if (x, y) == (0, 0) { 1 } else { 0 }])
    });
    let name = format!("{number:05}.bmp");
    let path = folder.join(&name);
    pixels.save(&path).unwrap();
    Photo { path, name, target: Default::default(), part: None }
}

#[test]
fn memory_is_flat_over_ten_thousand_photos() {
    let folder = tempfile::tempdir().unwrap();
    let photos: Vec<Photo> = (0..PHOTOS).map(|number| photo(folder.path(), number)).collect();
    let counts = Counts::default();
    let peaks = Peaks { done: AtomicUsize::new(0), early: AtomicUsize::new(0) };
    let mut features = Features::new("key", 2);
    let done =
        extract(&photos, &Slow(&counts), &mut features, &Default::default(), &Default::default(), &peaks).unwrap();
    assert_eq!((done.kept.len(), done.computed, features.count()), (PHOTOS, PHOTOS, PHOTOS));
    let rows = features.gather(done.kept.iter().map(|(_, digest)| digest)).unwrap();
    for (number, row) in rows.chunks_exact(2).enumerate() {
        assert_eq!(row[1], f32::from(number as u8), "{number}");
    }

    let bound = 3 * BATCH + 2 * rayon::current_num_threads();
    let (most, made) = (counts.most.load(Ordering::SeqCst), counts.made.load(Ordering::SeqCst));
    assert!((BATCH..=bound).contains(&most), "{most} inputs at once, {bound} allowed");
    assert_eq!(made, most, "inputs are used again");
    assert_eq!(counts.live.load(Ordering::SeqCst), 0);

    if cfg!(target_os = "linux") {
        let (early, late) = (peaks.early.load(Ordering::SeqCst), peak_kilobytes().unwrap());
        assert!(early > 0);
        // Digests, rows and results of the other 9,500: 2 MB. Their pixels would be 110 MB.
        assert!(late - early < 24_000, "{early} kB after 500 photos, {late} kB after {PHOTOS}");
    }
}
