//! A convolution with its bias, residual and ReLU: which of the ways computes it, its weights packed for that, and the run.
//!
//! | kernel | way |
//! |---|---|
//! | 1x1, stride 1 | a product on the images as they lie |
//! | 3x3, stride 1, one group | Winograd's F(4x4, 3x3), where there is memory for the transformed weights |
//! | all others | products with windows gathered into rows, some rows and a part of the depth at a time; of narrow groups several at once |

use resnet::{ConvSpec, Error};

use crate::gather::Windows;
use crate::memory::zeros;
use crate::panels::Panels;
use crate::product::{MOST_ROWS, SCRATCH, Strip};
use crate::simd::{Isa, QUANTUM, padded};
use crate::team::{Team, grid};
use crate::tile::{Finish, Output};
use crate::winograd::{Job, Winograd};

/// A convolution that is ready to run.
#[derive(Debug)]
pub(crate) struct Convolution {
    isa: Isa,
    kernel: usize,
    stride: usize,
    padding: usize,
    relu: bool,
    bias: Vec<f32>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Some groups at a time, each with the channels of its inputs (the first, and how many) and the first of its outputs.
    Products(Vec<Group>),
    Winograd(Winograd),
}

#[derive(Debug)]
struct Group {
    panels: Panels,
    channels: (usize, usize),
    column: usize,
}

/// What a convolution runs on.
pub(crate) struct Operands<'a> {
    pub images: usize,
    /// `[images, height, width, channels]`, the channels padded.
    pub input: &'a [f32],
    pub size: [usize; 2],
    /// Numbers from a pixel of the input to the next.
    pub pixel: usize,
    /// Laid out as the output.
    pub residual: Option<&'a [f32]>,
    pub output: &'a mut [f32],
}

/// Tells whether Winograd's algorithm computes it.
pub(crate) fn suits_winograd(spec: &ConvSpec) -> bool {
    let wide = spec.in_channels >= QUANTUM && spec.out_channels >= QUANTUM;
    wide && (spec.kernel, spec.stride, spec.padding, spec.groups) == (3, 1, 1, 1)
}

impl Convolution {
    /// Packs weight (OIHW) and bias of a convolution whose input has so many numbers a pixel.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new(
        isa: Isa,
        spec: &ConvSpec,
        pixel: usize,
        winograd: bool,
        values: (&[f32], &[f32]),
    ) -> Result<Self, Error> {
        let (weight, own_bias) = values;
        let outputs = spec.out_channels;
        let mut bias = zeros("weights", padded(outputs), false)?;
        bias[..outputs].copy_from_slice(own_bias);
        let way = if winograd {
            Way::Winograd(Winograd::new(isa, weight, [outputs, spec.in_channels], pixel)?)
        } else {
            Way::Products(groups(isa, spec, pixel, weight)?)
        };
        let &ConvSpec { kernel, stride, padding, relu, .. } = spec;
        Ok(Self { isa, kernel, stride, padding, relu, bias, way })
    }

    /// Counts the numbers of scratch memory that a lane takes.
    pub fn scratch(&self) -> usize {
        match &self.way {
            Way::Products(_) => SCRATCH,
            Way::Winograd(winograd) => winograd.scratch(),
        }
    }

    /// Computes it on the team's lanes. The same bytes come out however many these are.
    pub fn run(&self, team: &mut Team, operands: Operands<'_>) {
        let Operands { images, input, size, pixel, residual, output } = operands;
        let (kernel, stride, padding) = (self.kernel, self.stride, self.padding);
        let out = size.map(|n| (n + 2 * padding).checked_sub(kernel).map_or(0, |room| room / stride + 1));
        let windows = |channels| Windows { input, size, pixel, channels, kernel, stride, padding, output: out };
        let finish = Finish { accumulate: false, bias: Some(&self.bias), residual, relu: self.relu };
        let output = Output::new(output, self.bias.len());
        let lanes = team.size();
        match &self.way {
            Way::Winograd(winograd) => {
                let windows = windows((0, pixel));
                let parts = grid(Winograd::tiles(images, out), winograd.panels(), winograd.most_tiles(), lanes);
                team.run(parts, |part, scratch| {
                    // SAFETY: no two parts share tiles and columns.
                    let output = unsafe { output.again() };
                    winograd.run(self.isa, part, &windows, Job { scratch, output, finish });
                });
            }
            Way::Products(groups) => {
                let parts = groups.iter().flat_map(|group| {
                    let parts = grid(images * out[0] * out[1], group.panels.count(), MOST_ROWS, lanes);
                    parts.map(move |part| (group, part))
                });
                team.run(parts, |(group, (rows, columns)), scratch| {
                    let column = group.column + group.panels.before(columns.start);
                    let left = &windows(group.channels);
                    // SAFETY: no two parts share rows and columns.
                    let output = unsafe { output.again() };
                    Strip { left, rows, panels: &group.panels, columns, column }
                        .multiply(self.isa, scratch, output, finish);
                });
            }
        }
    }
}

/// Packs the groups of a convolution. Narrow ones are put side by side, with zeros between them, until their outputs are whole vectors.
fn groups(isa: Isa, spec: &ConvSpec, pixel: usize, weight: &[f32]) -> Result<Vec<Group>, Error> {
    let [outputs, inputs, kernel, _] = spec.weight_shape();
    let own = outputs / spec.groups;
    let whole = |joined: &usize| spec.groups.is_multiple_of(*joined) && (joined * own).is_multiple_of(QUANTUM);
    let joined = (1..spec.groups).find(whole).unwrap_or(spec.groups);
    let taps = kernel * kernel;
    (0..spec.groups / joined)
        .map(|place| {
            let channels = if joined == spec.groups { (0, pixel) } else { (place * joined * inputs, joined * inputs) };
            let column = place * joined * own;
            let mut panels = Panels::zeros(isa, taps * channels.1, joined * own)?;
            panels.fill(joined * own, |row, output| {
                let (tap, channel) = (row / channels.1, row % channels.1);
                let input = channel.checked_sub(output / own * inputs).filter(|&input| input < inputs);
                input.map_or(0.0, |input| weight[((column + output) * inputs + input) * taps + tap])
            });
            Ok(Group { panels, channels, column })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::reference::{Conv2dInputs, conv2d};
    use kernels::{Conv2dDesc, Precision};
    use testkit::{Samples, assert_close};

    /// A convolution to be checked: images and their size, channels, kernel, stride, padding, groups.
    type Case = (usize, [usize; 2], [usize; 2], [usize; 4]);

    /// Pads the channels of pixels with zeros.
    fn widened(values: &[f32], channels: usize, pixel: usize) -> Vec<f32> {
        let zeros = std::iter::repeat_n(0.0, pixel - channels);
        values.chunks_exact(channels).flat_map(|values| values.iter().copied().chain(zeros.clone())).collect()
    }

    fn check(isa: Isa, case: Case, winograd: bool, [residual, relu]: [bool; 2]) {
        let (images, [height, width], [ins, outs], [kernel, stride, padding, groups]) = case;
        let desc = Conv2dDesc {
            batch: images as u32,
            height: height as u32,
            width: width as u32,
            in_channels: ins as u32,
            out_channels: outs as u32,
            kernel: [kernel as u32; 2],
            stride: [stride as u32; 2],
            padding: [padding as u32; 2],
            dilation: [1, 1],
            groups: groups as u32,
            residual,
            relu,
            precision: Precision::F32,
        };
        let mut samples = Samples::new((height * 1000 + ins * 10 + kernel) as u64);
        let input = samples.vec(desc.input_len() as usize);
        let weight = samples.vec(desc.weight_len() as usize);
        let bias = samples.vec(outs);
        let residual = residual.then(|| samples.vec(desc.output_len() as usize));
        let inputs = Conv2dInputs { input: &input, weight: &weight, bias: Some(&bias), residual: residual.as_deref() };
        let expected = conv2d(&desc, &inputs, winograd);

        let (name, norm) = (String::new(), String::new());
        let spec = ConvSpec { name, norm, in_channels: ins, out_channels: outs, kernel, stride, padding, groups, relu };
        assert!(!winograd || suits_winograd(&spec));
        let pixel = if ins == 3 { 3 } else { padded(ins) };
        let conv = Convolution::new(isa, &spec, pixel, winograd, (&weight, &bias)).unwrap();
        let mut team = Team::new(conv.scratch()).unwrap();
        let residual = residual.map(|residual| widened(&residual, outs, padded(outs)));
        // Poison behind the output, and in it.
        let len = desc.output_len() as usize / outs * padded(outs);
        let mut output = vec![f32::NAN; len + 16];
        conv.run(
            &mut team,
            Operands {
                images,
                input: &widened(&input, ins, pixel),
                size: [height, width],
                pixel,
                residual: residual.as_deref(),
                output: &mut output[..len],
            },
        );
        assert!(output[len..].iter().all(|value| value.is_nan()));
        let (mut got, mut rest) = (Vec::new(), 0.0);
        for pixel in output[..len].chunks_exact(padded(outs)) {
            got.extend_from_slice(&pixel[..outs]);
            rest += pixel[outs..].iter().map(|value| value.abs()).sum::<f32>();
        }
        let what = format!("{} {case:?} {winograd} {relu}", isa.name());
        assert_eq!(rest, 0.0, "{what}: what pads the channels is zero");
        assert_close(&what, &got, &expected);
    }

    const ENDS: [[bool; 2]; 3] = [[false, false], [true, true], [false, true]];

    #[test]
    fn every_way_gives_what_the_twin_gives_with_every_instruction_set() {
        let cases: [Case; 9] = [
            // Products on the images as they lie, of more depth than is multiplied at a time.
            (2, [5, 7], [300, 40], [1, 1, 0, 1]),
            (1, [1, 1], [20, 5], [1, 1, 0, 1]),
            // Windows: strides, a photo's three channels, a kernel larger than its image, depth cut in the midst of a channel row.
            (2, [9, 6], [18, 33], [1, 2, 0, 1]),
            (2, [11, 9], [3, 17], [7, 2, 3, 1]),
            (1, [2, 1], [3, 6], [7, 2, 3, 1]),
            (3, [5, 6], [70, 20], [3, 2, 1, 1]),
            // Groups: of whole vectors, joined ones, and such as make no whole vectors.
            (2, [5, 4], [64, 64], [3, 1, 1, 2]),
            (2, [4, 5], [32, 64], [3, 2, 1, 8]),
            (1, [5, 3], [9, 15], [3, 1, 1, 3]),
        ];
        for isa in Isa::all() {
            for case in cases {
                ENDS.iter().for_each(|&end| check(isa, case, false, end));
            }
        }
    }

    #[test]
    fn winograd_gives_what_the_twin_gives_with_every_instruction_set() {
        let cases: [Case; 5] = [
            (1, [1, 1], [16, 16], [3, 1, 1, 1]),
            (2, [4, 8], [16, 50], [3, 1, 1, 1]),
            (3, [7, 7], [40, 16], [3, 1, 1, 1]),
            (1, [13, 6], [33, 70], [3, 1, 1, 1]),
            // More tiles than a block has.
            (1, [50, 46], [16, 16], [3, 1, 1, 1]),
        ];
        for isa in Isa::all() {
            for case in cases {
                ENDS.iter().for_each(|&end| check(isa, case, true, end));
            }
        }
    }
}
