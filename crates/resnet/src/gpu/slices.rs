//! Cuts a pass into several submits, none of which keeps a GPU so long that its driver takes it for hung.

#![expect(clippy::single_range_in_vec_init, reason = "a slice is a range, and a pass may be one")]

use kernels::slices;
use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How a pass is cut into submits. A layer is never cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slicing {
    /// `Time` of 100 ms on a GPU, which leaves a factor of two until drivers of 200 ms complain; `Whole` on a software
    /// adapter, where nobody waits for the screen.
    #[default]
    Auto,
    /// One submit.
    Whole,
    /// Submits of at most so much work by [`PlannedLayer::work`](crate::PlannedLayer::work), or of one layer.
    Work(u64),
    /// Submits of at most so long, or of one layer. The first passes are submitted in small slices, waited for one by one
    /// and measured; every 256th pass is measured again, since a GPU that gets hot gets slow.
    Time(Duration),
}

/// Work of a submit while nothing has been measured: 100 ms at 40 GFLOP/s, which is slower than any GPU of the last ten years.
const UNMEASURED: u64 = 4_000_000_000;
/// Passes that are measured at the start: the first one may compile pipelines.
const FIRST: u64 = 2;
const EVERY: u64 = 256;

/// The slices of one backbone's pass, and what was measured.
#[derive(Debug)]
pub(crate) struct Slices {
    slicing: Slicing,
    work: Vec<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    passes: u64,
    /// Seconds of each layer, as far as slices tell; empty before the first measurement.
    seconds: Vec<f64>,
    longest: Option<Duration>,
}

impl Slices {
    pub fn new(slicing: Slicing, work: Vec<u64>) -> Self {
        Slices { slicing, work, state: Mutex::default() }
    }

    /// Lists the layers of each submit of the next pass, and whether they are to be measured.
    pub fn next(&self) -> (Vec<Range<usize>>, bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pass = state.passes;
        state.passes += 1;
        let timed = matches!(self.slicing, Slicing::Time(_));
        (self.ranges(&state.seconds), timed && (pass < FIRST || pass.is_multiple_of(EVERY)))
    }

    /// Lists the layers of each submit, by what is known now.
    pub fn now(&self) -> Vec<Range<usize>> {
        self.ranges(&self.state.lock().unwrap_or_else(PoisonError::into_inner).seconds)
    }

    fn ranges(&self, seconds: &[f64]) -> Vec<Range<usize>> {
        let by_work = |most: u64| slices(&self.work.iter().map(|&work| work as f64).collect::<Vec<_>>(), most as f64);
        match self.slicing {
            Slicing::Work(most) => by_work(most),
            Slicing::Time(_) if seconds.is_empty() => by_work(UNMEASURED),
            Slicing::Time(most) => slices(seconds, most.as_secs_f64()),
            Slicing::Auto | Slicing::Whole => vec![0..self.work.len()],
        }
    }

    /// Takes in how long each slice of a pass took, from its submit until the device was done.
    pub fn measured(&self, pass: &[(Range<usize>, Duration)]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The second measurement replaces the first, in which pipelines may have been compiled.
        state.seconds = vec![0.0; self.work.len()];
        for (range, time) in pass {
            let all: u64 = self.work[range.clone()].iter().sum();
            for layer in range.clone() {
                state.seconds[layer] = time.as_secs_f64() * self.work[layer] as f64 / all.max(1) as f64;
            }
        }
        state.longest = pass.iter().map(|&(_, time)| time).max();
    }

    pub fn longest(&self) -> Option<Duration> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_cut_by_what_was_measured() {
        let limit = Duration::from_millis(100);
        let slices = Slices::new(Slicing::Time(limit), vec![3_000_000_000; 8]);
        let one_each: Vec<_> = (0..8).map(|i| i..i + 1).collect();
        assert_eq!(slices.next(), (one_each.clone(), true));
        // Fast: 8 ms a layer. All fits one submit.
        let pass = |ms: u64, ranges: Vec<Range<usize>>| -> Vec<_> {
            ranges.into_iter().map(|range| (range.clone(), Duration::from_millis(ms * range.len() as u64))).collect()
        };
        slices.measured(&pass(8, one_each));
        assert_eq!(slices.next(), (vec![0..8], true));
        assert_eq!(slices.longest(), Some(Duration::from_millis(8)));
        // Hot: 40 ms a layer. Two fit.
        slices.measured(&pass(40, vec![0..8]));
        assert_eq!(slices.next(), (vec![0..2, 2..4, 4..6, 6..8], false));
        assert_eq!((3..256).filter(|_| slices.next().1).count(), 0);
        assert!(slices.next().1, "the 257th pass");
        // A layer that is too long alone stays alone.
        slices.measured(&[(0..1, Duration::from_millis(300)), (1..8, Duration::from_millis(70))]);
        assert_eq!(slices.now(), [0..1, 1..8]);
    }

    #[test]
    fn what_is_not_timed_is_never_measured() {
        for (slicing, ranges) in [
            (Slicing::Whole, vec![0..3]),
            (Slicing::Work(5), vec![0..2, 2..3]),
            (Slicing::Work(1), vec![0..1, 1..2, 2..3]),
        ] {
            assert_eq!(Slices::new(slicing, vec![2, 3, 4]).next(), (ranges, false));
        }
    }
}
