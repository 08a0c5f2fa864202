//! The forward pass on the GPU.

use crate::{
    Architecture, BlockSpec, ConvSpec, Error, GateSpec, ImageTensor, LayerPlan, Network, PlannedLayer, ShortcutSpec,
    Slicing, WeightFile,
    arena::Arena,
    ring::{Ring, Slot},
    slices::Slices,
};
use kernels::{
    AvgPool2d, AvgPool2dDesc, Commands, Context, Conv2d, Conv2dBuffers, Conv2dDesc, Conv2dWeights, Cost, Family,
    GlobalAvgPool2d, GlobalAvgPool2dDesc, Matmul, MatmulBuffers, MatmulDesc, MaxPool2d, MaxPool2dDesc, Pack, PackDesc,
    Precision, ScaleAddRelu, ScaleAddReluBuffers, ScaleAddReluDesc, Variant, Workspace, WorkspaceSize, encode_all,
    encode_first_use, from_halves, host,
    wgpu::{self, Buffer, BufferUsages, CommandEncoder, Device, Queue},
};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Scope, available_parallelism};
use std::time::{Duration, Instant};

/// What a forward pass can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Tap {
    /// The stem's last convolution with its ReLU, `[batch, height / 2, width / 2, stem_width]`.
    Stem,
    /// The max-pooling behind it, `[batch, height / 4, width / 4, stem_width]`.
    Pool,
    /// The output of stage 1 to 4, `[batch, height / 2^(s + 1), …, width of the stage]`.
    Stage(usize),
    /// The global average pool of stage 4, `[batch, features]`.
    Features,
    /// The file's own head on the features, `[batch, classes]`.
    Logits,
}

/// How a [`Backbone`] is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackboneOptions {
    /// Images a forward pass takes, at least 1.
    pub batch: usize,
    /// Rows and columns of an image.
    pub input_size: [usize; 2],
    /// What is to be read. A tap keeps its buffer for itself; what isn't tapped shares the arena. Layers behind the last
    /// tap aren't planned.
    pub taps: Vec<Tap>,
    /// How activations and weights are stored.
    pub precision: Precision,
    /// How a pass is cut into submits.
    pub slicing: Slicing,
}

impl BackboneOptions {
    /// Pooled features of photos of 224x224, in f32.
    pub fn new(batch: usize) -> Self {
        Self {
            batch,
            input_size: [224, 224],
            taps: vec![Tap::Features],
            precision: Precision::F32,
            slicing: Slicing::Auto,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.batch == 0 || self.input_size.contains(&0) || self.taps.is_empty() {
            return Err(Error::Options(format!(
                "a batch of {} images of {:?} with taps {:?}: none may be empty",
                self.batch, self.input_size, self.taps
            )));
        }
        match self.taps.iter().find(|tap| matches!(tap, Tap::Stage(s) if !(1..=4).contains(s))) {
            Some(tap) => Err(Error::Options(format!("{tap:?}: stages are 1 to 4"))),
            None => Ok(()),
        }
    }
}

/// A frozen ResNet on a device: planned once, run for batch after batch.
///
/// BatchNorm is folded into the convolutions, ReLU and the residual addition are fused into them or, behind channel
/// attention, into the gate's product. A pass is recorded
/// into one encoder; activations live in an arena of few buffers that layers reuse as soon as nothing reads them any more.
///
/// # Shapes
/// Input `[batch, height, width, 3]`, NHWC f32, normalised as the weights' [`Recipe`](crate::Recipe) says; outputs as
/// [`Tap`] says.
///
/// # Numerics
/// f32 throughout; within a relative 1e-4 of PyTorch's at every stage. With [`Precision::F16`] activations and weights are
/// stored in f16; sums, biases, Winograd's transformed values, gates, features and head stay f32. Every stage is then within a
/// relative root mean square of 0.3 % of PyTorch's (measured: 0.02 to 0.11 %), features have a cosine of 0.9999 or more with f32's
/// (measured: 0.9999998). What f16 can't hold makes the features NaN or infinite.
///
/// # Reference
/// He et al., *Deep Residual Learning for Image Recognition*, 2015; Xie et al., *Aggregated Residual Transformations*, 2016;
/// Zagoruyko and Komodakis, *Wide Residual Networks*, 2016; He et al., *Bag of Tricks for Image Classification*, 2019; Hu et al.,
/// *Squeeze-and-Excitation Networks*, 2018; Wang et al., *ECA-Net*, 2020.
///
/// # Example
/// ```no_run
/// # fn example(device: &kernels::wgpu::Device, queue: &kernels::wgpu::Queue, photos: &[resnet::ImageTensor])
/// #     -> Result<(), resnet::Error> {
/// use resnet::{Backbone, BackboneOptions, Tap, WeightFile};
/// let weights = WeightFile::open("resnet18.safetensors")?;
/// let context = kernels::Context::new(device);
/// let backbone = Backbone::new(&context, queue, &weights, &BackboneOptions::new(8))?;
/// let features = backbone.submit(queue, photos)?.wait(Tap::Features)?;
/// assert_eq!(features.len(), photos.len() * backbone.len_of(Tap::Features).unwrap());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Backbone {
    memory: Memory,
    device: Device,
    options: BackboneOptions,
    input: Buffer,
    taps: Vec<Tapped>,
    layers: Vec<PlannedLayer>,
    commands: Vec<Commands>,
    ring: Ring,
    slices: Slices,
}

/// Device memory that a [`Backbone`] takes, in bytes, besides the driver's own and a batch on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Packed weights, and the head's.
    pub weights: u64,
    /// Activations, the input's and the taps' among them.
    pub activations: u64,
    /// What the kernels share.
    pub scratch: u64,
}

impl Backbone {
    /// Plans the network of `weights` on the context's device and uploads it.
    ///
    /// Other threads read, fold and pack weights; they submit each piece and wait for it a little later, so that the weights aren't in
    /// host memory all at once. Meanwhile layers are bound, and the driver compiles what they need.
    ///
    /// # Errors
    /// [`Error::Options`] for an empty batch, image or list of taps; [`Error::NoHead`] when logits are asked of a file
    /// without a head; [`Error::Kernels`] when the device can't hold or run a layer; [`Error::Device`] when it is lost; what
    /// reading the weights gives.
    pub fn new(
        context: &Context,
        queue: &Queue,
        weights: &WeightFile,
        options: &BackboneOptions,
    ) -> Result<Self, Error> {
        let (graph, arena) = Graph::plan(context, weights.architecture(), options)?;
        graph.bind(context, queue, weights, options, &arena)
    }

    /// What a network would take on the context's device. Nothing is allocated.
    ///
    /// # Errors
    /// As [`Backbone::new`], but for what needs the weights.
    pub fn memory_of(
        context: &Context,
        architecture: &Architecture,
        options: &BackboneOptions,
    ) -> Result<Memory, Error> {
        let (graph, arena) = Graph::plan(context, architecture, options)?;
        Ok(graph.memory(&arena))
    }

    /// Images a pass takes.
    pub fn batch(&self) -> usize {
        self.options.batch
    }

    /// Rows and columns of an image.
    pub fn input_size(&self) -> [usize; 2] {
        self.options.input_size
    }

    /// Values that a tap gives for each image, if it was asked for.
    pub fn len_of(&self, tap: Tap) -> Option<usize> {
        self.tapped(tap).map(|tapped| tapped.shape.values() / self.options.batch)
    }

    /// Bytes of the arena in which activations live, at its largest.
    pub fn arena_bytes(&self) -> u64 {
        self.memory.activations
    }

    /// Bytes of scratch memory that the kernels share.
    pub fn workspace_bytes(&self) -> u64 {
        self.memory.scratch
    }

    /// What a pass costs.
    pub fn cost(&self) -> Cost {
        Cost::of(&self.commands)
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> u64 {
        self.memory.weights
    }

    /// The input, `[batch, height, width, 3]`, for callers that fill it on the device (STORAGE, COPY_DST).
    pub fn input(&self) -> &Buffer {
        &self.input
    }

    /// A tap's buffer, if it was asked for (STORAGE, COPY_SRC). Features and logits are f32; the others are f16 tensors in a
    /// backbone of [`Precision::F16`].
    pub fn output(&self, tap: Tap) -> Option<&Buffer> {
        self.tapped(tap).map(|tapped| &tapped.buffer)
    }

    fn tapped(&self, tap: Tap) -> Option<&Tapped> {
        self.taps.iter().find(|tapped| tapped.tap == tap)
    }

    /// Submits that the next pass takes, see [`Slicing`].
    pub fn submits(&self) -> usize {
        self.slices.now().len()
    }

    /// How long the longest submit of the last measured pass took, see [`Slicing::Time`]. More than 200 ms means that one layer
    /// takes so long: a smaller batch helps.
    pub fn longest_submit(&self) -> Option<Duration> {
        self.slices.longest()
    }

    /// Records one forward pass into the caller's encoder.
    pub fn encode(&self, encoder: &mut CommandEncoder) {
        encode_all(encoder, &self.commands);
    }

    /// The layers, in the order in which they run.
    pub fn layers(&self) -> &[PlannedLayer] {
        &self.layers
    }

    /// The commands of each of [`Backbone::layers`], to be recorded by themselves and measured.
    pub fn layer_commands(&self) -> &[Commands] {
        &self.commands
    }

    /// Uploads up to a batch of images, runs the network in as few submits as [`Slicing`] allows and starts reading the taps back.
    ///
    /// The device works while the caller prepares the next batch; [`Pending::wait`] collects. The next may be submitted before:
    /// then the device goes from one to the other without a pause. Each batch on its way has memory of its own on the host's
    /// side, used again by later ones. Passes that are measured are waited for here. A pass costs the same however few images it
    /// is given.
    ///
    /// # Errors
    /// [`Error::Options`] when there are none, more than the batch, or one of another size; [`Error::Device`] when there is no
    /// memory to upload from, or the device was lost while a pass was measured.
    pub fn submit(&self, queue: &Queue, images: &[ImageTensor]) -> Result<Pending, Error> {
        let [height, width] = self.options.input_size;
        if images.is_empty() || images.len() > self.options.batch {
            let batch = self.options.batch;
            return Err(Error::Options(format!("{} images for a batch of {batch}", images.len())));
        }
        for (place, image) in images.iter().enumerate() {
            if [image.height, image.width] != [height, width] || image.data.len() != height * width * 3 {
                let got = [image.height, image.width];
                return Err(Error::Options(format!(
                    "image {place} is {got:?}, the backbone takes {:?}",
                    [height, width]
                )));
            }
        }
        let (ranges, measure) = self.slices.next();
        let mut times = Vec::new();
        if measure {
            // What is under way is no part of the first slice's time.
            wait(&self.device, queue.submit([]))?;
        }
        let whole = (self.options.batch * height * width * 3 * 4) as u64;
        let slot = self.ring.take(&self.device, whole, self.taps.iter().map(|tapped| tapped.shape.words() * 4));
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let (upload, bytes) = slot.fill(images)?;
        encoder.copy_buffer_to_buffer(upload, 0, &self.input, 0, bytes);
        for (place, range) in ranges.iter().enumerate() {
            encode_all(&mut encoder, &self.commands[range.clone()]);
            if measure || place + 1 < ranges.len() {
                let slice = std::mem::replace(&mut encoder, self.device.create_command_encoder(&Default::default()));
                let start = Instant::now();
                let submission = queue.submit([slice.finish()]);
                if measure {
                    wait(&self.device, submission)?;
                    times.push((range.clone(), start.elapsed()));
                }
            }
        }
        if measure {
            self.slices.measured(&times);
        }
        let mut taps = Vec::new();
        for (Tapped { tap, buffer, shape }, staging) in self.taps.iter().zip(&slot.read_back) {
            let shape = Shape { pixels: shape.pixels / self.options.batch * images.len(), ..*shape };
            encoder.copy_buffer_to_buffer(buffer, 0, staging, 0, shape.words() * 4);
            taps.push((*tap, shape));
        }
        let submission = queue.submit([encoder.finish()]);
        slot.reclaim();
        let (device, ring) = (self.device.clone(), self.ring.clone());
        Ok(Pending { device, submission, taps, submits: ranges.len(), slot: Some(slot), ring })
    }
}

fn wait(device: &Device, submission: wgpu::SubmissionIndex) -> Result<(), Error> {
    let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
    device.poll(wait).map_err(|error| Error::Device(error.to_string())).map(drop)
}

/// What a tap's buffer holds.
#[derive(Clone, Copy, Debug)]
struct Shape {
    pixels: usize,
    channels: usize,
    precision: Precision,
}

impl Shape {
    fn values(self) -> usize {
        self.pixels * self.channels
    }

    /// 32-bit words.
    fn words(self) -> u64 {
        self.pixels as u64 * u64::from(self.precision.words(self.channels as u32))
    }
}

#[derive(Debug)]
struct Tapped {
    tap: Tap,
    buffer: Buffer,
    shape: Shape,
}

/// A batch on its way through the network.
#[derive(Debug)]
pub struct Pending {
    device: Device,
    submission: wgpu::SubmissionIndex,
    /// Each with the shape of what is read of it.
    taps: Vec<(Tap, Shape)>,
    submits: usize,
    /// There until it is dropped.
    slot: Option<Slot>,
    ring: Ring,
}

impl Pending {
    /// Into how many submits the pass was cut.
    pub fn submits(&self) -> usize {
        self.submits
    }

    /// Waits for the device and reads what a tap gave, image after image. Blocks the calling thread.
    ///
    /// # Errors
    /// [`Error::Options`] for a tap that wasn't asked for; [`Error::Device`] when the device was lost.
    pub fn wait(&self, tap: Tap) -> Result<Vec<f32>, Error> {
        let place = self.taps.iter().position(|(name, _)| *name == tap);
        let (Some(place), Some(slot)) = (place, &self.slot) else {
            return Err(Error::Options(format!("{tap:?} isn't among the taps that the backbone was made with")));
        };
        let shape = self.taps[place].1;
        let staging = slot.read_back[place].slice(0..shape.words() * 4);
        // Not for what was submitted after it: the next batch may be on its way.
        let until = wgpu::PollType::Wait { submission_index: Some(self.submission.clone()), timeout: None };
        let view = host::block_on(&self.device, until, host::map(staging))?;
        let values = match shape.precision {
            Precision::F32 => bytemuck::pod_collect_to_vec(&view),
            Precision::F16 => from_halves(&bytemuck::pod_collect_to_vec::<u8, u32>(&view), shape.channels),
        };
        drop(view);
        staging.buffer().unmap();
        Ok(values)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.ring.give(slot);
        }
    }
}

/// A layer and the tensors (by number) that it reads and writes.
enum Layer {
    ToF16 {
        plan: Pack,
        input: usize,
        output: usize,
    },
    /// Weights by their number in the graph.
    Conv {
        plan: Conv2d,
        weights: usize,
        input: usize,
        residual: Option<usize>,
        output: usize,
    },
    MaxPool {
        plan: MaxPool2d,
        input: usize,
        output: usize,
    },
    AvgPool {
        plan: AvgPool2d,
        input: usize,
        output: usize,
    },
    GlobalAvgPool {
        plan: GlobalAvgPool2d,
        input: usize,
        output: usize,
    },
    GatedSum {
        plan: ScaleAddRelu,
        input: usize,
        gate: usize,
        residual: usize,
        output: usize,
    },
    Head {
        plan: Matmul,
        input: usize,
        output: usize,
    },
}

/// Where a convolution's weights come from.
#[derive(PartialEq)]
enum ConvWeights {
    Folded(ConvSpec),
    Gate(GateSpec),
}

impl ConvWeights {
    /// The module's name.
    fn name(&self) -> &str {
        match self {
            ConvWeights::Folded(spec) => &spec.name,
            ConvWeights::Gate(spec) => spec.name(),
        }
    }

    /// Weight and bias.
    fn read(&self, file: &WeightFile) -> Result<(Vec<f32>, Vec<f32>), Error> {
        match self {
            ConvWeights::Folded(spec) => file.conv(spec).map(|folded| (folded.weight, folded.bias)),
            ConvWeights::Gate(spec) => file.gate(spec),
        }
    }
}

impl Layer {
    /// What it reads, and what it writes.
    fn operands(&self) -> (Vec<usize>, usize) {
        match *self {
            Layer::Conv { input, residual, output, .. } => ([input].into_iter().chain(residual).collect(), output),
            Layer::GatedSum { input, gate, residual, output, .. } => (vec![input, gate, residual], output),
            Layer::ToF16 { input, output, .. }
            | Layer::MaxPool { input, output, .. }
            | Layer::AvgPool { input, output, .. }
            | Layer::GlobalAvgPool { input, output, .. }
            | Layer::Head { input, output, .. } => (vec![input], output),
        }
    }

    fn workspace_size(&self) -> WorkspaceSize {
        match self {
            Layer::Conv { plan, .. } => plan.workspace_size(),
            Layer::MaxPool { plan, .. } => plan.workspace_size(),
            Layer::Head { plan, .. } => plan.workspace_size(),
            Layer::ToF16 { .. } | Layer::AvgPool { .. } | Layer::GlobalAvgPool { .. } | Layer::GatedSum { .. } => {
                WorkspaceSize::default()
            }
        }
    }
}

/// An activation.
pub(crate) struct Tensor {
    /// 32-bit words.
    pub len: u64,
    /// Whether it keeps a buffer of its own: the input, and what is tapped.
    pub kept: bool,
    /// It is a part of another tensor, from this value on.
    pub part_of: Option<(usize, u64)>,
}

/// Threads that pack weights, at most: each holds a layer in host memory. A core is left to the driver.
const MOST_PACKERS: usize = 4;

/// Uploads, of a few megabytes each, that a thread doesn't wait for: the driver may be busy compiling.
const MOST_FLYING: usize = 4;

/// 32-bit words at whose multiples a binding may begin, on every device.
const IMAGE_ALIGNMENT: usize = 64;

fn pool_desc(network: &Network, batch: usize, size: [usize; 2], precision: Precision) -> MaxPool2dDesc {
    let pool = network.pool;
    MaxPool2dDesc {
        batch: batch as u32,
        height: size[0] as u32,
        width: size[1] as u32,
        channels: network.stem.last().map_or(0, |conv| conv.out_channels) as u32,
        kernel: [pool.kernel as u32; 2],
        stride: [pool.stride as u32; 2],
        padding: [pool.padding as u32; 2],
        dilation: [1, 1],
        precision,
    }
}

/// The network as a list of planned layers over numbered tensors; tensor 0 is the input.
struct Graph<'a> {
    context: &'a Context,
    options: &'a BackboneOptions,
    layers: Vec<Layer>,
    /// Each with a plan that packs it, in the order in which layers need them.
    weights: Vec<(Conv2d, ConvWeights)>,
    tensors: Vec<Tensor>,
    shapes: Vec<Shape>,
    tapped: Vec<(Tap, usize)>,
    planned: Vec<PlannedLayer>,
    /// Bytes that Winograd's transformed weights may still take beyond the plain ones, on software adapters.
    spare: u64,
}

/// The layers of a network, planned and forgotten.
pub(crate) fn planned(
    context: &Context,
    architecture: &Architecture,
    options: &BackboneOptions,
) -> Result<Vec<PlannedLayer>, Error> {
    Ok(Graph::new(context, architecture, options)?.planned)
}

impl<'a> Graph<'a> {
    /// The network's layers, and where activations will live.
    fn plan(
        context: &'a Context,
        architecture: &Architecture,
        options: &'a BackboneOptions,
    ) -> Result<(Self, Arena), Error> {
        options.check()?;
        if options.taps.contains(&Tap::Logits) && architecture.classes.is_none() {
            return Err(Error::NoHead { architecture: architecture.to_string() });
        }
        let graph = Graph::new(context, architecture, options)?;
        let arena = Arena::plan(&graph.tensors, &graph.layers.iter().map(Layer::operands).collect::<Vec<_>>());
        Ok((graph, arena))
    }

    fn workspace_size(&self) -> WorkspaceSize {
        self.layers.iter().map(Layer::workspace_size).fold(WorkspaceSize::default(), WorkspaceSize::union)
    }

    fn memory(&self, arena: &Arena) -> Memory {
        let head = self.layers.iter().map(|layer| match layer {
            Layer::Head { input, output, .. } => {
                let [features, classes] =
                    [*input, *output].map(|tensor| self.tensors[tensor].len / self.options.batch as u64);
                (features + 1) * classes * 4
            }
            _ => 0,
        });
        Memory {
            weights: self.weights.iter().map(|(plan, _)| plan.weight_bytes()).chain(head).sum(),
            activations: arena.slots.iter().map(|len| len * 4).sum(),
            scratch: self.workspace_size().total_bytes(),
        }
    }

    fn new(context: &'a Context, architecture: &Architecture, options: &'a BackboneOptions) -> Result<Self, Error> {
        let network = &architecture.network();
        if options.precision == Precision::F16 && context.tune().family == Family::Texture {
            let message =
                "f16 is for GPUs: the texture kernels of software adapters have f32 only; take the tiled ones or f32";
            return Err(Error::Options(message.to_owned()));
        }
        let pixels = options.batch * options.input_size[0] * options.input_size[1];
        let mut graph = Graph {
            context,
            options,
            layers: Vec::new(),
            weights: Vec::new(),
            tensors: Vec::new(),
            shapes: Vec::new(),
            tapped: Vec::new(),
            planned: Vec::new(),
            // As much as the plain ones take, and an eighth.
            spare: architecture.parameters() as u64 * 4 * 9 / 8,
        };
        let last = options.taps.iter().max().copied().unwrap_or(Tap::Features);
        let mut size = options.input_size;
        let mut x = graph.tensor(pixels, 3, Precision::F32);
        graph.tensors[x].kept = true;
        if options.precision == Precision::F16 {
            x = graph.halved(x)?;
        }
        x = graph.stem(network, &mut size, x, last)?;
        for (place, block) in network.blocks.iter().enumerate() {
            if last < Tap::Stage(block.stage) {
                return Ok(graph);
            }
            x = graph.block(block, &mut size, x)?;
            if network.blocks.get(place + 1).is_none_or(|next| next.stage != block.stage) {
                graph.tap(Tap::Stage(block.stage), x);
            }
        }
        if last >= Tap::Features {
            let features = graph.global_avg_pool("avgpool", size, network.features, x)?;
            graph.tap(Tap::Features, features);
            if let (Tap::Logits, Some(classes)) = (last, network.classes) {
                let [batch, channels, outputs] = [options.batch, network.features, classes].map(|size| size as u32);
                let desc = MatmulDesc { transpose_b: true, bias: true, ..MatmulDesc::new(batch, channels, outputs) };
                let logits = graph.tensor(options.batch, classes, Precision::F32);
                let plan = Matmul::new(context, &desc)?;
                let planned = LayerPlan::Matmul(plan.clone());
                let sizes = [[1, 1, network.features], [1, 1, classes]];
                graph.push("fc", planned, sizes, Layer::Head { plan, input: features, output: logits });
                graph.tap(Tap::Logits, logits);
            }
        }
        Ok(graph)
    }

    /// The part of a tensor that holds these of the batch's images.
    fn images(&mut self, tensor: usize, images: Range<usize>) -> usize {
        let (batch, shape) = (self.options.batch, self.shapes[tensor]);
        let image = self.tensors[tensor].len / batch as u64;
        let (first, len) = (image * images.start as u64, image * images.len() as u64);
        self.shapes.push(Shape { pixels: shape.pixels / batch * images.len(), ..shape });
        self.tensors.push(Tensor { len, kept: false, part_of: Some((tensor, first)) });
        self.tensors.len() - 1
    }

    /// Adds a layer, with what it is called and the sizes of one image's input and output.
    fn push(&mut self, name: &str, plan: LayerPlan, [input, output]: [[usize; 3]; 2], layer: Layer) {
        let (reads, writes) = layer.operands();
        let (flops, weights) = match &plan {
            LayerPlan::Conv2d(plan) => {
                let numbers = if plan.desc().precision == Precision::F16 && !plan.is_winograd() { 2 } else { 1 };
                (plan.desc().flops(), plan.desc().weight_len() / numbers + u64::from(plan.desc().out_channels))
            }
            LayerPlan::Matmul(plan) => {
                let desc = plan.desc();
                (desc.flops(), (u64::from(desc.k) + 1) * u64::from(desc.n))
            }
            LayerPlan::Other(_) => (0, 0),
        };
        // In 32-bit words.
        let values: u64 = reads.into_iter().chain([writes]).map(|tensor| self.tensors[tensor].len).sum();
        let bytes = (values + weights) * 4;
        self.planned.push(PlannedLayer { name: name.to_owned(), plan, input, output, flops, bytes });
        self.layers.push(layer);
    }

    fn tensor(&mut self, pixels: usize, channels: usize, precision: Precision) -> usize {
        let shape = Shape { pixels, channels, precision };
        self.shapes.push(shape);
        self.tensors.push(Tensor { len: shape.words(), kept: false, part_of: None });
        self.tensors.len() - 1
    }

    /// Plans the way of the photos to f16.
    fn halved(&mut self, input: usize) -> Result<usize, Error> {
        let Shape { pixels, channels, .. } = self.shapes[input];
        let desc = PackDesc { precision: Precision::F16, ..PackDesc::rows(pixels as u32, channels as u32) };
        let plan = Pack::new(self.context, &desc)?;
        let output = self.tensor(pixels, channels, Precision::F16);
        let sizes = [[self.options.input_size[0], self.options.input_size[1], channels]; 2];
        self.push("input", LayerPlan::Other("pack"), sizes, Layer::ToF16 { plan, input, output });
        Ok(output)
    }

    fn tap(&mut self, tap: Tap, tensor: usize) {
        if self.options.taps.contains(&tap) {
            self.tensors[tensor].kept = true;
            self.tapped.push((tap, tensor));
        }
    }

    /// Plans the stem and its pooling, of a few images at a time: what it computes is the largest by far, and no more of it need
    /// be there than of what follows. The last part may do some images again.
    fn stem(&mut self, network: &Network, size: &mut [usize; 2], input: usize, last: Tap) -> Result<usize, Error> {
        let batch = self.options.batch;
        let part = if last == Tap::Stem { batch } else { self.stem_part(network) };
        let mut pooled = None;
        let mut output = input;
        for first in (0..batch).step_by(part) {
            let first = first.min(batch - part);
            *size = self.options.input_size;
            output = self.images(input, first..first + part);
            for conv in &network.stem {
                output = self.conv(part, conv, size, output, None)?;
            }
            if part == batch {
                self.tap(Tap::Stem, output);
            }
            if last > Tap::Stem {
                let precision = self.options.precision;
                let plan = MaxPool2d::new(self.context, &pool_desc(network, part, *size, precision))?;
                let channels = network.stem.last().map_or(0, |conv| conv.out_channels);
                let from = [size[0], size[1], channels];
                *size = network.pool.output_size(*size);
                let whole = *pooled.get_or_insert_with(|| self.tensor(batch * size[0] * size[1], channels, precision));
                let sizes = [from, [size[0], size[1], channels]];
                let layer = Layer::MaxPool { plan, input: output, output: self.images(whole, first..first + part) };
                self.push("maxpool", LayerPlan::Other("max_pool2d"), sizes, layer);
            }
        }
        match pooled {
            Some(pooled) => {
                self.tap(Tap::Pool, pooled);
                Ok(pooled)
            }
            None => Ok(output),
        }
    }

    /// Images that the stem does at a time: all of them where it is tapped, or an image's offset in a buffer can't be bound.
    fn stem_part(&self, network: &Network) -> usize {
        let batch = self.options.batch;
        let input = self.options.input_size;
        let stem = network.stem.iter().fold(input, |size, conv| conv.output_size(size));
        let pooled = network.pool.output_size(stem);
        let channels = network.stem.last().map_or(0, |conv| conv.out_channels);
        let following = network.blocks.first().and_then(|block| block.convs.last()).map_or(0, |conv| conv.out_channels);
        // In 32-bit words.
        let precision = self.options.precision;
        let len = |size: [usize; 2], channels: usize| size[0] * size[1] * precision.words(channels as u32) as usize;
        let bindable = [len(input, 3), len(pooled, channels)].iter().all(|len| len.is_multiple_of(IMAGE_ALIGNMENT));
        if self.options.taps.contains(&Tap::Stem) || !bindable {
            return batch;
        }
        (batch * len(pooled, following)).div_ceil(len(stem, channels).max(1)).clamp(1, batch)
    }

    /// Plans a residual block on an image of `size`, which becomes the output's.
    fn block(&mut self, block: &BlockSpec, size: &mut [usize; 2], input: usize) -> Result<usize, Error> {
        let shortcut = match &block.shortcut {
            Some(shortcut) => self.shortcut(shortcut, *size, input)?,
            None => input,
        };
        let gated = !block.gate.is_empty();
        let mut x = input;
        for (i, conv) in block.convs.iter().enumerate() {
            let residual = (i + 1 == block.convs.len() && !gated).then_some(shortcut);
            x = self.conv(self.options.batch, conv, size, x, residual)?;
        }
        if gated { self.gated_sum(block, *size, x, shortcut) } else { Ok(x) }
    }

    fn shortcut(&mut self, shortcut: &ShortcutSpec, mut size: [usize; 2], mut input: usize) -> Result<usize, Error> {
        if shortcut.pool {
            let [batch, channels] = [self.options.batch, shortcut.conv.in_channels].map(|size| size as u32);
            let [height, width] = size.map(|side| side as u32);
            let desc = AvgPool2dDesc {
                count_include_pad: false,
                ceil_mode: true,
                precision: self.options.precision,
                ..AvgPool2dDesc::new(batch, height, width, channels, 2)
            };
            let plan = AvgPool2d::new(self.context, &desc)?;
            let channels = shortcut.conv.in_channels;
            let pooled = shortcut.pooled_size(size);
            let output = self.tensor(self.options.batch * pooled[0] * pooled[1], channels, self.options.precision);
            // timm numbers the parts of a shortcut: the pool is the one before the convolution.
            let name = shortcut.conv.name.replace("downsample.1", "downsample.0");
            let sizes = [size, pooled].map(|[height, width]| [height, width, channels]);
            self.push(&name, LayerPlan::Other("avg_pool2d"), sizes, Layer::AvgPool { plan, input, output });
            size = pooled;
            input = output;
        }
        self.conv(self.options.batch, &shortcut.conv, &mut size, input, None)
    }

    /// Channel attention on a branch, and the sum with the shortcut. The gate's layers are convolutions too: a dense layer one of
    /// 1x1 on a row of as many pixels as there are images, a sliding one along a row of as many pixels as there are channels.
    /// They are small, and their sigmoids stretch errors: they stay f32.
    fn gated_sum(
        &mut self,
        block: &BlockSpec,
        size: [usize; 2],
        input: usize,
        residual: usize,
    ) -> Result<usize, Error> {
        let batch = self.options.batch;
        let channels = block.convs.last().map_or(0, |conv| conv.out_channels);
        // timm's name of the attention, without the layer's own.
        let attention = block.gate.first().and_then(|gate| gate.name().rsplit_once('.')).map_or("", |(name, _)| name);
        let mut gate = self.global_avg_pool(&format!("{attention}.avgpool"), size, channels, input)?;
        for spec in &block.gate {
            let desc = match *spec {
                GateSpec::Dense { in_channels, out_channels, relu, .. } => Conv2dDesc {
                    relu,
                    ..Conv2dDesc::new(1, [1, batch as u32], [in_channels as u32, out_channels as u32], 1)
                },
                GateSpec::Sliding { channels, kernel, .. } => Conv2dDesc {
                    kernel: [1, kernel as u32],
                    padding: [0, kernel as u32 / 2],
                    ..Conv2dDesc::new(batch as u32, [1, channels as u32], [1, 1], 1)
                },
            };
            let [inputs, outputs] = match *spec {
                GateSpec::Dense { in_channels, out_channels, .. } => [in_channels, out_channels],
                GateSpec::Sliding { channels, .. } => [channels; 2],
            };
            let sizes = [[1, 1, inputs], [1, 1, outputs]];
            gate = self.planned_conv(&desc, ConvWeights::Gate(spec.clone()), sizes, gate, None)?;
        }
        let sizes = [[size[0], size[1], channels]; 2];
        let [batch, channels] = [batch, channels].map(|size| size as u32);
        let [height, width] = size.map(|side| side as u32);
        let precision = self.options.precision;
        let desc = ScaleAddReluDesc { precision, ..ScaleAddReluDesc::new(batch, height, width, channels) };
        let plan = ScaleAddRelu::new(self.context, &desc)?;
        let Shape { pixels, channels, precision } = self.shapes[input];
        let output = self.tensor(pixels, channels, precision);
        let layer = Layer::GatedSum { plan, input, gate, residual, output };
        self.push(attention, LayerPlan::Other("scale_add_relu"), sizes, layer);
        Ok(output)
    }

    fn global_avg_pool(&mut self, name: &str, size: [usize; 2], channels: usize, input: usize) -> Result<usize, Error> {
        let [height, width] = size.map(|side| side as u32);
        let desc = GlobalAvgPool2dDesc {
            precision: self.options.precision,
            ..GlobalAvgPool2dDesc::new(self.options.batch as u32, height, width, channels as u32)
        };
        let plan = GlobalAvgPool2d::new(self.context, &desc)?;
        let output = self.tensor(self.options.batch, channels, Precision::F32);
        let sizes = [[size[0], size[1], channels], [1, 1, channels]];
        self.push(name, LayerPlan::Other("global_avg_pool2d"), sizes, Layer::GlobalAvgPool { plan, input, output });
        Ok(output)
    }

    /// Plans a convolution on images of `size`, which becomes the output's.
    fn conv(
        &mut self,
        batch: usize,
        spec: &ConvSpec,
        size: &mut [usize; 2],
        input: usize,
        residual: Option<usize>,
    ) -> Result<usize, Error> {
        let desc = Conv2dDesc {
            batch: batch as u32,
            height: size[0] as u32,
            width: size[1] as u32,
            in_channels: spec.in_channels as u32,
            out_channels: spec.out_channels as u32,
            kernel: [spec.kernel as u32; 2],
            stride: [spec.stride as u32; 2],
            padding: [spec.padding as u32; 2],
            dilation: [1, 1],
            groups: spec.groups as u32,
            residual: residual.is_some(),
            relu: spec.relu,
            precision: self.options.precision,
        };
        let from = [size[0], size[1], spec.in_channels];
        *size = spec.output_size(*size);
        let sizes = [from, [size[0], size[1], spec.out_channels]];
        self.planned_conv(&desc, ConvWeights::Folded(spec.clone()), sizes, input, residual)
    }

    fn planned_conv(
        &mut self,
        desc: &Conv2dDesc,
        weights: ConvWeights,
        sizes: [[usize; 3]; 2],
        input: usize,
        residual: Option<usize>,
    ) -> Result<usize, Error> {
        let plan = Conv2d::new(self.context, desc)?;
        let channels = desc.out_channels as usize;
        let output = self.tensor(desc.output_len() as usize / channels, channels, desc.precision);
        let name = weights.name().to_owned();
        let known = self.weights.iter().position(|(_, known)| *known == weights);
        let plan = match known {
            Some(known) => plan.with_variant(self.weights[known].0.variant())?,
            None => self.affordable(plan)?,
        };
        let planned = LayerPlan::Conv2d(plan.clone());
        let weights = known.unwrap_or_else(|| {
            self.weights.push((plan.clone(), weights));
            self.weights.len() - 1
        });
        self.push(&name, planned, sizes, Layer::Conv { plan, weights, input, residual, output });
        Ok(output)
    }

    /// The plan, or the direct one instead of Winograd's where transformed weights would more than double the network's memory (by an
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

    /// Threads that read and pack the weights: the i-th comes out of the receiver i modulo their number, and each holds one until it
    /// is taken.
    fn packers<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        queue: &'scope Queue,
        file: &'scope WeightFile,
    ) -> Vec<Receiver<Result<Conv2dWeights, Error>>> {
        let threads = available_parallelism().map_or(1, usize::from).saturating_sub(1).clamp(1, MOST_PACKERS);
        (0..threads)
            .map(|thread| {
                let (sender, receiver) = sync_channel(0);
                scope.spawn(move || {
                    let device = self.context.device();
                    let mut flying = VecDeque::new();
                    for (plan, stored) in self.weights.iter().skip(thread).step_by(threads) {
                        let packed = stored.read(file).and_then(|(weight, bias)| {
                            plan.weights_in_pieces(queue, &weight, Some(&bias), || {
                                flying.push_back(queue.submit([]));
                                if flying.len() > MOST_FLYING {
                                    flying.pop_front().map_or(Ok(()), |oldest| wait(device, oldest))
                                } else {
                                    Ok(())
                                }
                            })
                        });
                        // Nobody takes it: the network failed at another layer.
                        if sender.send(packed).is_err() {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect()
    }

    fn bind(
        self,
        context: &Context,
        queue: &Queue,
        weights: &WeightFile,
        options: &BackboneOptions,
        arena: &Arena,
    ) -> Result<Backbone, Error> {
        let device = context.device();
        let buffer = |label, bytes| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes,
                usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let allowed = device.limits().max_buffer_size;
        if let Some(&len) = arena.slots.iter().find(|&&len| len * 4 > allowed) {
            return Err(kernels::Error::Limit {
                op: "resnet",
                what: "bytes of an activation",
                needed: len * 4,
                limit: "max_buffer_size",
                allowed,
            }
            .into());
        }
        let slots: Vec<Buffer> = arena.slots.iter().map(|len| buffer("resnet activations", len * 4)).collect();
        let slice = |tensor: usize| {
            let (whole, first) = self.tensors[tensor].part_of.unwrap_or((tensor, 0));
            slots[arena.places[whole]].slice(first * 4..(first + self.tensors[tensor].len) * 4)
        };
        let workspace = Workspace::new(context, self.workspace_size())?;
        let mut commands: Vec<Commands> = Vec::new();
        std::thread::scope(|scope| {
            let packers = self.packers(scope, queue, weights);
            let mut packed: Vec<Conv2dWeights> = Vec::new();
            let mut used = Vec::new();
            for layer in &self.layers {
                let bound = match layer {
                    Layer::Conv { plan, weights, input, residual, output } => {
                        if *weights == packed.len() {
                            let next = packers[weights % packers.len()].recv();
                            packed.push(next.map_err(|_| Error::Device("a thread that packs weights ended".into()))??);
                        }
                        let buffers = Conv2dBuffers {
                            input: slice(*input),
                            residual: residual.map(slice),
                            output: slice(*output),
                        };
                        plan.bind_in(&workspace, &packed[*weights], &buffers)?
                    }
                    Layer::ToF16 { plan, input, output } => plan.bind(slice(*input), slice(*output))?,
                    Layer::MaxPool { plan, input, output } => {
                        plan.bind_in(&workspace, slice(*input), slice(*output))?
                    }
                    Layer::AvgPool { plan, input, output } => plan.bind(slice(*input), slice(*output))?,
                    Layer::GlobalAvgPool { plan, input, output } => plan.bind(slice(*input), slice(*output))?,
                    Layer::GatedSum { plan, input, gate, residual, output } => plan.bind(&ScaleAddReluBuffers {
                        input: slice(*input),
                        gate: slice(*gate),
                        residual: slice(*residual),
                        output: slice(*output),
                    })?,
                    Layer::Head { plan, input, output } => {
                        let head = weights.head()?;
                        let upload = |values: &[f32]| {
                            let target = buffer("resnet head", values.len() as u64 * 4);
                            queue.write_buffer(&target, 0, bytemuck::cast_slice(values));
                            target
                        };
                        let (weight, bias) = (upload(&head.weight), upload(&head.bias));
                        let buffers = MatmulBuffers {
                            a: slice(*input),
                            b: weight.slice(..),
                            bias: Some(bias.slice(..)),
                            output: slice(*output),
                        };
                        plan.bind_in(&workspace, &buffers)?
                    }
                };
                let mut encoder = device.create_command_encoder(&Default::default());
                encode_first_use(&mut encoder, &bound, &mut used);
                commands.push(bound);
                queue.submit([encoder.finish()]);
            }
            Ok::<(), Error>(())
        })?;
        let taps = self.tapped.iter().map(|&(tap, tensor)| Tapped {
            tap,
            buffer: slots[arena.places[tensor]].clone(),
            shape: self.shapes[tensor],
        });
        let slicing = match options.slicing {
            Slicing::Auto if device.adapter_info().device_type == wgpu::DeviceType::Cpu => Slicing::Whole,
            Slicing::Auto => Slicing::Time(Duration::from_millis(100)),
            slicing => slicing,
        };
        let memory = self.memory(arena);
        Ok(Backbone {
            device: device.clone(),
            options: options.clone(),
            input: slots[arena.places[0]].clone(),
            taps: taps.collect(),
            slices: Slices::new(slicing, self.planned.iter().map(PlannedLayer::work).collect()),
            layers: self.planned,
            commands,
            memory,
            ring: Ring::default(),
        })
    }
}
