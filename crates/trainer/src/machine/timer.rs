//! How long work takes on an adapter, by its own clock where that can be believed.

use std::cell::Cell;
use std::ops::Range;
use std::time::{Duration, Instant};

use kernels::Commands;
use kernels::wgpu::{self, BufferUsages, CommandBuffer, CommandEncoder};

use crate::error::Result;
use crate::machine::device::{Gpu, TIMING};

/// Pieces that are timed between two waits. Each is a submit of its own: a driver may kill one that takes long.
const BETWEEN_WAITS: usize = 16;
/// What a submit of several pieces may take: as long as a slice of a backbone's pass.
const SLICE: Duration = Duration::from_millis(100);
/// Work that is timed from outside is repeated until it outweighs what a submit costs.
const OUTWEIGHS: Duration = Duration::from_millis(5);

/// Times pieces of work.
pub struct Timer<'a> {
    gpu: &'a Gpu,
    /// Whether the adapter has a clock, and has not been caught lying.
    timestamps: Cell<bool>,
}

impl<'a> Timer<'a> {
    /// On this adapter.
    pub fn new(gpu: &'a Gpu) -> Self {
        Self { gpu, timestamps: Cell::new(gpu.device.features().contains(TIMING)) }
    }

    /// As [`Timer::new`], without the adapter's clock.
    #[cfg(test)]
    fn from_outside(gpu: &'a Gpu) -> Self {
        Self { gpu, timestamps: Cell::new(false) }
    }

    /// The adapter.
    pub(crate) fn gpu(&self) -> &'a Gpu {
        self.gpu
    }

    /// How it measures, for reports.
    pub fn method(&self) -> &'static str {
        if self.timestamps.get() { "timestamps" } else { "submit and wait" }
    }

    /// Runs the pieces once in their order (more than once where short ones are timed from outside) and gives the seconds
    /// of each.
    ///
    /// # Errors
    /// The device failed or was lost.
    pub fn each(&self, pieces: &[&Commands]) -> Result<Vec<f64>> {
        let mut seconds = Vec::with_capacity(pieces.len());
        for pieces in pieces.chunks(BETWEEN_WAITS) {
            if self.timestamps.get() {
                match self.by_its_clock(pieces)? {
                    Some(measured) => {
                        seconds.extend(measured);
                        continue;
                    }
                    None => self.timestamps.set(false),
                }
            }
            for piece in pieces {
                seconds.push(self.by_ours(piece)?);
            }
        }
        Ok(seconds)
    }

    /// Between timestamps around each piece; none if they contradict the time that passed outside.
    fn by_its_clock(&self, pieces: &[&Commands]) -> Result<Option<Vec<f64>>> {
        let device = &self.gpu.device;
        let count = pieces.len() as u32 + 1;
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timer"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timer"),
            size: u64::from(count) * 8,
            usage: BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let mut submits = Vec::with_capacity(pieces.len());
        for (index, piece) in pieces.iter().enumerate() {
            let mut encoder = device.create_command_encoder(&Default::default());
            if index == 0 {
                encoder.write_timestamp(&queries, 0);
            }
            piece.encode(&mut encoder);
            encoder.write_timestamp(&queries, index as u32 + 1);
            if index + 1 == pieces.len() {
                encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            }
            submits.push(encoder.finish());
        }
        let outside = self.run(submits)?;
        let stamps: Vec<u64> = self.gpu.read(&resolved)?;
        Ok(intervals(&stamps, f64::from(self.gpu.queue.get_timestamp_period()), outside))
    }

    fn by_ours(&self, piece: &Commands) -> Result<f64> {
        let repeated = |times: u32| self.submit(|encoder| (0..times).for_each(|_| piece.encode(encoder)));
        let once = repeated(1)?;
        if once >= OUTWEIGHS {
            return Ok(once.as_secs_f64());
        }
        let times = (OUTWEIGHS.as_secs_f64() / once.as_secs_f64().max(1e-5)).ceil().min(500.0) as u32;
        Ok(repeated(times)?.as_secs_f64() / f64::from(times))
    }

    /// Records, submits and waits; gives the time from submit to end.
    ///
    /// # Errors
    /// The device failed or was lost.
    pub fn submit(&self, record: impl FnOnce(&mut CommandEncoder)) -> Result<Duration> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        record(&mut encoder);
        self.run([encoder.finish()])
    }

    /// Runs the pieces in their order, without a wait between them, and gives the time of all. `seconds` are those of each, as
    /// [`Timer::each`] gives them: pieces share a submit as long as they take no more than a tenth of a second together.
    ///
    /// # Errors
    /// The device failed or was lost.
    pub fn pass(&self, pieces: &[&Commands], seconds: &[f64]) -> Result<Duration> {
        let submits = slices(seconds, SLICE.as_secs_f64()).into_iter().map(|slice| {
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            pieces[slice].iter().for_each(|piece| piece.encode(&mut encoder));
            encoder.finish()
        });
        self.run(submits.collect::<Vec<_>>())
    }

    /// Submits one after the other and waits for all; gives the time from the first submit to the end.
    fn run(&self, submits: impl IntoIterator<Item = CommandBuffer>) -> Result<Duration> {
        let start = Instant::now();
        for commands in submits {
            self.gpu.queue.submit([commands]);
        }
        self.gpu.wait()?;
        Ok(start.elapsed())
    }
}

/// Ranges of neighbours that take no more than `most` together; who takes more is alone.
fn slices(seconds: &[f64], most: f64) -> Vec<Range<usize>> {
    let mut slices: Vec<Range<usize>> = Vec::new();
    let mut sum = 0.0;
    for (index, &seconds) in seconds.iter().enumerate() {
        sum += seconds;
        match slices.last_mut() {
            Some(last) if sum <= most => last.end = index + 1,
            _ => {
                slices.push(index..index + 1);
                sum = seconds;
            }
        }
    }
    slices
}

/// Seconds between timestamps of so many nanoseconds a tick; none where one runs backwards, or all of them together take no
/// time or more than passed outside.
fn intervals(stamps: &[u64], period: f64, outside: Duration) -> Option<Vec<f64>> {
    let seconds: Option<Vec<f64>> = (stamps.windows(2))
        .map(|pair| pair[1].checked_sub(pair[0]).map(|ticks| ticks as f64 * period * 1e-9))
        .collect();
    let total: f64 = seconds.as_ref()?.iter().sum();
    // A tenth for clocks that go differently.
    (total > 0.0 && total <= 1.1 * outside.as_secs_f64()).then_some(seconds?)
}

/// The middle value; of an even number the lower.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::{Matmul, MatmulBuffers, MatmulDesc};

    #[test]
    fn a_clock_that_contradicts_ours_is_not_believed() {
        let ours = Duration::from_micros(10);
        let seconds = intervals(&[5, 1005, 5005], 2.0, ours).unwrap();
        assert!((seconds[0] - 2e-6).abs() < 1e-12 && (seconds[1] - 8e-6).abs() < 1e-12, "{seconds:?}");
        for wrong in [[5, 5, 5], [5, 1005, 1004], [0, 1000, 100_000]] {
            assert_eq!(intervals(&wrong, 2.0, ours), None);
        }
    }

    #[test]
    fn no_submit_takes_long() {
        assert_eq!(slices(&[0.04, 0.05, 0.02, 0.3, 0.01], 0.1), [0..2, 2..3, 3..4, 4..5]);
        assert_eq!(slices(&[0.01; 3], 0.1), [Range { start: 0, end: 3 }]);
        assert!(slices(&[], 0.1).is_empty());
    }

    #[test]
    fn the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.0);
        assert!(median(Vec::new()).is_nan());
    }

    /// More work takes longer, by either clock, and the two agree within what a busy machine does to them.
    #[test]
    fn clocks_agree() {
        let gpu = pollster::block_on(crate::machine::device::open(&Default::default())).unwrap();
        let buffer = || {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 512 * 512 * 4,
                usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            })
        };
        let [a, b, c] = [buffer(), buffer(), buffer()];
        let product = |n: u32| {
            let size = 0..u64::from(n * n) * 4;
            let buffers = MatmulBuffers {
                a: a.slice(size.clone()),
                b: b.slice(size.clone()),
                bias: None,
                output: c.slice(size.clone()),
            };
            Matmul::new(&gpu.context, &MatmulDesc::new(n, n, n)).unwrap().bind(&buffers).unwrap()
        };
        let (small, large) = (product(64), product(512));
        let of = |timer: &Timer<'_>| {
            timer.each(&[&small, &large]).unwrap();
            let runs: Vec<_> = (0..5).map(|_| timer.each(&[&small, &large]).unwrap()).collect();
            [0, 1].map(|i| median(runs.iter().map(|run| run[i]).collect()))
        };
        let timer = Timer::new(&gpu);
        let (inside, outside) = (of(&timer), of(&Timer::from_outside(&gpu)));
        assert!(inside[0] > 0.0 && inside[0] < inside[1], "{} {inside:?}", timer.method());
        assert!(outside[0] > 0.0 && outside[0] < outside[1], "{outside:?}");
        let ratio = inside[1] / outside[1];
        assert!((0.2..5.0).contains(&ratio), "{}: {inside:?}, from outside {outside:?}", timer.method());
    }
}
