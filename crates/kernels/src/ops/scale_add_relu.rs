//! Gated channels plus a residual, rectified: the end of a block with channel attention.

use crate::{
    Commands, Context, Error, OverflowFlag, Precision,
    context::{Bind, volume},
    params::params,
    step::Step,
    window::{Band, Lines, Window},
};
use wgpu::BufferSlice;

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
    /// Takes f32 images of these sizes.
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
/// As [`ScaleAddReluBuffers`], NHWC in buffers of [`OPERAND_USAGES`](crate::OPERAND_USAGES), f32 or (but for the gate) f16 as the [`Precision`] says.
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

    /// Plans the same sum, which sets this flag where an output in f16 is beyond f16 or NaN.
    pub fn watched(&self, flag: &OverflowFlag) -> Self {
        ScaleAddRelu { context: self.context.watched(flag), desc: self.desc }
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
            self.context.check(OP, (operand, slice), batch * pixels * channels)?;
        }
        self.context.check(OP, ("gate", gate), batch * gates)?;
        let read = [("input", input), ("residual", residual), ("gate", gate)];
        self.context.apart(OP, ("output", output), &read)?;
        let mut commands = Commands::new(OP);
        let tensors = [self.lines()];
        for band in self.context.room().bands(OP, "channels of a pixel", [batch, pixels], &tensors)? {
            commands.steps.push(self.step(buffers, &band)?);
        }
        Ok(commands)
    }

    /// Describes input, residual and output by their pixels.
    fn lines(&self) -> Lines {
        let count = u64::from(self.desc.height) * u64::from(self.desc.width);
        Lines { words: self.desc.precision.words(self.desc.channels).into(), count, sliding: None }
    }

    fn step(&self, buffers: &ScaleAddReluBuffers<'_>, band: &Band) -> Result<Step, Error> {
        let (lines, per_gate) = (self.lines(), u64::from(self.desc.channels));
        let (channels, image) = (lines.words, lines.words * lines.count);
        // Entry point, bindings of input, gate, residual and output, words that an invocation writes.
        let (entry, bindings, lanes) = match self.desc.precision {
            Precision::F16 => ("halves", [9, 6, 10, 11], 2),
            Precision::F32 if channels.is_multiple_of(4) => ("main", [1, 2, 3, 4], 4),
            Precision::F32 => ("ragged", [5, 6, 7, 8], 1),
        };
        let shown = lines.window(band);
        let gates = Window::of(band.images.start * per_gate..band.images.end * per_gate);
        let units = |words: u64| (words / lanes) as u32;
        let total = units(band.sizes().iter().product::<u64>() * channels);
        let params = self.context.uniform(&Params {
            channels: units(channels),
            image: units(image),
            base: units(shown.base),
            gate_base: if self.desc.precision == Precision::F16 { gates.base as u32 } else { units(gates.base) },
            total,
            gates: self.desc.channels,
            pad: [0; 2],
        })?;
        let overflow = self.context.overflow()?;
        let mut entries = vec![
            (0, Bind::Uniform(&params)),
            (bindings[0], Bind::Slice(shown.show(buffers.input))),
            (bindings[1], Bind::Slice(gates.show(buffers.gate))),
            (bindings[2], Bind::Slice(shown.show(buffers.residual))),
            (bindings[3], Bind::Slice(shown.show(buffers.output))),
        ];
        if self.desc.precision == Precision::F16 {
            entries.push((12, Bind::Slice(overflow.word())));
        }
        let pipeline = self.context.pipeline(&shaders::SCALE_ADD_RELU, entry, &[]);
        self.context.dispatch(OP, &pipeline, &entries, u64::from(total).div_ceil(64))
    }
}
