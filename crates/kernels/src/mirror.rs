//! Mirrors buffers into textures, which software adapters read far faster.
//!
//! A software Vulkan driver reads a storage buffer one scalar at a time, with a bounds check a lane; it reads a texel
//! of `rgba32float` for all lanes at once. So the texture family copies operands into *linear textures*: texel `i` is
//! the buffer's `i`-th `vec4`, found at `(i % 4096, i / 4096)`. The copy is a plain `memcpy` by one core (10 GB/s and more).
//!
//! The very last texel is never written and so stays zero, as WebGPU promises of new textures: a padded pixel is read there.

use crate::step::Step;
use wgpu::{
    Buffer, BufferSlice, CommandEncoder, Device, Extent3d, Origin3d, TexelCopyBufferInfo, TexelCopyBufferLayout,
    TexelCopyTextureInfo, Texture, TextureAspect, TextureDescriptor, TextureDimension, TextureFormat, TextureUsages,
};

/// Texels a row of a linear texture. The shaders hold the same number as `ROW_SHIFT` = 12 (a test compares them).
pub(crate) const ROW: u64 = 4096;
const TEXEL_BYTES: u64 = 16;

/// Computes the rows for `texels` and the zero texel behind them; never a power of two, for which lavapipe compiles a kernel again.
fn rows(texels: u64) -> u64 {
    let rows = (texels + 1).div_ceil(ROW).max(3);
    rows + u64::from(rows.is_power_of_two())
}

/// Computes the bytes of a linear texture made for `texels`.
pub(crate) fn bytes(texels: u64) -> u64 {
    rows(texels) * ROW * TEXEL_BYTES
}

/// Makes the step that copies a slice (whole texels) into a linear texture.
pub(crate) fn copy(slice: BufferSlice<'_>, texture: &Texture) -> Step {
    Step::CopyToTexture {
        buffer: slice.buffer().clone(),
        offset: slice.offset(),
        texels: slice.size() / TEXEL_BYTES,
        texture: texture.clone(),
    }
}

/// Computes the index of the texel that is always zero in a texture made for `texels`.
pub(crate) fn zero_texel(texture: &Texture) -> u32 {
    (u64::from(texture.height()) * ROW - 1) as u32
}

/// Computes the most texels that a linear texture can hold on this device.
pub(crate) fn capacity(device: &Device) -> u64 {
    u64::from(device.limits().max_texture_dimension_2d - 1) * ROW - 1
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

fn layout(offset: u64) -> TexelCopyBufferLayout {
    TexelCopyBufferLayout { offset, bytes_per_row: Some((ROW * TEXEL_BYTES) as u32), rows_per_image: None }
}

/// A rectangle of a linear texture.
struct Region {
    /// Where it begins among the texels that are copied.
    from: u64,
    x: u64,
    y: u64,
    width: u64,
    rows: u64,
}

/// Cuts the texels from `first` on into rectangles: what is left of its row, full rows, then what remains of the last one.
fn regions(first: u64, texels: u64) -> impl Iterator<Item = Region> {
    let (x, y) = (first % ROW, first / ROW);
    let head = if x == 0 { 0 } else { texels.min(ROW - x) };
    let (full, rest) = ((texels - head) / ROW, (texels - head) % ROW);
    let below = y + u64::from(head > 0);
    [
        Region { from: 0, x, y, width: head, rows: 1 },
        Region { from: head, x: 0, y: below, width: ROW, rows: full },
        Region { from: head + full * ROW, x: 0, y: below + full, width: rest, rows: 1 },
    ]
    .into_iter()
    .filter(|region| region.width > 0 && region.rows > 0)
}

impl Region {
    fn target<'a>(&self, texture: &'a Texture) -> TexelCopyTextureInfo<'a> {
        let origin = Origin3d { x: self.x as u32, y: self.y as u32, z: 0 };
        TexelCopyTextureInfo { texture, mip_level: 0, origin, aspect: TextureAspect::All }
    }

    fn extent(&self) -> Extent3d {
        Extent3d { width: self.width as u32, height: self.rows as u32, depth_or_array_layers: 1 }
    }
}

pub(crate) fn record_copy(encoder: &mut CommandEncoder, buffer: &Buffer, offset: u64, texels: u64, texture: &Texture) {
    for region in regions(0, texels) {
        let layout = layout(offset + region.from * TEXEL_BYTES);
        encoder.copy_buffer_to_texture(TexelCopyBufferInfo { buffer, layout }, region.target(texture), region.extent());
    }
}

/// Writes host data (whole texels) into a linear texture from a texel on, through the queue's own staging.
pub(crate) fn write_at(queue: &wgpu::Queue, texture: &Texture, first: u64, data: &[f32]) {
    let bytes: &[u8] = bytemuck::cast_slice(data);
    for region in regions(first, bytes.len() as u64 / TEXEL_BYTES) {
        let start = (region.from * TEXEL_BYTES) as usize;
        queue.write_texture(region.target(texture), &bytes[start..], layout(0), region.extent());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_cover_a_range_once_in_order() {
        for (first, texels) in [(0, 1), (0, ROW), (5, 3), (5, ROW), (4095, 1), (4095, 2), (7, 3 * ROW), (ROW, ROW + 1)]
        {
            let mut at = 0;
            for region in regions(first, texels) {
                assert_eq!(region.from, at);
                assert_eq!(region.y * ROW + region.x, first + at);
                assert!(region.x + region.width <= ROW && (region.rows == 1 || region.width == ROW));
                at += region.width * region.rows;
            }
            assert_eq!(at, texels);
        }
    }
}
