//! add_relu, by its definition.

use super::{ATOL, Expected, UNIT};
use crate::AddReluDesc;

/// Computes `output[i] = max(0, a[i] + b[i])`, or the plain sum.
///
/// Bound: u |a + b|, one rounding.
pub fn add_relu(desc: &AddReluDesc, a: &[f32], b: &[f32]) -> Expected {
    let values: Vec<_> = a.iter().zip(b).map(|(&a, &b)| f64::from(a) + f64::from(b)).collect();
    let bounds = values.iter().map(|sum| UNIT * sum.abs() + ATOL).collect();
    let sum = Expected { values, bounds };
    if desc.relu { sum.relu() } else { sum }
}
