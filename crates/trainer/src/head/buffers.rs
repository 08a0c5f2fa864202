//! What a solver has on the device: buffers of zeros, the elements that a step has of them, and counts as the device takes them.

use kernels::wgpu::{Buffer, BufferDescriptor, BufferSlice, BufferUsages, Device};

use crate::error::{Error, Result};

/// The coarsest alignment of a binding's offset, in elements.
pub(crate) const ALIGNMENT: usize = 64;

/// Makes a buffer of zeros.
pub(crate) fn zeros(device: &Device, label: &'static str, elements: usize) -> Buffer {
    device.create_buffer(&BufferDescriptor {
        label: Some(label),
        size: 4 * elements as u64,
        usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// Slices the first elements of a slot of a buffer whose slots begin `stride` elements apart.
pub(crate) fn slice(buffer: &Buffer, slot: usize, stride: usize, elements: usize) -> BufferSlice<'_> {
    let start = 4 * (slot * stride) as u64;
    buffer.slice(start..start + 4 * elements as u64)
}

/// Converts a count to the 32 bits in which a device counts, if it fits.
pub(crate) fn count(operand: &'static str, value: usize) -> Result<u32> {
    let most = u32::MAX as usize;
    u32::try_from(value).map_err(|_| Error::Shape { operation: "train", operand, expected: most, got: value })
}
