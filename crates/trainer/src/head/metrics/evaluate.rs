//! Evaluates a classifier: takes all metrics over a set of photos.

use crate::data::{Class, Target};
use crate::error::{Error, Result};
use crate::head::metrics::accuracy::{Accuracy, share};
use crate::head::metrics::areas::{Areas, mean_defined};
use crate::head::metrics::balanced_accuracy::balanced_accuracy;
use crate::head::metrics::baseline::Baseline;
use crate::head::metrics::calibration::Calibration;
use crate::head::metrics::confusion::{Confusion, macro_mean};
use crate::head::metrics::evaluation::Evaluation;
use crate::head::metrics::figures::figures;
use crate::head::metrics::log_loss::LogLoss;
use crate::head::problem::only_class;
use crate::head::softmax::{softmax, top};

/// Evaluates a classifier by a row of logits and the target of each photo.
///
/// `majority` is the class most frequent in training. Equal logits are ranked by the number of their class.
///
/// # Numerics
/// All in f64, photo after photo in their order.
///
/// # Examples
/// ```
/// use trainer::data::{Class, Target};
/// use trainer::head::metrics::evaluate;
///
/// let [cat, dog] = [0, 1].map(Class::new);
/// let logits = [[2.0, 0.5], [0.1, 0.9], [1.2, 0.4]];
/// let targets = [cat, dog, dog].map(Target::from);
/// let photos = logits.iter().map(|row| &row[..]).zip(&targets);
/// let found = evaluate(photos, &["cat".to_owned(), "dog".to_owned()], dog)?;
/// assert_eq!((found.top1, found.matrix()), (2.0 / 3.0, vec![vec![1, 0], vec![1, 1]]));
/// # Ok::<(), trainer::Error>(())
/// ```
///
/// # Errors
/// There are no photos; a row hasn't a logit for each class, or one that isn't finite; a target isn't exactly one of the classes, or
/// `majority` isn't among them.
pub fn evaluate<'a>(
    photos: impl IntoIterator<Item = (&'a [f32], &'a Target)>,
    classes: &[String],
    majority: Class,
) -> Result<Evaluation> {
    let width = classes.len();
    let shape = |operand, expected, got| Error::Shape { operation: "evaluate", operand, expected, got };
    let guess = classes.get(majority.index()).ok_or(shape("classes", majority.index() + 1, width))?;
    let (mut accuracy, mut confusion) = (Accuracy::default(), Confusion::default());
    let (mut log_loss, mut calibration) = (LogLoss::default(), Calibration::default());
    let mut areas = Areas::default();
    for (index, (logits, target)) in photos.into_iter().enumerate() {
        let truth = only_class("evaluate", index, target, width)?;
        check_logits(index, logits, width)?;
        let ranking = top(logits, 5);
        let predicted = ranking[0];
        accuracy.add(&ranking, truth);
        confusion.add(predicted, truth);
        log_loss.add(logits, truth);
        calibration.add(softmax(logits)[predicted.index()], predicted == truth);
        areas.add(logits, truth);
    }
    let count = accuracy.count;
    if count == 0 {
        return Err(shape("photos", 1, 0));
    }
    let mut scores = confusion.scores(classes);
    areas.fill(&mut scores);
    let balanced = balanced_accuracy(&scores);
    let mut evaluation = Evaluation {
        count,
        top1: accuracy.top1(),
        top1_interval: accuracy.interval(),
        top5: Some(accuracy.top5()),
        baseline: Baseline { class: guess.clone(), top1: share(scores[majority.index()].support, count) },
        nearest_neighbour: None,
        log_loss: log_loss.mean(),
        calibration_error: calibration.error(),
        calibration_interval: Some(calibration.interval()),
        reliability: calibration.curve(),
        balanced_accuracy: balanced.map(|(mean, _)| mean),
        balanced_accuracy_interval: balanced.map(|(_, interval)| interval),
        roc_area: mean_defined(&scores, |score| score.roc_area),
        average_precision: mean_defined(&scores, |score| score.average_precision),
        macro_precision: macro_mean(&scores, |score| score.precision),
        macro_recall: macro_mean(&scores, |score| score.recall),
        macro_f1: macro_mean(&scores, |score| score.f1),
        classes: scores,
        confusion: confusion.cells(),
        of_sets: None,
        figures: Vec::new(),
    };
    evaluation.figures = figures(&evaluation);
    Ok(evaluation)
}

/// Sets what the nearest neighbour reaches beside an evaluation's other figures.
pub(crate) fn beside(evaluation: Evaluation, nearest_neighbour: Option<f64>) -> Evaluation {
    let mut evaluation = Evaluation { nearest_neighbour, ..evaluation };
    evaluation.figures = figures(&evaluation);
    evaluation
}

/// Checks that a photo has a logit for each class, and that all are finite.
pub(super) fn check_logits(photo: usize, logits: &[f32], width: usize) -> Result<()> {
    if logits.len() != width {
        let (operand, got) = ("a row of logits", logits.len());
        return Err(Error::Shape { operation: "evaluate", operand, expected: width, got });
    }
    match logits.iter().all(|logit| logit.is_finite()) {
        true => Ok(()),
        false => Err(Error::NotFinite { operation: "evaluate", what: format!("a logit of photo {photo}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(logits: &[f32], truth: &[usize], classes: usize, majority: usize) -> Result<Evaluation> {
        let targets: Vec<Target> = truth.iter().map(|&class| Class::new(class).into()).collect();
        let labels: Vec<String> = (0..classes).map(|class| format!("c{class}")).collect();
        evaluate(logits.chunks(classes).zip(&targets), &labels, Class::new(majority))
    }

    #[test]
    fn all_metrics_come_from_the_same_photos() {
        // Two classes, logits 0 and ln 3: probabilities 1/4 and 3/4, once right and once wrong.
        let row = [0.0, 3f32.ln()];
        let found = of(&[row, row].concat(), &[1, 0], 2, 0).unwrap();
        assert_eq!((found.count, found.top1, found.top5), (2, 0.5, Some(1.0)));
        assert_eq!(found.top1_interval, crate::head::metrics::accuracy::wilson(1, 2));
        assert_eq!((found.baseline.class.as_str(), found.baseline.top1), ("c0", 0.5));
        assert!((found.log_loss - (4f64.ln() + (4.0f64 / 3.0).ln()) / 2.0).abs() < 1e-7, "{}", found.log_loss);
        // Confidence 3/4, accuracy 1/2.
        assert!((found.calibration_error - 0.25).abs() < 1e-7, "{}", found.calibration_error);
        assert_eq!((&found.confusion[..], found.matrix()), (&[[0, 1, 1], [1, 1, 1]][..], vec![vec![0, 1], vec![0, 1]]));
        assert_eq!((found.macro_precision, found.macro_recall, found.macro_f1), (0.25, 0.5, 1.0 / 3.0));
        // The baseline's class may be one that none of the photos has.
        assert_eq!(of(&row, &[1], 2, 0).unwrap().baseline.top1, 0.0);
    }

    #[test]
    fn many_classes_take_no_room_for_what_does_not_occur() {
        let classes = 1500;
        let logits: Vec<f32> = (0..3 * classes).map(|i| if i % classes == 7 { 1.0 } else { 0.0 }).collect();
        let found = of(&logits, &[7, 7, 1499], classes, 0).unwrap();
        assert_eq!(found.confusion, [[7, 7, 2], [1499, 7, 1]]);
        // The rest are the classes' scores.
        let bytes = serde_json::to_vec(&found).unwrap().len();
        assert!(bytes < 100 * classes, "{bytes}");
    }

    #[test]
    fn areas_rank_a_class_s_photos_above_all_others() {
        // By the probability of class 0: photos of 0, 1, 0; by that of class 1: 0, 1, 0. Of class 2 there is none.
        let rows = [[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, 0.0, 1.0]];
        let found = of(&rows.concat(), &[0, 1, 0], 3, 0).unwrap();
        let [one, other, none] = [&found.classes[0], &found.classes[1], &found.classes[2]];
        assert_eq!((one.roc_area, one.average_precision), (Some(0.5), Some((1.0 + 2.0 / 3.0) / 2.0)));
        assert_eq!((other.roc_area, other.average_precision), (Some(1.0), Some(1.0)));
        assert_eq!((none.roc_area, none.average_precision), (None, None));
        assert_eq!(found.roc_area, Some(0.75));
        assert!((found.average_precision.unwrap() - 11.0 / 12.0).abs() < 1e-15);
        // What is certain to all digits of a probability is ranked all the same.
        let sure = of(&[60.0, 0.0, 70.0, 0.0, 50.0, 0.0], &[0, 0, 1], 2, 0).unwrap();
        assert_eq!(sure.roc_area, Some(1.0));
        // One class alone has no other to be ranked above.
        let alone = of(&[1.0, 0.0], &[0], 2, 0).unwrap();
        assert_eq!((alone.roc_area, alone.average_precision), (None, Some(1.0)));
    }

    #[test]
    fn an_evaluation_of_before_is_read() {
        let found = of(&[1.0, 0.0, 0.0, 1.0], &[0, 1], 2, 0).unwrap();
        let mut json = serde_json::to_value(&found).unwrap();
        assert_eq!(serde_json::from_value::<Evaluation>(json.clone()).unwrap(), found);
        let object = json.as_object_mut().unwrap();
        for new in
            ["calibration_interval", "reliability", "balanced_accuracy", "balanced_accuracy_interval", "roc_area"]
        {
            object.remove(new).unwrap();
        }
        for new in ["average_precision", "figures"] {
            object.remove(new).unwrap();
        }
        let read: Evaluation = serde_json::from_value(json).unwrap();
        assert_eq!((read.top1, read.balanced_accuracy, read.figures.len()), (1.0, None, 0));
        assert_eq!(found.worst(), None);
        assert_eq!(of(&[1.0, 0.0, 1.0, 0.0], &[0, 1], 2, 0).unwrap().worst().unwrap().label, "c1");
    }

    #[test]
    fn five_classes_are_looked_at() {
        let row = [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        assert_eq!(of(&[row, row].concat(), &[4, 5], 7, 0).unwrap().top5, Some(0.5));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let message = |outcome: Result<Evaluation>| outcome.unwrap_err().to_string();
        assert!(message(of(&[], &[], 2, 0)).contains("photos has 0 elements"));
        assert!(message(of(&[0.0; 1], &[0], 2, 0)).contains("expected 2"));
        assert!(message(of(&[0.0; 2], &[2], 2, 0)).contains("row 0 has class number 2"));
        assert!(message(of(&[0.0; 2], &[0], 2, 2)).contains("classes has 2 elements, expected 3"));
        assert!(matches!(of(&[f32::NAN, 0.0], &[0], 2, 0), Err(Error::NotFinite { .. })));
        let unknown = evaluate([(&[0.0, 1.0][..], &Target::None)], &["a".into(), "b".into()], Class::new(0));
        assert!(unknown.unwrap_err().to_string().contains("row 0 has no class"));
    }
}
