//! Buffers mirrored into textures, for software adapters.
//!
//! A software Vulkan driver reads a storage buffer one scalar at a time, with a bounds check a lane; it reads a texel
//! of `rgba32float` for all lanes at once. So the texture family copies operands into *linear textures*: texel `i` is
//! the buffer's `i`-th `vec4`, found at `(i % 4096, i / 4096)`. The copy is a plain `memcpy` (about 15 GB/s).
//!
//! The very last texel is never written and so stays zero, as WebGPU promises of new textures: a padded pixel is read there.

use crate::commands::Step;
use wgpu::{
    Buffer, BufferSlice, CommandEncoder, Device, Extent3d, Origin3d, TexelCopyBufferInfo, TexelCopyBufferLayout,
    TexelCopyTextureInfo, Texture, TextureAspect, TextureDescriptor, TextureDimension, TextureFormat, TextureUsages,
};

/// Texels a row of a linear texture. The shaders hold the same number as `ROW_SHIFT` = 12 (a test compares them).
pub(crate) const ROW: u64 = 4096;
const TEXEL_BYTES: u64 = 16;

/// Rows needed for `texels` and the zero texel behind them.
fn rows(texels: u64) -> u64 {
    (texels + 1).div_ceil(ROW).max(1)
}

/// Bytes of a linear texture made for `texels`.
pub(crate) fn bytes(texels: u64) -> u64 {
    rows(texels) * ROW * TEXEL_BYTES
}

/// The copy of a slice (whole texels) into a linear texture.
pub(crate) fn copy(slice: BufferSlice<'_>, texture: &Texture) -> Step {
    Step::CopyToTexture {
        buffer: slice.buffer().clone(),
        offset: slice.offset(),
        texels: slice.size() / TEXEL_BYTES,
        texture: texture.clone(),
    }
}

/// Index of the texel that is always zero in a texture made for `texels`.
pub(crate) fn zero_texel(texture: &Texture) -> u32 {
    (u64::from(texture.height()) * ROW - 1) as u32
}

/// The most texels a linear texture can hold on this device.
pub(crate) fn capacity(device: &Device) -> u64 {
    u64::from(device.limits().max_texture_dimension_2d) * ROW - 1
}

pub(crate) fn linear_texture(device: &Device, texels: u64) -> Texture {
    device.create_texture(&TextureDescriptor {
        label: Some("kernels linear texture"),
        size: Extent3d { width: ROW as u32, height: rows(texels) as u32, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: TextureDimension::D2,
        format: TextureFormat::Rgba32Float,
        usage: TextureUsages::STORAGE_BINDING | TextureUsages::COPY_DST,
        view_formats: &[],
    })
}

fn target(texture: &Texture, row: u64) -> TexelCopyTextureInfo<'_> {
    TexelCopyTextureInfo {
        texture,
        mip_level: 0,
        origin: Origin3d { x: 0, y: row as u32, z: 0 },
        aspect: TextureAspect::All,
    }
}

fn layout(offset: u64) -> TexelCopyBufferLayout {
    TexelCopyBufferLayout { offset, bytes_per_row: Some((ROW * TEXEL_BYTES) as u32), rows_per_image: None }
}

/// Full rows, then what remains of the last one: each with its first row, its rows and its texels a row.
fn regions(texels: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let (full, rest) = (texels / ROW, texels % ROW);
    [(0, full, ROW), (full, 1, rest)].into_iter().filter(|&(_, rows, width)| rows > 0 && width > 0)
}

pub(crate) fn record_copy(encoder: &mut CommandEncoder, buffer: &Buffer, offset: u64, texels: u64, texture: &Texture) {
    for (first, rows, width) in regions(texels) {
        encoder.copy_buffer_to_texture(
            TexelCopyBufferInfo { buffer, layout: layout(offset + first * ROW * TEXEL_BYTES) },
            target(texture, first),
            Extent3d { width: width as u32, height: rows as u32, depth_or_array_layers: 1 },
        );
    }
}

/// Writes host data (whole texels) into a linear texture, through the queue's own staging.
pub(crate) fn write(queue: &wgpu::Queue, texture: &Texture, data: &[f32]) {
    write_at(queue, texture, 0, data);
}

/// As [`write`], from a texel on.
pub(crate) fn write_at(queue: &wgpu::Queue, texture: &Texture, first: u64, data: &[f32]) {
    let bytes: &[u8] = bytemuck::cast_slice(data);
    let end = first + bytes.len() as u64 / TEXEL_BYTES;
    let mut texel = first;
    while texel < end {
        // All full rows at once, and what stands before and behind them.
        let (column, left) = (texel % ROW, end - texel);
        let (rows, width) = if column == 0 && left >= ROW { (left / ROW, ROW) } else { (1, left.min(ROW - column)) };
        let mut place = target(texture, texel / ROW);
        place.origin.x = column as u32;
        let size = Extent3d { width: width as u32, height: rows as u32, depth_or_array_layers: 1 };
        queue.write_texture(place, &bytes[((texel - first) * TEXEL_BYTES) as usize..], layout(0), size);
        texel += rows * width;
    }
}
