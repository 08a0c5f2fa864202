//! What a reader found, and the checks in which all readers end, whatever they read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::dataset::Dataset;
use crate::data::labels::{check_labels, hint, sort};
use crate::data::listing::{Listing, loose, no_photos, told_again};
use crate::data::manifest::{Entry, Manifest};
use crate::data::origin::ClassOrder;
use crate::data::part::Part;
use crate::data::photo::{Photo, Rejected};
use crate::data::row::{Labels, Row};
use crate::data::target::{Class, Target};
use crate::error::{Error, Result};
use crate::words::{count, first, shown};

/// What a reader found, before it is checked. Until then the classes in targets are places in the [`Vocabulary`].
pub(super) struct Found {
    /// The folder, the table or the archive, as errors name it.
    pub place: PathBuf,
    /// The folder that names are relative to.
    pub root: PathBuf,
    pub vocabulary: Vocabulary,
    pub photos: Vec<Photo>,
    pub unusable: Vec<Unusable>,
    /// Where classes stand, the part to learn from first.
    pub shelves: Vec<Shelf>,
    /// Photos beside class folders.
    pub loose: Vec<String>,
    pub others: Vec<String>,
    pub again: Vec<String>,
    pub warnings: Vec<String>,
    /// Whether classes are folders.
    pub folders: bool,
}

/// A photo that can't be used, with what is known of it.
pub(super) struct Unusable {
    pub rejected: Rejected,
    pub target: Target,
    pub part: Option<Part>,
    pub weight: f64,
    pub group: Option<Arc<str>>,
}

impl Unusable {
    /// Makes one of which nothing else is known.
    pub fn unknown(rejected: Rejected) -> Self {
        Self { rejected, target: Target::None, part: None, weight: 1.0, group: None }
    }
}

/// The classes of a part.
pub(super) struct Shelf {
    pub part: Option<Part>,
    /// Where they stand, as errors name it.
    pub path: PathBuf,
    /// Its name in warnings.
    pub name: String,
    /// Its classes, which may have no photo.
    pub classes: BTreeSet<Class>,
}

/// The labels, in the order in which they were found.
#[derive(Default)]
pub(super) struct Vocabulary {
    labels: Vec<String>,
    places: HashMap<String, Class>,
}

impl Vocabulary {
    /// Gives a label's place.
    pub fn class(&mut self, label: &str) -> Class {
        if let Some(&class) = self.places.get(label) {
            return class;
        }
        let class = Class::new(self.labels.len());
        self.labels.push(label.to_owned());
        self.places.insert(label.to_owned(), class);
        class
    }

    /// Makes what a row says of classes a target.
    pub fn target(&mut self, labels: &Labels) -> Target {
        match labels {
            Labels::None => Target::None,
            Labels::One(label) => self.class(label).into(),
            Labels::Several(labels) => {
                let set: BTreeSet<Class> = labels.iter().map(|label| self.class(label)).collect();
                Target::Set(set.into_iter().collect())
            }
        }
    }

    fn label(&self, class: Class) -> &str {
        &self.labels[class.index()]
    }

    /// Says a target in words again.
    fn labels(&self, target: &Target) -> Labels {
        match target {
            Target::None => Labels::None,
            Target::Class(class) => Labels::One(self.label(*class).to_owned()),
            Target::Set(set) => Labels::Several(set.iter().map(|class| self.label(*class).to_owned()).collect()),
        }
    }
}

impl Found {
    /// Starts with nothing.
    pub fn new(place: &Path, root: &Path) -> Self {
        let (vocabulary, photos, unusable, shelves) = Default::default();
        let (loose, others, again, warnings) = Default::default();
        let (place, root, folders) = (place.to_owned(), root.to_owned(), false);
        Self { place, root, vocabulary, photos, unusable, shelves, loose, others, again, warnings, folders }
    }

    /// Adds what can't be used and of which nothing else is known.
    pub fn reject(&mut self, rejected: &[Rejected]) {
        self.unusable.extend(rejected.iter().cloned().map(Unusable::unknown));
    }

    /// Puts the classes of photos on the shelves of their parts. Of a part that isn't given it is said that it is drawn from train.
    pub fn shelve(&mut self) {
        let labelled = |target: &Target| *target != Target::None;
        let photos = self.photos.iter().map(|photo| (photo.part, &photo.target));
        let unusable = self.unusable.iter().map(|photo| (photo.part, &photo.target));
        let parts: BTreeSet<Option<Part>> =
            photos.chain(unusable).filter(|(_, target)| labelled(target)).map(|(part, _)| part).collect();
        if parts.len() > 1 && parts.contains(&None) {
            let to_train = |part: &mut Option<Part>, all: &mut usize| {
                if part.is_none() {
                    *part = Some(Part::Train);
                    *all += 1;
                }
            };
            let (mut without, mut unused) = (0, 0);
            self.photos
                .iter_mut()
                .filter(|photo| labelled(&photo.target))
                .for_each(|photo| to_train(&mut photo.part, &mut without));
            self.unusable.iter_mut().for_each(|photo| to_train(&mut photo.part, &mut unused));
            self.warnings
                .push(format!("{} of no part, beside others that have one: taken for train", count(without, "photo")));
        }
        let photos = self.photos.iter().map(|photo| (photo.part, &photo.target));
        let unusable = self.unusable.iter().map(|photo| (photo.part, &photo.target));
        let mut shelves: BTreeMap<Option<Part>, BTreeSet<Class>> = BTreeMap::new();
        for (part, target) in photos.chain(unusable).filter(|(_, target)| labelled(target)) {
            shelves.entry(part).or_default().extend(target.classes());
        }
        let name = |part: Option<Part>| part.map_or_else(|| shown(&self.place).into_owned(), |part| part.to_string());
        self.shelves = (shelves.into_iter())
            .map(|(part, classes)| Shelf { part, path: self.place.clone(), name: name(part), classes })
            .collect();
    }

    /// Lists what was found, without what is true of it.
    pub fn listing(self) -> Listing {
        let Self { photos, unusable, others, again, warnings, .. } = self;
        let photos = photos.into_iter().map(|photo| Photo { target: Target::None, ..photo }).collect();
        let rejected = unusable.into_iter().map(|photo| photo.rejected).collect();
        Listing { photos, rejected, others, again, warnings }
    }

    /// Lists what was found with all that is said of it.
    pub fn manifest(self) -> Manifest {
        let Self { vocabulary, photos, unusable, again, warnings, .. } = self;
        let told = |target: &Target, part, weight, group: Option<&Arc<str>>| {
            let (labels, group) = (vocabulary.labels(target), group.map(|group| group.to_string()));
            Row { path: None, labels, part, weight, group }
        };
        let photos = photos.into_iter().map(|photo| {
            let row = told(&photo.target, photo.part, photo.weight, photo.group.as_ref());
            Entry { name: photo.name.clone(), row, photo: Ok(photo) }
        });
        let unusable = unusable.into_iter().map(|Unusable { rejected, target, part, weight, group }| {
            let row = told(&target, part, weight, group.as_ref());
            Entry { name: rejected.name, row, photo: Err(rejected.reason) }
        });
        Manifest {
            entries: photos.chain(unusable).collect(),
            warnings: warnings.into_iter().chain(told_again(&again)).collect(),
        }
    }

    /// Checks that this is fit to be trained on, or to evaluate a head on that knows the classes `known`, and makes it a data set. Photos
    /// without a label are left aside with a word.
    ///
    /// # Errors
    /// As [`Dataset::open`] says of a training, and [`Dataset::open_for`] of an evaluation.
    pub fn check(mut self, known: Option<&[String]>, order: ClassOrder) -> Result<Dataset> {
        let training = known.is_none();
        self.leave_unlabelled()?;
        self.join_single(training);
        let learnt = self.shelves.first().is_none_or(|shelf| matches!(shelf.part, None | Some(Part::Train)));
        if training && !learnt {
            let parts = self.shelves.iter().map(|shelf| shelf.name.clone()).collect();
            return Err(Error::NothingToTrain { path: self.place, parts });
        }
        // Where there is no `train`, none of the parts can say what the classes are.
        let naming = if learnt { &self.shelves[..self.shelves.len().min(1)] } else { &self.shelves[..] };
        let classes: BTreeSet<Class> = naming.iter().flat_map(|shelf| shelf.classes.iter().copied()).collect();
        let mut classes: Vec<String> =
            classes.into_iter().map(|class| self.vocabulary.label(class).to_owned()).collect();
        sort(&mut classes, order);
        let told = check_labels(&classes)?;
        self.warnings.extend(told);
        let empty = self.check_shelves(&classes, learnt, training)?;
        self.check_photos(&classes, empty)?;
        let Self { root, vocabulary, mut photos, unusable, mut others, again, mut warnings, .. } = self;
        if !others.is_empty() {
            others.sort();
            warnings.push(format!("ignored, no photos by their names ({}): {}", others.len(), first(&others, 5)));
        }
        warnings.extend(told_again(&again));
        let classes = match known {
            Some(known) => {
                let unknown: Vec<String> = classes.iter().filter(|label| !known.contains(label)).cloned().collect();
                if !unknown.is_empty() {
                    return Err(unknown_class(&self.place, unknown, known));
                }
                known.to_vec()
            }
            None => classes,
        };
        let places: HashMap<&str, Class> =
            classes.iter().enumerate().map(|(place, label)| (label.as_str(), Class::new(place))).collect();
        let place = |class: &Class| places[vocabulary.label(*class)];
        let single = photos.iter().all(|photo| photo.target.class().is_some());
        for photo in &mut photos {
            photo.target = match &photo.target {
                Target::None => Target::None,
                target if single => place(&target.classes()[0]).into(),
                Target::Class(class) => place(class).into(),
                Target::Set(set) => Target::Set(set.iter().map(place).collect::<BTreeSet<_>>().into_iter().collect()),
            };
        }
        let mut rejected: Vec<Rejected> = unusable.into_iter().map(|photo| photo.rejected).collect();
        photos.sort_by(|a, b| a.name.cmp(&b.name));
        rejected.sort_by(|a, b| a.name.cmp(&b.name));
        if training && classes.len() < 2 {
            let hint = match rejected.iter().find(|link| self.folders && !link.name.contains('/')) {
                Some(Rejected { name, reason }) => format!("; {name:?} is {reason}"),
                None => String::new(),
            };
            let class = classes.into_iter().next().unwrap_or_default();
            return Err(Error::SingleClass { path: self.place, class, hint });
        }
        Ok(Dataset { root, classes, photos, rejected, warnings })
    }

    /// Leaves photos without a label aside, with a word.
    fn leave_unlabelled(&mut self) -> Result<()> {
        let all = self.photos.len();
        self.photos.retain(|photo| photo.target != Target::None);
        let left = all - self.photos.len();
        if left > 0 && self.shelves.is_empty() {
            return Err(Error::NoLabels { path: self.place.clone(), photos: left });
        }
        if left > 0 {
            let have = if left == 1 { "has no label and was" } else { "have no label and were" };
            self.warnings.push(format!("{} {have} left aside", count(left, "photo")));
        }
        Ok(())
    }

    /// Takes a part for all where it is the only one, to be split.
    fn join_single(&mut self, training: bool) {
        if let (true, [Shelf { part: part @ Some(Part::Train), .. }]) = (training, &mut self.shelves[..]) {
            *part = None;
            self.photos.iter_mut().for_each(|photo| photo.part = None);
            self.unusable.iter_mut().for_each(|photo| photo.part = None);
        }
    }

    /// Checks the classes of each part; gives those that are to be learnt and have no photo.
    fn check_shelves(&mut self, classes: &[String], learnt: bool, training: bool) -> Result<Vec<String>> {
        let mut photos: HashMap<(Option<Part>, Class), usize> = HashMap::new();
        for photo in &self.photos {
            photo.target.classes().iter().for_each(|&class| *photos.entry((photo.part, class)).or_default() += 1);
        }
        let mut unusable: HashMap<(Option<Part>, Class), Vec<&Rejected>> = HashMap::new();
        for Unusable { rejected, target, part, .. } in &self.unusable {
            target.classes().iter().for_each(|&class| unusable.entry((*part, class)).or_default().push(rejected));
        }
        let mut empty = Vec::new();
        for (index, shelf) in self.shelves.iter().enumerate() {
            let labels = shelf.classes.iter().map(|&class| self.vocabulary.label(class).to_owned());
            let mut unknown: Vec<String> = labels.filter(|label| !classes.contains(label)).collect();
            if !unknown.is_empty() {
                unknown.sort();
                return Err(unknown_class(&shelf.path, unknown, classes));
            }
            let mut used = 0;
            let mut bad: Vec<&Rejected> = Vec::new();
            for label in classes {
                let key = self.vocabulary.places.get(label).map(|&class| (shelf.part, class));
                let good = key.and_then(|key| photos.get(&key)).copied().unwrap_or_default();
                let rejected = key.and_then(|key| unusable.get(&key)).map(Vec::as_slice).unwrap_or_default();
                match (good, rejected, index == 0 && learnt) {
                    (0, [], true) => empty.push(label.clone()),
                    (0, [], false) => {
                        self.warnings.push(format!("class {label:?} has no photos in {}", shelf.name));
                    }
                    (0, [first, ..], true) => {
                        let (path, class, reason) = (shelf.path.clone(), label.clone(), first.reason.clone());
                        return Err(Error::UnreadableClass { path, class, photos: rejected.len(), reason });
                    }
                    _ => {}
                }
                used += good;
                bad.extend(rejected);
            }
            // Nothing takes the place of a part that was given: another one would be drawn, or evaluated on, in silence.
            let needed = if training { shelf.part.is_some() } else { shelf.part == Some(Part::Test) };
            if needed && index > 0 && used == 0 {
                return Err(match bad.first() {
                    Some(rejected) if !self.folders => Error::NothingReadable {
                        what: format!("{}: the part {}", shown(&self.place), shelf.name),
                        found: bad.len(),
                        reason: rejected.reason.clone(),
                    },
                    _ => {
                        let folders = self.shelves.iter().map(|shelf| shelf.name.clone()).collect();
                        let problem = format!("{:?} holds no photo that can be used", shelf.name);
                        Error::UnusableSplit { path: self.place.clone(), folders, problem }
                    }
                });
            }
        }
        Ok(empty)
    }

    /// Checks that there are photos, each where it has a label.
    fn check_photos(&self, classes: &[String], empty: Vec<String>) -> Result<()> {
        if let ([], [], [Unusable { rejected, .. }, ..]) = (classes, &self.loose[..], &self.unusable[..]) {
            let Rejected { name: class, reason } = rejected.clone();
            let (path, photos) = (self.place.clone(), self.unusable.len());
            return Err(match self.folders {
                true => Error::UnreadableClass { path, class, photos, reason },
                false => Error::NothingReadable { what: shown(&path).into_owned(), found: photos, reason },
            });
        }
        if self.photos.is_empty() && self.unusable.is_empty() && self.loose.is_empty() {
            return Err(no_photos(&self.place, self.others.len()));
        }
        if !self.loose.is_empty() {
            return Err(loose(&self.place, &self.loose));
        }
        if !empty.is_empty() {
            let path = self.shelves[0].path.clone();
            // By the name that a training, and the hub, give a network.
            let model = empty.iter().find(|class| path.join(class).join("model.safetensors").is_file());
            let hint = model.map_or_else(String::new, |class| format!("; {class:?} holds a model, as a run does"));
            return Err(Error::EmptyClass { path, classes: empty, hint });
        }
        Ok(())
    }
}

fn unknown_class(path: &Path, unknown: Vec<String>, known: &[String]) -> Error {
    let hint = hint(&unknown, known);
    Error::UnknownClass { path: path.to_owned(), classes: unknown, known: known.len(), hint }
}
