use crate::{
    Commands, Context, Error, Precision,
    context::{Bind, volume, window},
    ops::{aligned, ranges},
    params::params,
};
use std::ops::Range;
use wgpu::{BufferSlice, BufferUsages};

const OP: &str = "global_avg_pool2d";

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
    /// Of f32 tensors.
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
/// usage STORAGE.
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
        self.context.check(OP, "input", input, batch * pixels * channels, BufferUsages::STORAGE)?;
        self.context.check(OP, "output", output, batch * means, BufferUsages::STORAGE)?;
        let limit = self.context.binding_elements();
        let mut commands = Commands::new(OP);
        if batch * pixels * channels <= limit {
            self.band(&mut commands, input, output, 0..batch, 0..pixels)?;
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
                self.band(&mut commands, input, output, images.clone(), pixels)?;
            }
        }
        Ok(commands)
    }

    fn band(
        &self,
        commands: &mut Commands,
        input: BufferSlice<'_>,
        output: BufferSlice<'_>,
        images: Range<u64>,
        pixels: Range<u64>,
    ) -> Result<(), Error> {
        let [_, height, width, means] = self.desc.sizes().map(u64::from);
        let channels = u64::from(self.desc.precision.words(self.desc.channels));
        let image = height * width * channels;
        // Entry point, bindings of input and output, words of the input that an invocation reads at once, and of the output.
        let (entry, bindings, lanes, written_lanes) = match self.desc.precision {
            Precision::F16 => ("halves", [5, 4], 2, 1),
            Precision::F32 if channels.is_multiple_of(4) => ("main", [1, 2], 4, 4),
            Precision::F32 => ("ragged", [3, 4], 1, 1),
        };
        let (read, input_base) =
            aligned(images.start * image + pixels.start * channels..(images.end - 1) * image + pixels.end * channels);
        let (written, output_base) = aligned(images.start * means..images.end * means);
        let total = (images.end - images.start) * channels / lanes;
        let last = pixels.end == height * width;
        let units = |elements: u64| (elements / lanes) as u32;
        let params = self.context.uniform(&Params {
            width: units(channels),
            pixels: (pixels.end - pixels.start) as u32,
            input_base: units(input_base),
            output_base: (output_base / written_lanes) as u32,
            total: total as u32,
            accumulate: u32::from(pixels.start > 0),
            divisor: if last { (height * width) as f32 } else { 1.0 },
            channels: self.desc.channels,
        })?;
        let entries = [
            (0, Bind::Uniform(&params)),
            (bindings[0], Bind::Slice(window(input, read))),
            (bindings[1], Bind::Slice(window(output, written))),
        ];
        let pipeline = self.context.pipeline(&shaders::GLOBAL_AVG_POOL2D, entry, &[]);
        commands.steps.push(self.context.dispatch(OP, &pipeline, &entries, total.div_ceil(64))?);
        Ok(())
    }
}
