//! From logits to a probability for each class by itself, and to the classes that are named, in f64.

use crate::data::Class;

/// Turns a logit into a probability: 1 / (1 + exp(−x)).
pub fn sigmoid(logit: f64) -> f64 {
    match logit >= 0.0 {
        true => 1.0 / (1.0 + (-logit).exp()),
        // A small one keeps all its digits.
        false => logit.exp() / (1.0 + logit.exp()),
    }
}

/// Computes −ln p of a set of classes: Σ ln (1 + exp(x)) over all classes, less the logits of those that are in the set.
pub(crate) fn loss<T: Copy + Into<f64>>(logits: &[T], set: &[Class]) -> f64 {
    let all: f64 = logits.iter().map(|&logit| softplus(logit.into())).sum();
    all - set.iter().map(|class| logits[class.index()].into()).sum::<f64>()
}

/// Computes ln (1 + exp(x)) without overflow.
pub(crate) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Lists the classes whose value is at or above its cut, in ascending order.
pub(crate) fn above(logits: &[f32], cuts: impl IntoIterator<Item = f64>) -> Vec<Class> {
    let classes = logits.iter().zip(cuts).enumerate().filter(|(_, (logit, cut))| f64::from(**logit) >= *cut);
    classes.map(|(class, _)| Class::new(class)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_and_losses_by_hand() {
        // Logits 0, ln 3 and −ln 3: probabilities 1/2, 3/4 and 1/4.
        let row = [0.0, 3f32.ln(), -(3f32.ln())];
        for (logit, expected) in row.into_iter().zip([0.5, 0.75, 0.25]) {
            assert!((sigmoid(logit.into()) - expected).abs() < 1e-7);
        }
        let set = [0, 2].map(Class::new);
        assert!((loss(&row, &set) + (0.5f64 * 0.25 * 0.25).ln()).abs() < 1e-6);
        assert!((loss(&row, &[]) + (0.5f64 * 0.25 * 0.75).ln()).abs() < 1e-6);
        // Huge logits: no overflow, no infinite logarithm.
        assert_eq!(loss(&[1e4, -1e4], &[Class::new(1)]), 2e4);
        assert_eq!((sigmoid(1e4), sigmoid(-1e4)), (1.0, 0.0));
        assert!((sigmoid(-40.0) / (-40f64).exp() - 1.0).abs() < 1e-15);
        assert_eq!(above(&row, [0.0, 2.0, -2.0]), set);
    }
}
