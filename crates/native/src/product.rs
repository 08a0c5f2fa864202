//! Products of matrices: of a strip of rows with packed panels, and of any two matrices on all threads.

use std::ops::Range;

use crate::gather::Rows;
use crate::panels::Panels;
use crate::simd::Isa;
use crate::tile::{Block, Finish, Output};

/// The most rows of a part: with a part of the depth they stay in a core's second cache.
pub(crate) const MOST_ROWS: usize = 192;

/// The most of the depth at a time: a panel of it stays in a core's first cache.
const MOST_DEPTH: usize = 256;

/// Numbers of scratch memory that [`Strip::multiply`] takes.
pub(crate) const SCRATCH: usize = MOST_ROWS * (MOST_DEPTH + 32);

/// Some rows, with some panels, of a product.
pub(crate) struct Strip<'a, R> {
    /// The left matrix.
    pub left: &'a R,
    /// Rows of it, and of the output.
    pub rows: Range<usize>,
    /// The right matrix.
    pub panels: &'a Panels,
    /// The panels that are multiplied.
    pub columns: Range<usize>,
    /// The column of the output in which the first panel's come.
    pub column: usize,
}

impl<R: Rows> Strip<'_, R> {
    /// Multiplies. The depth is cut the same whatever the rows and columns, so that each number is the same in any strip.
    pub fn multiply(&self, isa: Isa, scratch: &mut [f32], output: Output<'_>, finish: Finish<'_>) {
        let depth = self.panels.depth;
        let parts = depth.div_ceil(MOST_DEPTH);
        for part in 0..parts {
            let depth = part * depth / parts..(part + 1) * depth / parts;
            let (rows, stride) = self.left.part(self.rows.clone(), depth.clone(), scratch);
            let accumulate = finish.accumulate || part > 0;
            let finish = if part + 1 == parts { finish } else { Finish::default() };
            isa.run(Block {
                rows,
                stride,
                panels: self.panels,
                columns: self.columns.clone(),
                depth,
                // SAFETY: one block after the other uses it.
                output: unsafe { output.again() },
                at: self.rows.clone(),
                column: self.column,
                finish: Finish { accumulate, ..finish },
            });
        }
    }
}
