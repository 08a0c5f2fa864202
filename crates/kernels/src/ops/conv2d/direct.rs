//! The convolution as a sum over taps: every size, stride, dilation and group.

use super::{
    algorithm::Algorithm,
    desc::{Conv2dBuffers, Conv2dDesc, OP},
    layer::Layer,
    rows::Rows,
    span::Span,
    sum::{Banded, Params, Shown, runs},
    weights::{Conv2dWeights, Order, Packing, Upload},
};
use crate::{
    Error, Family, Pack, PackDesc, Tile, Variant, Workspace, WorkspaceSize,
    context::Bind,
    mirror,
    step::Step,
    tile::{default_parts, texture_constants, tiled_constants, tiles, worthwhile_parts},
    window::{ranges, show},
};
use std::ops::Range;

/// Parts of the workspace.
const INPUT: usize = 0;
const RAW: usize = 1;
/// The sums of the parts, in the tiled family.
const PARTIALS: usize = 1;
const RESIDUAL: usize = 3;

/// The sum as it is defined, in tiles of pixels and output channels.
pub(super) struct Direct<'a> {
    pub layer: &'a Layer,
    pub tile: Tile,
    /// Parts of the terms of each sum: more than one in the tiled family alone.
    pub parts: u32,
}

impl Direct<'_> {
    /// Tells whether the texture family's operands fit linear textures.
    pub fn fits_textures(layer: &Layer) -> bool {
        let desc = &layer.desc;
        let capacity = mirror::capacity(layer.context.device());
        let rows = Rows::of(Family::Texture, desc);
        let width = match rows {
            Some(_) => u64::from(Rows::width(desc)),
            None => u64::from(desc.width) * u64::from(desc.packed_channels() / 4),
        };
        let input = u64::from(desc.batch) * u64::from(desc.height) * width;
        let packable = input * 4 == desc.input_len() || desc.input_len() <= layer.context.room().binding;
        let [runs, texels] = runs(layer, rows);
        let texels = u64::from(runs * texels * rows.map_or(1, |rows| rows.phases));
        let panel = layer.panel();
        let weight = u64::from(desc.out_channels.div_ceil(panel)) * texels * u64::from(panel);
        input <= capacity && desc.output_len() / 4 <= capacity && weight <= capacity && packable
    }

    /// Lists its variants, the default first.
    pub fn variants(layer: &Layer) -> Vec<Variant> {
        let columns = layer.desc.out_channels.into();
        let mut tiles = tiles(&layer.context, layer.family, layer.output_pixels(), columns);
        // Panels side by side share their pixels, if they see the same channels and one binding shows both.
        let both = layer.desc.groups == 1 && Direct { layer, tile: tiles[0], parts: 1 }.panels_at_once() >= 2;
        tiles.retain(|tile| both || tile.columns <= layer.panel());
        let direct = |parts| Direct { layer, tile: tiles[0], parts };
        let (workgroups, depth) = (layer.tiles(tiles[0]), direct(1).depth().into());
        let parts = default_parts(&layer.context, workgroups, depth);
        let split = |parts| direct(parts).splits().then_some(Variant::Split { tile: tiles[0], parts });
        let first = split(parts);
        let others = worthwhile_parts(workgroups, depth).filter(|&other| other != parts).filter_map(split);
        first.into_iter().chain(tiles.iter().copied().map(Variant::Direct)).chain(others).collect()
    }

    /// Tells whether it computes in parts here: sums are long enough, one dispatch takes all and one binding shows the parts' sums.
    pub fn splits(&self) -> bool {
        let layer = self.layer;
        let whole = Banded::of(layer).bands().is_ok_and(|bands| bands.len() == 1);
        layer.family == Family::Tiled
            && self.parts > 1
            && self.parts <= self.depth().div_ceil(16)
            && whole
            && u64::from(self.panels()) <= self.panels_at_once()
            && layer.partials(self.parts) <= layer.context.room().binding
    }

    /// Counts the panels of packed weights that one binding shows, in the tiled family.
    fn panels_at_once(&self) -> u64 {
        let unit = u64::from(self.tile.columns / self.layer.panel()).max(1);
        self.layer.context.room().aligned_lines(self.panel_words(), unit)
    }

    /// Counts the words of a packed panel, in the tiled family.
    fn panel_words(&self) -> u64 {
        u64::from(self.layer.panel() * self.depth()) / if self.layer.f16() { 2 } else { 1 }
    }

    /// Tells how it reads rows of numbers, where it does.
    fn rows(&self) -> Option<Rows> {
        Rows::of(self.layer.family, &self.layer.desc)
    }

    fn phases(&self) -> u32 {
        self.rows().map_or(1, |rows| rows.phases)
    }

    fn panels(&self) -> u32 {
        self.layer.desc.out_channels.div_ceil(self.layer.panel())
    }

    /// Counts the terms of an output's sum as they are computed, zeros of padded channels and of other groups among them.
    fn depth(&self) -> u32 {
        4 * runs(self.layer, self.rows()).iter().product::<u32>()
    }

    /// Counts the columns of the output or, where rows are read, of a phase, columns beyond the last included.
    fn columns(&self) -> u32 {
        let [_, width] = self.layer.output_size();
        self.rows().map_or(width, |rows| rows.columns(width))
    }

    /// Packs the input into whole vec4 a pixel (a row, where rows are read), where it isn't so already.
    fn padding_pack(&self) -> Option<PackDesc> {
        let desc = &self.layer.desc;
        let columns = self.rows().map_or(desc.in_channels, |_| desc.width * desc.in_channels);
        let rows = (desc.input_len() / u64::from(columns)) as u32;
        // f16 tensors are whole vec4 already.
        (!self.layer.f16() && !columns.is_multiple_of(4)).then(|| PackDesc::rows(rows, columns))
    }

    fn bind_texture(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        let (context, desc) = (&self.layer.context, &self.layer.desc);
        let size = self.workspace();
        let mut steps = Vec::new();
        let (input, input_view) = workspace.texture(OP, INPUT, size.texels[INPUT])?;
        match self.padding_pack() {
            None => steps.push(mirror::copy(buffers.input, input)),
            Some(pack) => {
                let packed = workspace.buffer(OP, 0, size.bytes[0])?;
                let pack = Pack::new(context, &pack)?;
                if size.texels[RAW] > 0 {
                    let (raw, raw_view) = workspace.texture(OP, RAW, size.texels[RAW])?;
                    steps.push(mirror::copy(buffers.input, raw));
                    steps.extend(pack.bind_texture(raw_view, packed)?.steps);
                } else {
                    steps.extend(pack.bind(buffers.input, packed)?.steps);
                }
                steps.push(mirror::copy(packed, input));
            }
        }
        let ragged = !desc.out_channels.is_multiple_of(4);
        let mut residual_view = input_view;
        if let (Some(residual), false) = (buffers.residual, ragged) {
            let (texture, view) = workspace.texture(OP, RESIDUAL, size.texels[RESIDUAL])?;
            steps.push(mirror::copy(residual, texture));
            residual_view = view;
        }
        let pointwise = desc.kernel == [1, 1] && desc.padding == [0, 0];
        let flag = |name, value: bool| (name, f64::from(u8::from(value)));
        let flags =
            [flag("has_residual", desc.residual), flag("pointwise", pointwise), flag("rows", self.rows().is_some())];
        let constants = [texture_constants(self.tile, runs(self.layer, self.rows())[1]), flags].concat();
        let entry = if ragged { "ragged" } else { "main" };
        let pipeline = context.pipeline(&shaders::CONV2D_TEXTURE, entry, &constants);
        let none = context.nothing()?;
        for pixels in self.pixel_windows()? {
            let covered = self.covered(&pixels);
            let panels = u64::from(self.panels() * self.phases());
            let groups = (covered.end - covered.start).div_ceil(self.tile.rows.into()) * panels;
            let params = context.uniform(&Params {
                x_base: mirror::zero_texel(input),
                y_base: pixels.start as u32,
                ..Params::of(self.layer, self.rows(), &covered, groups)
            })?;
            let elements = pixels.start * u64::from(desc.out_channels)..pixels.end * u64::from(desc.out_channels);
            let output = Bind::Slice(show(buffers.output, elements.clone()));
            let mut entries = vec![
                (0, Bind::Uniform(&params)),
                (1, Bind::Texture(input_view)),
                (2, Bind::Texture(weights.view()?)),
                (3, Bind::Slice(weights.bias.slice(..))),
            ];
            if ragged {
                let residual = buffers.residual.map_or(none.slice(..), |residual| show(residual, elements));
                entries.extend([(6, Bind::Slice(residual)), (7, output)]);
            } else {
                entries.extend([(4, Bind::Texture(residual_view)), (5, output)]);
            }
            let products = groups * u64::from(self.tile.rows * self.tile.columns * self.depth());
            steps.push(context.dispatch(OP, &pipeline, &entries, groups)?.multiplying(products));
        }
        Ok(steps)
    }

    /// Splits the output's pixels by what a binding can show; windows start at multiples of 64 pixels, and at whole rows where rows are read.
    fn pixel_windows(&self) -> Result<Vec<Range<u64>>, Error> {
        let (pixels, channels) = (self.layer.output_pixels(), u64::from(self.layer.desc.out_channels));
        let unit = match self.rows() {
            Some(_) => {
                let width = u64::from(self.layer.output_size()[1]);
                width * (64 >> (width * channels).trailing_zeros().min(6))
            }
            None => 64,
        };
        let room = self.layer.context.room();
        if self.layer.desc.output_len() > room.binding {
            room.check(OP, "elements of the output pixels or rows of a window", unit * channels)?;
        }
        Ok(ranges(pixels, room.aligned_lines(channels, unit).max(pixels.min(unit))).collect())
    }

    /// Finds which pixels of a phase these pixels are.
    fn covered(&self, pixels: &Range<u64>) -> Range<u64> {
        let (width, columns) = (u64::from(self.layer.output_size()[1]), u64::from(self.columns()));
        match self.rows() {
            Some(_) => pixels.start / width * columns..pixels.end / width * columns,
            None => pixels.clone(),
        }
    }

    fn bind_tiled(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        let (context, tile) = (&self.layer.context, self.tile);
        let mut steps = Vec::new();
        let mut input = buffers.input;
        if let Some(pack) = self.padding_pack() {
            input = workspace.buffer(OP, 0, pack.output_len() * 4)?;
            steps.extend(Pack::new(context, &pack)?.bind(buffers.input, input)?.steps);
        }
        let banded = Banded::of(self.layer);
        let constants = [tiled_constants(tile).as_slice(), &[self.layer.f16_tensors()]].concat();
        let weight = weights.buffer()?;
        let (nothing, overflow) = (&context.nothing()?, &context.overflow()?);
        let shown = Shown { input, weights, buffers, nothing, overflow };
        if self.parts > 1 {
            steps.extend(self.split_steps(workspace, &banded, &shown, &constants)?);
            return Ok(steps);
        }
        let pipeline = context.pipeline(&shaders::CONV2D, banded.target.entry, &constants);
        let (panels, panel_len, panels_at_once) = (self.panels().into(), self.panel_words(), self.panels_at_once());
        context.room().check(OP, "elements of 64 output channels of the weight", panel_len)?;
        for band in banded.bands()? {
            let pixels = banded.pixels(&band);
            for some in ranges(panels, panels_at_once) {
                let strips = ((some.end - some.start) * u64::from(self.layer.panel())).div_ceil(tile.columns.into());
                let groups = (pixels.end - pixels.start).div_ceil(tile.rows.into()) * strips;
                let params = Params { panel_first: some.start as u32, ..banded.params(&band, groups) };
                let params = context.uniform(&params)?;
                let weight = show(weight.slice(..), some.start * panel_len..some.end * panel_len);
                let entries = banded.entries(&band, &params, weight, &shown);
                let depth = u64::from(self.depth()).next_multiple_of(16);
                let products = groups * u64::from(tile.rows * tile.columns) * depth;
                steps.push(context.dispatch(OP, &pipeline, &entries, groups)?.multiplying(products));
            }
        }
        Ok(steps)
    }

    /// Makes the steps that compute each part by workgroups of its own, and add the parts up.
    fn split_steps(
        &self,
        workspace: &Workspace,
        banded: &Banded<'_>,
        shown: &Shown<'_>,
        constants: &[(&'static str, f64)],
    ) -> Result<[Step; 2], Error> {
        let (context, tile) = (&self.layer.context, self.tile);
        let bands = banded.bands()?;
        let [band] = &bands[..] else {
            return Err(Error::shape(OP, "the sums' parts take more than one dispatch"));
        };
        let weight = shown.weights.buffer()?.slice(..);
        let workgroups = self.layer.tiles(tile);
        let groups = workgroups * u64::from(self.parts);
        let params = context.uniform(&Params { parts: self.parts, ..banded.params(band, groups) })?;
        let partials = Bind::Slice(workspace.buffer(OP, PARTIALS, self.layer.partials(self.parts) * 4)?);
        let entries = banded.entries(band, &params, weight, shown);
        let partial = context.pipeline(&shaders::CONV2D, "partial", constants);
        let multiply = context.dispatch(OP, &partial, &[&entries[..3], &[(11, partials.clone())]].concat(), groups)?;
        let products = workgroups * u64::from(tile.rows * tile.columns * self.depth().next_multiple_of(16));
        Ok([multiply.multiplying(products), banded.reduce(&entries, &partials)?])
    }
}

impl Algorithm for Direct<'_> {
    fn computed_flops(&self) -> u64 {
        let (desc, tile) = (&self.layer.desc, self.tile);
        let pixels = u64::from(desc.batch) * u64::from(self.layer.output_size()[0]) * u64::from(self.columns());
        let rows = pixels.next_multiple_of(tile.rows.into());
        let columns = u64::from(desc.out_channels.next_multiple_of(tile.columns));
        2 * rows * columns * u64::from(self.depth()) * u64::from(self.phases())
    }

    fn workspace(&self) -> WorkspaceSize {
        let desc = &self.layer.desc;
        let mut size = WorkspaceSize::default();
        let pack = self.padding_pack();
        size.bytes[0] = pack.map_or(0, |pack| pack.output_len() * 4);
        if self.parts > 1 {
            size.bytes[PARTIALS] = self.layer.partials(self.parts) * 4;
        }
        if self.layer.family == Family::Texture {
            size.texels[INPUT] = pack.map_or(desc.input_len(), |pack| pack.output_len()) / 4;
            if pack.is_some() && desc.input_len().is_multiple_of(4) {
                size.texels[RAW] = desc.input_len() / 4;
            }
            if desc.residual && desc.out_channels.is_multiple_of(4) {
                size.texels[RESIDUAL] = desc.output_len() / 4;
            }
        }
        size
    }

    fn packing(&self) -> Packing {
        let pieces = self.panels() * self.phases();
        let len = u64::from(pieces * self.layer.panel()) * u64::from(self.depth());
        Packing { order: Order::Panels, rows: self.rows(), len, halved: self.layer.f16(), pieces }
    }

    /// Packs a panel at a time, those of each phase after those of the one before.
    fn pack(&self, piece: u32, weight: &[f32], upload: &mut Upload<'_>) -> Result<(), Error> {
        let (desc, width) = (&self.layer.desc, self.layer.panel());
        let mut panel = upload.piece((width * self.depth()) as usize);
        let (phase, index) = (piece / self.panels(), piece % self.panels());
        let outputs = index * width..((index + 1) * width).min(desc.out_channels);
        match self.rows() {
            Some(rows) => rows.pack_panel(desc, (phase, outputs), weight, &mut panel),
            None => pack_panel(desc, width, index, weight, &mut panel),
        }
        upload.stage(u64::from(piece) * panel.len() as u64, &panel)?;
        upload.reuse(panel);
        Ok(())
    }

    fn bind(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        match self.layer.family {
            Family::Texture => self.bind_texture(workspace, weights, buffers),
            Family::Tiled => self.bind_tiled(workspace, weights, buffers),
        }
    }
}

/// Packs a panel, `[panel, tap, channel of the panel, output channel of the panel]`, zero before.
fn pack_panel(desc: &Conv2dDesc, width: u32, panel: u32, weight: &[f32], out: &mut [f32]) {
    let span = Span::of(desc, width);
    let taps = (desc.kernel[0] * desc.kernel[1]) as usize;
    let (group_in, group_out) = (desc.in_channels / desc.groups, desc.out_channels / desc.groups);
    let inputs = group_in as usize;
    let depth = span.span4 as usize * 4;
    let outputs = panel * width..((panel + 1) * width).min(desc.out_channels);
    let first = span.first(desc, panel);
    // A row of the panel is written while it is cached; each output's weights are read one after the other.
    for c in 0..inputs {
        for (column, o) in outputs.clone().enumerate() {
            let row = (o / group_out * group_in - first) as usize + c;
            let source = &weight[(o as usize * inputs + c) * taps..][..taps];
            for (tap, &value) in source.iter().enumerate() {
                out[(tap * depth + row) * width as usize + column] = value;
            }
        }
    }
}
