//! The convolution of f16 tensors on cooperative matrices, where the device has them.

use super::{
    algorithm::Algorithm,
    desc::{Conv2dBuffers, OP},
    direct::Direct,
    layer::Layer,
    sum::{Banded, Params, Shown},
    weights::{Conv2dWeights, Packing, Upload},
};
use crate::{
    Error, Family, Tile, Variant, Workspace, WorkspaceSize,
    context::Bind,
    step::Step,
    window::{ranges, show},
};

/// The tiles by what they move for each product, the least first, but those of two panels last: they waste more where channels are few.
const TILES: [Tile; 5] = [
    Tile { rows: 128, columns: 64 },
    Tile { rows: 64, columns: 64 },
    Tile { rows: 32, columns: 64 },
    Tile { rows: 128, columns: 128 },
    Tile { rows: 64, columns: 128 },
];

/// Workgroups below which smaller tiles are the default: about as many as a large GPU has cores.
const FEW: u64 = 128;

/// Terms of a sum that a step takes.
const DEPTH: u64 = 32;

/// The sum of [`Direct`] in f16 products and f32 sums of the matrices that subgroups hold. It takes the same weights.
pub(super) struct Cooperative<'a> {
    pub layer: &'a Layer,
    pub tile: Tile,
}

impl<'a> Cooperative<'a> {
    /// Tells whether it computes this layer, and fits the device.
    pub fn applies(layer: &Layer) -> bool {
        layer.context.cooperative()
            && layer.family == Family::Tiled
            && layer.f16()
            && layer.desc.groups == 1
            && !Cooperative::variants(layer).is_empty()
    }

    /// Lists its variants, the default first.
    pub fn variants(layer: &Layer) -> Vec<Variant> {
        let fitting = TILES.into_iter().filter(|&tile| Cooperative { layer, tile }.fits());
        let mut tiles: Vec<Tile> = fitting.collect();
        let groups = |tile: &Tile| {
            let pixels = layer.output_pixels().div_ceil(tile.rows.into());
            pixels * u64::from(layer.desc.out_channels.div_ceil(tile.columns))
        };
        let narrow = tiles.iter().filter(|tile| tile.columns == 64).count();
        let default = tiles.iter().take(narrow).position(|tile| groups(tile) >= FEW);
        let default = default.unwrap_or(narrow.saturating_sub(1));
        if let Some(until_default) = tiles.get_mut(..=default) {
            until_default.rotate_right(1);
        }
        tiles.into_iter().map(Variant::Cooperative).collect()
    }

    /// Tells whether the device has room for the tile, and the layer's channels fill it.
    fn fits(&self) -> bool {
        let limits = self.layer.context.limits();
        let abreast = u64::from(self.tile.columns / self.layer.panel());
        (self.tile.columns == 64 || self.layer.desc.out_channels > 64)
            && self.invocations()
                <= limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x)
            && self.memory(1) <= limits.max_compute_workgroup_storage_size
            && self.panel_len() * abreast <= self.layer.context.room().binding
    }

    /// Counts the invocations: a subgroup of 32 makes 64 pixels (or 32 where a tile is small) by 32 channels.
    fn invocations(&self) -> u32 {
        let Tile { rows, columns } = self.tile;
        let pixels = if rows * columns >= 128 * 64 { 64 } else { 32 };
        rows / pixels * columns
    }

    /// Counts the bytes of workgroup memory with so many buffers.
    fn memory(&self, buffers: u32) -> u32 {
        let Tile { rows, columns } = self.tile;
        buffers * (rows * 10 + 32 * (columns / 4 + 2)) * 8 + self.invocations() / 32 * 144 * 16
    }

    fn buffers(&self) -> u32 {
        if self.memory(2) <= self.layer.context.limits().max_compute_workgroup_storage_size { 2 } else { 1 }
    }

    /// Counts the words of a panel of weights.
    fn panel_len(&self) -> u64 {
        self.depth() * u64::from(self.layer.panel()) / 2
    }

    /// Counts the terms of an output's sum, those of padded channels among them.
    fn depth(&self) -> u64 {
        let [height, width] = self.layer.desc.kernel.map(u64::from);
        height * width * u64::from(self.layer.desc.packed_channels())
    }

    /// Gives the layer's weights as [`Direct`] packs them.
    fn direct(&self) -> Direct<'a> {
        Direct { layer: self.layer, tile: self.tile, parts: 1 }
    }

    /// Tells whether pairs of quads are loaded at once.
    fn wide(&self) -> bool {
        self.layer.desc.packed_channels().is_multiple_of(8)
    }

    fn constants(&self) -> [(&'static str, f64); 5] {
        let Tile { rows, columns } = self.tile;
        [
            ("rows", f64::from(rows)),
            ("columns", f64::from(columns)),
            ("invocations", f64::from(self.invocations())),
            ("buffers", f64::from(self.buffers())),
            ("wide", f64::from(u8::from(self.wide()))),
        ]
    }
}

impl Algorithm for Cooperative<'_> {
    fn computed_flops(&self) -> u64 {
        let rows = self.layer.output_pixels().next_multiple_of(self.tile.rows.into());
        let columns = self.layer.desc.out_channels.next_multiple_of(self.tile.columns);
        2 * rows * u64::from(columns) * self.depth()
    }

    fn workspace(&self) -> WorkspaceSize {
        WorkspaceSize::default()
    }

    fn packing(&self) -> Packing {
        self.direct().packing()
    }

    fn pack(&self, piece: u32, weight: &[f32], upload: &mut Upload<'_>) -> Result<(), Error> {
        self.direct().pack(piece, weight, upload)
    }

    fn bind(
        &self,
        _workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        let (layer, context, tile) = (self.layer, &self.layer.context, self.tile);
        let banded = Banded::of(layer);
        let constants = self.constants();
        let pipeline = context.pipeline(&shaders::CONV2D_COOPERATIVE, banded.target.entry, &constants);
        let abreast = u64::from(tile.columns / layer.panel());
        let panels = u64::from(layer.desc.out_channels.div_ceil(layer.panel()));
        let panels_at_once = context.room().aligned_lines(self.panel_len(), abreast);
        let nothing = &context.nothing()?;
        let shown = Shown { input: buffers.input, weights, buffers, nothing };
        let mut steps = Vec::new();
        for band in banded.bands()? {
            let pixels = banded.pixels(&band);
            for some in ranges(panels, panels_at_once) {
                let blocks = (some.end - some.start).div_ceil(abreast);
                let groups = (pixels.end - pixels.start).div_ceil(tile.rows.into()) * blocks;
                let params = Params { panel_first: some.start as u32, ..banded.params(&band, groups) };
                let params = context.uniform(&params)?;
                let weight =
                    show(weights.buffer()?.slice(..), some.start * self.panel_len()..some.end * self.panel_len());
                let entries = banded.entries(&band, &params, weight, &shown);
                // The input is bound twice: as quads, and as pairs of them, which no single pixel of four channels fills.
                let pairs = if self.wide() { entries[1].1.clone() } else { Bind::Slice(nothing.slice(..)) };
                let entries = [entries.as_slice(), &[(10, pairs)]].concat();
                let products = groups * u64::from(tile.rows * tile.columns) * self.depth().next_multiple_of(DEPTH);
                steps.push(context.dispatch(OP, &pipeline, &entries, groups)?.multiplying(products));
            }
        }
        Ok(steps)
    }
}
