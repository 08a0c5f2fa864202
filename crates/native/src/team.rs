//! Who computes: a lane for each of rayon's threads, with scratch memory of its own, and parts that the lanes take one by one.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use resnet::Error;

use crate::memory::zeros;

/// The lanes.
#[derive(Debug)]
pub(crate) struct Team {
    lanes: Vec<Vec<f32>>,
}

impl Team {
    /// Makes a lane for each thread, each with so many numbers of scratch memory.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new(scratch: usize) -> Result<Self, Error> {
        let lanes = (0..rayon::current_num_threads()).map(|_| zeros("scratch", scratch, false));
        Ok(Self { lanes: lanes.collect::<Result<_, _>>()? })
    }

    /// Counts the lanes.
    pub fn size(&self) -> usize {
        self.lanes.len()
    }

    /// Does the work of each part. Which lane does it, and when, is left to chance: parts must not depend on each other, nor on what
    /// the lane's memory holds.
    pub fn run<P: Send>(&mut self, parts: impl Iterator<Item = P> + Send, work: impl Fn(P, &mut [f32]) + Sync) {
        let parts = Mutex::new(parts.fuse());
        self.lanes.par_iter_mut().with_max_len(1).for_each(|scratch| {
            let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some(part) = next() {
                work(part, scratch);
            }
        });
    }
}

/// The fewest rows that are worth packed columns' way through the caches.
const FEWEST: usize = 24;

/// Cuts a matrix of `rows` by `panels` into parts for so many lanes: `most` rows each at most, and all panels where there are rows enough.
/// What is computed doesn't depend on it.
pub(crate) fn grid(
    rows: usize,
    panels: usize,
    most: usize,
    lanes: usize,
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + Send {
    let bands = rows.div_ceil(most.max(1)).next_multiple_of(lanes.max(1)).min(rows.div_ceil(FEWEST)).max(1);
    let bands = bands.max(rows.div_ceil(most.max(1)));
    let strips = lanes.div_ceil(bands).clamp(1, panels.max(1));
    (0..bands * strips).map(move |part| {
        let (band, strip) = (part / strips, part % strips);
        (band * rows / bands..(band + 1) * rows / bands, strip * panels / strips..(strip + 1) * panels / strips)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_in_one_part() {
        for (rows, panels, most, lanes) in [
            (1, 1, 8, 1),
            (49, 16, 192, 2),
            (392, 16, 192, 2),
            (12_544, 2, 192, 3),
            (7, 5, 2, 64),
            (0, 3, 4, 2),
            (100, 1, 30, 16),
        ] {
            let mut seen = vec![0; rows * panels];
            for (rows, columns) in grid(rows, panels, most, lanes) {
                assert!(rows.len() <= most);
                for row in rows {
                    columns.clone().for_each(|panel| seen[row * panels + panel] += 1);
                }
            }
            assert!(seen.iter().all(|&times| times == 1), "{rows} {panels} {most} {lanes}");
        }
        assert_eq!(grid(392, 16, 192, 2).count(), 4, "even for two");
        assert!(grid(49, 16, 192, 4).count() >= 4, "few rows are cut by columns too");
    }

    #[test]
    fn every_part_is_done_once() {
        let mut team = Team::new(1).unwrap();
        let mut done = [0; 100];
        team.run(done.iter_mut(), |place, _| *place += 1);
        assert_eq!(done, [1; 100]);
    }
}
