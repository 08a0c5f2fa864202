//! The maximum over sliding windows.

use crate::{
    Commands, Context, Error, Family, Precision, Workspace, WorkspaceSize,
    context::{Bind, volume},
    mirror,
    params::params,
    sliding,
    step::Step,
    window::{Lines, Sliding, Window},
};
use wgpu::BufferSlice;

const OP: &str = "max_pool2d";

/// Sizes of a max-pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2dDesc {
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
    /// Rows above and below, columns left and right that the window may lie outside; at most half of it.
    pub padding: [u32; 2],
    /// Distance of the window's taps.
    pub dilation: [u32; 2],
    /// How input and output are stored; f16 takes the tiled family whatever the context prefers.
    pub precision: Precision,
}

impl MaxPool2dDesc {
    /// Takes the pooling behind a ResNet's stem: 3x3, stride 2, padding 1, of f32 tensors.
    ///
    /// ```
    /// let pool = kernels::MaxPool2dDesc::stem(8, 112, 112, 64);
    /// assert_eq!(pool.output_size(), Some([56, 56]));
    /// ```
    pub fn stem(batch: u32, height: u32, width: u32, channels: u32) -> Self {
        let (kernel, stride, padding, dilation) = ([3, 3], [2, 2], [1, 1], [1, 1]);
        MaxPool2dDesc { batch, height, width, channels, kernel, stride, padding, dilation, precision: Precision::F32 }
    }

    /// Computes the rows and columns of the output, rounded down as for a convolution.
    pub fn output_size(&self) -> Option<[u32; 2]> {
        sliding::output_size([self.height, self.width], self.kernel, self.stride, self.padding, self.dilation)
    }

    /// Counts the elements of the input, `[batch, height, width, channels]`.
    pub fn input_len(&self) -> u64 {
        [self.batch, self.height, self.width, self.channels].iter().map(|&size| u64::from(size)).product()
    }

    /// Counts the elements of the output, `[batch, height', width', channels]`.
    pub fn output_len(&self) -> u64 {
        let [height, width] = self.output_size().unwrap_or_default();
        [self.batch, height, width, self.channels].iter().map(|&size| u64::from(size)).product()
    }

    /// Describes input and output by their rows.
    fn lines(&self) -> [Lines; 2] {
        let [height, width] = self.output_size().unwrap_or_default().map(u64::from);
        let [kernel, stride, padding, dilation] =
            [self.kernel, self.stride, self.padding, self.dilation].map(|pair| u64::from(pair[0]));
        let sliding = Some(Sliding { reach: dilation * (kernel - 1) + 1, stride, padding });
        let channels = u64::from(self.channels);
        [
            Lines { words: u64::from(self.width) * channels, count: self.height.into(), sliding },
            Lines { words: width * channels, count: height, sliding: None },
        ]
    }
}

/// A planned max-pooling: `output[n,i,j,c] = max over h, w of input[n, i stride + h dilation - padding, …, c]`.
///
/// What lies on the padding is left out (it is not zero: a window of negative numbers has a negative maximum; a dilated
/// window wholly outside gives minus infinity). A NaN in a window wins.
///
/// # Shapes
/// input `[batch, height, width, channels]`, output `[batch, height', width', channels]`, NHWC, f32 or f16 as the [`Precision`] says. Buffers of
/// [`OPERAND_USAGES`](crate::OPERAND_USAGES).
///
/// # Numerics
/// Exact.
///
/// # Reference
/// He et al., "Deep Residual Learning for Image Recognition", 2015, table 1.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, x: &wgpu::Buffer, y: &wgpu::Buffer, encoder: &mut wgpu::CommandEncoder)
/// #     -> Result<(), kernels::Error> {
/// use kernels::{MaxPool2d, MaxPool2dDesc, wgpu};
/// let pool = MaxPool2d::new(context, &MaxPool2dDesc::stem(8, 112, 112, 64))?;
/// pool.bind(x.slice(..), y.slice(..))?.encode(encoder);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct MaxPool2d {
    context: Context,
    /// Its channels are the 32-bit words of a pixel.
    desc: MaxPool2dDesc,
    family: Family,
}

impl MaxPool2d {
    /// Plans the pooling.
    ///
    /// # Errors
    /// [`Error::Shape`] for empty sizes, a window larger than the padded input or padding of more than half of it (a
    /// window could then lie wholly outside).
    pub fn new(context: &Context, desc: &MaxPool2dDesc) -> Result<Self, Error> {
        let reach = |i: usize| desc.dilation[i].saturating_mul(desc.kernel[i].saturating_sub(1)).saturating_add(1);
        if [desc.kernel, desc.stride, desc.dilation].iter().flatten().any(|&size| size == 0) {
            return Err(Error::shape(OP, format_args!("kernel, stride and dilation are at least 1: {desc:?}")));
        }
        if (0..2).any(|i| desc.padding[i] > desc.kernel[i] / 2) {
            let message = format_args!("padding {:?} is more than half of the window {:?}", desc.padding, desc.kernel);
            return Err(Error::shape(OP, message));
        }
        volume(OP, "input", &[desc.batch, desc.height, desc.width, desc.channels])?;
        let Some([height, width]) = desc.output_size() else {
            return Err(Error::shape(
                OP,
                format_args!(
                    "a window of {}x{} exceeds the input of {}x{} padded by {:?}",
                    reach(0),
                    reach(1),
                    desc.height,
                    desc.width,
                    desc.padding
                ),
            ));
        };
        volume(OP, "output", &[desc.batch, height, width, desc.channels])?;
        let fits = desc.channels.is_multiple_of(4) && desc.input_len() / 4 <= mirror::capacity(context.device());
        let family = match context.family(OP)? {
            Family::Texture if !fits || desc.precision == Precision::F16 => Family::Tiled,
            family => family,
        };
        let desc = MaxPool2dDesc { channels: desc.precision.words(desc.channels), ..*desc };
        Ok(MaxPool2d { context: context.clone(), desc, family })
    }

    /// Computes the scratch memory that it needs.
    pub fn workspace_size(&self) -> WorkspaceSize {
        let mut size = WorkspaceSize::default();
        if self.family == Family::Texture {
            size.texels[0] = self.desc.input_len() / 4;
        }
        size
    }

    /// Ties the buffers, with a workspace of its own.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit.
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Commands, Error> {
        self.bind_in(&Workspace::new(&self.context, self.workspace_size())?, input, output)
    }

    /// Ties the buffers, with a workspace shared with other operations.
    ///
    /// # Errors
    /// As [`MaxPool2d::bind`], and [`Error::Shape`] when the workspace is too small.
    pub fn bind_in(
        &self,
        workspace: &Workspace,
        input: BufferSlice<'_>,
        output: BufferSlice<'_>,
    ) -> Result<Commands, Error> {
        let texture = self.family == Family::Texture;
        self.context.check(OP, ("input", input), self.desc.input_len())?;
        self.context.check(OP, ("output", output), self.desc.output_len())?;
        self.context.apart(OP, ("output", output), &[("input", input)])?;
        let mut commands = Commands::new(OP);
        if texture {
            let (mirrored, view) = workspace.texture(OP, 0, self.workspace_size().texels[0])?;
            commands.steps.push(mirror::copy(input, mirrored));
            for words in self.context.room().flat(self.desc.output_len()) {
                let written = Window { words, base: 0 };
                commands.steps.push(self.step(Bind::Texture(view), 0, output, &written)?);
            }
            return Ok(commands);
        }
        let operands @ [read, written] = self.desc.lines();
        let sizes = [self.desc.batch.into(), written.count];
        for band in self.context.room().bands(OP, "elements of the rows of a window", sizes, &operands)? {
            let read = read.window(&band);
            let input = Bind::Slice(read.show(input));
            commands.steps.push(self.step(input, read.words.start, output, &written.window(&band))?);
        }
        Ok(commands)
    }

    /// Makes a dispatch that reads `input`, which begins with the word `first`, and writes a window of the output.
    fn step(&self, input: Bind<'_>, first: u64, output: BufferSlice<'_>, written: &Window) -> Result<Step, Error> {
        let desc = &self.desc;
        let whole = desc.channels.is_multiple_of(4);
        // Width: channels that an invocation computes.
        let (shader, entry, binding, width) = match (self.family, desc.precision) {
            (Family::Texture, _) => (&shaders::MAX_POOL2D_TEXTURE, "main", 1, 4),
            (Family::Tiled, Precision::F16) => (&shaders::MAX_POOL2D, "halves", 5, 2),
            (Family::Tiled, Precision::F32) if whole => (&shaders::MAX_POOL2D, "quads", 3, 4),
            (Family::Tiled, Precision::F32) => (&shaders::MAX_POOL2D, "main", 1, 1),
        };
        let [out_height, out_width] = desc.output_size().unwrap_or_default();
        let start = written.words.start + written.base;
        let count = (written.words.end - start) / width;
        let params = self.context.uniform(&Params {
            height: desc.height,
            width: desc.width,
            channels: desc.channels / width as u32,
            out_height,
            out_width,
            kernel_h: desc.kernel[0],
            kernel_w: desc.kernel[1],
            stride_h: desc.stride[0],
            stride_w: desc.stride[1],
            pad_h: desc.padding[0],
            pad_w: desc.padding[1],
            dilation_h: desc.dilation[0],
            dilation_w: desc.dilation[1],
            first: (start / width) as u32,
            count: count as u32,
            x_base: ((first / width) as u32).wrapping_neg(),
            y_base: (written.base / width) as u32,
            pad: [0; 3],
        })?;
        let pipeline = self.context.pipeline(shader, entry, &[]);
        let entries = [(0, Bind::Uniform(&params)), (binding, input), (binding + 1, Bind::Slice(written.show(output)))];
        self.context.dispatch(OP, &pipeline, &entries, count.div_ceil(64))
    }
}

params! {
    MAX_POOL2D, MAX_POOL2D_TEXTURE: struct Params {
        height: u32,
        width: u32,
        channels: u32,
        out_height: u32,
        out_width: u32,
        kernel_h: u32,
        kernel_w: u32,
        stride_h: u32,
        stride_w: u32,
        pad_h: u32,
        pad_w: u32,
        dilation_h: u32,
        dilation_w: u32,
        first: u32,
        count: u32,
        x_base: u32,
        y_base: u32,
        pad: [u32; 3],
    }
}
