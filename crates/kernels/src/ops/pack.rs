//! Packs strided matrices into padded rows and panels: transposing, padding, layouts, f32 to f16.

use crate::{
    Commands, Context, Error, OverflowFlag, Precision,
    context::{Bind, volume},
    mirror,
    params::params,
    step::Step,
    window::{ranges, show},
};
use wgpu::{BufferSlice, TextureView};

const OP: &str = "pack";

/// A packing of strided matrices into rows of whole `vec4`, padded with zeros, in panels of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackDesc {
    /// Matrices.
    pub batch: u32,
    /// Rows of each.
    pub rows: u32,
    /// Columns of each.
    pub columns: u32,
    /// Elements of the input from one row to the next.
    pub row_stride: u32,
    /// Elements from one column to the next.
    pub column_stride: u32,
    /// Elements from one matrix to the next.
    pub batch_stride: u32,
    /// Rows of the output: `rows` or more, the rest zero.
    pub padded_rows: u32,
    /// Columns of a panel of the output, a multiple of 4.
    pub panel: u32,
    /// How the output is stored; the input is f32.
    pub precision: Precision,
}

impl PackDesc {
    /// Takes a row-major matrix, each row padded to whole `vec4`, to f32.
    ///
    /// ```
    /// assert_eq!(kernels::PackDesc::rows(10, 6).output_len(), 10 * 8);
    /// ```
    pub fn rows(rows: u32, columns: u32) -> Self {
        PackDesc {
            batch: 1,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
            batch_stride: 0,
            padded_rows: rows,
            panel: columns.next_multiple_of(4),
            precision: Precision::F32,
        }
    }

    /// Takes NCHW to NHWC, the channels padded to a multiple of 4: `[batch, height width, ceil4(channels)]`.
    ///
    /// ```
    /// let desc = kernels::PackDesc::nchw_to_nhwc(8, 3, 224, 224);
    /// assert_eq!(desc.output_len(), 8 * 224 * 224 * 4);
    /// ```
    pub fn nchw_to_nhwc(batch: u32, channels: u32, height: u32, width: u32) -> Self {
        let area = height.saturating_mul(width);
        PackDesc {
            batch,
            rows: area,
            columns: channels,
            row_stride: 1,
            column_stride: area,
            batch_stride: area.saturating_mul(channels),
            padded_rows: area,
            panel: channels.next_multiple_of(4),
            precision: Precision::F32,
        }
    }

    /// Tells whether each row of the output is the next row of the input.
    fn rows_follow(&self) -> bool {
        let rows = (self.batch, self.column_stride, self.row_stride, self.padded_rows);
        rows == (1, 1, self.columns, self.rows) && self.panels() == 1
    }

    fn panels(&self) -> u32 {
        self.columns.div_ceil(self.panel.max(1))
    }

    /// Counts the elements of the output, `[batch, panels, padded_rows, panel]`.
    pub fn output_len(&self) -> u64 {
        [self.batch, self.panels(), self.padded_rows, self.panel].iter().map(|&size| u64::from(size)).product()
    }

    /// Counts the elements of the input up to the last one read.
    pub fn input_len(&self) -> u64 {
        let last = |size: u32, stride: u32| u64::from(size.saturating_sub(1)) * u64::from(stride);
        1 + last(self.batch, self.batch_stride)
            + last(self.rows, self.row_stride)
            + last(self.columns, self.column_stride)
    }
}

params! {
    PACK: struct Params {
        rows: u32,
        columns: u32,
        padded_rows: u32,
        width4: u32,
        panels: u32,
        row: u32,
        column: u32,
        batch: u32,
        first: u32,
        total: u32,
        pad: [u32; 2],
    }
}

/// A planned packing: `output[b, panel, r, c] = input[b batch_stride + r row_stride + (panel width + c) column_stride]`.
///
/// It transposes, pads and changes layouts (NCHW to NHWC); matmul and conv2d use it on what they can't read as it is.
///
/// # Shapes
/// input: [`PackDesc::input_len`] elements or more, f32; output: [`PackDesc::output_len`], f32 or f16 as the [`Precision`] says.
///
/// # Numerics
/// Exact; to f16 rounded as [`Precision`] says.
///
/// # Reference
/// The packing of operands for matrix products: Goto and van de Geijn, "Anatomy of High-Performance Matrix
/// Multiplication", ACM TOMS 34(3), 2008, section 4.
#[derive(Debug, Clone)]
pub struct Pack {
    context: Context,
    desc: PackDesc,
}

impl Pack {
    /// Plans the packing.
    ///
    /// # Errors
    /// [`Error::Shape`] for an empty matrix, a panel that isn't a multiple of 4, or fewer padded rows than rows.
    pub fn new(context: &Context, desc: &PackDesc) -> Result<Self, Error> {
        volume(OP, "input", &[desc.batch, desc.rows, desc.columns])?;
        if desc.panel == 0 || !desc.panel.is_multiple_of(4) {
            return Err(Error::shape(OP, format_args!("panel is {}, a multiple of 4 is expected", desc.panel)));
        }
        if desc.padded_rows < desc.rows {
            return Err(Error::shape(OP, format_args!("{} padded rows for {} rows", desc.padded_rows, desc.rows)));
        }
        volume(OP, "output", &[desc.batch, desc.panels(), desc.padded_rows, desc.panel])?;
        if desc.input_len() > u64::from(u32::MAX) {
            return Err(Error::shape(OP, format_args!("the input spans {} elements", desc.input_len())));
        }
        Ok(Pack { context: context.clone(), desc: *desc })
    }

    /// Plans the same packing, which sets this flag where an output in f16 is beyond f16 or NaN.
    pub fn watched(&self, flag: &OverflowFlag) -> Self {
        Pack { context: self.context.watched(flag), desc: self.desc }
    }

    /// Ties the buffers. The output is written in windows where it exceeds what one binding may show; the input must
    /// fit one binding, or have its rows one after the other.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer, [`Error::Limit`] for the input.
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Commands, Error> {
        let elements = input.size() / 4;
        if elements < self.desc.input_len() {
            return Err(Error::Size {
                op: OP,
                operand: "input",
                expected: self.desc.input_len() * 4,
                got: input.size(),
            });
        }
        let allowed = self.context.limits().max_storage_buffer_binding_size;
        if input.size() > allowed && self.desc.rows_follow() {
            return self.bind_rows(input, output);
        }
        Error::limit(OP, "bytes of the input", input.size(), "max_storage_buffer_binding_size", allowed)?;
        self.context.check(OP, ("input", input), elements)?;
        let words = self.desc.output_len() / self.numbers();
        self.context.check(OP, ("output", output), words)?;
        self.context.apart(OP, ("output", output), &[("input", input)])?;
        let entry = if self.desc.precision == Precision::F16 { "halves" } else { "main" };
        self.steps(entry, (1, Bind::Slice(input)), output)
    }

    /// Binds as [`Pack::bind`] does, some rows at a time: their number is a multiple of 64, so that each part starts where every device can bind.
    fn bind_rows(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Commands, Error> {
        let desc = &self.desc;
        let (columns, all) = (u64::from(desc.columns), u64::from(desc.rows));
        let room = self.context.room();
        let panel = u64::from(desc.panel);
        room.check(OP, "elements of 64 rows", 64 * panel)?;
        let words = panel / self.numbers();
        let mut commands = Commands::new(OP);
        for rows in ranges(all, room.aligned_lines(panel, 64)) {
            let count = (rows.end - rows.start) as u32;
            let part = PackDesc { rows: count, padded_rows: count, ..*desc };
            let part = Pack::new(&self.context, &part)?;
            let from = show(input, rows.start * columns..rows.end * columns);
            commands.steps.extend(part.bind(from, show(output, rows.start * words..rows.end * words))?.steps);
        }
        Ok(commands)
    }

    /// Binds as [`Pack::bind`] does, reading a linear texture.
    pub(crate) fn bind_texture(&self, input: &TextureView, output: BufferSlice<'_>) -> Result<Commands, Error> {
        self.steps("from_texture", (2, Bind::Texture(input)), output)
    }

    /// Counts the numbers in a 32-bit word of the output.
    fn numbers(&self) -> u64 {
        if self.desc.precision == Precision::F16 { 2 } else { 1 }
    }

    fn steps(&self, entry: &'static str, input: (u32, Bind<'_>), output: BufferSlice<'_>) -> Result<Commands, Error> {
        let desc = &self.desc;
        let pipeline = self.context.pipeline(&shaders::PACK, entry, &[]);
        let overflow = self.context.overflow()?;
        let mut commands = Commands::new(OP);
        let (numbers, output_binding) = (self.numbers(), if self.desc.precision == Precision::F16 { 4 } else { 3 });
        for words in self.context.room().flat(desc.output_len() / numbers) {
            let range = words.start * numbers..words.end * numbers;
            let params = self.context.uniform(&Params {
                rows: desc.rows,
                columns: desc.columns,
                padded_rows: desc.padded_rows,
                width4: desc.panel / 4,
                panels: desc.panels(),
                row: desc.row_stride,
                column: desc.column_stride,
                batch: desc.batch_stride,
                first: (range.start / 4) as u32,
                total: ((range.end - range.start) / 4) as u32,
                pad: [0; 2],
            })?;
            let workgroups = ((range.end - range.start) / 4).div_ceil(64);
            let mut entries =
                vec![(0, Bind::Uniform(&params)), input.clone(), (output_binding, Bind::Slice(show(output, words)))];
            if desc.precision == Precision::F16 {
                entries.push((5, Bind::Slice(overflow.word())));
            }
            commands.steps.push(self.context.dispatch(OP, &pipeline, &entries, workgroups)?);
        }
        Ok(commands)
    }
}

/// Makes the steps that bring `matrix` (in a buffer) into `packed` and from there into the linear texture `mirrored`.
pub(crate) fn pack_and_mirror(
    context: &Context,
    desc: &PackDesc,
    matrix: BufferSlice<'_>,
    packed: BufferSlice<'_>,
    mirrored: &wgpu::Texture,
) -> Result<Vec<Step>, Error> {
    let mut steps = Pack::new(context, desc)?.bind(matrix, packed)?.steps;
    steps.push(mirror::copy(packed, mirrored));
    Ok(steps)
}
