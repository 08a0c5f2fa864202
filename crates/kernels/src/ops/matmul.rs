//! Matrix products, batched and in any transposition.

mod desc;
mod operands;
pub(crate) mod texture;

pub use desc::{MatmulBuffers, MatmulDesc};

use crate::{
    Commands, Context, Error, Family, PackDesc, Tile, Variant, Workspace, WorkspaceSize,
    context::{Bind, volume},
    mirror,
    ops::pack::pack_and_mirror,
    params::params,
    step::Step,
    tile::{columns, default_parts, tiled_constants, tiles, worthwhile_parts},
    tune::magnitude,
    window::ranges,
};
use desc::{OP, product};
use operands::{Band, Operands, length};
use texture::TextureOperands;

/// A planned matrix product: `output[b,m,n] = sum over k of a[b,m,k] b[b,k,n] (+ bias[n])`.
///
/// # Shapes
/// As [`MatmulBuffers`]; buffers are row-major f32 and exactly as long as their shapes say, of
/// [`OPERAND_USAGES`](crate::OPERAND_USAGES).
///
/// # Numerics
/// Sums in f32; `|error| <= 2 gamma(k) sum |a b|`, gamma(k) = k u / (1 - k u), u = 2^-24.
///
/// # Reference
/// Register and workgroup tiling: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS
/// 34(3), 2008.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, a: &wgpu::Buffer, b: &wgpu::Buffer, output: &wgpu::Buffer,
/// #            encoder: &mut wgpu::CommandEncoder) -> Result<(), kernels::Error> {
/// use kernels::{Matmul, MatmulBuffers, MatmulDesc, wgpu};
/// let matmul = Matmul::new(context, &MatmulDesc::new(64, 512, 10))?;
/// let buffers = MatmulBuffers { a: a.slice(..), b: b.slice(..), bias: None, output: output.slice(..) };
/// matmul.bind(&buffers)?.encode(encoder);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Matmul {
    context: Context,
    desc: MatmulDesc,
    family: Family,
    tile: Tile,
    /// Parts of the terms of each sum: more than one in the tiled family alone.
    parts: u32,
}

/// The part of the workspace that holds the sums of the parts, in the tiled family.
const PARTIALS: usize = 1;

impl Matmul {
    /// Plans the product.
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is zero or an operand has more than 2^32 elements; [`Error::Feature`] when the
    /// texture family was forced on a device that can't run it.
    pub fn new(context: &Context, desc: &MatmulDesc) -> Result<Self, Error> {
        for (operand, sizes) in [
            ("a", [desc.batch, desc.m, desc.k]),
            ("b", [desc.batch, desc.k, desc.n]),
            ("output", [desc.batch, desc.m, desc.n]),
        ] {
            volume(OP, operand, &sizes)?;
        }
        let family = match context.family(OP)? {
            Family::Texture if !fits_textures(context, desc) => Family::Tiled,
            family => family,
        };
        let tile = tiles(context, family, desc.m.into(), desc.n.into())[0];
        let plan = Matmul { context: context.clone(), desc: *desc, family, tile, parts: 1 }.in_default_parts();
        let tuned = context.tune().table.get(&plan.class());
        Ok(tuned.and_then(|&tuned| plan.in_variant(tuned)).unwrap_or(plan))
    }

    /// Plans the default of the tiled family, whatever the context prefers, for sizes that the caller has checked.
    pub(crate) fn tiled_default(context: &Context, desc: &MatmulDesc) -> Self {
        let (family, tile) = (Family::Tiled, tiles(context, Family::Tiled, desc.m.into(), desc.n.into())[0]);
        Matmul { context: context.clone(), desc: *desc, family, tile, parts: 1 }.in_default_parts()
    }

    fn in_default_parts(self) -> Self {
        let parts = default_parts(&self.context, self.workgroups(), self.desc.k.into());
        self.in_variant(Variant::Split { tile: self.tile, parts }).unwrap_or(self)
    }

    /// Plans with the tiled family, whatever the context prefers.
    pub(crate) fn tiled(context: &Context, desc: &MatmulDesc, tile: Tile) -> Result<Self, Error> {
        Ok(Matmul { family: Family::Tiled, tile, parts: 1, ..Matmul::new(context, desc)? })
    }

    /// Gives its sizes.
    pub fn desc(&self) -> &MatmulDesc {
        &self.desc
    }

    /// Names the class of shapes that are tuned as one: depth and columns as they are, rows and batch to a factor of two.
    pub fn class(&self) -> String {
        let MatmulDesc { batch, m, k, n, transpose_a, transpose_b, .. } = self.desc;
        let transposed = |transposed| if transposed { "T" } else { "" };
        format!(
            "{} matmul a{} b{} rows 2^{} depth {k} columns {n} batch 2^{}",
            self.family.name(),
            transposed(transpose_a),
            transposed(transpose_b),
            magnitude(m.into()),
            magnitude(batch.into())
        )
    }

    /// Tells in which variant it computes.
    pub fn variant(&self) -> Variant {
        self.variant_of(self.parts)
    }

    fn variant_of(&self, parts: u32) -> Variant {
        let tile = self.tile;
        if parts > 1 { Variant::Split { tile, parts } } else { Variant::Direct(tile) }
    }

    /// Tells which family of kernels it uses.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Lists every variant that computes it here and differs in speed, the default first.
    pub fn variants(&self) -> Vec<Variant> {
        let tiles = self.tiles();
        let plan = Matmul { tile: tiles[0], parts: 1, ..self.clone() };
        let parts = default_parts(&self.context, plan.workgroups(), self.desc.k.into());
        let split = |parts: u32| plan.in_variant(Variant::Split { tile: plan.tile, parts }).map(|plan| plan.variant());
        let others = worthwhile_parts(plan.workgroups(), self.desc.k.into()).filter(|&other| other != parts);
        let direct = tiles.iter().copied().map(Variant::Direct);
        split(parts).into_iter().chain(direct).chain(others.filter_map(split)).collect()
    }

    /// Plans it in another variant, if that computes it.
    fn in_variant(&self, variant: Variant) -> Option<Self> {
        let (tile, parts) = match variant {
            Variant::Direct(tile) => (tile, 1),
            Variant::Split { tile, parts } if parts > 1 => (tile, parts),
            _ => return None,
        };
        let plan = Matmul { tile, parts, ..self.clone() };
        (self.tiles().contains(&tile) && (parts == 1 || plan.splits())).then_some(plan)
    }

    /// Tells whether it computes in parts here: sums are long enough, one dispatch takes all and one binding shows the parts' sums.
    fn splits(&self) -> bool {
        let enough = self.parts <= self.desc.k.div_ceil(16);
        self.family == Family::Tiled && enough && self.whole() && self.partials() <= self.context.room().binding
    }

    /// Tells whether one binding shows each operand, so that one dispatch takes all.
    fn whole(&self) -> bool {
        let desc = &self.desc;
        [desc.a_len(), desc.b_len(), desc.output_len()].iter().all(|&len| len <= self.context.room().binding)
    }

    /// Counts the words of the parts' sums, in whole quads of columns.
    fn partials(&self) -> u64 {
        u64::from(self.parts) * product(self.desc.batch, self.desc.m, self.desc.n.next_multiple_of(4))
    }

    /// Counts the workgroups of a part, where one dispatch takes all.
    fn workgroups(&self) -> u64 {
        let MatmulDesc { batch, m, n, .. } = self.desc;
        product(batch, m.div_ceil(self.tile.rows), n.div_ceil(self.tile.columns))
    }

    /// Plans the same product in another variant.
    ///
    /// # Errors
    /// [`Error::Shape`] for a variant that neither is among [`Matmul::variants`] nor differs from one in its number of parts.
    pub fn with_variant(&self, variant: Variant) -> Result<Self, Error> {
        let foreign = || Error::shape(OP, format_args!("`{variant}` isn't a way to compute {}", self.class()));
        self.in_variant(variant).ok_or_else(foreign)
    }

    fn tiles(&self) -> Vec<Tile> {
        tiles(&self.context, self.family, self.desc.m.into(), self.desc.n.into())
    }

    fn pack_b(&self) -> Option<PackDesc> {
        self.desc.pack_b(columns(&self.context, self.family))
    }

    /// Computes the scratch memory that it needs.
    pub fn workspace_size(&self) -> WorkspaceSize {
        let mut size = WorkspaceSize::default();
        if self.parts > 1 {
            size.bytes[PARTIALS] = self.partials() * 4;
        }
        if self.family == Family::Texture {
            for (slot, (pack, len)) in
                [(self.desc.pack_a(), self.desc.a_len()), (self.pack_b(), self.desc.b_len())].into_iter().enumerate()
            {
                size.texels[slot] = pack.map_or(len, |pack| pack.output_len()).div_ceil(4);
                size.bytes[slot] = pack.map_or(0, |pack| pack.output_len() * 4);
            }
        }
        size
    }

    /// Ties the buffers, with a workspace of its own.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Usage`], [`Error::Alignment`] for a buffer that doesn't suit.
    pub fn bind(&self, buffers: &MatmulBuffers<'_>) -> Result<Commands, Error> {
        self.bind_in(&Workspace::new(&self.context, self.workspace_size())?, buffers)
    }

    /// Ties the buffers, with a workspace shared with other operations.
    ///
    /// # Errors
    /// As [`Matmul::bind`], and [`Error::Shape`] when the workspace is too small.
    pub fn bind_in(&self, workspace: &Workspace, buffers: &MatmulBuffers<'_>) -> Result<Commands, Error> {
        let desc = &self.desc;
        self.context.check(OP, ("a", buffers.a), desc.a_len())?;
        self.context.check(OP, ("b", buffers.b), desc.b_len())?;
        self.context.check(OP, ("output", buffers.output), desc.output_len())?;
        match (desc.bias, buffers.bias) {
            (true, Some(bias)) => self.context.check(OP, ("bias", bias), u64::from(desc.n))?,
            (false, None) => {}
            (true, None) => return Err(Error::shape(OP, "the descriptor has a bias, the buffers have none")),
            (false, Some(_)) => return Err(Error::shape(OP, "the buffers have a bias, the descriptor has none")),
        }
        let bias = buffers.bias.unwrap_or(buffers.a);
        self.context.apart(OP, ("output", buffers.output), &[("a", buffers.a), ("b", buffers.b), ("bias", bias)])?;
        match self.family {
            Family::Texture => self.bind_texture(workspace, buffers),
            Family::Tiled => self.bind_tiled(workspace, buffers),
        }
    }

    fn bind_texture(&self, workspace: &Workspace, buffers: &MatmulBuffers<'_>) -> Result<Commands, Error> {
        let desc = &self.desc;
        let size = self.workspace_size();
        let mut commands = Commands::new(OP);
        let mut views = Vec::new();
        for (slot, (pack, matrix)) in [(desc.pack_a(), buffers.a), (self.pack_b(), buffers.b)].into_iter().enumerate() {
            let (texture, view) = workspace.texture(OP, slot, size.texels[slot])?;
            match pack {
                None => commands.steps.push(mirror::copy(matrix, texture)),
                Some(pack) => {
                    let packed = workspace.buffer(OP, slot, size.bytes[slot])?;
                    commands.steps.extend(pack_and_mirror(&self.context, &pack, matrix, packed, texture)?);
                }
            }
            views.push(view);
        }
        let operands = TextureOperands {
            m: desc.m,
            k4: desc.k.div_ceil(4),
            n: desc.n,
            batch: desc.batch,
            a: views[0],
            b: views[1],
            packed_b: self.pack_b().is_some(),
            tile: self.tile,
        };
        commands.steps.extend(operands.steps(&self.context, buffers.bias, buffers.output)?);
        Ok(commands)
    }

    fn bind_tiled(&self, workspace: &Workspace, buffers: &MatmulBuffers<'_>) -> Result<Commands, Error> {
        let desc = &self.desc;
        let (m, k, n) = (u64::from(desc.m), u64::from(desc.k), u64::from(desc.n));
        let room = self.context.room();
        let mut commands = Commands::new(OP);
        if self.whole() {
            let band = Band { batch: 0..u64::from(desc.batch), m: 0..m, k: 0..k, n: 0..n };
            match self.parts {
                1 => commands.steps.push(self.tiled_step(buffers, &band)?),
                _ => commands.steps.extend(self.split_steps(workspace, buffers, &band)?),
            }
            return Ok(commands);
        }
        // Bands of stored rows that fit a binding.
        let fit = |row: u64, all: u64| room.lines(row).min(all);
        let mut bands = [fit(n, m), k, n];
        match desc.transpose_a {
            false => bands[0] = bands[0].min(fit(k, m)),
            true => bands[1] = bands[1].min(fit(m, k)),
        }
        match desc.transpose_b {
            false => bands[1] = bands[1].min(fit(n, k)),
            true => bands[2] = bands[2].min(fit(k, n)),
        }
        if bands.contains(&0) {
            room.check_anywhere(OP, "elements of a row of an operand", m.max(k).max(n))?;
        }
        for batch in 0..u64::from(desc.batch) {
            for m in ranges(m, bands[0]) {
                for n in ranges(n, bands[2]) {
                    for k in ranges(k, bands[1]) {
                        let band = Band { batch: batch..batch + 1, m: m.clone(), k, n: n.clone() };
                        commands.steps.push(self.tiled_step(buffers, &band)?);
                    }
                }
            }
        }
        Ok(commands)
    }

    fn tiled_step(&self, buffers: &MatmulBuffers<'_>, band: &Band) -> Result<Step, Error> {
        let operands = Operands::of(&self.desc, band);
        let params = self.context.uniform(&self.params(band, &operands))?;
        let none = self.context.nothing()?;
        let unused = self.context.nothing()?;
        // Of each operand the scalars or the vec4 are used; what isn't shows a buffer of nothing.
        let mut entries = vec![(0, Bind::Uniform(&params)), (3, Bind::Slice(buffers.bias.unwrap_or(none.slice(..))))];
        entries.extend(operands.entries(buffers, &none));
        entries.extend(operands.output(buffers, &unused));
        let pipeline = self.context.pipeline(&shaders::MATMUL, "main", &self.constants(operands.quads));
        let groups = self.groups(band);
        let products =
            groups * u64::from(self.tile.rows * self.tile.columns) * (band.k.end - band.k.start).next_multiple_of(16);
        Ok(self.context.dispatch(OP, &pipeline, &entries, groups)?.multiplying(products))
    }

    /// Makes the steps that compute each part by workgroups of its own, and add the parts up.
    fn split_steps(&self, workspace: &Workspace, buffers: &MatmulBuffers<'_>, band: &Band) -> Result<[Step; 2], Error> {
        let operands = Operands::of(&self.desc, band);
        let workgroups = self.groups(band);
        let groups = workgroups * u64::from(self.parts);
        let params = Params { parts: self.parts, groups: groups as u32, ..self.params(band, &operands) };
        let params = self.context.uniform(&params)?;
        let none = self.context.nothing()?;
        let unused = self.context.nothing()?;
        let partials = (8, Bind::Slice(workspace.buffer(OP, PARTIALS, self.partials() * 4)?));
        let mut entries = vec![(0, Bind::Uniform(&params)), partials.clone()];
        entries.extend(operands.entries(buffers, &none));
        let pipeline = self.context.pipeline(&shaders::MATMUL, "partial", &self.constants(operands.quads));
        let multiply = self.context.dispatch(OP, &pipeline, &entries, groups)?;
        let depth = (band.k.end - band.k.start).next_multiple_of(16);
        let products = workgroups * u64::from(self.tile.rows * self.tile.columns) * depth;
        let bias = Bind::Slice(buffers.bias.unwrap_or(none.slice(..)));
        let mut entries = vec![(0, Bind::Uniform(&params)), (3, bias), partials];
        entries.extend(operands.output(buffers, &unused));
        // The tile is nothing to the sum of the parts: one pipeline for all.
        let quads = [("quads", f64::from(u8::from(operands.quads)))];
        let pipeline = self.context.pipeline(&shaders::MATMUL, "reduce", &quads);
        let quads = self.partials() / u64::from(self.parts) / 4;
        let add = self.context.dispatch(OP, &pipeline, &entries, quads.div_ceil(64))?;
        Ok([multiply.multiplying(products), add])
    }

    fn constants(&self, quads: bool) -> Vec<(&'static str, f64)> {
        [tiled_constants(self.tile).as_slice(), &[("quads", f64::from(u8::from(quads)))]].concat()
    }

    /// Counts the workgroups of a band.
    fn groups(&self, band: &Band) -> u64 {
        (band.batch.end - band.batch.start)
            * (band.m.end - band.m.start).div_ceil(self.tile.rows.into())
            * (band.n.end - band.n.start).div_ceil(self.tile.columns.into())
    }

    fn params(&self, band: &Band, operands: &Operands) -> Params {
        let desc = &self.desc;
        let (a_row, a_column) = if desc.transpose_a { (1, desc.m) } else { (desc.k, 1) };
        let (b_row, b_column) = if desc.transpose_b { (1, desc.k) } else { (desc.n, 1) };
        let first = band.k.start == 0;
        Params {
            m: length(&band.m),
            n: length(&band.n),
            k: length(&band.k),
            groups: self.groups(band) as u32,
            a_base: operands.a.base,
            a_batch: desc.m * desc.k,
            a_row,
            a_column,
            b_base: operands.b.base,
            b_batch: desc.k * desc.n,
            b_row,
            b_column,
            c_base: operands.c.base,
            c_batch: desc.m * desc.n,
            c_row: desc.n,
            bias_base: band.n.start as u32,
            has_bias: u32::from(desc.bias && first),
            accumulate: u32::from(!first),
            parts: 1,
            batches: length(&band.batch),
        }
    }
}

fn fits_textures(context: &Context, desc: &MatmulDesc) -> bool {
    let capacity = mirror::capacity(context.device());
    let bindable = context.room().binding;
    let pack_b = desc.pack_b(columns(context, Family::Texture));
    [(desc.pack_a(), desc.a_len()), (pack_b, desc.b_len())].iter().all(|(pack, len)| match pack {
        None => len / 4 <= capacity,
        Some(pack) => *len <= bindable && pack.output_len() / 4 <= capacity,
    })
}

params! {
    MATMUL: struct Params {
        m: u32,
        n: u32,
        k: u32,
        groups: u32,
        a_base: u32,
        a_batch: u32,
        a_row: u32,
        a_column: u32,
        b_base: u32,
        b_batch: u32,
        b_row: u32,
        b_column: u32,
        c_base: u32,
        c_batch: u32,
        c_row: u32,
        bias_base: u32,
        has_bias: u32,
        accumulate: u32,
        parts: u32,
        batches: u32,
    }
}
