//! The forward pass on the GPU.

use crate::{
    Architecture, BlockSpec, ConvSpec, Error, GateSpec, ImageTensor, Network, ShortcutSpec, WeightFile, arena::Arena,
};
use kernels::{
    AvgPool2d, AvgPool2dDesc, Commands, Context, Conv2d, Conv2dBuffers, Conv2dDesc, Conv2dWeights, GlobalAvgPool2d,
    GlobalAvgPool2dDesc, Matmul, MatmulBuffers, MatmulDesc, MaxPool2d, MaxPool2dDesc, ScaleAddRelu,
    ScaleAddReluBuffers, ScaleAddReluDesc, Workspace, WorkspaceSize, encode_all, encode_first_use,
    wgpu::{self, Buffer, BufferUsages, CommandEncoder, Device, Queue},
};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Scope, available_parallelism};

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
}

impl BackboneOptions {
    /// Pooled features of photos of 224x224.
    pub fn new(batch: usize) -> Self {
        Self { batch, input_size: [224, 224], taps: vec![Tap::Features] }
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
/// f32 throughout; within a relative 1e-4 of PyTorch's at every stage.
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
    taps: Vec<(Tap, Buffer, usize)>,
    commands: Vec<Commands>,
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
        self.taps.iter().find(|(name, ..)| *name == tap).map(|(_, _, len)| len / self.options.batch)
    }

    /// Bytes of the arena in which activations live, at its largest.
    pub fn arena_bytes(&self) -> u64 {
        self.memory.activations
    }

    /// Bytes of scratch memory that the kernels share.
    pub fn workspace_bytes(&self) -> u64 {
        self.memory.scratch
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> u64 {
        self.memory.weights
    }

    /// The input, `[batch, height, width, 3]`, for callers that fill it on the device (STORAGE, COPY_DST).
    pub fn input(&self) -> &Buffer {
        &self.input
    }

    /// A tap's buffer, if it was asked for (STORAGE, COPY_SRC).
    pub fn output(&self, tap: Tap) -> Option<&Buffer> {
        self.taps.iter().find(|(name, ..)| *name == tap).map(|(_, buffer, _)| buffer)
    }

    /// Records one forward pass into the caller's encoder.
    pub fn encode(&self, encoder: &mut CommandEncoder) {
        encode_all(encoder, &self.commands);
    }

    /// Uploads up to a batch of images, runs the network in one submit and starts reading the taps back.
    ///
    /// The device works while the caller prepares the next batch; [`Pending::wait`] collects. A pass costs the same
    /// however few images it is given.
    ///
    /// # Errors
    /// [`Error::Options`] when there are none, more than the batch, or one of another size.
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
            let offset = (place * height * width * 3 * 4) as u64;
            queue.write_buffer(&self.input, offset, bytemuck::cast_slice(&image.data));
        }
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.encode(&mut encoder);
        let taps = (self.taps.iter())
            .map(|(tap, buffer, len)| {
                let len = len / self.options.batch * images.len();
                let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("resnet read-back"),
                    size: len as u64 * 4,
                    usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, len as u64 * 4);
                (*tap, staging)
            })
            .collect();
        let submission = queue.submit([encoder.finish()]);
        Ok(Pending { device: self.device.clone(), submission, taps })
    }
}

/// A batch on its way through the network.
#[derive(Debug)]
pub struct Pending {
    device: Device,
    submission: wgpu::SubmissionIndex,
    taps: Vec<(Tap, Buffer)>,
}

impl Pending {
    /// Waits for the device and reads what a tap gave, image after image. Blocks the calling thread.
    ///
    /// # Errors
    /// [`Error::Options`] for a tap that wasn't asked for; [`Error::Device`] when the device was lost.
    pub fn wait(&self, tap: Tap) -> Result<Vec<f32>, Error> {
        let Some((_, staging)) = self.taps.iter().find(|(name, _)| *name == tap) else {
            return Err(Error::Options(format!("{tap:?} isn't among the taps that the backbone was made with")));
        };
        let (sender, receiver) = std::sync::mpsc::channel();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            // The receiver lives until the end of this function.
            let _ = sender.send(result);
        });
        let lost = |message: String| Error::Device(message);
        wait_for(&self.device, Some(self.submission.clone()))?;
        receiver.recv().map_err(|error| lost(error.to_string()))?.map_err(|error| lost(error.to_string()))?;
        let view = staging.slice(..).get_mapped_range().map_err(|error| lost(error.to_string()))?;
        let values = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        staging.unmap();
        Ok(values)
    }
}

/// Waits until a submission is done, and lets go of what it needed.
fn wait_for(device: &Device, submission_index: Option<wgpu::SubmissionIndex>) -> Result<(), Error> {
    device
        .poll(wgpu::PollType::Wait { submission_index, timeout: None })
        .map(drop)
        .map_err(|error| Error::Device(error.to_string()))
}

/// A layer and the tensors (by number) that it reads and writes.
enum Layer {
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
            Layer::MaxPool { input, output, .. }
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
            Layer::AvgPool { .. } | Layer::GlobalAvgPool { .. } | Layer::GatedSum { .. } => WorkspaceSize::default(),
        }
    }
}

/// An activation.
pub(crate) struct Tensor {
    /// f32 values.
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

/// Values at whose multiples a binding may begin, on every device.
const IMAGE_ALIGNMENT: usize = 64;

fn pool_desc(network: &Network, batch: usize, size: [usize; 2]) -> MaxPool2dDesc {
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
    tapped: Vec<(Tap, usize)>,
}

impl<'a> Graph<'a> {
    /// The network's layers, and where activations will live.
    fn plan(
        context: &'a Context,
        architecture: &Architecture,
        options: &'a BackboneOptions,
    ) -> Result<(Self, Arena), Error> {
        if options.batch == 0 || options.input_size.contains(&0) || options.taps.is_empty() {
            return Err(Error::Options(format!(
                "a batch of {} images of {:?} with taps {:?}: none may be empty",
                options.batch, options.input_size, options.taps
            )));
        }
        if let Some(tap) = options.taps.iter().find(|tap| matches!(tap, Tap::Stage(s) if !(1..=4).contains(s))) {
            return Err(Error::Options(format!("{tap:?}: stages are 1 to 4")));
        }
        if options.taps.contains(&Tap::Logits) && architecture.classes.is_none() {
            return Err(Error::NoHead { architecture: architecture.to_string() });
        }
        let graph = Graph::new(context, &architecture.network(), options)?;
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

    fn new(context: &'a Context, network: &Network, options: &'a BackboneOptions) -> Result<Self, Error> {
        let pixels = options.batch * options.input_size[0] * options.input_size[1];
        let input = Tensor { len: pixels as u64 * 3, kept: true, part_of: None };
        let (layers, weights, tapped) = Default::default();
        let mut graph = Graph { context, options, layers, weights, tensors: vec![input], tapped };
        let last = options.taps.iter().max().copied().unwrap_or(Tap::Features);
        let mut size = options.input_size;
        let mut x = graph.stem(network, &mut size, last)?;
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
            let features = graph.global_avg_pool(size, network.features, x)?;
            graph.tap(Tap::Features, features);
            if let (Tap::Logits, Some(classes)) = (last, network.classes) {
                let [batch, channels, outputs] = [options.batch, network.features, classes].map(|size| size as u32);
                let desc = MatmulDesc { transpose_b: true, bias: true, ..MatmulDesc::new(batch, channels, outputs) };
                let logits = graph.tensor(options.batch * classes);
                graph.layers.push(Layer::Head { plan: Matmul::new(context, &desc)?, input: features, output: logits });
                graph.tap(Tap::Logits, logits);
            }
        }
        Ok(graph)
    }

    fn tensor(&mut self, len: usize) -> usize {
        self.tensors.push(Tensor { len: len as u64, kept: false, part_of: None });
        self.tensors.len() - 1
    }

    /// The part of a tensor that holds these of the batch's images.
    fn images(&mut self, tensor: usize, images: Range<usize>) -> usize {
        let image = self.tensors[tensor].len / self.options.batch as u64;
        let (first, len) = (image * images.start as u64, image * images.len() as u64);
        self.tensors.push(Tensor { len, kept: false, part_of: Some((tensor, first)) });
        self.tensors.len() - 1
    }

    fn tap(&mut self, tap: Tap, tensor: usize) {
        if self.options.taps.contains(&tap) {
            self.tensors[tensor].kept = true;
            self.tapped.push((tap, tensor));
        }
    }

    /// Plans the stem and its pooling, of a few images at a time: what it computes is the largest by far, and no more of it need
    /// be there than of what follows. The last part may do some images again.
    fn stem(&mut self, network: &Network, size: &mut [usize; 2], last: Tap) -> Result<usize, Error> {
        let batch = self.options.batch;
        let part = if last == Tap::Stem { batch } else { self.stem_part(network) };
        let mut pooled = None;
        let mut output = 0;
        for first in (0..batch).step_by(part) {
            let first = first.min(batch - part);
            *size = self.options.input_size;
            output = self.images(0, first..first + part);
            for conv in &network.stem {
                output = self.conv(part, conv, size, output, None)?;
            }
            if part == batch {
                self.tap(Tap::Stem, output);
            }
            if last > Tap::Stem {
                let desc = pool_desc(network, part, *size);
                *size = network.pool.output_size(*size);
                let whole = *pooled.get_or_insert_with(|| self.tensor(desc.output_len() as usize / part * batch));
                let pooled = self.images(whole, first..first + part);
                self.layers.push(Layer::MaxPool {
                    plan: MaxPool2d::new(self.context, &desc)?,
                    input: output,
                    output: pooled,
                });
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
        let len = |size: [usize; 2], channels: usize| size[0] * size[1] * channels;
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
                ..AvgPool2dDesc::new(batch, height, width, channels, 2)
            };
            let plan = AvgPool2d::new(self.context, &desc)?;
            size = shortcut.pooled_size(size);
            let output = self.tensor(self.options.batch * size[0] * size[1] * shortcut.conv.in_channels);
            self.layers.push(Layer::AvgPool { plan, input, output });
            input = output;
        }
        self.conv(self.options.batch, &shortcut.conv, &mut size, input, None)
    }

    /// Channel attention on a branch, and the sum with the shortcut. The gate's layers are convolutions too: a dense layer one of
    /// 1x1 on a row of as many pixels as there are images, a sliding one along a row of as many pixels as there are channels.
    fn gated_sum(
        &mut self,
        block: &BlockSpec,
        size: [usize; 2],
        input: usize,
        residual: usize,
    ) -> Result<usize, Error> {
        let batch = self.options.batch;
        let channels = block.convs.last().map_or(0, |conv| conv.out_channels);
        let mut gate = self.global_avg_pool(size, channels, input)?;
        for spec in &block.gate {
            let desc = match *spec {
                GateSpec::Dense { in_channels, out_channels, relu, .. } => Conv2dDesc {
                    relu,
                    ..Conv2dDesc::new(1, 1, batch as u32, in_channels as u32, out_channels as u32, 1)
                },
                GateSpec::Sliding { channels, kernel, .. } => Conv2dDesc {
                    kernel: [1, kernel as u32],
                    padding: [0, kernel as u32 / 2],
                    ..Conv2dDesc::new(batch as u32, 1, channels as u32, 1, 1, 1)
                },
            };
            gate = self.planned_conv(&desc, ConvWeights::Gate(spec.clone()), gate, None)?;
        }
        let [batch, channels] = [batch, channels].map(|size| size as u32);
        let [height, width] = size.map(|side| side as u32);
        let plan = ScaleAddRelu::new(self.context, &ScaleAddReluDesc { batch, height, width, channels })?;
        let output = self.tensor(self.tensors[input].len as usize);
        self.layers.push(Layer::GatedSum { plan, input, gate, residual, output });
        Ok(output)
    }

    fn global_avg_pool(&mut self, size: [usize; 2], channels: usize, input: usize) -> Result<usize, Error> {
        let [height, width] = size.map(|side| side as u32);
        let desc = GlobalAvgPool2dDesc { batch: self.options.batch as u32, height, width, channels: channels as u32 };
        let plan = GlobalAvgPool2d::new(self.context, &desc)?;
        let output = self.tensor(self.options.batch * channels);
        self.layers.push(Layer::GlobalAvgPool { plan, input, output });
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
        };
        *size = spec.output_size(*size);
        self.planned_conv(&desc, ConvWeights::Folded(spec.clone()), input, residual)
    }

    fn planned_conv(
        &mut self,
        desc: &Conv2dDesc,
        weights: ConvWeights,
        input: usize,
        residual: Option<usize>,
    ) -> Result<usize, Error> {
        let plan = Conv2d::new(self.context, desc)?;
        let output = self.tensor(desc.output_len() as usize);
        let known = self.weights.iter().position(|(_, known)| *known == weights);
        let weights = known.unwrap_or_else(|| {
            self.weights.push((plan.clone(), weights));
            self.weights.len() - 1
        });
        self.layers.push(Layer::Conv { plan, weights, input, residual, output });
        Ok(output)
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
                                if flying.len() > MOST_FLYING { wait_for(device, flying.pop_front()) } else { Ok(()) }
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
        let taps = self
            .tapped
            .iter()
            .map(|&(tap, tensor)| (tap, slots[arena.places[tensor]].clone(), self.tensors[tensor].len as usize));
        Ok(Backbone {
            device: device.clone(),
            options: options.clone(),
            input: slots[arena.places[0]].clone(),
            taps: taps.collect(),
            commands,
            memory: self.memory(arena),
        })
    }
}
