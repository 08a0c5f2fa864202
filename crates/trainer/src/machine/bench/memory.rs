//! How fast an adapter's memory is: a copy from one buffer to another, larger than its caches.

use kernels::wgpu::{Buffer, BufferDescriptor, BufferUsages, CommandEncoder, DeviceType, ErrorFilter};

use crate::error::{Error, Result};
use crate::machine::device::Gpu;
use crate::machine::timer::{Timer, Work};

/// Bytes that are copied on a software adapter, and at first on a GPU.
const SMALL: u64 = 64 << 20;
/// Bytes that are copied on a GPU that is fast enough: with what they are copied to, several times the largest second cache.
const LARGE: u64 = 512 << 20;
/// Copies of a submit, at most.
const COPIES: u32 = 8;
/// What a submit may take.
const LONGEST: f64 = 0.05;
/// Submits, of which the fastest counts.
const ROUNDS: usize = 4;

/// Measures how many 10⁹ bytes a second a copy reads and writes, the best of several.
pub(crate) fn memory(gpu: &Gpu, timer: &Timer<'_>) -> Result<f64> {
    let software = gpu.adapter.get_info().device_type == DeviceType::Cpu;
    let most = gpu.device.limits().max_buffer_size & !3;
    let mut copied = Copied::new(gpu, SMALL.min(most))?;
    // The first touches the memory.
    let [_, once] = [copied.seconds(timer, 1)?, copied.seconds(timer, 1)?];
    let times = |size: u64| LONGEST / once * (SMALL.min(most) as f64 / size as f64);
    if !software && times(LARGE) >= 1.0 {
        let mut size = LARGE.min(most);
        while size > copied.size {
            match Copied::new(gpu, size) {
                Ok(larger) => copied = larger,
                // What another program or the network takes of the memory is no failure: less is copied.
                Err(Error::OutOfMemory(_)) => size = size / 8 * 4,
                Err(other) => return Err(other),
            }
        }
    }
    let copies = if software { 4 } else { times(copied.size).clamp(1.0, f64::from(COPIES)) as u32 };
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        best = best.min(copied.seconds(timer, copies)?);
    }
    Ok((2 * u64::from(copies) * copied.size) as f64 / best / 1e9)
}

/// Two buffers, one of which is copied to the other.
struct Copied {
    from: Buffer,
    to: Buffer,
    size: u64,
}

impl Copied {
    /// Takes twice `size` bytes.
    fn new(gpu: &Gpu, size: u64) -> Result<Self> {
        let scope = gpu.device.push_error_scope(ErrorFilter::OutOfMemory);
        let [from, to] = [BufferUsages::COPY_SRC, BufferUsages::COPY_DST].map(|usage| {
            let label = Some("memory");
            gpu.device.create_buffer(&BufferDescriptor { label, size, usage, mapped_at_creation: false })
        });
        match pollster::block_on(scope.pop()) {
            Some(error) => Err(Error::OutOfMemory(error.to_string())),
            None => Ok(Self { from, to, size }),
        }
    }

    /// Copies so many times in one submit; gives the seconds of all.
    fn seconds(&self, timer: &Timer<'_>, copies: u32) -> Result<f64> {
        let copy = |encoder: &mut CommandEncoder| {
            (0..copies).for_each(|_| encoder.copy_buffer_to_buffer(&self.from, 0, &self.to, 0, self.size));
        };
        // A clock that ticks slowly must not make it infinitely fast.
        Ok(timer.each_work(&[&copy as Work<'_>])?[0].max(1e-9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::device::{Selection, open};

    #[test]
    fn memory_has_a_speed() {
        let gpu = pollster::block_on(open(&Selection::default())).unwrap();
        let speed = memory(&gpu, &Timer::new(&gpu)).unwrap();
        assert!((0.1..1e5).contains(&speed), "{speed} GB/s");
    }

    #[test]
    fn twice_the_copies_take_longer() {
        let gpu = pollster::block_on(open(&Selection::default())).unwrap();
        let (timer, copied) = (Timer::new(&gpu), Copied::new(&gpu, 8 << 20).unwrap());
        let best = |copies| (0..5).map(|_| copied.seconds(&timer, copies).unwrap()).fold(f64::INFINITY, f64::min);
        let (one, eight) = (best(1), best(8));
        assert!(eight > 2.0 * one, "{one} s, eight copies {eight} s");
    }
}
