//! The matrix product of operands that stand in linear textures: matmul's own, and those between Winograd's transforms.

use crate::{
    Context, Error, Tile,
    context::Bind,
    params::params,
    step::Step,
    tile::texture_constants,
    window::{Band, Lines},
};
use wgpu::BufferSlice;

/// A product of operands that are in linear textures already.
pub(crate) struct TextureOperands<'a> {
    pub m: u32,
    pub k4: u32,
    pub n: u32,
    pub batch: u32,
    pub a: &'a wgpu::TextureView,
    pub b: &'a wgpu::TextureView,
    /// B stands in panels of a tile's columns rather than in rows.
    pub packed_b: bool,
    pub tile: Tile,
}

impl TextureOperands<'_> {
    pub(crate) fn steps(
        &self,
        context: &Context,
        bias: Option<BufferSlice<'_>>,
        output: BufferSlice<'_>,
    ) -> Result<Vec<Step>, Error> {
        let (m, n, batch) = (u64::from(self.m), u64::from(self.n), u64::from(self.batch));
        let (panels, lanes) = (self.n.div_ceil(self.tile.columns), self.tile.columns / 4);
        let k = self.k4 * 4;
        let (b_panel, b_row, b_batch) = match self.packed_b {
            true => (k * lanes, lanes, panels * k * lanes),
            false => (lanes, self.n / 4, k * self.n / 4),
        };
        let none = context.nothing()?;
        let bias_slice = bias.unwrap_or(none.slice(..));
        let (entry, binding) = if self.n.is_multiple_of(4) { ("main", 4) } else { ("ragged", 5) };
        let pipeline = context.pipeline(&shaders::MATMUL_TEXTURE, entry, &texture_constants(self.tile, self.k4));
        let output_rows = Lines { words: n, count: m, sliding: None };
        let step = |band: &Band| {
            let [batches, rows] = band.sizes();
            let c = output_rows.window(band);
            let groups = batches * u64::from(panels) * rows.div_ceil(self.tile.rows.into());
            let first = band.images.start as u32;
            let params = context.uniform(&Params {
                m: self.m,
                n: self.n,
                k4: self.k4,
                row_first: band.lines.start as u32,
                row_end: band.lines.end as u32,
                panels,
                a_base: first * self.m * self.k4,
                a_batch: self.m * self.k4,
                b_base: first * b_batch,
                b_batch,
                b_panel,
                b_row,
                c_base: c.base as u32,
                has_bias: u32::from(bias.is_some()),
                groups: groups as u32,
                pad: 0,
            })?;
            let entries = [
                (0, Bind::Uniform(&params)),
                (1, Bind::Texture(self.a)),
                (2, Bind::Texture(self.b)),
                (3, Bind::Slice(bias_slice)),
                (binding, Bind::Slice(c.show(output))),
            ];
            let products = groups * u64::from(self.tile.rows * self.tile.columns) * u64::from(k);
            Ok(context.dispatch("matmul", &pipeline, &entries, groups)?.multiplying(products))
        };
        let bands = context.room().bands("matmul", "elements of a row of the output", [batch, m], &[output_rows])?;
        bands.iter().map(step).collect()
    }
}

params! {
    MATMUL_TEXTURE: struct Params {
        m: u32,
        n: u32,
        k4: u32,
        row_first: u32,
        row_end: u32,
        panels: u32,
        a_base: u32,
        a_batch: u32,
        b_base: u32,
        b_batch: u32,
        b_panel: u32,
        b_row: u32,
        c_base: u32,
        has_bias: u32,
        groups: u32,
        pad: u32,
    }
}
