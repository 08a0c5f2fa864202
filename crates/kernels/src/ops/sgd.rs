//! Gradient descent with momentum: the step of an optimiser.

use crate::{
    Commands, Context, Error,
    context::{Bind, volume},
    decay::check_rows,
    params::params,
    window::show,
};
use wgpu::{Buffer, BufferSlice, BufferUsages, Queue};

const OP: &str = "sgd";

/// The options of an optimiser's step that stay the same from step to step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdDesc {
    /// Parameters.
    pub len: u32,
    /// Parameters of a row: `len` unless told.
    pub row: u32,
    /// How many of each row's first parameters the weight decay is for, the rest being biases: all unless told.
    pub decayed: u32,
    /// Share of the momentum that is kept, from 0 (no momentum) up.
    pub momentum: f64,
    /// Share of the gradient that doesn't enter the momentum.
    pub dampening: f64,
    /// Whether the gradient is taken ahead, along the momentum.
    pub nesterov: bool,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
}

impl SgdDesc {
    /// Takes plain gradient descent.
    pub fn new(len: u32) -> Self {
        SgdDesc { len, row: len, decayed: len, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

/// The operands of an [`Sgd`] step.
#[derive(Debug, Clone, Copy)]
pub struct SgdBuffers<'a> {
    /// Parameters, `[len]`, updated in place.
    pub param: BufferSlice<'a>,
    /// Their gradient, `[len]`, in a buffer of its own.
    pub grad: BufferSlice<'a>,
    /// The momentum, `[len]`, when it isn't 0: written at the first step, updated in place at the others.
    pub momentum: Option<BufferSlice<'a>>,
}

params! {
    SGD: struct Params {
        learning_rate: f32,
        momentum: f32,
        undamped: f32,
        weight_decay: f32,
        nesterov: u32,
        first: u32,
        row: u32,
        decayed: u32,
    }
}

/// A planned step of stochastic gradient descent.
///
/// ```text
/// g = grad + weight_decay param
/// m = g at the first step, then momentum m + (1 - dampening) g
/// param = param - learning_rate (g + momentum m with nesterov, else m; g without momentum)
/// ```
///
/// # Shapes
/// All flat, `len` f32 elements, in different buffers of [`OPERAND_USAGES`](crate::OPERAND_USAGES). Descriptors count in f64, the device in f32.
///
/// # Numerics
/// No sums: each step moves a parameter by at most a few u (|param| + learning_rate (|g| + |m|)) from the exact step, u = 2^-24.
///
/// # Reference
/// Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning", ICML 2013,
/// section 2, with the momentum as `torch.optim.SGD` holds it: of gradients, not of steps.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, param: &wgpu::Buffer, grad: &wgpu::Buffer, momentum: &wgpu::Buffer,
/// #            device: &wgpu::Device, queue: &wgpu::Queue) -> Result<(), kernels::Error> {
/// use kernels::{Sgd, SgdBuffers, SgdDesc, wgpu};
/// let sgd = Sgd::new(context, &SgdDesc { momentum: 0.9, ..SgdDesc::new(5130) })?;
/// let buffers = SgdBuffers { param: param.slice(..), grad: grad.slice(..), momentum: Some(momentum.slice(..)) };
/// let update = sgd.bind(&buffers)?;
/// for step in 1..=100 {
///     update.set_step(queue, 0.1, step);
///     let mut encoder = device.create_command_encoder(&Default::default());
///     update.commands().encode(&mut encoder);
///     queue.submit([encoder.finish()]);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Sgd {
    context: Context,
    desc: SgdDesc,
}

/// A bound [`Sgd`]: commands to record, and the few numbers of a step.
#[derive(Debug, Clone)]
pub struct BoundSgd {
    desc: SgdDesc,
    params: Buffer,
    commands: Commands,
}

impl Sgd {
    /// Plans the step.
    ///
    /// # Errors
    /// [`Error::Limit`] when there are rows and they don't fit a binding; [`Error::Shape`] when `len` is zero or not whole rows, a number is negative or not finite, or Nesterov momentum comes without momentum or
    /// with dampening.
    pub fn new(context: &Context, desc: &SgdDesc) -> Result<Self, Error> {
        volume(OP, "param", &[desc.len])?;
        check_rows(context, OP, [desc.len, desc.row, desc.decayed])?;
        for (name, value) in [("momentum", desc.momentum), ("weight_decay", desc.weight_decay)] {
            if !(0.0..f64::INFINITY).contains(&value) {
                return Err(Error::shape(OP, format_args!("{name} is {value}, 0 or more is expected")));
            }
        }
        if !desc.dampening.is_finite() {
            return Err(Error::shape(OP, format_args!("dampening is {}, a number is expected", desc.dampening)));
        }
        if desc.nesterov && (desc.momentum == 0.0 || desc.dampening != 0.0) {
            return Err(Error::shape(
                OP,
                format_args!("Nesterov needs momentum and no dampening, got {} and {}", desc.momentum, desc.dampening),
            ));
        }
        Ok(Sgd { context: context.clone(), desc: *desc })
    }

    /// Ties the buffers. [`BoundSgd::set_step`] is to be called before the commands are first submitted.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit; [`Error::Shape`] for a
    /// momentum buffer without momentum, or the reverse.
    pub fn bind(&self, buffers: &SgdBuffers<'_>) -> Result<BoundSgd, Error> {
        let SgdBuffers { param, grad, momentum } = *buffers;
        let len = u64::from(self.desc.len);
        self.context.check(OP, ("param", param), len)?;
        self.context.check(OP, ("grad", grad), len)?;
        match (self.desc.momentum != 0.0, momentum) {
            (true, Some(momentum)) => self.context.check(OP, ("momentum", momentum), len)?,
            (false, None) => {}
            (true, None) => return Err(Error::shape(OP, "the descriptor has momentum, the buffers have none")),
            (false, Some(_)) => return Err(Error::shape(OP, "the buffers have momentum, the descriptor has none")),
        }
        self.context.apart(OP, ("param", param), &[("grad", grad)])?;
        if let Some(momentum) = momentum {
            self.context.apart(OP, ("momentum", momentum), &[("param", param), ("grad", grad)])?;
        }
        let none = self.context.nothing()?;
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let params = self.context.filled(usage, bytemuck::bytes_of(&self.desc.params(0.0, 1)))?;
        let lanes = u64::from(self.desc.lanes());
        let (entry, first) = if lanes == 4 { ("main", 1) } else { ("ragged", 4) };
        let pipeline = self.context.pipeline(&shaders::SGD, entry, &[]);
        let mut commands = Commands::new(OP);
        for range in self.context.room().flat(len) {
            let momentum = momentum.map_or(none.slice(..), |momentum| show(momentum, range.clone()));
            let workgroups = ((range.end - range.start) / lanes).div_ceil(64);
            let entries = [
                (0, Bind::Uniform(&params)),
                (first, Bind::Slice(show(param, range.clone()))),
                (first + 1, Bind::Slice(show(grad, range))),
                (first + 2, Bind::Slice(momentum)),
            ];
            commands.steps.push(self.context.dispatch(OP, &pipeline, &entries, workgroups)?);
        }
        Ok(BoundSgd { desc: self.desc, params, commands })
    }
}

impl SgdDesc {
    /// Counts the parameters of an invocation: whole vec4 where they never straddle a row.
    fn lanes(&self) -> u32 {
        if [self.len, self.row, self.decayed].iter().all(|size| size.is_multiple_of(4)) { 4 } else { 1 }
    }

    fn params(&self, learning_rate: f64, step: u32) -> Params {
        Params {
            learning_rate: learning_rate as f32,
            momentum: self.momentum as f32,
            undamped: (1.0 - self.dampening) as f32,
            weight_decay: self.weight_decay as f32,
            nesterov: u32::from(self.nesterov),
            first: u32::from(step <= 1),
            row: self.row / self.lanes(),
            decayed: self.decayed / self.lanes(),
        }
    }
}

impl BoundSgd {
    /// Sets the learning rate and the number of the step, 1 being the first (which starts the momentum), for the submits
    /// that follow.
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
