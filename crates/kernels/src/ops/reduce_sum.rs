//! The sum over the rows of a matrix.

use crate::{
    Commands, Context, Error, Workspace, WorkspaceSize,
    context::{Bind, volume},
    params::params,
    window::{Window, ranges},
};
use std::ops::Range;
use wgpu::BufferSlice;

const OP: &str = "reduce_sum";

/// Sizes of the matrix whose rows are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReduceSumDesc {
    /// Rows, the terms of each sum.
    pub rows: u32,
    /// Columns, the sums.
    pub columns: u32,
}

impl ReduceSumDesc {
    /// Takes the sum of all `len` elements: one column.
    pub fn total(len: u32) -> Self {
        ReduceSumDesc { rows: len, columns: 1 }
    }
}

params! {
    REDUCE_SUM: struct Params {
        input_base: u32,
        output_base: u32,
        elements: u32,
        outputs: u32,
    }
}

/// A planned sum over the rows of a matrix: `output[c] = sum over r of input[r,c]`.
///
/// The gradient of a bias is the `reduce_sum` of the output's gradient; with one column it is the sum of everything.
///
/// # Shapes
/// input: `[rows, columns]`; output: `[columns]`. Buffers of [`OPERAND_USAGES`](crate::OPERAND_USAGES). The partial sums, about sqrt(rows) rows, live
/// in a [`Workspace`].
///
/// # Numerics
/// Partial sums of sqrt(rows) terms in f32, then their sum: `|error| <= gamma(4 sqrt(rows) + 64) sum |input|`,
/// gamma(k) = k u / (1 - k u), u = 2^-24.
///
/// # Reference
/// Blocked summation: Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 2002, section 4.2.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, grad_output: &wgpu::Buffer, grad_bias: &wgpu::Buffer,
/// #            encoder: &mut wgpu::CommandEncoder) -> Result<(), kernels::Error> {
/// use kernels::{ReduceSum, ReduceSumDesc, wgpu};
/// let sum = ReduceSum::new(context, &ReduceSumDesc { rows: 256, columns: 10 })?;
/// sum.bind(grad_output.slice(..), grad_bias.slice(..))?.encode(encoder);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ReduceSum {
    context: Context,
    columns: u64,
    levels: Vec<Vec<Partial>>,
}

/// Rows of a level's input that one dispatch reads, and those of its output that it writes.
#[derive(Debug, Clone)]
struct Partial {
    input: Range<u64>,
    output: Range<u64>,
}

impl ReduceSum {
    /// Plans the sum.
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is zero or the matrix has more than 2^32 elements; [`Error::Limit`] when two rows don't
    /// fit a binding.
    pub fn new(context: &Context, desc: &ReduceSumDesc) -> Result<Self, Error> {
        volume(OP, "input", &[desc.rows, desc.columns])?;
        let (rows, columns) = (u64::from(desc.rows), u64::from(desc.columns));
        context.room().check_anywhere(OP, "elements of two rows", rows.min(2) * columns)?;
        let fit = context.room().lines(columns);
        // Chains of sqrt(rows) additions first, whatever is left in one chain after that, as far as bindings allow.
        let mut levels = Vec::new();
        let (mut left, mut chain) = (rows, (rows as f64).sqrt().ceil() as u64);
        while left > 1 || levels.is_empty() {
            let mut written = 0;
            let level: Vec<_> = ranges(left, fit)
                .map(|input| {
                    let first = written;
                    written += (input.end - input.start).div_ceil(chain);
                    Partial { input, output: first..written }
                })
                .collect();
            levels.push(level);
            (left, chain) = (written, fit);
        }
        Ok(ReduceSum { context: context.clone(), columns, levels })
    }

    /// Computes the scratch memory that it needs, for the partial sums.
    pub fn workspace_size(&self) -> WorkspaceSize {
        let mut size = WorkspaceSize::default();
        for (i, level) in self.levels.iter().enumerate().take(self.levels.len() - 1) {
            let bytes = self.written(level) * 4;
            size.bytes[i % 2] = size.bytes[i % 2].max(bytes);
        }
        size
    }

    fn written(&self, level: &[Partial]) -> u64 {
        level.last().map_or(0, |partial| partial.output.end) * self.columns
    }

    /// Ties the buffers, with a workspace of its own.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit.
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Commands, Error> {
        self.bind_in(&Workspace::new(&self.context, self.workspace_size())?, input, output)
    }

    /// Ties the buffers, with a workspace shared with other operations.
    ///
    /// # Errors
    /// As [`ReduceSum::bind`], and [`Error::Shape`] when the workspace is too small.
    pub fn bind_in(
        &self,
        workspace: &Workspace,
        input: BufferSlice<'_>,
        output: BufferSlice<'_>,
    ) -> Result<Commands, Error> {
        let rows = self.levels[0].last().map_or(0, |partial| partial.input.end);
        self.context.check(OP, ("input", input), rows * self.columns)?;
        self.context.check(OP, ("output", output), self.columns)?;
        self.context.apart(OP, ("output", output), &[("input", input)])?;
        let mut commands = Commands::new(OP);
        let mut from = input;
        for (i, level) in self.levels.iter().enumerate() {
            let to = match i + 1 == self.levels.len() {
                true => output,
                false => workspace.buffer(OP, i % 2, self.written(level) * 4)?,
            };
            for partial in level {
                self.partial(&mut commands, partial, from, to)?;
            }
            from = to;
        }
        Ok(commands)
    }

    fn partial(
        &self,
        commands: &mut Commands,
        partial: &Partial,
        from: BufferSlice<'_>,
        to: BufferSlice<'_>,
    ) -> Result<(), Error> {
        let (entry, first, lanes) = if self.columns.is_multiple_of(4) { ("main", 1, 4) } else { ("ragged", 3, 1) };
        let elements = |rows: &Range<u64>| rows.start * self.columns..rows.end * self.columns;
        let (read, written) = (Window::of(elements(&partial.input)), Window::of(elements(&partial.output)));
        let units = |rows: &Range<u64>| (rows.end - rows.start) * self.columns / lanes;
        let params = self.context.uniform(&Params {
            input_base: (read.base / lanes) as u32,
            output_base: (written.base / lanes) as u32,
            elements: units(&partial.input) as u32,
            outputs: units(&partial.output) as u32,
        })?;
        let entries = [
            (0, Bind::Uniform(&params)),
            (first, Bind::Slice(read.show(from))),
            (first + 1, Bind::Slice(written.show(to))),
        ];
        let pipeline = self.context.pipeline(&shaders::REDUCE_SUM, entry, &[]);
        let workgroups = units(&partial.output).div_ceil(64);
        commands.steps.push(self.context.dispatch(OP, &pipeline, &entries, workgroups)?);
        Ok(())
    }
}
