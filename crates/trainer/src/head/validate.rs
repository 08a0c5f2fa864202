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
use crate::machine::gpu::Gpu;

/// Samples that are validated in one product.
pub(crate) const BATCH: usize = 256;

/// What a head says of samples that it doesn't learn from, added up.
pub(crate) struct Judged<'a> {
    class_weights: &'a [f32],
    loss: f64,
    weights: f64,
    right: usize,
    all: usize,
}

impl<'a> Judged<'a> {
    pub fn new(class_weights: &'a [f32]) -> Self {
        Self { class_weights, loss: 0.0, weights: 0.0, right: 0, all: 0 }
    }

    /// Adds a sample by its logits and its class.
    pub fn add(&mut self, logits: &[f32], class: Class) {
        let weight = f64::from(self.class_weights[class.index()]);
        self.loss -= weight * log_softmax(logits, class);
        self.weights += weight;
        self.right += usize::from(top(logits, 1) == [class]);
        self.all += 1;
    }

    /// Gives the mean loss by the weights of the classes, and the share that is right.
    pub fn means(&self) -> (f64, f64) {
        let loss = if self.weights > 0.0 { self.loss / self.weights } else { 0.0 };
        (loss, self.right as f64 / self.all as f64)
    }
}

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
        let (classes, all) = (class_weights.len(), samples.len());
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
        Ok(Self { gpu, table, classes: samples.classes(), class_weights, slots, logits, batch, stride })
    }

    /// Computes the mean loss by the weights of the classes, and the share that is right.
    ///
    /// # Errors
    /// The device is lost.
    pub fn validate(&self) -> Result<(f64, f64)> {
        let all: Vec<usize> = (0..self.classes.len()).collect();
        let mut judged = Judged::new(self.class_weights);
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
                judged.add(&logits_of_row, self.classes[row]);
            }
        }
        Ok(judged.means())
    }
}
