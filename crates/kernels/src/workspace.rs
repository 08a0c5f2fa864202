//! Scratch memory that operations share.

use crate::{Context, Error, mirror};
use wgpu::{Buffer, BufferSlice, Texture, TextureView};

/// What an operation needs besides its operands: sizes of linear textures (in texels) and of buffers (in bytes).
///
/// Operations that run one after the other may share one [`Workspace`] of their [`WorkspaceSize::union`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkspaceSize {
    pub(crate) texels: [u64; 4],
    pub(crate) bytes: [u64; 2],
}

impl WorkspaceSize {
    /// Computes the size that serves both.
    pub fn union(self, other: Self) -> Self {
        WorkspaceSize {
            texels: std::array::from_fn(|i| self.texels[i].max(other.texels[i])),
            bytes: std::array::from_fn(|i| self.bytes[i].max(other.bytes[i])),
        }
    }

    /// Computes the bytes of device memory that a workspace of this size takes.
    pub fn total_bytes(self) -> u64 {
        self.texels.iter().filter(|&&texels| texels > 0).map(|&texels| mirror::bytes(texels)).sum::<u64>()
            + self.bytes.iter().sum::<u64>()
    }
}

/// Scratch memory on the device, shared by operations that are recorded one after the other.
#[derive(Debug, Clone)]
pub struct Workspace {
    size: WorkspaceSize,
    textures: [Option<(Texture, TextureView)>; 4],
    buffers: [Option<Buffer>; 2],
}

impl Workspace {
    /// Allocates a workspace of this size.
    ///
    /// # Errors
    /// [`Error::Limit`] when a part exceeds what the device can hold in one texture or buffer.
    pub fn new(context: &Context, size: WorkspaceSize) -> Result<Self, Error> {
        let device = context.device();
        let capacity = mirror::capacity(device);
        for texels in size.texels {
            Error::limit("workspace", "texels of a linear texture", texels, "max_texture_dimension_2d", capacity)?;
        }
        for bytes in size.bytes {
            Error::limit("workspace", "bytes of a buffer", bytes, "max_buffer_size", device.limits().max_buffer_size)?;
        }
        Ok(Workspace {
            size,
            textures: size.texels.map(|texels| {
                (texels > 0).then(|| {
                    let texture = mirror::linear_texture(device, texels);
                    let view = texture.create_view(&Default::default());
                    (texture, view)
                })
            }),
            buffers: size.bytes.map(|bytes| (bytes > 0).then(|| context.storage("kernels workspace", bytes))),
        })
    }

    /// Gives the size for which it was made.
    pub fn size(&self) -> WorkspaceSize {
        self.size
    }

    pub(crate) fn texture(
        &self,
        op: &'static str,
        slot: usize,
        texels: u64,
    ) -> Result<(&Texture, &TextureView), Error> {
        match &self.textures[slot] {
            Some((texture, view)) if self.size.texels[slot] >= texels => Ok((texture, view)),
            _ => Err(Error::shape(
                op,
                format_args!(
                    "the workspace holds {} texels in part {slot}, {texels} are needed",
                    self.size.texels[slot]
                ),
            )),
        }
    }

    pub(crate) fn buffer(&self, op: &'static str, slot: usize, bytes: u64) -> Result<BufferSlice<'_>, Error> {
        match &self.buffers[slot] {
            Some(buffer) if self.size.bytes[slot] >= bytes => Ok(buffer.slice(0..bytes)),
            _ => Err(Error::shape(
                op,
                format_args!("the workspace holds {} bytes in part {slot}, {bytes} are needed", self.size.bytes[slot]),
            )),
        }
    }
}
