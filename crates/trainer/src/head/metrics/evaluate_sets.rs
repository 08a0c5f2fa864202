//! Evaluates a classifier whose photos may be of several classes, or of none.

use crate::data::{Class, Target};
use crate::error::{Error, Result};
use crate::head::metrics::accuracy::{share, wilson};
use crate::head::metrics::areas::mean_defined;
use crate::head::metrics::average_precision::precision;
use crate::head::metrics::baseline::Baseline;
use crate::head::metrics::calibration::Calibration;
use crate::head::metrics::confusion::{ClassScore, macro_mean};
use crate::head::metrics::evaluate::check_logits;
use crate::head::metrics::evaluation::{Evaluation, OfSets};
use crate::head::metrics::figures::figures;
use crate::head::metrics::hamming_loss::hamming_loss;
use crate::head::metrics::micro_f1::micro_f1;
use crate::head::metrics::named::Named;
use crate::head::metrics::ranked::Ranked;
use crate::head::metrics::roc::area;
use crate::head::problem::known_set;
use crate::head::sigmoid::{loss, sigmoid};
use crate::words::joined;

/// What a head says of a photo that may be of several classes.
#[derive(Clone, Copy, Debug)]
pub struct SaidOfSet<'a> {
    /// `[classes]`.
    pub logits: &'a [f32],
    /// The classes that are named.
    pub named: &'a [Class],
    /// What is true.
    pub target: &'a Target,
}

/// Evaluates a classifier by a row of logits, the classes that it names and the target of each photo.
///
/// `majority` is the set most frequent in training. Of the fields, `top1` is the share of photos of which just those classes are named that are true; precision, recall and F1 of a class are of what is named, and its areas of its logits; the
/// calibration error is of every class of every photo by itself. There is no confusion matrix.
///
/// # Numerics
/// All in f64, photo after photo in their order.
///
/// # Errors
/// There are no photos; a row hasn't a logit for each class, or one that isn't finite; a target isn't known, or is of a class beyond these.
pub fn evaluate_sets<'a>(
    photos: impl IntoIterator<Item = SaidOfSet<'a>>,
    classes: &[String],
    majority: &Target,
) -> Result<Evaluation> {
    let width = classes.len();
    let (mut counts, mut rows, mut usual, mut sum) = (Vec::new(), Vec::new(), 0, 0.0);
    let (mut of_classes, mut calibration) = (vec![Named::default(); width], Calibration::default());
    for (index, SaidOfSet { logits, named, target }) in photos.into_iter().enumerate() {
        let truths = known_set("evaluate", index, target, width)?;
        check_logits(index, logits, width)?;
        counts.push(Named::of(named, truths));
        named.iter().for_each(|class| of_classes[class.index()].named += 1);
        for class in truths {
            of_classes[class.index()].truths += 1;
            of_classes[class.index()].hits += usize::from(named.contains(class));
        }
        usual += usize::from(truths == majority.classes());
        sum += loss(logits, truths);
        for (class, &logit) in logits.iter().enumerate() {
            calibration.add(sigmoid(logit.into()), truths.contains(&Class::new(class)));
        }
        rows.push((logits, truths));
    }
    let count = counts.len();
    if count == 0 {
        return Err(Error::Shape { operation: "evaluate", operand: "photos", expected: 1, got: 0 });
    }
    let score = |(class, label): (usize, &String)| {
        let Named { hits, named, truths } = of_classes[class];
        let scores = rows.iter().map(|(logits, truths)| (logits[class].into(), truths.contains(&Class::new(class))));
        let ranked = Ranked::new(scores);
        let defined = truths > 0;
        let (roc_area, average_precision) = (area(&ranked).filter(|_| defined), precision(&ranked).filter(|_| defined));
        ClassScore { roc_area, average_precision, ..ClassScore::of(label, hits, [truths, named]) }
    };
    let scores: Vec<ClassScore> = classes.iter().enumerate().map(score).collect();
    let exact = counts.iter().filter(|counts| counts.is_exact()).count();
    let (micro_f1, micro_f1_interval) = micro_f1(&counts);
    let (hamming_loss, hamming_loss_interval) = hamming_loss(&counts, width);
    let prior = |score: &ClassScore| (score.support > 0).then(|| share(score.support, count));
    let priors: Vec<f64> = scores.iter().filter_map(prior).collect();
    let named = majority.classes().iter().filter_map(|class| classes.get(class.index()));
    let mut evaluation = Evaluation {
        count,
        top1: share(exact, count),
        top1_interval: wilson(exact, count),
        top5: None,
        baseline: Baseline { class: joined(named.map(String::as_str)), top1: share(usual, count) },
        nearest_neighbour: None,
        log_loss: sum / count as f64,
        calibration_error: calibration.error(),
        calibration_interval: Some(calibration.interval()),
        reliability: calibration.curve(),
        balanced_accuracy: None,
        balanced_accuracy_interval: None,
        roc_area: mean_defined(&scores, |score| score.roc_area),
        average_precision: mean_defined(&scores, |score| score.average_precision),
        macro_precision: macro_mean(&scores, |score| score.precision),
        macro_recall: macro_mean(&scores, |score| score.recall),
        macro_f1: macro_mean(&scores, |score| score.f1),
        classes: scores,
        confusion: Vec::new(),
        of_sets: Some(OfSets {
            micro_f1,
            micro_f1_interval,
            hamming_loss,
            hamming_loss_interval,
            prior_average_precision: priors.iter().sum::<f64>() / priors.len().max(1) as f64,
        }),
        figures: Vec::new(),
    };
    evaluation.figures = figures(&evaluation);
    Ok(evaluation)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [&str; 3] = ["cat", "dog", "night"];

    fn of(photos: &[([f32; 3], &[usize], &[usize])], majority: &[usize]) -> Result<Evaluation> {
        let set = |classes: &[usize]| classes.iter().copied().map(Class::new).collect::<Vec<_>>();
        let photos: Vec<_> =
            photos.iter().map(|(logits, named, truths)| (logits, set(named), Target::Set(set(truths)))).collect();
        let said = photos.iter().map(|(logits, named, target)| SaidOfSet { logits: &logits[..], named, target });
        evaluate_sets(said, &LABELS.map(str::to_owned), &Target::Set(set(majority)))
    }

    #[test]
    fn all_metrics_come_from_the_same_photos() {
        // Two of four photos are wholly right; of 12 answers 2 are wrong, one named falsely and one missing.
        let photos: [([f32; 3], &[usize], &[usize]); 4] = [
            ([2.0, -1.0, 1.0], &[0, 2], &[0, 2]),
            ([1.0, 0.5, -1.0], &[0, 1], &[0]),
            ([-1.0, -2.0, -3.0], &[], &[]),
            ([-1.5, 2.0, -0.5], &[1], &[1, 2]),
        ];
        let found = of(&photos, &[]).unwrap();
        let sets = found.of_sets.unwrap();
        assert_eq!((found.count, found.top1, found.top1_interval), (4, 0.5, wilson(2, 4)));
        assert_eq!((sets.hamming_loss, sets.micro_f1), (2.0 / 12.0, 2.0 * 4.0 / 10.0));
        assert_eq!((found.baseline.class.as_str(), found.baseline.top1), ("", 0.25));
        let classes = |of: fn(&ClassScore) -> f64| found.classes.iter().map(of).collect::<Vec<_>>();
        assert_eq!(classes(|class| class.precision), [1.0, 0.5, 1.0]);
        assert_eq!(classes(|class| class.recall), [1.0, 1.0, 0.5]);
        assert!((found.macro_f1 - (1.0 + 2.0 / 3.0 + 2.0 / 3.0) / 3.0).abs() < 1e-15);
        assert_eq!(found.classes[2].average_precision, Some(1.0));
        assert!((sets.prior_average_precision - (0.5 + 0.25 + 0.5) / 3.0).abs() < 1e-15);
        // Every figure is a field of the JSON.
        let json = serde_json::to_value(&found).unwrap();
        for figure in &found.figures {
            let field = match &*figure.name {
                "baseline" => &json["baseline"]["top1"],
                name @ ("micro_f1" | "hamming_loss") => &json["of_sets"][name],
                name => &json[name],
            };
            assert_eq!(field.as_f64(), figure.value, "{}", figure.name);
        }
        assert_eq!(serde_json::from_value::<Evaluation>(json).unwrap(), found);
        assert_eq!(of(&photos, &[0, 2]).unwrap().baseline.class, "cat | night");
    }

    #[test]
    fn photos_without_any_label_are_photos() {
        let found = of(&[([-1.0; 3], &[], &[])], &[]).unwrap();
        assert_eq!((found.top1, found.macro_f1, found.average_precision), (1.0, 0.0, None));
        assert_eq!(serde_json::from_str::<Evaluation>(&serde_json::to_string(&found).unwrap()).unwrap(), found);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let message = |outcome: Result<Evaluation>| outcome.unwrap_err().to_string();
        assert!(message(of(&[], &[])).contains("photos has 0 elements"));
        let beyond = message(of(&[([0.0; 3], &[], &[3])], &[]));
        assert_eq!(beyond, "evaluate: row 0 has class number 3; expected a set of 3 classes");
        assert!(message(of(&[([f32::NAN; 3], &[], &[])], &[])).contains("a logit of photo 0"));
        let unknown = SaidOfSet { logits: &[0.0; 3], named: &[], target: &Target::None };
        let labels = LABELS.map(str::to_owned);
        assert!(message(evaluate_sets([unknown], &labels, &Target::None)).contains("row 0 has no label"));
    }
}
