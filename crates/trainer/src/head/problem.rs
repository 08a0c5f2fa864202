//! What a head is to learn: rows of features, what is true of each, and the labels of the classes.

use crate::data::{Class, Target};
use crate::error::{Error, Result};
use crate::features::Rows;
use crate::head::sigmoid;
use crate::head::softmax::{log_softmax, top};

/// Rows of features with their targets.
///
/// # Shapes
/// `[samples, features]`, `[samples]` and `[samples]`.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// The features, read where they lie.
    pub rows: &'a Rows<'a>,
    /// What is true of each row.
    pub targets: &'a [Target],
    /// What each row counts in the loss that is learnt from: finite, 0 or more. None for 1 each; in a validation they count 1 in any case.
    pub weights: Option<&'a [f64]>,
}

/// What a head is to learn, and by what it is validated. Both parts have rows of one width.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The labels of the classes, in the order of the head's outputs.
    pub classes: &'a [String],
    /// The samples to learn from.
    pub train: Samples<'a>,
    /// The samples that choose the epoch, where there are any: of use to solvers that go by epochs.
    pub validation: Option<Samples<'a>>,
    /// By which the regularisation is chosen, where there are any: of use to solvers that find the optimum.
    pub folds: Option<Folds<'a>>,
    /// How many rows to train on each photo has, one after the other, of the same classes and in one fold: it is judged by the mean of their logits. 1 where a row is a photo.
    pub views: usize,
}

impl Problem<'_> {
    /// Tells whether rows may be of several classes: each target is a set then, if only one is told as such.
    pub fn is_of_sets(&self) -> bool {
        self.train.targets.iter().any(|target| matches!(target, Target::Set(_)))
    }

    /// Counts the samples of each class to learn from; those of several classes or of none aren't counted.
    pub(crate) fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for class in self.train.targets.iter().filter_map(Target::class) {
            if let Some(count) = counts.get_mut(class.index()) {
                *count += 1;
            }
        }
        counts
    }
}

/// The folds of cross-validation.
#[derive(Clone, Copy, Debug)]
pub struct Folds<'a> {
    /// One deal or several, each giving the fold of every row to train on, from 0 without gaps.
    pub deals: &'a [Vec<usize>],
    /// Whether the choice itself is judged, by choosing anew without each fold; takes three folds or more.
    pub nested: bool,
}

/// What is true of each row.
#[derive(Debug)]
pub(crate) enum Truths {
    /// It is of this class, and the probabilities of all add up to 1: a softmax.
    Classes(Vec<Class>),
    /// It is of these, which may be none, and each class has a probability of its own: sigmoids.
    Sets(Vec<Vec<Class>>),
}

/// Samples that were checked: there are some, and each is of exactly one class, or each of a set of them.
pub(crate) struct Classed<'a> {
    pub rows: &'a Rows<'a>,
    pub truths: Truths,
    /// What each row counts, where not all count 1.
    weights: Option<&'a [f64]>,
    /// How many rows, one after the other, are of one photo.
    pub views: usize,
}

impl<'a> Classed<'a> {
    /// Checks samples of so many classes.
    pub fn new(samples: &Samples<'a>, classes: usize) -> Result<Self> {
        let Samples { rows, targets, weights } = *samples;
        let shape = |operand, expected, got| Err(Error::Shape { operation: "train", operand, expected, got });
        if rows.is_empty() {
            return shape("rows", 1, 0);
        }
        if targets.len() != rows.len() {
            return shape("targets", rows.len(), targets.len());
        }
        if let Some(weights) = weights {
            if weights.len() != rows.len() {
                return shape("weights", rows.len(), weights.len());
            }
            if let Some(row) = weights.iter().position(|weight| !(*weight >= 0.0 && weight.is_finite())) {
                let (value, expected) = (weights[row].to_string(), "a number of 0 or more");
                return Err(Error::InvalidOption { option: "weight", value, expected });
            }
        }
        let targets = targets.iter().enumerate();
        let truths = match samples.targets.iter().any(|target| matches!(target, Target::Set(_))) {
            false => Truths::Classes(
                targets.map(|(row, target)| only_class("train", row, target, classes)).collect::<Result<_>>()?,
            ),
            true => {
                let set = |(row, target)| Ok(known_set("train", row, target, classes)?.to_vec());
                Truths::Sets(targets.map(set).collect::<Result<_>>()?)
            }
        };
        Ok(Self { rows, truths, weights, views: 1 })
    }

    /// Counts the rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Lists the class of each row, for what takes one class a row; of sets it lists none.
    pub fn classes(&self) -> &[Class] {
        match &self.truths {
            Truths::Classes(classes) => classes,
            Truths::Sets(_) => &[],
        }
    }

    /// Lists the classes of a row, in ascending order.
    pub fn truth(&self, row: usize) -> &[Class] {
        match &self.truths {
            Truths::Classes(classes) => std::slice::from_ref(&classes[row]),
            Truths::Sets(sets) => &sets[row],
        }
    }

    /// Tells whether rows have sets of classes.
    pub fn has_sets(&self) -> bool {
        matches!(self.truths, Truths::Sets(_))
    }

    /// Judges what a head says of a row: its loss, −ln p of what is true, and whether it is right; of a set, wholly, where a class counts from a probability of 0.5 on.
    pub fn judge(&self, row: usize, logits: &[f32]) -> (f64, bool) {
        match &self.truths {
            Truths::Classes(classes) => (-log_softmax(logits, classes[row]), top(logits, 1) == [classes[row]]),
            Truths::Sets(sets) => {
                let set = &sets[row];
                (sigmoid::loss(logits, set), sigmoid::above(logits, std::iter::repeat(0.0)) == *set)
            }
        }
    }

    /// Takes so many rows, one after the other, for views of one photo.
    ///
    /// # Errors
    /// The rows of a photo aren't of the same classes, or there is none, or a part of one.
    pub fn seen_in(self, views: usize) -> Result<Self> {
        let shape = |operand, expected, got| Err(Error::Shape { operation: "train", operand, expected, got });
        if views == 0 || !self.len().is_multiple_of(views) {
            return shape("rows of photos in so many views", views, self.len());
        }
        let same = |photo: usize| {
            let first = photo * views;
            (first..first + views).filter(|row| self.truth(*row) == self.truth(first)).count()
        };
        match (0..self.len() / views).map(same).find(|same| *same < views) {
            Some(same) => shape("views of a photo that are of its class", views, same),
            None => Ok(Self { views, ..self }),
        }
    }

    /// Counts the photos.
    pub fn photos(&self) -> usize {
        self.len() / self.views
    }

    /// Lists the classes of a photo, in ascending order.
    pub fn of_photo(&self, photo: usize) -> &[Class] {
        self.truth(photo * self.views)
    }

    /// Gives what a row counts.
    pub fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Checks that some row counts.
    ///
    /// # Errors
    /// All weights are 0.
    pub fn check_weights(&self) -> Result<()> {
        match (0..self.len()).any(|row| self.weight(row) > 0.0) {
            true => Ok(()),
            false => Err(Error::InvalidOption {
                option: "weight",
                value: "0 for each photo to train on".to_owned(),
                expected: "more than 0 for some",
            }),
        }
    }

    /// Counts the photos of each of so many classes.
    pub fn counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        let of_photos = (0..self.photos()).flat_map(|photo| self.of_photo(photo));
        of_photos.for_each(|class| counts[class.index()] += 1);
        counts
    }
}

/// Finds the class of a target that must be of exactly one of so many classes.
///
/// # Errors
/// It is of none, of several, or of one that isn't among them: the error names `row`.
pub(crate) fn only_class(operation: &'static str, row: usize, target: &Target, classes: usize) -> Result<Class> {
    let problem = match (target.class(), target) {
        (Some(class), _) if class.index() < classes => return Ok(class),
        (Some(class), _) => format!("has class number {}", class.index()),
        (None, Target::Set(set)) if !set.is_empty() => format!("has {} classes", set.len()),
        (None, _) => "has no class".to_owned(),
    };
    Err(Error::Target { operation, row, problem, expected: format!("exactly one of {classes} classes") })
}

/// Lists the classes of a target, each of which must be one of so many.
///
/// # Errors
/// Nothing is known of it, or a class isn't among them: the error names `row`.
pub(crate) fn known_set<'a>(
    operation: &'static str,
    row: usize,
    target: &'a Target,
    classes: usize,
) -> Result<&'a [Class]> {
    let problem = match target.classes().iter().find(|class| class.index() >= classes) {
        _ if *target == Target::None => "has no label".to_owned(),
        Some(class) => format!("has class number {}", class.index()),
        None => return Ok(target.classes()),
    };
    Err(Error::Target { operation, row, problem, expected: format!("a set of {classes} classes") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_without_exactly_one_class_is_named() {
        let [a, b] = [0, 1].map(Class::new);
        let rows = Rows::new(&[1.0; 6], 2).unwrap();
        let of = |targets: [Target; 3]| {
            let classed = Classed::new(&Samples { rows: &rows, targets: &targets, weights: None }, 2)?;
            Ok::<_, Error>((classed.counts(2), classed.classes().to_vec()))
        };
        assert_eq!(of([a.into(), b.into(), b.into()]).unwrap(), (vec![1, 2], vec![a, b, b]));
        let message = |targets| of(targets).err().unwrap().to_string();
        let expected = "; expected exactly one of 2 classes";
        let none = message([a.into(), Target::None, Target::None]);
        assert_eq!(none, format!("train: row 1 has no class{expected}"));
        assert!(message([a.into(), b.into(), Class::new(2).into()]).contains("row 2 has class number 2"));
        let short = Classed::new(&Samples { rows: &rows, targets: &[a.into()], weights: None }, 2).err().unwrap();
        assert!(short.to_string().contains("targets has 1 elements, expected 3"), "{short}");
    }

    #[test]
    fn one_set_makes_sets_of_all() {
        let [a, b] = [0, 1].map(Class::new);
        let rows = Rows::new(&[1.0; 6], 2).unwrap();
        let of = |targets: [Target; 3]| {
            Classed::new(&Samples { rows: &rows, targets: &targets, weights: None }, 2)
                .map(|classed| (classed.counts(2), (0..3).map(|row| classed.truth(row).to_vec()).collect::<Vec<_>>()))
        };
        let sets = [Target::Set(vec![a, b]), b.into(), Target::Set(vec![])];
        assert_eq!(of(sets).unwrap(), (vec![1, 2], vec![vec![a, b], vec![b], vec![]]));
        let message = |targets| of(targets).unwrap_err().to_string();
        assert!(message([Target::Set(vec![a]), Target::None, b.into()]).contains("row 1 has no label"));
        assert!(
            message([Target::Set(vec![a, Class::new(2)]), b.into(), b.into()]).contains("row 0 has class number 2")
        );
    }

    #[test]
    fn views_of_a_photo_are_of_one_class() {
        let [a, b] = [0, 1].map(Class::new);
        let rows = Rows::new(&[1.0; 4], 1).unwrap();
        let seen = |targets: [Class; 4], views| {
            let targets = targets.map(Target::from);
            let classed =
                Classed::new(&Samples { rows: &rows, targets: &targets, weights: None }, 2)?.seen_in(views)?;
            let photos: Vec<Class> = (0..classed.photos()).map(|photo| classed.of_photo(photo)[0]).collect();
            Ok::<_, Error>((photos, classed.counts(2)))
        };
        assert_eq!(seen([a, a, b, b], 2).unwrap(), (vec![a, b], vec![1, 1]));
        assert_eq!(seen([a, b, b, b], 1).unwrap().1, [1, 3]);
        for (targets, views) in [([a, b, b, b], 2), ([a; 4], 3), ([a; 4], 0)] {
            assert!(seen(targets, views).is_err());
        }
    }

    #[test]
    fn weights_are_numbers_and_some_row_counts() {
        let rows = Rows::new(&[1.0; 4], 2).unwrap();
        let targets = [0, 1].map(|class| Class::new(class).into());
        let of = |weights: &[f64]| {
            let classed = Classed::new(&Samples { rows: &rows, targets: &targets, weights: Some(weights) }, 2)?;
            classed.check_weights()?;
            Ok::<_, Error>([classed.weight(0), classed.weight(1)])
        };
        assert_eq!(of(&[0.0, 2.5]).unwrap(), [0.0, 2.5]);
        assert!(of(&[1.0]).unwrap_err().to_string().contains("weights has 1 elements, expected 2"));
        assert!(of(&[0.0, 0.0]).unwrap_err().to_string().contains("more than 0 for some"));
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(of(&[1.0, bad]).unwrap_err().to_string().contains("a number of 0 or more"), "{bad}");
        }
    }
}
