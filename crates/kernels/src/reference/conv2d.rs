//! conv2d, by its definition.

use super::{ATOL, Expected, gamma};
use crate::Conv2dDesc;

/// The inputs of [`conv2d`].
#[derive(Debug, Clone, Copy)]
pub struct Conv2dInputs<'a> {
    /// The input, NHWC.
    pub input: &'a [f32],
    /// The weight, OIHW.
    pub weight: &'a [f32],
    /// The bias, one value an output channel.
    pub bias: Option<&'a [f32]>,
    /// The residual, shaped as the output.
    pub residual: Option<&'a [f32]>,
}

/// Computes `output[n,i,j,o] = relu(sum over h, w, c of input[n, i stride + h dilation - padding, …, c] weight[o,c,h,w] + bias[o] + residual)`.
///
/// Bound: 2 gamma(K + 2) (sum |x w| + |bias| + |residual|) for K terms. For kernels that use Winograd
/// (`winograd`) the sum is that of the absolute values that F(4x4, 3x3) adds up,
/// |A|^T [ sum over c of (|G||w||G|^T) (|B|^T|x||B|) ] |A|, and K = channels + 24: the 6 + 6 + 12 further roundings of
/// the transforms.
pub fn conv2d(desc: &Conv2dDesc, inputs: &Conv2dInputs<'_>, winograd: bool) -> Expected {
    let [height, width] = desc.output_size().unwrap_or_default().map(|size| size as usize);
    let outputs = desc.out_channels as usize;
    let group_in = (desc.in_channels / desc.groups) as usize;
    let group_out = outputs / desc.groups as usize;
    let [kernel_h, kernel_w] = desc.kernel.map(|size| size as usize);
    let transformed = winograd.then(|| Transformed::new(desc, inputs));
    let mut expected = Expected { values: Vec::new(), bounds: Vec::new() };
    for n in 0..desc.batch as usize {
        for i in 0..height {
            for j in 0..width {
                for o in 0..outputs {
                    let place = expected.values.len();
                    let start = inputs.bias.map_or(0.0, |bias| f64::from(bias[o]))
                        + inputs.residual.map_or(0.0, |residual| f64::from(residual[place]));
                    let around = inputs.bias.map_or(0.0, |bias| f64::from(bias[o]).abs())
                        + inputs.residual.map_or(0.0, |residual| f64::from(residual[place]).abs());
                    let (mut sum, mut magnitude) = (start, around);
                    for h in 0..kernel_h {
                        for w in 0..kernel_w {
                            for c in 0..group_in {
                                let channel = o / group_out * group_in + c;
                                let row = position(i, desc.stride[0], h, desc.dilation[0], desc.padding[0]);
                                let column = position(j, desc.stride[1], w, desc.dilation[1], desc.padding[1]);
                                let x = input_at(desc, inputs.input, n, [row, column], channel);
                                let product =
                                    x * f64::from(inputs.weight[((o * group_in + c) * kernel_h + h) * kernel_w + w]);
                                sum += product;
                                magnitude += product.abs();
                            }
                        }
                    }
                    let bound = match &transformed {
                        Some(t) => 2.0 * gamma(group_in + 24) * (around + t.magnitude([n, i, j, o])),
                        None => 2.0 * gamma(kernel_h * kernel_w * group_in + 2) * magnitude,
                    };
                    expected.values.push(sum);
                    expected.bounds.push(bound + ATOL);
                }
            }
        }
    }
    if desc.relu { expected.relu() } else { expected }
}

fn position(out: usize, stride: u32, tap: usize, dilation: u32, padding: u32) -> isize {
    (out * stride as usize + tap * dilation as usize) as isize - padding as isize
}

fn input_at(desc: &Conv2dDesc, input: &[f32], n: usize, [row, column]: [isize; 2], channel: usize) -> f64 {
    let (height, width) = (desc.height as usize, desc.width as usize);
    if row < 0 || column < 0 || row as usize >= height || column as usize >= width {
        return 0.0;
    }
    let pixel = (n * height + row as usize) * width + column as usize;
    f64::from(input[pixel * desc.in_channels as usize + channel])
}

/// The absolute values of F(4,3)'s matrices, from the paper.
const B: [[f64; 6]; 6] = [
    [4.0, 0.0, 5.0, 0.0, 1.0, 0.0],
    [0.0, 4.0, 4.0, 1.0, 1.0, 0.0],
    [0.0, 4.0, 4.0, 1.0, 1.0, 0.0],
    [0.0, 2.0, 1.0, 2.0, 1.0, 0.0],
    [0.0, 2.0, 1.0, 2.0, 1.0, 0.0],
    [0.0, 4.0, 0.0, 5.0, 0.0, 1.0],
];
const G: [[f64; 3]; 6] = [
    [0.25, 0.0, 0.0],
    [1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0],
    [1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];
const A: [[f64; 6]; 4] = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    [0.0, 1.0, 1.0, 2.0, 2.0, 0.0],
    [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
    [0.0, 1.0, 1.0, 8.0, 8.0, 1.0],
];

/// |G||w||G|^T for each pair of channels and |B|^T|x||B| for each tile and channel.
struct Transformed {
    u: Vec<[f64; 36]>,
    v: Vec<[f64; 36]>,
    channels: usize,
    tiles: [usize; 2],
}

impl Transformed {
    fn new(desc: &Conv2dDesc, inputs: &Conv2dInputs<'_>) -> Self {
        let channels = desc.in_channels as usize;
        let tiles = desc.output_size().unwrap_or_default().map(|size| size.div_ceil(4) as usize);
        let pairs = channels * desc.out_channels as usize;
        let u = (0..pairs)
            .map(|pair| {
                let weight = |k: usize| f64::from(inputs.weight[pair * 9 + k]).abs();
                point(|p, q| (0..9).map(|k| G[p][k / 3] * weight(k) * G[q][k % 3]).sum())
            })
            .collect();
        let v = (0..desc.batch as usize * tiles[0] * tiles[1] * channels)
            .map(|place| {
                let (tile, c) = (place / channels, place % channels);
                let corner = |tile: usize, padding: u32| (tile * 4) as isize - padding as isize;
                let top = corner(tile / tiles[1] % tiles[0], desc.padding[0]);
                let left = corner(tile % tiles[1], desc.padding[1]);
                let n = tile / tiles[1] / tiles[0];
                let patch: Vec<f64> = (0..36)
                    .map(|k| {
                        input_at(desc, inputs.input, n, [top + (k / 6) as isize, left + (k % 6) as isize], c).abs()
                    })
                    .collect();
                point(|p, q| (0..36).map(|k| B[p][k / 6] * patch[k] * B[q][k % 6]).sum())
            })
            .collect();
        Transformed { u, v, channels, tiles }
    }

    fn magnitude(&self, [n, i, j, o]: [usize; 4]) -> f64 {
        let tile = (n * self.tiles[0] + i / 4) * self.tiles[1] + j / 4;
        (0..self.channels)
            .map(|c| {
                let (u, v) = (&self.u[o * self.channels + c], &self.v[tile * self.channels + c]);
                (0..36).map(|k| A[i % 4][k / 6] * u[k] * v[k] * A[j % 4][k % 6]).sum::<f64>()
            })
            .sum()
    }
}

fn point(value: impl Fn(usize, usize) -> f64) -> [f64; 36] {
    std::array::from_fn(|k| value(k / 6, k % 6))
}
