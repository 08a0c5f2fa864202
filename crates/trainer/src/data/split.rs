//! Splits photos into train, validation and test: stratified, and stable when photos are added.
//!
//! A photo's place is decided by its content alone: `SHA-256(seed, SHA-256(bytes))`, read as a number u in [0, 1).
//! Within its class, u below `test` is the test part, below `test + validation` the validation part, the rest trains.
//! No rank, no count and no file name enters, so
//!
//! * the same bytes under several names land in the same part: a copy of a training photo is never tested on;
//! * renaming, moving or adding photos moves no other photo, as long as the class's parts have a fair size;
//! * a class's share is drawn, not dealt. A part is held between half and one and a half times its share (and at least one photo, given
//!   three): outside that, the boundary goes to the nearest photo in the order of u. This correction is the one thing that depends
//!   on the other photos of the class. Small classes meet it often, so adding photos may move one of theirs.
//!
//! Photos that are alike but not identical (a burst, a crop, another compression) are not recognised: where they exist, give
//! `train`, `val` and `test` folders.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
/// Where folders give the parts they stand; of validation and test, the one that has no folder is drawn from `train`.
///
/// # Errors
/// A share outside [0, 1), or shares that leave nothing to train on.
pub fn split(entries: &[Entry], options: &SplitOptions) -> Result<Vec<Part>> {
    options.check()?;
    let given = |part| entries.iter().any(|entry| entry.part == Some(part));
    let share = |part, share| if given(part) { 0.0 } else { share };
    let (validation, test) = (share(Part::Validation, options.validation), share(Part::Test, options.test));

    // By target, the distinct contents in the order of u.
    let mut targets: BTreeMap<&Target, BTreeSet<(u64, Digest)>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| !matches!(entry.part, Some(Part::Validation | Part::Test))) {
        targets.entry(entry.target).or_default().insert((place(options.seed, &entry.digest), entry.digest));
    }
    let mut parts: HashMap<Digest, Part> = HashMap::new();
    for contents in targets.values() {
        let count = contents.len();
        let below = |share: f64| contents.iter().filter(|(u, _)| (*u as f64) < share * 2f64.powi(64)).count();
        let tests = fair(below(test), test, count).min(count.saturating_sub(1));
        let validations = match count {
            // Two photos: one to learn from, one to test on.
            0..=2 if tests > 0 => 0,
            _ => fair(below(test + validation).saturating_sub(tests), validation, count),
        };
        // Something must be left for the others: never let test and validation take all.
        let tests = tests.min(count.saturating_sub(1 + usize::from(validations > 0)));
        let validations = validations.min(count.saturating_sub(1 + tests));
        for (rank, (_, digest)) in contents.iter().enumerate() {
            let part = match rank {
                rank if rank < tests => Part::Test,
                rank if rank < tests + validations => Part::Validation,
                _ => Part::Train,
            };
            // The same photo under two labels stays in one part too: the first label's.
            parts.entry(*digest).or_insert(part);
        }
    }
    let dealt = |entry: &Entry| match entry.part {
        Some(part @ (Part::Validation | Part::Test)) => part,
        _ => parts[&entry.digest],
    };
    Ok(entries.iter().map(dealt).collect())
}

/// Holds `drawn` between half and one and a half times the share of `count`, and at least 1.
fn fair(drawn: usize, share: f64, count: usize) -> usize {
    if share == 0.0 {
        return 0;
    }
    let exact = share * count as f64;
    drawn.clamp(((exact / 2.0) as usize).max(1), ((exact * 1.5).ceil() as usize).max(1))
}

/// Computes a photo's u, times 2^64.
fn place(seed: u64, digest: &Digest) -> u64 {
    let hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(digest).finalize();
    u64::from_le_bytes(std::array::from_fn(|i| hash[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::leaks::duplicates;
    use crate::data::target::Class;
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
    fn adding_a_tenth_moves_no_photo_of_a_large_class_and_hardly_one_of_a_small() {
        let mut moved_small = 0;
        for seed in 0..20 {
            let options = SplitOptions { seed, ..Default::default() };
            for (size, small) in [(500, false), (40, true)] {
                let before = split(&class(0, size), &options).unwrap();
                let after = split(&class(0, size + size / 10), &options).unwrap();
                let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
                if small { moved_small += moved } else { assert_eq!(moved, 0, "seed {seed}") }
            }
        }
        assert!(moved_small <= 8, "{moved_small} of 800 moved");
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

    #[test]
    fn every_class_gets_its_share() {
        for seed in 0..50 {
            let options = SplitOptions { seed, ..Default::default() };
            for size in 3..60 {
                let parts = split(&class(seed as usize, size), &options).unwrap();
                for (part, share) in [(Part::Test, options.test), (Part::Validation, options.validation)] {
                    let exact = share * size as f64;
                    let got = count(&parts, part);
                    let fair = ((exact / 2.0).floor().max(1.0), (exact * 1.5).ceil().max(1.0));
                    assert!(got as f64 >= fair.0 && got as f64 <= fair.1, "{got} of {size} for {part}");
                }
                assert!(count(&parts, Part::Train) >= 1);
            }
            assert_eq!(split(&class(3, 1), &options).unwrap(), [Part::Train]);
            let two = split(&class(3, 2), &options).unwrap();
            assert_eq!((count(&two, Part::Train), count(&two, Part::Test)), (1, 1));
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
    fn the_whole_comes_near_the_asked_shares() {
        let entries: Vec<_> = (0..40).flat_map(|label| class(label, 100)).collect();
        let parts = split(&entries, &SplitOptions::default()).unwrap();
        // 4000 draws: three deviations are 76 and 68 photos.
        assert!(count(&parts, Part::Test).abs_diff(800) <= 76);
        assert!(count(&parts, Part::Validation).abs_diff(600) <= 68);
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
        assert!(count(&parts[..40], Part::Validation) >= 3);
    }

    #[test]
    fn shares_out_of_range_are_refused() {
        for (validation, test) in [(-0.1, 0.2), (1.0, 0.0), (f64::NAN, 0.2), (0.5, 0.5)] {
            let error = split(&class(0, 9), &SplitOptions { seed: 0, validation, test }).unwrap_err();
            assert_eq!(error.fault(), crate::error::Fault::Usage);
        }
    }
}
