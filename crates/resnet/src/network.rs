//! A network spelt out: its convolutions, blocks and gates, with their names and sizes.

/// One convolution with the BatchNorm that follows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvSpec {
    /// torchvision's module name: its weight is the tensor `<name>.weight`, of shape [`weight_shape`](Self::weight_shape).
    pub name: String,
    /// torchvision's module name of its BatchNorm.
    pub norm: String,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Stride along both axes.
    pub stride: usize,
    /// Zeros added on each of the four sides.
    pub padding: usize,
    /// Groups: each output channel sees `in_channels / groups` inputs.
    pub groups: usize,
    /// Whether a ReLU follows. In a block's last convolution it comes after the shortcut has been added; behind channel
    /// attention it belongs to the gated sum.
    pub relu: bool,
}

impl ConvSpec {
    /// Gives the shape of the weight, OIHW: `[out_channels, in_channels / groups, kernel, kernel]`.
    pub fn weight_shape(&self) -> [usize; 4] {
        [self.out_channels, self.in_channels / self.groups, self.kernel, self.kernel]
    }

    /// Computes height and width of the output for an input of `size` (height, width).
    pub fn output_size(&self, size: [usize; 2]) -> [usize; 2] {
        output_size(size, self.kernel, self.stride, self.padding)
    }

    /// Counts floating-point operations, two a multiply-add, for one image of `size` (height, width).
    pub fn flops(&self, size: [usize; 2]) -> u64 {
        let [h, w] = self.output_size(size);
        2 * (h * w) as u64 * self.weight_shape().iter().product::<usize>() as u64
    }
}

/// The max-pooling after the stem. Padding counts as minus infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolSpec {
    /// Height and width of the window.
    pub kernel: usize,
    /// Stride along both axes.
    pub stride: usize,
    /// Rows and columns of padding on each side.
    pub padding: usize,
}

impl PoolSpec {
    /// Computes height and width of the output for an input of `size` (height, width).
    pub fn output_size(&self, size: [usize; 2]) -> [usize; 2] {
        output_size(size, self.kernel, self.stride, self.padding)
    }
}

/// A layer on the way from the averages of a block's channels to its gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GateSpec {
    /// A dense layer with bias, stored as a 1x1 convolution.
    Dense {
        /// timm's module name: `<name>.weight` and `<name>.bias`.
        name: String,
        /// Channels that it sees.
        in_channels: usize,
        /// Channels that it gives.
        out_channels: usize,
        /// Whether a ReLU follows.
        relu: bool,
    },
    /// A convolution along the channels, padded with zeros to the same length, without bias.
    Sliding {
        /// timm's module name: `<name>.weight`.
        name: String,
        /// Channels that it sees and gives.
        channels: usize,
        /// Length of the kernel, odd.
        kernel: usize,
    },
}

impl GateSpec {
    /// Gives timm's module name.
    pub fn name(&self) -> &str {
        match self {
            GateSpec::Dense { name, .. } | GateSpec::Sliding { name, .. } => name,
        }
    }

    /// Gives the shape of the weight: `[out_channels, in_channels, 1, 1]` or `[1, 1, kernel]`.
    pub fn weight_shape(&self) -> Vec<usize> {
        match *self {
            GateSpec::Dense { in_channels, out_channels, .. } => vec![out_channels, in_channels, 1, 1],
            GateSpec::Sliding { kernel, .. } => vec![1, 1, kernel],
        }
    }

    /// Counts floating-point operations, two a multiply-add, for one image.
    pub fn flops(&self) -> u64 {
        2 * match *self {
            GateSpec::Dense { in_channels, out_channels, .. } => in_channels * out_channels,
            GateSpec::Sliding { channels, kernel, .. } => channels * kernel,
        } as u64
    }
}

/// A shortcut that isn't the identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShortcutSpec {
    /// Whether 2x2 pixels are averaged with stride 2 before the convolution: an odd last row or column by itself.
    pub pool: bool,
    /// The 1x1 convolution.
    pub conv: ConvSpec,
}

impl ShortcutSpec {
    /// Computes height and width of what the convolution takes, for a block's input of `size` (height, width).
    pub fn pooled_size(&self, size: [usize; 2]) -> [usize; 2] {
        if self.pool { size.map(|side| side.div_ceil(2)) } else { size }
    }
}

/// A residual block: `relu(convs(x) + shortcut(x))`, or with channel attention
/// `relu(sigmoid(gate(mean(convs(x)))) · convs(x) + shortcut(x))`, the mean over all pixels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockSpec {
    /// torchvision's module name, `layer1.0`.
    pub name: String,
    /// Stage it belongs to, 1 to 4.
    pub stage: usize,
    /// The residual branch, in order. The last one's ReLU follows the addition of the shortcut.
    pub convs: Vec<ConvSpec>,
    /// The layers of the channel attention; none without it.
    pub gate: Vec<GateSpec>,
    /// The shortcut; `None` where it is the block's input itself.
    pub shortcut: Option<ShortcutSpec>,
}

/// The layers of a network: stem, max-pool, blocks, global average pool, head.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first convolutions: one, or three in a deep stem.
    pub stem: Vec<ConvSpec>,
    /// The max-pooling after them.
    pub pool: PoolSpec,
    /// All blocks of stages 1 to 4, in order.
    pub blocks: Vec<BlockSpec>,
    /// Length of the vector that global average pooling leaves.
    pub features: usize,
    /// Classes of the file's own head, `None` without one.
    pub classes: Option<usize>,
}

impl Network {
    /// Lists every convolution: the stem, then each block's shortcut (where it has one) and branch.
    pub fn convs(&self) -> impl Iterator<Item = &ConvSpec> {
        self.stem.iter().chain(
            self.blocks
                .iter()
                .flat_map(|block| block.shortcut.iter().map(|shortcut| &shortcut.conv).chain(&block.convs)),
        )
    }

    /// Counts floating-point operations for one image of `size` (height, width): see [`Architecture::flops`](crate::Architecture::flops).
    pub fn flops(&self, size: [usize; 2]) -> u64 {
        let mut total = 0;
        let mut run = |convs: &[ConvSpec], mut size| {
            for conv in convs {
                total += conv.flops(size);
                size = conv.output_size(size);
            }
            size
        };
        let mut size = self.pool.output_size(run(&self.stem, size));
        for block in &self.blocks {
            if let Some(shortcut) = &block.shortcut {
                run(std::slice::from_ref(&shortcut.conv), shortcut.pooled_size(size));
            }
            size = run(&block.convs, size);
        }
        total += self.blocks.iter().flat_map(|block| &block.gate).map(GateSpec::flops).sum::<u64>();
        total + 2 * (self.features * self.classes.unwrap_or(0)) as u64
    }
}

fn output_size(size: [usize; 2], kernel: usize, stride: usize, padding: usize) -> [usize; 2] {
    size.map(|n| (n + 2 * padding).checked_sub(kernel).map_or(0, |room| room / stride + 1))
}
