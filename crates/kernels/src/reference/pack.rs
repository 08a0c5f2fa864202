//! pack, by its definition.

use super::{ATOL, Expected};
use crate::PackDesc;

/// Computes `output[b, panel, r, c] = input[b batch_stride + r row_stride + (panel width + c) column_stride]`, zero past rows and columns.
///
/// Bound: none, a copy is exact.
pub fn pack(desc: &PackDesc, input: &[f32]) -> Expected {
    let panels = desc.columns.div_ceil(desc.panel);
    let mut values = Vec::new();
    for batch in 0..desc.batch {
        for panel in 0..panels {
            for row in 0..desc.padded_rows {
                for place in 0..desc.panel {
                    let column = panel * desc.panel + place;
                    let inside = row < desc.rows && column < desc.columns;
                    let index = batch as usize * desc.batch_stride as usize
                        + row as usize * desc.row_stride as usize
                        + column as usize * desc.column_stride as usize;
                    values.push(if inside { f64::from(input[index]) } else { 0.0 });
                }
            }
        }
    }
    let bounds = vec![ATOL; values.len()];
    Expected { values, bounds }
}
