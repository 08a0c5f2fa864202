//! softmax_cross_entropy, by its definition.

use super::{ATOL, Expected, UNIT, gamma};
use crate::{Reduction, SoftmaxCrossEntropyDesc};

/// Computes the loss of every sample and the gradient of the logits:
/// `loss[b] = s[b]/W (-(1 - e) w[y] log p[y] - e/K sum over c of w[c] log p[c])`.
///
/// Bound: e(x) = u (6 + 5 |x|) for exp of a difference x of logits (WGSL grants (3 + 2 |x|) units in the last place, and x is rounded);
/// the sum S of exp adds gamma(K/64 + 96); its logarithm 2^-21 + 6 u log S; everything is multiplied and added up with
/// gamma(K/64 + B/64 + 256) of the magnitudes.
pub fn softmax_cross_entropy(
    desc: &SoftmaxCrossEntropyDesc,
    logits: &[f32],
    labels: &[u32],
    class_weights: Option<&[f32]>,
    sample_weights: Option<&[f32]>,
) -> (Expected, Expected) {
    let classes = desc.classes as usize;
    let weight = |c: usize| class_weights.map_or(1.0, |weights| f64::from(weights[c]));
    let sample = |b: usize| sample_weights.map_or(1.0, |weights| f64::from(weights[b]));
    let counted = |b: usize| (labels[b] as usize) < classes;
    let all_classes: f64 = (0..classes).map(weight).sum();
    let divisor = match desc.reduction {
        Reduction::Mean => {
            (0..labels.len()).filter(|&b| counted(b)).map(|b| sample(b) * weight(labels[b] as usize)).sum()
        }
        Reduction::Sum => 1.0,
    };
    let (confidence, spread) = (1.0 - desc.label_smoothing, desc.label_smoothing / classes as f64);
    let rounding = gamma(classes / 64 + labels.len() / 64 + 256);

    let mut loss = Expected { values: Vec::new(), bounds: Vec::new() };
    let mut grad = Expected { values: Vec::new(), bounds: Vec::new() };
    let logits = match desc.classes_first {
        true => transposed(logits, labels.len()),
        false => logits.to_vec(),
    };
    for (b, row) in logits.chunks(classes).enumerate() {
        if !counted(b) || divisor == 0.0 {
            loss.values.push(0.0);
            loss.bounds.push(ATOL);
            grad.values.extend(vec![0.0; classes]);
            grad.bounds.extend(vec![ATOL; classes]);
            continue;
        }
        let label = labels[b] as usize;
        let highest = row.iter().fold(f64::NEG_INFINITY, |highest, &x| highest.max(f64::from(x)));
        let x: Vec<_> = row.iter().map(|&x| f64::from(x) - highest).collect();
        let sum: f64 = x.iter().map(|x| x.exp()).sum();
        let log_sum = sum.ln();
        let exp_error = |x: f64| UNIT * (6.0 + 5.0 * x.abs());
        let sum_error = x.iter().map(|&x| x.exp() * exp_error(x)).sum::<f64>() / sum + gamma(classes / 64 + 96);
        let log_error = 2.0 * sum_error + 0.5f64.powi(21) + 6.0 * UNIT * log_sum;

        let scale = sample(b) / divisor;
        let target = confidence * weight(label);
        let smooth: f64 = x.iter().enumerate().map(|(c, x)| weight(c) * x).sum();
        let slope = target + spread * all_classes;
        loss.values.push(scale * (target * (log_sum - x[label]) + spread * (all_classes * log_sum - smooth)));
        let magnitude = target * (log_sum - x[label]) + spread * (all_classes * log_sum - smooth);
        loss.bounds.push(scale * (slope * log_error + rounding * magnitude) + ATOL);

        for (c, &x) in x.iter().enumerate() {
            let probability = x.exp() / sum;
            let at_label = if c == label { target } else { 0.0 };
            grad.values.push(scale * (slope * probability - spread * weight(c) - at_label));
            let probability_error = probability * (exp_error(x) + 2.0 * sum_error);
            let magnitude = slope * probability + spread * weight(c) + at_label;
            grad.bounds.push(scale * (slope * probability_error + rounding * magnitude) + ATOL);
        }
    }
    if desc.classes_first {
        let Expected { values, bounds } = grad;
        grad = Expected { values: transposed(&values, classes), bounds: transposed(&bounds, classes) };
    }
    (loss, grad)
}

/// Transposes a matrix of so many columns.
fn transposed<T: Copy>(matrix: &[T], columns: usize) -> Vec<T> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}
