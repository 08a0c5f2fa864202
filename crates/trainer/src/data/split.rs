//! Splits photos into train, validation and test: stratified to the photo, and stable when photos are added.
//!
//! Each class gives its exact share of photos, rounded down or up such that the whole is right (largest remainders), and keeps at least one to
//! train. Which photos these are is decided by their content alone: within its class a photo's rank is that of
//! `SHA-256(seed, SHA-256(bytes))`; the first are the test part, the last the validation part, those between train. No file name enters, so
//!
//! * the same bytes under several names are one photo and land in the same part: a copy of a training photo is never tested on;
//! * renaming or moving photos moves none to another part, and an added or a removed one moves at most those at a boundary;
//! * no photo goes from validation to test, or back, while its class grows.
//!
//! Photos that are alike but not identical (a burst, a crop, another compression) are not recognised: where they exist, give
//! `train`, `val` and `test` folders.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::data::part::Part;
use crate::data::target::Target;
use crate::digest::Digest;
use crate::error::{Error, Result};

/// How photos are split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitOptions {
    /// The seed: another one gives another split.
    pub seed: u64,
    /// The validation part's share of each class, in [0, 1).
    pub validation: f64,
    /// The test part's share of each class, in [0, 1).
    pub test: f64,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self { seed: 0, validation: 0.15, test: 0.2 }
    }
}

impl SplitOptions {
    /// Checks the shares.
    ///
    /// # Errors
    /// A share outside [0, 1), or shares that leave nothing to train on.
    pub fn check(&self) -> Result<()> {
        for (option, value) in [("validation share", self.validation), ("test share", self.test)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::InvalidOption {
                    option,
                    value: value.to_string(),
                    expected: "0 or more and less than 1",
                });
            }
        }
        let sum = self.validation + self.test;
        if sum >= 1.0 {
            let expected = "less than 1, so that something is left to train on";
            return Err(Error::InvalidOption { option: "validation and test share", value: sum.to_string(), expected });
        }
        Ok(())
    }
}

/// What is known of a photo when it is dealt a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What is true of it: photos of the same target are split by themselves.
    pub target: &'a Target,
    /// SHA-256 of its content.
    pub digest: Digest,
    /// Its part, where the folders say it.
    pub part: Option<Part>,
}

/// Gives every photo its part, in the order of `entries`.
///
/// Where folders give the parts they stand; of validation and test, the one that has no folder is drawn from `train`. A part that is drawn at
/// all gets one photo at least, where a class can spare one.
///
/// # Errors
/// A share outside [0, 1), or shares that leave nothing to train on.
pub fn split(entries: &[Entry], options: &SplitOptions) -> Result<Vec<Part>> {
    options.check()?;
    let given = |part| entries.iter().any(|entry| entry.part == Some(part));
    let share = |part, share| if given(part) { 0.0 } else { share };
    let (validation, test) = (share(Part::Validation, options.validation), share(Part::Test, options.test));

    let mut ranked: BTreeMap<&Target, BTreeSet<(u64, Digest)>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| !matches!(entry.part, Some(Part::Validation | Part::Test))) {
        ranked.entry(entry.target).or_default().insert((place(options.seed, &entry.digest), entry.digest));
    }
    let mut classes: Vec<_> = ranked.into_values().collect();
    // Of equal remainders that of the smaller class counts more.
    classes.sort_by_key(BTreeSet::len);
    // The same photo under two labels stays in one part too: it is the smaller class's, which has fewer others to train.
    let mut seen = HashSet::new();
    let classes: Vec<Vec<Digest>> = (classes.into_iter())
        .map(|contents| contents.into_iter().map(|(_, digest)| digest).filter(|digest| seen.insert(*digest)).collect())
        .collect();
    let sizes: Vec<f64> = classes.iter().map(|contents| contents.len() as f64).collect();
    let mut spare: Vec<usize> = classes.iter().map(|contents| contents.len().saturating_sub(1)).collect();
    let exact = |share: f64| sizes.iter().map(|size| share * size).collect::<Vec<f64>>();
    let tests = deal(&exact(test), &vec![0.0; sizes.len()], &mut spare);
    // A class whose share of the test was rounded down comes sooner here.
    let owed: Vec<f64> = exact(test).iter().zip(&tests).map(|(exact, &dealt)| exact - dealt as f64).collect();
    let validations = deal(&exact(validation), &owed, &mut spare);

    let mut parts: HashMap<Digest, Part> = HashMap::new();
    for (contents, (tests, validations)) in classes.iter().zip(tests.into_iter().zip(validations)) {
        for (rank, digest) in contents.iter().enumerate() {
            let part = match rank {
                rank if rank < tests => Part::Test,
                rank if rank >= contents.len() - validations => Part::Validation,
                _ => Part::Train,
            };
            parts.insert(*digest, part);
        }
    }
    let dealt = |entry: &Entry| match entry.part {
        Some(part @ (Part::Validation | Part::Test)) => part,
        _ => parts[&entry.digest],
    };
    Ok(entries.iter().map(dealt).collect())
}

/// Deals a part's photos to the classes: to each its exact share rounded down, then one more to those with the largest remainders, until
/// there are as many as all shares together, rounded. What a class is owed from before counts as remainder; no class gives more than
/// it can spare, which is taken off.
fn deal(exact: &[f64], owed: &[f64], spare: &mut [usize]) -> Vec<usize> {
    let whole: f64 = exact.iter().sum();
    // A part that is asked for isn't empty.
    let whole = if whole > 0.0 { whole.round().max(1.0) as usize } else { 0 };
    let mut dealt: Vec<usize> =
        exact.iter().zip(&*spare).map(|(share, &spare)| (share.floor() as usize).min(spare)).collect();
    let floors: usize = exact.iter().map(|share| share.floor() as usize).sum();
    let remainder = |class: usize| exact[class] - exact[class].floor();
    let mut next: Vec<usize> =
        (0..exact.len()).filter(|&class| remainder(class) > 1e-9 && dealt[class] < spare[class]).collect();
    next.sort_by(|&a, &b| (remainder(b) + owed[b]).total_cmp(&(remainder(a) + owed[a])));
    for &class in next.iter().take(whole.saturating_sub(floors)) {
        dealt[class] += 1;
    }
    spare.iter_mut().zip(&dealt).for_each(|(spare, dealt)| *spare -= dealt);
    dealt
}

/// Computes the number by which a photo is ranked among those of its class.
fn place(seed: u64, digest: &Digest) -> u64 {
    let hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(digest).finalize();
    u64::from_le_bytes(std::array::from_fn(|i| hash[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::leaks::duplicates;
    use crate::data::target::Class;
    use crate::random::SplitMix64;
    use std::array::from_fn;
    use std::sync::LazyLock;

    static TARGETS: LazyLock<[Target; 50]> = LazyLock::new(|| from_fn(|place| Class::new(place).into()));

    fn entry(label: usize, content: usize) -> Entry<'static> {
        Entry { target: &TARGETS[label], digest: Sha256::digest(content.to_le_bytes()).into(), part: None }
    }

    fn class(label: usize, count: usize) -> Vec<Entry<'static>> {
        (0..count).map(|i| entry(label, label * 1_000_000 + i)).collect()
    }

    fn count(parts: &[Part], part: Part) -> usize {
        parts.iter().filter(|&&p| p == part).count()
    }

    #[test]
    fn an_added_photo_moves_at_most_those_at_a_boundary() {
        for seed in 0..20 {
            let options = SplitOptions { seed, ..Default::default() };
            for size in [4, 5, 40, 500] {
                let others: Vec<_> = (1..4).flat_map(|label| class(label, 30 + label)).collect();
                let with = |size| split(&[others.clone(), class(0, size)].concat(), &options).unwrap();
                let (before, after) = (with(size), with(size + 1));
                let moved: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
                // In the class itself one at each boundary, and one elsewhere where another class's share is now rounded otherwise.
                assert!(moved.len() <= 6, "{size}: {moved:?}");
                assert!(moved.iter().all(|pair| [pair.0, pair.1].contains(&&Part::Train)), "{size}: {moved:?}");
            }
        }
        let mut moved = 0;
        for seed in 0..20 {
            let options = SplitOptions { seed, ..Default::default() };
            let (before, after) = (split(&class(0, 500), &options).unwrap(), split(&class(0, 550), &options).unwrap());
            moved += before.iter().zip(&after).filter(|(a, b)| a != b).count();
        }
        // Of fifty more photos a tenth more or fewer than their share come to lie at each end.
        assert!(moved <= 20 * 10, "{moved} of {}", 20 * 500);
    }

    #[test]
    fn order_and_names_do_not_matter_and_seeds_do() {
        let options = SplitOptions::default();
        let mut entries = class(0, 100);
        let mut parts = split(&entries, &options).unwrap();
        entries.reverse();
        parts.reverse();
        assert_eq!(split(&entries, &options).unwrap(), parts);
        assert_ne!(split(&entries, &SplitOptions { seed: 1, ..options }).unwrap(), parts);
    }

    /// Counts test and validation of each class of such sizes.
    fn counts(sizes: &[usize], options: &SplitOptions) -> Vec<[usize; 2]> {
        let entries: Vec<_> = sizes.iter().enumerate().flat_map(|(label, &size)| class(label, size)).collect();
        let parts = split(&entries, options).unwrap();
        let mut counts = vec![[0; 2]; sizes.len()];
        for (entry, part) in entries.iter().zip(parts) {
            let label = entry.target.class().unwrap().index();
            counts[label][0] += usize::from(part == Part::Test);
            counts[label][1] += usize::from(part == Part::Validation);
        }
        counts
    }

    #[test]
    fn every_class_gets_its_share_and_the_whole_is_right() {
        // Shares of a fifth and of 3 in 20, and what they come to.
        for (sizes, tests, validations) in [
            (&[128, 64, 66, 85, 37][..], &[26, 13, 13, 17, 7][..], &[19, 9, 10, 13, 6][..]),
            (&[20, 20, 40], &[4, 4, 8], &[3, 3, 6]),
            // Thirds of a class: six tests and five to validate in all, and those without the one have the other.
            (&[3; 10], &[1, 1, 1, 1, 1, 1, 0, 0, 0, 0], &[1, 0, 0, 0, 0, 0, 1, 1, 1, 1]),
            (&[1, 1, 98], &[0, 0, 20], &[0, 0, 15]),
            (&[1, 2, 3], &[0, 0, 1], &[0, 1, 0]),
            (&[3], &[1], &[1]),
            (&[2], &[1], &[0]),
            (&[1, 1], &[0, 0], &[0, 0]),
        ] {
            for seed in 0..3 {
                let got = counts(sizes, &SplitOptions { seed, ..Default::default() });
                let expected: Vec<_> = tests.iter().zip(validations).map(|(&a, &b)| [a, b]).collect();
                assert_eq!(got, expected, "{sizes:?}");
            }
        }
    }

    #[test]
    fn no_class_is_a_photo_off_whatever_the_shares() {
        for round in 0..200u64 {
            let mut random = SplitMix64(round);
            let mut below = |most: u64| random.bits() % most;
            let sizes: Vec<usize> = (0..1 + below(40)).map(|_| 2 + below(90) as usize).collect();
            let share = |percent: u64| percent as f64 / 100.0;
            let options = SplitOptions { seed: round, validation: share(below(45)), test: share(below(45)) };
            let got = counts(&sizes, &options);
            let all: usize = sizes.iter().sum();
            for (part, share) in [options.test, options.validation].into_iter().enumerate() {
                for (got, &size) in got.iter().zip(&sizes) {
                    let off = (got[part] as f64 - share * size as f64).abs();
                    assert!(off < 1.0 + 1e-9, "{got:?} of {size} at {options:?}");
                    assert!(got[0] + got[1] < size, "{got:?} of {size} leave nothing");
                }
                let sum: usize = got.iter().map(|got| got[part]).sum();
                let whole = (share * all as f64).round() as usize;
                // Classes of two or three may have nothing left to spare for the second part.
                let short = sizes.iter().filter(|&&size| size < 12).count();
                assert!(sum <= whole.max(1) && sum + short >= whole, "{sum} of {whole} at {options:?}, {sizes:?}");
            }
        }
    }

    #[test]
    fn large_shares_leave_something_to_train_on() {
        for size in 1..20 {
            let parts = split(&class(0, size), &SplitOptions { seed: 7, validation: 0.49, test: 0.49 }).unwrap();
            assert!(count(&parts, Part::Train) >= 1, "{size}");
            assert!(size < 3 || (count(&parts, Part::Test) >= 1 && count(&parts, Part::Validation) >= 1), "{size}");
        }
    }

    #[test]
    fn copies_stay_together_even_across_labels() {
        for seed in 0..20 {
            let mut entries = class(0, 30);
            entries.extend(class(0, 30));
            entries.extend(class(1, 30));
            entries.extend((0..5).map(|i| entry(1, i)));
            let parts = split(&entries, &SplitOptions { seed, ..Default::default() }).unwrap();
            assert_eq!(parts[..30], parts[30..60]);
            assert_eq!(parts[..5], parts[90..]);
            assert_eq!(duplicates(entries.iter().map(|entry| entry.digest)).len(), 30);
        }
    }

    #[test]
    fn folders_are_obeyed_and_what_they_lack_is_drawn_from_train() {
        let mut entries = class(0, 50);
        for (index, entry) in entries.iter_mut().enumerate() {
            entry.part = Some(if index < 40 { Part::Train } else { Part::Test });
        }
        let parts = split(&entries, &SplitOptions::default()).unwrap();
        assert!(parts[40..].iter().all(|&part| part == Part::Test));
        assert_eq!(count(&parts[..40], Part::Test), 0);
        assert_eq!(count(&parts[..40], Part::Validation), 6);
    }

    #[test]
    fn shares_out_of_range_are_refused() {
        for (validation, test) in [(-0.1, 0.2), (1.0, 0.0), (f64::NAN, 0.2), (0.5, 0.5)] {
            let error = split(&class(0, 9), &SplitOptions { seed: 0, validation, test }).unwrap_err();
            assert_eq!(error.fault(), crate::error::Fault::Usage);
        }
    }
}
