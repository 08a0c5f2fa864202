//! sigmoid_cross_entropy, by its definition.

use super::{ATOL, Expected, UNIT, gamma};
use crate::SigmoidCrossEntropyDesc;

/// Computes the loss of every sample and the gradient of the logits: `loss[b] = s[b] sum over c of (-y log p - (1 - y) log (1 - p))`, p being the sigmoid.
///
/// Bound: e(z) = u (6 + 2 |z|) for exp of −|z|, of which WGSL grants (3 + 2 |z|) units in the last place; log (1 + exp) is off by 2^-21 and what its argument moves it, e(z) exp(−|z|) + u; the
/// sum adds gamma(K + 8) of the magnitudes. p is off by e(z) p (1 − p) and 4 u p, the difference by u.
pub fn sigmoid_cross_entropy(
    desc: &SigmoidCrossEntropyDesc,
    logits: &[f32],
    targets: &[f32],
    sample_weights: &[f32],
) -> (Expected, Expected) {
    let (batch, classes) = (desc.batch as usize, desc.classes as usize);
    let mut loss = Expected { values: vec![0.0; batch], bounds: vec![ATOL; batch] };
    let mut grad = Expected { values: vec![0.0; batch * classes], bounds: vec![ATOL; batch * classes] };
    for (i, (&z, &y)) in logits.iter().zip(targets).enumerate() {
        let (b, z, y) = (i % batch, f64::from(z), f64::from(y));
        let s = f64::from(sample_weights[b]);
        // ln (1 + exp(x)), which is -log of the probability of the contrary.
        let softplus = |x: f64| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
        let (p, power) = ((-softplus(-z)).exp(), (-z.abs()).exp());
        let exp_error = UNIT * (6.0 + 2.0 * z.abs());
        loss.values[b] += s * (y * softplus(-z) + (1.0 - y) * softplus(z));
        let magnitude = z.abs() * (1.0 + y) + power.ln_1p();
        loss.bounds[b] += s * (exp_error * power + 0.5f64.powi(21) + UNIT + gamma(classes + 8) * magnitude);
        grad.values[i] = s * (p - y);
        grad.bounds[i] += s * (exp_error * p * (1.0 - p) + 4.0 * UNIT * p + 2.0 * UNIT * (p - y).abs());
    }
    (loss, grad)
}
