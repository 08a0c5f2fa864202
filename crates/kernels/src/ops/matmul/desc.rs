//! Sizes, layout and operands of a matrix product.

use crate::{PackDesc, Precision};
use wgpu::BufferSlice;

pub(super) const OP: &str = "matmul";

/// Sizes and layout of a (batched) matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatmulDesc {
    /// Products of the same sizes.
    pub batch: u32,
    /// Rows of the output.
    pub m: u32,
    /// Terms of each sum.
    pub k: u32,
    /// Columns of the output.
    pub n: u32,
    /// Whether A is stored as `[batch, k, m]`.
    pub transpose_a: bool,
    /// Whether B is stored as `[batch, n, k]`.
    pub transpose_b: bool,
    /// Whether a bias of `n` elements is added to every row.
    pub bias: bool,
}

impl MatmulDesc {
    /// Takes one product of row-major matrices without bias.
    pub fn new(m: u32, k: u32, n: u32) -> Self {
        MatmulDesc { batch: 1, m, k, n, transpose_a: false, transpose_b: false, bias: false }
    }

    /// Counts multiplications and additions: 2 M K N a product.
    pub fn flops(&self) -> u64 {
        2 * [self.batch, self.m, self.k, self.n].iter().map(|&size| u64::from(size)).product::<u64>()
    }

    pub(super) fn a_len(&self) -> u64 {
        product(self.batch, self.m, self.k)
    }

    pub(super) fn b_len(&self) -> u64 {
        product(self.batch, self.k, self.n)
    }

    pub(super) fn output_len(&self) -> u64 {
        product(self.batch, self.m, self.n)
    }

    /// Packs A as the texture kernel reads it, rows of whole texels, when it isn't so already.
    pub(super) fn pack_a(&self) -> Option<PackDesc> {
        let (row_stride, column_stride) = if self.transpose_a { (1, self.m) } else { (self.k, 1) };
        (self.transpose_a || !self.k.is_multiple_of(4)).then(|| PackDesc {
            batch: self.batch,
            rows: self.m,
            columns: self.k,
            row_stride,
            column_stride,
            batch_stride: self.m * self.k,
            padded_rows: self.m,
            panel: self.k.next_multiple_of(4),
            precision: Precision::F32,
        })
    }

    /// Packs B as the texture kernel reads it, panels of so many columns and whole groups of four k, when it isn't so already.
    pub(super) fn pack_b(&self, panel: u32) -> Option<PackDesc> {
        let (row_stride, column_stride) = if self.transpose_b { (1, self.k) } else { (self.n, 1) };
        // Rows a power of two apart share a few lines of a cache: many rows of A make up for the packing.
        let many = self.m >= 256;
        (many || self.transpose_b || !self.n.is_multiple_of(4) || !self.k.is_multiple_of(4)).then(|| PackDesc {
            batch: self.batch,
            rows: self.k,
            columns: self.n,
            row_stride,
            column_stride,
            batch_stride: self.k * self.n,
            padded_rows: self.k.next_multiple_of(4),
            panel,
            precision: Precision::F32,
        })
    }
}

pub(super) fn product(a: u32, b: u32, c: u32) -> u64 {
    u64::from(a) * u64::from(b) * u64::from(c)
}

/// The operands of a [`Matmul`](crate::Matmul).
#[derive(Debug, Clone, Copy)]
pub struct MatmulBuffers<'a> {
    /// `[batch, m, k]`, or `[batch, k, m]` when transposed.
    pub a: BufferSlice<'a>,
    /// `[batch, k, n]`, or `[batch, n, k]` when transposed.
    pub b: BufferSlice<'a>,
    /// `[n]`, when the descriptor has a bias.
    pub bias: Option<BufferSlice<'a>>,
    /// `[batch, m, n]`.
    pub output: BufferSlice<'a>,
}
