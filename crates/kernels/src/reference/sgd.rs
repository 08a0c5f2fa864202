//! sgd, by its definition.

use super::{ATOL, Expected, UNIT};
use crate::SgdDesc;

/// Takes one step of gradient descent, on `param` and `momentum` in place; step 1 starts the momentum.
///
/// ```text
/// g = grad + weight_decay param
/// m = g at the first step, then momentum m + (1 - dampening) g
/// param -= learning_rate (g + momentum m with nesterov, else m; g without momentum)
/// ```
///
/// Bound: what the state brings along, carried through the formula, and 3 u of every term of each line (its constant, its
/// product and the sum are rounded).
pub fn sgd(
    desc: &SgdDesc,
    (learning_rate, step): (f64, u32),
    param: &mut Expected,
    grad: &[f32],
    momentum: &mut Expected,
) {
    for (i, &grad) in grad.iter().enumerate() {
        let grad = f64::from(grad);
        let (x, x_error) = (param.values[i], param.bounds[i]);
        let decays = i as u32 % desc.row < desc.decayed;
        let weight_decay = if decays { desc.weight_decay } else { 0.0 };
        let decay = weight_decay * x;
        let g = grad + decay;
        let g_error = weight_decay * x_error + 3.0 * UNIT * (grad.abs() + decay.abs());
        let (mut d, mut d_error) = (g, g_error);
        if desc.momentum != 0.0 {
            let fresh = 1.0 - desc.dampening;
            let (m, m_error) = if step == 1 {
                (g, g_error)
            } else {
                let kept = desc.momentum * momentum.values[i];
                let rounding = 3.0 * UNIT * (kept.abs() + (fresh * g).abs());
                (kept + fresh * g, desc.momentum * momentum.bounds[i] + fresh.abs() * g_error + rounding)
            };
            (momentum.values[i], momentum.bounds[i]) = (m, m_error + ATOL);
            (d, d_error) = if desc.nesterov {
                let ahead = desc.momentum * m;
                (g + ahead, g_error + desc.momentum * m_error + 3.0 * UNIT * (g.abs() + ahead.abs()))
            } else {
                (m, m_error)
            };
        }
        let moved = learning_rate * d;
        param.values[i] = x - moved;
        param.bounds[i] = x_error + learning_rate * d_error + 3.0 * UNIT * (x.abs() + moved.abs()) + ATOL;
    }
}
