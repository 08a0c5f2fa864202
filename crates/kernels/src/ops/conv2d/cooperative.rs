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
    tile::{ENOUGH_WORKGROUPS, FEW_WORKGROUPS, PART_DEPTH, worthwhile_parts},
    window::{ranges, show},
};

/// The tiles, the one that moves least for each product first.
const TILES: [Tile; 5] = [WIDE, TALL, SQUARE, Tile { rows: 32, columns: 64 }, Tile { rows: 64, columns: 128 }];
const WIDE: Tile = Tile { rows: 128, columns: 128 };
const TALL: Tile = Tile { rows: 128, columns: 64 };
const SQUARE: Tile = Tile { rows: 64, columns: 64 };

const INVOCATIONS: u32 = 128;
const SUBGROUPS: u32 = INVOCATIONS / 32;

/// Part of the workspace: the sums of the parts.
const PARTIALS: usize = 0;

/// The sum of [`Direct`] in f16 products and f32 sums of the matrices that subgroups hold. It takes the same weights.
pub(super) struct Cooperative<'a> {
    pub layer: &'a Layer,
    pub tile: Tile,
    /// Parts of the terms of each sum.
    pub parts: u32,
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
        let of = |tile, parts| Cooperative { layer, tile, parts };
        let tiles: Vec<Tile> = TILES.into_iter().filter(|&tile| of(tile, 1).computes()).collect();
        let split = |tile| {
            let parts = worthwhile_parts(layer.tiles(tile), of(tile, 1).depth());
            parts.map(move |parts| of(tile, parts)).filter(Cooperative::computes)
        };
        let splits = tiles.iter().filter(|&&tile| tile == WIDE || tile == SQUARE).flat_map(|&tile| split(tile));
        let mut plans: Vec<_> = tiles.iter().map(|&tile| of(tile, 1)).chain(splits).collect();
        if let Some(default) = Cooperative::default(layer, &tiles) {
            plans.insert(0, default);
        }
        let mut variants: Vec<Variant> = Vec::new();
        for variant in plans.iter().map(Cooperative::variant) {
            if !variants.contains(&variant) {
                variants.push(variant);
            }
        }
        variants
    }

    /// Chooses a tall tile where there is one for each core of a large GPU, or else parts of wide ones, as many as there are cores: what an
    /// H100 was measured to like best in nearly every layer of ResNet-18 and -50.
    fn default(layer: &'a Layer, tiles: &[Tile]) -> Option<Self> {
        let of = |tile, parts| Cooperative { layer, tile, parts };
        let has = |tile| tiles.contains(&tile);
        // The sums of parts are written and read once more: the more parts, the longer that takes.
        let most_parts = of(SQUARE, 1).depth() / PART_DEPTH;
        let parts = |tile, workgroups: u64| (workgroups / layer.tiles(tile)).min(most_parts).max(1) as u32;
        let split = |tile, parts| Some(of(tile, parts)).filter(|split| parts > 1 && split.computes());
        if has(TALL) && layer.tiles(TALL) >= FEW_WORKGROUPS {
            return Some(of(TALL, 1));
        }
        if has(WIDE)
            && layer.desc.out_channels >= 128
            && let Some(split) = split(WIDE, 1 << parts(WIDE, FEW_WORKGROUPS).ilog2())
        {
            return Some(split);
        }
        if has(SQUARE) {
            if layer.tiles(SQUARE) >= FEW_WORKGROUPS {
                return Some(of(SQUARE, 1));
            }
            if let Some(split) = split(SQUARE, parts(SQUARE, ENOUGH_WORKGROUPS)) {
                return Some(split);
            }
        }
        // Few workgroups of short sums.
        let small = [Tile { rows: 32, columns: 64 }, SQUARE, TALL];
        small.into_iter().find(|&tile| has(tile)).map(|tile| of(tile, 1))
    }

    /// Names this way to compute.
    fn variant(&self) -> Variant {
        match (self.tile, self.parts) {
            (tile, 1) => Variant::Cooperative(tile),
            (tile, parts) => Variant::CooperativeSplit { tile, parts },
        }
    }

    /// Tells whether the device has room for it, and the layer's channels fill the tile.
    pub fn computes(&self) -> bool {
        let (limits, room) = (self.layer.context.limits(), self.layer.context.room());
        let invocations = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
        TILES.contains(&self.tile)
            && (self.tile.columns == 64 || self.layer.desc.out_channels > 64)
            && INVOCATIONS <= invocations
            && self.step().is_some()
            && self.panel_len() * self.abreast() <= room.binding
            && (self.parts == 1 || self.splits())
    }

    /// Tells whether one dispatch takes all, one binding shows the parts' sums, and each part has terms.
    fn splits(&self) -> bool {
        let room = self.layer.context.room();
        Banded::of(self.layer).bands().is_ok_and(|bands| bands.len() == 1)
            && self.panels().next_multiple_of(self.abreast()) * self.panel_len() <= room.binding
            && self.layer.partials(self.parts) <= room.binding
            && u64::from(self.parts) <= self.depth().div_ceil(64)
    }

    /// Counts the bytes of workgroup memory for steps of a depth.
    fn memory(&self, depth: u32) -> u32 {
        let Tile { rows, columns } = self.tile;
        let stage = SUBGROUPS * 16 * (self.sub_columns() / 4 + 1) * 16;
        (rows * (depth / 4 + 2) + depth * (columns / 4 + 2)) * 8 + stage
    }

    /// Counts the channels of a subgroup's tile.
    fn sub_columns(&self) -> u32 {
        self.tile.columns / 2
    }

    /// Chooses how many terms of the sum a step takes: deep steps wait less often for loads. An invocation loads up to four times of either
    /// operand, of the weights at least twice; none where the device has too little workgroup memory.
    fn step(&self) -> Option<u32> {
        let Tile { rows, columns } = self.tile;
        let allowed = self.layer.context.limits().max_compute_workgroup_storage_size;
        let loads = |of: u32, depth: u32| of * depth / 8 / INVOCATIONS;
        let fits = |&depth: &u32| {
            loads(rows, depth) <= 4 && (2..=4).contains(&loads(columns, depth)) && self.memory(depth) <= allowed
        };
        [64, 32, 16].into_iter().find(fits)
    }

    /// Counts the quads of a row of the kernel that are loaded as a run, where pixels of one quad follow each other.
    fn run(&self) -> u32 {
        let desc = &self.layer.desc;
        match desc.kernel[1] {
            _ if desc.packed_channels() > 4 || desc.dilation[1] > 1 => 0,
            2..=4 => 4,
            5..=8 => 8,
            _ => 0,
        }
    }

    /// Counts the words of a panel of weights.
    fn panel_len(&self) -> u64 {
        self.depth() * u64::from(self.layer.panel()) / 2
    }

    fn panels(&self) -> u64 {
        self.layer.desc.out_channels.div_ceil(self.layer.panel()).into()
    }

    /// Counts the panels of a tile.
    fn abreast(&self) -> u64 {
        (self.tile.columns / self.layer.panel()).into()
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

    fn constants(&self) -> [(&'static str, f64); 8] {
        let Tile { rows, columns } = self.tile;
        let flag = |value: bool| f64::from(u8::from(value));
        [
            ("rows", f64::from(rows)),
            ("columns", f64::from(columns)),
            ("sub_columns", f64::from(self.sub_columns())),
            ("invocations", f64::from(INVOCATIONS)),
            ("depth", f64::from(self.step().unwrap_or(32))),
            ("wide", flag(self.wide())),
            ("run", f64::from(self.run())),
            ("split", flag(self.parts > 1)),
        ]
    }

    /// Fills in what is told of runs: they are the kernel's rows, of one tap each.
    fn params(&self, params: Params) -> Params {
        let params = Params { phases: params.kernel_w, parts: self.parts, ..params };
        match self.run() {
            0 => params,
            run => Params { kernel_w: 1, span4: run, ..params },
        }
    }
}

impl Algorithm for Cooperative<'_> {
    fn computed_flops(&self) -> u64 {
        let rows = self.layer.output_pixels().next_multiple_of(self.tile.rows.into());
        let columns = self.layer.desc.out_channels.next_multiple_of(self.tile.columns);
        2 * rows * u64::from(columns) * self.depth()
    }

    fn workspace(&self) -> WorkspaceSize {
        let mut size = WorkspaceSize::default();
        if self.parts > 1 {
            size.bytes[PARTIALS] = self.layer.partials(self.parts) * 4;
        }
        size
    }

    fn packing(&self) -> Packing {
        self.direct().packing()
    }

    fn pack(&self, piece: u32, weight: &[f32], upload: &mut Upload<'_>) -> Result<(), Error> {
        self.direct().pack(piece, weight, upload)
    }

    fn bind(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        let (context, tile) = (&self.layer.context, self.tile);
        let banded = Banded::of(self.layer);
        let pipeline = context.pipeline(&shaders::CONV2D_COOPERATIVE, banded.target.entry, &self.constants());
        let panels_at_once = context.room().aligned_lines(self.panel_len(), self.abreast());
        // One that is read, one that may be written.
        let (nothing, unwritten, overflow) = (&context.nothing()?, context.nothing()?, &context.overflow()?);
        let partials = match self.parts {
            1 => Bind::Slice(unwritten.slice(..)),
            _ => Bind::Slice(workspace.buffer(OP, PARTIALS, self.layer.partials(self.parts) * 4)?),
        };
        let shown = Shown { input: buffers.input, weights, buffers, nothing, overflow };
        let terms =
            u64::from(tile.rows * tile.columns) * self.depth().next_multiple_of(self.step().unwrap_or(32).into());
        let mut steps = Vec::new();
        for band in banded.bands()? {
            let pixels = banded.pixels(&band);
            for some in ranges(self.panels(), panels_at_once) {
                let blocks = (some.end - some.start).div_ceil(self.abreast());
                let tiles = (pixels.end - pixels.start).div_ceil(tile.rows.into()) * blocks;
                let groups = tiles * u64::from(self.parts);
                let params = self.params(banded.params(&band, groups));
                let params = context.uniform(&Params { panel_first: some.start as u32, ..params })?;
                let weight =
                    show(weights.buffer()?.slice(..), some.start * self.panel_len()..some.end * self.panel_len());
                let entries = banded.entries(&band, &params, weight, &shown);
                // The input is bound twice: as quads, and as pairs of them, which no single pixel of four channels fills.
                let pairs = if self.wide() { entries[1].1.clone() } else { Bind::Slice(nothing.slice(..)) };
                let all = [entries.as_slice(), &[(11, partials.clone()), (12, pairs)]].concat();
                steps.push(context.dispatch(OP, &pipeline, &all, groups)?.multiplying(tiles * terms));
                if self.parts > 1 {
                    steps.push(banded.reduce(&entries, &partials)?);
                }
            }
        }
        Ok(steps)
    }
}
