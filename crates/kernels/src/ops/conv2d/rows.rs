//! The direct convolution of images of few channels in the texture family: a row of pixels is read as a row of numbers.
//!
//! The taps of a row of the kernel are `kernel columns x channels` numbers one behind the other, whatever pixel they belong to. A texel
//! holds four, so that where they begin in their first texel depends on the output's column, and repeats: columns of the same *phase*
//! share a packing of the weights. An RGB image needs no padding to four channels then, and a 7x7 stem reads 6 texels a row instead of 7.

use super::desc::Conv2dDesc;
use crate::Family;
use std::ops::Range;

/// How rows of numbers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rows {
    /// Columns of the output that begin at different numbers of a texel.
    pub phases: u32,
    /// Texels that a row of the kernel touches, at most.
    pub texels: u32,
    /// Numbers from one output's first to the next one's.
    step: u32,
    /// Numbers that the first output's first lies left of the image.
    padding: u32,
}

impl Rows {
    /// Plans such rows, for the convolutions that are read so.
    pub fn of(family: Family, desc: &Conv2dDesc) -> Option<Self> {
        let applies = family == Family::Texture
            && desc.in_channels <= 4
            && desc.groups == 1
            && desc.dilation[1] == 1
            && desc.kernel[1] > 1;
        let channels = desc.in_channels;
        let step = desc.stride[1].checked_mul(channels)?;
        let padding = desc.padding[1].checked_mul(channels)?;
        let numbers = desc.kernel[1].checked_mul(channels)?;
        let phases = [1, 2].into_iter().find(|phases| (phases * (step % 4)).is_multiple_of(4)).unwrap_or(4);
        let rows = Rows { phases, texels: 0, step, padding };
        let texels = (0..phases).map(|phase| (rows.lead(phase) + numbers).div_ceil(4)).max().unwrap_or_default();
        applies.then_some(Rows { texels, ..rows })
    }

    /// Counts the texels of a row of the image.
    pub fn width(desc: &Conv2dDesc) -> u32 {
        (desc.width * desc.in_channels).div_ceil(4)
    }

    /// Counts the columns of the output a phase, some of which may lie beyond the last.
    pub fn columns(&self, width: u32) -> u32 {
        width.div_ceil(self.phases)
    }

    /// Counts the numbers of the first texel that come before those of the kernel.
    fn lead(&self, phase: u32) -> u32 {
        (i64::from(phase) * i64::from(self.step) - i64::from(self.padding)).rem_euclid(4) as u32
    }

    /// Packs a panel, `[panel, kernel row, number of the texels, output channel of the panel]` of a phase, zero before.
    pub fn pack_panel(&self, desc: &Conv2dDesc, (phase, outputs): (u32, Range<u32>), weight: &[f32], out: &mut [f32]) {
        let [rows, columns] = desc.kernel.map(|size| size as usize);
        let (channels, lead) = (desc.in_channels as usize, self.lead(phase) as usize);
        let depth = rows * self.texels as usize * 4;
        let width = out.len() / depth;
        for (output, o) in outputs.enumerate() {
            for c in 0..channels {
                let taps = &weight[(o as usize * channels + c) * rows * columns..][..rows * columns];
                for (tap, &value) in taps.iter().enumerate() {
                    let number = lead + tap % columns * channels + c;
                    out[(tap / columns * self.texels as usize * 4 + number) * width + output] = value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_and_texels() {
        let rows = |channels, kernel, stride: u32| {
            let desc = Conv2dDesc { stride: [stride; 2], ..Conv2dDesc::new(1, [20, 20], [channels, 8], kernel) };
            Rows::of(Family::Texture, &desc).map(|rows| (rows.phases, rows.texels))
        };
        // Numbers 2n - 9 on, 21 of them: leads 3 and 1.
        assert_eq!(rows(3, 7, 2), Some((2, 6)));
        assert_eq!(rows(3, 3, 2), Some((2, 3)));
        assert_eq!(rows(3, 3, 1), Some((4, 3)));
        assert_eq!(rows(1, 3, 1), Some((4, 2)));
        assert_eq!(rows(4, 7, 2), Some((1, 7)));
        assert_eq!(rows(5, 7, 2), None);
        assert_eq!(rows(3, 1, 1), None);
    }
}
