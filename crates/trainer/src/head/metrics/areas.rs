//! The areas of each class: how well its probability ranks its photos above all others.

use rayon::prelude::*;

use crate::data::Class;
use crate::head::metrics::average_precision::precision;
use crate::head::metrics::confusion::ClassScore;
use crate::head::metrics::ranked::Ranked;
use crate::head::metrics::roc::area;

/// Photos by their logits, which stay where they are.
#[derive(Default)]
pub(crate) struct Areas<'a> {
    photos: Vec<Photo<'a>>,
}

struct Photo<'a> {
    logits: &'a [f32],
    /// The greatest logit, and by how much it is greater than ln Σ exp(logit) of all others.
    greatest: f64,
    lead: f64,
    /// ln Σ exp(logit − greatest) of all.
    sum: f64,
    truth: Class,
}

impl Photo<'_> {
    /// Computes ln p / (1 − p) of a class, which ranks as p does, and tells apart what p rounds to 1 or to 0.
    fn log_odds(&self, class: usize) -> f64 {
        let below = f64::from(self.logits[class]) - self.greatest;
        if below == 0.0 {
            return self.lead;
        }
        let log_probability = below - self.sum;
        log_probability - (-log_probability.exp()).ln_1p()
    }
}

impl<'a> Areas<'a> {
    /// Adds a photo by its logits, which are finite.
    pub fn add(&mut self, logits: &'a [f32], truth: Class) {
        let first = (1..logits.len()).fold(0, |first, class| if logits[class] > logits[first] { class } else { first });
        let greatest = f64::from(logits[first]);
        let others =
            || logits.iter().enumerate().filter(|(class, _)| *class != first).map(|(_, &logit)| f64::from(logit));
        let next = others().fold(f64::NEG_INFINITY, f64::max);
        let rest: f64 = others().map(|logit| (logit - next).exp()).sum();
        let (lead, sum) = (greatest - next - rest.ln(), (rest * (next - greatest).exp()).ln_1p());
        self.photos.push(Photo { logits, greatest, lead, sum, truth });
    }

    /// Fills in the areas of each class that has photos, one class against all others.
    pub fn fill(&self, scores: &mut [ClassScore]) {
        scores.par_iter_mut().enumerate().filter(|(_, score)| score.support > 0).for_each(|(class, score)| {
            let of_class = |photo: &Photo| (photo.log_odds(class), photo.truth.index() == class);
            let ranked = Ranked::new(self.photos.iter().map(of_class));
            score.roc_area = area(&ranked);
            score.average_precision = precision(&ranked);
        });
    }
}

/// Takes the mean over the classes of which a score is defined; none where it is of none.
pub(crate) fn mean_defined(scores: &[ClassScore], score: fn(&ClassScore) -> Option<f64>) -> Option<f64> {
    let defined: Vec<f64> = scores.iter().filter_map(score).collect();
    (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
}
