//! The 3x3 convolution of stride 1 by Winograd F(4x4, 3x3): transform, 36 matrix products, transform back.

use super::{Conv2d, Conv2dBuffers, Conv2dDesc, Conv2dWeights, OP};
use crate::{
    Context, Error, Family, Matmul, MatmulBuffers, MatmulDesc, Workspace, WorkspaceSize, commands::Step, context::Bind,
    mirror, ops::matmul::TextureOperands, params::params,
};
use std::ops::Range;
use wgpu::BufferUsages;

const POINTS: u64 = 36;
/// Parts of the workspace.
const INPUT: usize = 0;
/// V, and M once V has been read.
const TRANSFORMED: usize = 1;
const RESIDUAL: usize = 3;

/// Transformed values of a band of tiles, at most, so that what is written is still cached when it is read: 4 MiB on a CPU, on a
/// GPU 16 MiB, that it has enough to do.
fn band_elements(family: Family) -> u64 {
    match family {
        Family::Texture => 1 << 20,
        Family::Tiled => 4 << 20,
    }
}

/// Bytes of transformed weights for each tile, at most. They are read once whatever the batch, and are four times those of the
/// direct algorithm: few tiles don't make up for either (512 channels at 7x7 and batch 8: 38 MB for 32 tiles).
const WEIGHT_BYTES_A_TILE: u64 = 1 << 20;

/// Whether the algorithm applies, and pays.
pub(super) fn suits(context: &Context, family: Family, desc: &Conv2dDesc) -> bool {
    let applies = desc.kernel == [3, 3]
        && desc.stride == [1, 1]
        && desc.dilation == [1, 1]
        && desc.groups == 1
        && desc.in_channels.is_multiple_of(4)
        && desc.out_channels.is_multiple_of(4);
    // The transforms cost what they cost for each channel; the products they save grow with the other side's channels.
    let weight = POINTS * u64::from(desc.in_channels) * u64::from(desc.out_channels.next_multiple_of(64));
    let [rows, columns] = tiling(desc);
    let pays = desc.in_channels.min(desc.out_channels) >= 64
        && weight * 4 <= WEIGHT_BYTES_A_TILE * u64::from(desc.batch) * rows * columns;
    let limit = context.binding_elements();
    let fits = match family {
        Family::Texture => weight / 4 <= mirror::capacity(context.device()) && desc.output_len() <= limit,
        Family::Tiled => weight <= limit && desc.input_len() <= limit && desc.output_len() <= limit,
    };
    let band = 16 * POINTS * u64::from(desc.in_channels.max(desc.out_channels)) <= limit;
    applies && pays && fits && band
}

/// Rows and columns of tiles of 4x4 outputs.
fn tiling(desc: &Conv2dDesc) -> [u64; 2] {
    desc.output_size().unwrap_or_default().map(|size| u64::from(size.div_ceil(4)))
}

impl Conv2d {
    /// Tiles of a band: a multiple of 16, or all of them.
    fn band(&self) -> u64 {
        let channels = u64::from(self.desc.in_channels.max(self.desc.out_channels));
        let most = band_elements(self.family).min(self.context.binding_elements()) / POINTS / channels;
        let [rows, columns] = tiling(&self.desc);
        (most / 16 * 16).max(16).min(u64::from(self.desc.batch) * rows * columns)
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
        let [rows, columns] = tiling(&self.desc);
        let (all, step) = (u64::from(self.desc.batch) * rows * columns, self.band());
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
            let params = self.context.uniform(&self.winograd_params(&tiles, mirror::zero_texel(input)));
            let v = workspace.buffer(OP, 0, POINTS * count * u64::from(desc.in_channels) * 4)?;
            let m = workspace.buffer(OP, 0, POINTS * count * u64::from(desc.out_channels) * 4)?;
            let entries = [(0, Bind::Uniform(&params)), (1, Bind::Texture(input_view)), (2, Bind::Slice(v))];
            let groups = (count * u64::from(desc.in_channels / 4)).div_ceil(8);
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
            let groups = (count * u64::from(desc.out_channels / 4)).div_ceil(8);
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
        let none = self.context.filled(BufferUsages::STORAGE, &[0; 16]);
        let shader = &shaders::CONV2D_WINOGRAD;
        let input_transform = self.context.pipeline(shader, "input_transform", &[]);
        let output_transform = self.context.pipeline(shader, "output_transform", &[]);
        for tiles in self.tile_bands() {
            let count = tiles.end - tiles.start;
            let params = self.context.uniform(&self.winograd_params(&tiles, 0));
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
            steps.extend(Matmul::tiled(&self.context, &products)?.bind(&operands)?.steps);
            let entries = [
                (0, Bind::Uniform(&params)),
                (3, Bind::Slice(m)),
                (4, Bind::Slice(weights.bias.slice(..))),
                (5, Bind::Slice(buffers.residual.unwrap_or(none.slice(..)))),
                (6, Bind::Slice(buffers.output)),
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
