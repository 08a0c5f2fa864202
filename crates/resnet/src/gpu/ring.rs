//! Staging buffers: the host's memory that batches are uploaded from and read back into, used again for one batch after another.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use kernels::wgpu::{Buffer, BufferDescriptor, BufferUsages, BufferViewMut, Device, MapMode};

use crate::error::Error;

/// The staging buffers of one batch.
#[derive(Debug)]
pub(crate) struct Staging {
    /// The buffer to upload from, mapped for writing while no batch uses it.
    upload: Buffer,
    /// Whether the device has let go of `upload`.
    mapped: Arc<AtomicBool>,
    /// The buffers to read back into: each tap's and, where tensors are f16, that of the flags of overflow.
    pub read_back: Vec<Buffer>,
}

impl Staging {
    fn new(device: &Device, upload: u64, read: impl Iterator<Item = u64>) -> Self {
        let buffer = |label, size, usage, mapped_at_creation| {
            device.create_buffer(&BufferDescriptor { label: Some(label), size, usage, mapped_at_creation })
        };
        let read_back = |size| buffer("resnet read-back", size, BufferUsages::MAP_READ | BufferUsages::COPY_DST, false);
        Self {
            upload: buffer("resnet upload", upload, BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC, true),
            mapped: Arc::new(AtomicBool::new(true)),
            read_back: read.map(read_back).collect(),
        }
    }

    /// Lays down what `write` gives and hands it to the device: the buffer, and how many bytes of it, in whole words.
    pub fn fill(&self, write: impl FnOnce(&mut Writer)) -> Result<(&Buffer, u64), Error> {
        let view = self.upload.get_mapped_range_mut(..).map_err(Error::device)?;
        let mut writer = Writer { view, bytes: 0 };
        write(&mut writer);
        let bytes = writer.bytes.next_multiple_of(4);
        drop(writer);
        self.upload.unmap();
        Ok((&self.upload, bytes as u64))
    }

    /// Asks for the upload buffer back, once what was submitted is done.
    pub fn reclaim(&self) {
        self.mapped.store(false, Ordering::Release);
        let mapped = Arc::clone(&self.mapped);
        self.upload.map_async(MapMode::Write, .., move |result| mapped.store(result.is_ok(), Ordering::Release));
    }
}

/// Writes into a staging buffer, one piece after the other.
pub(crate) struct Writer {
    view: BufferViewMut,
    bytes: usize,
}

impl Writer {
    pub fn push(&mut self, bytes: &[u8]) {
        self.view.slice(self.bytes..self.bytes + bytes.len()).copy_from_slice(bytes);
        self.bytes += bytes.len();
    }
}

/// Stagings that no batch uses. There come to be as many as batches are on their way at the same time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ring(Arc<Mutex<Vec<Staging>>>);

impl Ring {
    fn lock(&self) -> MutexGuard<'_, Vec<Staging>> {
        // Vec's push and pop leave it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a free staging of `upload` bytes, or makes a new one to read back so many bytes.
    pub fn take(&self, device: &Device, upload: u64, read: impl Iterator<Item = u64>) -> Staging {
        let mut free = self.lock();
        let place = free.iter().position(|staging| staging.upload.size() == upload);
        let found = place.map(|place| free.swap_remove(place));
        drop(free);
        found.unwrap_or_else(|| Staging::new(device, upload, read))
    }

    /// Takes a staging back. One that the device still holds is left to it.
    pub fn give(&self, staging: Staging) {
        if staging.mapped.load(Ordering::Acquire) {
            self.lock().push(staging);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::wgpu::{Instance, PollType};

    #[test]
    fn a_staging_is_used_again_once_the_device_lets_go_of_it() {
        let adapter = pollster::block_on(Instance::default().request_adapter(&Default::default())).unwrap();
        let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).unwrap();
        let usage = BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let target =
            device.create_buffer(&BufferDescriptor { label: None, size: 36, usage, mapped_at_creation: false });
        let ring = Ring::default();
        for round in 0..5 {
            // Pieces of an odd number of pixels, so that the second starts where nothing could be mapped.
            let images = [1.0, 2.0, 3.0].map(|x| vec![x * round as f32; 3]);
            let staging = ring.take(&device, 36, [36].into_iter());
            assert_eq!(ring.lock().len(), 0);
            let mut encoder = device.create_command_encoder(&Default::default());
            let (upload, bytes) = staging
                .fill(|writer| images.iter().for_each(|image| writer.push(bytemuck::cast_slice(image))))
                .unwrap();
            assert_eq!(bytes, 36);
            encoder.copy_buffer_to_buffer(upload, 0, &target, 0, bytes);
            encoder.copy_buffer_to_buffer(&target, 0, &staging.read_back[0], 0, bytes);
            queue.submit([encoder.finish()]);
            staging.reclaim();
            staging.read_back[0].map_async(MapMode::Read, .., |result| result.unwrap());
            device.poll(PollType::wait_indefinitely()).unwrap();
            let view = staging.read_back[0].get_mapped_range(..).unwrap();
            assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(&view), images.concat());
            drop(view);
            staging.read_back[0].unmap();
            ring.give(staging);
            assert_eq!(ring.lock().len(), 1);
        }
        let other = ring.take(&device, 40, [36].into_iter());
        assert_eq!((other.upload.size(), ring.lock().len()), (40, 1), "one of another size is no use");
        assert_eq!(other.fill(|writer| writer.push(&[1; 9])).unwrap().1, 12, "whole words");
        let held = ring.take(&device, 36, [36].into_iter());
        held.fill(|writer| writer.push(&[0; 12])).unwrap();
        held.mapped.store(false, Ordering::Release);
        ring.give(held);
        assert_eq!(ring.lock().len(), 0, "what the device holds isn't given to another batch");
    }
}
