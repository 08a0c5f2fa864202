//! A prediction: all that a head says about one photo, from which reports and tables pick.

use std::path::PathBuf;

use crate::data::{Class, Part, Photo, Source, Target};
use crate::digest::Digest;
use crate::head::reject::Verdict;
use crate::head::{Head, set_loss, sigmoid, softmax, top};

/// A head's prediction for one photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The photo's name in the data set.
    pub name: String,
    /// The path of its file.
    pub path: PathBuf,
    /// Where its content comes from.
    pub source: Source,
    /// SHA-256 of its content.
    pub digest: Digest,
    /// Its part.
    pub part: Option<Part>,
    /// Whether another head says it, in cross-validation, that neither learnt from the photo nor was chosen by it.
    pub cross_validated: bool,
    /// What is true of it, where that is known.
    pub target: Target,
    /// What it counts in what is learnt.
    pub weight: f64,
    /// The logit of every class. Probabilities follow from it in f64, at half the memory that they would take.
    pub logits: Vec<f32>,
    /// The classes that are named, in ascending order, where it may be of several; each has a probability by itself then. None where it is of exactly one.
    pub named: Option<Vec<Class>>,
    /// Whether it is like the photos that were learnt from, where that was asked and can be told.
    pub verdict: Option<Verdict>,
    /// The classes among which the true one is as often as was asked for, the most probable first; none where it wasn't asked.
    pub set: Option<Vec<Class>>,
}

impl Prediction {
    /// Notes what a head says of a photo with this content; it plays no part, and nothing more is known of it.
    pub(crate) fn of(photo: &Photo, digest: Digest, head: &Head, logits: Vec<f32>) -> Self {
        let Photo { name, path, source, target, weight, .. } = photo.clone();
        let (part, cross_validated, verdict, set) = Default::default();
        let named = head.named(&logits);
        Self { name, path, source, digest, part, cross_validated, target, weight, logits, named, verdict, set }
    }

    /// Tells whether it is like the photos that were learnt from, where that can be told.
    pub fn is_known(&self) -> Option<bool> {
        self.verdict.and_then(|verdict| verdict.is_known())
    }

    /// Computes the probability of every class.
    pub fn probabilities(&self) -> Vec<f64> {
        match self.named {
            None => softmax(&self.logits),
            Some(_) => self.logits.iter().map(|&logit| sigmoid(logit.into())).collect(),
        }
    }

    /// Picks so many classes with their probabilities, the most probable first; equally probable ones are ranked by number.
    pub fn top(&self, count: usize) -> Vec<(Class, f64)> {
        let probabilities = self.probabilities();
        top(&self.logits, count).into_iter().map(|class| (class, probabilities[class.index()])).collect()
    }

    /// Computes the probability that these classes are true and no others, each being by itself, where it may be of several.
    pub fn set_probability(&self, set: &[Class]) -> Option<f64> {
        let among = set.iter().all(|class| class.index() < self.logits.len());
        (self.named.is_some() && among).then(|| (-set_loss(&self.logits, set)).exp())
    }

    /// Computes the probability given to the true class, where there is exactly one; where it may be of several, to the set of those that are true.
    pub fn target_probability(&self) -> Option<f64> {
        if self.named.is_some() {
            return (self.target != Target::None).then(|| self.set_probability(self.target.classes())).flatten();
        }
        self.target.class().and_then(|class| self.probabilities().get(class.index()).copied())
    }

    /// Tells whether there is exactly one true class, and another is more probable; where it may be of several, whether others are named than are true.
    pub fn is_wrong(&self) -> bool {
        if let Some(named) = &self.named {
            return self.target != Target::None && *named != self.target.classes();
        }
        self.target.class().is_some_and(|truth| top(&self.logits, 1).first().is_some_and(|&class| class != truth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_classes_can_be_picked() {
        let logits: Vec<f32> = (0..12).map(|class| if class == 3 { 9.0 } else { -(class as f32) }).collect();
        let target = Class::new(1).into();
        let (name, path, source) = ("a".to_owned(), "a".into(), Source::File);
        let photo = Prediction {
            name,
            path,
            source,
            digest: [0; 32],
            part: None,
            cross_validated: false,
            target,
            weight: 1.0,
            logits,
            named: None,
            verdict: None,
            set: None,
        };
        let top = photo.top(10);
        assert_eq!(top.len(), 10);
        assert_eq!([top[0].0, top[1].0, top[9].0], [3, 0, 9].map(Class::new));
        assert!(top.is_sorted_by(|a, b| a.1 > b.1));
        let all = photo.probabilities();
        assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!((photo.target_probability(), photo.is_wrong()), (Some(all[1]), true));
        let unknown = Prediction { target: Target::None, ..photo };
        assert_eq!((unknown.target_probability(), unknown.is_wrong()), (None, false));
    }
}
