//! dense, by its definition.

use super::Expected;
use crate::{DenseDesc, MatmulDesc};

/// Computes `output[c,b] = sum over i of weight[c,i] table[picks[b], i]`.
///
/// Bound: that of [`matmul`](super::matmul) with the picked rows.
pub fn dense(desc: &DenseDesc, table: &[f32], picks: &[u32], weight: &[f32]) -> Expected {
    let product = MatmulDesc { transpose_b: true, ..MatmulDesc::new(desc.classes, desc.width, desc.batch) };
    super::matmul(&product, weight, &picked(desc, table, picks), None)
}

/// Computes `grad_weight[c,i] = sum over b of grad_output[c,b] table[picks[b], i]`.
///
/// Bound: that of [`matmul`](super::matmul) with the picked rows.
pub fn dense_backward(desc: &DenseDesc, table: &[f32], picks: &[u32], grad_output: &[f32]) -> Expected {
    let product = MatmulDesc::new(desc.classes, desc.batch, desc.width);
    super::matmul(&product, grad_output, &picked(desc, table, picks), None)
}

fn picked(desc: &DenseDesc, table: &[f32], picks: &[u32]) -> Vec<f32> {
    let width = desc.width as usize;
    picks.iter().flat_map(|&pick| &table[pick as usize * width..][..width]).copied().collect()
}
