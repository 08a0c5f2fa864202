//! The training itself, on the adapter.

use kernels::wgpu::{self, Buffer, BufferUsages, util::DeviceExt as _};
use kernels::{
    AdamW, AdamWBuffers, AdamWDesc, BoundAdamW, BoundSgd, Commands, Context, Dense, DenseDesc, Reduction, RowTable,
    Sgd, SgdBuffers, SgdDesc, SoftmaxCrossEntropy, SoftmaxCrossEntropyBuffers, SoftmaxCrossEntropyDesc, Workspace,
    encode_all,
};
use rayon::prelude::*;

use super::{Epoch, Head, History, Optimizer, Samples, TrainOptions};
use crate::device::Gpu;
use crate::error::{Error, Result};
use crate::evaluate::{log_softmax, top};
use crate::progress::{Progress, Stage};
use crate::random::SplitMix64;

/// Steps recorded into one submit: enough that its cost vanishes, few enough that a GPU's watchdog stays calm.
const STEPS: usize = 64;
/// Photos of the validation part that are judged at a time.
const JUDGED: usize = 256;
/// Columns of features that a task sums.
const COLUMNS: usize = 64;
/// Bytes of features that are sent at once.
const PIECE: usize = 64 << 20;
/// The coarsest alignment of a binding's offset, in elements.
const ALIGNMENT: usize = 64;
/// A label that no class has: the sample doesn't count.
const IGNORED: u32 = u32::MAX;

/// Trains a head and keeps the one of the epoch with the lowest validation loss, or the last without validation.
///
/// Features are standardised by the training part (by feature, mean 0 and deviation 1), so that one learning rate suits every backbone; the head
/// that comes out takes them as they are. The first weights are zero. Each epoch takes the photos in a new order; a last batch
/// that isn't full counts as what it holds.
///
/// The validation loss is the mean of -w ln p(label) / mean w, w being the class weights, without smoothing.
///
/// # Errors
/// Options out of range; features or labels that don't fit; a loss that isn't finite any more; the device fails; the watcher
/// asks to stop.
pub fn train(
    gpu: &Gpu,
    samples: Samples<'_>,
    validation: Option<Samples<'_>>,
    classes: &[String],
    options: &TrainOptions,
    progress: &dyn Progress,
) -> Result<(Head, History)> {
    train_holding(usize::MAX, gpu, samples, validation, classes, options, progress)
}

/// As [`train`], on a device that holds no more than so many photos at a time.
fn train_holding(
    room: usize,
    gpu: &Gpu,
    samples: Samples<'_>,
    validation: Option<Samples<'_>>,
    classes: &[String],
    options: &TrainOptions,
    progress: &dyn Progress,
) -> Result<(Head, History)> {
    options.validate()?;
    let width = check(&samples, classes.len(), None)?;
    if let Some(validation) = &validation {
        check(validation, classes.len(), Some(width))?;
    }
    let standard = Standard::of(samples.features, width)?;
    let mut counts = vec![0; classes.len()];
    samples.labels.iter().for_each(|&label| counts[label] += 1);
    let class_weights = options.class_weights.of(&counts);

    let learner = Learner::new(room, gpu, samples, &standard, &class_weights, options, progress)?;
    let judge = validation.map(|samples| Judge::new(room, gpu, samples, &learner, progress)).transpose()?;
    let steps = samples.labels.len().div_ceil(learner.batch);

    let mut history = History::default();
    let mut lowest = f64::INFINITY;
    let mut order: Vec<usize> = (0..samples.labels.len()).collect();
    let mut random = SplitMix64(options.seed);
    progress.begin(Stage::Head, options.epochs);
    let mut epochs = || -> Result<()> {
        for epoch in 0..options.epochs {
            if progress.cancelled() {
                return Err(Error::Interrupted);
            }
            shuffle(&mut order, &mut random);
            let loss = learner.learn(gpu, &order, epoch, options)?;
            let mut figures = Epoch {
                train_loss: loss / order.len() as f64,
                validation_loss: None,
                validation_top1: None,
                learning_rate: options.learning_rate_at((epoch + 1) * steps - 1, steps),
            };
            if let Some(judge) = &judge {
                let (loss, top1) = judge.judge(gpu, &class_weights)?;
                (figures.validation_loss, figures.validation_top1) = (Some(loss), Some(top1));
            }
            let decisive = figures.validation_loss.unwrap_or(figures.train_loss);
            if !(decisive.is_finite() && figures.train_loss.is_finite()) {
                let what = format!("the loss of epoch {} (try a lower learning rate)", epoch + 1);
                return Err(Error::NotFinite { operation: "train", what });
            }
            if judge.is_none() || decisive < lowest {
                lowest = decisive;
                history.best = epoch;
                learner.keep(gpu);
            }
            history.epochs.push(figures);
            let of_validation = match (figures.validation_loss, figures.validation_top1) {
                (Some(loss), Some(top1)) => format!(", validation {loss:.3} ({:.1} % right)", 100.0 * top1),
                _ => String::new(),
            };
            progress.note(&format!("loss {:.3}{of_validation}", figures.train_loss));
            progress.advance(1);
            if options.patience.is_some_and(|patience| epoch >= history.best + patience) {
                break;
            }
        }
        Ok(())
    };
    let outcome = epochs();
    progress.end();
    outcome?;
    let (weight, bias) = learner.best(gpu)?;
    let (weight, bias) = standard.fold(&weight, &bias);
    Ok((Head { weight, bias, classes: classes.to_vec() }, history))
}

/// Checks that features and labels fit, and gives the number of features a photo.
fn check(samples: &Samples<'_>, classes: usize, width: Option<usize>) -> Result<usize> {
    let (count, got) = (samples.labels.len(), samples.features.len());
    let shape = |operand, expected, got| Err(Error::Shape { operation: "train", operand, expected, got });
    if count == 0 {
        return shape("labels", 1, 0);
    }
    let width = width.unwrap_or(got / count);
    if width == 0 || got != count * width {
        return shape("features", count * width.max(1), got);
    }
    if let Some(&label) = samples.labels.iter().find(|&&label| label >= classes) {
        return shape("classes", label + 1, classes);
    }
    Ok(width)
}

/// How features are standardised: z = (x − mean) / deviation, by feature.
///
/// A hundredth of the mean variance of all features is added to each one's, so that a feature that hardly ever changes isn't blown up.
struct Standard {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Standard {
    fn of(features: &[f32], width: usize) -> Result<Self> {
        let count = (features.len() / width) as f64;
        // Some columns a task, each summed from the first photo to the last: the same on any number of cores.
        let sums = |term: &(dyn Fn(usize, f32) -> f64 + Sync)| {
            let mut sums = vec![0.0; width];
            sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, sums)| {
                let first = chunk * COLUMNS;
                for row in features.chunks_exact(width) {
                    let columns = row[first..][..sums.len()].iter().enumerate();
                    sums.iter_mut().zip(columns).for_each(|(sum, (i, &x))| *sum += term(first + i, x));
                }
            });
            sums.iter_mut().for_each(|sum| *sum /= count);
            sums
        };
        let mean = sums(&|_, x| f64::from(x));
        let variance = sums(&|i, x| (f64::from(x) - mean[i]).powi(2));
        let floor = 0.01 * variance.iter().sum::<f64>() / width as f64;
        if !floor.is_finite() {
            return Err(Error::NotFinite { operation: "train", what: "one of the features".to_owned() });
        }
        // Where no feature ever changes there is nothing to divide by, and nothing to learn from.
        let deviation =
            variance.iter().map(|variance| if floor > 0.0 { (variance + floor).sqrt() } else { 1.0 }).collect();
        Ok(Self { mean, deviation })
    }

    /// Standardises a photo's features into the first elements of `row`.
    fn apply(&self, features: &[f32], row: &mut [f32]) {
        let standard = self.mean.iter().zip(&self.deviation);
        row.iter_mut().zip(features).zip(standard).for_each(|((to, &x), (mean, deviation))| {
            *to = ((f64::from(x) - mean) / deviation) as f32;
        });
    }

    /// The head on features as they are, of one on standardised features: w / deviation, and b − Σ w mean / deviation.
    fn fold(&self, weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut folded, mut biases) = (Vec::with_capacity(weight.len()), Vec::with_capacity(bias.len()));
        for (row, &bias) in weight.chunks_exact(self.mean.len()).zip(bias) {
            let mut shift = f64::from(bias);
            for ((&w, mean), deviation) in row.iter().zip(&self.mean).zip(&self.deviation) {
                let w = f64::from(w) / deviation;
                shift -= w * mean;
                folded.push(w as f32);
            }
            biases.push(shift as f32);
        }
        (folded, biases)
    }
}

/// Fisher and Yates's shuffle.
fn shuffle(order: &mut [usize], random: &mut SplitMix64) {
    for last in (1..order.len()).rev() {
        order.swap(last, ((u128::from(random.bits()) * (last as u128 + 1)) >> 64) as usize);
    }
}

/// Photos on the device, standardised: all of them where the device can hold them, else those of one submit.
///
/// A row of the table is the photo's features, zeros up to a multiple of 4, and 1, 0, 0, 0: the weight of the 1 is the bias.
struct Photos<'a> {
    samples: Samples<'a>,
    standard: &'a Standard,
    table: RowTable,
    /// Photos of a submit.
    most: usize,
    resident: bool,
}

/// Elements of a row of a table, and in it where the 1 stands.
fn row_of(width: usize) -> (usize, usize) {
    let one = width.next_multiple_of(4);
    (one + 4, one)
}

impl<'a> Photos<'a> {
    /// Sends the photos, if they fit. A submit is for as many steps of `batch` photos as given, or fewer where that keeps
    /// memory small.
    fn new(
        room: usize,
        gpu: &Gpu,
        samples: Samples<'a>,
        standard: &'a Standard,
        batch: usize,
        steps: usize,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let (row, count) = (row_of(standard.mean.len()).0, samples.labels.len());
        let width = number("features", row)?;
        let table = |rows: usize, picks: usize| {
            let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
            let table = RowTable::new(&gpu.context, number("photos", rows)?, width, number("photos", picks)?);
            match pollster::block_on(scope.pop()) {
                Some(error) => Err(Error::Device(format!("no memory for {rows} rows of {row} features: {error}"))),
                None => Ok(table?),
            }
        };
        let steps = steps.min(STEPS);
        let fits = count <= room && count as u64 <= RowTable::capacity(&gpu.context, width);
        if let Some(table) = fits.then(|| table(count, steps * batch).ok()).flatten() {
            let photos = Self { samples, standard, table, most: steps * batch, resident: true };
            let all: Vec<usize> = (0..count).collect();
            photos.send(gpu, &all)?;
            return Ok(photos);
        }
        progress.warn(&format!("{count} photos of {row} features don't fit the adapter: each epoch sends them anew"));
        let most = steps.min(PIECE / (4 * row * batch)).max(1) * batch;
        let photos = Self { samples, standard, table: table(most, most)?, most, resident: false };
        let places: Vec<u32> = (0..most as u32).collect();
        photos.table.pick(&gpu.queue, &places)?;
        Ok(photos)
    }

    /// Makes these photos the ones that a submit is for, in their order; a multiple of 4, at most `most`.
    fn place(&self, gpu: &Gpu, photos: &[usize]) -> Result<()> {
        if !self.resident {
            return self.send(gpu, photos);
        }
        let picks: Vec<u32> = photos.iter().map(|&photo| photo as u32).collect();
        Ok(self.table.pick(&gpu.queue, &picks)?)
    }

    /// Writes photos into the table's rows, from the first on.
    fn send(&self, gpu: &Gpu, photos: &[usize]) -> Result<()> {
        let width = self.standard.mean.len();
        let (row, one) = row_of(width);
        let piece = (PIECE / (4 * row)).max(1);
        for (i, photos) in photos.chunks(piece).enumerate() {
            let mut rows = vec![0.0; photos.len() * row];
            rows.par_chunks_exact_mut(row).zip(photos).for_each(|(row, &photo)| {
                self.standard.apply(&self.samples.features[photo * width..][..width], row);
                row[one] = 1.0;
            });
            self.table.write(&gpu.queue, number("photos", i * piece)?, &rows)?;
            // What is staged stays in memory until it is copied.
            gpu.queue.submit([]);
            gpu.wait()?;
        }
        Ok(())
    }
}

/// Weights with what changes them. Every step of a submit has its own slot in the inputs, and so its own commands.
struct Learner<'a> {
    photos: Photos<'a>,
    /// `[classes, row]`, biases among them.
    weight: Buffer,
    /// The weights of the best epoch so far.
    best: Buffer,
    labels: Buffer,
    sample_weights: Buffer,
    loss: Buffer,
    class_weights: Vec<f32>,
    slots: Vec<Slot>,
    batch: usize,
    /// Elements from one slot to the next in labels, weights and losses.
    stride: usize,
}

struct Slot {
    backward: Vec<Commands>,
    update: Update,
}

impl Slot {
    /// All of a step, in order.
    fn commands(&self) -> impl Iterator<Item = &Commands> {
        self.backward.iter().chain([self.update.commands()])
    }
}

enum Update {
    Sgd(BoundSgd),
    AdamW(BoundAdamW),
}

impl Update {
    fn set_step(&self, queue: &wgpu::Queue, learning_rate: f64, step: u32) {
        match self {
            Self::Sgd(update) => update.set_step(queue, learning_rate, step),
            Self::AdamW(update) => update.set_step(queue, learning_rate, step),
        }
    }

    fn commands(&self) -> &Commands {
        match self {
            Self::Sgd(update) => update.commands(),
            Self::AdamW(update) => update.commands(),
        }
    }
}

/// The weights with their gradient and the optimiser's memory of it.
struct Parameter<'a> {
    value: &'a Buffer,
    grad: Buffer,
    memory: [Buffer; 2],
    len: u32,
    row: u32,
    /// Elements of a row that aren't the bias.
    decayed: u32,
}

impl Parameter<'_> {
    fn update(&self, context: &Context, options: &TrainOptions) -> Result<Update> {
        let (param, grad) = (self.value.slice(..), self.grad.slice(..));
        let Self { len, row, decayed, .. } = *self;
        let weight_decay = options.weight_decay;
        Ok(match options.optimizer {
            Optimizer::Sgd { momentum, nesterov } => {
                let desc = SgdDesc { row, decayed, momentum, nesterov, weight_decay, ..SgdDesc::new(len) };
                let memory = (momentum > 0.0).then(|| self.memory[0].slice(..));
                Update::Sgd(Sgd::new(context, &desc)?.bind(&SgdBuffers { param, grad, momentum: memory })?)
            }
            Optimizer::AdamW { beta1, beta2, eps } => {
                let desc = AdamWDesc { row, decayed, beta1, beta2, eps, weight_decay, ..AdamWDesc::new(len) };
                let [exp_avg, exp_avg_sq] = [self.memory[0].slice(..), self.memory[1].slice(..)];
                Update::AdamW(AdamW::new(context, &desc)?.bind(&AdamWBuffers { param, grad, exp_avg, exp_avg_sq })?)
            }
        })
    }
}

/// A buffer of zeros.
fn zeros(gpu: &Gpu, label: &'static str, elements: usize) -> Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: 4 * elements as u64,
        usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// The elements that a step has of a buffer.
fn part(buffer: &Buffer, slot: usize, stride: usize, elements: usize) -> wgpu::BufferSlice<'_> {
    let start = 4 * (slot * stride) as u64;
    buffer.slice(start..start + 4 * elements as u64)
}

fn number(operand: &'static str, value: usize) -> Result<u32> {
    let most = u32::MAX as usize;
    u32::try_from(value).map_err(|_| Error::Shape { operation: "train", operand, expected: most, got: value })
}

impl<'a> Learner<'a> {
    fn new(
        room: usize,
        gpu: &Gpu,
        samples: Samples<'a>,
        standard: &'a Standard,
        class_weights: &[f32],
        options: &TrainOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let context = &gpu.context;
        let (classes, count) = (class_weights.len(), samples.labels.len());
        let (row, one) = row_of(standard.mean.len());
        let batch = options.batch_of(count);
        // A step's photos are whole groups of four, the last ones standing in for none.
        let places = batch.next_multiple_of(4);
        let photos = Photos::new(room, gpu, samples, standard, places, count.div_ceil(batch), progress)?;
        let [m, k, n] = [number("the batch", places)?, number("features", row)?, number("classes", classes)?];
        let zeros = |label, elements: usize| zeros(gpu, label, elements);
        let (weight, best) = (zeros("weight", classes * row), zeros("best weight", classes * row));
        let slots = photos.most / places;
        let stride = places.next_multiple_of(ALIGNMENT);
        let [labels, sample_weights, loss] =
            ["labels", "sample weights", "loss"].map(|label| zeros(label, slots * stride));
        let (logits, grad_logits) = (zeros("logits", places * classes), zeros("grad_logits", places * classes));
        let weights_of_classes = gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("class weights"),
            contents: bytemuck::cast_slice(class_weights),
            usage: BufferUsages::STORAGE,
        });
        let parameter = Parameter {
            value: &weight,
            grad: zeros("gradient", classes * row),
            memory: [zeros("mean gradient", classes * row), zeros("mean squared gradient", classes * row)],
            len: number("weights", classes * row)?,
            row: k,
            decayed: number("features", one)?,
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
            let first = number("photos", slot * places)?;
            let losses = SoftmaxCrossEntropyBuffers {
                logits: logits.slice(..),
                labels: part(&labels, slot, stride, places),
                class_weights: Some(weights_of_classes.slice(..)),
                sample_weights: Some(part(&sample_weights, slot, stride, places)),
                loss: part(&loss, slot, stride, places),
                grad_logits: Some(grad_logits.slice(..)),
            };
            let (grad_logits, grad) = (grad_logits.slice(..), parameter.grad.slice(..));
            Ok(Slot {
                backward: vec![
                    layer.bind_forward(&workspace, photos.table.batch(first), weight.slice(..), logits.slice(..))?,
                    of_loss.bind(&losses)?,
                    layer.bind_backward(&workspace, photos.table.batch(first), grad_logits, grad)?,
                ],
                update: parameter.update(context, options)?,
            })
        };
        let slots = (0..slots).map(slot).collect::<Result<Vec<_>>>()?;
        let class_weights = class_weights.to_vec();
        Ok(Self { photos, weight, best, labels, sample_weights, loss, class_weights, slots, batch, stride })
    }

    /// Takes the steps of an epoch, on all photos in this order, and gives the sum of their losses.
    fn learn(&self, gpu: &Gpu, order: &[usize], epoch: usize, options: &TrainOptions) -> Result<f64> {
        let steps = order.len().div_ceil(self.batch);
        let submits = order.chunks(self.slots.len() * self.batch).enumerate();
        let losses =
            submits.map(|(i, photos)| self.submit(gpu, photos, epoch * steps + i * self.slots.len(), steps, options));
        losses.sum()
    }

    fn submit(
        &self,
        gpu: &Gpu,
        photos: &[usize],
        first: usize,
        steps_per_epoch: usize,
        options: &TrainOptions,
    ) -> Result<f64> {
        let places = self.batch.next_multiple_of(4);
        let steps = photos.len().div_ceil(self.batch);
        let mut placed = vec![0; steps * places];
        let mut labels = vec![IGNORED; steps * self.stride];
        let mut weights = vec![0f32; steps * self.stride];
        for (step, batch) in photos.chunks(self.batch).enumerate() {
            placed[step * places..][..batch.len()].copy_from_slice(batch);
            let of = batch.iter().map(|&photo| self.photos.samples.labels[photo]);
            labels[step * self.stride..].iter_mut().zip(of.clone()).for_each(|(to, label)| *to = label as u32);
            let all: f64 = of.map(|label| f64::from(self.class_weights[label])).sum();
            weights[step * self.stride..][..batch.len()].fill(if all > 0.0 { (1.0 / all) as f32 } else { 0.0 });
        }
        self.photos.place(gpu, &placed)?;
        gpu.queue.write_buffer(&self.labels, 0, bytemuck::cast_slice(&labels));
        gpu.queue.write_buffer(&self.sample_weights, 0, bytemuck::cast_slice(&weights));
        for (slot, step) in self.slots[..steps].iter().zip(first..) {
            slot.update.set_step(
                &gpu.queue,
                options.learning_rate_at(step, steps_per_epoch),
                number("steps", step + 1)?,
            );
        }
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        encode_all(&mut encoder, self.slots[..steps].iter().flat_map(Slot::commands));
        gpu.queue.submit([encoder.finish()]);
        let losses = gpu.read(&self.loss)?;
        // A slot's losses add up to the mean over its batch.
        let sums = losses.chunks(self.stride).zip(photos.chunks(self.batch));
        Ok(sums
            .map(|(losses, batch)| {
                batch.len() as f64 * losses[..batch.len()].iter().copied().map(f64::from).sum::<f64>()
            })
            .sum())
    }

    /// Keeps the present weights as the best.
    fn keep(&self, gpu: &Gpu) {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&self.weight, 0, &self.best, 0, self.best.size());
        gpu.queue.submit([encoder.finish()]);
    }

    /// The best weights, `[classes, width]`, and biases.
    fn best(&self, gpu: &Gpu) -> Result<(Vec<f32>, Vec<f32>)> {
        let width = self.photos.standard.mean.len();
        let (row, one) = row_of(width);
        let weights = gpu.read(&self.best)?;
        let rows = || weights.chunks_exact(row);
        Ok((rows().flat_map(|row| &row[..width]).copied().collect(), rows().map(|row| row[one]).collect()))
    }
}

/// The validation part, on the device.
struct Judge<'a> {
    photos: Photos<'a>,
    /// What gives the logits of a batch, for each batch of a submit.
    slots: Vec<Commands>,
    logits: Buffer,
    batch: usize,
    stride: usize,
}

impl<'a> Judge<'a> {
    fn new(
        room: usize,
        gpu: &Gpu,
        samples: Samples<'a>,
        learner: &Learner<'a>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let (classes, count) = (learner.class_weights.len(), samples.labels.len());
        let standard = learner.photos.standard;
        let batch = JUDGED.min(count.next_multiple_of(4));
        let photos = Photos::new(room, gpu, samples, standard, batch, count.div_ceil(batch), progress)?;
        let row = row_of(standard.mean.len()).0;
        let desc = DenseDesc {
            batch: number("the batch", batch)?,
            width: number("features", row)?,
            classes: number("classes", classes)?,
        };
        let layer = Dense::new(&gpu.context, &desc)?;
        let workspace = Workspace::new(&gpu.context, layer.workspace_size())?;
        let stride = (batch * classes).next_multiple_of(ALIGNMENT);
        let slots = photos.most / batch;
        let logits = zeros(gpu, "validation logits", slots * stride);
        let slot = |slot: usize| -> Result<Commands> {
            let (weight, output) = (learner.weight.slice(..), part(&logits, slot, stride, batch * classes));
            let first = number("photos", slot * batch)?;
            Ok(layer.bind_forward(&workspace, photos.table.batch(first), weight, output)?)
        };
        let slots = (0..slots).map(slot).collect::<Result<Vec<_>>>()?;
        Ok(Self { photos, slots, logits, batch, stride })
    }

    /// The weighted mean loss, and the share that is right.
    fn judge(&self, gpu: &Gpu, class_weights: &[f32]) -> Result<(f64, f64)> {
        let labels = self.photos.samples.labels;
        let all: Vec<usize> = (0..labels.len()).collect();
        let (mut loss, mut weights, mut right) = (0.0, 0.0, 0);
        let mut row = vec![0.0; class_weights.len()];
        for photos in all.chunks(self.photos.most) {
            let slots = photos.len().div_ceil(self.batch);
            let mut placed = photos.to_vec();
            placed.resize(slots * self.batch, 0);
            self.photos.place(gpu, &placed)?;
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            encode_all(&mut encoder, &self.slots[..slots]);
            gpu.queue.submit([encoder.finish()]);
            let logits = gpu.read(&self.logits)?;
            for (i, &photo) in photos.iter().enumerate() {
                let column = &logits[i / self.batch * self.stride + i % self.batch..];
                row.iter_mut().zip(column.iter().step_by(self.batch)).for_each(|(to, &logit)| *to = logit);
                let label = labels[photo];
                let weight = f64::from(class_weights[label]);
                loss -= weight * log_softmax(&row, label);
                weights += weight;
                right += usize::from(top(&row, 1) == [label]);
            }
        }
        Ok((if weights > 0.0 { loss / weights } else { 0.0 }, right as f64 / labels.len() as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Selection, open};
    use crate::head::ClassWeights;

    fn gpu() -> Gpu {
        pollster::block_on(open(&Selection::default())).unwrap()
    }

    fn classes(count: usize) -> Vec<String> {
        (0..count).map(|class| class.to_string()).collect()
    }

    /// Photos of `classes` clouds that overlap a little, class by class in turn; the classes have unequal sizes.
    fn clouds(count: usize, classes: usize, width: usize, seed: u64) -> (Vec<f32>, Vec<usize>) {
        let mut state = seed;
        let mut noise = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let labels: Vec<usize> = (0..count).map(|photo| (photo * photo + photo / 3) % classes).collect();
        let features = labels.iter().flat_map(|&label| {
            (0..width).map(|i| if i % classes == label { 1.5 } else { 0.5 } + 1.2 * noise()).collect::<Vec<_>>()
        });
        (features.collect(), labels)
    }

    /// The same training in f64, by definition and without batches' padding.
    fn twin(
        features: &[f32],
        labels: &[usize],
        classes: usize,
        options: &TrainOptions,
    ) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let width = features.len() / labels.len();
        let (mean, deviation): (Vec<f64>, Vec<f64>) = (0..width)
            .map(|i| {
                let values = || features.iter().skip(i).step_by(width).map(|&x| f64::from(x));
                let mean = values().sum::<f64>() / labels.len() as f64;
                (mean, values().map(|x| (x - mean).powi(2)).sum::<f64>() / labels.len() as f64)
            })
            .unzip();
        let floor = 0.01 * deviation.iter().sum::<f64>() / width as f64;
        let deviation: Vec<f64> = deviation.iter().map(|variance| (variance + floor).sqrt()).collect();
        let mut counts = vec![0; classes];
        labels.iter().for_each(|&label| counts[label] += 1);
        let class_weights: Vec<f64> = options.class_weights.of(&counts).into_iter().map(f64::from).collect();
        let all: f64 = class_weights.iter().sum();
        // Bias last in each row.
        let mut weights = vec![vec![0.0; width + 1]; classes];
        let mut memory = vec![vec![(0.0, 0.0); width + 1]; classes];
        let mut order: Vec<usize> = (0..labels.len()).collect();
        let mut random = SplitMix64(options.seed);
        let batch_size = options.batch_of(labels.len());
        let steps = labels.len().div_ceil(batch_size);
        let mut losses = Vec::new();
        for epoch in 0..options.epochs {
            shuffle(&mut order, &mut random);
            let mut sum = 0.0;
            for (step, batch) in order.chunks(batch_size).enumerate() {
                let step = epoch * steps + step;
                let mut grads = vec![vec![0.0; width + 1]; classes];
                let total: f64 = batch.iter().map(|&photo| class_weights[labels[photo]]).sum();
                for &photo in batch {
                    let mut input: Vec<f64> =
                        (0..width).map(|i| (f64::from(features[photo * width + i]) - mean[i]) / deviation[i]).collect();
                    input.push(1.0);
                    let logits: Vec<f64> =
                        weights.iter().map(|row| row.iter().zip(&input).map(|(w, x)| w * x).sum()).collect();
                    let max = logits.iter().copied().fold(f64::MIN, f64::max);
                    let sum_exp: f64 = logits.iter().map(|z| (z - max).exp()).sum();
                    let (label, e) = (labels[photo], options.label_smoothing);
                    for class in 0..classes {
                        let log_p = logits[class] - max - sum_exp.ln();
                        let target = f64::from(u8::from(class == label));
                        let own = class_weights[label] * (1.0 - e);
                        sum -= batch.len() as f64 / total
                            * (own * target + e / classes as f64 * class_weights[class])
                            * log_p;
                        let grad = (own + e / classes as f64 * all) * log_p.exp()
                            - e / classes as f64 * class_weights[class]
                            - own * target;
                        grads[class].iter_mut().zip(&input).for_each(|(g, x)| *g += grad * x / total);
                    }
                }
                let rate = options.learning_rate_at(step, steps);
                for class in 0..classes {
                    for i in 0..=width {
                        let decay = if i < width { options.weight_decay } else { 0.0 };
                        let (w, g, m) = (&mut weights[class][i], grads[class][i], &mut memory[class][i]);
                        match options.optimizer {
                            Optimizer::Sgd { momentum, nesterov } => {
                                let g = g + decay * *w;
                                m.0 = if step == 0 { g } else { momentum * m.0 + g };
                                *w -= rate * if nesterov { g + momentum * m.0 } else { m.0 };
                            }
                            Optimizer::AdamW { beta1, beta2, eps } => {
                                let t = (step + 1) as i32;
                                *m = (beta1 * m.0 + (1.0 - beta1) * g, beta2 * m.1 + (1.0 - beta2) * g * g);
                                let v = (m.1 / (1.0 - beta2.powi(t))).sqrt() + eps;
                                *w -= rate * (decay * *w + m.0 / (1.0 - beta1.powi(t)) / v);
                            }
                        }
                    }
                }
            }
            losses.push(sum / labels.len() as f64);
        }
        let weight =
            weights.iter().flat_map(|row| (0..width).map(|i| row[i] / deviation[i]).collect::<Vec<_>>()).collect();
        let shift = |row: &[f64]| (0..width).map(|i| row[i] / deviation[i] * mean[i]).sum::<f64>();
        (weight, weights.iter().map(|row| row[width] - shift(row)).collect(), losses)
    }

    fn agrees(options: &TrainOptions, count: usize, width: usize) {
        let (features, labels) = clouds(count, 3, width, 1);
        let samples = Samples { features: &features, labels: &labels };
        let (head, history) = train(&gpu(), samples, None, &classes(3), options, &()).unwrap();
        // f32 against f64 over some hundred steps; a wrong gradient, decay or schedule is off by far more.
        let near = |weight: &[f64], bias: &[f64]| {
            let largest = weight.iter().chain(bias).fold(0.0, |max: f64, w| max.max(w.abs()));
            assert!(largest > 0.01, "nothing was learnt");
            let pairs = head.weight.iter().chain(&head.bias).zip(weight.iter().chain(bias));
            pairs.into_iter().all(|(&got, &expected)| (f64::from(got) - expected).abs() <= 2e-4 * largest)
        };
        let (weight, bias, losses) = twin(&features, &labels, 3, options);
        assert!(near(&weight, &bias), "{options:?}");
        // The comparison can fail: steps longer by a hundredth, a decay stronger by a tenth.
        let longer = TrainOptions { learning_rate: 1.01 * options.learning_rate, ..*options };
        let stronger = TrainOptions { weight_decay: 1.1 * options.weight_decay, ..*options };
        for other in [longer, stronger] {
            let (weight, bias, _) = twin(&features, &labels, 3, &other);
            assert!(!near(&weight, &bias), "{options:?} can't be told from {other:?}");
        }
        for (epoch, expected) in history.epochs.iter().zip(losses) {
            assert!((epoch.train_loss - expected).abs() <= 1e-4, "{} is not {expected}", epoch.train_loss);
        }
        assert_eq!((history.epochs.len(), history.best), (options.epochs, options.epochs - 1));
    }

    #[test]
    fn adamw_and_sgd_do_what_their_definitions_do() {
        let adamw = TrainOptions {
            epochs: 12,
            warmup_epochs: 3,
            batch_size: 16,
            weight_decay: 0.5,
            seed: 3,
            ..Default::default()
        };
        // Eps not small against the gradients: an AdamW step of a gradient near zero is a coin toss otherwise.
        let adamw = TrainOptions { optimizer: Optimizer::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-3 }, ..adamw };
        agrees(&adamw, 101, 8);
        agrees(&TrainOptions { label_smoothing: 0.1, class_weights: ClassWeights::Balanced, ..adamw }, 64, 5);
        let sgd = |momentum, nesterov| TrainOptions {
            optimizer: Optimizer::Sgd { momentum, nesterov },
            learning_rate: 0.05,
            weight_decay: 0.02,
            ..adamw
        };
        agrees(&sgd(0.9, true), 101, 8);
        agrees(&sgd(0.9, false), 50, 7);
        agrees(&sgd(0.0, false), 50, 7);
        // More steps than a submit holds, a batch larger than an eighth of the part.
        agrees(&TrainOptions { batch_size: 1, epochs: 2, warmup_epochs: 0, ..sgd(0.5, false) }, 150, 4);
        agrees(&TrainOptions { batch_size: 4096, ..adamw }, 30, 4);
    }

    #[test]
    fn the_best_epoch_is_kept_and_patience_ends_it() {
        let (features, labels) = clouds(60, 3, 12, 1);
        let (others, truth) = clouds(90, 3, 12, 2);
        // A third of the validation labels is wrong: overconfidence costs.
        let wrong: Vec<usize> =
            truth.iter().enumerate().map(|(i, &l)| if i % 3 == 0 { (l + 1) % 3 } else { l }).collect();
        let options = TrainOptions { learning_rate: 0.05, patience: Some(4), ..Default::default() };
        let validation = Samples { features: &others, labels: &wrong };
        let samples = Samples { features: &features, labels: &labels };
        let (head, history) = train(&gpu(), samples, Some(validation), &classes(3), &options, &()).unwrap();
        assert!(history.epochs.len() < options.epochs, "never stopped");
        assert_eq!(history.epochs.len(), history.best + 1 + 4);
        let loss = |epoch: usize| history.epochs[epoch].validation_loss.unwrap();
        assert!((0..history.epochs.len()).all(|epoch| loss(epoch) >= loss(history.best)));
        // The head that came out is the one of that epoch, on features as they are.
        let logits = head.logits(&others).unwrap();
        let rows = logits.chunks(3).zip(&wrong);
        let again: f64 = rows.map(|(row, &label)| -log_softmax(row, label)).sum::<f64>() / wrong.len() as f64;
        assert!((again - loss(history.best)).abs() < 1e-4, "{again} is not {}", loss(history.best));
    }

    #[test]
    fn equal_seeds_give_equal_heads_and_scale_does_not_matter() {
        let (features, labels) = clouds(80, 4, 6, 9);
        let options = TrainOptions { epochs: 5, warmup_epochs: 0, ..Default::default() };
        let of = |features: &[f32], seed| {
            let samples = Samples { features, labels: &labels };
            train(&gpu(), samples, None, &classes(4), &TrainOptions { seed, ..options }, &()).unwrap().0
        };
        assert_eq!(of(&features, 1), of(&features, 1));
        assert_ne!(of(&features, 1), of(&features, 2));
        let large: Vec<f32> = features.iter().map(|x| 1024.0 * x).collect();
        let (small, large) = (of(&features, 1), of(&large, 1));
        assert!(small.weight.iter().zip(&large.weight).all(|(a, b)| (a - 1024.0 * b).abs() < 1e-6));
    }

    #[test]
    fn photos_beyond_the_device_are_sent_in_turn_and_change_nothing() {
        struct Warned(std::sync::atomic::AtomicUsize);
        impl Progress for Warned {
            fn warn(&self, message: &str) {
                assert!(message.contains("don't fit the adapter"), "{message}");
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        // Three submits an epoch, and two for the validation part.
        let ((features, labels), (others, truth)) = (clouds(150, 3, 7, 1), clouds(STEPS * JUDGED + 9, 3, 7, 2));
        let samples = Samples { features: &features, labels: &labels };
        let validation = Some(Samples { features: &others, labels: &truth });
        let options = TrainOptions { batch_size: 1, epochs: 2, warmup_epochs: 0, ..Default::default() };
        let gpu = gpu();
        let of = |room| {
            let warned = Warned(0.into());
            let outcome = train_holding(room, &gpu, samples, validation, &classes(3), &options, &warned).unwrap();
            (outcome, warned.0.into_inner())
        };
        let (resident, (streamed, both), (mixed, one)) = (of(usize::MAX), of(100), of(1000));
        assert_eq!((resident.1, both, one), (0, 2, 1));
        assert!(streamed == resident.0 && mixed == resident.0);
    }

    #[test]
    fn what_cannot_be_trained_is_refused() {
        let gpu = gpu();
        let run = |features: &[f32], labels: &[usize], options: &TrainOptions| {
            train(&gpu, Samples { features, labels }, None, &classes(2), options, &()).unwrap_err().to_string()
        };
        let options = TrainOptions::default();
        assert!(run(&[], &[], &options).contains("labels"));
        assert!(run(&[1.0; 3], &[0, 1], &options).contains("features"));
        assert!(run(&[1.0; 4], &[0, 2], &options).contains("classes"));
        assert!(run(&[1.0, f32::NAN], &[0, 1], &options).contains("not finite"));
        let wild = TrainOptions {
            optimizer: Optimizer::Sgd { momentum: 0.0, nesterov: false },
            learning_rate: 1e38,
            weight_decay: 1e3,
            ..options
        };
        let (features, labels) = clouds(20, 2, 4, 1);
        assert!(run(&features, &labels, &wild).contains("try a lower learning rate"));
    }

    #[test]
    fn interruption_ends_it() {
        struct Stop;
        impl Progress for Stop {
            fn cancelled(&self) -> bool {
                true
            }
        }
        let samples = Samples { features: &[1.0, 2.0], labels: &[0, 1] };
        let outcome = train(&gpu(), samples, None, &classes(2), &TrainOptions::default(), &Stop);
        assert!(matches!(outcome, Err(Error::Interrupted)));
    }
}
