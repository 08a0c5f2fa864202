//! normalize, by its definition.

use super::{ATOL, Expected};
use crate::NormalizeDesc;

/// Computes `output[p, c] = table[c, bytes[3 p + c]]` for three colours, and zero in the fourth place of each pixel.
///
/// Bound: none, what is looked up is copied. An f16 output's bound is that of its rounding: [`Expected::to_f16`].
pub fn normalize(desc: &NormalizeDesc, bytes: &[u8], table: &[[f32; 256]; 3]) -> Expected {
    let colours = bytes.chunks_exact(3).take(desc.pixels as usize);
    let pixel = |pixel: &[u8]| {
        let [red, green, blue] = std::array::from_fn(|c| f64::from(table[c][usize::from(pixel[c])]));
        [red, green, blue, 0.0]
    };
    let values: Vec<f64> = colours.flat_map(pixel).collect();
    let bounds = vec![ATOL; values.len()];
    Expected { values, bounds }
}
