//! What keeps a fast GPU from its speed where a layer is small: what starting a dispatch costs, and how many workgroups fill it.
//!
//! wgpu tells neither, nor how many cores an adapter has, so both are measured.

use kernels::wgpu::{Buffer, BufferDescriptor, BufferUsages};
use kernels::{Commands, Matmul, MatmulBuffers, MatmulDesc};

use crate::error::Result;
use crate::machine::gpu::Gpu;
use crate::machine::timer::Timer;

/// Runs, of which the fastest counts, behind one that isn't measured.
const ROUNDS: usize = 5;
/// Columns, and products of a sum, of the matrix products that fill a GPU more and more.
const COLUMNS: u32 = 1024;
const SUM: u32 = 512;
/// Their rows, in 64s: from 16 workgroups to 2,048, if a workgroup has 64 x 64 sums.
const ROWS: [u32; 14] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];
/// A GPU is full where it reaches this share of the best speed.
const FULL: f64 = 0.8;
/// Larger products than one that takes so long aren't needed: whoever is so slow is full.
const LONG: f64 = 0.02;

/// Measures the seconds that the smallest dispatch takes, by the same clock as the layers.
pub(crate) fn starting(gpu: &Gpu, timer: &Timer<'_>) -> Result<f64> {
    seconds(timer, &product(gpu, MatmulDesc::new(1, 1, 1))?)
}

/// Measures how many workgroups fill a GPU: the fewest that reach nearly the best speed, where `starting` one takes so long.
pub(crate) fn full(gpu: &Gpu, timer: &Timer<'_>, starting: f64) -> Result<u64> {
    let mut speeds = Vec::new();
    for rows in ROWS {
        let desc = MatmulDesc::new(64 * rows, SUM, COLUMNS);
        let commands = product(gpu, desc)?;
        let seconds = seconds(timer, &commands)?;
        // What starting costs is told apart; a quarter for clocks that measure it badly.
        speeds.push((commands.workgroups(), desc.flops() as f64 / (seconds - starting).max(seconds / 4.0)));
        if seconds > LONG {
            break;
        }
    }
    Ok(enough(&speeds))
}

/// Chooses the first number of workgroups that is nearly as fast as the best.
fn enough(speeds: &[(u64, f64)]) -> u64 {
    let best = speeds.iter().map(|&(_, speed)| speed).fold(0.0, f64::max);
    speeds.iter().find(|&&(_, speed)| speed >= FULL * best).map_or(1, |&(workgroups, _)| workgroups)
}

/// The best of several runs.
fn seconds(timer: &Timer<'_>, commands: &Commands) -> Result<f64> {
    timer.each(&[commands])?;
    timer.best(&|encoder| commands.encode(encoder), ROUNDS)
}

/// A product of matrices of zeros.
fn product(gpu: &Gpu, desc: MatmulDesc) -> Result<Commands> {
    let buffer = |rows: u32, columns: u32| -> Buffer {
        gpu.device.create_buffer(&BufferDescriptor {
            label: Some("filling"),
            size: u64::from(rows) * u64::from(columns) * 4,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    };
    let (a, b, output) = (buffer(desc.m, desc.k), buffer(desc.k, desc.n), buffer(desc.m, desc.n));
    let buffers = MatmulBuffers { a: a.slice(..), b: b.slice(..), bias: None, output: output.slice(..) };
    Ok(Matmul::new(&gpu.context, &desc)?.bind(&buffers)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::gpu::{Selection, open};
    use kernels::Family;

    #[test]
    fn it_is_full_where_more_workgroups_are_no_faster() {
        // A GPU of 100 places: the time is that of whole rounds.
        let speeds: Vec<(u64, f64)> = [16, 32, 64, 96, 128, 192, 256, 1024]
            .map(|workgroups: u64| (workgroups, workgroups as f64 / workgroups.div_ceil(100) as f64))
            .to_vec();
        assert_eq!(enough(&speeds), 96);
        assert_eq!(enough(&[(16, 1.0), (32, 1.01), (64, 0.99)]), 16, "slow ones are full at once");
        assert_eq!(enough(&[]), 1);
    }

    #[test]
    fn both_are_measured() {
        let gpu = pollster::block_on(open(&Selection { family: Some(Family::Tiled), ..Default::default() })).unwrap();
        let timer = Timer::new(&gpu);
        let starting = starting(&gpu, &timer).unwrap();
        assert!((0.0..0.1).contains(&starting), "{starting} s");
        // A software adapter is so slow that the first product is enough.
        let full = full(&gpu, &timer, starting).unwrap();
        assert!((1..=4096).contains(&full), "{full} workgroups");
    }
}
