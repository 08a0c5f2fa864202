//! The cosine similarity of rows to known ones, block by block.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::features::Rows;

/// How many rows are compared at a time with how many known ones: what a thread keeps of both is `(128 + 256) * width` numbers, whatever their number.
const BLOCK: [usize; 2] = [128, 256];

/// Computes what each row is multiplied by to be of length 1: for known rows that many others are compared with, one after another. That of a row of zeros is 0.
pub(crate) fn scales(rows: &Rows) -> Vec<f64> {
    (0..rows.len()).into_par_iter().map(|row| scale(rows.row(row))).collect()
}

/// Compares each row with the known ones, in their order, given the [`scales`] of these: `add` notes the number and the similarity of each that isn't hidden from the row.
///
/// # Numerics
/// In f64. The same rows give the same bits on the same processor, on however many threads.
///
/// # Errors
/// The rows differ in width.
pub(crate) fn compare<T: Clone + Default + Send>(
    rows: &Rows,
    (known, scales): (&Rows, &[f64]),
    is_hidden: impl Fn(usize, usize) -> bool + Sync,
    add: impl Fn(&mut T, usize, f64) + Sync,
) -> Result<Vec<T>> {
    if !rows.is_empty() && rows.width() != known.width() {
        let (expected, got) = (known.width(), rows.width());
        return Err(Error::Shape { operation: "similarity", operand: "a row", expected, got });
    }
    let blocks: Vec<usize> = (0..rows.len()).step_by(BLOCK[0]).collect();
    let of_block = |&first: &usize| -> Vec<T> {
        let some: Vec<usize> = (first..rows.len().min(first + BLOCK[0])).collect();
        let left: Vec<f64> = some.iter().flat_map(|&row| direction(rows.row(row), scale(rows.row(row)))).collect();
        let mut found = vec![T::default(); some.len()];
        for first in (0..known.len()).step_by(BLOCK[1]) {
            let others: Vec<usize> = (first..known.len().min(first + BLOCK[1])).collect();
            let right: Vec<f64> = others.iter().flat_map(|&row| direction(known.row(row), scales[row])).collect();
            let products = products(&left, &right, rows.width());
            for ((row, found), products) in some.iter().zip(&mut found).zip(products.chunks_exact(others.len())) {
                let seen = others.iter().zip(products).filter(|(other, _)| !is_hidden(*row, **other));
                seen.for_each(|(&other, &similarity)| add(found, other, similarity));
            }
        }
        found
    };
    Ok(blocks.par_iter().flat_map_iter(of_block).collect())
}

/// Computes what a row is multiplied by to be of length 1.
fn scale(row: &[f32]) -> f64 {
    let square: f64 = row.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    if square == 0.0 { 0.0 } else { 1.0 / square.sqrt() }
}

fn direction(row: &[f32], scale: f64) -> impl Iterator<Item = f64> {
    row.iter().map(move |&value| f64::from(value) * scale)
}

/// Multiplies rows of `width` by rows, `[left, right]`.
fn products(left: &[f64], right: &[f64], width: usize) -> Vec<f64> {
    let (m, n) = (left.len() / width, right.len() / width);
    let (stride, mut products) = (width as isize, vec![0.0; m * n]);
    // SAFETY: `left` is m rows of `width` values, `right` n such rows read as columns, and `products` is m rows of n of this call alone.
    unsafe {
        let (a, b, c) = (left.as_ptr(), right.as_ptr(), products.as_mut_ptr());
        matrixmultiply::dgemm(m, width, n, 1.0, a, stride, 1, b, 1, stride, 0.0, c, n as isize, 1);
    }
    products
}
