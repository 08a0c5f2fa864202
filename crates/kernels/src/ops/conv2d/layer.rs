//! A convolution on a device, before an algorithm is chosen: what all algorithms start from.

use super::desc::{Conv2dBuffers, Conv2dDesc, OP};
use crate::{Context, Error, Family, Precision, Tile, tile::columns};

/// A convolution with the context and family that it is planned for.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub context: Context,
    pub desc: Conv2dDesc,
    pub family: Family,
}

impl Layer {
    pub fn f16(&self) -> bool {
        self.desc.precision == Precision::F16
    }

    /// Gives the tiled kernels' `override` constant that says whether tensors are f16.
    pub fn f16_tensors(&self) -> (&'static str, f64) {
        ("f16_tensors", f64::from(u8::from(self.f16())))
    }

    /// Gives the output channels of a panel of packed weights.
    pub fn panel(&self) -> u32 {
        columns(&self.context, self.family)
    }

    /// Computes the rows and columns of the output.
    pub fn output_size(&self) -> [u32; 2] {
        self.desc.output_size().unwrap_or_default()
    }

    pub fn output_pixels(&self) -> u64 {
        self.desc.output_len() / u64::from(self.desc.out_channels)
    }

    /// Counts the tiles that the output is computed in, where one dispatch takes all.
    pub fn tiles(&self, tile: Tile) -> u64 {
        self.output_pixels().div_ceil(tile.rows.into()) * u64::from(self.desc.out_channels.div_ceil(tile.columns))
    }

    /// Counts the quads of channels of an output in f32.
    pub fn output_quads(&self) -> u64 {
        self.output_pixels() * u64::from(self.desc.out_channels.div_ceil(4))
    }

    /// Counts the words of the sums of so many parts, in whole quads of channels.
    pub fn partials(&self, parts: u32) -> u64 {
        u64::from(parts) * self.output_quads() * 4
    }

    /// Counts the 32-bit words of the output.
    fn output_words(&self) -> u64 {
        self.output_pixels() * u64::from(self.desc.precision.words(self.desc.out_channels))
    }

    /// Counts the 32-bit words of the input.
    fn input_words(&self) -> u64 {
        let pixels = self.desc.input_len() / u64::from(self.desc.in_channels);
        pixels * u64::from(self.desc.precision.words(self.desc.in_channels))
    }

    /// Checks that the operands can be bound.
    pub fn check(&self, buffers: &Conv2dBuffers<'_>) -> Result<(), Error> {
        let output_words = self.output_words();
        self.context.check(OP, ("input", buffers.input), self.input_words())?;
        self.context.check(OP, ("output", buffers.output), output_words)?;
        self.context.apart(OP, ("output", buffers.output), &[("input", buffers.input)])?;
        match (self.desc.residual, buffers.residual) {
            (true, Some(residual)) => {
                self.context.check(OP, ("residual", residual), output_words)?;
                self.context.apart(OP, ("output", buffers.output), &[("residual", residual)])
            }
            (false, None) => Ok(()),
            (true, None) => Err(Error::shape(OP, "the descriptor has a residual, the buffers have none")),
            (false, Some(_)) => Err(Error::shape(OP, "the buffers have a residual, the descriptor has none")),
        }
    }
}
