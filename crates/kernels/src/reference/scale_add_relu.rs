//! scale_add_relu, by its definition.

use super::{ATOL, Expected, UNIT};
use crate::ScaleAddReluDesc;

/// Computes `output[n,h,w,c] = max(0, sigmoid(gate[n,c]) input[n,h,w,c] + residual[n,h,w,c])`, `sigmoid(x) = 1 / (1 + exp(-x))`.
///
/// Bound: u ((16 + 4 |gate|) sigmoid(gate) |input| + |sum|): WGSL grants exp (3 + 2 |x|) and the division 2.5 units in the last
/// place, of at most 2 u each; three operations round. An exp that is too small for f32 may become 0.
pub fn scale_add_relu(desc: &ScaleAddReluDesc, input: &[f32], gate: &[f32], residual: &[f32]) -> Expected {
    let channels = desc.channels as usize;
    let image = desc.height as usize * desc.width as usize * channels;
    let mut sum = Expected { values: Vec::new(), bounds: Vec::new() };
    for (i, (&x, &added)) in input.iter().zip(residual).enumerate() {
        let (x, gate) = (f64::from(x), f64::from(gate[i / image * channels + i % channels]));
        let sigmoid = 1.0 / (1.0 + (-gate).exp());
        let value = sigmoid * x + f64::from(added);
        let lost = x.abs() * f64::from(f32::MIN_POSITIVE);
        sum.values.push(value);
        sum.bounds.push(UNIT * ((16.0 + 4.0 * gate.abs()) * sigmoid * x.abs() + value.abs()) + lost + ATOL);
    }
    sum.relu()
}
