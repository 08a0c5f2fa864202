//! Layers without products worth a name: pools, the gates' way along the channels, and the gated sum. Rows of images are dealt to the lanes.

use resnet::PoolSpec;

use crate::simd::{Isa, Simd, Work};
use crate::team::Team;

/// The images of a layer, `[images, height, width, pixel]`.
#[derive(Clone, Copy)]
pub(crate) struct Images<'a> {
    pub values: &'a [f32],
    /// Rows and columns of an image.
    pub size: [usize; 2],
    /// Numbers of a pixel.
    pub pixel: usize,
}

impl Images<'_> {
    /// Gives a row of an image.
    fn row(&self, image: usize, y: usize) -> &[f32] {
        let len = self.size[1] * self.pixel;
        &self.values[(image * self.size[0] + y) * len..][..len]
    }
}

/// Takes the largest value of each window; what lies outside counts as minus infinity, and NaN as larger than all.
pub(crate) fn max_pool(isa: Isa, team: &mut Team, spec: PoolSpec, images: Images<'_>, output: &mut [f32]) {
    let [height, width] = spec.output_size(images.size);
    team.run(output.chunks_exact_mut(width * images.pixel).enumerate(), |(row, to), _| {
        isa.run(MaxRow { spec, images, image: row / height, y: row % height, to });
    });
}

/// A row of a max-pool.
struct MaxRow<'a> {
    spec: PoolSpec,
    images: Images<'a>,
    image: usize,
    y: usize,
    to: &'a mut [f32],
}

impl Work for MaxRow<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PoolSpec { kernel, stride, padding } = self.spec;
        let pixel = self.images.pixel;
        self.to.fill(f32::NEG_INFINITY);
        for ky in 0..kernel {
            let iy = (self.y * stride + ky).wrapping_sub(padding);
            if iy >= self.images.size[0] {
                continue;
            }
            let from = self.images.row(self.image, iy);
            for (x, to) in self.to.chunks_exact_mut(pixel).enumerate() {
                for kx in 0..kernel {
                    let ix = (x * stride + kx).wrapping_sub(padding);
                    if ix < self.images.size[1] {
                        for (to, &value) in to.iter_mut().zip(&from[ix * pixel..(ix + 1) * pixel]) {
                            *to = if value > *to || value.is_nan() { value } else { *to };
                        }
                    }
                }
            }
        }
    }
}

/// Averages 2x2 pixels with stride 2: an odd last row or column by itself.
pub(crate) fn avg_pool(team: &mut Team, images: Images<'_>, output: &mut [f32]) {
    let Images { size, pixel, .. } = images;
    let [height, width] = size.map(|side| side.div_ceil(2));
    team.run(output.chunks_exact_mut(width * pixel).enumerate(), |(row, to), _| {
        let (image, y) = (row / height, row % height * 2);
        to.fill(0.0);
        let rows = 2.min(size[0] - y);
        for from in (y..y + rows).map(|y| images.row(image, y)) {
            for (to, from) in to.chunks_exact_mut(pixel).zip(from.chunks(2 * pixel)) {
                for from in from.chunks_exact(pixel) {
                    to.iter_mut().zip(from).for_each(|(to, value)| *to += value);
                }
            }
        }
        for (x, to) in to.chunks_exact_mut(pixel).enumerate() {
            let share = 1.0 / (rows * 2.min(size[1] - 2 * x)) as f32;
            to.iter_mut().for_each(|value| *value *= share);
        }
    });
}

/// Averages all pixels of each image. Sums are in f64: there may be many pixels.
pub(crate) fn global_avg_pool(team: &mut Team, images: Images<'_>, output: &mut [f32]) {
    let Images { values, size, pixel } = images;
    let pixels = size[0] * size[1];
    // A few channels at a time, so that one image is work for several lanes.
    const FEW: usize = 64;
    let parts = output
        .chunks_exact_mut(pixel)
        .enumerate()
        .flat_map(|(image, to)| to.chunks_mut(FEW).enumerate().map(move |(part, to)| (image, part * FEW, to)));
    team.run(parts, |(image, first, to), _| {
        let mut sums = [0.0f64; FEW];
        for from in values[image * pixels * pixel..(image + 1) * pixels * pixel].chunks_exact(pixel) {
            sums.iter_mut().zip(&from[first..first + to.len()]).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        to.iter_mut().zip(sums).for_each(|(to, sum)| *to = (sum / pixels as f64) as f32);
    });
}

/// Slides a kernel of odd length along the channels of each image's averages, `[images, pixel]`, of which so many are the network's own:
/// what is beyond counts as zero.
pub(crate) fn slide(kernel: &[f32], own: usize, images: Images<'_>, output: &mut [f32]) {
    for (to, from) in output.chunks_exact_mut(images.pixel).zip(images.values.chunks_exact(images.pixel)) {
        for (channel, to) in to.iter_mut().enumerate() {
            let seen = kernel.iter().enumerate().filter_map(|(k, weight)| {
                let place = (channel + k).checked_sub(kernel.len() / 2).filter(|&place| place < own)?;
                Some(weight * from[place])
            });
            *to = if channel < own { seen.sum() } else { 0.0 };
        }
    }
}

/// Computes `relu(sigmoid(gate) · branch + shortcut)`, with a gate for each image and channel.
pub(crate) fn gated_sum(isa: Isa, team: &mut Team, gate: &[f32], operands: [Images<'_>; 2], output: &mut [f32]) {
    let [branch, shortcut] = operands;
    let Images { size: [height, width], pixel, .. } = branch;
    // A few rows at a time: sigmoids are computed once for them all.
    let rows = height.div_ceil(team.size()).max(1);
    let parts = output.chunks_exact_mut(height * width * pixel).enumerate().flat_map(move |(image, to)| {
        to.chunks_mut(rows * width * pixel).enumerate().map(move |(part, to)| (image, part * rows, to))
    });
    team.run(parts, |(image, first, to), scratch| {
        let share = &mut scratch[..pixel];
        for (share, gate) in share.iter_mut().zip(&gate[image * pixel..]) {
            *share = 1.0 / (1.0 + (-gate).exp());
        }
        let start = (image * height + first) * width * pixel;
        let (branch, shortcut) = (&branch.values[start..], &shortcut.values[start..]);
        isa.run(GatedPixels { share, branch, shortcut, to });
    });
}

/// Some pixels of a gated sum.
struct GatedPixels<'a> {
    /// The gates' sigmoids.
    share: &'a [f32],
    branch: &'a [f32],
    shortcut: &'a [f32],
    to: &'a mut [f32],
}

impl Work for GatedPixels<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pixel = self.share.len();
        for (at, to) in self.to.chunks_exact_mut(S::LANES).enumerate() {
            let place = at * S::LANES;
            let (branch, shortcut) = (simd.load(&self.branch[place..]), simd.load(&self.shortcut[place..]));
            let share = simd.load(&self.share[place % pixel..]);
            simd.store(simd.relu(simd.mul_add(share, branch, shortcut)), to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::reference;
    use kernels::{AvgPool2dDesc, GlobalAvgPool2dDesc, MaxPool2dDesc, Precision, ScaleAddReluDesc};
    use testkit::{Samples, assert_close};

    const SIZE: [usize; 2] = [7, 5];
    const PIXEL: usize = 96;

    fn sizes() -> (u32, u32, u32, u32) {
        (2, SIZE[0] as u32, SIZE[1] as u32, PIXEL as u32)
    }

    fn values(seed: u64) -> Vec<f32> {
        Samples::new(seed).vec(2 * SIZE[0] * SIZE[1] * PIXEL)
    }

    fn team() -> Team {
        Team::new(PIXEL).unwrap()
    }

    #[test]
    fn pools_give_what_their_twins_give() {
        let mut input = values(1);
        // The first of a window, in the midst of one, and the last.
        let last = input.len() - 1;
        [0, 5 * PIXEL + 3, last].iter().for_each(|&place| input[place] = f32::NAN);
        let images = Images { values: &input, size: SIZE, pixel: PIXEL };
        let (batch, height, width, channels) = sizes();
        for isa in Isa::all() {
            let mut output = vec![f32::NAN; 2 * 4 * 3 * PIXEL];
            max_pool(isa, &mut team(), PoolSpec { kernel: 3, stride: 2, padding: 1 }, images, &mut output);
            let desc = MaxPool2dDesc {
                batch,
                height,
                width,
                channels,
                kernel: [3; 2],
                stride: [2; 2],
                padding: [1; 2],
                dilation: [1; 2],
                precision: Precision::F32,
            };
            let expected = reference::max_pool2d(&desc, &input);
            for (got, want) in output.iter().zip(&expected.values) {
                assert!(f64::from(*got) == *want || got.is_nan() && want.is_nan(), "{} {got} {want}", isa.name());
            }
            assert!(output.iter().filter(|value| value.is_nan()).count() >= 3);
        }
        let input = values(2);
        let images = Images { values: &input, ..images };
        let mut output = vec![f32::NAN; 2 * 4 * 3 * PIXEL];
        avg_pool(&mut team(), images, &mut output);
        let whole = AvgPool2dDesc::new(batch, height, width, channels, 2);
        let desc = AvgPool2dDesc { count_include_pad: false, ceil_mode: true, ..whole };
        assert_close("avg_pool", &output, &reference::avg_pool2d(&desc, &input));
        let mut output = vec![f32::NAN; 2 * PIXEL];
        global_avg_pool(&mut team(), images, &mut output);
        let desc = GlobalAvgPool2dDesc::new(batch, height, width, channels);
        assert_close("global_avg_pool", &output, &reference::global_avg_pool2d(&desc, &input));
    }

    #[test]
    fn gated_sums_give_what_their_twin_gives() {
        let (branch, shortcut) = (values(3), values(4));
        let mut gate = Samples::new(5).scaled(2 * PIXEL, 8.0);
        gate[..2].copy_from_slice(&[f32::INFINITY, f32::NEG_INFINITY]);
        let images = |values| Images { values, size: SIZE, pixel: PIXEL };
        let (batch, height, width, channels) = sizes();
        let desc = ScaleAddReluDesc::new(batch, height, width, channels);
        let expected = reference::scale_add_relu(&desc, &branch, &gate, &shortcut);
        for isa in Isa::all() {
            let mut output = vec![f32::NAN; branch.len()];
            gated_sum(isa, &mut team(), &gate, [images(&branch), images(&shortcut)], &mut output);
            assert_close(isa.name(), &output, &expected);
        }
    }

    #[test]
    fn a_kernel_slides_along_the_networks_own_channels() {
        let input: Vec<f32> = [1.0, 2.0, 3.0, 4.0, 5.0, 99.0, 99.0, 99.0].repeat(2);
        let images = Images { values: &input, size: [1, 1], pixel: 8 };
        let mut output = [f32::NAN; 16];
        slide(&[1.0, 10.0, 100.0], 5, images, &mut output);
        let want = [210.0, 321.0, 432.0, 543.0, 54.0, 0.0, 0.0, 0.0];
        assert_eq!(output[..8], want);
        assert_eq!(output[8..], want);
    }
}
