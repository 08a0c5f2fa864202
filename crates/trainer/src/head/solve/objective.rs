//! What solvers minimise: the loss of many heads over the same rows, and its gradient.

use crate::error::Result;
use crate::head::problem::Classed;
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
        let weight = |row: usize| f64::from(self.class_weights[self.samples.classes[row].index()]);
        let rows = self.samples.classes.len();
        let all: f64 = (0..rows).map(|row| counts(row) * weight(row)).sum();
        (0..rows).map(|row| if all > 0.0 { counts(row) / all } else { 0.0 }).collect()
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
/// `loss = Σ over rows of r (−(1 − e) v[y] ln p[y] − e/K Σ over c of v[c] ln p[c])`.
pub(crate) trait Objective {
    /// Computes the loss of each head, `[classes, width + 1]` with the bias last.
    ///
    /// # Errors
    /// The device is lost.
    fn evaluate(&mut self, heads: &[Vec<f64>]) -> Result<Vec<Loss>>;

    /// Says what share of a loss its rounding may be.
    fn noise(&self) -> f64;
}
