//! Any bytes as a table or an archive of photos, of each kind: what is found can be told on a line, and leads out of no archive.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use trainer::data::{Dataset, Listing, Photo, Source, list};

/// What the bytes are read as.
const ENDINGS: [&str; 5] = ["csv", "tsv", "jsonl", "tar", "zip"];

/// One file by as many names, in a folder of this process.
static FILES: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("photo-tables-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder of its own");
    let files: Vec<PathBuf> = ENDINGS.iter().map(|ending| folder.join(format!("a.{ending}"))).collect();
    fs::write(&files[0], "").expect("it can be written");
    files[1..].iter().for_each(|file| fs::hard_link(&files[0], file).expect("a name"));
    files
});

fn check(photo: &Photo) {
    assert!(!photo.name.chars().any(char::is_control), "{:?}", photo.name);
    assert!(photo.weight.is_finite() && photo.weight >= 0.0, "{}", photo.weight);
    if matches!(photo.source, Source::Member(_)) {
        assert!(!photo.name.split('/').any(|part| part == ".."), "{:?}", photo.name);
    }
}

fuzz_target!(|data: &[u8]| {
    fs::write(&FILES[0], data).expect("it can be written");
    for file in &*FILES {
        if let Ok(dataset) = Dataset::open(file) {
            assert!(dataset.classes.is_sorted() && dataset.classes.len() > 1, "{:?}", dataset.classes);
            assert!(
                dataset
                    .photos
                    .iter()
                    .flat_map(|photo| photo.target.classes())
                    .all(|class| class.index() < dataset.classes.len())
            );
            dataset.photos.iter().for_each(check);
        }
        if let Ok(Listing { photos, rejected, .. }) = list(file) {
            photos.iter().for_each(check);
            assert!(rejected.iter().all(|rejected| !rejected.name.chars().any(char::is_control)), "{rejected:?}");
        }
    }
});
