//! avg_pool2d, by its definition.

use super::{ATOL, Expected, gamma};
use crate::AvgPool2dDesc;

/// Computes `output[n,i,j,c] = 1/D sum over kh, kw of input[n, i sh + kh - ph, j sw + kw - pw, c]`, pixels outside being zero.
///
/// D is the number of the window's pixels inside the padded image, or without `count_include_pad` inside the image. Only in ceil
/// mode are there others.
///
/// Bound: gamma(kernel area + 4) sum |input| / D: the sum, and a division that WGSL lets err by 2.5 units in the last place.
pub fn avg_pool2d(desc: &AvgPool2dDesc, input: &[f32]) -> Expected {
    let [output_height, output_width] = desc.output_size().unwrap_or_default();
    let pixel = |n: u32, y: i64, x: i64, c: u32| {
        let inside = (0..i64::from(desc.height)).contains(&y) && (0..i64::from(desc.width)).contains(&x);
        let row = i64::from(n) * i64::from(desc.height) + y;
        let index = (row * i64::from(desc.width) + x) * i64::from(desc.channels) + i64::from(c);
        inside.then(|| f64::from(input[index as usize]))
    };
    let area = (desc.kernel[0] * desc.kernel[1]) as usize;
    let mut expected = Expected { values: Vec::new(), bounds: Vec::new() };
    for n in 0..desc.batch {
        for i in 0..output_height {
            for j in 0..output_width {
                for c in 0..desc.channels {
                    let (mut sum, mut magnitude, mut inside, mut padded) = (0.0, 0.0, 0, 0);
                    for kh in 0..desc.kernel[0] {
                        for kw in 0..desc.kernel[1] {
                            let y = i64::from(i * desc.stride[0] + kh) - i64::from(desc.padding[0]);
                            let x = i64::from(j * desc.stride[1] + kw) - i64::from(desc.padding[1]);
                            let within = |at: i64, size: u32, padding: u32| at < i64::from(size + padding);
                            if within(y, desc.height, desc.padding[0]) && within(x, desc.width, desc.padding[1]) {
                                padded += 1;
                            }
                            if let Some(value) = pixel(n, y, x, c) {
                                sum += value;
                                magnitude += value.abs();
                                inside += 1;
                            }
                        }
                    }
                    let divisor = f64::from(if desc.count_include_pad { padded } else { inside });
                    expected.values.push(sum / divisor);
                    expected.bounds.push(gamma(area + 4) * magnitude / divisor + ATOL);
                }
            }
        }
    }
    expected
}
