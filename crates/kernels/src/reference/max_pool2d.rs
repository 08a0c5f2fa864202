//! max_pool2d, by its definition.

use super::{ATOL, Expected};
use crate::MaxPool2dDesc;

/// Computes `output[n,i,j,c] = max over h, w of input[n, i stride + h dilation - padding, …, c]`, where that lies inside; NaN where one of them is.
///
/// Bound: none, a maximum is exact.
pub fn max_pool2d(desc: &MaxPool2dDesc, input: &[f32]) -> Expected {
    let [out_height, out_width] = desc.output_size().unwrap_or_default();
    let (height, width) = (i64::from(desc.height), i64::from(desc.width));
    let mut values = Vec::new();
    for n in 0..i64::from(desc.batch) {
        for i in 0..out_height {
            for j in 0..out_width {
                for c in 0..desc.channels {
                    let mut best = f64::NEG_INFINITY;
                    for h in 0..desc.kernel[0] {
                        for w in 0..desc.kernel[1] {
                            let row = i64::from(i * desc.stride[0] + h * desc.dilation[0]) - i64::from(desc.padding[0]);
                            let column =
                                i64::from(j * desc.stride[1] + w * desc.dilation[1]) - i64::from(desc.padding[1]);
                            if (0..height).contains(&row) && (0..width).contains(&column) {
                                let pixel = (n * height + row) * width + column;
                                let value = f64::from(input[pixel as usize * desc.channels as usize + c as usize]);
                                if value > best || value.is_nan() {
                                    best = value;
                                }
                            }
                        }
                    }
                    values.push(best);
                }
            }
        }
    }
    let bounds = vec![ATOL; values.len()];
    Expected { values, bounds }
}
