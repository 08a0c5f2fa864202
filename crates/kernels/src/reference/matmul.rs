//! matmul, by its definition.

use super::{ATOL, Expected, gamma};
use crate::MatmulDesc;

/// Computes `output[b,m,n] = sum over k of a[b,m,k] b[b,k,n] (+ bias[n])`.
///
/// Bound: 2 gamma(k + 1) (sum |a b| + |bias|): the factor 2 for products that are rounded before they are added.
pub fn matmul(desc: &MatmulDesc, a: &[f32], b: &[f32], bias: Option<&[f32]>) -> Expected {
    let (m, k, n) = (desc.m as usize, desc.k as usize, desc.n as usize);
    let mut values = Vec::new();
    let mut bounds = Vec::new();
    for batch in 0..desc.batch as usize {
        let a_at =
            |i: usize, j: usize| f64::from(a[batch * m * k + if desc.transpose_a { j * m + i } else { i * k + j }]);
        let b_at =
            |i: usize, j: usize| f64::from(b[batch * k * n + if desc.transpose_b { j * k + i } else { i * n + j }]);
        for i in 0..m {
            for j in 0..n {
                let start = bias.map_or(0.0, |bias| f64::from(bias[j]));
                let (mut sum, mut magnitude) = (start, start.abs());
                for term in 0..k {
                    let product = a_at(i, term) * b_at(term, j);
                    sum += product;
                    magnitude += product.abs();
                }
                values.push(sum);
                bounds.push(2.0 * gamma(k + 1) * magnitude + ATOL);
            }
        }
    }
    Expected { values, bounds }
}
