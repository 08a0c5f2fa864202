//! Finds rows that point the same way: the pairs of photos that a network sees as nearly one.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::features::rows::Rows;
use crate::progress::Progress;
use crate::random::SplitMix64;

/// Up to so many rows each is compared with each.
const WHOLE: usize = 20_000;
/// Of more rows, those that are compared with each other are no more than this.
const CELL: usize = 4096;
/// In how many cells a row lies: what two cells part, another may hold together.
const CELLS_OF_A_ROW: usize = 3;
/// How many rows a row may be paired with: those nearest to it.
const NEAREST: usize = 6;
/// Rows whose products are computed at a time.
const BLOCK: usize = 256;

/// Which pairs are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The cosine from which on two rows are a pair, once the mean of all is subtracted.
    pub sure: f32,
    /// The cosine from which on they are one where it leads: two that are nearly the same stand out among those that are only of one kind.
    pub likely: f32,
    /// By how much it must exceed what one of the two has with others: its mean cosine with the third to fifth nearest, for the first two may be
    /// nearly the same as well.
    pub lead: f32,
}

/// Two rows, by number, the lower first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    pub rows: [usize; 2],
    /// The cosine between them, once the mean of all rows is subtracted.
    pub cosine: f32,
}

/// Finds pairs of rows, those with the largest cosine first.
///
/// Up to 20,000 rows all pairs are seen. Of more, rows are divided into cells around some of their own, each row in the three cells nearest to it, until
/// a cell is small enough, and pairs within a cell are seen. What is found depends on the rows alone.
///
/// # Numerics
/// Products in f32 of rows from which the mean was subtracted, scaled to the length 1. Rows of length 0 are near none.
///
/// # Errors
/// The watcher asked to stop.
pub(super) fn pairs(rows: &Rows<'_>, wanted: Wanted, progress: &dyn Progress) -> Result<Vec<Pair>> {
    search(&Directions::new(rows), wanted, [WHOLE, CELL], progress)
}

/// Searches among rows: `whole` at once, else in cells of no more than `cell`.
fn search(
    rows: &Directions<'_>,
    wanted: Wanted,
    [whole, cell]: [usize; 2],
    progress: &dyn Progress,
) -> Result<Vec<Pair>> {
    let all: Vec<u32> = (0..rows.len() as u32).collect();
    let cells = if rows.len() <= whole { vec![all] } else { cells(rows, all, cell, progress)? };
    let blocks = |cell: &[u32]| cell.len().div_ceil(BLOCK);
    let tasks: Vec<[usize; 3]> = (cells.iter().enumerate())
        .flat_map(|(number, cell)| {
            let count = blocks(cell);
            (0..count).flat_map(move |a| (a..count).map(move |b| [number, a, b]))
        })
        .collect();
    let nearest = Mutex::new(vec![Nearest::new(); rows.len()]);
    tasks.par_iter().try_for_each(|&[number, a, b]| {
        if progress.cancelled() {
            return Err(Error::Interrupted { kept: 0 });
        }
        let block = |place: usize| {
            let cell = &cells[number];
            &cell[place * BLOCK..((place + 1) * BLOCK).min(cell.len())]
        };
        let (left, right) = (block(a), block(b));
        let products = rows.products(left, &rows.packed(right));
        // The nearest within these blocks first, so that few are handed over.
        let mut lines = vec![Nearest::new(); left.len()];
        let mut columns = vec![Nearest::new(); right.len()];
        for (i, line) in products.chunks_exact(right.len()).enumerate() {
            for (j, &cosine) in line.iter().enumerate().skip(if a == b { i + 1 } else { 0 }) {
                keep(&mut lines[i], (right[j], cosine));
                keep(&mut columns[j], (left[i], cosine));
            }
        }
        // Nothing that can panic happens while it is held.
        let mut nearest = nearest.lock().unwrap_or_else(PoisonError::into_inner);
        for (row, found) in left.iter().zip(lines).chain(right.iter().zip(columns)) {
            found.into_iter().for_each(|one| keep(&mut nearest[*row as usize], one));
        }
        Ok(())
    })?;
    let nearest = nearest.into_inner().unwrap_or_else(PoisonError::into_inner);
    let others = |row: usize, without: usize| {
        let cosines = nearest[row].iter().filter(|(other, _)| *other as usize != without).map(|(_, cosine)| cosine);
        cosines.skip(NEAREST - 4).take(3).sum::<f32>() / 3.0
    };
    let is_wanted = |&Pair { rows: [a, b], cosine }: &Pair| {
        cosine >= wanted.sure || cosine >= wanted.likely && cosine - others(a, b).min(others(b, a)) >= wanted.lead
    };
    let pair = |a: usize, &(b, cosine): &(u32, f32)| Pair { rows: [a.min(b as usize), a.max(b as usize)], cosine };
    let mut pairs: Vec<Pair> = (nearest.iter().enumerate())
        .flat_map(|(row, nearest)| nearest.iter().map(move |other| pair(row, other)))
        .filter(is_wanted)
        .collect();
    pairs.sort_by(|a, b| b.cosine.total_cmp(&a.cosine).then_with(|| a.rows.cmp(&b.rows)));
    // The same pair may be among the nearest of both.
    let mut seen = HashSet::new();
    pairs.retain(|pair| seen.insert(pair.rows));
    Ok(pairs)
}

/// The rows nearest to one, with their cosines, the nearest first.
type Nearest = Vec<(u32, f32)>;

/// Keeps one more of the nearest, whatever the order they come in; what lies across or behind is near to nothing.
fn keep(nearest: &mut Nearest, one: (u32, f32)) {
    let full = nearest.len() == NEAREST;
    if !(one.1 > 0.0) || full && one.1 < nearest[NEAREST - 1].1 || nearest.iter().any(|(other, _)| *other == one.0) {
        return;
    }
    let is_before = |other: &(u32, f32)| one.1.total_cmp(&other.1).then(other.0.cmp(&one.0)) == Ordering::Less;
    let place = nearest.partition_point(is_before);
    if place < NEAREST {
        nearest.insert(place, one);
        nearest.truncate(NEAREST);
    }
}

/// Divides rows into cells of no more than `most`, each row in the few that are nearest to it.
fn cells(rows: &Directions<'_>, all: Vec<u32>, most: usize, progress: &dyn Progress) -> Result<Vec<Vec<u32>>> {
    let mut random = SplitMix64(all.len() as u64);
    let (mut whole, mut done) = (vec![all], Vec::new());
    while let Some(cell) = whole.pop() {
        if cell.len() <= most {
            done.push(cell);
            continue;
        }
        // As many as leave a cell about as large as there are cells.
        let count = cell.len().isqrt().clamp(CELLS_OF_A_ROW + 1, most);
        let pivots: Vec<u32> = (0..count).map(|_| cell[(random.bits() % cell.len() as u64) as usize]).collect();
        let packed = rows.packed(&pivots);
        let blocks: Vec<&[u32]> = cell.chunks(BLOCK).collect();
        let nearest = blocks.par_iter().map(|block| {
            if progress.cancelled() {
                return Err(Error::Interrupted { kept: 0 });
            }
            let products = rows.products(block, &packed);
            Ok(products.chunks_exact(count).map(largest).collect::<Vec<_>>())
        });
        let nearest = nearest.collect::<Result<Vec<_>>>()?;
        let mut parts = vec![Vec::new(); count];
        for (&row, places) in cell.iter().zip(nearest.iter().flatten()) {
            places.iter().for_each(|&place| parts[place].push(row));
        }
        for part in parts {
            match part.len() {
                0 | 1 => {}
                // Rows that are all alike can't be told apart by any of them: they are taken in turns, each with some of those before.
                size if size > cell.len() / 2 => {
                    done.extend((0..size).step_by(most / 2).map(|from| part[from..(from + most).min(size)].to_vec()));
                }
                _ => whole.push(part),
            }
        }
    }
    Ok(done)
}

/// Finds the places of the largest values of a line.
fn largest(line: &[f32]) -> [usize; CELLS_OF_A_ROW] {
    let mut places = [0; CELLS_OF_A_ROW];
    let mut values = [f32::NEG_INFINITY; CELLS_OF_A_ROW];
    for (place, &value) in line.iter().enumerate() {
        if value <= values[CELLS_OF_A_ROW - 1] {
            continue;
        }
        let at = values.partition_point(|other| *other >= value);
        values[at..].rotate_right(1);
        places[at..].rotate_right(1);
        (values[at], places[at]) = (value, place);
    }
    places
}

/// Rows as directions from the mean of all.
struct Directions<'a> {
    rows: &'a Rows<'a>,
    mean: Vec<f32>,
    /// What makes each row's length 1, once the mean is subtracted.
    scale: Vec<f32>,
}

impl<'a> Directions<'a> {
    fn new(rows: &'a Rows<'a>) -> Self {
        let mut sum = vec![0.0f64; rows.width()];
        for row in rows.iter() {
            sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let mean: Vec<f32> = sum.iter().map(|sum| (sum / rows.len().max(1) as f64) as f32).collect();
        let scale = |index: usize| {
            let square: f32 = rows.row(index).iter().zip(&mean).map(|(value, mean)| (value - mean).powi(2)).sum();
            if square > f32::MIN_POSITIVE { square.sqrt().recip() } else { 0.0 }
        };
        let scale = (0..rows.len()).into_par_iter().map(scale).collect();
        Self { rows, mean, scale }
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    /// Copies some directions, one after the other.
    fn packed(&self, some: &[u32]) -> Vec<f32> {
        let direction = |&index: &u32| {
            let scale = self.scale[index as usize];
            let row = self.rows.row(index as usize).iter().zip(&self.mean);
            row.map(move |(value, mean)| (value - mean) * scale)
        };
        some.iter().flat_map(direction).collect()
    }

    /// Computes the cosines of some directions with those that are `packed`, `[some, packed]`.
    fn products(&self, some: &[u32], packed: &[f32]) -> Vec<f32> {
        let (m, k) = (some.len(), self.rows.width());
        let n = packed.len() / k;
        let left = self.packed(some);
        let mut products = vec![0.0f32; m * n];
        // SAFETY: `left` is m rows of k values, `packed` is n rows of k read as columns, and `products` is m rows of n of this call alone.
        unsafe {
            let (a, b, c) = (left.as_ptr(), packed.as_ptr(), products.as_mut_ptr());
            matrixmultiply::sgemm(m, k, n, 1.0, a, k as isize, 1, b, 1, k as isize, 0.0, c, n as isize, 1);
        }
        products
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A number between -1 and 1, drawn evenly.
    fn even(random: &mut SplitMix64) -> f32 {
        (random.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Rows around `kinds` centres, as photos of so many kinds give them; every tenth is another one with a little added, `noise` of its length.
    fn rows(count: usize, width: usize, kinds: usize, noise: f32) -> Vec<f32> {
        let mut random = SplitMix64(count as u64);
        let centres: Vec<f32> = (0..kinds * width).map(|_| even(&mut random)).collect();
        let mut rows: Vec<f32> = Vec::with_capacity(count * width);
        for number in 0..count {
            let row: Vec<f32> = match number % 10 {
                9 => {
                    let of = (random.bits() % number as u64) as usize;
                    rows[of * width..][..width].iter().map(|value| value + noise * even(&mut random)).collect()
                }
                _ => {
                    let centre = (random.bits() % kinds as u64) as usize;
                    // Features are far from zero, all to one side.
                    centres[centre * width..][..width].iter().map(|value| 3.0 + value + even(&mut random)).collect()
                }
            };
            rows.extend(row);
        }
        rows
    }

    /// All pairs, each by itself and in f64.
    fn expected(values: &[f32], width: usize, least: f64) -> BTreeSet<[usize; 2]> {
        let rows: Vec<&[f32]> = values.chunks(width).collect();
        let mean: Vec<f64> = (0..width)
            .map(|column| rows.iter().map(|row| f64::from(row[column])).sum::<f64>() / rows.len() as f64)
            .collect();
        let directions: Vec<Vec<f64>> = (rows.iter())
            .map(|row| {
                let row: Vec<f64> = row.iter().zip(&mean).map(|(&value, mean)| f64::from(value) - mean).collect();
                let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
                row.iter().map(|value| value / length).collect()
            })
            .collect();
        let cosine = |a: usize, b: usize| directions[a].iter().zip(&directions[b]).map(|(a, b)| a * b).sum::<f64>();
        let all = (0..rows.len()).flat_map(|a| (a + 1..rows.len()).map(move |b| [a, b]));
        all.filter(|[a, b]| cosine(*a, *b) >= least).collect()
    }

    /// Asks for all pairs of this cosine and more.
    fn from(sure: f32) -> Wanted {
        Wanted { sure, likely: 2.0, lead: 0.0 }
    }

    fn found(pairs: &[Pair]) -> BTreeSet<[usize; 2]> {
        pairs.iter().map(|pair| pair.rows).collect()
    }

    #[test]
    fn all_pairs_are_found_where_each_is_compared_with_each() {
        // Blocks that are whole, and one that isn't.
        let values = rows(2 * BLOCK + 37, 24, 5, 0.2);
        let view = Rows::new(&values, 24).unwrap();
        let pairs = pairs(&view, from(0.9), &()).unwrap();
        let expected = expected(&values, 24, 0.9);
        assert_eq!(found(&pairs), expected);
        assert!(expected.len() > 50, "{}", expected.len());
        assert!(pairs.is_sorted_by(|a, b| a.cosine >= b.cosine) && pairs.iter().all(|pair| pair.cosine >= 0.9));
        // Without the mean subtracted, any two are near.
        assert!(expected.len() * 20 < view.len() * view.len() / 2);
    }

    #[test]
    fn what_stands_out_is_a_pair_and_what_is_only_of_one_kind_is_none() {
        // Two kinds of ten rows each, of which no two are nearer to each other than the others; and two of one kind that are.
        let width = 24;
        let row =
            |kind: usize, own: usize| (0..width).map(move |at| if at == kind { 2.0f32 } else { f32::from(at == own) });
        let mut values: Vec<f32> = (0..20).flat_map(|number| row(number / 10, 2 + number)).collect();
        values.extend(row(0, 2).enumerate().map(|(at, value)| if at == 23 { 0.6 } else { value }));
        let rows = Rows::new(&values, width).unwrap();
        let of = |lead| found(&pairs(&rows, Wanted { sure: 0.99, likely: 0.5, lead }, &()).unwrap());
        assert_eq!(of(0.1), BTreeSet::from([[0, 20]]));
        assert!(of(-1.0).len() > 40, "{:?}", of(-1.0));
    }

    #[test]
    fn a_row_is_paired_with_no_more_than_those_nearest_to_it() {
        let mut nearest = Nearest::new();
        let all =
            [(9, 0.5), (1, 0.1), (2, 0.9), (3, 0.3), (4, 0.5), (5, 0.0), (6, -1.0), (7, 0.2), (8, 0.25), (2, 0.9)];
        all.iter().for_each(|one| keep(&mut nearest, *one));
        assert_eq!(nearest, [(2, 0.9), (4, 0.5), (9, 0.5), (3, 0.3), (8, 0.25), (7, 0.2)]);
        let mut again = Nearest::new();
        all.iter().rev().for_each(|one| keep(&mut again, *one));
        assert_eq!(again, nearest);
    }

    #[test]
    fn of_many_rows_nearly_all_pairs_are_found_in_cells() {
        let values = rows(6000, 32, 60, 0.25);
        let view = Rows::new(&values, 32).unwrap();
        let rows = Directions::new(&view);
        let wanted = from(0.9);
        let every = search(&rows, wanted, [6000, 0], &()).unwrap();
        let of_cells = search(&rows, wanted, [1000, 500], &()).unwrap();
        let (every, of_cells) = (found(&every), found(&of_cells));
        assert!(of_cells.is_subset(&every));
        let recall = of_cells.len() as f64 / every.len() as f64;
        assert!(every.len() > 500 && recall >= 0.97, "{recall} of {}", every.len());
        // That is less work, and the same whenever it is done.
        let cells = cells(&rows, (0..6000).collect(), 500, &()).unwrap();
        let work: usize = cells.iter().map(|cell| cell.len() * cell.len()).sum();
        assert!(work * 5 < 6000 * 6000 && cells.iter().all(|cell| cell.len() <= 500), "{work}");
        assert_eq!(found(&search(&rows, wanted, [1000, 500], &()).unwrap()), of_cells);
    }

    #[test]
    fn rows_that_are_all_alike_hang_together_in_cells_too() {
        let mut values = rows(400, 8, 3, 0.1);
        values.extend([9.0; 8].repeat(1000));
        let view = Rows::new(&values, 8).unwrap();
        let pairs = search(&Directions::new(&view), from(0.999), [100, 64], &()).unwrap();
        let mut first: Vec<usize> = (0..1400).collect();
        let of = |first: &[usize], mut place: usize| {
            while first[place] != place {
                place = first[place];
            }
            place
        };
        for Pair { rows: [a, b], .. } in pairs {
            let [a, b] = [a, b].map(|place| of(&first, place));
            first[a.max(b)] = a.min(b);
        }
        assert!((400..1400).all(|place| of(&first, place) == of(&first, 400)));
        assert_ne!(of(&first, 0), of(&first, 400));
    }

    #[test]
    fn a_row_without_direction_is_near_none() {
        let values = [[1.0f32, 2.0]; 5].concat();
        assert!(pairs(&Rows::new(&values, 2).unwrap(), from(-1.0), &()).unwrap().is_empty());
        assert!(pairs(&Rows::new(&[], 2).unwrap(), from(-1.0), &()).unwrap().is_empty());
    }

    #[test]
    fn who_wants_it_stopped_is_heard() {
        struct Stopped;
        impl Progress for Stopped {
            fn cancelled(&self) -> bool {
                true
            }
        }
        let values = rows(300, 4, 2, 0.1);
        let view = Rows::new(&values, 4).unwrap();
        for sizes in [[1000, 10], [10, 10]] {
            let outcome = search(&Directions::new(&view), from(0.9), sizes, &Stopped);
            assert!(matches!(outcome, Err(Error::Interrupted { .. })));
        }
    }
}
