//! A figure in words, for text and pages alike.

use crate::head::metrics::{Evaluation, Figure, Unit};
use crate::words::count;

/// Words the value of a figure: `91.7 %`, `0.369`. None where there is none.
pub(crate) fn value(figure: &Figure) -> Option<String> {
    figure.value.map(|value| match figure.unit {
        Unit::Share => format!("{} %", number(figure, value)),
        Unit::Area | Unit::Nats => number(figure, value),
    })
}

/// Words what else is known of a figure: its interval, and what it is.
pub(crate) fn notes(figure: &Figure) -> String {
    let interval =
        figure.interval.map(|[low, high]| format!("95 % interval {} to {}", number(figure, low), number(figure, high)));
    interval.into_iter().chain(figure.note.clone()).collect::<Vec<_>>().join(", ")
}

fn number(figure: &Figure, value: f64) -> String {
    match figure.unit {
        Unit::Share => format!("{:.1}", 100.0 * value),
        Unit::Area | Unit::Nats => format!("{value:.3}"),
    }
}

/// Words which class is worst: its label, and how much of it is right; none where all photos are.
pub(crate) fn worst(evaluation: &Evaluation) -> Option<[String; 2]> {
    let class = evaluation.worst()?;
    let right = (class.recall * class.support as f64).round() as usize;
    // Of several labels of a photo, one may be found and another not.
    let found = if evaluation.of_sets.is_some() { "found" } else { "right" };
    let of = format!("F1 {:.1}, {right} of {} {found}", 100.0 * class.f1, count(class.support, "photo"));
    Some([class.label.clone(), of])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::evaluated;

    #[test]
    fn units_say_how_a_figure_is_written() {
        let figure = |unit, value, note: Option<&str>| Figure {
            name: "a".into(),
            title: "a".into(),
            unit,
            higher_is_better: true,
            value,
            interval: Some([0.5, 0.75]),
            note: note.map(str::to_owned),
        };
        let worded = |figure: Figure| (value(&figure), notes(&figure));
        let (percent, area) = ("95 % interval 50.0 to 75.0", "95 % interval 0.500 to 0.750");
        let share = worded(figure(Unit::Share, Some(0.6), Some("of 3 classes")));
        assert_eq!(share, (Some("60.0 %".to_owned()), format!("{percent}, of 3 classes")));
        assert_eq!(worded(figure(Unit::Area, Some(0.6), None)), (Some("0.600".to_owned()), area.to_owned()));
        assert_eq!(value(&figure(Unit::Nats, None, None)), None);
    }

    #[test]
    fn the_worst_class_is_named_where_a_photo_is_wrong() {
        let (evaluation, _) = evaluated(12, 3);
        let named = ["class <0>".to_owned(), "F1 85.7, 3 of 4 photos right".to_owned()];
        assert_eq!(worst(&evaluation), Some(named));
    }
}
