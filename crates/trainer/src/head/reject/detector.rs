//! Tells of new photos whether they are like the known ones, by the score that was chosen.

use std::collections::BTreeSet;

use crate::data::Class;
use crate::error::{Error, Result};
use crate::features::Rows;
use crate::head::cosine::scales;
use crate::head::reject::choose::{Known, Score};
use crate::head::reject::gaussian::Gaussian;
use crate::head::reject::logits::{energy, probability};
use crate::head::reject::neighbours::{similarity, similarity_by};

/// What is said of a photo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// What is measured.
    pub score: Score,
    /// The photo's score: the greater, the more it is like the known ones.
    pub value: f64,
    /// Below this it is none of these; none where there are too few photos to say.
    pub threshold: Option<f64>,
}

impl Verdict {
    /// Tells whether the photo is like the known ones, where that can be told.
    pub fn is_known(&self) -> Option<bool> {
        self.threshold.map(|threshold| self.value >= threshold)
    }
}

/// Scores photos by what is known.
#[derive(Clone, Debug)]
pub struct Detector {
    score: Score,
    threshold: Option<f64>,
    by: By,
}

/// What a score needs.
#[derive(Clone, Debug)]
enum By {
    Features { values: Vec<f32>, width: usize, scales: Vec<f64> },
    Gaussian(Gaussian),
    Logits,
}

impl Detector {
    /// Prepares a score with its threshold, given the features of known photos, `[photos, width]`, and the class of each.
    ///
    /// # Errors
    /// As [`Gaussian::fit`], where the score is the distance; the features aren't whole rows.
    pub fn new(
        (score, threshold): (Score, Option<f64>),
        features: &[f32],
        width: usize,
        classes: &[Class],
    ) -> Result<Self> {
        let rows = Rows::new(features, width)?;
        let by = match score {
            Score::Similarity => By::Features { values: features.to_vec(), width, scales: scales(&rows) },
            Score::Distance => By::Gaussian(Gaussian::fit(&rows, classes)?),
            Score::Energy | Score::Probability => By::Logits,
        };
        Ok(Self { score, threshold, by })
    }

    /// Judges photos by their features and the logits of the head.
    ///
    /// # Shapes
    /// `rows` is `[photos, width]`, `logits` holds a row for each.
    ///
    /// # Errors
    /// The rows have another width, or there aren't logits for each; a score isn't finite.
    pub fn judge(&self, rows: &Rows, logits: &[&[f32]]) -> Result<Vec<Verdict>> {
        if rows.len() != logits.len() {
            let (expected, got) = (rows.len(), logits.len());
            return Err(Error::Shape { operation: "judge photos", operand: "logits", expected, got });
        }
        let values = match &self.by {
            By::Features { values, width, scales } => {
                similarity_by(rows, (&Rows::new(values, *width)?, scales), |_, _| false)?
            }
            By::Gaussian(gaussian) => gaussian.scores(rows)?,
            By::Logits => of_logits(self.score, logits.iter().copied()),
        };
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { operation: "judge photos", what: format!("the score of row {row}") });
        }
        let Self { score, threshold, .. } = *self;
        Ok(values.into_iter().map(|value| Verdict { score, value, threshold }).collect())
    }
}

/// Computes a score of logits, row by row.
fn of_logits<'a>(score: Score, logits: impl Iterator<Item = &'a [f32]>) -> Vec<f64> {
    match score {
        Score::Probability => logits.map(probability).collect(),
        _ => logits.map(energy).collect(),
    }
}

/// Computes the scores of some known photos, `judged`, each by what the folds without it know: as new photos would have, from which
/// [`threshold`](crate::head::reject::threshold) follows.
///
/// # Shapes
/// `logits` is `[rows, classes]`: those of heads that didn't learn from the row.
///
/// # Errors
/// There isn't a class, a fold and a row of logits for each; a row has nothing left to be compared with; what [`similarity`] and [`Gaussian`] refuse.
pub fn out_of_fold(score: Score, known: &Known, judged: &[usize], logits: &[f32]) -> Result<Vec<f64>> {
    let Known { rows, classes, folds } = *known;
    let count = rows.len();
    let shape = |operand, got| Err(Error::Shape { operation: "judge known photos", operand, expected: count, got });
    if classes.len() != count || folds.len() != count {
        return shape("classes and folds", classes.len().min(folds.len()));
    }
    if logits.is_empty() || !logits.len().is_multiple_of(count) {
        return shape("logits", logits.len());
    }
    match score {
        Score::Similarity => {
            let hidden = |row: usize, other: usize| folds[judged[row]] == folds[other];
            similarity(&rows.select(judged.iter().copied()), rows, hidden)
        }
        Score::Distance => {
            let mut scores = vec![0.0; judged.len()];
            for fold in judged.iter().map(|&row| folds[row]).collect::<BTreeSet<_>>() {
                let others: Vec<usize> = (0..count).filter(|&row| folds[row] != fold).collect();
                let learnt: Vec<Class> = others.iter().map(|&row| classes[row]).collect();
                let gaussian = Gaussian::fit(&rows.select(others), &learnt)?;
                let own: Vec<usize> = (0..judged.len()).filter(|&place| folds[judged[place]] == fold).collect();
                let found = gaussian.scores(&rows.select(own.iter().map(|&place| judged[place])))?;
                own.iter().zip(found).for_each(|(&place, score)| scores[place] = score);
            }
            Ok(scores)
        }
        Score::Energy | Score::Probability => {
            let width = logits.len() / count;
            Ok(of_logits(score, judged.iter().map(|&row| &logits[row * width..][..width])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    /// Two classes in a plane, each around its own axis; folds in turn.
    fn drawn(photos: usize) -> (Vec<f32>, Vec<Class>, Vec<usize>) {
        let mut random = SplitMix64(3);
        let mut noise = || (random.bits() % 1000) as f32 / 5000.0;
        let features = (0..photos).flat_map(|photo| match photo % 2 {
            0 => [1.0 + noise(), noise()],
            _ => [noise(), 1.0 + noise()],
        });
        (
            features.collect(),
            (0..photos).map(|photo| Class::new(photo % 2)).collect(),
            (0..photos).map(|photo| photo / 2 % 3).collect(),
        )
    }

    #[test]
    fn what_is_unlike_is_told_by_features_and_by_logits() {
        let (features, classes, folds) = drawn(60);
        let rows = Rows::new(&features, 2).unwrap();
        let known = Known { rows: &rows, classes: &classes, folds: &folds };
        let logits: Vec<f32> = features.iter().map(|value| 8.0 * value).collect();
        let all: Vec<usize> = (0..60).collect();
        // One of each class, and one that is like neither.
        let new = [1.1, 0.1, 0.1, 1.0, -1.0, -0.5];
        let new = Rows::new(&new, 2).unwrap();
        let said: [&[f32]; 3] = [&[9.0, 0.5], &[0.5, 9.0], &[0.1, 0.0]];
        for score in [Score::Similarity, Score::Distance, Score::Energy, Score::Probability] {
            let scores = out_of_fold(score, &known, &all, &logits).unwrap();
            let threshold = crate::head::reject::threshold(&scores, 0.05).unwrap();
            let detector = Detector::new((score, Some(threshold)), &features, 2, &classes).unwrap();
            let verdicts = detector.judge(&new, &said).unwrap();
            let known: Vec<_> = verdicts.iter().map(Verdict::is_known).collect();
            assert_eq!(known, [Some(true), Some(true), Some(false)], "{score:?} {verdicts:?}");
            let unsaid = Detector::new((score, None), &features, 2, &classes).unwrap();
            assert_eq!(unsaid.judge(&new, &said).unwrap()[2].is_known(), None);
            // Some are scored as all are.
            assert_eq!(
                out_of_fold(score, &known_of(&rows, &classes, &folds), &[7, 3], &logits).unwrap(),
                [scores[7], scores[3]]
            );
        }
    }

    fn known_of<'a>(rows: &'a Rows<'a>, classes: &'a [Class], folds: &'a [usize]) -> Known<'a> {
        Known { rows, classes, folds }
    }

    #[test]
    fn a_photo_is_not_compared_with_its_own_fold() {
        // Row 0 has its copy in its own fold alone.
        let features = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        let (rows, folds) = (Rows::new(&features, 2).unwrap(), [0, 0, 1, 2]);
        let classes = [0, 0, 1, 1].map(Class::new);
        let known = Known { rows: &rows, classes: &classes, folds: &folds };
        let scores = out_of_fold(Score::Similarity, &known, &[0, 2], &[0.0; 8]).unwrap();
        assert!(scores[0] == 0.0 && scores[1] > 0.3, "{scores:?}");
        assert!(out_of_fold(Score::Similarity, &known, &[0], &[0.0; 7]).is_err());
        assert!(out_of_fold(Score::Similarity, &Known { folds: &[0; 4], ..known }, &[0], &[0.0; 8]).is_err());
        let detector = Detector::new((Score::Similarity, None), &features, 2, &classes).unwrap();
        assert!(detector.judge(&rows, &[]).is_err());
    }
}
