//! Tests that ten thousand photos take no more memory than a few hundred, in a process whose peak is measured and allocations are counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use resnet::{Engine, Error, ImageBytes, ImageTensor, Pending, Recipe, Resize, Tap};
use trainer::data::Photo;
use trainer::features::{Engines, Extractor, Features, extract};
use trainer::photos::Preparation;
use trainer::progress::Progress;

const PHOTOS: usize = 10_000;
const BATCH: usize = 8;
/// Rows and columns of a prepared photo.
const SIDE: usize = 120;
/// Bytes of a prepared photo: 42 KiB, as nothing else here. All photos' at once would be 410 MiB.
const IMAGE: usize = SIDE * SIDE * 3;

/// The red of the pixel in the middle.
const CENTRE: usize = (SIDE / 2 * SIDE + SIDE / 2) * 3;

/// How many prepared photos there are, were at most, and were ever made.
struct Counts {
    live: AtomicUsize,
    most: AtomicUsize,
    made: AtomicUsize,
}

/// The system's allocator, which counts what has the size of a prepared photo.
struct Counting(Counts);

impl Counting {
    fn made(&self, bytes: usize) {
        if bytes == IMAGE {
            self.0.made.fetch_add(1, Ordering::SeqCst);
            self.0.most.fetch_max(self.0.live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        }
    }

    fn freed(&self, bytes: usize) {
        if bytes == IMAGE {
            self.0.live.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

// SAFETY: all work is the system allocator's; counting takes no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.made(layout.size());
        // SAFETY: what the caller promises is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.made(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        self.freed(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        self.freed(layout.size());
        self.made(bytes);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting =
    Counting(Counts { live: AtomicUsize::new(0), most: AtomicUsize::new(0), made: AtomicUsize::new(0) });

/// Gives the mean of an image and its value in the middle. Slower than reading, so that the queue runs full.
struct Slow(usize);

impl Engine for Slow {
    fn batch(&self) -> usize {
        self.0
    }

    fn input_size(&self) -> [usize; 2] {
        [SIDE; 2]
    }

    fn len_of(&self, tap: Tap) -> Option<usize> {
        (tap == Tap::Features).then_some(2)
    }

    fn submit(&self, _: &[ImageTensor]) -> Result<Pending, Error> {
        Err(Error::Options("photos come as bytes".to_owned()))
    }

    fn submit_bytes(&self, images: &[ImageBytes]) -> Result<Pending, Error> {
        self.check_bytes(images)?;
        let value = |byte: u8| f32::from(byte) / 255.0;
        let mean = |image: &ImageBytes| image.data.iter().map(|&byte| value(byte)).sum::<f32>() / IMAGE as f32;
        let row = |image: &ImageBytes| [mean(image), value(image.data[CENTRE])];
        let rows: Vec<f32> = images.iter().flat_map(row).collect();
        Ok(Pending::new(move |_| {
            std::thread::sleep(std::time::Duration::from_micros(100));
            Ok(rows.clone())
        }))
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

/// Reads the largest that this process has been in memory, where the system says.
fn peak_kilobytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// Writes a bitmap of 64x64, another for each number.
fn photo(folder: &Path, number: usize) -> Photo {
    let pixels = image::RgbImage::from_fn(64, 64, |x, y| {
        image::Rgb([number as u8, (number >> 8) as u8, if (x, y) == (0, 0) { 1 } else { 0 }])
    });
    let path = folder.join(format!("{number:05}.bmp"));
    pixels.save(&path).unwrap();
    Photo::at(&path)
}

#[test]
fn memory_is_flat_over_ten_thousand_photos() {
    let folder = tempfile::tempdir().unwrap();
    let photos: Vec<Photo> = (0..PHOTOS).map(|number| photo(folder.path(), number)).collect();
    let peaks = Peaks { done: AtomicUsize::new(0), early: AtomicUsize::new(0) };
    let recipe = Recipe {
        input_size: [SIDE; 2],
        // Smaller than the crop, so that no picture on the way has the size of what is counted.
        resize: Resize::Exact([64; 2]),
        mean: [0.0; 3],
        std: [1.0; 3],
        ..Recipe::default()
    };
    let preparation = Preparation { recipe, ..Preparation::default() };
    let mut features = Features::new(2);
    let mut extractor = Extractor::new(Engines::new(|batch| Ok(Box::new(Slow(batch)))), BATCH);
    let done = extract(&photos, &mut extractor, &mut features, &preparation, &peaks).unwrap();
    assert_eq!((done.kept.len(), done.computed, features.count()), (PHOTOS, PHOTOS, PHOTOS));
    for (number, row) in features.rows(done.digests()).unwrap().iter().enumerate() {
        assert_eq!(row[1], f32::from(number as u8) / 255.0, "{number}");
    }

    let bound = 3 * BATCH + 2 * rayon::current_num_threads();
    let Counting(counts) = &ALLOCATOR;
    let (most, made) = (counts.most.load(Ordering::SeqCst), counts.made.load(Ordering::SeqCst));
    assert!((BATCH..=bound).contains(&most), "{most} prepared photos at once, {bound} allowed");
    assert_eq!(made, most, "their memory is used again");
    assert_eq!(counts.live.load(Ordering::SeqCst), 0);

    if cfg!(target_os = "linux") {
        let (early, late) = (peaks.early.load(Ordering::SeqCst), peak_kilobytes().unwrap());
        assert!(early > 0);
        // Digests, rows and results of the other 9,500: 2 MB. Their pixels would be 110 MB.
        assert!(late - early < 24_000, "{early} kB after 500 photos, {late} kB after {PHOTOS}");
    }
}
