//! Winograd's transform of weights, on the host in f64.

use std::ops::Range;

/// Output channels that are transformed together, so that the compiler can use vectors.
const BLOCK: usize = 16;
type Block = [f64; BLOCK];

/// Applies G of F(4,3) to three values, Lavin and Gray's points 0, 1, -1, 2, -2 and infinity.
fn points([a, b, c]: [&Block; 3]) -> [Block; 6] {
    let mut points = [[0.0; BLOCK]; 6];
    for i in 0..BLOCK {
        let (near, near_odd) = ((a[i] + c[i]) * (-1.0 / 6.0), b[i] * (1.0 / 6.0));
        let (far, far_odd) = (a[i] * (1.0 / 24.0) + c[i] * (1.0 / 6.0), b[i] * (1.0 / 12.0));
        points[0][i] = a[i] * 0.25;
        points[1][i] = near - near_odd;
        points[2][i] = near + near_odd;
        points[3][i] = far + far_odd;
        points[4][i] = far - far_odd;
        points[5][i] = c[i];
    }
    points
}

/// Computes G w G^T for each pair of one of the input channels and one of these output channels: those of a point and an input channel stand in
/// `out` from `place(point, channel)` on.
pub(super) fn transform_panel(
    inputs: usize,
    outputs: Range<usize>,
    weight: &[f32],
    place: impl Fn(usize, usize) -> usize,
    out: &mut [f32],
) {
    let Range { start, end } = outputs;
    for c in 0..inputs {
        for first in (start..end).step_by(BLOCK) {
            let count = BLOCK.min(end - first);
            let mut w = [[0.0; BLOCK]; 9];
            for column in 0..count {
                let taps = &weight[((first + column) * inputs + c) * 9..][..9];
                for (tap, &value) in taps.iter().enumerate() {
                    w[tap][column] = f64::from(value);
                }
            }
            // Down the columns, then along the rows.
            let down = [0, 1, 2].map(|j| points([&w[j], &w[3 + j], &w[6 + j]]));
            for i in 0..6 {
                for (j, block) in points([&down[0][i], &down[1][i], &down[2][i]]).iter().enumerate() {
                    let out = &mut out[place(i * 6 + j, c) + first - start..];
                    for (out, &value) in out.iter_mut().zip(&block[..count]) {
                        *out = value as f32;
                    }
                }
            }
        }
    }
}
