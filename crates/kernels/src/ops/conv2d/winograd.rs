//! The 3x3 convolution of stride 1 by Winograd F(4x4, 3x3): transform, 36 matrix products, transform back.

use super::{
    algorithm::Algorithm,
    desc::{Conv2dBuffers, Conv2dDesc, OP},
    layer::Layer,
    transform::transform_panel,
    weights::{Conv2dWeights, Order, Packing, Upload},
};
use crate::{
    Error, Family, Matmul, MatmulBuffers, MatmulDesc, Tile, Variant, Workspace, WorkspaceSize, context::Bind, mirror,
    ops::matmul::texture::TextureOperands, params::params, step::Step, tile::tiles, window::ranges,
};
use std::ops::Range;

const POINTS: u64 = 36;
/// Parts of the workspace.
const INPUT: usize = 0;
/// V, and M once V has been read.
const TRANSFORMED: usize = 1;
const RESIDUAL: usize = 3;

/// Lists how many MiB of transformed values a band of tiles may take, at most, so that what is written is still cached when it is read; the default
/// first. GPUs need more, to have enough to do, and those of many cores and large caches the most.
fn bands(layer: &Layer) -> [u32; 3] {
    let channels = u64::from(layer.desc.in_channels.max(layer.desc.out_channels));
    let much = layer.context.tune().many_cores && all_tiles(&layer.desc) * POINTS * channels > 16 << 18;
    match layer.family {
        Family::Texture => [4, 16, 64],
        Family::Tiled if much => [64, 16, 4],
        Family::Tiled => [16, 4, 64],
    }
}

/// Bytes of transformed weights for each tile, at most. They are read once whatever the batch, and are four times those of the
/// direct algorithm: few tiles don't make up for either.
const WEIGHT_BYTES_A_TILE: u64 = 2 << 20;

/// Computes the rows and columns of tiles of 4x4 outputs.
fn tiling(desc: &Conv2dDesc) -> [u64; 2] {
    desc.output_size().unwrap_or_default().map(|size| u64::from(size.div_ceil(4)))
}

/// Counts the tiles of 4x4 outputs.
fn all_tiles(desc: &Conv2dDesc) -> u64 {
    let [rows, columns] = tiling(desc);
    u64::from(desc.batch) * rows * columns
}

/// Counts the tiles of a band of so many MiB: a multiple of 32 where there are so many, or all of them.
fn tiles_of_band(layer: &Layer, mib: u32) -> u64 {
    let channels = u64::from(layer.desc.in_channels.max(layer.desc.out_channels));
    let most = (u64::from(mib) << 18).min(layer.context.room().binding) / POINTS / channels;
    let whole = if most < 32 { 16 } else { most / 32 * 32 };
    whole.min(all_tiles(&layer.desc))
}

/// Winograd F(4x4, 3x3), whose products are computed in tiles, of bands of 4x4 outputs.
pub(super) struct Winograd<'a> {
    pub layer: &'a Layer,
    pub tile: Tile,
    /// MiB of transformed values of a band, at most.
    pub band: u32,
}

impl Winograd<'_> {
    /// Tells whether it computes this layer, and fits the device.
    pub fn applies(layer: &Layer) -> bool {
        let desc = &layer.desc;
        let applies = desc.kernel == [3, 3]
            && desc.stride == [1, 1]
            && desc.dilation == [1, 1]
            && desc.groups == 1
            && desc.in_channels.is_multiple_of(4)
            && desc.out_channels.is_multiple_of(4);
        let limit = layer.context.room().binding;
        let weight = POINTS * u64::from(desc.in_channels) * u64::from(desc.out_channels.next_multiple_of(64));
        let fits = match layer.family {
            Family::Texture => weight / 4 <= mirror::capacity(layer.context.device()) && desc.output_len() <= limit,
            Family::Tiled => {
                let numbers = if layer.f16() { 2 } else { 1 };
                weight <= limit && desc.input_len() / numbers <= limit && desc.output_len() / numbers <= limit
            }
        };
        let band = 16 * POINTS * u64::from(desc.in_channels.max(desc.out_channels)) <= limit;
        layer.context.tune().winograd && applies && fits && band
    }

    /// Tells whether it is worth it: the transforms cost the same for each channel, and what they save grows with the other side's channels.
    /// In the tiled family half of the lowest tile of the products must be filled, for weights are read whole however few rows there are.
    pub fn pays(layer: &Layer) -> bool {
        let desc = &layer.desc;
        let filled = layer.family == Family::Texture || all_tiles(desc) > 16;
        let weight = POINTS * 4 * u64::from(desc.in_channels) * u64::from(desc.out_channels);
        filled && desc.in_channels.min(desc.out_channels) >= 64 && weight <= WEIGHT_BYTES_A_TILE * all_tiles(desc)
    }

    /// Lists its variants, the default first; bands that come to the same tiles are listed once.
    pub fn variants(layer: &Layer) -> Vec<Variant> {
        let mut list: Vec<u32> = Vec::new();
        for band in bands(layer) {
            if list.iter().all(|&other| tiles_of_band(layer, other) != tiles_of_band(layer, band)) {
                list.push(band);
            }
        }
        let of_tile = |tile| list.iter().map(move |&band| Variant::Winograd { tile, band });
        let rows = tiles_of_band(layer, list[0]);
        tiles(&layer.context, layer.family, rows, layer.desc.out_channels.into())
            .into_iter()
            .flat_map(of_tile)
            .collect()
    }

    fn tile_bands(&self) -> impl Iterator<Item = Range<u64>> {
        ranges(all_tiles(&self.layer.desc), tiles_of_band(self.layer, self.band))
    }

    fn params(&self, tiles: &Range<u64>, zero: u32) -> Params {
        let desc = &self.layer.desc;
        let [out_height, out_width] = self.layer.output_size();
        let [tiles_h, tiles_w] = tiling(&self.layer.desc);
        Params {
            height: desc.height,
            width: desc.width,
            channels4: desc.in_channels / 4,
            out_height,
            out_width,
            out_channels4: desc.out_channels / 4,
            pad_h: desc.padding[0],
            pad_w: desc.padding[1],
            tiles_h: tiles_h as u32,
            tiles_w: tiles_w as u32,
            tile_first: tiles.start as u32,
            tile_count: (tiles.end - tiles.start) as u32,
            zero,
            relu: u32::from(desc.relu),
            has_residual: u32::from(desc.residual),
            pad: 0,
        }
    }

    fn bind_texture(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        let (context, desc) = (&self.layer.context, &self.layer.desc);
        let size = self.workspace();
        let (input, input_view) = workspace.texture(OP, INPUT, size.texels[INPUT])?;
        let (transformed, transformed_view) = workspace.texture(OP, TRANSFORMED, size.texels[TRANSFORMED])?;
        let mut steps = vec![mirror::copy(buffers.input, input)];
        let mut residual_view = transformed_view;
        if let Some(residual) = buffers.residual {
            let (texture, view) = workspace.texture(OP, RESIDUAL, size.texels[RESIDUAL])?;
            steps.push(mirror::copy(residual, texture));
            residual_view = view;
        }
        let constants = [("has_residual", f64::from(u8::from(desc.residual)))];
        let shader = &shaders::CONV2D_WINOGRAD_TEXTURE;
        let input_transform = context.pipeline(shader, "input_transform", &[]);
        let output_transform = context.pipeline(shader, "output_transform", &constants);
        for tiles in self.tile_bands() {
            let count = tiles.end - tiles.start;
            let params = context.uniform(&self.params(&tiles, mirror::zero_texel(input)))?;
            let v = workspace.buffer(OP, 0, POINTS * count * u64::from(desc.in_channels) * 4)?;
            let m = workspace.buffer(OP, 0, POINTS * count * u64::from(desc.out_channels) * 4)?;
            let entries = [(0, Bind::Uniform(&params)), (1, Bind::Texture(input_view)), (2, Bind::Slice(v))];
            let groups = (count * u64::from(desc.in_channels / 4)).div_ceil(64);
            steps.push(context.dispatch(OP, &input_transform, &entries, groups)?);
            steps.push(mirror::copy(v, transformed));
            let products = TextureOperands {
                m: count as u32,
                k4: desc.in_channels / 4,
                n: desc.out_channels,
                batch: POINTS as u32,
                a: transformed_view,
                b: weights.view()?,
                packed_b: true,
                tile: self.tile,
            };
            steps.extend(products.steps(context, None, m)?);
            steps.push(mirror::copy(m, transformed));
            let entries = [
                (0, Bind::Uniform(&params)),
                (3, Bind::Texture(transformed_view)),
                (4, Bind::Slice(weights.bias.slice(..))),
                (5, Bind::Texture(residual_view)),
                (6, Bind::Slice(buffers.output)),
            ];
            let groups = (count * u64::from(desc.out_channels / 4)).div_ceil(64);
            steps.push(context.dispatch(OP, &output_transform, &entries, groups)?);
        }
        Ok(steps)
    }

    fn bind_tiled(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        let (context, desc) = (&self.layer.context, &self.layer.desc);
        let mut steps = Vec::new();
        let none = context.nothing()?;
        let unused = context.nothing()?;
        let overflow = context.overflow()?;
        let f16 = self.layer.f16();
        let constants = [("f16_tensors", f64::from(u8::from(f16)))];
        let shader = &shaders::CONV2D_WINOGRAD;
        let input_transform = context.pipeline(shader, "input_transform", &constants);
        let output_transform = context.pipeline(shader, "output_transform", &constants);
        let residual = buffers.residual.unwrap_or(none.slice(..));
        // Bindings 5 and 6 are f32, 7 and 8 f16; what isn't used shows a buffer of nothing.
        let [f32_output, f16_output] = match f16 {
            false => [[residual, buffers.output], [none.slice(..), unused.slice(..)]],
            true => [[none.slice(..), unused.slice(..)], [residual, buffers.output]],
        };
        for tiles in self.tile_bands() {
            let count = tiles.end - tiles.start;
            let params = context.uniform(&self.params(&tiles, 0))?;
            let v = workspace.buffer(OP, 0, POINTS * count * u64::from(desc.in_channels) * 4)?;
            let m = workspace.buffer(OP, 1, POINTS * count * u64::from(desc.out_channels) * 4)?;
            let entries = [(0, Bind::Uniform(&params)), (1, Bind::Slice(buffers.input)), (2, Bind::Slice(v))];
            let groups = (count * u64::from(desc.in_channels / 2)).div_ceil(64);
            steps.push(context.dispatch(OP, &input_transform, &entries, groups)?);
            let products = MatmulDesc {
                batch: POINTS as u32,
                ..MatmulDesc::new(count as u32, desc.in_channels, desc.out_channels)
            };
            let operands = MatmulBuffers { a: v, b: weights.buffer()?.slice(..), bias: None, output: m };
            steps.extend(Matmul::tiled(context, &products, self.tile)?.bind(&operands)?.steps);
            let entries = [
                (0, Bind::Uniform(&params)),
                (3, Bind::Slice(m)),
                (4, Bind::Slice(weights.bias.slice(..))),
                (5, Bind::Slice(f32_output[0])),
                (6, Bind::Slice(f32_output[1])),
                (7, Bind::Slice(f16_output[0])),
                (8, Bind::Slice(f16_output[1])),
                (9, Bind::Slice(overflow.word())),
            ];
            let groups = (count * u64::from(desc.out_channels / 2)).div_ceil(64);
            steps.push(context.dispatch(OP, &output_transform, &entries, groups)?);
        }
        Ok(steps)
    }
}

impl Algorithm for Winograd<'_> {
    /// Counts the multiplications and additions of the 36 products.
    fn computed_flops(&self) -> u64 {
        let (desc, tile) = (&self.layer.desc, self.tile);
        let whole = |tiles: Range<u64>| (tiles.end - tiles.start).next_multiple_of(tile.rows.into());
        let rows: u64 = self.tile_bands().map(whole).sum();
        let columns = u64::from(desc.out_channels.next_multiple_of(tile.columns));
        2 * POINTS * rows * u64::from(desc.in_channels) * columns
    }

    fn workspace(&self) -> WorkspaceSize {
        let desc = &self.layer.desc;
        let mut size = WorkspaceSize::default();
        let values = |channels: u32| POINTS * tiles_of_band(self.layer, self.band) * u64::from(channels);
        size.bytes = [values(desc.in_channels) * 4, values(desc.out_channels) * 4];
        if self.layer.family == Family::Texture {
            let larger = size.bytes[0].max(size.bytes[1]);
            size.bytes = [larger, 0];
            size.texels[INPUT] = desc.input_len() / 4;
            size.texels[TRANSFORMED] = larger / 16;
            if desc.residual {
                size.texels[RESIDUAL] = desc.output_len() / 4;
            }
        }
        size
    }

    /// Packs transformed weights, which stay f32: see the shader.
    fn packing(&self) -> Packing {
        let (desc, width) = (&self.layer.desc, self.layer.panel());
        let panels = desc.out_channels.div_ceil(width);
        let (outputs, pieces) = match self.layer.family {
            Family::Texture => (panels * width, panels),
            Family::Tiled => (desc.out_channels, 1),
        };
        let len = POINTS * u64::from(desc.in_channels) * u64::from(outputs);
        Packing { order: Order::Transformed, rows: None, len, halved: false, pieces }
    }

    fn pack(&self, piece: u32, weight: &[f32], upload: &mut Upload<'_>) -> Result<(), Error> {
        let (desc, width) = (&self.layer.desc, self.layer.panel() as usize);
        let (inputs, outputs) = (desc.in_channels as usize, desc.out_channels as usize);
        let columns = |panel: usize| panel * width..((panel + 1) * width).min(outputs);
        let panels = outputs.div_ceil(width);
        match self.layer.family {
            // Panel after panel, each by points; points lie together in the texture.
            Family::Texture => {
                let index = piece as usize;
                let mut panel = upload.piece(POINTS as usize * inputs * width);
                let place = |point, c| (point * inputs + c) * width;
                transform_panel(inputs, columns(index), weight, place, &mut panel);
                for (point, values) in panel.chunks_exact(inputs * width).enumerate() {
                    upload.stage(((point * panels + index) * inputs * width) as u64, values)?;
                }
                upload.reuse(panel);
                Ok(())
            }
            Family::Tiled => {
                let mut whole = upload.piece(POINTS as usize * inputs * outputs);
                for panel in 0..panels {
                    let place = |point, c| (point * inputs + c) * outputs + panel * width;
                    transform_panel(inputs, columns(panel), weight, place, &mut whole);
                }
                upload.stage(0, &whole)
            }
        }
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

params! {
    CONV2D_WINOGRAD, CONV2D_WINOGRAD_TEXTURE: struct Params {
        height: u32,
        width: u32,
        channels4: u32,
        out_height: u32,
        out_width: u32,
        out_channels4: u32,
        pad_h: u32,
        pad_w: u32,
        tiles_h: u32,
        tiles_w: u32,
        tile_first: u32,
        tile_count: u32,
        zero: u32,
        relu: u32,
        has_residual: u32,
        pad: u32,
    }
}
