//! The objective on the adapter: one wide product for all heads, a softmax or sigmoids for each, and the wide product back.

use kernels::wgpu::util::{BufferInitDescriptor, DeviceExt as _};
use kernels::wgpu::{Buffer, BufferSlice};
use kernels::{
    Commands, Dense, DenseDesc, Reduction, SigmoidCrossEntropy, SigmoidCrossEntropyBuffers, SigmoidCrossEntropyDesc,
    SoftmaxCrossEntropy, SoftmaxCrossEntropyBuffers, SoftmaxCrossEntropyDesc, Workspace, encode_all,
};
use rayon::prelude::*;

use crate::error::Result;
use crate::head::buffers::{ALIGNMENT, count, slice, zeros};
use crate::head::problem::Truths;
use crate::head::solve::objective::{Learning, Loss, Objective};
use crate::head::table::{Memory, STEPS, Table, row_of};
use crate::machine::gpu::Gpu;

/// Elements of a chunk's rows, and of its logits, at most; and of the weights of all heads. Four times as many fit any binding and any texture.
const ELEMENTS: usize = 8 << 20;
/// Bytes of gradients that are read back together.
const GRADIENTS: usize = 64 << 20;

/// Losses of heads over rows, by the adapter.
///
/// Rows go in chunks, whose sums in f32 are added in f64. All heads share the product, so that many cost little more than one where one
/// is bound by memory.
pub(crate) struct OnDevice<'a> {
    memory: Memory<'a>,
    table: Table<'a>,
    width: usize,
    rows: usize,
    classes: usize,
    heads: usize,
    weight: Buffer,
    loss: Buffer,
    gradient: Buffer,
    /// What a chunk records.
    chunks: Vec<Vec<Commands>>,
    /// Rows of a chunk.
    chunk: usize,
    /// Chunks of a submit.
    most: usize,
    /// Elements from one chunk's gradient to the next.
    stride: usize,
}

/// The loss of a chunk of rows for a head, with what is true of all rows.
enum OfLoss {
    Softmax {
        plan: SoftmaxCrossEntropy,
        labels: Buffer,
        class_weights: Buffer,
    },
    /// The targets are by chunk, `[classes, chunk]`.
    Sigmoid {
        plan: SigmoidCrossEntropy,
        targets: Vec<Buffer>,
    },
}

impl OfLoss {
    /// Plans it for so many chunks of so many rows.
    fn new(gpu: &Gpu, learning: &Learning, [chunks, chunk]: [usize; 2]) -> Result<Self> {
        let classes = learning.class_weights.len();
        let [batch, outputs] = [count("the chunk", chunk)?, count("classes", classes)?];
        let sets = match &learning.samples.truths {
            Truths::Sets(sets) => sets,
            Truths::Classes(truths) => {
                let desc = SoftmaxCrossEntropyDesc {
                    label_smoothing: learning.label_smoothing,
                    reduction: Reduction::Sum,
                    class_weights: true,
                    sample_weights: true,
                    classes_first: true,
                    ..SoftmaxCrossEntropyDesc::new(batch, outputs)
                };
                let labels = truths.iter().map(|class| class.index() as u32);
                let labels: Vec<u32> = labels.chain(std::iter::repeat(u32::MAX)).take(chunks * chunk).collect();
                return Ok(Self::Softmax {
                    plan: SoftmaxCrossEntropy::new(&gpu.context, &desc)?,
                    labels: filled(gpu, "labels", bytemuck::cast_slice(&labels)),
                    class_weights: filled(gpu, "class weights", bytemuck::cast_slice(learning.class_weights)),
                });
            }
        };
        let targets = sets.chunks(chunk).map(|sets| {
            let mut targets = vec![0f32; classes * chunk];
            for (row, set) in sets.iter().enumerate() {
                set.iter().for_each(|class| targets[class.index() * chunk + row] = 1.0);
            }
            filled(gpu, "targets", bytemuck::cast_slice(&targets))
        });
        let desc = SigmoidCrossEntropyDesc { batch, classes: outputs };
        Ok(Self::Sigmoid { plan: SigmoidCrossEntropy::new(&gpu.context, &desc)?, targets: targets.collect() })
    }

    /// Ties the operands of a head for the chunk at this place.
    fn bind(
        &self,
        place: usize,
        chunk: usize,
        [logits, sample_weights, loss, grad_logits]: [BufferSlice<'_>; 4],
    ) -> Result<Commands> {
        Ok(match self {
            Self::Softmax { plan, labels, class_weights } => plan.bind(&SoftmaxCrossEntropyBuffers {
                logits,
                labels: slice(labels, place, chunk, chunk),
                class_weights: Some(class_weights.slice(..)),
                sample_weights: Some(sample_weights),
                loss,
                grad_logits: Some(grad_logits),
            })?,
            Self::Sigmoid { plan, targets } => {
                let targets = targets[place].slice(..);
                plan.bind(&SigmoidCrossEntropyBuffers { logits, targets, sample_weights, loss, grad_logits })?
            }
        })
    }
}

fn filled(gpu: &Gpu, label: &str, contents: &[u8]) -> Buffer {
    let usage = kernels::OPERAND_USAGES;
    gpu.device.create_buffer_init(&BufferInitDescriptor { label: Some(label), contents, usage })
}

impl<'a> OnDevice<'a> {
    /// Sends the rows to the device and plans the work on each chunk of them.
    ///
    /// # Errors
    /// The device has too little memory, or is lost.
    pub fn new(memory: &Memory<'a>, learning: &Learning<'a>) -> Result<Self> {
        Self::in_chunks(memory, learning, ELEMENTS)
    }

    /// Says how many heads may share a product, of so many classes and features.
    pub fn most_heads(classes: usize, width: usize) -> usize {
        (ELEMENTS / (classes * row_of(width).0)).max(1)
    }

    fn in_chunks(memory: &Memory<'a>, learning: &Learning<'a>, elements: usize) -> Result<Self> {
        let gpu = memory.gpu;
        let context = &gpu.context;
        let (classes, heads) = (learning.class_weights.len(), learning.without.len());
        let (samples, standard) = (learning.samples, learning.standard);
        let (rows, width) = (samples.len(), standard.width());
        let (row, _) = row_of(width);
        let columns = heads * classes;
        let stride = (columns * row).next_multiple_of(ALIGNMENT);
        // A head's logits begin where a binding may, whatever the number of classes.
        let chunk = (elements / columns.max(row)).max(1).min(rows).next_multiple_of(ALIGNMENT);
        let chunks = rows.div_ceil(chunk);
        let together = (GRADIENTS / (4 * columns * row)).clamp(1, STEPS);
        let table = Table::new(memory, samples.rows, standard, chunk, chunks.min(together))?;
        let most = table.most / chunk;
        let desc = DenseDesc {
            batch: count("the chunk", chunk)?,
            width: count("features", row)?,
            classes: count("classes of all heads", columns)?,
        };
        let layer = Dense::new(context, &desc)?;
        let of_loss = OfLoss::new(gpu, learning, [chunks, chunk])?;
        let workspace = Workspace::new(context, layer.workspace_size())?;
        let mut shares = Vec::with_capacity(heads * chunks * chunk);
        for head in 0..heads {
            shares.extend(learning.shares(head).into_iter().map(|share| share as f32));
            shares.resize((head + 1) * chunks * chunk, 0.0);
        }
        let shares = filled(gpu, "shares", bytemuck::cast_slice(&shares));
        let zeros = |label, elements: usize| zeros(&gpu.device, label, elements);
        let (weight, gradient) = (zeros("weight", columns * row), zeros("gradient", most * stride));
        let (logits, slopes) = (zeros("logits", columns * chunk), zeros("slopes", columns * chunk));
        let loss = zeros("loss", heads * chunks * chunk);
        let of_chunk = |place: usize| -> Result<Vec<Commands>> {
            let first = count("rows", place % most * chunk)?;
            let mut commands = vec![layer.bind_forward(
                &workspace,
                table.on_device.batch(first),
                weight.slice(..),
                logits.slice(..),
            )?];
            for head in 0..heads {
                let own = |buffer| slice(buffer, head, classes * chunk, classes * chunk);
                let of_rows = |buffer| slice(buffer, head * chunks + place, chunk, chunk);
                let operands = [own(&logits), of_rows(&shares), of_rows(&loss), own(&slopes)];
                commands.push(of_loss.bind(place, chunk, operands)?);
            }
            let gradient = slice(&gradient, place % most, stride, columns * row);
            commands.push(layer.bind_backward(&workspace, table.on_device.batch(first), slopes.slice(..), gradient)?);
            Ok(commands)
        };
        let planned = (0..chunks).map(of_chunk).collect::<Result<Vec<_>>>()?;
        let this = Self {
            memory: *memory,
            table,
            width,
            rows,
            classes,
            heads,
            weight,
            loss,
            gradient,
            chunks: planned,
            chunk,
            most,
            stride,
        };
        Ok(this)
    }
}

impl Objective for OnDevice<'_> {
    /// The product is planned for all heads: those that aren't among `which` are computed too, from zeros.
    fn evaluate(&mut self, which: &[usize], heads: &[Vec<f64>]) -> Result<Vec<Loss>> {
        let gpu = self.memory.gpu;
        let (row, one) = row_of(self.width);
        let wide = self.width + 1;
        let mut weights = vec![0f32; self.heads * self.classes * row];
        let each = self.classes * row;
        for (&number, head) in which.iter().zip(heads) {
            for (to, of) in weights[number * each..][..each].chunks_exact_mut(row).zip(head.chunks_exact(wide)) {
                to.iter_mut().zip(&of[..self.width]).for_each(|(to, &of)| *to = of as f32);
                to[one] = of[self.width] as f32;
            }
        }
        gpu.queue.write_buffer(&self.weight, 0, bytemuck::cast_slice(&weights));
        let mut all: Vec<Loss> =
            heads.iter().map(|head| Loss { value: 0.0, gradient: vec![0.0; head.len()] }).collect();
        let places: Vec<usize> = (0..self.rows).collect();
        for (submit, commands) in self.chunks.chunks(self.most).enumerate() {
            let first = submit * self.most * self.chunk;
            let mut placed = places[first..self.rows.min(first + commands.len() * self.chunk)].to_vec();
            placed.resize(commands.len() * self.chunk, 0);
            self.table.place(&placed)?;
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            encode_all(&mut encoder, commands.iter().flatten());
            gpu.queue.submit([encoder.finish()]);
            let gradients: Vec<f32> = gpu.read(&self.gradient)?;
            for of_chunk in gradients.chunks_exact(self.stride).take(commands.len()) {
                all.par_iter_mut().zip(which).for_each(|(loss, &number)| {
                    let of_head = &of_chunk[number * each..][..each];
                    for (to, of) in loss.gradient.chunks_exact_mut(wide).zip(of_head.chunks_exact(row)) {
                        to.iter_mut().zip(&of[..self.width]).for_each(|(to, &of)| *to += f64::from(of));
                        to[self.width] += f64::from(of[one]);
                    }
                });
            }
        }
        let losses: Vec<f32> = gpu.read(&self.loss)?;
        for (loss, &number) in all.iter_mut().zip(which) {
            let of_rows = &losses[number * self.chunks.len() * self.chunk..][..self.rows];
            loss.value = of_rows.iter().copied().map(f64::from).sum();
        }
        Ok(all)
    }

    fn noise(&self) -> f64 {
        // Of a logit's rounding most cancels in the sum; what is left is far below this.
        1e-6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::solve::objective::tests::{on_rows, on_sets};
    use crate::head::solve::on_host::OnHost;
    use crate::machine::gpu::{Selection, open};

    /// Losses of heads by the adapter and by the CPU, on rows that fit the adapter or don't, in one chunk or several; of one class each, or of sets.
    fn both(rows: usize, classes: usize, [most_rows, elements]: [usize; 2], sets: bool) -> [Vec<Loss>; 2] {
        let work = |learning: &Learning<'_>, heads: &[Vec<f64>]| {
            let gpu = pollster::block_on(open(&Selection::default())).unwrap();
            let memory = Memory { gpu: &gpu, most_rows, progress: &() };
            let mut on_device = OnDevice::in_chunks(&memory, learning, elements).unwrap();
            // Once more, for nothing of one evaluation may be left to the next.
            on_device.evaluate(&[0, 1, 2], &vec![vec![1.0; heads[0].len()]; 3]).unwrap();
            // Some heads alone are what they are among all.
            let all = on_device.evaluate(&[0, 1, 2], heads).unwrap();
            let some = on_device.evaluate(&[0, 2], &[heads[0].clone(), heads[2].clone()]).unwrap();
            assert!(some[..] == [all[0].clone(), all[2].clone()]);
            [all, OnHost::new(learning).evaluate(&[0, 1, 2], heads).unwrap()]
        };
        if sets { on_sets([rows, 13, classes], work) } else { on_rows([rows, 13, classes], work) }
    }

    #[test]
    fn the_adapter_and_the_cpu_agree() {
        for (rows, classes, most_rows, elements) in [
            (1, 2, 9, ELEMENTS),
            (70, 3, 999, ELEMENTS),
            (333, 5, 100, ELEMENTS),
            (333, 5, 100, 1),
            (1000, 2, 999, ELEMENTS),
            (1000, 2, 999, 20 * 130),
            (5000, 2, 9999, 1),
        ] {
            for sets in [false, true] {
                let [device, host] = both(rows, classes, [most_rows, elements], sets);
                for (device, host) in device.iter().zip(&host) {
                    // Sums of f32 over no more than a thousand rows a chunk whose shares add up to 1, of numbers below 8.
                    assert!(
                        (device.value - host.value).abs() <= 2e-6 * (1.0 + host.value.abs()),
                        "{device:?} {host:?}"
                    );
                    let pairs = device.gradient.iter().zip(&host.gradient);
                    assert!(pairs.clone().all(|(a, b)| (a - b).abs() <= 2e-6), "{rows} rows");
                }
                if rows > 3 {
                    let differ = |a: &Loss, b: &Loss| (a.value - b.value).abs() > 1e-3;
                    assert!(differ(&host[0], &host[1]) && differ(&host[1], &host[2]), "folds are seen");
                }
            }
        }
    }
}
