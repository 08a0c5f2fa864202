//! Turns photos from bytes into a network's input on the device, so that a quarter of what floats take is uploaded.

use crate::{
    Commands, Context, Error, Precision,
    context::{Bind, volume},
    params::params,
    window::{ranges, show},
};
use wgpu::BufferSlice;

const OP: &str = "normalize";

/// Photos of so many pixels, of all images together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormalizeDesc {
    /// Pixels of the batch.
    pub pixels: u32,
    /// How the output is stored.
    pub precision: Precision,
}

impl NormalizeDesc {
    /// Takes photos to f32.
    ///
    /// ```
    /// let desc = kernels::NormalizeDesc::new(8 * 224 * 224);
    /// assert_eq!((desc.input_words(), desc.output_words()), (8 * 224 * 224 * 3 / 4, 8 * 224 * 224 * 4));
    /// ```
    pub fn new(pixels: u32) -> Self {
        NormalizeDesc { pixels, precision: Precision::F32 }
    }

    /// Counts the 32-bit words in which the bytes lie, three a pixel without gaps. The last one may hold less than four.
    pub fn input_words(&self) -> u64 {
        (u64::from(self.pixels) * 3).div_ceil(4)
    }

    /// Counts the 32-bit words of the output, four numbers a pixel.
    pub fn output_words(&self) -> u64 {
        u64::from(self.pixels) * u64::from(self.precision.words(4))
    }
}

params! {
    NORMALIZE: struct Params {
        total: u32,
        pad: [u32; 3],
    }
}

/// A planned normalisation: `output[p, c] = table[c, bytes[3 p + c]]` for red, green and blue, and `output[p, 3] = 0`.
///
/// The table holds what each byte x of a colour becomes, `(x / 255 − mean) / std` for most networks.
///
/// # Shapes
/// bytes: [`NormalizeDesc::input_words`] words; table: `[3, 256]` f32; output: `[pixels, 4]`, f32 or f16 as the
/// [`Precision`] says.
///
/// # Numerics
/// Exact: numbers are looked up; to f16 rounded as [`Precision`] says.
///
/// # Reference
/// Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012, section 2.
#[derive(Debug, Clone)]
pub struct Normalize {
    context: Context,
    desc: NormalizeDesc,
}

impl Normalize {
    /// Words of the table: what each byte of red, green and blue becomes.
    pub const TABLE: u64 = 3 * 256;

    /// Plans the normalisation.
    ///
    /// # Errors
    /// [`Error::Shape`] for no pixels, or more than a kernel can count.
    pub fn new(context: &Context, desc: &NormalizeDesc) -> Result<Self, Error> {
        volume(OP, "output", &[desc.pixels, 4])?;
        Ok(Normalize { context: context.clone(), desc: *desc })
    }

    /// Gives what it was planned for.
    pub fn desc(&self) -> &NormalizeDesc {
        &self.desc
    }

    /// Ties the buffers, in windows where one exceeds what a binding may show.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer, [`Error::Limit`] where a binding shows less than 256 pixels.
    pub fn bind(
        &self,
        bytes: BufferSlice<'_>,
        table: BufferSlice<'_>,
        output: BufferSlice<'_>,
    ) -> Result<Commands, Error> {
        let (context, desc) = (&self.context, &self.desc);
        context.check(OP, ("bytes", bytes), desc.input_words())?;
        context.check(OP, ("table", table), Self::TABLE)?;
        context.check(OP, ("output", output), desc.output_words())?;
        context.apart(OP, ("output", output), &[("bytes", bytes), ("table", table)])?;
        let (entry, place) = match desc.precision {
            Precision::F32 => ("main", 3),
            Precision::F16 => ("halves", 4),
        };
        let pipeline = context.pipeline(&shaders::NORMALIZE, entry, &[]);
        let (room, words) = (context.room(), u64::from(desc.precision.words(4)));
        room.check(OP, "words of 256 pixels", UNIT * words)?;
        let mut commands = Commands::new(OP);
        for pixels in ranges(desc.pixels.into(), room.aligned_lines(words, UNIT)) {
            let count = pixels.end - pixels.start;
            let params = context.uniform(&Params { total: count as u32, pad: [0; 3] })?;
            let entries = [
                (0, Bind::Uniform(&params)),
                (1, Bind::Slice(show(bytes, pixels.start * 3 / 4..(pixels.end * 3).div_ceil(4)))),
                (2, Bind::Slice(table)),
                (place, Bind::Slice(show(output, pixels.start * words..pixels.end * words))),
            ];
            commands.steps.push(context.dispatch(OP, &pipeline, &entries, count.div_ceil(64))?);
        }
        Ok(commands)
    }
}

/// Pixels at whose multiples a window may begin: their bytes and their numbers begin there where every device can bind.
const UNIT: u64 = 256;
