//! Thresholds: from which probability on a photo counts as of a class, where it may be of several.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::data::Class;
use crate::head::sigmoid::above;

/// So many photos a class must have for its threshold to be chosen, and so many it must not have: of fewer, chance would choose it.
pub(crate) const LEAST: usize = 10;

/// Logits of photos by heads that didn't learn from them, and what is true of each.
#[derive(Clone, Copy)]
pub(crate) struct Judged<'a> {
    /// `[photos, classes]`.
    pub logits: &'a [f32],
    /// The classes of each photo.
    pub sets: &'a [&'a [Class]],
}

impl Judged<'_> {
    fn width(&self) -> usize {
        self.logits.len() / self.sets.len().max(1)
    }

    /// Chooses for each class the cut of its logits that has the greatest F1 on some of the photos, as [`best`] does. None where fewer than [`LEAST`] of them are of the class, or aren't.
    pub fn cuts(&self, counts: impl Fn(usize) -> bool + Sync) -> Vec<Option<f64>> {
        let width = self.width();
        let cut = |class: usize| {
            let photos = (0..self.sets.len()).filter(|&photo| counts(photo));
            let of_class = |photo: usize| {
                (f64::from(self.logits[photo * width + class]), self.sets[photo].contains(&Class::new(class)))
            };
            let scores: Vec<(f64, bool)> = photos.map(of_class).collect();
            let positives = scores.iter().filter(|(_, positive)| *positive).count();
            (positives >= LEAST && scores.len() - positives >= LEAST).then(|| best(scores))
        };
        (0..width).into_par_iter().map(cut).collect()
    }

    /// Names the classes of each photo by cuts that were chosen on the photos of other folds alone.
    pub fn named(&self, folds: &[usize]) -> Vec<Vec<Class>> {
        let mut named = vec![Vec::new(); self.sets.len()];
        for fold in 0..folds.iter().max().map_or(0, |most| most + 1) {
            let cuts = self.cuts(|photo| folds[photo] != fold);
            for (photo, logits) in self.logits.chunks_exact(self.width().max(1)).enumerate() {
                if folds[photo] == fold {
                    named[photo] = above(logits, cuts.iter().map(|cut| cut.unwrap_or(0.0)));
                }
            }
        }
        named
    }
}

/// Finds the cut that has the greatest F1, 2 TP / (2 TP + FP + FN), where a score at or above it counts as positive: in the middle between two neighbours, but 0, which is a probability of 0.5, where that
/// lies between them. Of equals the one nearest to 0.
///
/// # Reference
/// Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", 2014.
fn best(mut scores: Vec<(f64, bool)>) -> f64 {
    scores.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
    let positives = scores.iter().filter(|(_, positive)| *positive).count();
    let (mut hits, mut all) = (0, 0);
    let mut found = (0.0, 0.0);
    let mut steps = scores.chunk_by(|(a, _), (b, _)| a == b).peekable();
    while let Some(equal) = steps.next() {
        hits += equal.iter().filter(|(_, positive)| *positive).count();
        all += equal.len();
        let f1 = 2.0 * hits as f64 / (all + positives) as f64;
        let (score, next) = (equal[0].0, steps.peek().map(|next| next[0].0));
        let cut = match next {
            _ if score >= 0.0 && next.is_none_or(|next| next < 0.0) => 0.0,
            Some(next) => f64::midpoint(score, next),
            None => score,
        };
        let nearer = |found: f64| f64::total_cmp(&cut.abs(), &found.abs()) == Ordering::Less;
        if f1 > found.0 || (f1 == found.0 && nearer(found.1)) {
            found = (f1, cut);
        }
    }
    found.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    fn f1(scores: &[(f64, bool)], cut: f64) -> f64 {
        let count = |is: &dyn Fn(bool, bool) -> bool| {
            scores.iter().filter(|(score, positive)| is(*score >= cut, *positive)).count() as f64
        };
        let (hits, wrong) = (count(&|named, positive| named && positive), count(&|named, positive| named != positive));
        if hits == 0.0 { 0.0 } else { 2.0 * hits / (2.0 * hits + wrong) }
    }

    #[test]
    fn no_other_cut_has_a_greater_f1() {
        for round in 0..200u64 {
            let mut random = SplitMix64(round);
            let mut below = |most: u64| random.bits() % most;
            // Few values, so that many are equal.
            let scores: Vec<(f64, bool)> = (0..40).map(|_| (below(12) as f64 - 6.0, below(3) == 0)).collect();
            if scores.iter().all(|(_, positive)| !positive) {
                continue;
            }
            let found = best(scores.clone());
            let greatest = (-30..30).map(|cut| f1(&scores, 0.25 * f64::from(cut))).fold(0.0, f64::max);
            assert!((f1(&scores, found) - greatest).abs() < 1e-15, "{round}: {found}");
            // What multiplies all scores multiplies the cut: a temperature changes no decision.
            let scaled = scores.iter().map(|(score, positive)| (0.25 * score, *positive)).collect();
            assert_eq!(best(scaled), 0.25 * found);
        }
    }

    #[test]
    fn a_half_stays_where_it_is_as_good() {
        assert_eq!(best(vec![(3.0, true), (1.0, true), (-2.0, false)]), 0.0);
        assert_eq!(best(vec![(3.0, true), (1.0, false), (-2.0, false)]), 2.0);
        assert_eq!(best(vec![(-1.0, true), (-2.0, true), (-4.0, false)]), -3.0);
        assert_eq!(best(vec![(-1.0, true), (-2.0, true)]), -2.0);
    }

    #[test]
    fn a_fold_has_no_say_in_its_own_cuts_and_a_rare_class_keeps_a_half() {
        // Of class 0 each photo of an even number, by 2 or more; class 1 is rare.
        let (photos, classes) = (60, [0, 1].map(Class::new));
        let logits: Vec<f32> = (0..photos).flat_map(|photo| [if photo % 2 == 0 { 2.0 } else { 1.0 }, -1.0]).collect();
        let sets: Vec<&[Class]> = (0..photos)
            .map(|photo| if photo % 2 == 0 { &classes[..1 + usize::from(photo == 0)] } else { &[] })
            .collect();
        let judged = Judged { logits: &logits, sets: &sets };
        assert_eq!(judged.cuts(|_| true), [Some(1.5), None]);
        let folds: Vec<usize> = (0..photos).map(|photo| photo / 2 % 3).collect();
        let named = judged.named(&folds);
        assert!((0..photos).all(|photo| named[photo] == if photo % 2 == 0 { &classes[..1] } else { &[] }));
        // Other truths of a fold change what is named in others, and nothing in itself.
        let turned: Vec<&[Class]> = (0..photos)
            .map(|photo| match folds[photo] {
                0 => &classes[..photo % 2],
                _ => sets[photo],
            })
            .collect();
        let other = Judged { sets: &turned, ..judged }.named(&folds);
        assert!((0..photos).all(|photo| (other[photo] == named[photo]) || folds[photo] != 0));
        assert_ne!(other, named);
    }
}
