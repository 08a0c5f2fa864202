//! Convolution: the plan, which picks an algorithm and hands over to it.
//!
//! An algorithm is a struct of its own, `direct`, `cooperative`, `grouped` or `winograd`, over what they share: `desc`, `layer`, `weights`.

mod algorithm;
mod cooperative;
mod desc;
mod direct;
mod grouped;
mod layer;
mod rows;
mod span;
pub(crate) mod sum;
mod transform;
mod weights;
pub(crate) mod winograd;

pub use desc::{Conv2dBuffers, Conv2dDesc};
pub use weights::Conv2dWeights;

use crate::{Commands, Context, Error, Family, OverflowFlag, Variant, Workspace, WorkspaceSize, tune::magnitude};
use algorithm::Algorithm;
use cooperative::Cooperative;
use desc::OP;
use direct::Direct;
use grouped::Grouped;
use layer::Layer;
use weights::Upload;
use wgpu::Queue;
use winograd::Winograd;

/// A planned convolution:
/// `output[n,i,j,o] = relu(sum over h, w, c of input[n, i stride + h dilation - padding, …, c] weight[o,c,h,w] + bias[o] + residual[n,i,j,o])`.
///
/// # Shapes
/// As [`Conv2dBuffers`]; NHWC, f32 or f16 as the [`Precision`](crate::Precision) says, buffers exactly as long as their shapes say. Weights are OIHW on
/// the host and are packed once by [`Conv2d::weights`]. Buffers of [`OPERAND_USAGES`](crate::OPERAND_USAGES).
///
/// # Numerics
/// Sums in f32: `|error| <= 2 gamma(K + 2) (sum |x w| + |bias| + |residual|)`, K = taps times channels of a group.
/// Where Winograd F(4x4, 3x3) is used ([`Conv2d::is_winograd`]) the sum is that of the absolute values in its transforms,
/// and about ten times larger: `reference::conv2d` computes it. With f16 the same holds for weights (but Winograd's) rounded to
/// f16, and the output is rounded once more, as [`Precision`](crate::Precision) says; the bias stays f32. Weights of other groups and, with up to four channels, of
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
    layer: Layer,
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
        let family = context.family(OP)?;
        let mut layer = Layer { context: context.clone(), desc: *desc, family };
        if family == Family::Texture && (layer.f16() || !Direct::fits_textures(&layer)) {
            layer.family = Family::Tiled;
        }
        let mut plan = Conv2d { variant: default_variant(&layer), layer };
        if let Some(&tuned) = context.tune().table.get(&plan.class())
            && plan.computes(tuned)
        {
            plan.variant = tuned;
        }
        Ok(plan)
    }

    /// Names the class of shapes that are tuned as one: all but dilation and what is fused, sizes of images to a factor of two.
    pub fn class(&self) -> String {
        let Conv2dDesc { kernel: [kh, kw], stride: [sh, sw], in_channels, out_channels, groups, .. } = self.layer.desc;
        let (family, pixels) = (self.layer.family.name(), magnitude(self.layer.output_pixels()));
        let precision = if self.layer.f16() { " f16" } else { "" };
        format!(
            "{family} conv2d {kh}x{kw} stride {sh}x{sw} channels {in_channels} to {out_channels} groups {groups} pixels 2^{pixels}{precision}"
        )
    }

    /// Tells in which variant it computes.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Tells which family of kernels it uses.
    pub fn family(&self) -> Family {
        self.layer.family
    }

    /// Lists every variant that computes it here and differs in speed, the default first.
    pub fn variants(&self) -> Vec<Variant> {
        let layer = &self.layer;
        let mut variants = vec![default_variant(layer)];
        let cooperative = Cooperative::applies(layer).then(|| Cooperative::variants(layer));
        let cooperative = cooperative.into_iter().flatten();
        let grouped = Grouped::applies(layer).then_some(Variant::Grouped);
        let winograd = Winograd::applies(layer).then(|| Winograd::variants(layer));
        for variant in cooperative.chain(Direct::variants(layer)).chain(grouped).chain(winograd.into_iter().flatten()) {
            if !variants.contains(&variant) {
                variants.push(variant);
            }
        }
        variants
    }

    /// Tells whether a variant computes it: any number of parts does, though few are listed.
    fn computes(&self, variant: Variant) -> bool {
        let layer = &self.layer;
        match variant {
            Variant::Split { tile, parts } => {
                parts > 1
                    && Direct::variants(layer).contains(&Variant::Direct(tile))
                    && Direct { layer, tile, parts }.splits()
            }
            Variant::CooperativeSplit { tile, parts } => {
                parts > 1 && Cooperative::applies(layer) && Cooperative { layer, tile, parts }.computes()
            }
            _ => self.variants().contains(&variant),
        }
    }

    /// Plans the same convolution in another variant.
    ///
    /// # Errors
    /// [`Error::Shape`] for a variant that neither is among [`Conv2d::variants`] nor differs from one in its number of parts.
    pub fn with_variant(&self, variant: Variant) -> Result<Self, Error> {
        match self.computes(variant) {
            true => Ok(Conv2d { variant, ..self.clone() }),
            false => Err(Error::shape(OP, format_args!("`{variant}` isn't a way to compute {}", self.class()))),
        }
    }

    /// Plans the same convolution, which sets this flag where an output in f16 is beyond f16 or NaN.
    pub fn watched(&self, flag: &OverflowFlag) -> Self {
        let layer = Layer { context: self.layer.context.watched(flag), ..self.layer.clone() };
        Conv2d { layer, variant: self.variant }
    }

    /// Counts the multiplications and additions that the kernel does, in whole tiles and with the zeros of other groups;
    /// [`Conv2dDesc::flops`] is what the definition asks for. In Winograd, those of the products.
    pub fn computed_flops(&self) -> u64 {
        self.algorithm().computed_flops()
    }

    /// Gives its sizes.
    pub fn desc(&self) -> &Conv2dDesc {
        &self.layer.desc
    }

    /// Tells whether Winograd F(4x4, 3x3) was chosen.
    pub fn is_winograd(&self) -> bool {
        matches!(self.variant, Variant::Winograd { .. })
    }

    /// Computes the scratch memory that it needs.
    pub fn workspace_size(&self) -> WorkspaceSize {
        self.algorithm().workspace()
    }

    /// Computes the bytes of device memory that its weights and bias take.
    pub fn weight_bytes(&self) -> u64 {
        self.algorithm().packing().bytes(&self.layer)
    }

    /// Packs and uploads weights: `weight` is OIHW, `[out_channels, in_channels / groups, rows, columns]`, `bias` is
    /// `[out_channels]` (none: zeros). The upload is staged in `queue` and happens with its next submit.
    ///
    /// # Errors
    /// As [`Conv2d::weights_in_pieces`].
    pub fn weights(&self, queue: &Queue, weight: &[f32], bias: Option<&[f32]>) -> Result<Conv2dWeights, Error> {
        self.weights_in_pieces(queue, weight, bias, || Ok(()))
    }

    /// Packs and uploads as [`Conv2d::weights`] does, calling `staged` after every piece of a few megabytes: what is staged takes host memory until the
    /// caller has submitted and waited.
    ///
    /// # Errors
    /// [`Error::Size`] when a slice isn't as long as its shape says; [`Error::Limit`] when the packed weights exceed a
    /// buffer or texture of the device; [`Error::Shape`] for a weight that f16 can't hold.
    pub fn weights_in_pieces<E: From<Error>>(
        &self,
        queue: &Queue,
        weight: &[f32],
        bias: Option<&[f32]>,
        mut staged: impl FnMut() -> Result<(), E>,
    ) -> Result<Conv2dWeights, E> {
        check_len("weight", weight, self.layer.desc.weight_len())?;
        if let Some(bias) = bias {
            check_len("bias", bias, self.layer.desc.out_channels.into())?;
        }
        let algorithm = self.algorithm();
        let packing = algorithm.packing();
        let weights = Conv2dWeights::new(&self.layer, &packing, bias)?;
        let mut upload = Upload::new(queue, &weights, &packing);
        for piece in 0..packing.pieces {
            algorithm.pack(piece, weight, &mut upload)?;
            staged()?;
        }
        Ok(weights)
    }

    /// Ties weights and buffers, with a workspace of its own.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer, [`Error::Shape`] for a residual that is
    /// missing or superfluous and for weights of another plan.
    pub fn bind(&self, weights: &Conv2dWeights, buffers: &Conv2dBuffers<'_>) -> Result<Commands, Error> {
        self.bind_in(&Workspace::new(&self.layer.context, self.workspace_size())?, weights, buffers)
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
        let algorithm = self.algorithm();
        weights.check(&self.layer, &algorithm.packing())?;
        self.layer.check(buffers)?;
        Ok(Commands { op: OP, steps: algorithm.bind(workspace, weights, buffers)? })
    }

    fn algorithm(&self) -> Box<dyn Algorithm + '_> {
        let layer = &self.layer;
        match self.variant {
            Variant::Direct(tile) => Box::new(Direct { layer, tile, parts: 1 }),
            Variant::Split { tile, parts } => Box::new(Direct { layer, tile, parts }),
            Variant::Cooperative(tile) => Box::new(Cooperative { layer, tile, parts: 1 }),
            Variant::CooperativeSplit { tile, parts } => Box::new(Cooperative { layer, tile, parts }),
            Variant::Grouped => Box::new(Grouped { layer }),
            Variant::Winograd { tile, band } => Box::new(Winograd { layer, tile, band }),
        }
    }
}

fn default_variant(layer: &Layer) -> Variant {
    if Cooperative::applies(layer) {
        return Cooperative::variants(layer)[0];
    }
    if Grouped::applies(layer) && Grouped::pays(&layer.desc) {
        return Variant::Grouped;
    }
    let direct = Direct::variants(layer)[0];
    if !Winograd::applies(layer) || !Winograd::pays(layer) {
        return direct;
    }
    let winograd = Winograd::variants(layer)[0];
    let flops = |variant| Conv2d { layer: layer.clone(), variant }.computed_flops();
    // Few tiles of outputs fill the products' tiles badly.
    if flops(winograd) * 4 <= flops(direct) * 3 { winograd } else { direct }
}

fn check_len(operand: &'static str, slice: &[f32], expected: u64) -> Result<(), Error> {
    let got = slice.len() as u64 * 4;
    if got != expected * 4 {
        return Err(Error::Size { op: OP, operand, expected: expected * 4, got });
    }
    Ok(())
}
