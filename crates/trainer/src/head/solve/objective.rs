//! What solvers minimise: the loss of many heads over the same rows, and its gradient.

use crate::error::Result;
use crate::head::options::TrainOptions;
use crate::head::problem::{Classed, Problem, Truths};
use crate::head::standardise::Standard;

/// What heads learn from, and what each row counts for each head.
pub(crate) struct Learning<'a> {
    pub samples: &'a Classed<'a>,
    pub standard: &'a Standard,
    /// What a sample of each class counts besides.
    pub class_weights: &'a [f32],
    /// Share of the target that is spread over all classes.
    pub label_smoothing: f64,
    /// For each head, which folds of the rows it may not learn from: it counts the others.
    pub without: &'a [[Option<usize>; 2]],
    /// The fold of each row.
    pub folds: &'a [usize],
}

impl Learning<'_> {
    /// Computes what each row counts for a head: a share of 1 by the weights of sample and class, and 0 in the folds that it does without.
    pub fn shares(&self, head: usize) -> Vec<f64> {
        let counts = |row: usize| {
            let fold = self.folds.get(row).copied();
            let left_out = fold.is_some() && self.without[head].contains(&fold);
            if left_out { 0.0 } else { self.samples.weight(row) }
        };
        let weight = |row: usize| match &self.samples.truths {
            Truths::Classes(classes) => f64::from(self.class_weights[classes[row].index()]),
            Truths::Sets(_) => 1.0,
        };
        let rows = self.samples.len();
        let all: f64 = (0..rows).map(|row| counts(row) * weight(row)).sum();
        (0..rows).map(|row| if all > 0.0 { counts(row) / all } else { 0.0 }).collect()
    }

    /// Gives what −ln p of a class counts in the loss of a row of one class: v (1 − e) of its own, and v e / K of any, with the weight v of the class.
    pub fn target(&self, row: usize, class: usize) -> f64 {
        let weight = f64::from(self.class_weights[class]);
        let is_own = self.samples.classes()[row].index() == class;
        let own = if is_own { (1.0 - self.label_smoothing) * weight } else { 0.0 };
        self.label_smoothing / self.class_weights.len() as f64 * weight + own
    }
}

/// A problem and its options, ready to be learnt from by any solver: what a [`Learning`] borrows.
pub(crate) struct Posed<'a> {
    pub samples: Classed<'a>,
    pub standard: Standard,
    /// What a sample of each class counts besides.
    pub class_weights: Vec<f32>,
    /// Share of the target that is spread over all classes.
    pub label_smoothing: f64,
}

impl<'a> Posed<'a> {
    /// Checks the training part of a problem, and standardises by it.
    ///
    /// # Errors
    /// As [`Classed::new`], [`Classed::check_weights`] and [`Standard::of`].
    pub fn new(problem: &Problem<'a>, options: &TrainOptions) -> Result<Self> {
        let classes = problem.classes.len();
        let samples = Classed::new(&problem.train, classes)?.seen_in(problem.views)?;
        samples.check_weights()?;
        let standard = Standard::of(samples.rows)?;
        let class_weights = options.class_weights.of(&samples.counts(classes));
        Ok(Self { samples, standard, class_weights, label_smoothing: options.label_smoothing })
    }

    /// Lets one head learn from all rows.
    pub fn learning(&self) -> Learning<'_> {
        Learning {
            samples: &self.samples,
            standard: &self.standard,
            class_weights: &self.class_weights,
            label_smoothing: self.label_smoothing,
            without: &[[None; 2]],
            folds: &[],
        }
    }
}

/// What keeps weights small: `l2 / 2 · Σ u²`, over all weights u = w / scale in the place of those on standardised features, but not the biases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Penalty<'a> {
    /// A number for each feature, and 1 for the bias.
    pub scale: &'a [f64],
    pub l2: f64,
}

impl Penalty<'_> {
    /// Tells whether an element of a head is a weight, and no bias.
    pub fn applies(&self, place: usize) -> bool {
        place % self.scale.len() + 1 < self.scale.len()
    }

    /// Computes u of weights on standardised features.
    pub fn scaled(&self, weights: &[f64]) -> Vec<f64> {
        weights.iter().zip(self.scale.iter().cycle()).map(|(w, scale)| w / scale).collect()
    }

    /// Computes the weights on standardised features of u.
    pub fn unscaled(&self, u: &[f64]) -> Vec<f64> {
        u.iter().zip(self.scale.iter().cycle()).map(|(u, scale)| u * scale).collect()
    }

    /// Adds itself to the loss at u, whose gradient comes by the weights on standardised features and goes by u.
    pub fn add(&self, u: &[f64], loss: &mut Loss) {
        for (place, (slope, u)) in loss.gradient.iter_mut().zip(u).enumerate() {
            *slope *= self.scale[place % self.scale.len()];
            if self.applies(place) {
                *slope += self.l2 * u;
                loss.value += 0.5 * self.l2 * u * u;
            }
        }
    }
}

/// The loss of a head, and its gradient.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loss {
    pub value: f64,
    /// `[classes, width + 1]`, the bias last.
    pub gradient: Vec<f64>,
}

/// Computes losses and gradients of as many heads at once as there are, over all rows.
///
/// With shares r of the rows, class weights v, smoothing e, K classes and p the softmax of W z + b, z being a row's standardised features:
/// `loss = Σ over rows of r (−(1 − e) v[y] ln p[y] − e/K Σ over c of v[c] ln p[c])`. Where rows are of sets Y of classes, p is the sigmoid of each class by itself, and
/// `loss = Σ over rows of r (−Σ over c in Y of ln p[c] − Σ over the others of ln (1 − p[c]))`.
pub(crate) trait Objective {
    /// Computes the loss of each of some heads, `[classes, width + 1]` with the bias last. `which` says their numbers among all heads of the
    /// [`Learning`]: those that are solved needn't be computed any more.
    ///
    /// # Errors
    /// The device is lost.
    fn evaluate(&mut self, which: &[usize], heads: &[Vec<f64>]) -> Result<Vec<Loss>>;

    /// Says what share of a loss its rounding may be.
    fn noise(&self) -> f64;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::data::{Class, Target};
    use crate::features::Rows;
    use crate::head::problem::Samples;
    use crate::random::SplitMix64;

    /// Works with something to learn from, by three heads that do without none of three folds, one and two; and with some weights of theirs. Samples and
    /// classes are weighed, and targets smoothed.
    pub fn on_rows<T>(sizes: [usize; 3], work: impl FnOnce(&Learning<'_>, &[Vec<f64>]) -> T) -> T {
        let class = |row: usize| Class::new(row * row % sizes[2]).into();
        on_targets(sizes, class, (&|class| 0.5 + class as f32, 0.1), work)
    }

    /// Works with something to learn from likewise, of which rows are of sets of classes, in which each second one is of none; neither are classes weighed nor targets smoothed.
    pub fn on_sets<T>(sizes: [usize; 3], work: impl FnOnce(&Learning<'_>, &[Vec<f64>]) -> T) -> T {
        let is_of = |row: usize, class: usize| (row * row + 3 * class) % 5 < row % 2 * 3;
        let set = |row| Target::Set((0..sizes[2]).filter(|&class| is_of(row, class)).map(Class::new).collect());
        on_targets(sizes, set, (&|_| 1.0, 0.0), work)
    }

    fn on_targets<T>(
        [rows, width, classes]: [usize; 3],
        target: impl Fn(usize) -> Target,
        (class_weight, label_smoothing): (&dyn Fn(usize) -> f32, f64),
        work: impl FnOnce(&Learning<'_>, &[Vec<f64>]) -> T,
    ) -> T {
        let mut random = SplitMix64(rows as u64);
        let mut number = move || (random.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0;
        let features: Vec<f32> = (0..rows * width).map(|_| 5.0 + 3.0 * number()).collect();
        let targets: Vec<Target> = (0..rows).map(target).collect();
        let weights: Vec<f64> = (0..rows).map(|row| (row % 5) as f64).collect();
        let all = Rows::new(&features, width).unwrap();
        let samples = Samples { rows: &all, targets: &targets, weights: Some(&weights) };
        let learning = Learning {
            samples: &Classed::new(&samples, classes).unwrap(),
            standard: &Standard::of(&all).unwrap(),
            class_weights: &(0..classes).map(class_weight).collect::<Vec<_>>(),
            label_smoothing,
            without: &[[None; 2], [Some(1), None], [Some(0), Some(2)]],
            folds: &(0..rows).map(|row| row % 3).collect::<Vec<_>>(),
        };
        let mut head = || (0..classes * (width + 1)).map(|_| f64::from(number())).collect();
        work(&learning, &[head(), head(), head()])
    }
}
