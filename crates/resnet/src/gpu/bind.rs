//! Allocates what a plan needs, uploads the weights and ties both to the kernels.

use kernels::wgpu::{Buffer, BufferDescriptor, BufferSlice, BufferUsages, Device, Queue};
use kernels::{
    Commands, Context, Conv2dBuffers, Conv2dWeights, MatmulBuffers, Normalize, OverflowFlags, Precision,
    ScaleAddReluBuffers, Workspace, encode_first_use,
};

use super::plan::{Kernel, Plan};
use super::upload::upload;
use crate::error::Error;
use crate::graph::Layer;
use crate::weights::WeightFile;

/// A plan's commands and the buffers that they work on.
pub(super) struct Bound {
    /// The commands of each layer.
    pub commands: Vec<Commands>,
    /// What the first layer does where the photos come as bytes, if the device normalises them.
    pub bytes: Option<BytesInput>,
    arena: Vec<Buffer>,
    /// A flag of each layer, where tensors are f16.
    pub overflow: Option<OverflowFlags>,
}

/// The first layer, where it takes photos as bytes: they lie at the start of the buffer of the photos.
#[derive(Debug)]
pub(super) struct BytesInput {
    /// What each byte of red, green and blue becomes.
    pub table: Buffer,
    pub commands: Commands,
}

impl Bound {
    /// Gives the buffer of a tensor that is kept.
    pub fn buffer(&self, plan: &Plan, tensor: usize) -> Buffer {
        self.arena[plan.place(tensor).0].clone()
    }
}

/// Binds every layer. The driver compiles what they need, while other threads read, fold and pack the weights.
pub(super) fn bind(plan: &Plan, context: &Context, queue: &Queue, file: &WeightFile) -> Result<Bound, Error> {
    let device = context.device();
    let arena = allocate(device, &plan.arena.buffers)?;
    let workspace = Workspace::new(context, plan.workspace_size())?;
    let halved = plan.precision(plan.graph.layers[0].writes) == Precision::F16;
    let overflow = halved.then(|| OverflowFlags::new(device, plan.kernels.len())).transpose()?;
    let mut commands: Vec<Commands> = Vec::new();
    let mut bytes = None;
    std::thread::scope(|scope| {
        let mut packed = upload(scope, device, queue, file, &plan.weights);
        let mut binder =
            Binder { plan, device, queue, file, arena: &arena, workspace: &workspace, weights: Vec::new() };
        let mut used = Vec::new();
        for (number, (layer, kernel)) in plan.graph.layers.iter().zip(&plan.kernels).enumerate() {
            if let Kernel::Conv(_, weights) = kernel
                && *weights == binder.weights.len()
            {
                binder.weights.push(packed.next()?);
            }
            let kernel = match &overflow {
                Some(flags) => &kernel.watched(&flags.flag(number)?),
                None => kernel,
            };
            let bound = binder.bind(layer, kernel)?;
            let mut encoder = device.create_command_encoder(&Default::default());
            encode_first_use(&mut encoder, &bound, &mut used);
            if let Kernel::Convert { bytes: plan, .. } = kernel {
                let input = binder.bytes(layer, plan)?;
                encode_first_use(&mut encoder, &input.commands, &mut used);
                bytes = Some(input);
            }
            commands.push(bound);
            queue.submit([encoder.finish()]);
        }
        Ok::<(), Error>(())
    })?;
    Ok(Bound { commands, bytes, arena, overflow })
}

fn allocate(device: &Device, words: &[u64]) -> Result<Vec<Buffer>, Error> {
    let allowed = device.limits().max_buffer_size;
    if let Some(needed) = words.iter().map(|words| words * 4).find(|&bytes| bytes > allowed) {
        let (what, limit) = ("bytes of an activation", "max_buffer_size");
        return Err(kernels::Error::Limit { op: "resnet", what, needed, limit, allowed }.into());
    }
    Ok(words.iter().map(|words| buffer(device, "resnet activations", words * 4)).collect())
}

fn buffer(device: &Device, label: &str, size: u64) -> Buffer {
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
    device.create_buffer(&BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
}

/// What layers are bound to.
struct Binder<'a> {
    plan: &'a Plan,
    device: &'a Device,
    queue: &'a Queue,
    file: &'a WeightFile,
    arena: &'a [Buffer],
    workspace: &'a Workspace,
    /// The weights of convolutions, as far as they are packed.
    weights: Vec<Conv2dWeights>,
}

impl Binder<'_> {
    /// Gives the part of the arena in which a tensor lives.
    fn slice(&self, tensor: usize) -> BufferSlice<'_> {
        let (buffer, first, words) = self.plan.place(tensor);
        self.arena[buffer].slice(first * 4..(first + words) * 4)
    }

    /// Binds the first layer for photos that come as bytes.
    fn bytes(&self, layer: &Layer, plan: &Normalize) -> Result<BytesInput, Error> {
        let table = buffer(self.device, "resnet normalisation", Normalize::TABLE * 4);
        let input = self.slice(layer.reads[0]).slice(..plan.desc().input_words() * 4);
        let commands = plan.bind(input, table.slice(..), self.slice(layer.writes))?;
        Ok(BytesInput { table, commands })
    }

    fn bind(&self, layer: &Layer, kernel: &Kernel) -> Result<Commands, Error> {
        let slice = |tensor: usize| self.slice(tensor);
        let (input, output) = (slice(layer.reads[0]), slice(layer.writes));
        let commands = match kernel {
            Kernel::Convert { floats, .. } => floats.bind(input, output),
            Kernel::Conv(plan, weights) => {
                let residual = layer.reads.get(1).map(|&tensor| slice(tensor));
                plan.bind_in(self.workspace, &self.weights[*weights], &Conv2dBuffers { input, residual, output })
            }
            Kernel::MaxPool(plan) => plan.bind_in(self.workspace, input, output),
            Kernel::AvgPool(plan) => plan.bind(input, output),
            Kernel::GlobalAvgPool(plan) => plan.bind(input, output),
            Kernel::GatedSum(plan) => {
                let (gate, residual) = (slice(layer.reads[1]), slice(layer.reads[2]));
                plan.bind(&ScaleAddReluBuffers { input, gate, residual, output })
            }
            Kernel::Head(plan) => {
                let head = self.file.head()?;
                let (weight, bias) = (self.upload(&head.weight), self.upload(&head.bias));
                let (b, bias) = (weight.slice(..), Some(bias.slice(..)));
                plan.bind_in(self.workspace, &MatmulBuffers { a: input, b, bias, output })
            }
        };
        Ok(commands?)
    }

    /// Makes a buffer that holds these values as soon as something is submitted.
    fn upload(&self, values: &[f32]) -> Buffer {
        let target = buffer(self.device, "resnet head", values.len() as u64 * 4);
        self.queue.write_buffer(&target, 0, bytemuck::cast_slice(values));
        target
    }
}
