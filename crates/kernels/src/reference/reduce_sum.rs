//! reduce_sum, by its definition.

use super::{ATOL, Expected, gamma};
use crate::ReduceSumDesc;

/// Computes `output[c] = sum over r of input[r,c]`.
///
/// Bound: gamma(4 sqrt(rows) + 64) sum |input|, for partial sums of sqrt(rows) terms, added in no more than that many
/// groups again; the rest is room for sums split under a device's limits.
pub fn reduce_sum(desc: &ReduceSumDesc, input: &[f32]) -> Expected {
    let columns = desc.columns as usize;
    let depth = 4 * f64::from(desc.rows).sqrt().ceil() as usize + 64;
    let column = |c: usize| input.iter().skip(c).step_by(columns).map(|&x| f64::from(x));
    Expected {
        values: (0..columns).map(|c| column(c).sum()).collect(),
        bounds: (0..columns).map(|c| gamma(depth) * column(c).map(f64::abs).sum::<f64>() + ATOL).collect(),
    }
}
