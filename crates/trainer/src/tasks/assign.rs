//! Assigns the photos of a data set their parts: the step of a training between features and head.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::data::split::{SplitOptions, split};
use crate::data::{Class, Dataset, Duplicates, Entry, Groups, Leak, Part, Photo, Rejected, duplicates, folds, leaks};
use crate::digest::Digest;
use crate::error::Result;
use crate::features::{Looking, near_duplicates};
use crate::head::Optimizer;
use crate::photos::Reading;
use crate::progress::Progress;
use crate::session::Session;
use crate::tasks::known::Known;
use crate::tasks::tell::nothing_readable;
use crate::words::{count, first};

/// How photos are assigned their parts.
pub(crate) struct Rules<'a> {
    pub(crate) split: &'a SplitOptions,
    /// The parts of an earlier run by content, which photos keep.
    pub(crate) kept: &'a HashMap<Digest, Part>,
    /// How photos are read, where two are looked at once more.
    pub(crate) reading: Reading,
    /// What the parts are for.
    pub(crate) optimizer: Optimizer,
}

/// Which part each photo plays whose features are known, in their order.
#[derive(Clone)]
pub(crate) struct Assigned {
    pub(crate) parts: Vec<Part>,
    /// Photos that are evaluated on and belong together with what is learnt from or chosen by.
    pub(crate) leaks: Vec<Leak>,
    /// The folds of cross-validation, deal by deal, where the optimiser is chosen by it: in each the fold of every photo.
    pub(crate) deals: Vec<Vec<usize>>,
    /// Whether no photo is set aside, so that cross-validation judges the head.
    pub(crate) all_train: bool,
}

/// How often the folds are dealt where they judge: that their figure hangs on one deal is known then.
const DEALS: u64 = 3;

/// Assigns each photo whose features are known its part: groups what belongs together, deals the groups, and warns of what a user should know. Refuses
/// a class that has nothing to learn from and a part whose folder was given and has no photo that could be read.
pub(crate) fn assign(session: &Session<'_>, dataset: &Dataset, known: &Known<'_>, rules: &Rules) -> Result<Assigned> {
    let photos: Vec<&Photo> = known.photos().collect();
    let entries: Vec<Entry> = (photos.iter().zip(&known.kept))
        .map(|(photo, &(_, digest))| Entry {
            target: &photo.target,
            digest,
            part: photo.part,
            group: photo.group.as_deref(),
            kept: rules.kept.get(&digest).copied(),
        })
        .collect();
    check(dataset, known, &entries)?;

    let digests: Vec<Digest> = entries.iter().map(|entry| entry.digest).collect();
    let mut groups = Groups::new(&entries);
    let alike = match rules.split.duplicates {
        Duplicates::Apart => Vec::new(),
        Duplicates::Together => {
            let (reading, limits) = (&rules.reading, &session.limits);
            let looking = Looking { digests: &digests, store: session.store.as_ref(), reading, limits };
            let found = near_duplicates(&photos, &known.rows()?, &mut groups, looking, session.progress);
            found.map_err(|error| error.keeping(if session.store.is_some() { known.kept.len() } else { 0 }))?
        }
    };
    let options = rules.split.filled(rules.optimizer.has_epochs(), &entries);
    let parts = split(&entries, &groups, &options)?;
    let told = Told { dataset, photos: &photos, entries: &entries, parts: &parts, progress: session.progress };
    told.copies();
    told.alike(&alike);
    told.large(&groups);
    let leaks = leaks(&groups, &digests, &parts);
    told.leaks(&leaks);
    told.untested();
    let all_train = parts.iter().all(|part| *part == Part::Train);
    let deals = match rules.optimizer {
        Optimizer::Lbfgs { folds: count, .. } => {
            // Whatever the seed: the head that comes out doesn't depend on it.
            let deals = if all_train { DEALS } else { 1 };
            let deal = |deal| folds(&entries, &groups, &parts, (count, deal));
            (0..deals).map(deal).collect()
        }
        _ => Vec::new(),
    };
    if all_train && !deals.is_empty() {
        told.few(&groups);
    }
    Ok(Assigned { parts, leaks, deals, all_train })
}

/// Checks that each part that a folder gives has photos, and each class some that it may learn from.
fn check(dataset: &Dataset, known: &Known<'_>, entries: &[Entry]) -> Result<()> {
    for part in Part::ALL {
        let given = |photo: &Photo| photo.part == Some(part);
        if dataset.photos.iter().any(given) && entries.iter().all(|entry| entry.part != Some(part)) {
            return Err(nothing_readable(format!("the given part {part}"), rejected(dataset, known, given)));
        }
    }
    for (place, class) in dataset.classes.iter().enumerate() {
        let teaches = |photo: &Photo| {
            let kept_from = matches!(photo.part, Some(Part::Validation | Part::Test));
            !kept_from && photo.target.classes().contains(&Class::new(place))
        };
        if !known.photos().any(teaches) {
            return Err(nothing_readable(format!("class {class:?}"), rejected(dataset, known, teaches)));
        }
    }
    Ok(())
}

/// Lists the photos of a kind that couldn't be read.
fn rejected<'a>(
    dataset: &Dataset,
    known: &'a Known<'_>,
    kind: impl Fn(&Photo) -> bool,
) -> impl Iterator<Item = &'a Rejected> {
    let names: HashSet<String> =
        dataset.photos.iter().filter(|photo| kind(photo)).map(|photo| photo.name.clone()).collect();
    known.rejected.iter().filter(move |rejected| names.contains(&rejected.name))
}

/// What is known of an assignment, to warn of what a user should know.
struct Told<'a> {
    dataset: &'a Dataset,
    photos: &'a [&'a Photo],
    entries: &'a [Entry<'a>],
    parts: &'a [Part],
    progress: &'a dyn Progress,
}

impl Told<'_> {
    /// Warns of some, if there are any: `what` with the number in the place of `#`, and the first few.
    fn warn(&self, which: &[String], what: &str) {
        if !which.is_empty() {
            let photos = count(which.len(), "photo");
            self.progress.warn(&format!("{}: {}", what.replace('#', &photos), first(which, 5)));
        }
    }

    fn name(&self, photo: usize) -> &str {
        &self.photos[photo].name
    }

    /// Warns of copies, and of those that have several labels.
    fn copies(&self) {
        let copies = duplicates(self.entries.iter().map(|entry| entry.digest));
        let names = |differ: &dyn Fn(&[usize]) -> bool| -> Vec<String> {
            copies.iter().filter(|copy| differ(copy)).map(|copy| self.name(copy[0]).to_owned()).collect()
        };
        let same = |copy: &[usize], of: &dyn Fn(usize) -> bool| copy.iter().all(|&photo| of(photo));
        let part = |copy: &[usize]| same(copy, &|photo| self.parts[photo] == self.parts[copy[0]]);
        let label = |copy: &[usize]| same(copy, &|photo| self.entries[photo].target == self.entries[copy[0]].target);
        self.warn(&names(&|copy| part(copy)), "# with copies, which stay in one part");
        let other = match self.dataset.has_sets() {
            false => "# in several classes: no classifier can get all of them right",
            true => "# with copies that have other labels: no classifier can get all of them right",
        };
        self.warn(&names(&|copy| !label(copy)), other);
    }

    /// Warns of near-duplicates that were kept together, and of those that have several labels.
    fn alike(&self, pairs: &[[usize; 2]]) {
        let names = |of: &dyn Fn(usize, usize) -> bool| -> Vec<String> {
            let pairs = pairs.iter().filter(|[a, b]| of(*a, *b));
            pairs.map(|[a, b]| format!("{} and {}", self.name(*a), self.name(*b))).collect()
        };
        let together = names(&|a, b| self.parts[a] == self.parts[b]);
        self.warn(
            &together,
            "# nearly the same as another (a crop, another size, mirrored, the next frame), which stay in one part",
        );
        let labels = names(&|a, b| self.entries[a].target != self.entries[b].target);
        let other = match self.dataset.has_sets() {
            false => "# nearly the same as one of another class: is its label right?",
            true => "# nearly the same as one with other labels: are they right?",
        };
        self.warn(&labels, other);
    }

    /// Warns of groups that hold more than a third of a class.
    fn large(&self, groups: &Groups) {
        let mut sizes: HashMap<Class, usize> = HashMap::new();
        let classes = |photos: &[usize]| -> HashMap<Class, usize> {
            // Copies are one photo.
            let distinct: BTreeSet<(Digest, Class)> = (photos.iter().map(|&photo| &self.entries[photo]))
                .flat_map(|entry| entry.target.classes().iter().map(|&class| (entry.digest, class)))
                .collect();
            distinct.into_iter().fold(HashMap::new(), |mut counts, (_, class)| {
                *counts.entry(class).or_default() += 1;
                counts
            })
        };
        let groups: Vec<_> = groups.list().into_iter().map(|group| (group[0], classes(&group))).collect();
        groups
            .iter()
            .flat_map(|(_, counts)| counts)
            .for_each(|(class, count)| *sizes.entry(*class).or_default() += count);
        for (photo, counts) in &groups {
            let mut large: Vec<_> =
                counts.iter().filter(|(class, held)| **held > 1 && 3 * **held > sizes[class]).collect();
            large.sort_unstable();
            for (class, held) in large {
                self.progress.warn(&format!(
                    "class {:?}: {held} of its {} belong together, with {}, and play one part, here {}: its shares can't be as asked for",
                    self.dataset.classes[class.index()],
                    count(sizes[class], "photo"),
                    self.name(*photo),
                    self.parts[*photo],
                ));
            }
        }
    }

    /// Warns of photos that are evaluated on and belong together with what is learnt from.
    fn leaks(&self, leaks: &[Leak]) {
        let worded = |&Leak { photo, with }: &Leak| {
            let [one, other] = [photo, with].map(|place| &self.entries[place]);
            let is = match () {
                () if one.digest == other.digest => "a copy of",
                () if one.group.is_some() && one.group == other.group => "of one group with",
                () => "nearly the same as",
            };
            format!("{} is {is} {}", self.name(photo), self.name(with))
        };
        let leaks: Vec<String> = leaks.iter().map(worded).collect();
        self.warn(
            &leaks,
            "# of the folders to validate or to test aren't new to the head, so the figures are too kind",
        );
    }

    /// Says what few photos of a class allow, where cross-validation judges by all.
    fn few(&self, groups: &Groups) {
        let mut distinct: HashMap<Class, usize> = HashMap::new();
        for group in groups.list() {
            let classes: BTreeSet<Class> =
                group.iter().flat_map(|&photo| self.entries[photo].target.classes().iter().copied()).collect();
            classes.into_iter().for_each(|class| *distinct.entry(class).or_default() += 1);
        }
        let names = |few: &dyn Fn(usize) -> bool| -> Vec<String> {
            let classes = self.dataset.classes.iter().enumerate();
            let held = |place| distinct.get(&Class::new(place)).copied().unwrap_or(0);
            let few = classes.filter(|(place, _)| few(held(*place)));
            few.map(|(place, name)| format!("{name} ({})", held(place))).collect()
        };
        for (few, what) in [
            (
                names(&|held| held < 3),
                "fewer than 3 photos that don't belong together: too few to judge, and 20 or more are good",
            ),
            (
                names(&|held| (3..10).contains(&held)),
                "fewer than 10 that don't belong together: enough to try, and 20 or more are good",
            ),
        ] {
            if !few.is_empty() {
                self.progress.warn(&format!("{} of {what}: {}", count(few.len(), "class"), first(&few, 5)));
            }
        }
    }

    /// Names the classes without a photo to test, where others have one.
    fn untested(&self) {
        let tested: BTreeSet<Class> = (self.entries.iter().zip(self.parts))
            .filter(|(_, part)| **part == Part::Test)
            .flat_map(|(entry, _)| entry.target.classes().iter().copied())
            .collect();
        let names = self.dataset.classes.iter().enumerate().filter(|(place, _)| !tested.contains(&Class::new(*place)));
        let untested: Vec<String> = names.map(|(_, name)| name.clone()).collect();
        if !tested.is_empty() && !untested.is_empty() {
            let (classes, have) = (count(untested.len(), "class"), if untested.len() == 1 { "has" } else { "have" });
            self.progress.warn(&format!("{classes} {have} no photo to be tested on: {}", first(&untested, 5)));
        }
    }
}
