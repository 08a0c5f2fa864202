//! Finds near-duplicates: photos that are one photo to a look, though not to the byte. Their features point the same way, and then their pictures
//! are laid on each other.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::Builder;

use rayon::prelude::*;

use crate::data::{Groups, Part, Photo};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::features::near::{Pair, Wanted, pairs};
use crate::features::ordered::{Crew, ordered};
use crate::features::rows::Rows;
use crate::features::upkeep::StoreOptions;
use crate::features::verdicts::Verdicts;
use crate::photos::{Failure, Limits, Reading, Sketch, decode_by, decode_into};
use crate::progress::{Progress, Stage, watched};
use crate::words::chain;

// As measured: docs/honest-parts.md.
/// Which photos are worth another look.
const WANTED: Wanted = Wanted { sure: 0.8, likely: 0.5, lead: 0.14 };
/// The least likeness of two pictures that are one photo.
const ALIKE: f32 = 0.65;
/// Where a picture can't be looked at again, its features must say so themselves: their least cosine.
const UNSEEN: f32 = 0.98;
/// Photos whose sketches are in memory at once, of 6 kB each.
const AT_ONCE: usize = 16_384;
/// Pairs that are compared before it is seen which are together by then.
const PAIRS: usize = 64;

/// How pictures are looked at again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looking<'a> {
    /// The photos' contents, in their order.
    pub digests: &'a [Digest],
    /// Where what is seen is kept, so that it is seen once.
    pub store: Option<&'a StoreOptions>,
    pub reading: &'a Reading,
    pub limits: &'a Limits,
}

/// Finds photos that are nearly the same, given a row of features each, and puts them into one group. Gives the pairs by which groups were joined: a chain of
/// photos of which each is like the next is one group.
///
/// Of a pair in which a photo can't be read any more, only the features are known; they must be all but equal. Pairs within a part that a folder
/// gives to validate or to test aren't looked for: nothing comes of them.
///
/// # Errors
/// The watcher asked to stop; the machine failed.
pub(crate) fn near_duplicates(
    photos: &[&Photo],
    rows: &Rows<'_>,
    groups: &mut Groups,
    looking: Looking<'_>,
    progress: &dyn Progress,
) -> Result<Vec<[usize; 2]>> {
    let mut candidates = watched(progress, Stage::NEIGHBOURS, || pairs(rows, WANTED, progress))?;
    let stays = |part| matches!(part, Some(Part::Validation | Part::Test));
    candidates.retain(|Pair { rows: [a, b], .. }| {
        let [left, right] = [a, b].map(|place| photos[*place].part);
        !(groups.are_together(*a, *b) || left == right && stays(left))
    });
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let verdicts = Verdicts::open(looking.store, looking.reading);
    let mut joining = Joining { groups, joined: Vec::new(), verdicts, digests: looking.digests };
    candidates.retain(|pair| joining.is_unknown(pair));
    let mut outcome = Ok(());
    if !candidates.is_empty() {
        progress.begin(Stage::PAIRS, candidates.len());
        let mut left = &candidates[..];
        while outcome.is_ok() && !left.is_empty() {
            let (some, needed) = first_of(left);
            left = &left[some.len()..];
            outcome = sketches(photos, &needed, looking, progress)
                .and_then(|sketches| joining.compare(some, &sketches, progress));
        }
        progress.note(&format!("{} of one photo", joining.joined.len()));
        progress.end();
        if let Err(error) = joining.verdicts.keep() {
            progress.warn(&chain(&error));
        }
    }
    outcome.map(|()| joining.joined)
}

/// Takes pairs from the first on, as long as the sketches of their photos have room.
fn first_of(pairs: &[Pair]) -> (&[Pair], Vec<usize>) {
    let mut needed = BTreeSet::new();
    let fits = |pair: &&Pair| {
        needed.extend(pair.rows);
        needed.len() <= AT_ONCE + 2
    };
    let count = pairs.iter().take_while(fits).count();
    (&pairs[..count], needed.into_iter().collect())
}

/// Draws the sketches of some photos; those that can't be read have none.
fn sketches(
    photos: &[&Photo],
    needed: &[usize],
    looking: Looking<'_>,
    progress: &dyn Progress,
) -> Result<BTreeMap<usize, Sketch>> {
    let threads = rayon::current_num_threads();
    let mut sketches = BTreeMap::new();
    let worker = || |&place: &usize| (place, sketch(photos[place], looking));
    ordered(needed, Crew { threads, ahead: 2 * threads, builder: Builder::new }, worker, |(place, sketch)| {
        if progress.cancelled() {
            return Err(Error::Interrupted { kept: 0 });
        }
        match sketch {
            Ok(sketch) => drop(sketches.insert(place, sketch)),
            Err(Failure::Machine(error)) => return Err(error),
            // It could be read a moment ago: it has gone, or is another by now.
            Err(Failure::Photo(_)) => {}
        }
        Ok(())
    })?;
    Ok(sketches)
}

/// Reads a photo once more and draws its sketch.
fn sketch(photo: &Photo, looking: Looking<'_>) -> Result<Sketch, Failure> {
    let bytes = photo.read(looking.limits)?;
    let (picture, _share) = decode_by(decode_into, bytes, looking.reading, looking.limits, Vec::new())?;
    Ok(Sketch::new(&picture))
}

/// Groups while they are joined.
struct Joining<'a> {
    groups: &'a mut Groups,
    joined: Vec<[usize; 2]>,
    verdicts: Verdicts,
    digests: &'a [Digest],
}

impl Joining<'_> {
    /// Tells whether a pair must be looked at; one that was seen before is joined if it is one photo.
    fn is_unknown(&mut self, pair: &Pair) -> bool {
        let [a, b] = pair.rows.map(|place| &self.digests[place]);
        match self.verdicts.get(a, b) {
            Some(true) => self.join(pair),
            Some(false) => {}
            None => return true,
        }
        false
    }

    fn join(&mut self, pair: &Pair) {
        let [a, b] = pair.rows;
        if !self.groups.are_together(a, b) {
            self.groups.join(a, b);
            self.joined.push([a, b]);
        }
    }

    /// Compares the pictures of pairs that aren't together yet, and joins those that are alike.
    fn compare(&mut self, pairs: &[Pair], sketches: &BTreeMap<usize, Sketch>, progress: &dyn Progress) -> Result<()> {
        for some in pairs.chunks(PAIRS) {
            if progress.cancelled() {
                return Err(Error::Interrupted { kept: 0 });
            }
            let apart = |pair: &&Pair| !self.groups.are_together(pair.rows[0], pair.rows[1]);
            let apart: Vec<&Pair> = some.iter().filter(apart).collect();
            let seen = |pair: &&Pair| match pair.rows.map(|place| sketches.get(&place)) {
                [Some(a), Some(b)] => Some(a.likeness(b) >= ALIKE),
                _ => None,
            };
            let seen: Vec<Option<bool>> = apart.par_iter().map(seen).collect();
            for (pair, seen) in apart.into_iter().zip(seen) {
                if let Some(alike) = seen {
                    let [a, b] = pair.rows.map(|place| &self.digests[place]);
                    self.verdicts.note(a, b, alike);
                }
                if seen.unwrap_or(pair.cosine >= UNSEEN) {
                    self.join(pair);
                }
            }
            progress.advance(some.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use image::codecs::jpeg::JpegEncoder;
    use image::imageops::{self, FilterType};
    use image::{DynamicImage, RgbImage};

    use super::*;
    use crate::data::{Entry, Source, Target, list};
    use crate::features::{Engines, Extractor, Features, Key, extract};
    use crate::photos::texture::texture;
    use crate::photos::{Preparation, decode};

    /// What becomes of a photo: its name, and the picture with the quality of its JPEG.
    type Change = (&'static str, fn(&RgbImage, u64) -> (RgbImage, u8));

    fn crop(image: &RgbImage, side: f32, number: u64) -> RgbImage {
        let size = [image.width(), image.height()].map(|length| (length as f32 * side) as u32);
        let mut random = crate::random::SplitMix64(number);
        let mut place = |axis: usize| {
            let free = [image.width(), image.height()][axis] - size[axis];
            (random.bits() % (u64::from(free) + 1)) as u32
        };
        imageops::crop_imm(image, place(0), place(1), size[0], size[1]).to_image()
    }

    fn scaled(image: &RgbImage, by: f32) -> RgbImage {
        let [width, height] = [image.width(), image.height()].map(|length| ((length as f32 * by) as u32).max(1));
        imageops::resize(image, width, height, FilterType::Triangle)
    }

    fn lit(image: &RgbImage, gain: f32) -> RgbImage {
        let mut image = image.clone();
        image.iter_mut().for_each(|value| *value = (f32::from(*value) * gain).min(255.0) as u8);
        image
    }

    const CHANGES: [Change; 13] = [
        ("quality 30", |image, _| (image.clone(), 30)),
        ("quality 75", |image, _| (image.clone(), 75)),
        ("quality 95", |image, _| (image.clone(), 95)),
        ("half the size", |image, _| (scaled(image, 0.5), 90)),
        ("quarter of the size", |image, _| (scaled(image, 0.25), 90)),
        ("crop 95 %", |image, number| (crop(image, 0.95, number), 90)),
        ("crop 85 %", |image, number| (crop(image, 0.85, number), 90)),
        ("crop 75 %", |image, number| (crop(image, 0.75, number), 90)),
        ("crop 60 %", |image, number| (crop(image, 0.60, number), 90)),
        ("mirrored", |image, _| (imageops::flip_horizontal(image), 90)),
        ("darker", |image, _| (lit(image, 0.7), 90)),
        ("brighter", |image, _| (lit(image, 1.3), 90)),
        ("mirrored, crop 80 %, half", |image, number| {
            (scaled(&imageops::flip_horizontal(&crop(image, 0.8, number)), 0.5), 75)
        }),
    ];

    /// Writes a picture as a file's content.
    fn png(image: &RgbImage) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    /// Photos in memory, and rows that say which a network sees as one: those of one direction, a little apart.
    fn seen(pictures: &[(&RgbImage, usize)]) -> (Vec<Photo>, Vec<f32>) {
        let width = 1 + pictures.iter().map(|(_, direction)| *direction).max().unwrap();
        let photo =
            |(number, (image, _)): (usize, &(&RgbImage, usize))| Photo::in_memory(&number.to_string(), png(image));
        let rows = pictures.iter().enumerate().flat_map(|(number, &(_, direction))| {
            (0..width).map(move |column| match column == direction {
                true => 5.0,
                false => 1.0 + ((number * 7 + column * 3) % 5) as f32 / 4.0,
            })
        });
        (pictures.iter().enumerate().map(photo).collect(), rows.collect())
    }

    fn view(rows: &[f32]) -> Rows<'_> {
        // As `some` makes them.
        Rows::new(rows, rows.len() / 10).unwrap()
    }

    /// Groups, and the pairs that were joined.
    type Grouped = (Vec<Vec<usize>>, Vec<[usize; 2]>);

    /// Groups photos by what they look like.
    fn grouped(photos: &[Photo], rows: &Rows, progress: &dyn Progress) -> Result<Grouped> {
        let entries: Vec<Entry> = (photos.iter().enumerate())
            .map(|(number, photo)| {
                let digest: Digest = std::array::from_fn(|byte| number.to_le_bytes()[byte % 8]);
                Entry { target: &Target::None, digest, part: photo.part, group: None, kept: None }
            })
            .collect();
        let mut groups = Groups::new(&entries);
        let digests: Vec<Digest> = entries.iter().map(|entry| entry.digest).collect();
        let (reading, limits) = (Reading::default(), Limits::default());
        let looking = Looking { digests: &digests, store: None, reading: &reading, limits: &limits };
        let all: Vec<&Photo> = photos.iter().collect();
        let joined = near_duplicates(&all, rows, &mut groups, looking, progress)?;
        Ok((groups.list(), joined))
    }

    #[test]
    fn what_was_seen_is_not_looked_at_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = StoreOptions::at(dir.path());
        let (mut photos, values) = some();
        let rows = view(&values);
        let digests: Vec<Digest> = (0..photos.len()).map(|number| [number as u8; 32]).collect();
        let joined = |photos: &[Photo]| {
            let entry = |(photo, digest): (&Photo, &Digest)| Entry {
                target: &Target::None,
                digest: *digest,
                part: photo.part,
                group: None,
                kept: None,
            };
            let mut groups = Groups::new(&photos.iter().zip(&digests).map(entry).collect::<Vec<_>>());
            let (reading, limits) = (Reading::default(), Limits::default());
            let looking = Looking { digests: &digests, store: Some(&store), reading: &reading, limits: &limits };
            near_duplicates(&photos.iter().collect::<Vec<_>>(), &rows, &mut groups, looking, &()).unwrap();
            groups.list()
        };
        let first = joined(&photos);
        // What would be seen now says nothing of anything.
        photos.iter_mut().for_each(|photo| photo.source = Source::Memory(Arc::from(*b"no photo")));
        assert_eq!(joined(&photos), first);
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert_ne!(joined(&photos), first, "and the test must see it");
    }

    /// A photo, its crop and its mirror image; another that a network sees as the same; and others.
    fn some() -> (Vec<Photo>, Vec<f32>) {
        let photo = texture(1, 1);
        let (cropped, mirrored) = (crop(&photo, 0.8, 3), imageops::flip_horizontal(&photo));
        let others: Vec<RgbImage> = (2..9).map(|seed| texture(seed, seed)).collect();
        let mut pictures = vec![(&photo, 0), (&cropped, 0), (&others[0], 0), (&mirrored, 0)];
        pictures.extend(others[1..].iter().zip(1..));
        seen(&pictures)
    }

    #[test]
    fn photos_that_look_the_same_are_together_and_others_are_not() {
        let (photos, rows) = some();
        let (groups, joined) = grouped(&photos, &view(&rows), &()).unwrap();
        assert_eq!(groups[..2], [vec![0, 1, 3], vec![2]], "{groups:?}");
        assert_eq!((groups.len(), joined.len()), (8, 2));
    }

    #[test]
    fn of_a_photo_that_has_gone_its_features_must_be_all_but_equal() {
        let (mut photos, mut rows) = some();
        let width = rows.len() / photos.len();
        // The crop and the other one can't be read any more; the crop's features are the photo's.
        for gone in [1, 2] {
            photos[gone].source = Source::File;
        }
        rows.copy_within(..width, width);
        let (groups, joined) = grouped(&photos, &view(&rows), &()).unwrap();
        assert_eq!(groups[..2], [vec![0, 1, 3], vec![2]], "{groups:?}");
        assert_eq!(joined.len(), 2);
        // A picture that can't be decoded is as one that has gone.
        photos[0].source = Source::Memory(Arc::from(*b"no photo"));
        assert_eq!(grouped(&photos, &view(&rows), &()).unwrap().0[..3], [vec![0, 1], vec![2], vec![3]]);
    }

    #[test]
    fn within_a_given_part_to_test_nothing_is_looked_for_and_across_parts_it_is() {
        let (mut photos, rows) = some();
        photos.iter_mut().for_each(|photo| photo.part = Some(Part::Test));
        assert_eq!(grouped(&photos, &view(&rows), &()).unwrap().1, [[0; 2]; 0]);
        photos[0].part = Some(Part::Train);
        assert_eq!(grouped(&photos, &view(&rows), &()).unwrap().0[0], [0, 1, 3]);
    }

    #[test]
    fn it_is_watched_and_can_be_stopped() {
        #[derive(Default)]
        struct Watch(Mutex<(usize, usize)>, bool);
        impl Progress for Watch {
            fn begin(&self, stage: Stage, total: usize) {
                if stage == Stage::PAIRS {
                    self.0.lock().unwrap().0 = total;
                }
            }
            fn advance(&self, steps: usize) {
                self.0.lock().unwrap().1 += steps;
            }
            fn cancelled(&self) -> bool {
                self.1 && self.0.lock().unwrap().0 > 0
            }
        }
        let (photos, rows) = some();
        let watch = Watch::default();
        grouped(&photos, &view(&rows), &watch).unwrap();
        let (told, done) = *watch.0.lock().unwrap();
        assert!(told >= 3 && told == done, "{told}, {done}");
        let outcome = grouped(&photos, &view(&rows), &Watch(Mutex::default(), true));
        assert!(matches!(outcome, Err(Error::Interrupted { .. })));
    }

    #[test]
    fn sketches_are_drawn_of_as_many_as_have_room() {
        let pair = |a, b| Pair { rows: [a, b], cosine: 1.0 };
        let many: Vec<Pair> = (0..AT_ONCE).map(|place| pair(2 * place, 2 * place + 1)).collect();
        let (some, needed) = first_of(&many);
        assert!(some.len() * 2 >= AT_ONCE && needed.len() <= AT_ONCE + 4, "{} and {}", some.len(), needed.len());
        let (some, needed) = first_of(&many[..3]);
        assert_eq!((some.len(), needed), (3, (0..6).collect()));
    }

    /// Measures how many copies of each kind are found among the photos of a folder, and what else is taken for one photo. The figures of
    /// docs/honest-parts.md are its.
    #[test]
    #[ignore = "measures: PHOTOS=folder WEIGHTS=file, and EVERY=4 for copies of every fourth photo"]
    fn near_duplicates_measured() {
        let given = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} isn't set"));
        let every: usize = given("EVERY").parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut photos = list(Path::new(&given("PHOTOS"))).unwrap().photos;
        let found = photos.len();
        let mut of = Vec::new();
        for (number, photo) in photos.clone().iter().enumerate().step_by(every) {
            let picture = decode(std::fs::read(&photo.path).unwrap(), &Reading::default(), &Limits::default()).unwrap();
            let image = RgbImage::from_raw(picture.width as u32, picture.height as u32, picture.rgb).unwrap();
            for (kind, (name, change)) in CHANGES.iter().enumerate() {
                let (image, quality) = change(&image, number as u64);
                let path = folder.path().join(format!("{number}-{name}.jpg"));
                let file = std::fs::File::create(&path).unwrap();
                JpegEncoder::new_with_quality(file, quality).encode_image(&DynamicImage::from(image)).unwrap();
                photos.push(Photo::at(&path));
                of.push((number, kind));
            }
        }
        let weights = resnet::WeightFile::open(given("WEIGHTS")).unwrap();
        let gpu = pollster::block_on(crate::machine::open(&Default::default())).unwrap();
        let preparation = Preparation::default();
        let mut extractor = Extractor::new(Engines::on(&gpu, &weights, preparation.recipe.input_size), 8);
        let width = weights.architecture().features();
        let mut features = match std::env::var_os("STORE") {
            None => Features::new(width),
            Some(store) => {
                let key = Key::of(&weights, kernels::Precision::F32, &preparation);
                Features::kept_in(&StoreOptions::at(&store), &key, width).unwrap()
            }
        };
        let extraction = extract(&photos, &mut extractor, &mut features, &preparation, &()).unwrap();
        features.keep().unwrap();
        assert_eq!(extraction.kept.len(), photos.len(), "{:?}", extraction.rejected);
        let digests: Vec<&Digest> = extraction.digests().collect();
        let group = |places: &[usize]| {
            let some: Vec<Photo> = places.iter().map(|&place| photos[place].clone()).collect();
            let rows = features.rows(places.iter().map(|&place| digests[place])).unwrap();
            let start = std::time::Instant::now();
            let (groups, joined) = grouped(&some, &rows, &()).unwrap();
            (groups, joined, start.elapsed())
        };
        let (groups, joined, time) = group(&(0..found).collect::<Vec<_>>());
        println!("{found} photos: {} pairs, {} groups, {time:.2?}", joined.len(), groups.len());
        joined.iter().for_each(|[a, b]| println!("  {} and {}", photos[*a].name, photos[*b].name));
        let known: Vec<Vec<usize>> = groups;
        for (kind, (name, _)) in CHANGES.iter().enumerate() {
            let copies: Vec<usize> = (0..of.len()).filter(|&copy| of[copy].1 == kind).collect();
            let places: Vec<usize> = (0..found).chain(copies.iter().map(|copy| found + copy)).collect();
            let (groups, ..) = group(&places);
            let together = |a: usize, b: usize| groups.iter().any(|group| group.contains(&a) && group.contains(&b));
            let hits =
                (copies.iter().enumerate()).filter(|(place, copy)| together(found + place, of[**copy].0)).count();
            // Photos that are together now and weren't, but by way of a copy.
            let mut left = groups.clone();
            left.iter_mut().for_each(|group| group.retain(|&place| place < found));
            let wrong = left.iter().filter(|group| !group.is_empty() && !known.contains(group)).count();
            println!("{name:26} {hits:4} of {:4} found, {wrong} groups otherwise", copies.len());
        }
    }
}
