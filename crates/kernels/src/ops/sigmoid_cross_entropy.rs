//! The loss of a classifier that tells each class by itself, and its gradient.

use crate::{
    Commands, Context, Error,
    context::{Bind, volume},
    params::params,
};
use wgpu::BufferSlice;

const OP: &str = "sigmoid_cross_entropy";

/// Sizes of a sigmoid cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigmoidCrossEntropyDesc {
    /// Samples.
    pub batch: u32,
    /// Classes.
    pub classes: u32,
}

/// The operands of a [`SigmoidCrossEntropy`].
#[derive(Debug, Clone, Copy)]
pub struct SigmoidCrossEntropyBuffers<'a> {
    /// `[classes, batch]`, as [`Dense`](crate::Dense) gives them; finite.
    pub logits: BufferSlice<'a>,
    /// `[classes, batch]`, in [0, 1]: whether a sample is of a class, or how probably.
    pub targets: BufferSlice<'a>,
    /// `[batch]`, 0 or more.
    pub sample_weights: BufferSlice<'a>,
    /// `[batch]`: their sum is the weighted loss.
    pub loss: BufferSlice<'a>,
    /// As the logits.
    pub grad_logits: BufferSlice<'a>,
}

params! {
    SIGMOID_CROSS_ENTROPY: struct Params {
        batch: u32,
        classes: u32,
        pad: [u32; 2],
    }
}

/// A planned sigmoid cross-entropy with its gradient.
///
/// ```text
/// p = 1 / (1 + exp(-logits[c,b])), y = targets[c,b], s = sample_weights[b]
/// loss[b] = s sum over c of (-y log p - (1 - y) log (1 - p))
/// grad_logits[c,b] = s (p - y)
/// ```
///
/// # Shapes
/// As [`SigmoidCrossEntropyBuffers`]: f32, buffers of [`OPERAND_USAGES`](crate::OPERAND_USAGES). `loss` and `grad_logits` lie in buffers that no other
/// operand lies in.
///
/// # Numerics
/// Both logarithms are taken as one, of 1 + exp(−|z|), so logits of any finite size are safe. A sum in f32 over the classes; exp and log as accurate as WGSL demands
/// ((3 + 2 |x|) units in the last place, and 2^-21 near 1). The twin derives the bound.
///
/// # Reference
/// Bishop, "Pattern recognition and machine learning", 2006, section 4.3.2; combined as `torch.nn.BCEWithLogitsLoss` does.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, buffers: [&wgpu::Buffer; 5], encoder: &mut wgpu::CommandEncoder) -> Result<(), kernels::Error> {
/// use kernels::{SigmoidCrossEntropy, SigmoidCrossEntropyBuffers, SigmoidCrossEntropyDesc, wgpu};
/// let [logits, targets, sample_weights, loss, grad_logits] = buffers.map(|buffer| buffer.slice(..));
/// let buffers = SigmoidCrossEntropyBuffers { logits, targets, sample_weights, loss, grad_logits };
/// SigmoidCrossEntropy::new(context, &SigmoidCrossEntropyDesc { batch: 256, classes: 80 })?.bind(&buffers)?.encode(encoder);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct SigmoidCrossEntropy {
    context: Context,
    desc: SigmoidCrossEntropyDesc,
}

impl SigmoidCrossEntropy {
    /// Plans the loss.
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is zero or the logits have more than 2^32 elements; [`Error::Limit`] when they don't fit a binding.
    pub fn new(context: &Context, desc: &SigmoidCrossEntropyDesc) -> Result<Self, Error> {
        volume(OP, "logits", &[desc.classes, desc.batch])?;
        context.room().check(OP, "elements of logits", u64::from(desc.classes) * u64::from(desc.batch))?;
        Ok(SigmoidCrossEntropy { context: context.clone(), desc: *desc })
    }

    /// Ties the buffers.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit.
    pub fn bind(&self, buffers: &SigmoidCrossEntropyBuffers<'_>) -> Result<Commands, Error> {
        let SigmoidCrossEntropyBuffers { logits, targets, sample_weights, loss, grad_logits } = *buffers;
        let SigmoidCrossEntropyDesc { batch, classes } = self.desc;
        let (samples, elements) = (u64::from(batch), u64::from(batch) * u64::from(classes));
        let read = [
            (("logits", logits), elements),
            (("targets", targets), elements),
            (("sample_weights", sample_weights), samples),
        ];
        for (operand, len) in
            read.into_iter().chain([(("loss", loss), samples), (("grad_logits", grad_logits), elements)])
        {
            self.context.check(OP, operand, len)?;
        }
        let [logits_too, targets_too, weights_too] = read.map(|(operand, _)| operand);
        self.context.apart(OP, ("loss", loss), &[logits_too, targets_too, weights_too])?;
        let others = [logits_too, targets_too, weights_too, ("loss", loss)];
        self.context.apart(OP, ("grad_logits", grad_logits), &others)?;
        let params = self.context.uniform(&Params { batch, classes, pad: [0; 2] })?;
        let entries = [
            (0, Bind::Uniform(&params)),
            (1, Bind::Slice(logits)),
            (2, Bind::Slice(targets)),
            (3, Bind::Slice(sample_weights)),
            (4, Bind::Slice(loss)),
            (5, Bind::Slice(grad_logits)),
        ];
        let pipeline = self.context.pipeline(&shaders::SIGMOID_CROSS_ENTROPY, "main", &[]);
        let mut commands = Commands::new(OP);
        commands.steps.push(self.context.dispatch(OP, &pipeline, &entries, samples.div_ceil(64))?);
        Ok(commands)
    }
}
