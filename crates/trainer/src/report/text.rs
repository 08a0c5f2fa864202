//! A report as aligned text, for terminals.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::data::Rejected;
use crate::head::metrics::{ClassScore, Evaluation};
use crate::report::data::{Confused, confusions};
use crate::report::figure::{notes, value, worst};
use crate::words::count;

/// Up to so many classes are printed, and the confusion matrix of no more.
const CLASSES: usize = 20;
/// How wide a line of the confusion matrix may be to name its columns.
const LINE: usize = 110;

/// The fewest letters of a label that still name a column.
const SHORTEST: usize = 4;

/// Tells whether the text of so many classes leaves some out.
pub(crate) fn is_cut(classes: usize) -> bool {
    classes > CLASSES
}

/// Writes an evaluation as aligned text, headed by `title`. Of many classes the worst are listed.
pub fn text(title: &str, evaluation: &Evaluation) -> String {
    let mut out = String::new();
    let classes = evaluation.classes.len();
    let _ = writeln!(out, "{title}: {}", count(evaluation.count, "photo"));
    figures(&mut out, evaluation);

    let mut listed: Vec<&ClassScore> = evaluation.classes.iter().collect();
    if is_cut(classes) {
        // Of those that nothing is known of, nothing can be told; the sort is stable.
        listed.retain(|class| class.support + class.predicted > 0);
        listed.sort_by(|a, b| a.f1.total_cmp(&b.f1));
        listed.truncate(CLASSES);
        let _ = writeln!(out, "\nThe {} worst of {classes} classes, by F1", listed.len());
    } else {
        out.push('\n');
    }
    let width = listed.iter().map(|class| class.label.chars().count()).max().unwrap_or(0).max(10);
    if evaluation.of_sets.is_some() {
        sets(&mut out, evaluation, &listed, width);
        return out;
    }
    let _ = writeln!(out, "{:width$}  photos  precision  recall     F1", "class");
    let mut row = |label: &str, photos: usize, values: [f64; 3]| {
        let [precision, recall, f1] = values.map(|value| 100.0 * value);
        let _ = writeln!(out, "{label:width$}  {photos:>6}  {precision:>9.1}  {recall:>6.1}  {f1:>5.1}");
    };
    for class in listed {
        row(&class.label, class.support, [class.precision, class.recall, class.f1]);
    }
    let means = [evaluation.macro_precision, evaluation.macro_recall, evaluation.macro_f1];
    row("mean", evaluation.count, means);

    if !is_cut(classes) {
        matrix(&mut out, evaluation, width);
    }

    let confusions = confusions(evaluation);
    if !confusions.is_empty() {
        let _ = writeln!(out, "\nMost often confused");
        for Confused { photos, support, label, taken_for } in confusions.into_iter().take(8) {
            let _ = writeln!(out, "  {photos:>4} of {support:<4}  {label} taken for {taken_for}");
        }
    }
    out
}

/// Writes the scores of classes of which a photo may have several.
fn sets(out: &mut String, evaluation: &Evaluation, listed: &[&ClassScore], width: usize) {
    let _ = writeln!(out, "{:width$}  photos     AP  precision  recall     F1  threshold", "class");
    let defined =
        |value: Option<f64>, digits: usize| value.map_or("·".to_owned(), |value| format!("{value:.digits$}"));
    let mut row = |label: &str, photos: usize, values: [f64; 3], [precision, threshold]: [Option<f64>; 2]| {
        let [of_named, recall, f1] = values.map(|value| 100.0 * value);
        let [area, threshold] = [defined(precision, 3), defined(threshold, 2)];
        let line = format!(
            "{label:width$}  {photos:>6}  {area:>5}  {of_named:>9.1}  {recall:>6.1}  {f1:>5.1}  {threshold:>9}"
        );
        let _ = writeln!(out, "{}", line.trim_end());
    };
    for class in listed {
        let areas = [class.average_precision, class.threshold];
        row(&class.label, class.support, [class.precision, class.recall, class.f1], areas);
    }
    let means = [evaluation.macro_precision, evaluation.macro_recall, evaluation.macro_f1];
    row("mean", evaluation.count, means, [evaluation.average_precision, None]);
}

/// Writes the figures and the worst class, each on a line, those that aren't defined left out.
fn figures(out: &mut String, evaluation: &Evaluation) {
    let mut lines: Vec<[String; 3]> = Vec::new();
    for figure in &evaluation.figures {
        if let Some(value) = value(figure) {
            lines.push([figure.title.to_string(), value, notes(figure)]);
        }
    }
    let titles = lines.iter().map(|[title, ..]| title.chars().count()).max().unwrap_or(0);
    for [title, value, notes] in lines {
        // What has no unit stands as if it had.
        let value = if value.ends_with('%') { value } else { value + "  " };
        let line = format!("  {title:titles$}  {value:>7}   {notes}");
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if let Some([label, right]) = worst(evaluation) {
        let _ = writeln!(out, "  {:titles$}  {label}: {right}", "worst class");
    }
}

/// Writes the confusion matrix, whose rows begin with labels of `width`.
fn matrix(out: &mut String, evaluation: &Evaluation, width: usize) {
    let digits = evaluation.confusion.iter().map(|[.., photos]| photos.to_string().len()).max().unwrap_or(1);
    let labels: Vec<&str> = evaluation.classes.iter().map(|class| class.label.as_str()).collect();
    let (columns, numbered) = columns(&labels, LINE.saturating_sub(width));
    // Numbers are explained where the rows begin.
    let number = |index: usize| if numbered { format!("  {index:>2}") } else { String::new() };
    let margin = width + if numbered { 4 } else { 0 };
    let _ = write!(out, "\n{:margin$}  taken for\n{:margin$}", "", "true class");
    let cells: Vec<usize> = columns.iter().map(|column| column.chars().count().max(digits)).collect();
    for (column, &cell) in columns.iter().zip(&cells) {
        let _ = write!(out, "  {column:>cell$}");
    }
    for (index, (label, row)) in labels.iter().zip(evaluation.matrix()).enumerate() {
        let _ = write!(out, "\n{label:width$}{}", number(index));
        for (photos, &cell) in row.into_iter().zip(&cells) {
            let photos = if photos == 0 { "·".to_owned() } else { photos.to_string() };
            let _ = write!(out, "  {photos:>cell$}");
        }
    }
    out.push('\n');
}

/// Names columns within so many letters: by the labels, cut where they must be; by numbers, and tells so, where cut ones look alike.
fn columns(labels: &[&str], room: usize) -> (Vec<String>, bool) {
    let whole: usize = labels.iter().map(|label| 2 + label.chars().count()).sum();
    let most = if whole <= room { usize::MAX } else { (room / labels.len().max(1)).saturating_sub(2) };
    let cut = |label: &&str| match label.chars().count() {
        letters if letters <= most => (*label).to_owned(),
        _ => label.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    };
    let named: Vec<String> = labels.iter().map(cut).collect();
    let distinct = named.iter().collect::<BTreeSet<_>>().len() == labels.len();
    match distinct && most >= SHORTEST {
        true => (named, false),
        false => ((0..labels.len()).map(|class| class.to_string()).collect(), true),
    }
}

/// Lists rejected photos with their reasons, the first twenty, and says how many more there are.
pub fn rejections(rejected: &[Rejected]) -> String {
    let mut out = String::new();
    for photo in rejected.iter().take(20) {
        let _ = writeln!(out, "  {}: {}", photo.name, photo.reason);
    }
    if rejected.len() > 20 {
        let _ = writeln!(out, "  and {} more", rejected.len() - 20);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{evaluated, evaluated_sets};

    #[test]
    fn text_is_aligned_and_complete() {
        let (evaluation, _) = evaluated(12, 3);
        let text = text("Test", &evaluation);
        let expected = "\
Test: 12 photos
  top-1               91.7 %   95 % interval 64.6 to 98.5
  top-5              100.0 %   of 3 classes
  baseline            33.3 %   always \"class <0>\"
  balanced accuracy   91.7 %   95 % interval 64.1 to 98.5, mean recall of the classes
  mean F1             91.5 %
  ROC area           0.938
  PR area            0.878
  log-loss           0.369
  calibration error    4.8 %   95 % interval 0.0 to 21.5
  worst class        class <0>: F1 85.7, 3 of 4 photos right

class       photos  precision  recall     F1
class <0>        4      100.0    75.0   85.7
class <1>        4       80.0   100.0   88.9
class <2>        4      100.0   100.0  100.0
mean            12       93.3    91.7   91.5

            taken for
true class  class <0>  class <1>  class <2>
class <0>           3          1          ·
class <1>           ·          4          ·
class <2>           ·          ·          4

Most often confused
     1 of 4     class <0> taken for class <1>
";
        assert_eq!(text, expected);
    }

    #[test]
    fn classes_of_which_a_photo_may_have_several_have_thresholds_and_no_matrix() {
        let (mut evaluation, _) = evaluated_sets(12, 3);
        evaluation.classes[1].threshold = Some(0.25);
        let text = text("Test", &evaluation);
        assert!(text.contains("\n  mean AP            1.000     a guess has 0.333\n"), "{text}");
        assert!(text.contains("\nclass       photos     AP  precision  recall     F1  threshold\n"), "{text}");
        assert!(text.contains("\nclass <1>        4  1.000       80.0   100.0   88.9       0.25\n"), "{text}");
        assert!(text.contains("\nclass <2>        4  1.000      100.0   100.0  100.0          ·\n"), "{text}");
        assert!(!text.contains("taken for") && !text.contains("confused"), "{text}");
    }

    #[test]
    fn of_many_classes_the_worst_are_listed() {
        let (evaluation, _) = evaluated(600, 300);
        let text = text("Test", &evaluation);
        let at = text.find("\nThe 20 worst of 300 classes, by F1\n").unwrap_or_else(|| panic!("{text}"));
        // The first photo, of class 0, is taken for class 1.
        let classes: Vec<&str> = text[at..].lines().skip(3).take(21).map(|line| &line[..10]).collect();
        assert_eq!((classes[0], classes[1], classes[20]), ("class <0> ", "class <1> ", "mean      "));
        assert!(!text.contains("true class") && text.lines().count() < 40, "{text}");
    }

    #[test]
    fn columns_are_named_where_names_can_be_told_apart() {
        let of = |labels: &[&str], room| columns(labels, room).0.join(" ");
        assert_eq!(of(&["cat", "water lily"], 40), "cat water lily");
        assert_eq!(of(&["cat", "water lily"], 14), "cat wate…");
        assert_eq!(of(&["water lily", "water bottle"], 14), "0 1");
        assert_eq!(of(&["cat", "water lily"], 8), "0 1");
        let (evaluation, _) = evaluated(20, 20);
        let text = text("Test", &evaluation);
        assert!(text.contains("\nclass <0>    0  ·  1  ·"), "{text}");
    }

    #[test]
    fn long_lists_of_rejected_photos_are_cut() {
        let rejected = vec![Rejected { name: "a".into(), reason: "b".into() }; 23];
        assert!(rejections(&rejected).ends_with("  and 3 more\n"));
        assert_eq!(rejections(&rejected[..1]), "  a: b\n");
    }
}
