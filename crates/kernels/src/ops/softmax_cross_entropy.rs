//! The loss of a classifier, and its gradient.

use crate::{
    Commands, Context, Error,
    context::{Bind, volume},
    params::params,
    window::{Lines, Window, show},
};
use std::ops::Range;
use wgpu::{Buffer, BufferSlice};

const OP: &str = "softmax_cross_entropy";

/// What the losses of the samples are scaled by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Divided by the sum, over the samples that aren't ignored, of sample weight times class weight of the label: the
    /// losses add up to the weighted mean.
    Mean,
    /// Not scaled: the losses add up to the weighted sum.
    Sum,
}

/// Sizes and options of a softmax cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftmaxCrossEntropyDesc {
    /// Samples.
    pub batch: u32,
    /// Classes.
    pub classes: u32,
    /// Share of the target that is spread over all classes, in [0, 1].
    pub label_smoothing: f64,
    /// Mean or sum.
    pub reduction: Reduction,
    /// Whether a weight for each class is given.
    pub class_weights: bool,
    /// Whether a weight for each sample is given.
    pub sample_weights: bool,
    /// Whether the gradient of the logits is wanted too.
    pub gradient: bool,
    /// Whether logits and their gradient are `[classes, batch]`, as [`Dense`](crate::Dense) gives and takes them.
    pub classes_first: bool,
}

impl SoftmaxCrossEntropyDesc {
    /// Takes the mean and its gradient, without smoothing and weights.
    pub fn new(batch: u32, classes: u32) -> Self {
        SoftmaxCrossEntropyDesc {
            batch,
            classes,
            label_smoothing: 0.0,
            reduction: Reduction::Mean,
            class_weights: false,
            sample_weights: false,
            gradient: true,
            classes_first: false,
        }
    }
}

/// The operands of a [`SoftmaxCrossEntropy`].
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxCrossEntropyBuffers<'a> {
    /// `[batch, classes]`, or `[classes, batch]` when the descriptor has classes first; finite.
    pub logits: BufferSlice<'a>,
    /// `[batch]`, u32: the class of each sample. A label of `classes` or more means that the sample is ignored.
    pub labels: BufferSlice<'a>,
    /// `[classes]`, 0 or more, when the descriptor has class weights.
    pub class_weights: Option<BufferSlice<'a>>,
    /// `[batch]`, 0 or more, when the descriptor has sample weights.
    pub sample_weights: Option<BufferSlice<'a>>,
    /// `[batch]`: their sum is the reduced loss.
    pub loss: BufferSlice<'a>,
    /// As the logits, when the descriptor wants the gradient.
    pub grad_logits: Option<BufferSlice<'a>>,
}

params! {
    SOFTMAX_CROSS_ENTROPY: struct Params {
        rows: u32,
        classes: u32,
        lanes: u32,
        groups: u32,
        logits_base: u32,
        row_base: u32,
        confidence: f32,
        spread: f32,
        mean: u32,
        has_class_weights: u32,
        has_sample_weights: u32,
        has_grad: u32,
        accumulate: u32,
        row_stride: u32,
        class_stride: u32,
        pad: u32,
    }
}

/// A planned softmax cross-entropy with its gradient.
///
/// ```text
/// p = softmax(logits[b]), y = labels[b], e = label_smoothing, w = class weights, s = sample weights
/// loss[b] = s[b]/W (-(1 - e) w[y] log p[y] - e/K sum over c of w[c] log p[c])
/// grad_logits[b,c] = s[b]/W (((1 - e) w[y] + e/K sum of w) p[c] - e/K w[c] - (1 - e) w[y] [c = y])
/// W = sum over b of s[b] w[labels[b]] for the mean, 1 for the sum
/// ```
///
/// A sample whose label is `classes` or more (such as -100 as a u32) is ignored: its loss and gradient are 0 and it doesn't
/// count in W. An integer sample weight acts as that many copies of the sample. Where W is 0, everything is 0.
///
/// # Shapes
/// As [`SoftmaxCrossEntropyBuffers`]: f32, labels u32, buffers of [`OPERAND_USAGES`](crate::OPERAND_USAGES). `loss` and `grad_logits` lie in buffers
/// that no other operand lies in.
///
/// # Numerics
/// The row's maximum is subtracted first, so logits of any finite size are safe. Sums in f32 over chains of K/64 + 96 terms;
/// exp and log as accurate as WGSL demands ((3 + 2 |x|) and 3 units in the last place). The twin derives the bound.
///
/// # Reference
/// Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception Architecture for Computer Vision", CVPR 2016,
/// section 7 (smoothing); weights and mean as `torch.nn.CrossEntropyLoss` combines them.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, logits: &wgpu::Buffer, labels: &wgpu::Buffer, loss: &wgpu::Buffer,
/// #            grad_logits: &wgpu::Buffer, encoder: &mut wgpu::CommandEncoder) -> Result<(), kernels::Error> {
/// use kernels::{SoftmaxCrossEntropy, SoftmaxCrossEntropyBuffers, SoftmaxCrossEntropyDesc, wgpu};
/// let desc = SoftmaxCrossEntropyDesc { label_smoothing: 0.1, ..SoftmaxCrossEntropyDesc::new(256, 10) };
/// let buffers = SoftmaxCrossEntropyBuffers {
///     logits: logits.slice(..),
///     labels: labels.slice(..),
///     class_weights: None,
///     sample_weights: None,
///     loss: loss.slice(..),
///     grad_logits: Some(grad_logits.slice(..)),
/// };
/// SoftmaxCrossEntropy::new(context, &desc)?.bind(&buffers)?.encode(encoder);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct SoftmaxCrossEntropy {
    context: Context,
    desc: SoftmaxCrossEntropyDesc,
}

impl SoftmaxCrossEntropy {
    /// Plans the loss.
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is zero, the logits have more than 2^32 elements or the smoothing is outside [0, 1];
    /// [`Error::Limit`] when a row of logits doesn't fit a binding, or with classes first all of them.
    pub fn new(context: &Context, desc: &SoftmaxCrossEntropyDesc) -> Result<Self, Error> {
        volume(OP, "logits", &[desc.batch, desc.classes])?;
        if !(0.0..=1.0).contains(&desc.label_smoothing) {
            return Err(Error::shape(
                OP,
                format_args!("label_smoothing is {}, a number in [0, 1] is expected", desc.label_smoothing),
            ));
        }
        context.room().check_anywhere(OP, "classes, the elements of a row,", desc.classes.into())?;
        if desc.classes_first {
            context.room().check(OP, "elements of logits", u64::from(desc.classes) * u64::from(desc.batch))?;
        }
        Ok(SoftmaxCrossEntropy { context: context.clone(), desc: *desc })
    }

    /// Ties the buffers. Logits beyond what one binding may show are taken in bands of rows.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit; [`Error::Shape`] where weights or
    /// gradient are given and not described, or the reverse.
    pub fn bind(&self, buffers: &SoftmaxCrossEntropyBuffers<'_>) -> Result<Commands, Error> {
        let desc = &self.desc;
        let (batch, classes) = (u64::from(desc.batch), u64::from(desc.classes));
        let required = [
            ("logits", buffers.logits, batch * classes),
            ("labels", buffers.labels, batch),
            ("loss", buffers.loss, batch),
        ];
        for (operand, slice, len) in required {
            self.context.check(OP, (operand, slice), len)?;
        }
        let optional = [
            ("class_weights", desc.class_weights, buffers.class_weights, classes),
            ("sample_weights", desc.sample_weights, buffers.sample_weights, batch),
            ("grad_logits", desc.gradient, buffers.grad_logits, batch * classes),
        ];
        for (operand, described, slice, len) in optional {
            match (described, slice) {
                (true, Some(slice)) => self.context.check(OP, (operand, slice), len)?,
                (false, None) => {}
                (true, None) => {
                    return Err(Error::shape(OP, format_args!("the descriptor has {operand}, the buffers have none")));
                }
                (false, Some(_)) => {
                    return Err(Error::shape(OP, format_args!("the buffers have {operand}, the descriptor has none")));
                }
            }
        }
        let read = [("logits", buffers.logits), ("labels", buffers.labels)];
        self.context.apart(OP, ("loss", buffers.loss), &read)?;
        if let Some(grad_logits) = buffers.grad_logits {
            let others = [read[0], read[1], ("loss", buffers.loss)];
            self.context.apart(OP, ("grad_logits", grad_logits), &others)?;
        }
        let totals = self.context.storage("kernels loss totals", 8);
        let mut commands = Commands::new(OP);
        // A plain sum needs neither divisor nor sum of the classes' weights.
        let normalised = desc.reduction == Reduction::Mean || desc.label_smoothing > 0.0;
        for rows in self.context.room().flat(batch).filter(|_| normalised) {
            self.normaliser(&mut commands, buffers, &totals, rows)?;
        }
        let rows = Lines { words: classes, count: batch, sliding: None };
        for band in self.context.room().bands(OP, "classes, the elements of a row,", [1, batch], &[rows])? {
            self.band(&mut commands, buffers, &totals, band.lines)?;
        }
        Ok(commands)
    }

    fn normaliser(
        &self,
        commands: &mut Commands,
        buffers: &SoftmaxCrossEntropyBuffers<'_>,
        totals: &Buffer,
        rows: Range<u64>,
    ) -> Result<(), Error> {
        let none = self.context.nothing()?;
        let params = self.context.uniform(&Params {
            accumulate: u32::from(rows.start > 0),
            groups: 1,
            ..self.params(&rows, 0, 0)
        })?;
        let entries = [
            (0, Bind::Uniform(&params)),
            (2, Bind::Slice(show(buffers.labels, rows.clone()))),
            (3, Bind::Slice(buffers.class_weights.unwrap_or(none.slice(..)))),
            (4, Bind::Slice(buffers.sample_weights.map_or(none.slice(..), |weights| show(weights, rows)))),
            (5, Bind::Slice(totals.slice(..))),
        ];
        let pipeline = self.context.pipeline(&shaders::SOFTMAX_CROSS_ENTROPY, "normaliser", &[]);
        commands.steps.push(self.context.dispatch(OP, &pipeline, &entries, 1)?);
        Ok(())
    }

    fn band(
        &self,
        commands: &mut Commands,
        buffers: &SoftmaxCrossEntropyBuffers<'_>,
        totals: &Buffer,
        rows: Range<u64>,
    ) -> Result<(), Error> {
        let classes = u64::from(self.desc.classes);
        let samples = Window::of(rows.clone());
        let elements = Window::of(rows.start * classes..rows.end * classes);
        let params = self.params(&rows, elements.base, samples.base);
        let workgroups = u64::from(params.groups);
        let params = self.context.uniform(&params)?;
        let [none, no_grad] = [self.context.nothing()?, self.context.nothing()?];
        let entries = [
            (0, Bind::Uniform(&params)),
            (1, Bind::Slice(elements.show(buffers.logits))),
            (2, Bind::Slice(samples.show(buffers.labels))),
            (3, Bind::Slice(buffers.class_weights.unwrap_or(none.slice(..)))),
            (4, Bind::Slice(buffers.sample_weights.map_or(none.slice(..), |weights| samples.show(weights)))),
            (5, Bind::Slice(totals.slice(..))),
            (6, Bind::Slice(samples.show(buffers.loss))),
            (7, Bind::Slice(buffers.grad_logits.map_or(no_grad.slice(..), |grad| elements.show(grad)))),
        ];
        let pipeline = self.context.pipeline(&shaders::SOFTMAX_CROSS_ENTROPY, "main", &[]);
        commands.steps.push(self.context.dispatch(OP, &pipeline, &entries, workgroups)?);
        Ok(())
    }

    fn params(&self, rows: &Range<u64>, logits_base: u64, row_base: u64) -> Params {
        let desc = &self.desc;
        let rows = (rows.end - rows.start) as u32;
        // About 16 classes a lane, as far as the workgroup goes.
        let lanes = (desc.classes / 16).clamp(1, 64).next_power_of_two();
        Params {
            rows,
            classes: desc.classes,
            lanes,
            groups: rows.div_ceil(64 / lanes),
            logits_base: logits_base as u32,
            row_base: row_base as u32,
            confidence: (1.0 - desc.label_smoothing) as f32,
            spread: (desc.label_smoothing / f64::from(desc.classes)) as f32,
            mean: u32::from(desc.reduction == Reduction::Mean),
            has_class_weights: u32::from(desc.class_weights),
            has_sample_weights: u32::from(desc.sample_weights),
            has_grad: u32::from(desc.gradient),
            accumulate: 0,
            row_stride: if desc.classes_first { 1 } else { desc.classes },
            class_stride: if desc.classes_first { desc.batch } else { 1 },
            pad: 0,
        }
    }
}
