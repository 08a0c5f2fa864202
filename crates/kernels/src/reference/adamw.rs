//! adamw, by its definition.

use super::{ATOL, Expected, UNIT};
use crate::AdamWDesc;

/// Takes one step of Adam with decoupled weight decay, on `param` and both means in place; step 1 is the first.
///
/// ```text
/// m = beta1 m + (1 - beta1) grad,   v = beta2 v + (1 - beta2) grad^2
/// param = (1 - learning_rate weight_decay) param - learning_rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
/// ```
///
/// Bound: what the state brings along, carried through the formula, and 4 u of every term of each line; 16 u for the root
/// and 8 u for the quotient, which WGSL lets err by a few units in the last place; squares may underflow at 2^-126.
pub fn adamw(
    desc: &AdamWDesc,
    (learning_rate, step): (f64, u32),
    param: &mut Expected,
    grad: &[f32],
    [exp_avg, exp_avg_sq]: [&mut Expected; 2],
) {
    let t = f64::from(step);
    let (unbias1, unbias2) = (1.0 - desc.beta1.powf(t), 1.0 - desc.beta2.powf(t));
    let tiny = f64::from(f32::MIN_POSITIVE);
    for (i, &grad) in grad.iter().enumerate() {
        let grad = f64::from(grad);
        let (old, fresh) = (desc.beta1 * exp_avg.values[i], (1.0 - desc.beta1) * grad);
        let m = old + fresh;
        let m_error = desc.beta1 * exp_avg.bounds[i] + 4.0 * UNIT * (old.abs() + fresh.abs());
        let v = desc.beta2 * exp_avg_sq.values[i] + (1.0 - desc.beta2) * grad * grad;
        let v_error = desc.beta2 * exp_avg_sq.bounds[i] + 4.0 * UNIT * v + 2.0 * tiny;

        let root = (v / unbias2).sqrt();
        // sqrt(v + d) - sqrt(v) is at most d / sqrt(v), and at most sqrt(d).
        let root_error = (v_error / v.sqrt()).min(v_error.sqrt()) / unbias2.sqrt() + 16.0 * UNIT * root;
        let divisor = root + desc.eps;
        let divisor_error = root_error + 4.0 * UNIT * divisor;
        let quotient = m / divisor;
        let smallest = divisor - divisor_error;
        let quotient_error =
            m_error / smallest + quotient.abs() * divisor_error / smallest + 8.0 * UNIT * quotient.abs();

        let size = learning_rate / unbias1;
        let decays = i as u32 % desc.row < desc.decayed;
        let (x, decay) = (param.values[i], if decays { learning_rate * desc.weight_decay } else { 0.0 });
        param.values[i] = x - decay * x - size * quotient;
        param.bounds[i] = (1.0 + decay) * param.bounds[i]
            + size * quotient_error
            + 4.0 * UNIT * (x.abs() + (size * quotient).abs())
            + ATOL;
        (exp_avg.values[i], exp_avg.bounds[i]) = (m, m_error + ATOL);
        (exp_avg_sq.values[i], exp_avg_sq.bounds[i]) = (v, v_error + ATOL);
    }
}
