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
use crate::simd::{Isa, QUANTUM};
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

/// Pads a number of channels to whole vectors.
pub(crate) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(QUANTUM)
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
            let mut panels = Panels::zeros(isa, taps * channels.1, padded(joined * own))?;
            panels.fill(joined * own, |row, output| {
                let (tap, channel) = (row / channels.1, row % channels.1);
                let input = channel.checked_sub(output / own * inputs).filter(|&input| input < inputs);
                input.map_or(0.0, |input| weight[((column + output) * inputs + input) * taps + tap])
            });
            Ok(Group { panels, channels, column })
        })
        .collect()
}
