//! A run as it was before it is trained again: what has changed since, and which head is better.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use resnet::WeightFile;

use crate::data::{Class, Dataset, Part, Target};
use crate::digest::{self, Digest, of_hex};
use crate::error::{Error, Result};
use crate::head::{Head, top};
use crate::report::{Change, Compared, Prediction};
use crate::run::{self, Config, Judged, Parts, Run, Weights};
use crate::tasks::known::Known;
use crate::words::joined;

/// A run as it was.
pub(crate) struct Before {
    pub(crate) config: Config,
    /// The backbone's weights: those that it was made with, if they are unchanged, else the run's own.
    pub(crate) weights: WeightFile,
    /// Where they were read.
    pub(crate) path: PathBuf,
    head: Head,
    /// The labels that it gave to photos that it neither learnt from nor was chosen by.
    said: HashMap<Digest, String>,
    photos: HashMap<Digest, (Part, Target)>,
    has_labels: bool,
}

/// What there is now: the photos, the part that each plays whose features are known, and what the new head says of it.
#[derive(Clone, Copy)]
pub(crate) struct Since<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) known: &'a Known<'a>,
    pub(crate) parts: &'a [Part],
    pub(crate) predictions: &'a [Prediction],
    /// The part whose predictions come from heads that didn't learn from it.
    pub(crate) judged: Part,
}

impl Before {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let Run { head, config, weights: own, .. } = Run::open(folder)?;
        let invalid = |reason: &str| Error::InvalidRun { path: folder.to_owned(), reason: reason.to_owned() };
        let config = config.ok_or_else(|| invalid("no config.json in it, which says how it was made"))?;
        let parts = Parts::read(folder, &config)?;
        let unchanged = |weights: &Weights| {
            let file = WeightFile::open(&weights.path).ok()?;
            (digest::sha256(file.bytes()) == weights.sha256).then(|| (weights.path.clone(), file))
        };
        let (path, weights) = match config.weights.as_ref().and_then(unchanged) {
            Some(found) => found,
            None => (folder.join(run::MODEL), own),
        };
        // Of a run whose predictions are lost, the head still speaks for itself.
        let said = Judged::read(folder).map(|(photos, _)| photos).unwrap_or_default();
        let said = said.into_iter().filter(Judged::is_tested);
        let said = said.filter_map(|photo| Some((of_hex(&photo.digest)?, photo.predicted?))).collect();
        let photos = parts.photos().map(|(digest, part, target)| (digest, (part, target))).collect();
        Ok(Self { weights, path, head, said, photos, has_labels: parts.has_labels(), config })
    }

    /// Gives the part that each photo played.
    pub(crate) fn parts(&self) -> HashMap<Digest, Part> {
        self.photos.iter().map(|(digest, (part, _))| (*digest, *part)).collect()
    }

    /// Says what has changed, and how both heads do on the photos that neither learnt from.
    pub(crate) fn change(&self, since: &Since<'_>) -> Result<Change> {
        let Since { dataset, known, .. } = *since;
        let now: BTreeMap<Digest, &Target> =
            known.kept.iter().zip(known.photos()).map(|((_, digest), photo)| (*digest, &photo.target)).collect();
        let renamed = self.renamed(dataset, &now);
        let moved = |(digest, target): &(&Digest, &&Target)| match (self.photos.get(*digest), target) {
            (None | Some((_, Target::None)), _) | (_, Target::None) => false,
            (Some((_, old)), target) => {
                labels(old, |class| renamed_label(&self.config.classes[class.index()], &renamed))
                    != labels(target, |class| &dataset.classes[class.index()])
            }
        };
        let missing = |of: &[String], among: &[String], renamed: BTreeSet<&String>| -> Vec<String> {
            of.iter().filter(|label| !among.contains(label) && !renamed.contains(label)).cloned().collect()
        };
        Ok(Change {
            added: now.keys().filter(|digest| !self.photos.contains_key(*digest)).count(),
            removed: self.photos.keys().filter(|digest| !now.contains_key(*digest)).count(),
            moved: self.has_labels.then(|| now.iter().filter(moved).count()),
            classes_added: missing(&dataset.classes, &self.config.classes, renamed.values().collect()),
            classes_removed: missing(&self.config.classes, &dataset.classes, renamed.keys().collect()),
            classes_renamed: renamed.iter().map(|(old, new)| [old.clone(), new.clone()]).collect(),
            compared: self.compared(since, &renamed)?,
        })
    }

    /// Finds the classes that are gone and all of whose photos are now of one class that is new: from the old label to the new one. Photos of several classes don't say which of them another one was.
    fn renamed(&self, dataset: &Dataset, now: &BTreeMap<Digest, &Target>) -> BTreeMap<String, String> {
        let mut heirs: BTreeMap<&String, BTreeSet<Option<&String>>> = BTreeMap::new();
        for (digest, target) in now {
            if let Some((_, Target::Class(old))) = self.photos.get(digest) {
                let label = target.class().map(|class| &dataset.classes[class.index()]);
                heirs.entry(&self.config.classes[old.index()]).or_default().insert(label);
            }
        }
        let renamed = heirs.into_iter().filter_map(|(old, heirs)| {
            let [Some(new)] = heirs.into_iter().collect::<Vec<_>>()[..] else { return None };
            let is_new = !dataset.classes.contains(old) && !self.config.classes.contains(new);
            is_new.then(|| (old.clone(), new.clone()))
        });
        renamed.collect()
    }

    /// Compares both heads.
    fn compared(&self, since: &Since<'_>, renamed: &BTreeMap<String, String>) -> Result<Option<Compared>> {
        let Since { dataset, known, parts, predictions, judged } = *since;
        let old_classes: Vec<&String> = self.config.classes.iter().map(|old| renamed_label(old, renamed)).collect();
        let is_new_to_both = |place: &usize| {
            let digest = &known.kept[*place].1;
            let before = self.photos.get(digest).map(|(part, _)| *part);
            let was_new = matches!(before, None | Some(Part::Test)) || self.said.contains_key(digest);
            let target = &predictions[*place].target;
            let knows = |class: &Class| old_classes.contains(&&dataset.classes[class.index()]);
            parts[*place] == judged && was_new && *target != Target::None && target.classes().iter().all(knows)
        };
        let places: Vec<usize> = (0..parts.len()).filter(is_new_to_both).collect();
        if places.is_empty() {
            return Ok(None);
        }
        let logits = known.logits(&self.head, &places)?;
        let truth = |place: usize| labels(&predictions[place].target, |class| &dataset.classes[class.index()]);
        let right_before = places.iter().zip(&logits).filter(|(place, logits)| {
            let said = match self.said.get(&known.kept[**place].1) {
                Some(label) => renamed_label(label, renamed).clone(),
                None => {
                    let named = self.head.named(logits).unwrap_or_else(|| top(logits, 1));
                    joined(named.iter().map(|class| old_classes[class.index()].as_str()))
                }
            };
            said == truth(**place)
        });
        let right_now = places.iter().filter(|place| !predictions[**place].is_wrong());
        let share = |right: usize| right as f64 / places.len() as f64;
        Ok(Some(Compared { photos: places.len(), before: share(right_before.count()), now: share(right_now.count()) }))
    }
}

/// Names the classes of a target as one.
fn labels<'a>(target: &Target, label: impl Fn(&Class) -> &'a String) -> String {
    joined(target.classes().iter().map(|class| label(class).as_str()))
}

/// Gives the new label of a class, or the old one where it wasn't renamed.
fn renamed_label<'a>(label: &'a String, renamed: &'a BTreeMap<String, String>) -> &'a String {
    renamed.get(label).unwrap_or(label)
}
