//! The table of all figures of an evaluation: text, pages and JSON show what is listed here, in its order.

use crate::head::metrics::evaluation::Evaluation;
use crate::head::metrics::figure::{Figure, Unit};

/// A line of the table: a figure's names, unit and direction, and where its value, its interval and what else is to be known come from.
struct Listed {
    name: &'static str,
    title: &'static str,
    unit: Unit,
    higher_is_better: bool,
    value: fn(&Evaluation) -> Option<f64>,
    interval: fn(&Evaluation) -> Option<[f64; 2]>,
    note: fn(&Evaluation) -> Option<String>,
}

impl Listed {
    /// Lists a figure of which more is better.
    const fn high(name: &'static str, title: &'static str, unit: Unit, value: fn(&Evaluation) -> Option<f64>) -> Self {
        Self { name, title, unit, higher_is_better: true, value, interval: |_| None, note: |_| None }
    }

    /// Lists a figure of which less is better.
    const fn low(name: &'static str, title: &'static str, unit: Unit, value: fn(&Evaluation) -> Option<f64>) -> Self {
        Self { higher_is_better: false, ..Self::high(name, title, unit, value) }
    }

    const fn within(self, interval: fn(&Evaluation) -> Option<[f64; 2]>) -> Self {
        Self { interval, ..self }
    }

    const fn noted(self, note: fn(&Evaluation) -> Option<String>) -> Self {
        Self { note, ..self }
    }
}

/// All figures, in the order in which they are shown where no class is rare.
const FIGURES: [Listed; 10] = [
    Listed::high("top1", "top-1", Unit::Share, |of| Some(of.top1)).within(|of| Some(of.top1_interval)),
    Listed::high("top5", "top-5", Unit::Share, |of| of.top5)
        .noted(|of| (of.classes.len() <= 5).then(|| format!("of {} classes", of.classes.len()))),
    Listed::high("baseline", "baseline", Unit::Share, |of| Some(of.baseline.top1))
        .noted(|of| Some(format!("always {:?}", of.baseline.class))),
    Listed::high("nearest_neighbour", "nearest neighbour", Unit::Share, |of| of.nearest_neighbour)
        .noted(|_| Some("by cosine of features, no head".to_owned())),
    Listed::high("balanced_accuracy", "balanced accuracy", Unit::Share, |of| of.balanced_accuracy)
        .within(|of| of.balanced_accuracy_interval)
        .noted(|_| Some("mean recall of the classes".to_owned())),
    Listed::high("macro_f1", "mean F1", Unit::Share, |of| Some(of.macro_f1)),
    Listed::high("roc_area", "ROC area", Unit::Area, |of| of.roc_area),
    Listed::high("average_precision", "PR area", Unit::Area, |of| of.average_precision),
    Listed::low("log_loss", "log-loss", Unit::Nats, |of| Some(of.log_loss)),
    Listed::low("calibration_error", "calibration error", Unit::Share, |of| Some(of.calibration_error))
        .within(|of| of.calibration_interval),
];

/// All figures where photos may be of several classes.
const OF_SETS: [Listed; 9] = [
    Listed::high("average_precision", "mean AP", Unit::Area, |of| of.average_precision)
        .noted(|of| of.of_sets.map(|sets| format!("a guess has {:.3}", sets.prior_average_precision))),
    Listed::high("micro_f1", "micro F1", Unit::Share, |of| of.of_sets.map(|sets| sets.micro_f1))
        .within(|of| of.of_sets.map(|sets| sets.micro_f1_interval))
        .noted(|_| Some("of all labels".to_owned())),
    Listed::high("macro_f1", "mean F1", Unit::Share, |of| Some(of.macro_f1))
        .noted(|_| Some("of the classes".to_owned())),
    Listed::high("top1", "exact match", Unit::Share, |of| Some(of.top1)).within(|of| Some(of.top1_interval)),
    Listed::high("baseline", "baseline", Unit::Share, |of| Some(of.baseline.top1)).noted(|of| {
        Some(match &*of.baseline.class {
            "" => "exact match, always no label".to_owned(),
            labels => format!("exact match, always {labels:?}"),
        })
    }),
    Listed::low("hamming_loss", "Hamming loss", Unit::Share, |of| of.of_sets.map(|sets| sets.hamming_loss))
        .within(|of| of.of_sets.map(|sets| sets.hamming_loss_interval)),
    Listed::high("roc_area", "ROC area", Unit::Area, |of| of.roc_area),
    Listed::low("log_loss", "log-loss", Unit::Nats, |of| Some(of.log_loss))
        .noted(|_| Some("of all classes together".to_owned())),
    Listed::low("calibration_error", "calibration error", Unit::Share, |of| Some(of.calibration_error))
        .within(|of| of.calibration_interval),
];

/// The figures that come first where some class is rare: there the others say little of it.
const OF_UNEVEN: [&str; 2] = ["balanced_accuracy", "macro_f1"];

/// Lists the figures of an evaluation. Where the classes are uneven, those come first in which all classes count alike.
pub(crate) fn figures(evaluation: &Evaluation) -> Vec<Figure> {
    let figure = |listed: &Listed| Figure {
        name: listed.name.into(),
        title: listed.title.into(),
        unit: listed.unit,
        higher_is_better: listed.higher_is_better,
        value: (listed.value)(evaluation),
        interval: (listed.interval)(evaluation),
        note: (listed.note)(evaluation),
    };
    if evaluation.of_sets.is_some() {
        return OF_SETS.iter().map(figure).collect();
    }
    let mut figures: Vec<Figure> = FIGURES.iter().map(figure).collect();
    if evaluation.is_uneven() {
        // The sort is stable.
        figures.sort_by_key(|figure| !OF_UNEVEN.contains(&&*figure.name));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Class, Target};
    use crate::head::metrics::evaluate;

    /// Evaluates photos of these classes, all of them taken for the first.
    fn of(truths: &[usize]) -> Evaluation {
        let targets: Vec<Target> = truths.iter().map(|&class| Class::new(class).into()).collect();
        let photos = targets.iter().map(|target| (&[1.0, 0.0, 0.0][..], target));
        evaluate(photos, &["a", "b", "c"].map(str::to_owned), Class::new(0)).unwrap()
    }

    #[test]
    fn names_are_distinct_and_those_of_fields() {
        let evaluation = of(&[0, 1, 2]);
        let json = serde_json::to_value(&evaluation).unwrap();
        for figure in figures(&evaluation) {
            let field = match &*figure.name {
                "baseline" => &json["baseline"]["top1"],
                name => &json[name],
            };
            assert_eq!(field.as_f64(), figure.value, "{}", figure.name);
            assert_eq!(FIGURES.iter().filter(|other| other.name == figure.name).count(), 1);
        }
        assert!(OF_UNEVEN.iter().all(|name| FIGURES.iter().any(|listed| listed.name == *name)));
    }

    #[test]
    fn uneven_classes_are_judged_by_what_counts_them_alike() {
        let first =
            |truths: &[usize]| figures(&of(truths))[..3].iter().map(|figure| figure.name.clone()).collect::<Vec<_>>();
        assert_eq!(first(&[0, 0, 0, 1, 1, 2, 2]), ["top1", "top5", "baseline"]);
        assert_eq!(first(&[0, 0, 0, 0, 1, 1, 2, 2]), ["balanced_accuracy", "macro_f1", "top1"]);
    }
}
