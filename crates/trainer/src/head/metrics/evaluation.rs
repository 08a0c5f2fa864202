//! An evaluation: all metrics over a set of photos, as `metrics.json` holds them.

use serde::{Deserialize, Serialize};

use crate::head::metrics::baseline::Baseline;
use crate::head::metrics::calibration::Bin;
use crate::head::metrics::confusion::ClassScore;
use crate::head::metrics::figure::Figure;

/// How good a classifier is on a set of photos. Shares are in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How many photos were evaluated.
    pub count: usize,
    /// Share whose most probable class is the true one; where photos may be of several, of which just those are named that are true.
    pub top1: f64,
    /// 95 % confidence interval of `top1` by Wilson's score, from `count` alone.
    pub top1_interval: [f64; 2],
    /// Share whose true class is among the five most probable; says nothing where there are no more than five classes. None where photos may be of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5: Option<f64>,
    /// What is reached by always guessing the class most frequent in training.
    pub baseline: Baseline,
    /// The share that has the class of its nearest neighbour among the photos that were learnt from, by cosine similarity of features, where that was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest_neighbour: Option<f64>,
    /// Mean of -ln p(true class), in nats; where photos may be of several, of -ln p of what is true, the sum over all classes.
    pub log_loss: f64,
    /// Expected calibration error: mean distance of confidence from accuracy over 15 equal bins of confidence.
    pub calibration_error: f64,
    /// 95 % interval of `calibration_error`; absent in evaluations of earlier versions, as is all that may be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_interval: Option<[f64; 2]>,
    /// The reliability curve, by bins of confidence.
    #[serde(default)]
    pub reliability: Vec<Bin>,
    /// Mean recall over the classes that have photos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy: Option<f64>,
    /// 95 % interval of `balanced_accuracy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy_interval: Option<[f64; 2]>,
    /// Mean over the classes of the area under the ROC, each class against all others, where it is defined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roc_area: Option<f64>,
    /// Mean over the classes of the average precision, where it is defined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_precision: Option<f64>,
    /// Mean precision over the classes that occur among labels or predictions.
    pub macro_precision: f64,
    /// Mean recall over the same classes.
    pub macro_recall: f64,
    /// Mean F1 over the same classes.
    pub macro_f1: f64,
    /// The scores of each class, in the order of the labels.
    pub classes: Vec<ClassScore>,
    /// The confusion matrix without its zeros, row by row: `[t, p, photos]` are those of class t taken for class p.
    pub confusion: Vec<[usize; 3]>,
    /// What there is besides where photos may be of several classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_sets: Option<OfSets>,
    /// The figures among all these, each with its unit, its direction and its interval, in the order in which they are shown.
    #[serde(default)]
    pub figures: Vec<Figure>,
}

/// What an evaluation has besides where photos may be of several classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfSets {
    /// F1 over all classes of all photos.
    pub micro_f1: f64,
    /// Its 95 % interval.
    pub micro_f1_interval: [f64; 2],
    /// The share of all answers, one for each class of each photo, that is wrong.
    pub hamming_loss: f64,
    /// Its 95 % interval.
    pub hamming_loss_interval: [f64; 2],
    /// What a score that says nothing has for the mean average precision: the mean share of photos over the classes that have some.
    pub prior_average_precision: f64,
}

impl Evaluation {
    /// Spells out the confusion matrix: `[t][p]` counts photos of class t taken for class p.
    ///
    /// # Panics
    /// A cell is beyond the classes, as in no evaluation that [`evaluate`](crate::head::metrics::evaluate) made.
    pub fn matrix(&self) -> Vec<Vec<usize>> {
        let mut matrix = vec![vec![0; self.classes.len()]; self.classes.len()];
        self.confusion.iter().for_each(|&[truth, predicted, photos]| matrix[truth][predicted] = photos);
        matrix
    }

    /// Tells whether the class with the most photos has more than 1.5 times those of the class with the fewest, of those that have some.
    pub fn is_uneven(&self) -> bool {
        let supports = || self.classes.iter().map(|class| class.support).filter(|support| *support > 0);
        let (most, fewest) = (supports().max().unwrap_or(0), supports().min().unwrap_or(0));
        2 * most > 3 * fewest
    }

    /// Finds the class that has photos and the lowest F1, the first of equals; none where all photos are right.
    pub fn worst(&self) -> Option<&ClassScore> {
        let with_photos = self.classes.iter().filter(|class| class.support > 0);
        with_photos.min_by(|a, b| a.f1.total_cmp(&b.f1)).filter(|class| class.f1 < 1.0)
    }
}
