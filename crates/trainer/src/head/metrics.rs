//! How good a classifier is, in f64, from its logits and the true labels.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Bins of the expected calibration error.
const CALIBRATION_BINS: usize = 15;
/// The normal distribution's 97.5 % quantile: 95 % lie within ± this.
const Z95: f64 = 1.959_963_984_540_054;

/// The judgement over a set of photos. Shares are in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How many photos were judged.
    pub count: usize,
    /// Share whose most probable class is the true one.
    pub top1: f64,
    /// 95 % confidence interval of `top1` by Wilson's score, from `count` alone.
    pub top1_interval: [f64; 2],
    /// Share whose true class is among the five most probable; says nothing where there are no more than five classes.
    pub top5: f64,
    /// Always guessing the class most frequent in training.
    pub baseline: Baseline,
    /// Mean of -ln p(true class), in nats.
    pub log_loss: f64,
    /// Expected calibration error: mean distance of confidence from accuracy over 15 equal bins of confidence.
    pub calibration_error: f64,
    /// Mean precision over the classes that occur among labels or predictions.
    pub macro_precision: f64,
    /// Mean recall over the same classes.
    pub macro_recall: f64,
    /// Mean F1 over the same classes.
    pub macro_f1: f64,
    /// By class.
    pub classes: Vec<ClassScore>,
    /// `confusion[t][p]`: photos of class t taken for class p.
    pub confusion: Vec<Vec<usize>>,
}

/// What is reached without looking at the photo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The class always guessed.
    pub class: String,
    /// The share it gets right.
    pub top1: f64,
}

/// One class's scores. A share of nothing (no photo, or none predicted) counts as 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Its label.
    pub label: String,
    /// Of the photos taken for it, the share that are.
    pub precision: f64,
    /// Of its photos, the share taken for it.
    pub recall: f64,
    /// Harmonic mean of both: 2 TP / (2 TP + FP + FN).
    pub f1: f64,
    /// How many photos it has.
    pub support: usize,
    /// How many photos were taken for it.
    pub predicted: usize,
}

/// Judges `logits`, `[photos, classes]`, against `labels`; `majority` is the class most frequent in training.
///
/// Equal logits are ranked by class number.
///
/// # Errors
/// No photos; lengths that don't agree; a label or `majority` out of range; logits that aren't finite.
pub fn evaluate(logits: &[f32], labels: &[usize], classes: &[String], majority: usize) -> Result<Evaluation> {
    let width = classes.len();
    if labels.is_empty() {
        return Err(Error::Shape { operation: "evaluate", operand: "labels", expected: 1, got: 0 });
    }
    if logits.len() != labels.len() * width {
        let expected = labels.len() * width;
        return Err(Error::Shape { operation: "evaluate", operand: "logits", expected, got: logits.len() });
    }
    if let Some(label) = labels.iter().chain([&majority]).find(|&&label| label >= width) {
        let value = label.to_string();
        return Err(Error::InvalidOption { option: "label", value, expected: "less than the number of classes" });
    }
    if let Some(index) = logits.iter().position(|logit| !logit.is_finite()) {
        return Err(Error::NotFinite { operation: "evaluate", what: format!("the logit of photo {}", index / width) });
    }

    let mut confusion = vec![vec![0usize; width]; width];
    let (mut top5, mut log_loss) = (0usize, 0.0);
    // By bin of confidence: sum of confidence, of hits.
    let mut bins = [(0.0f64, 0.0f64); CALIBRATION_BINS];
    for (row, &label) in logits.chunks_exact(width).zip(labels) {
        let ranking = top(row, 5);
        let probabilities = softmax(row);
        let hit = ranking[0] == label;
        confusion[label][ranking[0]] += 1;
        top5 += usize::from(ranking.contains(&label));
        log_loss -= log_softmax(row, label);
        let confidence = probabilities[ranking[0]];
        let bin = &mut bins[((confidence * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1)];
        bin.0 += confidence;
        bin.1 += f64::from(u8::from(hit));
    }

    let count = labels.len();
    let right: usize = (0..width).map(|class| confusion[class][class]).sum();
    let scores: Vec<_> = (0..width).map(|class| score(&confusion, class, &classes[class])).collect();
    let occurring: Vec<_> = scores.iter().filter(|score| score.support + score.predicted > 0).collect();
    let mean = |value: fn(&ClassScore) -> f64| {
        occurring.iter().map(|score| value(score)).sum::<f64>() / occurring.len() as f64
    };
    Ok(Evaluation {
        count,
        top1: ratio(right, count),
        top1_interval: wilson(right, count),
        top5: ratio(top5, count),
        baseline: Baseline { class: classes[majority].clone(), top1: ratio(scores[majority].support, count) },
        log_loss: log_loss / count as f64,
        calibration_error: bins.iter().map(|(confidence, hits)| (confidence - hits).abs()).sum::<f64>() / count as f64,
        macro_precision: mean(|score| score.precision),
        macro_recall: mean(|score| score.recall),
        macro_f1: mean(|score| score.f1),
        classes: scores,
        confusion,
    })
}

fn score(confusion: &[Vec<usize>], class: usize, label: &str) -> ClassScore {
    let hits = confusion[class][class];
    let support: usize = confusion[class].iter().sum();
    let predicted: usize = confusion.iter().map(|row| row[class]).sum();
    ClassScore {
        label: label.to_owned(),
        precision: ratio(hits, predicted),
        recall: ratio(hits, support),
        f1: ratio(2 * hits, support + predicted),
        support,
        predicted,
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// exp(xᵢ − max x) / Σ exp(xⱼ − max x), in f64.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let max = max(logits);
    let powers: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - max).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// ln softmax(x)ᵢ without the underflow of its parts.
pub fn log_softmax(logits: &[f32], index: usize) -> f64 {
    let max = max(logits);
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - max).exp()).sum();
    f64::from(logits[index]) - max - sum.ln()
}

fn max(logits: &[f32]) -> f64 {
    logits.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(f64::from(x)))
}

/// The `count` classes with the greatest logits, greatest first; equal ones by number.
pub fn top(logits: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order.truncate(count);
    order
}

/// Wilson's score interval of a share, 95 %.
///
/// # Reference
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
pub fn wilson(hits: usize, count: usize) -> [f64; 2] {
    if count == 0 {
        return [0.0, 1.0];
    }
    let (n, p, z2) = (count as f64, ratio(hits, count), Z95 * Z95);
    let centre = p + z2 / (2.0 * n);
    let spread = Z95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    [((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("c{class}")).collect()
    }

    /// Logits with one predicted class a photo.
    fn predicting(predicted: &[usize], width: usize) -> Vec<f32> {
        predicted.iter().flat_map(|&p| (0..width).map(move |c| if c == p { 2.0 } else { -(c as f32) })).collect()
    }

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-12, "{got} is not {expected}");
    }

    /// y = 0 0 0 1 1 2 2 2 2 2, prediction 0 0 1 1 2 2 2 2 0 1: counted by hand.
    #[test]
    fn scores_by_hand() {
        let labels = [0, 0, 0, 1, 1, 2, 2, 2, 2, 2];
        let logits = predicting(&[0, 0, 1, 1, 2, 2, 2, 2, 0, 1], 3);
        let result = evaluate(&logits, &labels, &classes(3), 2).unwrap();
        assert_eq!(result.confusion, [vec![2, 1, 0], vec![0, 1, 1], vec![1, 1, 3]]);
        close(result.top1, 0.6);
        close(result.top5, 1.0);
        close(result.baseline.top1, 0.5);
        assert_eq!(result.baseline.class, "c2");
        let expected =
            [(2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 3, 3), (1.0 / 3.0, 0.5, 0.4, 2, 3), (0.75, 0.6, 2.0 / 3.0, 5, 4)];
        for (score, (precision, recall, f1, support, predicted)) in result.classes.iter().zip(expected) {
            close(score.precision, precision);
            close(score.recall, recall);
            close(score.f1, f1);
            assert_eq!((score.support, score.predicted), (support, predicted));
        }
        close(result.macro_precision, 7.0 / 12.0);
        close(result.macro_recall, 53.0 / 90.0);
        close(result.macro_f1, 26.0 / 45.0);
    }

    #[test]
    fn classes_that_do_not_occur_are_left_out_of_means_and_shares_of_nothing_are_zero() {
        // c1 is predicted and has no photos, c2 does not occur at all.
        let result = evaluate(&predicting(&[0, 1], 3), &[0, 0], &classes(3), 1).unwrap();
        close(result.macro_precision, 0.5);
        close(result.macro_recall, 0.25);
        assert_eq!((result.classes[2].precision, result.classes[2].recall, result.classes[2].f1), (0.0, 0.0, 0.0));
        close(result.baseline.top1, 0.0);
    }

    #[test]
    fn log_loss_and_probabilities() {
        // Two classes, logits 0 and ln 3: probabilities 1/4 and 3/4.
        let row = [0.0, 3f32.ln()];
        let probabilities = softmax(&row);
        assert!((probabilities[0] - 0.25).abs() < 1e-7 && (probabilities[1] - 0.75).abs() < 1e-7);
        let logits: Vec<f32> = row.iter().chain(&row).copied().collect();
        let result = evaluate(&logits, &[1, 0], &classes(2), 0).unwrap();
        assert!((result.log_loss - (4f64.ln() + (4.0f64 / 3.0).ln()) / 2.0).abs() < 1e-7, "{}", result.log_loss);
        // Confidence 3/4, accuracy 1/2.
        assert!((result.calibration_error - 0.25).abs() < 1e-7, "{}", result.calibration_error);
        // Huge logits: no overflow, no infinite loss.
        let result = evaluate(&[1e4, -1e4], &[1], &classes(2), 0).unwrap();
        close(result.log_loss, 2e4);
    }

    #[test]
    fn calibration_bins_are_apart() {
        // Certain and right, certain and wrong, two even guesses of which one is right.
        let result = evaluate(&[50.0, 0.0, 50.0, 0.0, 0.0, 0.0, 0.0, 0.0], &[0, 1, 0, 1], &classes(2), 0).unwrap();
        close(result.calibration_error, 0.25);
    }

    #[test]
    fn ranking_is_by_logit_then_by_number() {
        assert_eq!(top(&[1.0, 3.0, 3.0, -1.0], 3), [1, 2, 0]);
        assert_eq!(top(&[1.0], 5), [0]);
        let row = [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        let logits: Vec<f32> = row.iter().chain(&row).copied().collect();
        close(evaluate(&logits, &[4, 5], &classes(7), 0).unwrap().top5, 0.5);
    }

    #[test]
    fn interval_of_wilson() {
        // Known values: 0 of 10 gives [0, 0.2775], 8 of 10 [0.4902, 0.9433], 81 of 263 [0.2553, 0.3662].
        for (hits, count, expected) in
            [(0, 10, [0.0, 0.277_533]), (8, 10, [0.490_162, 0.943_318]), (81, 263, [0.255_294, 0.366_214])]
        {
            let interval = wilson(hits, count);
            for (got, expected) in interval.iter().zip(expected) {
                assert!((got - expected).abs() < 1e-4, "{interval:?}");
            }
        }
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(evaluate(&[], &[], &classes(2), 0).is_err());
        assert!(evaluate(&[0.0; 3], &[0], &classes(2), 0).unwrap_err().to_string().contains("expected 2"));
        assert!(evaluate(&[0.0; 2], &[2], &classes(2), 0).is_err());
        assert!(evaluate(&[0.0; 2], &[0], &classes(2), 2).is_err());
        assert!(matches!(evaluate(&[f32::NAN, 0.0], &[0], &classes(2), 0), Err(Error::NotFinite { .. })));
    }
}
