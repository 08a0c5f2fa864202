//! From logits to probabilities and to an order of the classes, in f64.

use crate::data::Class;

/// Turns a row of logits into probabilities: exp(xᵢ − max x) / Σ exp(xⱼ − max x), in f64.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let max = max(logits);
    let powers: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - max).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Computes ln softmax(x) of one class without the underflow of its parts.
///
/// # Panics
/// Where there is no logit of this class.
pub(crate) fn log_softmax(logits: &[f32], class: Class) -> f64 {
    let max = max(logits);
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - max).exp()).sum();
    f64::from(logits[class.index()]) - max - sum.ln()
}

/// Computes ln Σ exp(xᵢ) without overflow.
pub(crate) fn log_sum(logits: &[f32]) -> f64 {
    let max = max(logits);
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - max).exp()).sum();
    max + sum.ln()
}

/// Finds the greatest logit.
pub(crate) fn max(logits: &[f32]) -> f64 {
    logits.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(f64::from(x)))
}

/// Finds the `count` classes with the greatest logits, the greatest first; equal logits are ranked by the number of their class.
pub fn top(logits: &[f32], count: usize) -> Vec<Class> {
    let rank = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
    let mut order: Vec<usize> = (0..logits.len()).collect();
    if (1..order.len()).contains(&count) {
        // Of a thousand classes, few are asked for.
        order.select_nth_unstable_by(count - 1, rank);
    }
    order.truncate(count);
    order.sort_unstable_by(rank);
    order.into_iter().map(Class::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_by_hand() {
        // Two classes, logits 0 and ln 3: probabilities 1/4 and 3/4.
        let row = [0.0, 3f32.ln()];
        let probabilities = softmax(&row);
        assert!((probabilities[0] - 0.25).abs() < 1e-7 && (probabilities[1] - 0.75).abs() < 1e-7);
        assert!((log_softmax(&row, Class::new(0)) + 4f64.ln()).abs() < 1e-7);
        // Huge logits: no overflow, no infinite logarithm.
        assert_eq!(log_softmax(&[1e4, -1e4], Class::new(1)), -2e4);
    }

    #[test]
    fn the_order_is_by_logit_then_by_number() {
        assert_eq!(top(&[1.0, 3.0, 3.0, -1.0], 3), [1, 2, 0].map(Class::new));
        assert_eq!(top(&[1.0], 5), [Class::new(0)]);
        assert_eq!((top(&[1.0, 2.0], 0), top(&[], 3)), (vec![], vec![]));
        let many: Vec<f32> = (0..100).map(|i| ((i * 37) % 50) as f32).collect();
        let all = top(&many, 100);
        assert!((0..=100).all(|count| top(&many, count) == all[..count]));
        assert!(all.is_sorted_by_key(|class| (-many[class.index()] as i32, class.index())));
    }
}
