//! Confusion: which class is taken for which, and what follows for each class: precision, recall, F1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::Class;
use crate::head::metrics::accuracy::share;

/// One class's scores. A share of nothing (no photo, or none predicted) counts as 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Its label.
    pub label: String,
    /// Precision: TP / (TP + FP).
    pub precision: f64,
    /// Recall: TP / (TP + FN).
    pub recall: f64,
    /// Harmonic mean of both: 2 TP / (2 TP + FP + FN).
    pub f1: f64,
    /// How many photos it has.
    pub support: usize,
    /// How many photos were taken for it.
    pub predicted: usize,
    /// The area under the ROC of its probability, its photos against all others; absent where it has no photos, or all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roc_area: Option<f64>,
    /// The average precision of its probability; absent where it has no photos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_precision: Option<f64>,
    /// From which probability on a photo counts as of it, where it may be of several classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

impl ClassScore {
    /// Scores a class of which so many photos are right, so many there are, and so many were taken for it; areas aren't known.
    pub(crate) fn of(label: &str, hits: usize, [support, predicted]: [usize; 2]) -> Self {
        Self {
            label: label.to_owned(),
            precision: share(hits, predicted),
            recall: share(hits, support),
            f1: share(2 * hits, support + predicted),
            support,
            predicted,
            ..Self::default()
        }
    }
}

/// Photos of class t taken for class p, at (t, p): what doesn't occur isn't stored, since with many classes that is nearly all.
#[derive(Default)]
pub(crate) struct Confusion(BTreeMap<(usize, usize), usize>);

impl Confusion {
    /// Adds a photo.
    pub fn add(&mut self, predicted: Class, truth: Class) {
        *self.0.entry((truth.index(), predicted.index())).or_default() += 1;
    }

    /// Lists what occurs, by true class, then by predicted: `[true, predicted, photos]`.
    pub fn cells(&self) -> Vec<[usize; 3]> {
        self.0.iter().map(|(&(truth, predicted), &photos)| [truth, predicted, photos]).collect()
    }

    /// Computes the scores of each class.
    pub fn scores(&self, labels: &[String]) -> Vec<ClassScore> {
        let (mut supports, mut predictions) = (vec![0; labels.len()], vec![0; labels.len()]);
        for (&(truth, predicted), photos) in &self.0 {
            supports[truth] += photos;
            predictions[predicted] += photos;
        }
        let score = |(class, label): (usize, &String)| {
            let hits = self.0.get(&(class, class)).copied().unwrap_or(0);
            ClassScore::of(label, hits, [supports[class], predictions[class]])
        };
        labels.iter().enumerate().map(score).collect()
    }
}

/// Takes the mean of a score over the classes that occur among true or predicted ones; 0 where none does.
pub(crate) fn macro_mean(scores: &[ClassScore], score: fn(&ClassScore) -> f64) -> f64 {
    let occurring: Vec<_> = scores.iter().filter(|score| score.support + score.predicted > 0).collect();
    occurring.iter().map(|of_class| score(of_class)).sum::<f64>() / occurring.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-12, "{got} is not {expected}");
    }

    fn confusion(classes: usize, pairs: &[(usize, usize)]) -> (Confusion, Vec<ClassScore>) {
        let mut confusion = Confusion::default();
        pairs.iter().for_each(|&(predicted, truth)| confusion.add(Class::new(predicted), Class::new(truth)));
        let labels: Vec<String> = (0..classes).map(|class| format!("c{class}")).collect();
        let scores = confusion.scores(&labels);
        (confusion, scores)
    }

    /// y = 0 0 0 1 1 2 2 2 2 2, prediction 0 0 1 1 2 2 2 2 0 1: counted by hand.
    #[test]
    fn scores_by_hand() {
        let (truth, predicted) = ([0, 0, 0, 1, 1, 2, 2, 2, 2, 2], [0, 0, 1, 1, 2, 2, 2, 2, 0, 1]);
        let pairs: Vec<_> = predicted.into_iter().zip(truth).collect();
        let (confusion, scores) = confusion(3, &pairs);
        let cells = [[0, 0, 2], [0, 1, 1], [1, 1, 1], [1, 2, 1], [2, 0, 1], [2, 1, 1], [2, 2, 3]];
        assert_eq!(confusion.cells(), cells);
        let expected =
            [(2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 3, 3), (1.0 / 3.0, 0.5, 0.4, 2, 3), (0.75, 0.6, 2.0 / 3.0, 5, 4)];
        for (score, (precision, recall, f1, support, predicted)) in scores.iter().zip(expected) {
            close(score.precision, precision);
            close(score.recall, recall);
            close(score.f1, f1);
            assert_eq!((score.support, score.predicted), (support, predicted));
        }
        close(macro_mean(&scores, |score| score.precision), 7.0 / 12.0);
        close(macro_mean(&scores, |score| score.recall), 53.0 / 90.0);
        close(macro_mean(&scores, |score| score.f1), 26.0 / 45.0);
    }

    #[test]
    fn classes_that_do_not_occur_are_left_out_of_means_and_shares_of_nothing_are_zero() {
        // c1 is predicted and has no photos, c2 does not occur at all.
        let (_, scores) = confusion(3, &[(0, 0), (1, 0)]);
        close(macro_mean(&scores, |score| score.precision), 0.5);
        close(macro_mean(&scores, |score| score.recall), 0.25);
        assert_eq!((scores[2].precision, scores[2].recall, scores[2].f1), (0.0, 0.0, 0.0));
    }
}
