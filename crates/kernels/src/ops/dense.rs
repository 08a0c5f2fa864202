//! A dense layer on rows picked out of a table, and the gradient of its weights.

use crate::{
    Commands, Context, Error, Family, Matmul, MatmulBuffers, MatmulDesc, Workspace, WorkspaceSize,
    context::{Bind, volume},
    mirror,
    params::params,
    step::Step,
};
use wgpu::{Buffer, BufferSlice, Queue, Texture, TextureView};

const OP: &str = "dense";
/// Classes of a block, and blocks that the registers of a workgroup hold, in the texture family.
const BLOCK: u32 = 16;
const BLOCKS: u32 = 4;
/// The part of the workspace that holds the picked rows, in the tiled family; the products take the other.
const ROWS: usize = 0;

/// Sizes of a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DenseDesc {
    /// Rows that are picked, a multiple of 4.
    pub batch: u32,
    /// Elements of a row, a multiple of 4.
    pub width: u32,
    /// Outputs.
    pub classes: u32,
}

/// Rows on the device, from which [`Dense`] picks batches: as many rows as fit one binding or one texture.
#[derive(Debug, Clone)]
pub struct RowTable {
    rows: u32,
    width: u32,
    picks: u32,
    storage: Storage,
}

/// Rows of a table that [`Dense`] works on: those of its picks from `first` on.
#[derive(Debug, Clone, Copy)]
pub struct RowBatch<'a> {
    table: &'a RowTable,
    first: u32,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one a head, in a struct that is moved once")]
enum Storage {
    Textures { rows: (Texture, TextureView), picks: (Texture, TextureView) },
    Buffers { rows: Buffer, picks: Buffer },
}

impl RowTable {
    /// Computes the most rows of so many elements that a table can have on this device, whatever memory is left.
    pub fn capacity(context: &Context, width: u32) -> u64 {
        let elements = match context.tune().family {
            Family::Texture => mirror::capacity(context.device()) * 4,
            Family::Tiled => context.room().binding.min(context.limits().max_buffer_size / 4),
        };
        (elements / u64::from(width.max(1))).min(u64::from(u32::MAX) / u64::from(width.max(1)))
    }

    /// Makes a table of zeros, with room for `picks` (a multiple of 4) numbers of rows, all 0.
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is zero, or width or picks no multiple of 4; [`Error::Limit`] beyond
    /// [`RowTable::capacity`]; [`Error::Feature`] when the texture family was forced on a device that can't run it.
    pub fn new(context: &Context, rows: u32, width: u32, picks: u32) -> Result<Self, Error> {
        volume(OP, "table", &[rows, width])?;
        volume(OP, "picks", &[picks])?;
        whole("width", width)?;
        whole("picks", picks)?;
        let allowed = RowTable::capacity(context, width);
        Error::limit(OP, "rows of the table", u64::from(rows), "largest binding or texture", allowed)?;
        let elements = u64::from(rows) * u64::from(width);
        let storage = match context.family(OP)? {
            Family::Texture => {
                Error::limit(OP, "picks", u64::from(picks), "largest texture", 4 * mirror::capacity(context.device()))?;
                let linear = |texels| {
                    let texture = mirror::linear_texture(context.device(), texels);
                    let view = texture.create_view(&Default::default());
                    (texture, view)
                };
                Storage::Textures { rows: linear(elements / 4), picks: linear(u64::from(picks) / 4) }
            }
            Family::Tiled => {
                Error::limit(OP, "picks", u64::from(picks), "largest binding", context.room().binding)?;
                Storage::Buffers {
                    rows: context.storage("kernels table", elements * 4),
                    picks: context.storage("kernels picks", u64::from(picks) * 4),
                }
            }
        };
        Ok(RowTable { rows, width, picks, storage })
    }

    /// Takes the rows of its picks from `first` on, a multiple of 4.
    pub fn batch(&self, first: u32) -> RowBatch<'_> {
        RowBatch { table: self, first }
    }

    /// Writes whole rows, from row `first` on, by the queue's own staging: submit now and then when there are many, since staged
    /// bytes stay until then.
    ///
    /// # Errors
    /// [`Error::Shape`] when the data isn't whole rows or reaches past the last one.
    pub fn write(&self, queue: &Queue, first: u32, data: &[f32]) -> Result<(), Error> {
        let (first, width) = (u64::from(first), u64::from(self.width));
        let end = first * width + data.len() as u64;
        if !(data.len() as u64).is_multiple_of(width) || end > u64::from(self.rows) * width {
            return Err(Error::shape(
                OP,
                format_args!(
                    "{} elements from row {first} on aren't whole rows of a table of {} x {width}",
                    data.len(),
                    self.rows
                ),
            ));
        }
        match &self.storage {
            Storage::Textures { rows: (texture, _), .. } => mirror::write_at(queue, texture, first * width / 4, data),
            Storage::Buffers { rows, .. } => queue.write_buffer(rows, first * width * 4, bytemuck::cast_slice(data)),
        }
        Ok(())
    }

    /// Writes the numbers of rows to pick, from the first pick on.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are more than the table has room for, not a multiple of 4, or one is no row's number.
    pub fn pick(&self, queue: &Queue, picks: &[u32]) -> Result<(), Error> {
        let rows = self.rows;
        if picks.len() as u64 > u64::from(self.picks) || !picks.len().is_multiple_of(4) {
            let (got, room) = (picks.len(), self.picks);
            return Err(Error::shape(OP, format_args!("{got} picks, a multiple of 4 up to {room} is expected")));
        }
        if let Some(pick) = picks.iter().find(|&&pick| pick >= rows) {
            return Err(Error::shape(OP, format_args!("row {pick} is picked, the table has {rows}")));
        }
        match &self.storage {
            Storage::Textures { picks: (texture, _), .. } => {
                mirror::write_at(queue, texture, 0, bytemuck::cast_slice(picks));
            }
            Storage::Buffers { picks: buffer, .. } => queue.write_buffer(buffer, 0, bytemuck::cast_slice(picks)),
        }
        Ok(())
    }
}

/// Checks that a size counts in whole `vec4`.
fn whole(operand: &str, size: u32) -> Result<(), Error> {
    match size.is_multiple_of(4) {
        true => Ok(()),
        false => Err(Error::shape(OP, format_args!("{operand} is {size}, a multiple of 4 is expected"))),
    }
}

params! {
    DENSE, DENSE_TEXTURE: struct Params {
        classes: u32,
        n4: u32,
        k4: u32,
        width4: u32,
        first: u32,
        tiles: u32,
        groups: u32,
        class_first: u32,
    }
}

/// Classes that one dispatch of the texture family computes: from the first on, `tiles` times `blocks` blocks.
struct Part {
    first: u32,
    blocks: u32,
    tiles: u32,
}

/// A product of the texture family: its entry point, A's part of the workspace, columns and depth in vec4.
struct Product {
    entry: &'static str,
    a: usize,
    n4: u32,
    k4: u32,
}

/// A planned dense layer on rows picked out of a [`RowTable`], and the gradient of its weights.
///
/// ```text
/// output[c,b] = sum over i of weight[c,i] table[picks[first + b], i]
/// grad_weight[c,i] = sum over b of grad_output[c,b] table[picks[first + b], i]
/// ```
///
/// A bias is the weight of an element that is 1 in every row. Classes come first in the output, so that both products have them
/// as rows and read the table as it lies.
///
/// # Shapes
/// weight, grad_weight: `[classes, width]`; output, grad_output: `[classes, batch]`, f32. Batch, width and first pick are multiples of
/// 4. Buffers of [`OPERAND_USAGES`](crate::OPERAND_USAGES).
///
/// # Numerics
/// Sums in f32; `|error| <= 2 gamma(k) sum |a b|`, k = width forward and batch backward.
///
/// # Reference
/// The products are those of Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323,
/// 1986; for their tiling see [`Matmul`].
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, queue: &wgpu::Queue, weight: &wgpu::Buffer, output: &wgpu::Buffer, rows: &[f32],
/// #            encoder: &mut wgpu::CommandEncoder) -> Result<(), kernels::Error> {
/// use kernels::{Dense, DenseDesc, RowTable, Workspace, wgpu};
/// let table = RowTable::new(context, 1000, 512, 64)?;
/// table.write(queue, 0, rows)?;
/// table.pick(queue, &[7; 64])?;
/// let dense = Dense::new(context, &DenseDesc { batch: 64, width: 512, classes: 10 })?;
/// let workspace = Workspace::new(context, dense.workspace_size())?;
/// dense.bind_forward(&workspace, table.batch(0), weight.slice(..), output.slice(..))?.encode(encoder);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Dense {
    context: Context,
    desc: DenseDesc,
    family: Family,
    lanes: u32,
}

impl Dense {
    /// Plans the layer.
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is zero, batch or width is no multiple of 4, or an operand has more than 2^32 elements;
    /// [`Error::Limit`] when one doesn't fit a binding; [`Error::Feature`] when the texture family was forced on a device that can't run it.
    pub fn new(context: &Context, desc: &DenseDesc) -> Result<Self, Error> {
        let family = context.family(OP)?;
        whole("batch", desc.batch)?;
        whole("width", desc.width)?;
        let mut largest = 0;
        for (operand, sizes) in [
            ("weight", [desc.classes, desc.width]),
            ("output", [desc.classes, desc.batch]),
            ("batch", [desc.batch, desc.width]),
        ] {
            largest = volume(OP, operand, &sizes)?.max(largest);
        }
        let mut allowed = context.room().binding;
        if family == Family::Texture {
            allowed = allowed.min(4 * mirror::capacity(context.device()));
        }
        Error::limit(OP, "elements of weight, output or batch", largest, "largest binding or texture", allowed)?;
        let lanes = context.lanes();
        Ok(Dense { context: context.clone(), desc: *desc, family, lanes })
    }

    /// Spreads the classes evenly over as few workgroups as can hold them: those with a block more, and the others.
    fn parts(&self) -> impl Iterator<Item = Part> {
        let blocks = self.desc.classes.div_ceil(BLOCK);
        let tiles = blocks.div_ceil(BLOCKS);
        let (less, larger) = (blocks / tiles, blocks % tiles);
        let parts = [
            Part { first: 0, blocks: less + 1, tiles: larger },
            Part { first: larger * (less + 1) * BLOCK, blocks: less, tiles: tiles - larger },
        ];
        parts.into_iter().filter(|part| part.tiles > 0)
    }

    /// Plans the tiled family's products, forward and backward.
    fn products(&self) -> [Matmul; 2] {
        let DenseDesc { batch, width, classes } = self.desc;
        let forward = MatmulDesc { transpose_b: true, ..MatmulDesc::new(classes, width, batch) };
        [forward, MatmulDesc::new(classes, batch, width)].map(|desc| Matmul::tiled_default(&self.context, &desc))
    }

    /// Computes the scratch memory that it needs.
    pub fn workspace_size(&self) -> WorkspaceSize {
        let DenseDesc { batch, width, classes } = self.desc;
        let [batch, width, classes] = [batch, width, classes].map(u64::from);
        let mut size = WorkspaceSize::default();
        match self.family {
            Family::Texture => size.texels[..2].copy_from_slice(&[classes * width / 4, classes * batch / 4]),
            Family::Tiled => {
                let [forward, backward] = self.products().map(|product| product.workspace_size());
                size = forward.union(backward);
                size.bytes[ROWS] = batch * width * 4;
            }
        }
        size
    }

    /// Binds the layer on a batch of rows.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit; [`Error::Shape`] for a table of
    /// another width or family, picks past its last, or a workspace that is too small.
    pub fn bind_forward(
        &self,
        workspace: &Workspace,
        rows: RowBatch<'_>,
        weight: BufferSlice<'_>,
        output: BufferSlice<'_>,
    ) -> Result<Commands, Error> {
        let DenseDesc { batch, width, classes } = self.desc;
        let (weights, outputs) = (u64::from(classes) * u64::from(width), u64::from(classes) * u64::from(batch));
        self.check(rows, [("weight", weight, weights), ("output", output, outputs)])?;
        let mut commands = Commands::new(OP);
        match &rows.table.storage {
            Storage::Textures { .. } => {
                let product = self.forward();
                commands.steps = self.texture_steps(workspace, rows, &product, (weight, output))?;
            }
            Storage::Buffers { rows: table, picks } => {
                let batch_rows = workspace.buffer(OP, ROWS, self.workspace_size().bytes[ROWS])?;
                let params = self.params(rows.first, batch * (width / 4), u64::from(batch * (width / 4)).div_ceil(64));
                let uniform = self.context.uniform(&params)?;
                let entries = [
                    (0, Bind::Uniform(&uniform)),
                    (1, Bind::Slice(table.slice(..))),
                    (2, Bind::Slice(picks.slice(..))),
                    (3, Bind::Slice(batch_rows)),
                ];
                let pipeline = self.context.pipeline(&shaders::DENSE, "gather", &[]);
                commands.steps.push(self.context.dispatch(OP, &pipeline, &entries, u64::from(params.groups))?);
                let buffers = MatmulBuffers { a: weight, b: batch_rows, bias: None, output };
                let [forward, _] = self.products();
                commands.steps.extend(forward.bind_in(workspace, &buffers)?.steps);
            }
        }
        Ok(commands)
    }

    /// Binds the gradient of the weights for the same rows. It is recorded after [`Dense::bind_forward`] of the same picks, with no other
    /// use of the workspace between: the tiled family reads the rows that the forward pass left there.
    ///
    /// # Errors
    /// As [`Dense::bind_forward`].
    pub fn bind_backward(
        &self,
        workspace: &Workspace,
        rows: RowBatch<'_>,
        grad_output: BufferSlice<'_>,
        grad_weight: BufferSlice<'_>,
    ) -> Result<Commands, Error> {
        let DenseDesc { batch, width, classes } = self.desc;
        let (weights, outputs) = (u64::from(classes) * u64::from(width), u64::from(classes) * u64::from(batch));
        self.check(rows, [("grad_output", grad_output, outputs), ("grad_weight", grad_weight, weights)])?;
        let mut commands = Commands::new(OP);
        match &rows.table.storage {
            Storage::Textures { .. } => {
                let product = self.backward();
                commands.steps = self.texture_steps(workspace, rows, &product, (grad_output, grad_weight))?;
            }
            Storage::Buffers { .. } => {
                let b = workspace.buffer(OP, ROWS, self.workspace_size().bytes[ROWS])?;
                let buffers = MatmulBuffers { a: grad_output, b, bias: None, output: grad_weight };
                let [_, backward] = self.products();
                commands.steps.extend(backward.bind_in(workspace, &buffers)?.steps);
            }
        }
        Ok(commands)
    }

    fn check(
        &self,
        RowBatch { table, first }: RowBatch<'_>,
        operands: [(&'static str, BufferSlice<'_>, u64); 2],
    ) -> Result<(), Error> {
        for (operand, slice, len) in operands {
            self.context.check(OP, (operand, slice), len)?;
        }
        let [read, written] = operands.map(|(operand, slice, _)| (operand, slice));
        self.context.apart(OP, written, &[read])?;
        whole("the first pick", first)?;
        if u64::from(first) + u64::from(self.desc.batch) > u64::from(table.picks) {
            let (batch, picks) = (self.desc.batch, table.picks);
            return Err(Error::shape(OP, format_args!("{batch} picks from {first} on, the table has {picks}")));
        }
        if table.width != self.desc.width {
            let (got, expected) = (table.width, self.desc.width);
            return Err(Error::shape(OP, format_args!("the table's width is {got}, the layer's {expected}")));
        }
        match (&table.storage, self.family) {
            (Storage::Textures { .. }, Family::Texture) | (Storage::Buffers { .. }, Family::Tiled) => Ok(()),
            _ => Err(Error::shape(OP, "the table was made for the other family of kernels")),
        }
    }

    fn forward(&self) -> Product {
        Product { entry: "forward", a: 0, n4: self.desc.batch / 4, k4: self.desc.width / 4 }
    }

    fn backward(&self) -> Product {
        Product { entry: "backward", a: 1, n4: self.desc.width / 4, k4: self.desc.batch / 4 }
    }

    /// Makes the steps of a product: a copy of A into its texture, and the dispatch.
    fn texture_steps(
        &self,
        workspace: &Workspace,
        RowBatch { table, first }: RowBatch<'_>,
        &Product { entry, a: slot, n4, k4 }: &Product,
        (a, output): (BufferSlice<'_>, BufferSlice<'_>),
    ) -> Result<Vec<Step>, Error> {
        let Storage::Textures { rows: (_, rows), picks: (_, picks) } = &table.storage else { return Ok(Vec::new()) };
        let (texture, view) = workspace.texture(OP, slot, self.workspace_size().texels[slot])?;
        let mut steps = vec![mirror::copy(a, texture)];
        for Part { first: from, blocks, tiles } in self.parts() {
            let groups = u64::from(tiles) * u64::from(n4.div_ceil(self.lanes));
            let params =
                self.context.uniform(&Params { k4, tiles, class_first: from, ..self.params(first / 4, n4, groups) })?;
            let entries = [
                (0, Bind::Uniform(&params)),
                (1, Bind::Texture(view)),
                (2, Bind::Texture(rows)),
                (3, Bind::Texture(picks)),
                (4, Bind::Slice(output)),
            ];
            let constants = [("lanes", f64::from(self.lanes)), ("blocks", f64::from(blocks))];
            let pipeline = self.context.pipeline(&shaders::DENSE_TEXTURE, entry, &constants);
            steps.push(self.context.dispatch(OP, &pipeline, &entries, groups)?);
        }
        Ok(steps)
    }

    fn params(&self, first: u32, n4: u32, groups: u64) -> Params {
        let (classes, width4) = (self.desc.classes, self.desc.width / 4);
        Params { classes, n4, k4: 0, width4, first, tiles: 1, groups: groups as u32, class_first: 0 }
    }
}
