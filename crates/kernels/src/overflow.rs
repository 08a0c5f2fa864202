//! Flags by which kernels tell that a number was beyond f16, whatever later layers make of it.
//!
//! NaN and infinity aren't enough: compilers may take it that there are none, and a layer may read past them.

use crate::Error;
use wgpu::{Buffer, BufferDescriptor, BufferSlice, BufferUsages, CommandEncoder, Device};

/// Flags of several operations, say of a network's layers: a word each, zero until a kernel stores in f16 what f16 can't hold: a
/// number beyond 65504, or a NaN.
///
/// # Example
/// ```no_run
/// # fn example(context: &kernels::Context, conv: &kernels::Conv2d, encoder: &mut kernels::wgpu::CommandEncoder)
/// #     -> Result<(), kernels::Error> {
/// let flags = kernels::OverflowFlags::new(context.device(), 1)?;
/// let conv = conv.watched(&flags.flag(0)?);
/// flags.clear(encoder);
/// // … bind and encode `conv`, then copy flags.buffer() to where it can be mapped and give what it holds to flags.first(..).
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct OverflowFlags {
    buffer: Buffer,
    /// Bytes from one flag to the next: at their multiples the device binds.
    stride: u64,
}

/// The flag of one operation.
#[derive(Debug, Clone)]
pub struct OverflowFlag {
    buffer: Buffer,
    offset: u64,
}

impl OverflowFlags {
    /// Makes so many flags.
    ///
    /// # Errors
    /// [`Error::Limit`] for more than one buffer of the device holds.
    pub fn new(device: &Device, count: usize) -> Result<Self, Error> {
        let limits = device.limits();
        let stride = u64::from(limits.min_storage_buffer_offset_alignment);
        let size = stride * count as u64;
        Error::limit("overflow flags", "bytes", size, "max_buffer_size", limits.max_buffer_size)?;
        let buffer = device.create_buffer(&BufferDescriptor {
            label: Some("kernels overflow flags"),
            size,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Ok(OverflowFlags { buffer, stride })
    }

    /// Gives a flag, to be watched by an operation.
    ///
    /// # Errors
    /// [`Error::Shape`] for a number that isn't below the count.
    pub fn flag(&self, number: usize) -> Result<OverflowFlag, Error> {
        let offset = self.stride * number as u64;
        if offset >= self.buffer.size() {
            let count = self.buffer.size() / self.stride;
            return Err(Error::shape("overflow flags", format_args!("there is no flag {number} among {count}")));
        }
        Ok(OverflowFlag { buffer: self.buffer.clone(), offset })
    }

    /// Records that all are taken back.
    pub fn clear(&self, encoder: &mut CommandEncoder) {
        encoder.clear_buffer(&self.buffer, 0, None);
    }

    /// Gives the buffer that holds them (COPY_SRC), to be read back.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Finds the first flag that is set in what was read back of [`OverflowFlags::buffer`].
    pub fn first(&self, words: &[u32]) -> Option<usize> {
        words.iter().step_by((self.stride / 4) as usize).position(|&word| word != 0)
    }
}

impl OverflowFlag {
    /// Makes a flag that nobody reads.
    pub(crate) fn unread(buffer: Buffer) -> Self {
        OverflowFlag { buffer, offset: 0 }
    }

    /// Shows its word.
    pub(crate) fn word(&self) -> BufferSlice<'_> {
        self.buffer.slice(self.offset..self.offset + 4)
    }
}
