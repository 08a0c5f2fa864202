//! What a convolution is: its sizes, what is fused into it, its operands.

use crate::{Error, Precision, context::volume, sliding};
use wgpu::BufferSlice;

/// The operation's name in errors.
pub(super) const OP: &str = "conv2d";

/// Sizes of a convolution, and what is fused into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dDesc {
    /// Images.
    pub batch: u32,
    /// Rows of the input.
    pub height: u32,
    /// Columns of the input.
    pub width: u32,
    /// Channels of the input.
    pub in_channels: u32,
    /// Channels of the output.
    pub out_channels: u32,
    /// Rows and columns of the kernel.
    pub kernel: [u32; 2],
    /// Steps down and right.
    pub stride: [u32; 2],
    /// Zeros around the input: above and below, left and right.
    pub padding: [u32; 2],
    /// Distance of the kernel's taps.
    pub dilation: [u32; 2],
    /// Groups of channels that don't see each other.
    pub groups: u32,
    /// Whether a tensor of the output's shape is added before the ReLU.
    pub residual: bool,
    /// Whether max(0, x) is applied at the end.
    pub relu: bool,
    /// How input, residual and output are stored; f16 takes the tiled family whatever the context prefers.
    pub precision: Precision,
}

impl Conv2dDesc {
    /// Takes images of `[height, width]`, `[input, output]` channels, a square kernel of stride 1, "same" padding for odd sizes, nothing
    /// fused, f32 tensors.
    ///
    /// ```
    /// use kernels::Conv2dDesc;
    /// let stem = Conv2dDesc { stride: [2, 2], relu: true, ..Conv2dDesc::new(8, [224, 224], [3, 64], 7) };
    /// assert_eq!(stem.output_size(), Some([112, 112]));
    /// ```
    pub fn new(batch: u32, [height, width]: [u32; 2], [in_channels, out_channels]: [u32; 2], kernel: u32) -> Self {
        Conv2dDesc {
            batch,
            height,
            width,
            in_channels,
            out_channels,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [kernel / 2; 2],
            dilation: [1; 2],
            groups: 1,
            residual: false,
            relu: false,
            precision: Precision::F32,
        }
    }

    /// Computes the rows and columns of the output, `floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`; none where
    /// the kernel is larger than the padded input or a size is zero.
    pub fn output_size(&self) -> Option<[u32; 2]> {
        sliding::output_size([self.height, self.width], self.kernel, self.stride, self.padding, self.dilation)
    }

    /// Counts multiplications and additions by the definition, two a multiply-add, whatever the algorithm saves.
    pub fn flops(&self) -> u64 {
        let taps = u64::from(self.kernel[0]) * u64::from(self.kernel[1]);
        2 * self.output_len() * taps * u64::from(self.in_channels / self.groups.max(1))
    }

    /// Counts the elements of the input, `[batch, height, width, in_channels]`.
    pub fn input_len(&self) -> u64 {
        [self.batch, self.height, self.width, self.in_channels].iter().map(|&size| u64::from(size)).product()
    }

    /// Counts the elements of the output, `[batch, height', width', out_channels]`.
    pub fn output_len(&self) -> u64 {
        let [height, width] = self.output_size().unwrap_or_default();
        [self.batch, height, width, self.out_channels].iter().map(|&size| u64::from(size)).product()
    }

    /// Counts the elements of the weight, `[out_channels, in_channels / groups, kernel rows, kernel columns]`.
    pub fn weight_len(&self) -> u64 {
        [self.out_channels, self.in_channels / self.groups.max(1), self.kernel[0], self.kernel[1]]
            .iter()
            .map(|&size| u64::from(size))
            .product()
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        for (name, sizes) in [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)] {
            if sizes.contains(&0) {
                return Err(Error::shape(OP, format_args!("{name} is {sizes:?}, at least 1 is expected")));
            }
        }
        if self.groups == 0
            || !self.in_channels.is_multiple_of(self.groups)
            || !self.out_channels.is_multiple_of(self.groups)
        {
            return Err(Error::shape(
                OP,
                format_args!(
                    "{} groups don't divide {} input and {} output channels",
                    self.groups, self.in_channels, self.out_channels
                ),
            ));
        }
        volume(OP, "input", &[self.batch, self.height, self.width, self.in_channels.next_multiple_of(4)])?;
        let Some([height, width]) = self.output_size() else {
            return Err(Error::shape(
                OP,
                format_args!(
                    "a kernel of {:?} with dilation {:?} exceeds the input of {}x{} padded by {:?}",
                    self.kernel, self.dilation, self.height, self.width, self.padding
                ),
            ));
        };
        volume(OP, "output", &[self.batch, height, width, self.out_channels])?;
        let inputs = self.in_channels / self.groups;
        volume(OP, "weight", &[self.out_channels, inputs, self.kernel[0], self.kernel[1]])?;
        Ok(())
    }

    pub(super) fn packed_channels(&self) -> u32 {
        self.in_channels.next_multiple_of(4)
    }
}

/// The operands of a [`Conv2d`](crate::Conv2d).
#[derive(Debug, Clone, Copy)]
pub struct Conv2dBuffers<'a> {
    /// The input, `[batch, height, width, in_channels]`.
    pub input: BufferSlice<'a>,
    /// The residual, shaped as `output`, when the descriptor has one.
    pub residual: Option<BufferSlice<'a>>,
    /// The output, `[batch, height', width', out_channels]`.
    pub output: BufferSlice<'a>,
}
