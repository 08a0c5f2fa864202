//! The mean over sliding windows.

use crate::{
    Commands, Context, Error, Precision,
    context::{Bind, volume},
    params::params,
    sliding,
    step::Step,
    window::{Band, Lines, Sliding},
};
use wgpu::BufferSlice;

const OP: &str = "avg_pool2d";

/// Sizes of the images and of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool2dDesc {
    /// Images.
    pub batch: u32,
    /// Rows of the input.
    pub height: u32,
    /// Columns of the input.
    pub width: u32,
    /// Channels.
    pub channels: u32,
    /// Rows and columns of the window.
    pub kernel: [u32; 2],
    /// Steps down and right.
    pub stride: [u32; 2],
    /// Zeros around the input, above and below, left and right: at most half the kernel.
    pub padding: [u32; 2],
    /// Whether padded zeros count in the divisor.
    pub count_include_pad: bool,
    /// Whether a last window that hangs over the padded input counts too, if it starts inside the input or the padding before it.
    pub ceil_mode: bool,
    /// How input and output are stored.
    pub precision: Precision,
}

impl AvgPool2dDesc {
    /// Takes a square window that steps by its own size, without padding, on f32 tensors.
    ///
    /// ```
    /// assert_eq!(kernels::AvgPool2dDesc::new(1, 8, 9, 64, 2).output_size(), Some([4, 4]));
    /// ```
    pub fn new(batch: u32, height: u32, width: u32, channels: u32, kernel: u32) -> Self {
        AvgPool2dDesc {
            batch,
            height,
            width,
            channels,
            kernel: [kernel; 2],
            stride: [kernel; 2],
            padding: [0; 2],
            count_include_pad: true,
            ceil_mode: false,
            precision: Precision::F32,
        }
    }

    /// Computes the rows and columns of the output, `floor((size + 2 padding - kernel) / stride) + 1`; none where the window exceeds
    /// the padded input. In ceil mode it is rounded up, less windows that would start behind the input:
    /// `min(ceil((size + 2 padding - kernel) / stride) + 1, ceil((size + padding) / stride))`.
    ///
    /// ```
    /// let pool = kernels::AvgPool2dDesc { ceil_mode: true, ..kernels::AvgPool2dDesc::new(1, 8, 9, 64, 2) };
    /// assert_eq!(pool.output_size(), Some([4, 5]));
    /// ```
    pub fn output_size(&self) -> Option<[u32; 2]> {
        let (size, Self { kernel, stride, padding, .. }) = ([self.height, self.width], *self);
        if !self.ceil_mode {
            return sliding::output_size(size, kernel, stride, padding, [1; 2]);
        }
        let hanging = [0, 1].map(|i| size[i].saturating_add(stride[i].saturating_sub(1)));
        let windows = sliding::output_size(hanging, kernel, stride, padding, [1; 2])?;
        Some([0, 1].map(|i| windows[i].min(size[i].saturating_add(padding[i]).div_ceil(stride[i]))))
    }
}

params! {
    AVG_POOL2D: struct Params {
        height: u32,
        width: u32,
        channels: u32,
        output_width: u32,
        row_first: u32,
        rows: u32,
        kernel_height: u32,
        kernel_width: u32,
        stride_height: u32,
        stride_width: u32,
        padding_height: u32,
        padding_width: u32,
        count_include_pad: u32,
        input_row: u32,
        input_base: u32,
        output_base: u32,
        total: u32,
        pad: [u32; 3],
    }
}

/// A planned mean over sliding windows:
/// `output[n,i,j,c] = 1/D sum over kh, kw of input[n, i sh + kh - ph, j sw + kw - pw, c]`.
///
/// Pixels outside are zero. D is the number of the window's pixels inside the padded image, or without `count_include_pad`
/// inside the image. The output's size is rounded down, in ceil mode up.
///
/// # Shapes
/// input: NHWC `[batch, height, width, channels]`; output: `[batch, height', width', channels]` with
/// [`AvgPool2dDesc::output_size`], f32 or f16 as the [`Precision`] says. Buffers of [`OPERAND_USAGES`](crate::OPERAND_USAGES).
///
/// # Numerics
/// Sums in f32: `|error| <= gamma(K + 4) sum |input| / D`, K the kernel's area, gamma(k) = k u / (1 - k u), u = 2^-24;
/// of f16 rounded once more.
///
/// # Reference
/// LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11), 1998,
/// section II.B.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, input: &wgpu::Buffer, output: &wgpu::Buffer,
/// #            encoder: &mut wgpu::CommandEncoder) -> Result<(), kernels::Error> {
/// use kernels::{AvgPool2d, AvgPool2dDesc, wgpu};
/// let pool = AvgPool2d::new(context, &AvgPool2dDesc::new(8, 56, 56, 64, 2))?;
/// pool.bind(input.slice(..), output.slice(..))?.encode(encoder);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct AvgPool2d {
    context: Context,
    /// Its channels are the 32-bit words of a pixel.
    desc: AvgPool2dDesc,
    output_size: [u32; 2],
}

impl AvgPool2d {
    /// Plans the mean.
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is zero, the window exceeds the padded input, padding is more than half the kernel, or
    /// a tensor has more than 2^32 elements.
    pub fn new(context: &Context, desc: &AvgPool2dDesc) -> Result<Self, Error> {
        for (name, sizes) in [("kernel", desc.kernel), ("stride", desc.stride)] {
            if sizes.contains(&0) {
                return Err(Error::shape(OP, format_args!("{name} is {sizes:?}, at least 1 is expected")));
            }
        }
        if (0..2).any(|i| desc.padding[i] > desc.kernel[i] / 2) {
            return Err(Error::shape(
                OP,
                format_args!("padding {:?} exceeds half the kernel {:?}", desc.padding, desc.kernel),
            ));
        }
        volume(OP, "input", &[desc.batch, desc.height, desc.width, desc.channels])?;
        let Some(output_size @ [height, width]) = desc.output_size() else {
            return Err(Error::shape(
                OP,
                format_args!(
                    "a kernel of {:?} exceeds the input of {}x{} padded by {:?}",
                    desc.kernel, desc.height, desc.width, desc.padding
                ),
            ));
        };
        volume(OP, "output", &[desc.batch, height, width, desc.channels])?;
        volume(OP, "kernel", &desc.kernel)?;
        let desc = AvgPool2dDesc { channels: desc.precision.words(desc.channels), ..*desc };
        Ok(AvgPool2d { context: context.clone(), desc, output_size })
    }

    /// Ties the buffers. Tensors beyond what one binding may show are taken in bands of images, or of rows.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit; [`Error::Limit`] when
    /// the rows of one window don't fit a binding.
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Commands, Error> {
        let operands @ [read, written] = self.lines();
        let batch = u64::from(self.desc.batch);
        self.context.check(OP, ("input", input), batch * read.count * read.words)?;
        self.context.check(OP, ("output", output), batch * written.count * written.words)?;
        self.context.apart(OP, ("output", output), &[("input", input)])?;
        let mut commands = Commands::new(OP);
        for band in
            self.context.room().bands(OP, "elements of the rows of a window", [batch, written.count], &operands)?
        {
            commands.steps.push(self.step(input, output, &band)?);
        }
        Ok(commands)
    }

    /// Describes input and output by their rows.
    fn lines(&self) -> [Lines; 2] {
        let desc = &self.desc;
        let [reach, stride, padding] = [desc.kernel, desc.stride, desc.padding].map(|pair| u64::from(pair[0]));
        let [height, width] = self.output_size.map(u64::from);
        let channels = u64::from(desc.channels);
        let sliding = Some(Sliding { reach, stride, padding });
        [
            Lines { words: u64::from(desc.width) * channels, count: desc.height.into(), sliding },
            Lines { words: width * channels, count: height, sliding: None },
        ]
    }

    fn step(&self, input: BufferSlice<'_>, output: BufferSlice<'_>, band: &Band) -> Result<Step, Error> {
        let desc = &self.desc;
        let channels = u64::from(desc.channels);
        let [read, written] = self.lines();
        let top = read.touched(&band.lines).start;
        let (read, output_row, written) = (read.window(band), written.words, written.window(band));
        let (entry, first, lanes) = match desc.precision {
            Precision::F16 => ("halves", 5, 2),
            Precision::F32 if channels.is_multiple_of(4) => ("main", 1, 4),
            Precision::F32 => ("ragged", 3, 1),
        };
        let [images, rows] = band.sizes();
        let total = images * rows * output_row / lanes;
        let params = self.context.uniform(&Params {
            height: desc.height,
            width: desc.width,
            channels: (channels / lanes) as u32,
            output_width: self.output_size[1],
            row_first: band.lines.start as u32,
            rows: rows as u32,
            kernel_height: desc.kernel[0],
            kernel_width: desc.kernel[1],
            stride_height: desc.stride[0],
            stride_width: desc.stride[1],
            padding_height: desc.padding[0],
            padding_width: desc.padding[1],
            count_include_pad: u32::from(desc.count_include_pad),
            input_row: top as u32,
            input_base: (read.base / lanes) as u32,
            output_base: (written.base / lanes) as u32,
            total: total as u32,
            pad: [0; 3],
        })?;
        let entries = [
            (0, Bind::Uniform(&params)),
            (first, Bind::Slice(read.show(input))),
            (first + 1, Bind::Slice(written.show(output))),
        ];
        let pipeline = self.context.pipeline(&shaders::AVG_POOL2D, entry, &[]);
        self.context.dispatch(OP, &pipeline, &entries, total.div_ceil(64))
    }
}
