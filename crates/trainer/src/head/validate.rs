//! Validates a head while it learns: the loss on samples that it doesn't learn from, which chooses the epoch to keep.

use kernels::wgpu::Buffer;
use kernels::{Commands, Dense, DenseDesc, Workspace, encode_all};

use crate::data::Class;
use crate::error::Result;
use crate::head::buffers::{ALIGNMENT, count, slice, zeros};
use crate::head::problem::Classed;
use crate::head::softmax::{log_softmax, top};
use crate::head::standardise::Standard;
use crate::head::table::{Memory, Table, row_of};
use crate::machine::device::Gpu;

/// Samples that are validated in one product.
pub(crate) const BATCH: usize = 256;

/// The validation part on the device, and what computes its logits.
pub(crate) struct Validation<'a> {
    gpu: &'a Gpu,
    table: Table<'a>,
    classes: &'a [Class],
    class_weights: &'a [f32],
    /// What gives the logits of a batch, for each batch of a submit.
    slots: Vec<Commands>,
    logits: Buffer,
    batch: usize,
    stride: usize,
}

impl<'a> Validation<'a> {
    /// Sends samples to the device, to be validated by the layer in `weight`, which is `[classes, row]`.
    ///
    /// # Errors
    /// The device has too little memory, or is lost.
    pub fn new(
        memory: &Memory<'a>,
        samples: &'a Classed<'a>,
        standard: &'a Standard,
        weight: &Buffer,
        class_weights: &'a [f32],
    ) -> Result<Self> {
        let gpu = memory.gpu;
        let (classes, all) = (class_weights.len(), samples.classes.len());
        let batch = BATCH.min(all.next_multiple_of(4));
        let table = Table::new(memory, samples.rows, standard, batch, all.div_ceil(batch))?;
        let desc = DenseDesc {
            batch: count("the batch", batch)?,
            width: count("features", row_of(standard.width()).0)?,
            classes: count("classes", classes)?,
        };
        let layer = Dense::new(&gpu.context, &desc)?;
        let workspace = Workspace::new(&gpu.context, layer.workspace_size())?;
        let stride = (batch * classes).next_multiple_of(ALIGNMENT);
        let slots = table.most / batch;
        let logits = zeros(&gpu.device, "validation logits", slots * stride);
        let slot = |slot: usize| -> Result<Commands> {
            let output = slice(&logits, slot, stride, batch * classes);
            let first = count("rows", slot * batch)?;
            Ok(layer.bind_forward(&workspace, table.on_device.batch(first), weight.slice(..), output)?)
        };
        let slots = (0..slots).map(slot).collect::<Result<Vec<_>>>()?;
        Ok(Self { gpu, table, classes: &samples.classes, class_weights, slots, logits, batch, stride })
    }

    /// Computes the mean loss by the weights of the classes, and the share that is right.
    ///
    /// # Errors
    /// The device is lost.
    pub fn validate(&self) -> Result<(f64, f64)> {
        let all: Vec<usize> = (0..self.classes.len()).collect();
        let (mut loss, mut weights, mut right) = (0.0, 0.0, 0);
        let mut logits_of_row = vec![0.0; self.class_weights.len()];
        for rows in all.chunks(self.table.most) {
            let slots = rows.len().div_ceil(self.batch);
            let mut placed = rows.to_vec();
            placed.resize(slots * self.batch, 0);
            self.table.place(&placed)?;
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            encode_all(&mut encoder, &self.slots[..slots]);
            self.gpu.queue.submit([encoder.finish()]);
            let logits = self.gpu.read(&self.logits)?;
            for (i, &row) in rows.iter().enumerate() {
                // Logits come with the classes first.
                let column = logits[i / self.batch * self.stride + i % self.batch..].iter().step_by(self.batch);
                logits_of_row.iter_mut().zip(column).for_each(|(to, &logit)| *to = logit);
                let class = self.classes[row];
                let weight = f64::from(self.class_weights[class.index()]);
                loss -= weight * log_softmax(&logits_of_row, class);
                weights += weight;
                right += usize::from(top(&logits_of_row, 1) == [class]);
            }
        }
        Ok((if weights > 0.0 { loss / weights } else { 0.0 }, right as f64 / self.classes.len() as f64))
    }
}
