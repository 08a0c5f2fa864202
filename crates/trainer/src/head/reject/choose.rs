//! Chooses the score that tells unknown photos best, without a single one: each class in turn plays the unknown.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::data::Class;
use crate::error::{Error, Result};
use crate::features::Rows;
use crate::head::metrics::roc_area;
use crate::head::reject::gaussian::Gaussian;
use crate::head::reject::logits::{energy, probability};
use crate::head::reject::neighbours::similarity;

/// So many classes play the unknown at most: a mean over more costs as much again and says little more.
const TRIALS: usize = 20;

/// A score by which photos are told to be none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Score {
    /// [`similarity`] to the nearest known photos.
    Similarity,
    /// [`Gaussian::scores`].
    Distance,
    /// [`energy`].
    Energy,
    /// [`probability`].
    Probability,
}

impl Score {
    /// Names it in plain text, as JSON does.
    pub fn name(self) -> &'static str {
        match self {
            Self::Similarity => "similarity",
            Self::Distance => "distance",
            Self::Energy => "energy",
            Self::Probability => "probability",
        }
    }
}

/// Known photos.
///
/// # Shapes
/// `[rows, width]`, `[rows]` and `[rows]`.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Their features.
    pub rows: &'a Rows<'a>,
    /// Their classes.
    pub classes: &'a [Class],
    /// Their folds, as for cross-validation: copies and photos of one group are in one.
    pub folds: &'a [usize],
}

/// The covariance of more features than these takes longer to factor, trial by trial, than all else.
const WIDE: usize = 1024;

/// A trial: which class plays the unknown, what may be learnt from, and what is judged. The numbers are those of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The class that plays the unknown.
    pub unknown: Class,
    /// Rows of the other classes, but for one fold.
    pub learnt: Vec<usize>,
    /// Rows of the other classes in that fold, then all of the class: what a good score tells apart.
    pub judged: Vec<usize>,
    /// How many of those judged are of the other classes.
    pub known: usize,
}

/// The score that was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// It has the greatest mean area, and is the first of equals.
    pub score: Score,
    /// The mean area under the ROC, known against unknown, of each score that was tried.
    pub areas: Vec<(Score, f64)>,
    /// How many classes played the unknown.
    pub trials: usize,
}

/// Chooses the score that tells best which photos are unknown, by the mean area under the ROC over trials: a class plays the unknown, the known of a fold are
/// judged with it by what is learnt from the other folds, without that class. Of more than 20 classes, 20 play, spread evenly over their numbers. Of more than 1,024 features the distance isn't tried.
///
/// `logits` learns a head from `trial.learnt`, which has one class less, and gives its logits of `trial.judged`, `[judged, classes]`. Logits of a head that has learnt from the
/// class would flatter energy and probability: it has learnt to tell that very class from the others.
///
/// Of two classes, one is left where the other plays the unknown, and a head of one class says nothing: similarity and distance alone are tried, and `logits` isn't called.
///
/// # Reference
/// The protocol is that of open set recognition: Neal, Olson, Fern, Wong and Li, "Open set learning with counterfactual images", 2018, section 4.
///
/// # Errors
/// There are fewer than two classes, or not a class and a fold for each row; no trial has photos of both kinds to judge and photos to learn from; logits aren't a row for each
/// photo; what [`similarity`] and [`Gaussian`] refuse, or `logits`.
pub fn choose(known: &Known, mut logits: impl FnMut(&Trial) -> Result<Vec<f32>>) -> Result<Choice> {
    let trials = trials(known)?;
    let classes = known.classes.iter().collect::<BTreeSet<_>>().len();
    let mut scores = match classes {
        2 => vec![Score::Similarity, Score::Distance],
        _ => vec![Score::Similarity, Score::Distance, Score::Energy, Score::Probability],
    };
    if known.rows.width() > WIDE {
        scores.retain(|score| *score != Score::Distance);
    }
    let scores = &scores[..];
    let mut sums = vec![0.0; scores.len()];
    for trial in &trials {
        let (learnt, judged) =
            (known.rows.select(trial.learnt.iter().copied()), known.rows.select(trial.judged.iter().copied()));
        let classes: Vec<Class> = trial.learnt.iter().map(|&row| known.classes[row]).collect();
        let said = if scores.contains(&Score::Energy) { logits(trial)? } else { Vec::new() };
        if scores.contains(&Score::Energy) && (said.is_empty() || !said.len().is_multiple_of(trial.judged.len())) {
            let (expected, got) = (trial.judged.len(), said.len());
            return Err(Error::Shape { operation: "choose a score", operand: "logits", expected, got });
        }
        let of_logits =
            |score: fn(&[f32]) -> f64| said.chunks_exact(said.len() / trial.judged.len()).map(score).collect();
        for (score, sum) in scores.iter().zip(&mut sums) {
            let values: Vec<f64> = match score {
                Score::Similarity => similarity(&judged, &learnt, |_, _| false)?,
                Score::Distance => Gaussian::fit(&learnt, &classes)?.scores(&judged)?,
                Score::Energy => of_logits(energy),
                Score::Probability => of_logits(probability),
            };
            let (own, other) = values.split_at(trial.known);
            *sum += roc_area(own, other).expect("a trial has photos of both kinds");
        }
    }
    let areas: Vec<(Score, f64)> =
        scores.iter().zip(sums).map(|(&score, sum)| (score, sum / trials.len() as f64)).collect();
    let best = areas.iter().copied().reduce(|best, next| if next.1 > best.1 { next } else { best });
    let (score, _) = best.expect("some score was tried");
    Ok(Choice { score, areas, trials: trials.len() })
}

/// Lists the trials: the n-th class plays with the n-th fold, and so on in turn. One that has nothing to learn from or to judge is left out.
fn trials(known: &Known) -> Result<Vec<Trial>> {
    let shape = |operand, expected, got| Err(Error::Shape { operation: "choose a score", operand, expected, got });
    let Known { rows, classes, folds } = *known;
    if classes.len() != rows.len() {
        return shape("classes", rows.len(), classes.len());
    }
    if folds.len() != rows.len() {
        return shape("folds", rows.len(), folds.len());
    }
    let distinct: Vec<Class> = classes.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let all_folds: Vec<usize> = folds.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    if distinct.len() < 2 {
        return shape("distinct classes", 2, distinct.len());
    }
    let playing = distinct.len().min(TRIALS);
    let trial = |number: usize| {
        let unknown = distinct[number * distinct.len() / playing];
        let fold = all_folds[number % all_folds.len()];
        let rows_where = |keep: &dyn Fn(usize) -> bool| (0..classes.len()).filter(|&row| keep(row)).collect::<Vec<_>>();
        let learnt = rows_where(&|row| classes[row] != unknown && folds[row] != fold);
        let mut judged = rows_where(&|row| classes[row] != unknown && folds[row] == fold);
        let known = judged.len();
        judged.extend(rows_where(&|row| classes[row] == unknown));
        Trial { unknown, learnt, judged, known }
    };
    let trials: Vec<Trial> =
        (0..playing).map(trial).filter(|trial| !trial.learnt.is_empty() && trial.known > 0).collect();
    if trials.is_empty() { shape("folds", 2, all_folds.len()) } else { Ok(trials) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    /// Rows of so many classes around directions of their own, in five folds.
    fn world(classes: usize, each: usize, noise: f32) -> (Vec<f32>, Vec<Class>, Vec<usize>) {
        let mut random = SplitMix64(21);
        let mut even = || (random.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        let of: Vec<Class> = (0..classes * each).map(|row| Class::new(row % classes)).collect();
        let values = of.iter().flat_map(|class| {
            (0..classes).map(|at| noise * even() + f32::from(u8::from(at == class.index()))).collect::<Vec<_>>()
        });
        (values.collect(), of.clone(), (0..of.len()).map(|row| row / classes % 5).collect())
    }

    #[test]
    fn a_class_in_turn_is_unknown_to_what_is_learnt() {
        let (values, classes, folds) = world(3, 10, 0.3);
        let rows = Rows::new(&values, 3).unwrap();
        let trials = trials(&Known { rows: &rows, classes: &classes, folds: &folds }).unwrap();
        assert_eq!(trials.iter().map(|trial| trial.unknown.index()).collect::<Vec<_>>(), [0, 1, 2]);
        for (number, trial) in trials.iter().enumerate() {
            let (known, unknown) = trial.judged.split_at(trial.known);
            assert_eq!((trial.learnt.len(), known.len(), unknown.len()), (16, 4, 10));
            assert!(trial.learnt.iter().all(|&row| classes[row] != trial.unknown && folds[row] != number));
            assert!(known.iter().all(|&row| classes[row] != trial.unknown && folds[row] == number));
            assert!(unknown.iter().all(|&row| classes[row] == trial.unknown));
        }
        let many: Vec<Class> = (0..100).map(Class::new).collect();
        let values = vec![0.5; 100];
        let rows = Rows::new(&values, 1).unwrap();
        let trials = super::trials(&Known { rows: &rows, classes: &many, folds: &[0, 1].repeat(50) }).unwrap();
        assert!(trials.iter().map(|trial| trial.unknown.index()).eq((0..100).step_by(5)));
    }

    #[test]
    fn the_score_that_tells_best_is_chosen() {
        let (values, classes, folds) = world(4, 20, 0.3);
        let rows = Rows::new(&values, 4).unwrap();
        let known = Known { rows: &rows, classes: &classes, folds: &folds };
        // Logits that know nothing: features win.
        let choice = choose(&known, |trial| Ok(vec![0.0; 3 * trial.judged.len()])).unwrap();
        let area = |choice: &Choice, score| choice.areas.iter().find(|(other, _)| *other == score).unwrap().1;
        assert_eq!((area(&choice, Score::Energy), area(&choice, Score::Probability)), (0.5, 0.5));
        assert!(area(&choice, Score::Similarity) > 0.9 && choice.score <= Score::Distance, "{choice:?}");
        assert_eq!(choice.trials, 4);
        // Logits that know all, in their sum alone: energy wins, for probability sees differences only.
        let (values, classes, folds) = world(4, 20, 2.0);
        let rows = Rows::new(&values, 4).unwrap();
        let known = Known { rows: &rows, classes: &classes, folds: &folds };
        let told = |trial: &Trial| {
            Ok((0..trial.judged.len()).flat_map(|at| [f32::from(u8::from(at < trial.known)); 3]).collect())
        };
        let choice = choose(&known, told).unwrap();
        assert_eq!(
            (choice.score, area(&choice, Score::Energy), area(&choice, Score::Probability)),
            (Score::Energy, 1.0, 0.5)
        );
    }

    #[test]
    fn of_two_classes_features_alone_are_tried() {
        let (values, classes, folds) = world(2, 20, 0.3);
        let rows = Rows::new(&values, 2).unwrap();
        let known = Known { rows: &rows, classes: &classes, folds: &folds };
        let choice = choose(&known, |_| panic!("a head of one class")).unwrap();
        assert_eq!(
            choice.areas.iter().map(|(score, _)| *score).collect::<Vec<_>>(),
            [Score::Similarity, Score::Distance]
        );
        let one = vec![Class::new(0); rows.len()];
        let error = choose(&Known { classes: &one, ..known }, |_| panic!("no trial")).unwrap_err().to_string();
        assert!(error.contains("distinct classes has 1 elements, expected 2"), "{error}");
        let error =
            choose(&Known { folds: &vec![0; rows.len()], ..known }, |_| panic!("no trial")).unwrap_err().to_string();
        assert!(error.contains("folds has 1 elements, expected 2"), "{error}");
        let (values, classes, folds) = world(3, 5, 0.3);
        let rows = Rows::new(&values, 3).unwrap();
        assert!(choose(&Known { rows: &rows, classes: &classes, folds: &folds }, |_| Ok(vec![0.0; 2])).is_err());
    }
}
