//! How fast an adapter's memory is: buffers larger than its caches are read and written.

use kernels::wgpu::{Buffer, BufferDescriptor, BufferUsages, CommandEncoder, DeviceType, ErrorFilter};
use kernels::{AddRelu, AddReluBuffers, AddReluDesc, Commands};

use crate::error::{Error, Result};
use crate::machine::gpu::Gpu;
use crate::machine::timer::Timer;

/// Bytes that are moved on a software adapter, and at first on a GPU.
const SMALL: u64 = 64 << 20;
/// Bytes that are moved on a GPU that is fast enough: with what they are moved to, several times the largest second cache.
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
    let mut moved = Moved::new(gpu, SMALL.min(most))?;
    // The first touches the memory.
    let [_, once] = [moved.seconds(timer, 1, 1)?, moved.seconds(timer, 1, 1)?];
    let times = |size: u64| LONGEST / once * (SMALL.min(most) as f64 / size as f64);
    if !software && times(LARGE) >= 1.0 {
        let mut size = LARGE.min(most);
        while size > moved.size {
            match Moved::new(gpu, size) {
                Ok(larger) => moved = larger,
                // What another program or the network takes of the memory is no failure: less is moved.
                Err(Error::OutOfMemory(_)) => size = size / 8 * 4,
                Err(other) => return Err(other),
            }
        }
    }
    let copies = if software { 4 } else { times(moved.size).clamp(1.0, f64::from(COPIES)) as u32 };
    let best = moved.seconds(timer, copies, ROUNDS)?;
    Ok((u64::from(copies) * moved.bytes()) as f64 / best / 1e9)
}

/// Work that moves memory: a copy, or on a GPU a sum by a kernel, since its copies may be another engine's work and a third as fast.
enum Move {
    Copy { from: Buffer, to: Buffer },
    Sum(Commands),
}

/// A move, of buffers of `size` bytes.
struct Moved {
    of: Move,
    size: u64,
}

impl Moved {
    /// Takes two or three times `size` bytes.
    fn new(gpu: &Gpu, size: u64) -> Result<Self> {
        let software = gpu.adapter.get_info().device_type == DeviceType::Cpu;
        let usage = BufferUsages::COPY_SRC | BufferUsages::COPY_DST | BufferUsages::STORAGE;
        let label = Some("memory");
        let buffer = || gpu.device.create_buffer(&BufferDescriptor { label, size, usage, mapped_at_creation: false });
        let scope = gpu.device.push_error_scope(ErrorFilter::OutOfMemory);
        let [from, to] = [buffer(), buffer()];
        let sum = (!software).then(buffer);
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::OutOfMemory(error.to_string()));
        }
        let of = match sum {
            None => Move::Copy { from, to },
            Some(sum) => {
                let plan = AddRelu::new(&gpu.context, &AddReluDesc { len: (size / 4) as u32, relu: false })?;
                let buffers = AddReluBuffers { a: from.slice(..), b: to.slice(..), output: sum.slice(..) };
                Move::Sum(plan.bind(&buffers)?)
            }
        };
        Ok(Self { of, size })
    }

    /// Counts the bytes that are read and written.
    fn bytes(&self) -> u64 {
        match self.of {
            Move::Copy { .. } => 2 * self.size,
            Move::Sum(_) => 3 * self.size,
        }
    }

    /// Moves so many times in one submit; gives the seconds of all, the best of several rounds.
    fn seconds(&self, timer: &Timer<'_>, times: u32, rounds: usize) -> Result<f64> {
        let work = |encoder: &mut CommandEncoder| {
            (0..times).for_each(|_| match &self.of {
                Move::Copy { from, to } => encoder.copy_buffer_to_buffer(from, 0, to, 0, self.size),
                Move::Sum(commands) => commands.encode(encoder),
            });
        };
        // A clock that ticks slowly must not make it infinitely fast.
        Ok(timer.best(&work, rounds)?.max(1e-9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::gpu::{Selection, open};

    #[test]
    fn memory_has_a_speed() {
        let gpu = pollster::block_on(open(&Selection::default())).unwrap();
        let speed = memory(&gpu, &Timer::new(&gpu)).unwrap();
        assert!((0.1..1e5).contains(&speed), "{speed} GB/s");
    }

    #[test]
    fn twice_the_copies_take_longer() {
        let gpu = pollster::block_on(open(&Selection::default())).unwrap();
        let (timer, moved) = (Timer::new(&gpu), Moved::new(&gpu, 8 << 20).unwrap());
        let best = |copies| moved.seconds(&timer, copies, 5).unwrap();
        let (one, eight) = (best(1), best(8));
        assert!(eight > 2.0 * one, "{one} s, eight copies {eight} s");
    }
}
