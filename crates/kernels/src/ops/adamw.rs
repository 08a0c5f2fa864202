//! Adam with decoupled weight decay: the step of an optimiser.

use crate::{
    Commands, Context, Error,
    context::{Bind, volume},
    decay::check_rows,
    params::params,
    window::show,
};
use wgpu::{Buffer, BufferSlice, BufferUsages, Queue};

const OP: &str = "adamw";

/// The options of an optimiser's step that stay the same from step to step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWDesc {
    /// Parameters.
    pub len: u32,
    /// Parameters of a row: `len` unless told.
    pub row: u32,
    /// How many of each row's first parameters the weight decay is for, the rest being biases: all unless told.
    pub decayed: u32,
    /// Share of the mean gradient that is kept.
    pub beta1: f64,
    /// Share of the mean squared gradient that is kept.
    pub beta2: f64,
    /// The number added to the divisor, which keeps it from zero.
    pub eps: f64,
    /// Share of a parameter that is taken away at each step, times the learning rate.
    pub weight_decay: f64,
}

impl AdamWDesc {
    /// Takes the usual numbers: betas 0.9 and 0.999, eps 1e-8, weight decay 0.01.
    pub fn new(len: u32) -> Self {
        AdamWDesc { len, row: len, decayed: len, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// The operands of an [`AdamW`] step.
#[derive(Debug, Clone, Copy)]
pub struct AdamWBuffers<'a> {
    /// Parameters, `[len]`, updated in place.
    pub param: BufferSlice<'a>,
    /// Their gradient, `[len]`, in a buffer of its own.
    pub grad: BufferSlice<'a>,
    /// Mean gradient, `[len]`, updated in place: zeros before the first step.
    pub exp_avg: BufferSlice<'a>,
    /// Mean squared gradient, `[len]`, updated in place: zeros before the first step.
    pub exp_avg_sq: BufferSlice<'a>,
}

params! {
    ADAMW: struct Params {
        decay: f32,
        step_size: f32,
        correction: f32,
        eps: f32,
        beta1: f32,
        fresh1: f32,
        beta2: f32,
        fresh2: f32,
        row: u32,
        decayed: u32,
        pad: [u32; 2],
    }
}

/// A planned step of Adam with decoupled weight decay.
///
/// ```text
/// m = beta1 m + (1 - beta1) grad
/// v = beta2 v + (1 - beta2) grad^2
/// param = (1 - learning_rate weight_decay) param
///         - learning_rate / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps)          t = 1 at the first step
/// ```
///
/// # Shapes
/// All flat, `len` f32 elements, in different buffers of [`OPERAND_USAGES`](crate::OPERAND_USAGES). Descriptors count in f64, the device in f32; what
/// depends on t is computed in f64.
///
/// # Numerics
/// No sums: each step moves a parameter by at most a few u (|param| + |step|) from the exact step, u = 2^-24, where
/// neither m nor v is the small difference of larger numbers. Squares below 1e-38 count as zero.
///
/// # Reference
/// Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2, with `torch.optim.AdamW`'s
/// place for eps: outside the corrected root.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, param: &wgpu::Buffer, grad: &wgpu::Buffer, exp_avg: &wgpu::Buffer,
/// #            exp_avg_sq: &wgpu::Buffer, device: &wgpu::Device, queue: &wgpu::Queue) -> Result<(), kernels::Error> {
/// use kernels::{AdamW, AdamWBuffers, AdamWDesc, wgpu};
/// let update = AdamW::new(context, &AdamWDesc::new(5130))?.bind(&AdamWBuffers {
///     param: param.slice(..),
///     grad: grad.slice(..),
///     exp_avg: exp_avg.slice(..),
///     exp_avg_sq: exp_avg_sq.slice(..),
/// })?;
/// for step in 1..=100 {
///     update.set_step(queue, 1e-3, step);
///     let mut encoder = device.create_command_encoder(&Default::default());
///     update.commands().encode(&mut encoder);
///     queue.submit([encoder.finish()]);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct AdamW {
    context: Context,
    desc: AdamWDesc,
}

/// A bound [`AdamW`]: commands to record, and the few numbers of a step.
#[derive(Debug, Clone)]
pub struct BoundAdamW {
    desc: AdamWDesc,
    params: Buffer,
    commands: Commands,
}

impl AdamW {
    /// Plans the step.
    ///
    /// # Errors
    /// [`Error::Limit`] when there are rows and they don't fit a binding; [`Error::Shape`] when `len` is zero or not whole rows, a beta is outside [0, 1), eps isn't positive as an f32, or the weight decay is negative
    /// or not finite.
    pub fn new(context: &Context, desc: &AdamWDesc) -> Result<Self, Error> {
        volume(OP, "param", &[desc.len])?;
        check_rows(context, OP, [desc.len, desc.row, desc.decayed])?;
        for (name, value) in [("beta1", desc.beta1), ("beta2", desc.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::shape(OP, format_args!("{name} is {value}, a number in [0, 1) is expected")));
            }
        }
        if !(desc.eps >= f64::from(f32::MIN_POSITIVE) && desc.eps.is_finite()) {
            return Err(Error::shape(OP, format_args!("eps is {}, a positive f32 is expected", desc.eps)));
        }
        if !(0.0..f64::INFINITY).contains(&desc.weight_decay) {
            return Err(Error::shape(OP, format_args!("weight_decay is {}, 0 or more is expected", desc.weight_decay)));
        }
        Ok(AdamW { context: context.clone(), desc: *desc })
    }

    /// Ties the buffers. [`BoundAdamW::set_step`] is to be called before the commands are first submitted.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit.
    pub fn bind(&self, buffers: &AdamWBuffers<'_>) -> Result<BoundAdamW, Error> {
        let len = u64::from(self.desc.len);
        let operands = [
            ("param", buffers.param),
            ("grad", buffers.grad),
            ("exp_avg", buffers.exp_avg),
            ("exp_avg_sq", buffers.exp_avg_sq),
        ];
        for (operand, slice) in operands {
            self.context.check(OP, (operand, slice), len)?;
        }
        for (place, operand) in operands.into_iter().enumerate() {
            self.context.apart(OP, operand, &operands[..place])?;
        }
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let params = self.context.filled(usage, bytemuck::bytes_of(&self.desc.params(0.0, 1)))?;
        let lanes = u64::from(self.desc.lanes());
        let (entry, first) = if lanes == 4 { ("main", 1) } else { ("ragged", 5) };
        let pipeline = self.context.pipeline(&shaders::ADAMW, entry, &[]);
        let mut commands = Commands::new(OP);
        for range in self.context.room().flat(len) {
            let workgroups = ((range.end - range.start) / lanes).div_ceil(64);
            let slices = operands.map(|(_, slice)| Bind::Slice(show(slice, range.clone())));
            let entries: Vec<_> = (first..).zip(slices).chain([(0, Bind::Uniform(&params))]).collect();
            commands.steps.push(self.context.dispatch(OP, &pipeline, &entries, workgroups)?);
        }
        Ok(BoundAdamW { desc: self.desc, params, commands })
    }
}

impl AdamWDesc {
    /// Counts the parameters of an invocation: whole vec4 where they never straddle a row.
    fn lanes(&self) -> u32 {
        if [self.len, self.row, self.decayed].iter().all(|size| size.is_multiple_of(4)) { 4 } else { 1 }
    }

    fn params(&self, learning_rate: f64, step: u32) -> Params {
        let t = f64::from(step.max(1));
        Params {
            decay: (learning_rate * self.weight_decay) as f32,
            step_size: (learning_rate / (1.0 - self.beta1.powf(t))) as f32,
            correction: (1.0 / (1.0 - self.beta2.powf(t)).sqrt()) as f32,
            eps: self.eps as f32,
            beta1: self.beta1 as f32,
            fresh1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            fresh2: (1.0 - self.beta2) as f32,
            row: self.row / self.lanes(),
            decayed: self.decayed / self.lanes(),
            pad: [0; 2],
        }
    }
}

impl BoundAdamW {
    /// Sets the learning rate and the number of the step, 1 being the first, for the submits that follow.
    ///
    /// It is a write of the queue's: all steps recorded into one submit see the same. To take several steps in a
    /// submit, bind once for each of them.
    pub fn set_step(&self, queue: &Queue, learning_rate: f64, step: u32) {
        queue.write_buffer(&self.params, 0, bytemuck::bytes_of(&self.desc.params(learning_rate, step)));
    }

    /// Gives the commands to record for a step.
    pub fn commands(&self) -> &Commands {
        &self.commands
    }
}
