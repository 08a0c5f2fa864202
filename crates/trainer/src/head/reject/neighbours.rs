//! How like its nearest known photos a photo is: the mean cosine similarity of features.

use crate::error::{Error, Result};
use crate::features::Rows;
use crate::head::cosine::{compare, scales};

/// How many of the nearest known photos count.
pub const NEAREST: usize = 5;

/// Computes the mean cosine similarity of each row to the [`NEAREST`] nearest of the known rows: of all where there are fewer.
///
/// `is_hidden` tells, by numbers, which known rows a row isn't compared with: itself, those of its own fold, its near-duplicates.
///
/// # Shapes
/// `[rows, width]` and `[known, width]` to `[rows]`.
///
/// # Units
/// In [−1, 1]; a row of zeros has similarity 0 to all.
///
/// # Numerics
/// In f64. The same rows give the same bits on the same processor, on however many threads.
///
/// # Reference
/// Sun, Ming, Zhu and Li, "Out-of-distribution detection with deep nearest neighbors", 2022, section 3, with the mean of the nearest in the place of the k-th alone.
///
/// # Errors
/// The rows differ in width; a row has no known row to be compared with; a similarity isn't finite.
pub fn similarity(rows: &Rows, known: &Rows, is_hidden: impl Fn(usize, usize) -> bool + Sync) -> Result<Vec<f64>> {
    similarity_by(rows, (known, &scales(known)), is_hidden)
}

/// Computes as [`similarity`] does, given the [`scales`] of the known rows.
pub(super) fn similarity_by(
    rows: &Rows,
    (known, scales): (&Rows, &[f64]),
    is_hidden: impl Fn(usize, usize) -> bool + Sync,
) -> Result<Vec<f64>> {
    let nearest =
        compare(rows, (known, scales), &is_hidden, |nearest: &mut Nearest, _, similarity| nearest.add(similarity))?;
    let means: Vec<f64> = nearest.iter().map(Nearest::mean).collect();
    match means.iter().position(|mean| !mean.is_finite()) {
        Some(row) if (0..known.len()).all(|other| is_hidden(row, other)) => {
            Err(Error::Shape { operation: "similarity", operand: "known rows", expected: 1, got: 0 })
        }
        Some(row) => Err(Error::NotFinite { operation: "similarity", what: format!("that of row {row}") }),
        None => Ok(means),
    }
}

/// The greatest similarities so far, in descending order.
#[derive(Clone, Default)]
struct Nearest {
    greatest: [f64; NEAREST],
    count: usize,
}

impl Nearest {
    fn add(&mut self, similarity: f64) {
        // NaN comes first and stays, so that it is seen.
        let before = |other: &f64| similarity.is_nan() || similarity > *other;
        let place = self.greatest[..self.count].iter().position(before);
        let place = place.unwrap_or(self.count);
        if place < NEAREST {
            self.count = NEAREST.min(self.count + 1);
            self.greatest[place..self.count].rotate_right(1);
            self.greatest[place] = similarity;
        }
    }

    /// Takes the mean; of none it is NaN.
    fn mean(&self) -> f64 {
        self.greatest[..self.count].iter().sum::<f64>() / self.count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    fn drawn(count: usize, width: usize, seed: u64) -> Vec<f32> {
        let mut random = SplitMix64(seed);
        (0..count * width).map(|_| (random.bits() >> 40) as f32 / (1u64 << 23) as f32 - 0.7).collect()
    }

    /// From the definition: all cosines, sorted.
    fn plainly(row: &[f32], known: &[&[f32]]) -> f64 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let mut cosines: Vec<f64> =
            known.iter().map(|other| dot(row, other) / (dot(row, row) * dot(other, other)).sqrt()).collect();
        cosines.sort_by(|a, b| b.total_cmp(a));
        cosines.truncate(NEAREST);
        cosines.iter().sum::<f64>() / cosines.len() as f64
    }

    #[test]
    fn blocks_of_every_size_give_what_the_definition_gives() {
        for (count, others, width) in
            [(1, 1, 3), (3, 4, 1), (127, 255, 7), (128, 256, 8), (129, 257, 5), (300, 700, 16)]
        {
            let (values, known) = (drawn(count, width, 1), drawn(others, width, 2));
            let (rows, known) = (Rows::new(&values, width).unwrap(), Rows::new(&known, width).unwrap());
            let all: Vec<&[f32]> = known.iter().collect();
            let found = similarity(&rows, &known, |_, _| false).unwrap();
            for (row, found) in rows.iter().zip(found) {
                assert!((found - plainly(row, &all)).abs() < 1e-12, "{count} {others} {width}");
            }
            // Without every third.
            if others > 3 {
                let some: Vec<&[f32]> =
                    (0..others).filter(|other| other % 3 != 1).map(|other| known.row(other)).collect();
                let found = similarity(&rows, &known, |_, other| other % 3 == 1).unwrap();
                assert!(rows.iter().zip(found).all(|(row, found)| (found - plainly(row, &some)).abs() < 1e-12));
            }
        }
    }

    #[test]
    fn the_same_on_any_number_of_threads() {
        let (values, known) = (drawn(300, 24, 3), drawn(500, 24, 4));
        let (rows, known) = (Rows::new(&values, 24).unwrap(), Rows::new(&known, 24).unwrap());
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| similarity(&rows, &known, |_, _| false).unwrap())
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn zeros_say_nothing_and_nan_is_an_error() {
        let known = Rows::new(&[1.0, 0.0, 0.0, 0.0], 2).unwrap();
        let of = |row: &[f32]| similarity(&Rows::new(row, 2).unwrap(), &known, |_, _| false);
        assert_eq!(of(&[0.0, 0.0]).unwrap(), [0.0]);
        assert_eq!(of(&[3.0, 0.0]).unwrap(), [0.5]);
        assert!(of(&[1.0, f32::NAN]).unwrap_err().to_string().contains("that of row 0 is not finite"));
        // One among many known rows, whatever its sign.
        for nan in [f32::NAN, -f32::NAN] {
            let mut many = drawn(20, 2, 5);
            many[14] = nan;
            let many = Rows::new(&many, 2).unwrap();
            assert!(similarity(&known.select([0]), &many, |_, _| false).is_err());
            assert!(similarity(&known.select([0]), &many, |_, other| other == 7).is_ok());
        }
        let hidden = similarity(&known, &known, |_, _| true).unwrap_err().to_string();
        assert!(hidden.contains("known rows has 0 elements"), "{hidden}");
        assert!(similarity(&Rows::new(&[1.0], 1).unwrap(), &known, |_, _| false).is_err());
        assert!(similarity(&Rows::new(&[], 1).unwrap(), &known, |_, _| false).unwrap().is_empty());
    }
}
