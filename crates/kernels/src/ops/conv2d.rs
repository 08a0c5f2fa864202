pub(crate) mod direct;
mod grouped;
mod rows;
mod weights;
pub(crate) mod winograd;

pub use weights::Conv2dWeights;

use crate::{
    Commands, Context, Error, Family, Precision, Tile, Variant, Workspace, WorkspaceSize,
    context::volume,
    tile::{columns, tiles},
    tune::magnitude,
};
use wgpu::{BufferSlice, BufferUsages};

const OP: &str = "conv2d";

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
    /// A tensor of the output's shape is added before the ReLU.
    pub residual: bool,
    /// max(0, x) at the end.
    pub relu: bool,
    /// How input, residual and output are stored; f16 takes the tiled family whatever the context prefers.
    pub precision: Precision,
}

impl Conv2dDesc {
    /// Images of `[height, width]`, `[input, output]` channels, a square kernel of stride 1, "same" padding for odd sizes, nothing
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

    /// Rows and columns of the output, `floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`; none where
    /// the kernel is larger than the padded input or a size is zero.
    pub fn output_size(&self) -> Option<[u32; 2]> {
        window_output([self.height, self.width], self.kernel, self.stride, self.padding, self.dilation)
    }

    /// 2 MAC: multiplications and additions by the definition, whatever the algorithm saves.
    pub fn flops(&self) -> u64 {
        let taps = u64::from(self.kernel[0]) * u64::from(self.kernel[1]);
        2 * self.output_len() * taps * u64::from(self.in_channels / self.groups.max(1))
    }

    /// Elements of the input, `[batch, height, width, in_channels]`.
    pub fn input_len(&self) -> u64 {
        [self.batch, self.height, self.width, self.in_channels].iter().map(|&size| u64::from(size)).product()
    }

    /// Elements of the output, `[batch, height', width', out_channels]`.
    pub fn output_len(&self) -> u64 {
        let [height, width] = self.output_size().unwrap_or_default();
        [self.batch, height, width, self.out_channels].iter().map(|&size| u64::from(size)).product()
    }

    /// Elements of the weight, `[out_channels, in_channels / groups, kernel rows, kernel columns]`.
    pub fn weight_len(&self) -> u64 {
        [self.out_channels, self.in_channels / self.groups.max(1), self.kernel[0], self.kernel[1]]
            .iter()
            .map(|&size| u64::from(size))
            .product()
    }

    fn check(&self) -> Result<(), Error> {
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

    fn packed_channels(&self) -> u32 {
        self.in_channels.next_multiple_of(4)
    }
}

/// The size of what a sliding window gives.
pub(crate) fn window_output(
    size: [u32; 2],
    kernel: [u32; 2],
    stride: [u32; 2],
    padding: [u32; 2],
    dilation: [u32; 2],
) -> Option<[u32; 2]> {
    let axis = |i: usize| {
        let padded = size[i].checked_add(padding[i].checked_mul(2)?)?;
        let reach = dilation[i].checked_mul(kernel[i].checked_sub(1)?)?.checked_add(1)?;
        Some(padded.checked_sub(reach)?.checked_div(stride[i])? + 1)
    };
    (size[0] > 0 && size[1] > 0).then_some(())?;
    Some([axis(0)?, axis(1)?])
}

/// The operands of a [`Conv2d`].
#[derive(Debug, Clone, Copy)]
pub struct Conv2dBuffers<'a> {
    /// `[batch, height, width, in_channels]`.
    pub input: BufferSlice<'a>,
    /// As `output`, when the descriptor has a residual.
    pub residual: Option<BufferSlice<'a>>,
    /// `[batch, height', width', out_channels]`.
    pub output: BufferSlice<'a>,
}

/// A planned convolution:
/// `output[n,i,j,o] = relu(sum over h, w, c of input[n, i stride + h dilation - padding, …, c] weight[o,c,h,w] + bias[o] + residual[n,i,j,o])`.
///
/// # Shapes
/// As [`Conv2dBuffers`]; NHWC, f32 or f16 as the [`Precision`] says, buffers exactly as long as their shapes say. Weights are OIHW on
/// the host and are packed once by [`Conv2d::weights`]. The usage STORAGE is needed; COPY_SRC too on input and residual in the texture family.
///
/// # Numerics
/// Sums in f32: `|error| <= 2 gamma(K + 2) (sum |x w| + |bias| + |residual|)`, K = taps times channels of a group.
/// Where Winograd F(4x4, 3x3) is used ([`Conv2d::is_winograd`]) the sum is that of the absolute values in its transforms,
/// and about ten times larger: `reference::conv2d` computes it. With f16 the same holds for weights (but Winograd's) rounded to
/// f16, and the output is rounded once more, as [`Precision`] says; the bias stays f32. Weights of other groups and, with up to four channels, of
/// the neighbouring column are multiplied as zeros: a NaN or infinity may reach another group or one column further, and with
/// Winograd the tile of 4x4 outputs. No NaN is lost: max(0, NaN) is NaN.
///
/// # Reference
/// Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3 (implicit matrix product); Lavin and
/// Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4 (Winograd).
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, queue: &wgpu::Queue, weight: &[f32], bias: &[f32], x: &wgpu::Buffer,
/// #            y: &wgpu::Buffer, encoder: &mut wgpu::CommandEncoder) -> Result<(), kernels::Error> {
/// use kernels::{Conv2d, Conv2dBuffers, Conv2dDesc, wgpu};
/// let conv = Conv2d::new(context, &Conv2dDesc { relu: true, ..Conv2dDesc::new(8, [56, 56], [64, 64], 3) })?;
/// let weights = conv.weights(queue, weight, Some(bias))?;
/// let buffers = Conv2dBuffers { input: x.slice(..), residual: None, output: y.slice(..) };
/// conv.bind(&weights, &buffers)?.encode(encoder);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Conv2d {
    context: Context,
    desc: Conv2dDesc,
    family: Family,
    variant: Variant,
}

impl Conv2d {
    /// Plans the convolution.
    ///
    /// # Errors
    /// [`Error::Shape`] for sizes that don't belong together; [`Error::Feature`] when the texture family was forced on
    /// a device that can't run it.
    pub fn new(context: &Context, desc: &Conv2dDesc) -> Result<Self, Error> {
        desc.check()?;
        let family = match (desc.precision, context.family(OP)?) {
            (Precision::F16, _) => Family::Tiled,
            (Precision::F32, Family::Texture) if !direct::fits_textures(context, desc) => Family::Tiled,
            (Precision::F32, family) => family,
        };
        let any = Variant::Direct(Tile { rows: 0, columns: columns(context, family) });
        let mut plan = Conv2d { context: context.clone(), desc: *desc, family, variant: any };
        plan.variant = plan.default_variant();
        if let Some(&tuned) = context.tune().table.get(&plan.class())
            && plan.variants().contains(&tuned)
        {
            plan.variant = tuned;
        }
        Ok(plan)
    }

    /// The shapes that are tuned as one: all but dilation and what is fused, sizes of images to a factor of two.
    pub fn class(&self) -> String {
        let Conv2dDesc { kernel: [kh, kw], stride: [sh, sw], in_channels, out_channels, groups, .. } = self.desc;
        let (family, pixels) = (self.family.name(), magnitude(self.output_pixels()));
        let precision = if self.desc.precision == Precision::F16 { " f16" } else { "" };
        format!(
            "{family} conv2d {kh}x{kw} stride {sh}x{sw} channels {in_channels} to {out_channels} groups {groups} pixels 2^{pixels}{precision}"
        )
    }

    /// How it computes.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// The kernels it uses.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Every way to compute it here that differs in speed, the default first.
    pub fn variants(&self) -> Vec<Variant> {
        let mut variants = vec![self.default_variant()];
        let direct = self.direct_tiles().into_iter().map(Variant::Direct);
        let grouped = self.grouped_applies().then_some(Variant::Grouped);
        let winograd = self.winograd_applies().then(|| self.winograd_variants());
        for variant in direct.chain(grouped).chain(winograd.into_iter().flatten()) {
            if !variants.contains(&variant) {
                variants.push(variant);
            }
        }
        variants
    }

    /// The same convolution, computed in another way.
    ///
    /// # Errors
    /// [`Error::Shape`] for a variant that isn't among [`Conv2d::variants`].
    pub fn with_variant(&self, variant: Variant) -> Result<Self, Error> {
        match self.variants().contains(&variant) {
            true => Ok(Conv2d { variant, ..self.clone() }),
            false => Err(Error::shape(OP, format_args!("`{variant}` isn't a way to compute {}", self.class()))),
        }
    }

    /// Multiplications and additions that the kernel does, in whole tiles and with the zeros of other groups;
    /// [`Conv2dDesc::flops`] is what the definition asks for. In Winograd, those of the products.
    pub fn computed_flops(&self) -> u64 {
        let Tile { rows, columns } = self.variant.tile();
        let whole = |size: u64, tile: u32| size.next_multiple_of(tile.into());
        let columns = whole(self.desc.out_channels.into(), columns);
        match self.variant {
            Variant::Direct(_) => {
                2 * whole(self.direct_pixels(), rows) * columns * u64::from(self.depth()) * u64::from(self.phases())
            }
            Variant::Grouped => self.desc.flops(),
            Variant::Winograd { .. } => self.winograd_products(rows) * columns,
        }
    }

    fn winograd_applies(&self) -> bool {
        self.context.tune().winograd && winograd::applies(&self.context, self.family, &self.desc)
    }

    fn grouped_applies(&self) -> bool {
        grouped::applies(&self.context, self.family, &self.desc)
    }

    fn default_variant(&self) -> Variant {
        let direct = Conv2d { variant: Variant::Direct(self.direct_tiles()[0]), ..self.clone() };
        if self.grouped_applies() && grouped::pays(&self.desc) {
            return Variant::Grouped;
        }
        if !self.winograd_applies() || !winograd::pays(&self.desc) {
            return direct.variant;
        }
        let winograd = Conv2d { variant: self.winograd_variants()[0], ..self.clone() };
        // Few tiles of outputs fill the products' tiles badly.
        match winograd.computed_flops() * 4 <= direct.computed_flops() * 3 {
            true => winograd.variant,
            false => direct.variant,
        }
    }

    /// Output channels of a panel of packed weights.
    fn panel(&self) -> u32 {
        columns(&self.context, self.family)
    }

    fn direct_tiles(&self) -> Vec<Tile> {
        tiles(&self.context, self.family, self.output_pixels())
    }

    /// Its sizes.
    pub fn desc(&self) -> &Conv2dDesc {
        &self.desc
    }

    /// Whether Winograd F(4x4, 3x3) was chosen.
    pub fn is_winograd(&self) -> bool {
        matches!(self.variant, Variant::Winograd { .. })
    }

    /// 32-bit words of the input.
    fn input_words(&self) -> u64 {
        self.desc.input_len() / u64::from(self.desc.in_channels)
            * u64::from(self.desc.precision.words(self.desc.in_channels))
    }

    /// 32-bit words of the output.
    fn output_words(&self) -> u64 {
        self.output_pixels() * u64::from(self.desc.precision.words(self.desc.out_channels))
    }

    /// The scratch memory it needs.
    pub fn workspace_size(&self) -> WorkspaceSize {
        match self.variant {
            Variant::Direct(_) => self.direct_workspace(),
            Variant::Grouped => WorkspaceSize::default(),
            Variant::Winograd { .. } => self.winograd_workspace(),
        }
    }

    /// Ties weights and buffers, with a workspace of its own.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer, [`Error::Shape`] for a residual that is
    /// missing or superfluous and for weights of another plan.
    pub fn bind(&self, weights: &Conv2dWeights, buffers: &Conv2dBuffers<'_>) -> Result<Commands, Error> {
        self.bind_in(&Workspace::new(&self.context, self.workspace_size())?, weights, buffers)
    }

    /// Ties weights and buffers, with a workspace shared with other operations.
    ///
    /// # Errors
    /// As [`Conv2d::bind`], and [`Error::Shape`] when the workspace is too small.
    pub fn bind_in(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Commands, Error> {
        weights.check(self)?;
        let read = match self.family {
            Family::Texture => BufferUsages::STORAGE | BufferUsages::COPY_SRC,
            Family::Tiled => BufferUsages::STORAGE,
        };
        let (input_len, output_len) = (self.input_words(), self.output_words());
        self.context.check(OP, "input", buffers.input, input_len, read)?;
        self.context.check(OP, "output", buffers.output, output_len, BufferUsages::STORAGE)?;
        match (self.desc.residual, buffers.residual) {
            (true, Some(residual)) => self.context.check(OP, "residual", residual, output_len, read)?,
            (false, None) => {}
            (true, None) => return Err(Error::shape(OP, "the descriptor has a residual, the buffers have none")),
            (false, Some(_)) => return Err(Error::shape(OP, "the buffers have a residual, the descriptor has none")),
        }
        let steps = match (self.variant, self.family) {
            (Variant::Direct(_), Family::Texture) => self.direct_texture(workspace, weights, buffers)?,
            (Variant::Direct(_), Family::Tiled) => self.direct_tiled(workspace, weights, buffers)?,
            (Variant::Grouped, _) => self.grouped(weights, buffers)?,
            (Variant::Winograd { .. }, Family::Texture) => self.winograd_texture(workspace, weights, buffers)?,
            (Variant::Winograd { .. }, Family::Tiled) => self.winograd_tiled(workspace, weights, buffers)?,
        };
        Ok(Commands { op: OP, steps })
    }
}
