//! The sum of two tensors, with or without ReLU.

use crate::{
    Commands, Context, Error,
    context::{Bind, volume},
    window::show,
};
use wgpu::BufferSlice;

const OP: &str = "add_relu";

/// Length of the tensors, and whether the sum is rectified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddReluDesc {
    /// Elements of each tensor.
    pub len: u32,
    /// Whether max(0, x) is applied to the sum.
    pub relu: bool,
}

/// The operands of an [`AddRelu`].
#[derive(Debug, Clone, Copy)]
pub struct AddReluBuffers<'a> {
    /// One summand, `len` elements.
    pub a: BufferSlice<'a>,
    /// The other.
    pub b: BufferSlice<'a>,
    /// The sum, in a buffer that neither summand lies in.
    pub output: BufferSlice<'a>,
}

/// A planned sum: `output[i] = max(0, a[i] + b[i])`, or the plain sum.
///
/// # Shapes
/// All three tensors are flat, `len` f32 elements in buffers of [`OPERAND_USAGES`](crate::OPERAND_USAGES). There is no broadcasting.
///
/// # Numerics
/// One addition in f32: `|error| <= u |a + b|`, u = 2^-24. NaN stays NaN.
///
/// # Reference
/// The residual sum of He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.2.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, a: &wgpu::Buffer, b: &wgpu::Buffer, output: &wgpu::Buffer,
/// #            encoder: &mut wgpu::CommandEncoder) -> Result<(), kernels::Error> {
/// use kernels::{AddRelu, AddReluBuffers, AddReluDesc, wgpu};
/// let add = AddRelu::new(context, &AddReluDesc { len: 4096, relu: true })?;
/// add.bind(&AddReluBuffers { a: a.slice(..), b: b.slice(..), output: output.slice(..) })?.encode(encoder);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct AddRelu {
    context: Context,
    desc: AddReluDesc,
}

impl AddRelu {
    /// Plans the sum.
    ///
    /// # Errors
    /// [`Error::Shape`] when `len` is zero.
    pub fn new(context: &Context, desc: &AddReluDesc) -> Result<Self, Error> {
        volume(OP, "a", &[desc.len])?;
        Ok(AddRelu { context: context.clone(), desc: *desc })
    }

    /// Ties the buffers.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit.
    pub fn bind(&self, buffers: &AddReluBuffers<'_>) -> Result<Commands, Error> {
        let AddReluBuffers { a, b, output } = *buffers;
        let len = u64::from(self.desc.len);
        for (operand, slice) in [("a", a), ("b", b), ("output", output)] {
            self.context.check(OP, (operand, slice), len)?;
        }
        self.context.apart(OP, ("output", output), &[("a", a), ("b", b)])?;
        let (entry, first, width) = if len.is_multiple_of(4) { ("main", 0, 4) } else { ("ragged", 3, 1) };
        let relu = f64::from(u8::from(self.desc.relu));
        let pipeline = self.context.pipeline(&shaders::ADD_RELU, entry, &[("relu", relu)]);
        let mut commands = Commands::new(OP);
        for range in self.context.room().flat(len) {
            let workgroups = ((range.end - range.start) / width).div_ceil(64);
            let entries = [
                (first, Bind::Slice(show(a, range.clone()))),
                (first + 1, Bind::Slice(show(b, range.clone()))),
                (first + 2, Bind::Slice(show(output, range))),
            ];
            commands.steps.push(self.context.dispatch(OP, &pipeline, &entries, workgroups)?);
        }
        Ok(commands)
    }
}
