//! A matrix packed as the tiles of a product read it: panels of a few columns, row after row.

use resnet::Error;

use crate::memory::zeros;
use crate::simd::{Isa, VECTORS, padded};

/// The right matrix of a product, `[depth, columns]`, in panels of [`VECTORS`] vectors' columns; the last may be narrower.
#[derive(Debug)]
pub(crate) struct Panels {
    values: Vec<f32>,
    /// Rows.
    pub depth: usize,
    /// Columns, whole vectors of them: what is behind the matrix's own is zero.
    pub columns: usize,
    /// Columns of a panel.
    width: usize,
}

impl Panels {
    /// Makes panels of zeros.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn zeros(isa: Isa, depth: usize, columns: usize) -> Result<Self, Error> {
        let columns = padded(columns);
        Ok(Self { values: zeros("weights", depth * columns, false)?, depth, columns, width: VECTORS * isa.lanes() })
    }

    /// Counts the panels.
    pub fn count(&self) -> usize {
        self.columns.div_ceil(self.width)
    }

    /// Counts the columns before a panel.
    pub fn before(&self, panel: usize) -> usize {
        (panel * self.width).min(self.columns)
    }

    /// Gives the rows of a panel from `first` on, and its columns.
    pub fn panel(&self, panel: usize, first: usize) -> (&[f32], usize) {
        let (start, end) = (self.before(panel), self.before(panel + 1));
        (&self.values[start * self.depth + first * (end - start)..end * self.depth], end - start)
    }

    /// Gives each panel to be written, with the first of its columns and how many it has.
    pub fn panels_mut(&mut self) -> impl Iterator<Item = (&mut [f32], usize, usize)> {
        let (depth, width, columns) = (self.depth, self.width, self.columns);
        let panels = self.values.chunks_mut((depth * width).max(1)).enumerate();
        panels.map(move |(panel, values)| {
            let first = panel * width;
            (values, first, width.min(columns - first))
        })
    }

    /// Sets every number: `value(row, column)` for the matrix's own columns, of which there are so many.
    pub fn fill(&mut self, own: usize, value: impl Fn(usize, usize) -> f32) {
        for (panel, first, width) in self.panels_mut() {
            for (row, numbers) in panel.chunks_exact_mut(width).enumerate() {
                for (column, number) in (first..own).zip(numbers) {
                    *number = value(row, column);
                }
            }
        }
    }
}
