use crate::{
    Commands, Context, Error, Precision,
    context::{Bind, volume, window},
    ops::{aligned, ranges},
    params::params,
};
use std::ops::Range;
use wgpu::{BufferSlice, BufferUsages};

const OP: &str = "scale_add_relu";

/// Sizes of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScaleAddReluDesc {
    /// Images.
    pub batch: u32,
    /// Rows of each.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Channels.
    pub channels: u32,
    /// How input, residual and output are stored; the gate is f32.
    pub precision: Precision,
}

impl ScaleAddReluDesc {
    /// Of f32 tensors.
    pub fn new(batch: u32, height: u32, width: u32, channels: u32) -> Self {
        ScaleAddReluDesc { batch, height, width, channels, precision: Precision::F32 }
    }

    fn sizes(&self) -> [u32; 4] {
        [self.batch, self.height, self.width, self.channels]
    }
}

params! {
    SCALE_ADD_RELU: struct Params {
        channels: u32,
        image: u32,
        base: u32,
        gate_base: u32,
        total: u32,
        gates: u32,
        pad: [u32; 2],
    }
}

/// The operands of a [`ScaleAddRelu`].
#[derive(Debug, Clone, Copy)]
pub struct ScaleAddReluBuffers<'a> {
    /// `[batch, height, width, channels]`.
    pub input: BufferSlice<'a>,
    /// `[batch, channels]`, before the sigmoid.
    pub gate: BufferSlice<'a>,
    /// As `input`.
    pub residual: BufferSlice<'a>,
    /// As `input`, in a buffer that none of the others lies in.
    pub output: BufferSlice<'a>,
}

/// A planned gated sum: `output[n,h,w,c] = max(0, sigmoid(gate[n,c]) input[n,h,w,c] + residual[n,h,w,c])`, which ends a
/// residual block with channel attention.
///
/// # Shapes
/// As [`ScaleAddReluBuffers`], NHWC in buffers of usage STORAGE, f32 or (but for the gate) f16 as the [`Precision`] says.
///
/// # Numerics
/// In f32: `|error| <= u ((16 + 4 |gate|) sigmoid(gate) |input| + |sum|)`, u = 2^-24; of f16 rounded once more. NaN stays NaN.
///
/// # Reference
/// Hu, Shen, Albanie, Sun and Wu, "Squeeze-and-Excitation Networks", CVPR 2018, section 3.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, x: &wgpu::Buffer, gate: &wgpu::Buffer, shortcut: &wgpu::Buffer,
/// #            y: &wgpu::Buffer, encoder: &mut wgpu::CommandEncoder) -> Result<(), kernels::Error> {
/// use kernels::{ScaleAddRelu, ScaleAddReluBuffers, ScaleAddReluDesc, wgpu};
/// let plan = ScaleAddRelu::new(context, &ScaleAddReluDesc::new(8, 56, 56, 256))?;
/// let buffers = ScaleAddReluBuffers {
///     input: x.slice(..),
///     gate: gate.slice(..),
///     residual: shortcut.slice(..),
///     output: y.slice(..),
/// };
/// plan.bind(&buffers)?.encode(encoder);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ScaleAddRelu {
    context: Context,
    desc: ScaleAddReluDesc,
}

impl ScaleAddRelu {
    /// Plans the sum.
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is zero or the input has more than 2^32 elements.
    pub fn new(context: &Context, desc: &ScaleAddReluDesc) -> Result<Self, Error> {
        volume(OP, "input", &desc.sizes())?;
        Ok(ScaleAddRelu { context: context.clone(), desc: *desc })
    }

    /// Ties the buffers. Tensors beyond what one binding may show are taken in bands of images, or of pixels.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit; [`Error::Limit`] when
    /// not even one pixel fits a binding.
    pub fn bind(&self, buffers: &ScaleAddReluBuffers<'_>) -> Result<Commands, Error> {
        let [batch, height, width, gates] = self.desc.sizes().map(u64::from);
        let pixels = height * width;
        // The 32-bit words of a pixel.
        let channels = u64::from(self.desc.precision.words(self.desc.channels));
        let ScaleAddReluBuffers { input, gate, residual, output } = *buffers;
        for (operand, slice) in [("input", input), ("residual", residual), ("output", output)] {
            self.context.check(OP, operand, slice, batch * pixels * channels, BufferUsages::STORAGE)?;
        }
        self.context.check(OP, "gate", gate, batch * gates, BufferUsages::STORAGE)?;
        let limit = self.context.binding_elements();
        let mut commands = Commands::new(OP);
        if batch * pixels * channels <= limit {
            self.band(&mut commands, buffers, 0..batch, 0..pixels)?;
            return Ok(commands);
        }
        // 64 elements may go to an aligned start.
        let (images, per_band) = ((limit - 64) / (pixels * channels), (limit - 64) / channels);
        if per_band == 0 {
            return Err(Error::Limit {
                op: OP,
                what: "channels of a pixel",
                needed: channels,
                limit: "max_storage_buffer_binding_size / 4",
                allowed: limit - 64,
            });
        }
        for images in ranges(batch, images.max(1)) {
            for pixels in ranges(pixels, if images.end - images.start > 1 { pixels } else { per_band }) {
                self.band(&mut commands, buffers, images.clone(), pixels)?;
            }
        }
        Ok(commands)
    }

    /// Either whole images, or pixels of one.
    fn band(
        &self,
        commands: &mut Commands,
        buffers: &ScaleAddReluBuffers<'_>,
        images: Range<u64>,
        pixels: Range<u64>,
    ) -> Result<(), Error> {
        let [_, height, width, per_gate] = self.desc.sizes().map(u64::from);
        let channels = u64::from(self.desc.precision.words(self.desc.channels));
        let image = height * width * channels;
        // Entry point, bindings of input, gate, residual and output, words that an invocation writes.
        let (entry, bindings, lanes) = match self.desc.precision {
            Precision::F16 => ("halves", [9, 6, 10, 11], 2),
            Precision::F32 if channels.is_multiple_of(4) => ("main", [1, 2, 3, 4], 4),
            Precision::F32 => ("ragged", [5, 6, 7, 8], 1),
        };
        let (elements, base) =
            aligned(images.start * image + pixels.start * channels..(images.end - 1) * image + pixels.end * channels);
        let (gates, gate_base) = aligned(images.start * per_gate..images.end * per_gate);
        let units = |elements: u64| (elements / lanes) as u32;
        let total = units((images.end - images.start) * (pixels.end - pixels.start) * channels);
        let params = self.context.uniform(&Params {
            channels: units(channels),
            image: units(image),
            base: units(base),
            gate_base: if self.desc.precision == Precision::F16 { gate_base as u32 } else { units(gate_base) },
            total,
            gates: self.desc.channels,
            pad: [0; 2],
        })?;
        let entries = [
            (0, Bind::Uniform(&params)),
            (bindings[0], Bind::Slice(window(buffers.input, elements.clone()))),
            (bindings[1], Bind::Slice(window(buffers.gate, gates))),
            (bindings[2], Bind::Slice(window(buffers.residual, elements.clone()))),
            (bindings[3], Bind::Slice(window(buffers.output, elements))),
        ];
        let pipeline = self.context.pipeline(&shaders::SCALE_ADD_RELU, entry, &[]);
        commands.steps.push(self.context.dispatch(OP, &pipeline, &entries, u64::from(total).div_ceil(64))?);
        Ok(())
    }
}
