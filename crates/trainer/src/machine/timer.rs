//! How long work takes on an adapter, by its own clock where that can be believed.

use std::cell::Cell;
use std::time::{Duration, Instant};

use kernels::wgpu::{self, BufferUsages, CommandBuffer, CommandEncoder};
use kernels::{Commands, encode_all, slices};

use crate::error::{Error, Result};
use crate::machine::gpu::{Gpu, TIMING};

/// Pieces that are timed between two waits. Each is a submit of its own: a driver may kill one that takes long.
const BETWEEN_WAITS: usize = 16;
/// What a submit of several pieces may take: as long as a slice of a backbone's pass.
const SLICE: Duration = Duration::from_millis(100);
/// Work that is timed from outside is repeated until it outweighs what a submit costs.
const OUTWEIGHS: Duration = Duration::from_millis(5);

/// Work to be timed: it records itself into an encoder, any number of times.
pub(crate) type Work<'a> = &'a dyn Fn(&mut CommandEncoder);

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

    /// Makes a timer that doesn't use the adapter's clock.
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
        let pieces: Vec<_> =
            pieces.iter().map(|&piece| move |encoder: &mut CommandEncoder| piece.encode(encoder)).collect();
        self.each_work(&pieces.iter().map(|piece| piece as Work<'_>).collect::<Vec<_>>())
    }

    /// Like [`Timer::each`], of whatever records itself.
    ///
    /// # Errors
    /// The device failed or was lost.
    pub(crate) fn each_work(&self, pieces: &[Work<'_>]) -> Result<Vec<f64>> {
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

    /// Gives the seconds of the fastest of several runs.
    ///
    /// # Errors
    /// The device failed or was lost.
    pub(crate) fn best(&self, piece: Work<'_>, rounds: usize) -> Result<f64> {
        (0..rounds).try_fold(f64::INFINITY, |best, _| Ok(best.min(self.each_work(&[piece])?[0])))
    }

    /// Between timestamps around each piece; none if they contradict the time that passed outside. Each piece has two of its own,
    /// since a fast adapter waits between submits for the next, which is no part of any.
    fn by_its_clock(&self, pieces: &[Work<'_>]) -> Result<Option<Vec<f64>>> {
        let device = &self.gpu.device;
        let count = 2 * pieces.len() as u32;
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
        for (index, piece) in (0..count).step_by(2).zip(pieces) {
            let mut encoder = device.create_command_encoder(&Default::default());
            encoder.write_timestamp(&queries, index);
            piece(&mut encoder);
            encoder.write_timestamp(&queries, index + 1);
            if index + 2 == count {
                encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            }
            submits.push(encoder.finish());
        }
        let outside = self.run(submits)?;
        let stamps: Vec<u64> = self.gpu.read(&resolved)?;
        Ok(intervals(&stamps, f64::from(self.gpu.queue.get_timestamp_period()), outside))
    }

    fn by_ours(&self, piece: Work<'_>) -> Result<f64> {
        let repeated = |times: u32| self.submit(|encoder| (0..times).for_each(|_| piece(encoder)));
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
        self.run(self.record(pieces, seconds))
    }

    /// Runs the pieces `times` times in their order, each time submitted before the last one is waited for, as features are computed,
    /// and gives the time of one. Submits are those of [`Timer::pass`].
    ///
    /// # Errors
    /// The device failed or was lost.
    pub fn pipelined(&self, pieces: &[&Commands], seconds: &[f64], times: u32) -> Result<Duration> {
        let start = Instant::now();
        let mut before = None;
        for _ in 0..times {
            let last =
                self.record(pieces, seconds).into_iter().map(|commands| self.gpu.queue.submit([commands])).last();
            if let Some(submission_index) = std::mem::replace(&mut before, last) {
                let wait = wgpu::PollType::Wait { submission_index: Some(submission_index), timeout: None };
                self.gpu.device.poll(wait).map_err(|error| Error::Device(format!("waiting failed: {error}")))?;
            }
        }
        self.gpu.wait()?;
        Ok(start.elapsed() / times.max(1))
    }

    /// Records the pieces into as few submits as are short enough.
    fn record(&self, pieces: &[&Commands], seconds: &[f64]) -> Vec<CommandBuffer> {
        let submits = slices(seconds, SLICE.as_secs_f64()).into_iter().map(|slice| {
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            encode_all(&mut encoder, pieces[slice].iter().copied());
            encoder.finish()
        });
        submits.collect()
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

/// Seconds between pairs of timestamps of so many nanoseconds a tick; none where one runs backwards, or all of them together take
/// no time, or more passes between the first and the last than passed outside.
fn intervals(stamps: &[u64], period: f64, outside: Duration) -> Option<Vec<f64>> {
    let forwards = stamps.is_sorted();
    let of = |from: u64, to: u64| to.saturating_sub(from) as f64 * period * 1e-9;
    let seconds: Vec<f64> = stamps.chunks_exact(2).map(|pair| of(pair[0], pair[1])).collect();
    let all = of(*stamps.first()?, *stamps.last()?);
    // A tenth for clocks that go differently.
    (forwards && seconds.iter().sum::<f64>() > 0.0 && all <= 1.1 * outside.as_secs_f64()).then_some(seconds)
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
        // What passes between two pieces is part of neither.
        let seconds = intervals(&[5, 1005, 1500, 4000], 2.0, ours).unwrap();
        assert!((seconds[0] - 2e-6).abs() < 1e-12 && (seconds[1] - 5e-6).abs() < 1e-12, "{seconds:?}");
        for wrong in [[5, 5, 5, 5], [5, 1005, 1004, 1010], [5, 1005, 2000, 1999], [0, 1000, 99_000, 100_000]] {
            assert_eq!(intervals(&wrong, 2.0, ours), None);
        }
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
        let gpu = pollster::block_on(crate::machine::gpu::open(&Default::default())).unwrap();
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
        // A pass takes as long as its pieces, and no longer where the next is under way: no time between the stamps is lost.
        let pieces: Vec<&Commands> = [&large; 6].to_vec();
        let seconds = vec![inside[1]; pieces.len()];
        let best = |run: &dyn Fn() -> f64| (0..9).map(|_| run()).fold(f64::INFINITY, f64::min);
        let sum = best(&|| timer.each(&pieces).unwrap().iter().sum());
        let pass = best(&|| timer.pass(&pieces, &seconds).unwrap().as_secs_f64());
        let pipelined = best(&|| timer.pipelined(&pieces, &seconds, 2).unwrap().as_secs_f64());
        eprintln!("{sum} s in pieces, {pass} s a pass, {pipelined} s in flight");
        for time in [pass, pipelined] {
            assert!((0.4..2.5).contains(&(time / sum)), "{sum} s in pieces, {pass} s a pass, {pipelined} s in flight");
        }
        let ratio = inside[1] / outside[1];
        assert!((0.2..5.0).contains(&ratio), "{}: {inside:?}, from outside {outside:?}", timer.method());
    }
}
