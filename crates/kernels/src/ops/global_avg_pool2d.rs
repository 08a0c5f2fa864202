//! The mean over all pixels of an image.

use crate::{
    Commands, Context, Error, Family, Precision,
    context::{Bind, volume},
    params::params,
    step::Step,
    window::{Band, Lines, Window},
};
use wgpu::BufferSlice;

const OP: &str = "global_avg_pool2d";

/// Pixels from which several invocations share an image's: below, most of a workgroup would have none.
const WORTH_STRIPS: u64 = 16;

/// Vec4, scalars or quads of a pixel that a workgroup takes in strips.
const STRIPED_LANES: u64 = 8;

/// Sizes of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalAvgPool2dDesc {
    /// Images.
    pub batch: u32,
    /// Rows of each.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Channels.
    pub channels: u32,
    /// How the input is stored; the output is f32.
    pub precision: Precision,
}

impl GlobalAvgPool2dDesc {
    /// Takes f32 images of these sizes.
    pub fn new(batch: u32, height: u32, width: u32, channels: u32) -> Self {
        GlobalAvgPool2dDesc { batch, height, width, channels, precision: Precision::F32 }
    }

    fn sizes(&self) -> [u32; 4] {
        [self.batch, self.height, self.width, self.channels]
    }
}

params! {
    GLOBAL_AVG_POOL2D: struct Params {
        width: u32,
        pixels: u32,
        input_base: u32,
        output_base: u32,
        total: u32,
        accumulate: u32,
        divisor: f32,
        channels: u32,
    }
}

/// A planned mean over pixels: `output[n,c] = 1/(H W) sum over h, w of input[n,h,w,c]`.
///
/// # Shapes
/// input: NHWC `[batch, height, width, channels]`, f32 or f16 as the [`Precision`] says; output: `[batch, channels]`, f32. Buffers of
/// [`OPERAND_USAGES`](crate::OPERAND_USAGES).
///
/// # Numerics
/// Sums in f32: `|error| <= gamma(H W + 4) sum |input| / (H W)`, gamma(k) = k u / (1 - k u), u = 2^-24.
///
/// # Reference
/// Lin, Chen and Yan, "Network In Network", ICLR 2014, section 3.2.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, input: &wgpu::Buffer, output: &wgpu::Buffer,
/// #            encoder: &mut wgpu::CommandEncoder) -> Result<(), kernels::Error> {
/// use kernels::{GlobalAvgPool2d, GlobalAvgPool2dDesc, wgpu};
/// let desc = GlobalAvgPool2dDesc::new(8, 7, 7, 512);
/// GlobalAvgPool2d::new(context, &desc)?.bind(input.slice(..), output.slice(..))?.encode(encoder);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct GlobalAvgPool2d {
    context: Context,
    desc: GlobalAvgPool2dDesc,
}

impl GlobalAvgPool2d {
    /// Plans the mean.
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is zero or the input has more than 2^32 elements.
    pub fn new(context: &Context, desc: &GlobalAvgPool2dDesc) -> Result<Self, Error> {
        volume(OP, "input", &desc.sizes())?;
        Ok(GlobalAvgPool2d { context: context.clone(), desc: *desc })
    }

    /// Ties the buffers. An input beyond what one binding may show is read in bands of images, or of pixels.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit; [`Error::Limit`] when
    /// not even one pixel fits a binding.
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Commands, Error> {
        let [batch, height, width, means] = self.desc.sizes().map(u64::from);
        let pixels = height * width;
        // The 32-bit words of a pixel.
        let channels = u64::from(self.desc.precision.words(self.desc.channels));
        self.context.check(OP, ("input", input), batch * pixels * channels)?;
        self.context.check(OP, ("output", output), batch * means)?;
        self.context.apart(OP, ("output", output), &[("input", input)])?;
        let mut commands = Commands::new(OP);
        for band in self.context.room().bands(OP, "channels of a pixel", [batch, pixels], &[self.lines()])? {
            commands.steps.push(self.step(input, output, &band)?);
        }
        Ok(commands)
    }

    /// Describes the input by its pixels.
    fn lines(&self) -> Lines {
        let count = u64::from(self.desc.height) * u64::from(self.desc.width);
        Lines { words: self.desc.precision.words(self.desc.channels).into(), count, sliding: None }
    }

    fn step(&self, input: BufferSlice<'_>, output: BufferSlice<'_>, band: &Band) -> Result<Step, Error> {
        let (lines, means) = (self.lines(), u64::from(self.desc.channels));
        let channels = lines.words;
        // Entry points one by one and in strips, bindings of input and output, words of the input that an invocation reads at once, and
        // of the output.
        let (entries, bindings, lanes, written_lanes) = match self.desc.precision {
            Precision::F16 => (["halves", "strips_halves"], [5, 4], 2, 1),
            Precision::F32 if channels.is_multiple_of(4) => (["main", "strips"], [1, 2], 4, 4),
            Precision::F32 => (["ragged", "strips_ragged"], [3, 4], 1, 1),
        };
        let read = lines.window(band);
        let written = Window::of(band.images.start * means..band.images.end * means);
        let [images, pixels] = band.sizes();
        let total = images * channels / lanes;
        let last = band.lines.end == lines.count;
        let units = |words: u64| (words / lanes) as u32;
        let params = self.context.uniform(&Params {
            width: units(channels),
            pixels: pixels as u32,
            input_base: units(read.base),
            output_base: (written.base / written_lanes) as u32,
            total: total as u32,
            accumulate: u32::from(band.lines.start > 0),
            divisor: if last { lines.count as f32 } else { 1.0 },
            channels: self.desc.channels,
        })?;
        let strips = self.context.tune().family == Family::Tiled && pixels >= WORTH_STRIPS;
        let workgroups = if strips { images * (channels / lanes).div_ceil(STRIPED_LANES) } else { total.div_ceil(64) };
        let pipeline = self.context.pipeline(&shaders::GLOBAL_AVG_POOL2D, entries[usize::from(strips)], &[]);
        let entries = [
            (0, Bind::Uniform(&params)),
            (bindings[0], Bind::Slice(read.show(input))),
            (bindings[1], Bind::Slice(written.show(output))),
        ];
        self.context.dispatch(OP, &pipeline, &entries, workgroups)
    }
}
