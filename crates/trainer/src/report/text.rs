//! A report as aligned text, for terminals.

use std::fmt::Write as _;

use crate::data::Rejected;
use crate::head::metrics::Evaluation;
use crate::report::data::{Confused, confusions};
use crate::words::count;

/// Up to so many classes the confusion matrix is printed.
const MATRIX_CLASSES: usize = 20;

/// Writes an evaluation as aligned text, headed by `title`.
pub fn text(title: &str, evaluation: &Evaluation) -> String {
    let mut out = String::new();
    let classes = evaluation.classes.len();
    let [low, high] = evaluation.top1_interval;
    let _ = writeln!(out, "{title}: {}", count(evaluation.count, "photo"));
    let _ = writeln!(
        out,
        "  top-1     {:>5.1} %   95 % interval {:.1} to {:.1}",
        100.0 * evaluation.top1,
        100.0 * low,
        100.0 * high
    );
    let trivial = if classes <= 5 { format!("   of {classes} classes") } else { String::new() };
    let _ = writeln!(out, "  top-5     {:>5.1} %{trivial}", 100.0 * evaluation.top5);
    let baseline = &evaluation.baseline;
    let _ = writeln!(out, "  baseline  {:>5.1} %   always {:?}", 100.0 * baseline.top1, baseline.class);
    let _ = writeln!(
        out,
        "  log-loss  {:>5.3}     calibration error {:.1} %",
        evaluation.log_loss,
        100.0 * evaluation.calibration_error
    );

    let width = evaluation.classes.iter().map(|class| class.label.chars().count()).max().unwrap_or(0).max(10);
    let _ = writeln!(out, "\n{:width$}  photos  precision  recall     F1", "class");
    let mut row = |label: &str, photos: usize, values: [f64; 3]| {
        let [precision, recall, f1] = values.map(|value| 100.0 * value);
        let _ = writeln!(out, "{label:width$}  {photos:>6}  {precision:>9.1}  {recall:>6.1}  {f1:>5.1}");
    };
    for class in &evaluation.classes {
        row(&class.label, class.support, [class.precision, class.recall, class.f1]);
    }
    let means = [evaluation.macro_precision, evaluation.macro_recall, evaluation.macro_f1];
    row("mean", evaluation.count, means);

    if classes <= MATRIX_CLASSES {
        let cells = evaluation.confusion.iter().flatten().max().map_or(1, |max| max.to_string().len());
        let cells = cells.max((classes - 1).to_string().len()) + 1;
        let _ = write!(out, "\n{:width$}     taken for class", "");
        let _ = write!(out, "\n{:width$}    ", "true class");
        for class in 0..classes {
            let _ = write!(out, " {class:>cells$}");
        }
        for (index, (class, row)) in evaluation.classes.iter().zip(&evaluation.confusion).enumerate() {
            let _ = write!(out, "\n{:width$}  {index:>2}", class.label);
            for &cell in row {
                match cell {
                    0 => drop(write!(out, " {:>cells$}", "·")),
                    _ => drop(write!(out, " {cell:>cells$}")),
                }
            }
        }
        out.push('\n');
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
    use crate::report::tests::evaluated;

    #[test]
    fn text_is_aligned_and_complete() {
        let (evaluation, _) = evaluated(12, 3);
        let text = text("Test", &evaluation);
        let expected = "\
Test: 12 photos
  top-1      91.7 %   95 % interval 64.6 to 98.5
  top-5     100.0 %   of 3 classes
  baseline   33.3 %   always \"class <0>\"
  log-loss  0.369     calibration error 4.8 %

class       photos  precision  recall     F1
class <0>        4      100.0    75.0   85.7
class <1>        4       80.0   100.0   88.9
class <2>        4      100.0   100.0  100.0
mean            12       93.3    91.7   91.5

               taken for class
true class      0  1  2
class <0>    0  3  1  ·
class <1>    1  ·  4  ·
class <2>    2  ·  ·  4

Most often confused
     1 of 4     class <0> taken for class <1>
";
        assert_eq!(text, expected);
        assert!(!super::text("Test", &evaluated(60, 30).0).contains("taken for class\n"));
    }

    #[test]
    fn long_lists_of_rejected_photos_are_cut() {
        let rejected = vec![Rejected { name: "a".into(), reason: "b".into() }; 23];
        assert!(rejections(&rejected).ends_with("  and 3 more\n"));
        assert_eq!(rejections(&rejected[..1]), "  a: b\n");
    }
}
