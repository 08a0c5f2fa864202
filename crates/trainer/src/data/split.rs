//! Splits photos into train, validation and test: stratified to the photo, and stable when photos are added.
//!
//! Each class gives its exact share of photos, rounded down or up such that the whole is right (largest remainders), and keeps at least one to
//! train. What is dealt are groups: a photo by itself, its copies, its near-duplicates, or what has a common name. A group plays one part. Where groups are
//! single photos of one class the shares are exact; else they are as near as whole groups allow. Which groups these are is decided by their content or name alone:
//! within its class a group's rank is that of `SHA-256(seed, SHA-256(bytes or name))`; the first are the test part, the last the validation part,
//! those between train. No file name enters, so
//!
//! * the same bytes under several names are one photo and land in the same part: a copy of a training photo is never tested on;
//! * renaming or moving photos moves none to another part, and an added or a removed one moves at most those at a boundary;
//! * no photo goes from validation to test, or back, while its class grows;
//! * photos that had a part in an earlier run keep it, and only new ones are dealt.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::data::group_by::pattern;
use crate::data::groups::{Entry, Groups};
use crate::data::part::Part;
use crate::data::target::{Class, Target};
use crate::digest::Digest;
use crate::error::{Error, Result};

/// What becomes of photos that are nearly the same: crops, mirror images, other sizes, frames of a burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// They play one part, as copies do.
    #[default]
    Together,
    /// They aren't looked for: each photo is dealt by itself, and only copies to the byte stay together.
    Apart,
}

/// How photos are split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitOptions {
    /// The seed: another one gives another split.
    pub seed: u64,
    /// The validation part's share of each class, in [0, 1); none for 0.15 where a solver goes by epochs, which one of them ends, else for none.
    pub validation: Option<f64>,
    /// The test part's share of each class, in [0, 1); none for 0.2, or for 0 where cross-validation judges: where photos are few and the solver has no epochs.
    pub test: Option<f64>,
    /// What finds a photo's group, which plays one part: the name of a table's column, where there is one of that very name; else a regular expression for
    /// names, and the group is what its first parentheses match, or all that matches where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// What becomes of photos that are nearly the same.
    #[serde(default = "apart")]
    pub duplicates: Duplicates,
}

/// Gives what runs did that don't state it.
fn apart() -> Duplicates {
    Duplicates::Apart
}

impl SplitOptions {
    /// Checks the shares, and what finds groups.
    ///
    /// # Errors
    /// A share outside [0, 1), shares that leave nothing to train on, or what should be a regular expression isn't one.
    pub fn check(&self) -> Result<()> {
        let [validation, test] = [self.validation, self.test].map(Option::unwrap_or_default);
        for (option, value) in [("validation share", validation), ("test share", test)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::InvalidOption {
                    option,
                    value: value.to_string(),
                    expected: "0 or more and less than 1",
                });
            }
        }
        let sum = validation + test;
        if sum >= 1.0 {
            let expected = "less than 1, so that something is left to train on";
            return Err(Error::InvalidOption { option: "validation and test share", value: sum.to_string(), expected });
        }
        self.group_by.as_deref().map_or(Ok(()), |by| pattern(by).map(drop))
    }

    /// Fills in the shares that weren't asked for. A solver with epochs needs 0.15 to choose one by, and 0.2 judge it. One that is chosen by
    /// cross-validation needs none to choose by; where photos are few (below 2,000, or below 50 of a class), cross-validation judges it too, by all of them
    /// rather than by a small part, else 0.2 do. Folders that judge already leave nothing to be drawn.
    pub(crate) fn filled(&self, has_epochs: bool, entries: &[Entry]) -> Self {
        let given = entries.iter().any(|entry| matches!(entry.part, Some(Part::Validation | Part::Test)));
        // Photos that all have been learnt from before can't judge, and new ones alone would be a poor test.
        let kept = entries.iter().any(|entry| entry.kept.is_some())
            && entries.iter().all(|entry| !matches!(entry.kept, Some(Part::Validation | Part::Test)));
        let test = match has_epochs {
            true => 0.2,
            false if given || kept || are_few(entries) => 0.0,
            false => 0.2,
        };
        let validation = if has_epochs { 0.15 } else { 0.0 };
        // What was asked for goes first, and something is left to train on.
        let room = |other: Option<f64>, share: f64| if other.unwrap_or(0.0) + share < 1.0 { share } else { 0.0 };
        let test = self.test.unwrap_or(room(self.validation, test));
        let validation = self.validation.unwrap_or(room(Some(test), validation));
        Self { validation: Some(validation), test: Some(test), ..self.clone() }
    }
}

/// Photos below which, in all or of a class, a small part says too little; and photos above which a rare class doesn't matter to that.
const FEW: usize = 2000;
const FEW_OF_A_CLASS: usize = 50;
const MANY: usize = 20_000;

/// What photos are stratified by: each of their classes, or that they have none.
type Stratum = Option<Class>;

/// Lists the strata of a photo.
fn strata(target: &Target) -> impl Iterator<Item = Stratum> {
    let none = target.classes().is_empty().then_some(None);
    target.classes().iter().copied().map(Some).chain(none)
}

/// Tells whether there are too few photos for some of them to judge all.
fn are_few(entries: &[Entry]) -> bool {
    let distinct: HashSet<(&Digest, &Target)> = entries.iter().map(|entry| (&entry.digest, entry.target)).collect();
    let mut counts: BTreeMap<Class, usize> = BTreeMap::new();
    let of_classes = distinct.iter().flat_map(|(_, target)| target.classes());
    of_classes.for_each(|class| *counts.entry(*class).or_default() += 1);
    let fewest = counts.values().min().copied().unwrap_or(0);
    distinct.len() < FEW || (fewest < FEW_OF_A_CLASS && distinct.len() < MANY)
}

/// Gives every photo its part, in the order of `entries`, and all photos of a group the same.
///
/// Where folders give the parts they stand; of validation and test, the one that has no folder is drawn from `train`. A part that is drawn at
/// all gets one group at least, where a class can spare one. A group is of the smallest of its photos' classes. Photos that had a part before keep it, and
/// their groups with them; a group that had several learns. A class keeps something to train on, whatever groups and earlier parts say.
///
/// # Errors
/// A share outside [0, 1), or shares that leave nothing to train on.
pub fn split(entries: &[Entry], groups: &Groups, options: &SplitOptions) -> Result<Vec<Part>> {
    options.check()?;
    let given = |part| entries.iter().any(|entry| entry.part == Some(part));
    let share = |part, share| if given(part) { 0.0 } else { share };
    let (validation, test) = (
        share(Part::Validation, options.validation.unwrap_or_default()),
        share(Part::Test, options.test.unwrap_or_default()),
    );

    let (mut hands, sizes) = hands(entries, groups, options.seed);
    let exact = |share: f64| sizes.iter().map(|&size| share * size as f64).collect::<Vec<f64>>();
    let mut spare: Vec<usize> = sizes.iter().map(|size| size.saturating_sub(1)).collect();
    let tests = deal(&exact(test), &vec![0.0; sizes.len()], &mut spare);
    // A class whose share of the test was rounded down comes sooner here.
    let owed: Vec<f64> = exact(test).iter().zip(&tests).map(|(exact, &dealt)| exact - dealt as f64).collect();
    let validations = deal(&exact(validation), &owed, &mut spare);

    let mut table = Table { left: sizes, tests: Wanted::new(&tests), validations: Wanted::new(&validations) };
    table.keep(&mut hands);
    // The smallest class first: it has fewer groups to choose from.
    let classes = table.left.len();
    let mut rest = hands.iter_mut().peekable();
    for class in 0..classes {
        let mut own: Vec<&mut Hand> = Vec::new();
        while let Some(hand) = rest.next_if(|hand| hand.home() == class) {
            own.push(hand);
        }
        table.fill(&mut own, Part::Test);
        own.reverse();
        table.fill(&mut own, Part::Validation);
    }
    for part in [Part::Test, Part::Validation] {
        table.spare_one(&mut hands, part);
    }
    let mut parts: Vec<Part> = entries.iter().map(|entry| entry.part.unwrap_or(Part::Train)).collect();
    for hand in &hands {
        hand.photos.iter().for_each(|&photo| parts[photo] = hand.part.unwrap_or(Part::Train));
    }
    Ok(parts)
}

/// A group as it is dealt: those of its photos to which no folder gives another part than train.
pub(super) struct Hand {
    /// The number by which it is ranked among those of its class.
    rank: (u64, Digest),
    pub(super) photos: Vec<usize>,
    /// How many contents of which classes it holds, the smallest class first, by their places in the order of their sizes. A photo of several classes counts for each, and one of none for a class of its own.
    pub(super) contents: Vec<(usize, usize)>,
    /// The part that its photos had before.
    kept: Option<Part>,
    /// The part that it was dealt, if it was.
    part: Option<Part>,
}

impl Hand {
    /// Gives its class: the smallest of those of its photos.
    pub(super) fn home(&self) -> usize {
        self.contents[0].0
    }
}

/// Gathers the groups to be dealt, by class and rank, and counts the contents of each class, in ascending order.
pub(super) fn hands(entries: &[Entry], groups: &Groups, seed: u64) -> (Vec<Hand>, Vec<usize>) {
    let is_dealt = |&photo: &usize| !matches!(entries[photo].part, Some(Part::Validation | Part::Test));
    let mut lists = groups.list();
    lists.iter_mut().for_each(|photos| photos.retain(is_dealt));
    lists.retain(|photos| !photos.is_empty());
    // The same content under one label counts once.
    let distinct = |photos: &[usize]| {
        let mut seen = HashSet::new();
        let mut counts: BTreeMap<Stratum, usize> = BTreeMap::new();
        for entry in photos.iter().map(|&photo| &entries[photo]) {
            let new = usize::from(seen.insert((entry.digest, entry.target)));
            strata(entry.target).for_each(|stratum| *counts.entry(stratum).or_default() += new);
        }
        counts
    };
    let counted: Vec<_> = lists.iter().map(|photos| distinct(photos)).collect();
    let mut sizes: BTreeMap<Stratum, usize> = BTreeMap::new();
    counted.iter().flatten().for_each(|(stratum, count)| *sizes.entry(*stratum).or_default() += count);
    let mut sizes: Vec<_> = sizes.into_iter().collect();
    sizes.sort_by_key(|(_, size)| *size);
    let places: BTreeMap<Stratum, usize> =
        sizes.iter().enumerate().map(|(place, (stratum, _))| (*stratum, place)).collect();
    let hand = |(photos, counts): (Vec<usize>, BTreeMap<Stratum, usize>)| {
        let mut contents: Vec<_> = counts.into_iter().map(|(stratum, count)| (places[&stratum], count)).collect();
        contents.sort_unstable();
        let id = identity(photos.iter().map(|&photo| &entries[photo]));
        let kept = photos.iter().filter_map(|&photo| entries[photo].kept).min();
        Hand { rank: (place(seed, &id), id), photos, contents, kept, part: None }
    };
    let mut hands: Vec<Hand> = lists.into_iter().zip(counted).map(hand).collect();
    hands.sort_by_key(|hand| (hand.home(), hand.rank));
    (hands, sizes.into_iter().map(|(_, size)| size).collect())
}

/// Gives what a group is ranked by: of its names the one with the lowest digest, which more photos don't change; without a name, of its contents.
fn identity<'a>(photos: impl Iterator<Item = &'a Entry<'a>> + Clone) -> Digest {
    let named = photos.clone().filter_map(|entry| entry.group).map(|name| Sha256::digest(name).into()).min();
    named.or_else(|| photos.map(|entry| entry.digest).min()).unwrap_or_default()
}

/// What a part still lacks of each class, in contents; less than none where it has too many.
struct Wanted {
    lacks: Vec<isize>,
    /// Whether it shall have any.
    any: bool,
}

impl Wanted {
    fn new(counts: &[usize]) -> Self {
        Self { lacks: counts.iter().map(|&count| count as isize).collect(), any: counts.iter().any(|&count| count > 0) }
    }

    /// Computes by how much a group would bring the part nearer to what it lacks.
    fn gain(&self, hand: &Hand) -> isize {
        let gain = |&(class, count): &(usize, usize)| {
            let lacks = self.lacks[class];
            lacks.abs() - (lacks - count as isize).abs()
        };
        hand.contents.iter().map(gain).sum()
    }
}

/// What is left of each class, and what the parts that are drawn still lack.
struct Table {
    /// Contents that play no part but train.
    left: Vec<usize>,
    tests: Wanted,
    validations: Wanted,
}

impl Table {
    fn wanted(&mut self, part: Part) -> &mut Wanted {
        if part == Part::Test { &mut self.tests } else { &mut self.validations }
    }

    /// Deals a group a part, unless it has one or a class would keep nothing to train on.
    fn take(&mut self, hand: &mut Hand, part: Part) {
        let Self { left, .. } = self;
        if hand.part.is_some() || hand.contents.iter().any(|&(class, count)| left[class] <= count) {
            return;
        }
        for &(class, count) in &hand.contents {
            self.left[class] -= count;
            self.wanted(part).lacks[class] -= count as isize;
        }
        hand.part = Some(part);
    }

    /// Gives those that had a part the same again.
    fn keep(&mut self, hands: &mut [Hand]) {
        for hand in hands {
            match hand.kept {
                Some(Part::Train) => hand.part = hand.kept,
                Some(part) => self.take(hand, part),
                None => {}
            }
        }
    }

    /// Deals groups of a class, in their order, until the part has what it wants: first those that it has room for, then those that bring it
    /// nearer nevertheless, the nearest first.
    fn fill(&mut self, hands: &mut [&mut Hand], part: Part) {
        for hand in &mut *hands {
            let lacks = &self.wanted(part).lacks;
            if hand.contents.iter().all(|&(class, count)| lacks[class] >= count as isize) {
                self.take(hand, part);
            }
        }
        let mut others: Vec<&mut &mut Hand> = hands.iter_mut().filter(|hand| hand.part.is_none()).collect();
        others.sort_by_key(|hand| -self.wanted(part).gain(hand));
        for hand in others {
            if self.wanted(part).gain(hand) > 0 {
                self.take(hand, part);
            }
        }
    }

    /// Deals the smallest group that can be spared to a part that shall have some and has none.
    fn spare_one(&mut self, hands: &mut [Hand], part: Part) {
        if !self.wanted(part).any || hands.iter().any(|hand| hand.part == Some(part)) {
            return;
        }
        let mut smallest: Vec<&mut Hand> = hands.iter_mut().collect();
        smallest.sort_by_key(|hand| hand.photos.len());
        for hand in smallest {
            self.take(hand, part);
            if hand.part == Some(part) {
                return;
            }
        }
    }
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
    use crate::random::SplitMix64;
    use std::array::from_fn;
    use std::sync::LazyLock;

    static TARGETS: LazyLock<[Target; 50]> = LazyLock::new(|| from_fn(|place| Class::new(place).into()));

    fn entry(label: usize, content: usize) -> Entry<'static> {
        let digest = Sha256::digest(content.to_le_bytes()).into();
        Entry { target: &TARGETS[label], digest, part: None, group: None, kept: None }
    }

    /// Splits photos of which none are alike but copies and those of one name.
    fn split(entries: &[Entry], options: &SplitOptions) -> Result<Vec<Part>> {
        super::split(entries, &Groups::new(entries), &options.filled(true, entries))
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
        assert_ne!(split(&entries, &SplitOptions { seed: 1, ..Default::default() }).unwrap(), parts);
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
            let options = SplitOptions {
                seed: round,
                validation: Some(share(below(45))),
                test: Some(share(below(45))),
                ..Default::default()
            };
            let got = counts(&sizes, &options);
            let all: usize = sizes.iter().sum();
            for (part, share) in [options.test, options.validation].into_iter().flatten().enumerate() {
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
            let parts = split(
                &class(0, size),
                &SplitOptions { seed: 7, validation: Some(0.49), test: Some(0.49), ..Default::default() },
            )
            .unwrap();
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
    fn shares_that_nobody_asked_for_are_what_the_solver_and_the_photos_need() {
        let shares = |options: &SplitOptions, has_epochs, entries: &[Entry]| {
            let SplitOptions { validation, test, .. } = options.filled(has_epochs, entries);
            (validation.unwrap(), test.unwrap())
        };
        let (few, many) = (class(0, 1999), class(0, 2000));
        let rare: Vec<Entry> = class(0, 2000).into_iter().chain(class(1, 49)).collect();
        let asked = SplitOptions::default();
        assert_eq!(shares(&asked, true, &few), (0.15, 0.2));
        assert_eq!(shares(&asked, false, &few), (0.0, 0.0));
        assert_eq!(shares(&asked, false, &many), (0.0, 0.2));
        assert_eq!(shares(&asked, false, &rare), (0.0, 0.0));
        let huge: Vec<Entry> = class(0, 20_000).into_iter().chain(class(1, 3)).collect();
        assert_eq!(shares(&asked, false, &huge), (0.0, 0.2));
        // What was asked for stands, and folders that judge leave nothing to be drawn.
        assert_eq!(shares(&SplitOptions { test: Some(0.3), ..asked.clone() }, false, &few), (0.0, 0.3));
        assert_eq!(shares(&SplitOptions { test: Some(0.9), ..asked.clone() }, true, &few), (0.0, 0.9));
        assert_eq!(shares(&SplitOptions { validation: Some(0.85), ..asked.clone() }, true, &few), (0.85, 0.0));
        let mut again = class(0, 2010);
        again[..1990].iter_mut().for_each(|entry| entry.kept = Some(Part::Train));
        assert_eq!(shares(&asked, false, &again), (0.0, 0.0));
        again[0].kept = Some(Part::Test);
        assert_eq!(shares(&asked, false, &again), (0.0, 0.2));
        let mut given = many;
        given[0].part = Some(Part::Validation);
        assert_eq!(shares(&asked, false, &given), (0.0, 0.0));
    }

    #[test]
    fn shares_out_of_range_are_refused() {
        for (validation, test) in [(-0.1, 0.2), (1.0, 0.0), (f64::NAN, 0.2), (0.5, 0.5)] {
            let error = split(
                &class(0, 9),
                &SplitOptions { validation: Some(validation), test: Some(test), ..Default::default() },
            )
            .unwrap_err();
            assert_eq!(error.fault(), crate::error::Fault::Usage);
        }
    }

    /// Names for groups.
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| (0..1000).map(|number| format!("group {number}")).collect());

    /// Photos of the classes below `classes` in `count` groups of up to `most`, which keep to one class each unless they are `mixed`.
    fn grouped(random: &mut SplitMix64, [classes, count, most]: [usize; 3], mixed: bool) -> Vec<Entry<'static>> {
        let mut below = |most: usize| (random.bits() % most as u64) as usize;
        let mut entries = Vec::new();
        for group in 0..count {
            let label = below(classes);
            for _ in 0..1 + below(most) {
                let label = if mixed { below(classes) } else { label };
                entries.push(Entry { group: Some(&NAMES[group]), ..entry(label, entries.len()) });
            }
        }
        entries
    }

    /// Counts the photos of each class that play a part, and all of it.
    fn shares(entries: &[Entry], parts: &[Part], part: Part) -> BTreeMap<Target, [usize; 2]> {
        let mut counts: BTreeMap<Target, [usize; 2]> = BTreeMap::new();
        for (entry, other) in entries.iter().zip(parts) {
            let counts = counts.entry(entry.target.clone()).or_default();
            counts[0] += usize::from(*other == part);
            counts[1] += 1;
        }
        counts
    }

    fn keeps_groups(entries: &[Entry], parts: &[Part]) -> bool {
        Groups::new(entries).list().iter().all(|group| group.iter().all(|&photo| parts[photo] == parts[group[0]]))
    }

    #[test]
    fn a_group_plays_one_part_and_shares_are_as_near_as_groups_allow() {
        for round in 0..60 {
            let mut random = SplitMix64(round);
            let entries = grouped(&mut random, [4, 200, 9], false);
            let parts = split(&entries, &SplitOptions { seed: round, ..Default::default() }).unwrap();
            assert!(keeps_groups(&entries, &parts));
            for (part, share) in [(Part::Test, 0.2), (Part::Validation, 0.15)] {
                for [got, all] in shares(&entries, &parts, part).into_values() {
                    // To the photo, and half of a group.
                    let off = (got as f64 - share * all as f64).abs();
                    assert!(off <= 1.0 + 4.5, "{got} of {all} for {part} in round {round}");
                }
            }
            // Dealt one by one, they wouldn't have stayed together.
            let alone: Vec<_> = entries.iter().map(|entry| Entry { group: None, ..*entry }).collect();
            assert!(!keeps_groups(&entries, &split(&alone, &Default::default()).unwrap()));
        }
    }

    #[test]
    fn groups_of_several_classes_leave_all_of_them_their_shares() {
        for round in 0..60 {
            let mut random = SplitMix64(round);
            let entries = grouped(&mut random, [3, 150, 8], true);
            let parts = split(&entries, &SplitOptions { seed: round, ..Default::default() }).unwrap();
            assert!(keeps_groups(&entries, &parts));
            for (part, share) in [(Part::Test, 0.2), (Part::Validation, 0.15)] {
                for [got, all] in shares(&entries, &parts, part).into_values() {
                    let off = (got as f64 / all as f64 - share).abs();
                    assert!(off <= 0.05, "{got} of {all} for {part} in round {round}");
                }
            }
        }
    }

    #[test]
    fn a_class_keeps_something_to_train_on_whatever_its_groups() {
        for round in 0..500u64 {
            let mut random = SplitMix64(round);
            let classes = 2 + round as usize % 3;
            let mut entries = grouped(&mut random, [classes, 1 + round as usize % 9, 6], round % 2 == 0);
            for entry in &mut entries {
                entry.kept = [None, Some(Part::Test), Some(Part::Validation)][random.bits() as usize % 3];
            }
            let options = SplitOptions { seed: round, validation: Some(0.3), test: Some(0.4), ..Default::default() };
            let parts = split(&entries, &options).unwrap();
            assert!(keeps_groups(&entries, &parts));
            for [got, all] in shares(&entries, &parts, Part::Train).into_values() {
                assert!(got >= 1, "none of {all} in round {round}: {parts:?}");
            }
        }
    }

    #[test]
    fn a_part_that_is_asked_for_has_a_group_where_one_can_be_spared() {
        // Two patients of 50 photos each: a share of a fifth is nearer to none than to one of them, and a test of none says nothing.
        let entries: Vec<_> = (0..100).map(|i| Entry { group: Some(&NAMES[i / 50]), ..entry(0, i) }).collect();
        let parts = split(&entries, &Default::default()).unwrap();
        assert_eq!((count(&parts, Part::Test), count(&parts, Part::Train)), (50, 50));
        let parts = split(&entries[..50], &Default::default()).unwrap();
        assert_eq!(count(&parts, Part::Train), 50);
    }

    #[test]
    fn a_named_group_is_ranked_by_its_name_alone() {
        let of = |content: usize| -> Vec<Entry> {
            (0..90).map(|i| Entry { group: Some(&NAMES[i / 3]), ..entry(0, content + i) }).collect()
        };
        let parts = split(&of(0), &Default::default()).unwrap();
        assert_eq!(split(&of(1000), &Default::default()).unwrap(), parts);
        let renamed: Vec<_> =
            of(0).into_iter().map(|entry| Entry { group: entry.group.map(|name| &name[1..]), ..entry }).collect();
        assert_ne!(split(&renamed, &Default::default()).unwrap(), parts);
    }

    #[test]
    fn photos_that_had_a_part_keep_it_and_new_ones_make_up_the_shares() {
        for seed in 0..20 {
            let options = SplitOptions { seed, ..Default::default() };
            let before = [class(0, 101), class(1, 47)].concat();
            let parts = split(&before, &options).unwrap();
            let mut now: Vec<_> =
                before.iter().zip(&parts).map(|(entry, part)| Entry { kept: Some(*part), ..*entry }).collect();
            now.extend((0..60).map(|i| entry(i % 2, 9_000_000 + i)));
            // With another seed, the parts would be others.
            let again = split(&now, &SplitOptions { seed: seed + 1, ..Default::default() }).unwrap();
            assert_eq!(again[..before.len()], parts);
            for (part, share) in [(Part::Test, 0.2), (Part::Validation, 0.15)] {
                for [got, all] in shares(&now, &again, part).into_values() {
                    assert!((got as f64 - share * all as f64).abs() <= 1.0, "{got} of {all} for {part}");
                }
            }
        }
    }

    #[test]
    fn a_group_keeps_the_part_of_its_photos_and_learns_where_they_had_several() {
        use Part::{Test, Train, Validation};
        let with = |content, group: usize, kept| Entry { group: Some(&NAMES[group]), kept, ..entry(0, content) };
        let mut entries = class(0, 20);
        entries.extend([with(100, 0, Some(Test)), with(101, 0, None), with(102, 0, None)]);
        entries.extend([with(103, 1, Some(Test)), with(104, 1, Some(Validation))]);
        entries.extend([with(105, 2, Some(Validation)), with(106, 2, Some(Train))]);
        let parts = split(&entries, &Default::default()).unwrap();
        assert_eq!(parts[20..], [Test, Test, Test, Validation, Validation, Train, Train]);
    }

    #[test]
    fn a_pattern_that_is_none_is_refused_before_the_work() {
        let options = SplitOptions { group_by: Some("(".to_owned()), ..Default::default() };
        assert_eq!(options.check().unwrap_err().fault(), crate::error::Fault::Usage);
        // Runs of before kept no near-duplicates together.
        let old: SplitOptions = serde_json::from_str(r#"{"seed": 0, "validation": 0.15, "test": 0.2}"#).unwrap();
        let shares = SplitOptions { validation: Some(0.15), test: Some(0.2), ..Default::default() };
        assert_eq!(old, SplitOptions { duplicates: Duplicates::Apart, ..shares });
    }
}
