//! The weights on the device and the steps that change them: forward, loss, backward, update.

use kernels::wgpu::Buffer;
use kernels::wgpu::util::{BufferInitDescriptor, DeviceExt as _};
use kernels::{
    Commands, Dense, DenseDesc, Reduction, SoftmaxCrossEntropy, SoftmaxCrossEntropyBuffers, SoftmaxCrossEntropyDesc,
    Workspace, encode_all,
};

use crate::error::Result;
use crate::head::buffers::{ALIGNMENT, count, slice, zeros};
use crate::head::options::TrainOptions;
use crate::head::problem::Classed;
use crate::head::solve::update::{Parameter, Update};
use crate::head::standardise::Standard;
use crate::head::table::{Memory, Table, row_of};
use crate::machine::gpu::Gpu;

/// A label that no class has: the sample doesn't count.
const IGNORED: u32 = u32::MAX;

/// Weights with what changes them. Every step of a submit has its own slot in the inputs, and so its own commands.
pub(crate) struct Learner<'a> {
    gpu: &'a Gpu,
    samples: &'a Classed<'a>,
    class_weights: &'a [f32],
    options: &'a TrainOptions,
    table: Table<'a>,
    /// Features a row.
    width: usize,
    /// `[classes, row]`, biases among them.
    pub weight: Buffer,
    /// The weights of the best epoch so far.
    best: Buffer,
    labels: Buffer,
    sample_weights: Buffer,
    loss: Buffer,
    slots: Vec<Slot>,
    batch: usize,
    /// Elements from one slot to the next in labels, weights and losses.
    stride: usize,
}

/// What a step of a submit records.
struct Slot {
    backward: Vec<Commands>,
    update: Update,
}

impl Slot {
    /// Lists all commands of a step, in order.
    fn commands(&self) -> impl Iterator<Item = &Commands> {
        self.backward.iter().chain([self.update.commands()])
    }
}

impl<'a> Learner<'a> {
    /// Sends the samples to the device and plans the steps of a submit; the weights are zero.
    ///
    /// # Errors
    /// The device has too little memory, or is lost.
    pub fn new(
        memory: &Memory<'a>,
        samples: &'a Classed<'a>,
        standard: &'a Standard,
        class_weights: &'a [f32],
        options: &'a TrainOptions,
    ) -> Result<Self> {
        let gpu = memory.gpu;
        let context = &gpu.context;
        let (classes, all) = (class_weights.len(), samples.len());
        let width = standard.width();
        let (row, one) = row_of(width);
        let batch = options.batch_of(all);
        // A step's rows are whole groups of four, the last ones standing in for none.
        let places = batch.next_multiple_of(4);
        let table = Table::new(memory, samples.rows, standard, places, all.div_ceil(batch))?;
        let [m, k, n] = [count("the batch", places)?, count("features", row)?, count("classes", classes)?];
        let zeros = |label, elements: usize| zeros(&gpu.device, label, elements);
        let (weight, best) = (zeros("weight", classes * row), zeros("best weight", classes * row));
        let slots = table.most / places;
        let stride = places.next_multiple_of(ALIGNMENT);
        let [labels, sample_weights, loss] =
            ["labels", "sample weights", "loss"].map(|label| zeros(label, slots * stride));
        let (logits, grad_logits) = (zeros("logits", places * classes), zeros("grad_logits", places * classes));
        let weights_of_classes = gpu.device.create_buffer_init(&BufferInitDescriptor {
            label: Some("class weights"),
            contents: bytemuck::cast_slice(class_weights),
            usage: kernels::OPERAND_USAGES,
        });
        let parameter = Parameter {
            value: &weight,
            grad: zeros("gradient", classes * row),
            memory: [zeros("mean gradient", classes * row), zeros("mean squared gradient", classes * row)],
            len: count("weights", classes * row)?,
            row: k,
            decayed: count("features", one)?,
        };
        let layer = Dense::new(context, &DenseDesc { batch: m, width: k, classes: n })?;
        // The mean of a batch by its samples' weights, which the host knows: no dispatch has to find it.
        let of_loss = SoftmaxCrossEntropy::new(
            context,
            &SoftmaxCrossEntropyDesc {
                label_smoothing: options.label_smoothing,
                reduction: Reduction::Sum,
                class_weights: true,
                sample_weights: true,
                classes_first: true,
                ..SoftmaxCrossEntropyDesc::new(m, n)
            },
        )?;
        let workspace = Workspace::new(context, layer.workspace_size())?;
        let slot = |slot: usize| -> Result<Slot> {
            let first = count("rows", slot * places)?;
            let losses = SoftmaxCrossEntropyBuffers {
                logits: logits.slice(..),
                labels: slice(&labels, slot, stride, places),
                class_weights: Some(weights_of_classes.slice(..)),
                sample_weights: Some(slice(&sample_weights, slot, stride, places)),
                loss: slice(&loss, slot, stride, places),
                grad_logits: Some(grad_logits.slice(..)),
            };
            let (grad_logits, grad) = (grad_logits.slice(..), parameter.grad.slice(..));
            Ok(Slot {
                backward: vec![
                    layer.bind_forward(&workspace, table.on_device.batch(first), weight.slice(..), logits.slice(..))?,
                    of_loss.bind(&losses)?,
                    layer.bind_backward(&workspace, table.on_device.batch(first), grad_logits, grad)?,
                ],
                update: parameter.update(context, options)?,
            })
        };
        let slots = (0..slots).map(slot).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            gpu,
            samples,
            class_weights,
            options,
            table,
            width,
            weight,
            best,
            labels,
            sample_weights,
            loss,
            slots,
            batch,
            stride,
        })
    }

    /// Counts the steps of an epoch.
    fn steps(&self) -> usize {
        self.samples.len().div_ceil(self.batch)
    }

    /// Takes the steps of an epoch, on all rows in this order, and gives the sum of their losses.
    ///
    /// # Errors
    /// The device is lost.
    pub fn learn(&self, order: &[usize], epoch: usize) -> Result<f64> {
        let submits = order.chunks(self.slots.len() * self.batch).enumerate();
        submits.map(|(i, rows)| self.submit(rows, epoch * self.steps() + i * self.slots.len())).sum()
    }

    /// Takes some steps, of which the `first` in the training is given, and gives the sum of their losses.
    fn submit(&self, rows: &[usize], first: usize) -> Result<f64> {
        let gpu = self.gpu;
        let places = self.batch.next_multiple_of(4);
        let steps = rows.len().div_ceil(self.batch);
        let mut placed = vec![0; steps * places];
        let mut labels = vec![IGNORED; steps * self.stride];
        let mut weights = vec![0f32; steps * self.stride];
        for (step, batch) in rows.chunks(self.batch).enumerate() {
            placed[step * places..][..batch.len()].copy_from_slice(batch);
            let of = batch.iter().map(|&row| self.samples.classes()[row].index());
            labels[step * self.stride..].iter_mut().zip(of.clone()).for_each(|(to, class)| *to = class as u32);
            let own = batch.iter().map(|&row| self.samples.weight(row));
            let all: f64 = of.zip(own.clone()).map(|(class, own)| f64::from(self.class_weights[class]) * own).sum();
            let share = if all > 0.0 { 1.0 / all } else { 0.0 };
            weights[step * self.stride..].iter_mut().zip(own).for_each(|(to, own)| *to = (own * share) as f32);
        }
        self.table.place(&placed)?;
        gpu.queue.write_buffer(&self.labels, 0, bytemuck::cast_slice(&labels));
        gpu.queue.write_buffer(&self.sample_weights, 0, bytemuck::cast_slice(&weights));
        for (slot, step) in self.slots[..steps].iter().zip(first..) {
            let rate = self.options.learning_rate_at(step, self.steps());
            slot.update.set_step(&gpu.queue, rate, count("steps", step + 1)?);
        }
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        encode_all(&mut encoder, self.slots[..steps].iter().flat_map(Slot::commands));
        gpu.queue.submit([encoder.finish()]);
        let losses: Vec<f32> = gpu.read(&self.loss)?;
        // A slot's losses add up to the mean over its batch.
        let sums = losses.chunks(self.stride).zip(rows.chunks(self.batch));
        Ok(sums
            .map(|(losses, batch)| {
                batch.len() as f64 * losses[..batch.len()].iter().copied().map(f64::from).sum::<f64>()
            })
            .sum())
    }

    /// Keeps the present weights as the best.
    pub fn keep(&self) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&self.weight, 0, &self.best, 0, self.best.size());
        self.gpu.queue.submit([encoder.finish()]);
    }

    /// Reads the best weights, `[classes, width + 1]` with the biases last.
    ///
    /// # Errors
    /// The device is lost.
    pub fn best(&self) -> Result<Vec<f64>> {
        let (row, one) = row_of(self.width);
        let weights: Vec<f32> = self.gpu.read(&self.best)?;
        let rows = weights.chunks_exact(row);
        Ok(rows.flat_map(|row| row[..self.width].iter().chain([&row[one]])).copied().map(f64::from).collect())
    }
}
