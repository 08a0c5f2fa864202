//! A frozen network on a device: uploads a batch, runs the kernels in slices, reads what is tapped back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kernels::wgpu::{Buffer, BufferSlice, CommandEncoder, Device, DeviceType, Queue, SubmissionIndex};
use kernels::{Commands, Context, Cost, Normalize, OverflowFlags, encode_all};

use super::bind::{BytesInput, bind};
use super::layers::PlannedLayer;
use super::plan::{BackboneOptions, Memory, Plan};
use super::read::{TensorShape, read, wait, words};
use super::ring::{Ring, Staging};
use super::slices::{Slices, Slicing};
use crate::architecture::Architecture;
use crate::arena::Tensor;
use crate::engine::{Engine, Pending, Tap};
use crate::error::Error;
use crate::tensor::{ImageBytes, ImageTensor, look_up};
use crate::weights::WeightFile;

/// A frozen ResNet on a device: planned once, run for batch after batch.
///
/// BatchNorm is folded into the convolutions, ReLU and the residual addition are fused into them or, behind channel
/// attention, into the gate's product. A pass is recorded
/// into one encoder; activations live in an arena of few buffers that layers reuse as soon as nothing reads them any more.
///
/// # Shapes
/// Input `[batch, height, width, 3]`, NHWC, as the weights' [`Recipe`](crate::Recipe) says: f32, normalised ([`ImageTensor`]), or bytes that
/// are yet to be ([`ImageBytes`]). A GPU does that itself, by a table of what each byte becomes, so that both give the same to
/// the last bit and bytes take a quarter of the upload; a software adapter's are normalised on the way into its memory.
/// Outputs as [`Tap`] says.
///
/// # Numerics
/// f32 throughout; within a relative 1e-4 of PyTorch's at every stage. With [`Precision::F16`](kernels::Precision::F16) activations and weights are
/// stored in f16; sums, biases, Winograd's transformed values, gates, features and head stay f32. Every stage is then within a
/// relative root mean square of 0.3 % of PyTorch's (measured: 0.02 to 0.11 %), features have a cosine of 0.9999 or more with f32's
/// (measured: 0.9999998). What f16 can't hold is [`Error::Overflow`], which names the layer,
/// when the pass is waited for.
///
/// # Reference
/// He et al., *Deep Residual Learning for Image Recognition*, 2015; Xie et al., *Aggregated Residual Transformations*, 2016;
/// Zagoruyko and Komodakis, *Wide Residual Networks*, 2016; He et al., *Bag of Tricks for Image Classification*, 2019; Hu et al.,
/// *Squeeze-and-Excitation Networks*, 2018; Wang et al., *ECA-Net*, 2020.
///
/// # Example
/// ```no_run
/// # fn example(device: &kernels::wgpu::Device, queue: &kernels::wgpu::Queue, photos: &[resnet::ImageBytes])
/// #     -> Result<(), resnet::Error> {
/// use resnet::{Backbone, BackboneOptions, Engine, Tap, WeightFile};
/// let weights = WeightFile::open("resnet18.safetensors")?;
/// let context = kernels::Context::new(device)?;
/// let backbone = Backbone::new(&context, queue, &weights, &BackboneOptions::new(8))?;
/// let features = backbone.submit_bytes(photos)?.wait(Tap::Features)?;
/// assert_eq!(features.len(), photos.len() * backbone.len_of(Tap::Features).unwrap());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Backbone {
    memory: Memory,
    device: Device,
    queue: Queue,
    batch: usize,
    input_size: [usize; 2],
    input: Buffer,
    taps: Vec<Tapped>,
    layers: Vec<PlannedLayer>,
    commands: Vec<Commands>,
    /// The first layer for photos as bytes, where the device normalises them.
    bytes: Option<BytesInput>,
    overflow: Option<Watch>,
    ring: Ring,
    slices: Slices,
}

/// What tells that f16 was too small in a layer.
#[derive(Clone, Debug)]
struct Watch {
    flags: OverflowFlags,
    /// The layers' names.
    layers: Arc<[String]>,
}

impl Watch {
    /// Gives [`Error::Overflow`] if a flag is set in what was read back.
    fn check(&self, words: &[u32]) -> Result<(), Error> {
        match self.flags.first(words) {
            Some(layer) => Err(Error::Overflow { layer: self.layers[layer].clone() }),
            None => Ok(()),
        }
    }
}

/// What can be read of a pass.
#[derive(Debug)]
struct Tapped {
    tap: Tap,
    buffer: Buffer,
    /// The values of one image.
    shape: TensorShape,
}

impl Tapped {
    /// Describes the values of so many images.
    fn of(&self, images: usize) -> TensorShape {
        TensorShape { pixels: self.shape.pixels * images, ..self.shape }
    }
}

impl Backbone {
    /// Plans the network of `weights` on the context's device and uploads it.
    ///
    /// Other threads read, fold and pack weights; they submit each piece and wait for it a little later, so that the weights aren't in
    /// host memory all at once. Meanwhile layers are bound, and the driver compiles what they need.
    ///
    /// # Errors
    /// [`Error::Options`] for an empty batch, image or list of taps; [`Error::NoHead`] when logits are asked of a file
    /// without a head; [`Error::Kernels`] when the device can't hold or run a layer; [`Error::Weight`] for weights that can't be stored as the options say;
    /// [`Error::Device`] when it is lost; what reading the weights gives.
    pub fn new(
        context: &Context,
        queue: &Queue,
        weights: &WeightFile,
        options: &BackboneOptions,
    ) -> Result<Self, Error> {
        let plan = Plan::new(context, weights.architecture(), options)?;
        let bound = bind(&plan, context, queue, weights)?;
        let taps = plan.graph.taps.iter().map(|&(tap, tensor)| {
            let Tensor { pixels, channels, .. } = plan.graph.tensors[tensor];
            let shape = TensorShape { pixels: pixels / options.batch, channels, precision: plan.precision(tensor) };
            Tapped { tap, buffer: bound.buffer(&plan, tensor), shape }
        });
        let device = context.device();
        let slicing = match options.slicing {
            Slicing::Auto if device.adapter_info().device_type == DeviceType::Cpu => Slicing::Whole,
            Slicing::Auto => Slicing::Time(Duration::from_millis(100)),
            slicing => slicing,
        };
        let layers = plan.described();
        let names = layers.iter().map(|layer| layer.name.clone()).collect();
        Ok(Self {
            memory: plan.memory(),
            device: device.clone(),
            queue: queue.clone(),
            batch: options.batch,
            input_size: options.input_size,
            input: bound.buffer(&plan, 0),
            taps: taps.collect(),
            slices: Slices::new(slicing, layers.iter().map(PlannedLayer::work).collect()),
            layers,
            commands: bound.commands,
            bytes: bound.bytes,
            overflow: bound.overflow.map(|flags| Watch { flags, layers: names }),
            ring: Ring::default(),
        })
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
        Ok(Plan::new(context, architecture, options)?.memory())
    }

    /// What it takes on the device.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// What a pass costs.
    pub fn cost(&self) -> Cost {
        Cost::of(&self.commands)
    }

    /// A tap's buffer, if it was asked for (STORAGE, COPY_SRC). Features and logits are f32; the others are f16 tensors in a
    /// backbone of [`Precision::F16`](kernels::Precision::F16).
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
}

impl Engine for Backbone {
    fn batch(&self) -> usize {
        self.batch
    }

    fn input_size(&self) -> [usize; 2] {
        self.input_size
    }

    fn len_of(&self, tap: Tap) -> Option<usize> {
        self.tapped(tap).map(|tapped| tapped.shape.pixels * tapped.shape.channels)
    }

    /// Uploads up to a batch of images, runs the network in as few submits as [`Slicing`] allows and starts reading the taps back.
    ///
    /// The device works while the caller prepares the next batch; [`Pending::wait`] collects. The next may be submitted before:
    /// then the device goes from one to the other without a pause. Each batch on its way has memory of its own on the host's
    /// side, used again by later ones. Passes that are measured are waited for here. A pass costs the same however few images it
    /// is given.
    ///
    /// # Errors
    /// As [`Engine::check`]; [`Error::Device`] when there is no memory to upload from, or the device was lost while a pass was measured.
    fn submit(&self, images: &[ImageTensor]) -> Result<Pending, Error> {
        self.check(images)?;
        let staging = self.staging(self.input.size());
        let (upload, bytes) = staging.fill(|writer| {
            images.iter().for_each(|image| writer.push(bytemuck::cast_slice(&image.data)));
        })?;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.upload(&mut encoder, upload.slice(..bytes));
        self.start(encoder, &self.commands[0], staging, images.len())
    }

    /// Does as [`submit`](Self::submit) does with photos that aren't normalised yet.
    fn submit_bytes(&self, images: &[ImageBytes]) -> Result<Pending, Error> {
        self.check_bytes(images)?;
        let table = images[0].table();
        let Some(BytesInput { table: target, commands }) = &self.bytes else {
            let staging = self.staging(self.input.size());
            let width = self.input_size[1] * 3;
            let mut row = vec![0.0; width];
            let (upload, bytes) = staging.fill(|writer| {
                for bytes in images.iter().flat_map(|image| image.data.chunks_exact(width)) {
                    look_up(&table, bytes, &mut row);
                    writer.push(bytemuck::cast_slice(&row));
                }
            })?;
            let mut encoder = self.device.create_command_encoder(&Default::default());
            self.upload(&mut encoder, upload.slice(..bytes));
            return self.start(encoder, &self.commands[0], staging, images.len());
        };
        // Three bytes a pixel: a fourth would have the thread that submits widen what it now copies, and a third more to upload.
        let head = Normalize::TABLE * 4;
        let staging = self.staging(head + (self.input.size() / 4).next_multiple_of(4));
        let (upload, bytes) = staging.fill(|writer| {
            writer.push(bytemuck::cast_slice(table.as_flattened()));
            images.iter().for_each(|image| writer.push(&image.data));
        })?;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(upload, 0, target, 0, head);
        self.upload(&mut encoder, upload.slice(head..bytes));
        self.start(encoder, commands, staging, images.len())
    }
}

impl Backbone {
    /// Takes memory on the host's side for a batch of so many bytes.
    fn staging(&self, upload: u64) -> Staging {
        let taps = self.taps.iter().map(|tapped| tapped.of(self.batch).bytes());
        let flags = self.overflow.as_ref().map(|watch| watch.flags.buffer().size());
        self.ring.take(&self.device, upload, taps.chain(flags))
    }

    /// Records the upload of photos. Those of an earlier pass behind them must not set flags.
    fn upload(&self, encoder: &mut CommandEncoder, photos: BufferSlice<'_>) {
        encoder.copy_buffer_to_buffer(photos.buffer(), photos.offset(), &self.input, 0, photos.size());
        if self.overflow.is_some() && photos.size() < self.input.size() {
            encoder.clear_buffer(&self.input, photos.size(), None);
        }
    }

    /// Runs the network behind what `encoder` uploads, with `first` as its first layer.
    fn start(
        &self,
        mut encoder: CommandEncoder,
        first: &Commands,
        staging: Staging,
        images: usize,
    ) -> Result<Pending, Error> {
        let (ranges, measure) = self.slices.next();
        let mut times = Vec::new();
        if measure {
            // What is under way is no part of the first slice's time.
            wait(&self.device, self.queue.submit([]))?;
        }
        let flags = self.overflow.as_ref().map(|watch| &watch.flags);
        if let Some(flags) = flags {
            flags.clear(&mut encoder);
        }
        for (place, range) in ranges.iter().enumerate() {
            let layers = range.clone().map(|layer| if layer == 0 { first } else { &self.commands[layer] });
            encode_all(&mut encoder, layers);
            if measure || place + 1 < ranges.len() {
                let slice = std::mem::replace(&mut encoder, self.device.create_command_encoder(&Default::default()));
                let start = Instant::now();
                let submission = self.queue.submit([slice.finish()]);
                if measure {
                    wait(&self.device, submission)?;
                    times.push((range.clone(), start.elapsed()));
                }
            }
        }
        if measure {
            self.slices.measured(&times);
        }
        for (tapped, target) in self.taps.iter().zip(&staging.read_back) {
            encoder.copy_buffer_to_buffer(&tapped.buffer, 0, target, 0, tapped.of(images).bytes());
        }
        if let (Some(flags), Some(target)) = (flags, staging.read_back.last()) {
            encoder.copy_buffer_to_buffer(flags.buffer(), 0, target, 0, flags.buffer().size());
        }
        let submission = self.queue.submit([encoder.finish()]);
        staging.reclaim();
        let taps = self.taps.iter().map(|tapped| (tapped.tap, tapped.of(images))).collect();
        let (device, ring, overflow) = (self.device.clone(), self.ring.clone(), self.overflow.clone());
        let flying = Flying { device, submission, taps, overflow, staging: Some(staging), ring };
        Ok(Pending::new(move |tap| flying.read(tap)))
    }
}

/// A batch on its way.
struct Flying {
    device: Device,
    submission: SubmissionIndex,
    /// The taps, each with what is read of it.
    taps: Vec<(Tap, TensorShape)>,
    overflow: Option<Watch>,
    /// Its memory on the host's side; taken only by `drop`.
    staging: Option<Staging>,
    ring: Ring,
}

impl Flying {
    fn read(&self, tap: Tap) -> Result<Vec<f32>, Error> {
        let place = self.taps.iter().position(|(name, _)| *name == tap);
        let (Some(place), Some(staging)) = (place, &self.staging) else {
            return Err(Error::Options(format!("{tap:?} isn't among the taps that the backbone was made with")));
        };
        if let (Some(watch), Some(flags)) = (&self.overflow, staging.read_back.last()) {
            watch.check(&words(&self.device, self.submission.clone(), flags, flags.size())?)?;
        }
        read(&self.device, self.submission.clone(), &staging.read_back[place], self.taps[place].1)
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        if let Some(staging) = self.staging.take() {
            self.ring.give(staging);
        }
    }
}
