//! The forward pass on the GPU.

use crate::{
    BlockSpec, ConvSpec, Error, GateSpec, ImageTensor, Network, ShortcutSpec, WeightFile,
    arena::Arena,
    ring::{Ring, Slot},
};
use kernels::{
    AvgPool2d, AvgPool2dDesc, Commands, Context, Conv2d, Conv2dBuffers, Conv2dDesc, Conv2dWeights, GlobalAvgPool2d,
    GlobalAvgPool2dDesc, Matmul, MatmulBuffers, MatmulDesc, MaxPool2d, MaxPool2dDesc, ScaleAddRelu,
    ScaleAddReluBuffers, ScaleAddReluDesc, Workspace, WorkspaceSize, encode_all,
    wgpu::{self, Buffer, BufferUsages, CommandEncoder, Device, Queue},
};

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
    device: Device,
    options: BackboneOptions,
    input: Buffer,
    taps: Vec<(Tap, Buffer, usize)>,
    commands: Vec<Commands>,
    ring: Ring,
    arena_bytes: u64,
    workspace_bytes: u64,
    weight_bytes: u64,
}

impl Backbone {
    /// Plans the network of `weights` on the context's device and uploads it.
    ///
    /// Weights are folded, packed and handed to `queue` layer by layer, with a submit after each, so that they aren't
    /// in host memory all at once.
    ///
    /// # Errors
    /// [`Error::Options`] for an empty batch, image or list of taps; [`Error::NoHead`] when logits are asked of a file
    /// without a head; [`Error::Kernels`] when the device can't hold or run a layer; what reading the weights gives.
    pub fn new(
        context: &Context,
        queue: &Queue,
        weights: &WeightFile,
        options: &BackboneOptions,
    ) -> Result<Self, Error> {
        let architecture = weights.architecture();
        if options.batch == 0 || options.input_size.contains(&0) || options.taps.is_empty() {
            return Err(Error::Options(format!(
                "a batch of {} images of {:?} with taps {:?}: none may be empty",
                options.batch, options.input_size, options.taps
            )));
        }
        if let Some(tap) = options.taps.iter().find(|tap| matches!(tap, Tap::Stage(s) if !(1..=4).contains(s))) {
            return Err(Error::Options(format!("{tap:?}: stages are 1 to 4")));
        }
        if options.taps.contains(&Tap::Logits) {
            weights.head()?;
        }
        let graph = Graph::new(context, &architecture.network(), options)?;
        let arena = Arena::plan(&graph.tensors, &graph.layers.iter().map(Layer::operands).collect::<Vec<_>>());
        graph.bind(context, queue, weights, options, &arena)
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
        self.arena_bytes
    }

    /// Bytes of scratch memory that the kernels share.
    pub fn workspace_bytes(&self) -> u64 {
        self.workspace_bytes
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
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
    /// The device works while the caller prepares the next batch; [`Pending::wait`] collects. The next may be submitted before:
    /// then the device goes from one to the other without a pause. Each batch on its way has memory of its own on the host's
    /// side, used again by later ones. A pass costs the same however few images it is given.
    ///
    /// # Errors
    /// [`Error::Options`] when there are none, more than the batch, or one of another size; [`Error::Device`] when there is no
    /// memory to upload from.
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
        let whole = (self.options.batch * height * width * 3 * 4) as u64;
        let slot = self.ring.take(&self.device, whole, self.taps.iter().map(|(_, _, len)| *len as u64 * 4));
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let (upload, bytes) = slot.fill(images)?;
        encoder.copy_buffer_to_buffer(upload, 0, &self.input, 0, bytes);
        self.encode(&mut encoder);
        let mut taps = Vec::new();
        for ((tap, buffer, len), staging) in self.taps.iter().zip(&slot.read_back) {
            let bytes = (len / self.options.batch * images.len()) as u64 * 4;
            encoder.copy_buffer_to_buffer(buffer, 0, staging, 0, bytes);
            taps.push((*tap, bytes));
        }
        let submission = queue.submit([encoder.finish()]);
        slot.reclaim();
        Ok(Pending { device: self.device.clone(), submission, taps, slot: Some(slot), ring: self.ring.clone() })
    }
}

/// A batch on its way through the network.
#[derive(Debug)]
pub struct Pending {
    device: Device,
    submission: wgpu::SubmissionIndex,
    /// Each with the bytes read of it.
    taps: Vec<(Tap, u64)>,
    /// There until it is dropped.
    slot: Option<Slot>,
    ring: Ring,
}

impl Pending {
    /// Waits for the device and reads what a tap gave, image after image. Blocks the calling thread.
    ///
    /// # Errors
    /// [`Error::Options`] for a tap that wasn't asked for; [`Error::Device`] when the device was lost.
    pub fn wait(&self, tap: Tap) -> Result<Vec<f32>, Error> {
        let place = self.taps.iter().position(|(name, _)| *name == tap);
        let (Some(place), Some(slot)) = (place, &self.slot) else {
            return Err(Error::Options(format!("{tap:?} isn't among the taps that the backbone was made with")));
        };
        let staging = slot.read_back[place].slice(0..self.taps[place].1);
        let (sender, receiver) = std::sync::mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, move |result| {
            // The receiver lives until the end of this function.
            let _ = sender.send(result);
        });
        let lost = |message: String| Error::Device(message);
        self.device
            .poll(wgpu::PollType::Wait { submission_index: Some(self.submission.clone()), timeout: None })
            .map_err(|error| lost(error.to_string()))?;
        receiver.recv().map_err(|error| lost(error.to_string()))?.map_err(|error| lost(error.to_string()))?;
        let view = staging.get_mapped_range().map_err(|error| lost(error.to_string()))?;
        let values = bytemuck::pod_collect_to_vec(&view);
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
    Conv { plan: Conv2d, weights: ConvWeights, input: usize, residual: Option<usize>, output: usize },
    MaxPool { plan: MaxPool2d, input: usize, output: usize },
    AvgPool { plan: AvgPool2d, input: usize, output: usize },
    GlobalAvgPool { plan: GlobalAvgPool2d, input: usize, output: usize },
    GatedSum { plan: ScaleAddRelu, input: usize, gate: usize, residual: usize, output: usize },
    Head { plan: Matmul, input: usize, output: usize },
}

/// Where a convolution's weights come from.
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
}

/// The network as a list of planned layers over numbered tensors; tensor 0 is the input.
struct Graph<'a> {
    context: &'a Context,
    options: &'a BackboneOptions,
    layers: Vec<Layer>,
    tensors: Vec<Tensor>,
    tapped: Vec<(Tap, usize)>,
}

impl<'a> Graph<'a> {
    fn new(context: &'a Context, network: &Network, options: &'a BackboneOptions) -> Result<Self, Error> {
        let pixels = options.batch * options.input_size[0] * options.input_size[1];
        let input = Tensor { len: pixels as u64 * 3, kept: true };
        let mut graph = Graph { context, options, layers: Vec::new(), tensors: vec![input], tapped: Vec::new() };
        let last = options.taps.iter().max().copied().unwrap_or(Tap::Features);
        let mut size = options.input_size;
        let mut x = 0;
        for conv in &network.stem {
            x = graph.conv(conv, &mut size, x, None)?;
        }
        graph.tap(Tap::Stem, x);
        if last > Tap::Stem {
            x = graph.max_pool(network, &mut size, x)?;
            graph.tap(Tap::Pool, x);
        }
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
        self.tensors.push(Tensor { len: len as u64, kept: false });
        self.tensors.len() - 1
    }

    fn tap(&mut self, tap: Tap, tensor: usize) {
        if self.options.taps.contains(&tap) {
            self.tensors[tensor].kept = true;
            self.tapped.push((tap, tensor));
        }
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
            x = self.conv(conv, size, x, residual)?;
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
        self.conv(&shortcut.conv, &mut size, input, None)
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

    /// Plans a convolution on an image of `size`, which becomes the output's.
    fn conv(
        &mut self,
        spec: &ConvSpec,
        size: &mut [usize; 2],
        input: usize,
        residual: Option<usize>,
    ) -> Result<usize, Error> {
        let desc = Conv2dDesc {
            batch: self.options.batch as u32,
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
        self.layers.push(Layer::Conv { plan, weights, input, residual, output });
        Ok(output)
    }

    fn max_pool(&mut self, network: &Network, size: &mut [usize; 2], input: usize) -> Result<usize, Error> {
        let pool = network.pool;
        let desc = MaxPool2dDesc {
            batch: self.options.batch as u32,
            height: size[0] as u32,
            width: size[1] as u32,
            channels: network.stem.last().map_or(0, |conv| conv.out_channels) as u32,
            kernel: [pool.kernel as u32; 2],
            stride: [pool.stride as u32; 2],
            padding: [pool.padding as u32; 2],
            dilation: [1, 1],
        };
        let plan = MaxPool2d::new(self.context, &desc)?;
        *size = pool.output_size(*size);
        let output = self.tensor(desc.output_len() as usize);
        self.layers.push(Layer::MaxPool { plan, input, output });
        Ok(output)
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
        let slice = |tensor: usize| slots[arena.places[tensor]].slice(0..self.tensors[tensor].len * 4);
        let size = self.layers.iter().map(Layer::workspace_size).fold(WorkspaceSize::default(), WorkspaceSize::union);
        let workspace = Workspace::new(context, size)?;
        let mut weight_bytes = 0;
        let mut commands = Vec::new();
        for layer in &self.layers {
            commands.push(match layer {
                Layer::Conv { plan, weights: stored, input, residual, output } => {
                    let (weight, bias) = stored.read(weights)?;
                    let packed: Conv2dWeights = plan.weights(queue, &weight, Some(&bias))?;
                    queue.submit([]);
                    weight_bytes += packed.bytes();
                    let buffers =
                        Conv2dBuffers { input: slice(*input), residual: residual.map(slice), output: slice(*output) };
                    plan.bind_in(&workspace, &packed, &buffers)?
                }
                Layer::MaxPool { plan, input, output } => plan.bind_in(&workspace, slice(*input), slice(*output))?,
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
                    weight_bytes += weight.size() + bias.size();
                    let buffers = MatmulBuffers {
                        a: slice(*input),
                        b: weight.slice(..),
                        bias: Some(bias.slice(..)),
                        output: slice(*output),
                    };
                    plan.bind_in(&workspace, &buffers)?
                }
            });
        }
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
            ring: Ring::default(),
            arena_bytes: arena.slots.iter().map(|len| len * 4).sum(),
            workspace_bytes: size.total_bytes(),
            weight_bytes,
        })
    }
}
