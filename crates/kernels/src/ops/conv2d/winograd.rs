//! The 3x3 convolution of stride 1 by Winograd F(4x4, 3x3): transform, 36 matrix products, transform back.

use super::{Conv2d, Conv2dBuffers, Conv2dDesc, Conv2dWeights, OP};
use crate::{
    Context, Error, Family, Matmul, MatmulBuffers, MatmulDesc, Precision, Variant, Workspace, WorkspaceSize,
    commands::Step, context::Bind, mirror, ops::matmul::TextureOperands, params::params, tile::tiles,
};
use std::ops::Range;

const POINTS: u64 = 36;
/// Parts of the workspace.
const INPUT: usize = 0;
/// V, and M once V has been read.
const TRANSFORMED: usize = 1;
const RESIDUAL: usize = 3;

/// MiB of transformed values of a band of tiles, at most, so that what is written is still cached when it is read; the default
/// first. GPUs need more, to have enough to do.
fn bands(family: Family) -> [u32; 3] {
    match family {
        Family::Texture => [4, 16, 64],
        Family::Tiled => [16, 4, 64],
    }
}

/// Bytes of transformed weights for each tile, at most. They are read once whatever the batch, and are four times those of the
/// direct algorithm: few tiles don't make up for either.
const WEIGHT_BYTES_A_TILE: u64 = 2 << 20;

/// The transforms cost what they cost for each channel; the products they save grow with the other side's channels.
pub(super) fn pays(desc: &Conv2dDesc) -> bool {
    let weight = POINTS * 4 * u64::from(desc.in_channels) * u64::from(desc.out_channels);
    let [rows, columns] = tiling(desc);
    desc.in_channels.min(desc.out_channels) >= 64
        && weight <= WEIGHT_BYTES_A_TILE * u64::from(desc.batch) * rows * columns
}

/// Whether the algorithm computes this convolution, and fits the device.
pub(super) fn applies(context: &Context, family: Family, desc: &Conv2dDesc) -> bool {
    let applies = desc.kernel == [3, 3]
        && desc.stride == [1, 1]
        && desc.dilation == [1, 1]
        && desc.groups == 1
        && desc.in_channels.is_multiple_of(4)
        && desc.out_channels.is_multiple_of(4);
    let limit = context.binding_elements();
    let weight = POINTS * u64::from(desc.in_channels) * u64::from(desc.out_channels.next_multiple_of(64));
    let fits = match family {
        Family::Texture => weight / 4 <= mirror::capacity(context.device()) && desc.output_len() <= limit,
        Family::Tiled => {
            let numbers = if desc.precision == Precision::F16 { 2 } else { 1 };
            weight <= limit && desc.input_len() / numbers <= limit && desc.output_len() / numbers <= limit
        }
    };
    let band = 16 * POINTS * u64::from(desc.in_channels.max(desc.out_channels)) <= limit;
    applies && fits && band
}

/// Rows and columns of tiles of 4x4 outputs.
fn tiling(desc: &Conv2dDesc) -> [u64; 2] {
    desc.output_size().unwrap_or_default().map(|size| u64::from(size.div_ceil(4)))
}

impl Conv2d {
    fn all_tiles(&self) -> u64 {
        let [rows, columns] = tiling(&self.desc);
        u64::from(self.desc.batch) * rows * columns
    }

    /// Tiles of a band of so many MiB: a multiple of 32 where there are so many, or all of them.
    fn tiles_of_band(&self, mib: u32) -> u64 {
        let channels = u64::from(self.desc.in_channels.max(self.desc.out_channels));
        let most = (u64::from(mib) << 18).min(self.context.binding_elements()) / POINTS / channels;
        let whole = if most < 32 { 16 } else { most / 32 * 32 };
        whole.min(self.all_tiles())
    }

    fn band(&self) -> u64 {
        match self.variant {
            Variant::Winograd { band, .. } => self.tiles_of_band(band),
            Variant::Direct(_) | Variant::Grouped => 0,
        }
    }

    /// The default first; bands that come to the same tiles are listed once.
    pub(super) fn winograd_variants(&self) -> Vec<Variant> {
        let mut list: Vec<u32> = Vec::new();
        for band in bands(self.family) {
            if list.iter().all(|&other| self.tiles_of_band(other) != self.tiles_of_band(band)) {
                list.push(band);
            }
        }
        let of_tile = |tile| list.iter().map(move |&band| Variant::Winograd { tile, band });
        let rows = self.tiles_of_band(list[0]);
        tiles(&self.context, self.family, rows).into_iter().flat_map(of_tile).collect()
    }

    /// Multiplications and additions an output channel, in bands of whole `rows`.
    pub(super) fn winograd_products(&self, rows: u32) -> u64 {
        let rows: u64 = self.tile_bands().map(|tiles| (tiles.end - tiles.start).next_multiple_of(rows.into())).sum();
        2 * POINTS * rows * u64::from(self.desc.in_channels)
    }

    pub(super) fn winograd_workspace(&self) -> WorkspaceSize {
        let mut size = WorkspaceSize::default();
        let values = |channels: u32| POINTS * self.band() * u64::from(channels);
        size.bytes = [values(self.desc.in_channels) * 4, values(self.desc.out_channels) * 4];
        if self.family == Family::Texture {
            let larger = size.bytes[0].max(size.bytes[1]);
            size.bytes = [larger, 0];
            size.texels[INPUT] = self.desc.input_len() / 4;
            size.texels[TRANSFORMED] = larger / 16;
            if self.desc.residual {
                size.texels[RESIDUAL] = self.desc.output_len() / 4;
            }
        }
        size
    }

    fn tile_bands(&self) -> impl Iterator<Item = Range<u64>> {
        let (all, step) = (self.all_tiles(), self.band());
        (0..all.div_ceil(step)).map(move |i| i * step..((i + 1) * step).min(all))
    }

    fn winograd_params(&self, tiles: &Range<u64>, zero: u32) -> Params {
        let desc = &self.desc;
        let [out_height, out_width] = desc.output_size().unwrap_or_default();
        let [tiles_h, tiles_w] = tiling(&self.desc);
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

    pub(super) fn winograd_texture(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        let desc = &self.desc;
        let size = self.winograd_workspace();
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
        let input_transform = self.context.pipeline(shader, "input_transform", &[]);
        let output_transform = self.context.pipeline(shader, "output_transform", &constants);
        for tiles in self.tile_bands() {
            let count = tiles.end - tiles.start;
            let params = self.context.uniform(&self.winograd_params(&tiles, mirror::zero_texel(input)))?;
            let v = workspace.buffer(OP, 0, POINTS * count * u64::from(desc.in_channels) * 4)?;
            let m = workspace.buffer(OP, 0, POINTS * count * u64::from(desc.out_channels) * 4)?;
            let entries = [(0, Bind::Uniform(&params)), (1, Bind::Texture(input_view)), (2, Bind::Slice(v))];
            let groups = (count * u64::from(desc.in_channels / 4)).div_ceil(64);
            steps.push(self.context.dispatch(OP, &input_transform, &entries, groups)?);
            steps.push(mirror::copy(v, transformed));
            let products = TextureOperands {
                m: count as u32,
                k4: desc.in_channels / 4,
                n: desc.out_channels,
                batch: POINTS as u32,
                a: transformed_view,
                b: weights.view()?,
                packed_b: true,
                tile: self.variant.tile(),
            };
            steps.extend(products.steps(&self.context, None, m)?);
            steps.push(mirror::copy(m, transformed));
            let entries = [
                (0, Bind::Uniform(&params)),
                (3, Bind::Texture(transformed_view)),
                (4, Bind::Slice(weights.bias.slice(..))),
                (5, Bind::Texture(residual_view)),
                (6, Bind::Slice(buffers.output)),
            ];
            let groups = (count * u64::from(desc.out_channels / 4)).div_ceil(64);
            steps.push(self.context.dispatch(OP, &output_transform, &entries, groups)?);
        }
        Ok(steps)
    }

    pub(super) fn winograd_tiled(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        let desc = &self.desc;
        let mut steps = Vec::new();
        let none = self.context.nothing()?;
        let unused = self.context.nothing()?;
        let f16 = self.desc.precision == Precision::F16;
        let constants = [("f16_tensors", f64::from(u8::from(f16)))];
        let shader = &shaders::CONV2D_WINOGRAD;
        let input_transform = self.context.pipeline(shader, "input_transform", &constants);
        let output_transform = self.context.pipeline(shader, "output_transform", &constants);
        let residual = buffers.residual.unwrap_or(none.slice(..));
        // Bindings 5 and 6 are f32, 7 and 8 f16; what isn't used shows a buffer of nothing.
        let [f32_output, f16_output] = match f16 {
            false => [[residual, buffers.output], [none.slice(..), unused.slice(..)]],
            true => [[none.slice(..), unused.slice(..)], [residual, buffers.output]],
        };
        for tiles in self.tile_bands() {
            let count = tiles.end - tiles.start;
            let params = self.context.uniform(&self.winograd_params(&tiles, 0))?;
            let v = workspace.buffer(OP, 0, POINTS * count * u64::from(desc.in_channels) * 4)?;
            let m = workspace.buffer(OP, 1, POINTS * count * u64::from(desc.out_channels) * 4)?;
            let entries = [(0, Bind::Uniform(&params)), (1, Bind::Slice(buffers.input)), (2, Bind::Slice(v))];
            let groups = (count * u64::from(desc.in_channels / 4)).div_ceil(64);
            steps.push(self.context.dispatch(OP, &input_transform, &entries, groups)?);
            let products = MatmulDesc {
                batch: POINTS as u32,
                ..MatmulDesc::new(count as u32, desc.in_channels, desc.out_channels)
            };
            let operands = MatmulBuffers { a: v, b: weights.buffer()?.slice(..), bias: None, output: m };
            steps.extend(Matmul::tiled(&self.context, &products, self.variant.tile())?.bind(&operands)?.steps);
            let entries = [
                (0, Bind::Uniform(&params)),
                (3, Bind::Slice(m)),
                (4, Bind::Slice(weights.bias.slice(..))),
                (5, Bind::Slice(f32_output[0])),
                (6, Bind::Slice(f32_output[1])),
                (7, Bind::Slice(f16_output[0])),
                (8, Bind::Slice(f16_output[1])),
            ];
            let groups = (count * u64::from(desc.out_channels / 4)).div_ceil(64);
            steps.push(self.context.dispatch(OP, &output_transform, &entries, groups)?);
        }
        Ok(steps)
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
