//! global_avg_pool2d, by its definition.

use super::{ATOL, Expected, gamma};
use crate::GlobalAvgPool2dDesc;

/// Computes `output[n,c] = 1/(H W) sum over h, w of input[n,h,w,c]`.
///
/// Bound: gamma(H W + 4) sum |input| / (H W): the sum, and a division that WGSL lets err by 2.5 units in the last place.
pub fn global_avg_pool2d(desc: &GlobalAvgPool2dDesc, input: &[f32]) -> Expected {
    let channels = desc.channels as usize;
    let pixels = desc.height as usize * desc.width as usize;
    let mut expected = Expected { values: Vec::new(), bounds: Vec::new() };
    for image in input.chunks(pixels * channels) {
        for channel in 0..channels {
            let terms = || image.iter().skip(channel).step_by(channels).map(|&x| f64::from(x));
            let magnitude: f64 = terms().map(f64::abs).sum();
            expected.values.push(terms().sum::<f64>() / pixels as f64);
            expected.bounds.push(gamma(pixels + 4) * magnitude / pixels as f64 + ATOL);
        }
    }
    expected
}
