//! Which kernel computes each layer of a network, in which variant and precision, and what memory that takes.

use kernels::{
    AvgPool2d, AvgPool2dDesc, Context, Conv2d, Conv2dDesc, Family, GlobalAvgPool2d, GlobalAvgPool2dDesc, Matmul,
    MatmulDesc, MaxPool2d, MaxPool2dDesc, Normalize, NormalizeDesc, OverflowFlag, Pack, PackDesc, Precision,
    ScaleAddRelu, ScaleAddReluDesc, Variant, WorkspaceSize,
};

use super::layers::{LayerPlan, PlannedLayer};
use super::slices::Slicing;
use super::upload::{Packing, Source};
use crate::architecture::Architecture;
use crate::arena::{Arena, Tensor};
use crate::engine::Tap;
use crate::error::Error;
use crate::graph::{Graph, Layer, Layout, Op};
use crate::network::{ConvSpec, GateSpec, Network, PoolSpec};

/// The options by which a [`Backbone`](crate::Backbone) is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackboneOptions {
    /// Images a forward pass takes, at least 1.
    pub batch: usize,
    /// Rows and columns of an image.
    pub input_size: [usize; 2],
    /// The taps to read. A tap keeps its buffer for itself; what isn't tapped shares the arena. Layers behind the last
    /// tap aren't planned.
    pub taps: Vec<Tap>,
    /// How activations and weights are stored.
    pub precision: Precision,
    /// How a pass is cut into submits.
    pub slicing: Slicing,
}

impl BackboneOptions {
    /// Asks for pooled features of photos of 224x224, in f32.
    pub fn new(batch: usize) -> Self {
        Self {
            batch,
            input_size: [224, 224],
            taps: vec![Tap::Features],
            precision: Precision::F32,
            slicing: Slicing::Auto,
        }
    }
}

/// Device memory that a [`Backbone`](crate::Backbone) takes, in bytes, besides the driver's own and a batch on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Packed weights, and the head's.
    pub weights: u64,
    /// Activations, the input's and the taps' among them.
    pub activations: u64,
    /// The workspace that the kernels share.
    pub scratch: u64,
}

impl Architecture {
    /// Plans the layers of a network without weights: what [`Backbone::layers`](crate::Backbone::layers) gives.
    ///
    /// # Errors
    /// As [`Backbone::new`](crate::Backbone::new), but for the weights.
    ///
    /// ```
    /// # fn example(context: &kernels::Context) -> Result<(), resnet::Error> {
    /// use resnet::{Architecture, BackboneOptions};
    /// let network = Architecture::named("resnet50", None).unwrap();
    /// let layers = network.layers(context, &BackboneOptions::new(8))?;
    /// assert_eq!(layers.len(), 53 + 2);
    /// # Ok(()) }
    /// ```
    pub fn layers(&self, context: &Context, options: &BackboneOptions) -> Result<Vec<PlannedLayer>, Error> {
        Ok(Plan::new(context, self, options)?.described())
    }
}

/// The kernel of a layer.
#[derive(Clone)]
pub(super) enum Kernel {
    /// The photos as whole quads, from floats or from bytes.
    Convert {
        floats: Pack,
        bytes: Normalize,
    },
    /// A convolution, and the number of its weights in the plan.
    Conv(Conv2d, usize),
    MaxPool(MaxPool2d),
    AvgPool(AvgPool2d),
    GlobalAvgPool(GlobalAvgPool2d),
    GatedSum(ScaleAddRelu),
    Head(Matmul),
}

impl Kernel {
    /// Gives the same kernel, which sets this flag where an output is beyond f16. What pools can't be the first.
    pub fn watched(&self, flag: &OverflowFlag) -> Self {
        match self {
            Kernel::Convert { floats, bytes } => Kernel::Convert { floats: floats.watched(flag), bytes: bytes.clone() },
            Kernel::Conv(plan, weights) => Kernel::Conv(plan.watched(flag), *weights),
            Kernel::GatedSum(plan) => Kernel::GatedSum(plan.watched(flag)),
            Kernel::MaxPool(_) | Kernel::AvgPool(_) | Kernel::GlobalAvgPool(_) | Kernel::Head(_) => self.clone(),
        }
    }

    fn workspace_size(&self) -> WorkspaceSize {
        match self {
            Kernel::Conv(plan, _) => plan.workspace_size(),
            Kernel::MaxPool(plan) => plan.workspace_size(),
            Kernel::Head(plan) => plan.workspace_size(),
            Kernel::Convert { .. } | Kernel::AvgPool(_) | Kernel::GlobalAvgPool(_) | Kernel::GatedSum(_) => {
                WorkspaceSize::default()
            }
        }
    }
}

/// A network that a context's device can run: nothing is allocated yet.
pub(super) struct Plan {
    pub graph: Graph,
    /// The kernel of each layer of the graph.
    pub kernels: Vec<Kernel>,
    /// Convolutions' weights, in the order in which layers need them.
    pub weights: Vec<Packing>,
    /// Where activations live.
    pub arena: Arena,
    precision: Precision,
}

impl Plan {
    pub fn new(context: &Context, architecture: &Architecture, options: &BackboneOptions) -> Result<Self, Error> {
        let network = architecture.network();
        let mut layout = Layout {
            batch: options.batch,
            input_size: options.input_size,
            taps: &options.taps,
            stem_images: options.batch,
            convert: (context.tune().family != Family::Texture).then_some(QUAD),
        };
        layout.check(architecture)?;
        let precision = options.precision;
        if precision == Precision::F16 && context.tune().family == Family::Texture {
            let message =
                "f16 is for GPUs: the texture kernels of software adapters have f32 only; take the tiled ones or f32";
            return Err(Error::Options(message.to_owned()));
        }
        layout.stem_images = stem_images(&network, options, context);
        let graph = Graph::new(&network, layout);
        check_sizes(&graph)?;
        let mut planner = Planner {
            context,
            precision,
            weights: Vec::new(),
            // As much as the plain ones take, and an eighth.
            spare: architecture.parameters() as u64 * 4 * 9 / 8,
        };
        let kernels = graph.layers.iter().map(|layer| planner.kernel(layer)).collect::<Result<_, _>>()?;
        let operands: Vec<_> = graph.layers.iter().map(|layer| (layer.reads.clone(), layer.writes)).collect();
        let arena = Arena::plan(&graph.tensors, &operands, |tensor| words(tensor, precision));
        Ok(Plan { kernels, weights: planner.weights, arena, precision, graph })
    }

    /// Tells how a tensor is stored.
    pub fn precision(&self, tensor: usize) -> Precision {
        stored(&self.graph.tensors[tensor], self.precision)
    }

    /// Finds the buffer of the arena in which a tensor lives, its first 32-bit word there, and how many it has.
    pub fn place(&self, tensor: usize) -> (usize, u64, u64) {
        let (whole, first) = self.graph.tensors[tensor].part_of.unwrap_or((tensor, 0));
        let before = Tensor { pixels: first, ..self.graph.tensors[whole] };
        (self.arena.places[whole], words(&before, self.precision), self.words(tensor))
    }

    fn words(&self, tensor: usize) -> u64 {
        words(&self.graph.tensors[tensor], self.precision)
    }

    pub fn workspace_size(&self) -> WorkspaceSize {
        self.kernels.iter().map(Kernel::workspace_size).fold(WorkspaceSize::default(), WorkspaceSize::union)
    }

    pub fn memory(&self) -> Memory {
        let head = self.kernels.iter().map(|kernel| match kernel {
            Kernel::Head(plan) => (u64::from(plan.desc().k) + 1) * u64::from(plan.desc().n) * 4,
            _ => 0,
        });
        Memory {
            weights: self.weights.iter().map(|packing| packing.plan.weight_bytes()).chain(head).sum(),
            activations: self.arena.buffers.iter().map(|len| len * 4).sum(),
            scratch: self.workspace_size().total_bytes(),
        }
    }

    /// Describes the layers, for those who measure them.
    pub fn described(&self) -> Vec<PlannedLayer> {
        self.graph.layers.iter().zip(&self.kernels).map(|(layer, kernel)| self.describe(layer, kernel)).collect()
    }

    fn describe(&self, layer: &Layer, kernel: &Kernel) -> PlannedLayer {
        let (plan, weights) = match kernel {
            Kernel::Conv(plan, _) => {
                let numbers = if plan.desc().precision == Precision::F16 && !plan.is_winograd() { 2 } else { 1 };
                let weights = plan.desc().weight_len() / numbers + u64::from(plan.desc().out_channels);
                (LayerPlan::Conv2d(plan.clone()), weights)
            }
            Kernel::Head(plan) => {
                (LayerPlan::Matmul(plan.clone()), (u64::from(plan.desc().k) + 1) * u64::from(plan.desc().n))
            }
            Kernel::Convert { .. } => (LayerPlan::Other("pack"), 0),
            Kernel::MaxPool(_) => (LayerPlan::Other("max_pool2d"), 0),
            Kernel::AvgPool(_) => (LayerPlan::Other("avg_pool2d"), 0),
            Kernel::GlobalAvgPool(_) => (LayerPlan::Other("global_avg_pool2d"), 0),
            Kernel::GatedSum(_) => (LayerPlan::Other("scale_add_relu"), 0),
        };
        let values: u64 = layer.reads.iter().chain([&layer.writes]).map(|&tensor| self.words(tensor)).sum();
        PlannedLayer {
            name: layer.name.clone(),
            plan,
            input: layer.input,
            output: layer.output,
            flops: layer.flops(),
            bytes: (values + weights) * 4,
        }
    }
}

/// Channels of a photo on a GPU: red, green, blue, and zero, for kernels read four channels at a time.
const QUAD: usize = 4;

/// 32-bit words at whose multiples a binding may begin, on every device.
const ALIGNMENT: usize = 64;

/// Bytes that the stem's output may have on a GPU: what WebGPU promises of a buffer, 83 photos of 224x224 behind 64 channels in f32.
const STEM_BYTES: u64 = 256 << 20;

/// Chooses how many images the stem takes at a time, or all where an image's place in a buffer can't be bound.
///
/// Software adapters (the texture family) take as many as need no more memory than what follows: it is the process's own, and what is
/// small stays in the processor's caches. A GPU takes all, up to [`STEM_BYTES`], for each part is two more dispatches that
/// wait for each other; beyond that, parts of about one size, so that the last one has little to do again.
fn stem_images(network: &Network, options: &BackboneOptions, context: &Context) -> usize {
    let &BackboneOptions { batch, input_size: input, precision, .. } = options;
    let stem = network.stem.iter().fold(input, |size, conv| conv.output_size(size));
    let pooled = network.pool.output_size(stem);
    let channels = network.stem.last().map_or(0, |conv| conv.out_channels);
    let following = network.blocks.first().and_then(|block| block.convs.last()).map_or(0, |conv| conv.out_channels);
    let len = |size: [usize; 2], channels: usize| size[0] * size[1] * precision.words(channels as u32) as usize;
    let texture = context.tune().family == Family::Texture;
    if ![len(input, if texture { 3 } else { QUAD }), len(pooled, channels)]
        .iter()
        .all(|len| len.is_multiple_of(ALIGNMENT))
    {
        return batch;
    }
    let image = len(stem, channels).max(1);
    let small = (batch * len(pooled, following)).div_ceil(image);
    if texture {
        return small;
    }
    let bytes = STEM_BYTES.min(context.device().limits().max_buffer_size);
    let most = small.max((bytes / (image as u64 * 4)) as usize).max(1);
    batch.div_ceil(batch.div_ceil(most))
}

fn stored(tensor: &Tensor, precision: Precision) -> Precision {
    if tensor.full { Precision::F32 } else { precision }
}

/// Counts the 32-bit words of a tensor in a network of this precision.
fn words(tensor: &Tensor, precision: Precision) -> u64 {
    tensor.pixels as u64 * u64::from(stored(tensor, precision).words(tensor.channels as u32))
}

/// Checks that kernels can count every tensor's values, four channels at a time, in 32 bits. Every tensor grows with the batch, so a
/// smaller batch keeps this limit.
fn check_sizes(graph: &Graph) -> Result<(), Error> {
    let values = |tensor: &Tensor| (tensor.pixels as u64).saturating_mul(tensor.channels.next_multiple_of(4) as u64);
    let (needed, allowed) = (graph.tensors.iter().map(values).max().unwrap_or(0), u64::from(u32::MAX));
    if needed > allowed {
        let (what, limit) = ("values of an activation", "32-bit index");
        return Err(kernels::Error::Limit { op: "resnet", what, needed, limit, allowed }.into());
    }
    Ok(())
}

/// Chooses kernels, layer by layer.
struct Planner<'a> {
    context: &'a Context,
    precision: Precision,
    weights: Vec<Packing>,
    /// Bytes that Winograd's transformed weights may still take beyond the plain ones, on software adapters.
    spare: u64,
}

impl Planner<'_> {
    fn kernel(&mut self, layer: &Layer) -> Result<Kernel, Error> {
        let (context, precision) = (self.context, self.precision);
        let [batch, height, width, channels] = sizes(layer);
        Ok(match &layer.op {
            Op::Convert => {
                let pixels = batch * height * width;
                let floats = PackDesc { precision, ..PackDesc::rows(pixels, channels) };
                let bytes = NormalizeDesc { precision, ..NormalizeDesc::new(pixels) };
                Kernel::Convert { floats: Pack::new(context, &floats)?, bytes: Normalize::new(context, &bytes)? }
            }
            Op::Conv(spec) => {
                let plan = Conv2d::new(context, &conv(layer, spec, precision))?;
                self.conv(plan, Source::Folded(spec.clone()))?
            }
            Op::Gate(spec) => {
                let plan = Conv2d::new(context, &gate(spec, batch))?;
                self.conv(plan, Source::Gate(spec.clone()))?
            }
            Op::MaxPool(pool) => Kernel::MaxPool(MaxPool2d::new(context, &max_pool(layer, pool, precision))?),
            Op::AvgPool => {
                let (count_include_pad, ceil_mode) = (false, true);
                let whole = AvgPool2dDesc::new(batch, height, width, channels, 2);
                let desc = AvgPool2dDesc { count_include_pad, ceil_mode, precision, ..whole };
                Kernel::AvgPool(AvgPool2d::new(context, &desc)?)
            }
            Op::GlobalAvgPool => {
                let desc =
                    GlobalAvgPool2dDesc { precision, ..GlobalAvgPool2dDesc::new(batch, height, width, channels) };
                Kernel::GlobalAvgPool(GlobalAvgPool2d::new(context, &desc)?)
            }
            Op::GatedSum => {
                let desc = ScaleAddReluDesc { precision, ..ScaleAddReluDesc::new(batch, height, width, channels) };
                Kernel::GatedSum(ScaleAddRelu::new(context, &desc)?)
            }
            Op::Head => {
                let classes = layer.output[2] as u32;
                let desc = MatmulDesc { transpose_b: true, bias: true, ..MatmulDesc::new(batch, channels, classes) };
                Kernel::Head(Matmul::new(context, &desc)?)
            }
        })
    }

    /// Plans a convolution with its weights: where these are known already, in the variant for which they are packed.
    fn conv(&mut self, plan: Conv2d, source: Source) -> Result<Kernel, Error> {
        if let Some(known) = self.weights.iter().position(|known| known.source == source) {
            let variant = self.weights[known].plan.variant();
            return Ok(Kernel::Conv(plan.with_variant(variant)?, known));
        }
        let plan = self.affordable(plan)?;
        self.weights.push(Packing { plan: plan.clone(), source });
        Ok(Kernel::Conv(plan, self.weights.len() - 1))
    }

    /// Keeps the plan, or takes the direct one instead of Winograd's where transformed weights would more than double the network's memory (by an
    /// eighth): a software adapter's is the process's own. Earlier layers come first: they have more pixels to each weight. What a table of
    /// measurements says stands.
    fn affordable(&mut self, plan: Conv2d) -> Result<Conv2d, Error> {
        let direct = plan.variants().into_iter().find(|variant| matches!(variant, Variant::Direct(_)));
        let (true, Family::Texture, Some(direct)) = (plan.is_winograd(), plan.family(), direct) else {
            return Ok(plan);
        };
        let direct = plan.with_variant(direct)?;
        let extra = plan.weight_bytes().saturating_sub(direct.weight_bytes());
        let tuned = self.context.tune().table.contains_key(&plan.class());
        if extra > self.spare && !tuned {
            return Ok(direct);
        }
        self.spare = self.spare.saturating_sub(extra);
        Ok(plan)
    }
}

/// Gives the number of images that a layer takes, and rows, columns and channels of each.
fn sizes(layer: &Layer) -> [u32; 4] {
    let [height, width, channels] = layer.input;
    [layer.images, height, width, channels].map(|size| size as u32)
}

fn conv(layer: &Layer, spec: &ConvSpec, precision: Precision) -> Conv2dDesc {
    let [batch, height, width, in_channels] = sizes(layer);
    Conv2dDesc {
        batch,
        height,
        width,
        in_channels,
        out_channels: spec.out_channels as u32,
        kernel: [spec.kernel as u32; 2],
        stride: [spec.stride as u32; 2],
        padding: [spec.padding as u32; 2],
        dilation: [1, 1],
        groups: spec.groups as u32,
        residual: layer.reads.len() > 1,
        relu: spec.relu,
        precision,
    }
}

/// Describes a gate's layer as a convolution: a dense one is of 1x1 on a row of as many pixels as there are images, a sliding one runs along
/// a row of as many pixels as there are channels. Gates are small, and their sigmoids stretch errors: they stay f32.
fn gate(spec: &GateSpec, batch: u32) -> Conv2dDesc {
    match *spec {
        GateSpec::Dense { in_channels, out_channels, relu, .. } => {
            Conv2dDesc { relu, ..Conv2dDesc::new(1, [1, batch], [in_channels as u32, out_channels as u32], 1) }
        }
        GateSpec::Sliding { channels, kernel, .. } => Conv2dDesc {
            kernel: [1, kernel as u32],
            padding: [0, kernel as u32 / 2],
            ..Conv2dDesc::new(batch, [1, channels as u32], [1, 1], 1)
        },
    }
}

fn max_pool(layer: &Layer, pool: &PoolSpec, precision: Precision) -> MaxPool2dDesc {
    let [batch, height, width, channels] = sizes(layer);
    MaxPool2dDesc {
        batch,
        height,
        width,
        channels,
        kernel: [pool.kernel as u32; 2],
        stride: [pool.stride as u32; 2],
        padding: [pool.padding as u32; 2],
        dilation: [1, 1],
        precision,
    }
}
