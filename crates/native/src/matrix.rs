//! Products of any two matrices, wherever they lie in memory, on all of rayon's threads.

use std::ops::Range;

use rayon::prelude::*;
use resnet::{Error, kernels};

use crate::gather::Rows;
use crate::panels::Panels;
use crate::product::{MOST_ROWS, SCRATCH, Strip};
use crate::simd::{Isa, padded};
use crate::team::{Team, grid};
use crate::tile::{Finish, Output};

/// A matrix that is read where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: &'a [f32],
    size: [usize; 2],
    strides: [usize; 2],
}

/// A matrix that is written where it lies.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    values: &'a mut [f32],
    size: [usize; 2],
    strides: [usize; 2],
}

/// Makes the error of matrices that don't fit.
fn shape(message: String) -> Error {
    kernels::Error::Shape { op: "product", message }.into()
}

/// Checks that all numbers of a matrix lie in a slice of so many.
fn check(len: usize, size: [usize; 2], strides: [usize; 2]) -> Result<(), Error> {
    let reach = |axis: usize| size[axis].saturating_sub(1).checked_mul(strides[axis]);
    let last = reach(0).zip(reach(1)).and_then(|(rows, columns)| rows.checked_add(columns));
    match last {
        Some(last) if last < len || size.contains(&0) => Ok(()),
        _ => Err(shape(format!("{len} numbers hold no matrix of {size:?} with strides {strides:?}"))),
    }
}

impl<'a> Matrix<'a> {
    /// Takes a matrix of `size` (rows, columns), of which number `[i, j]` is `values[i · strides[0] + j · strides[1]]`.
    ///
    /// # Errors
    /// [`kernels::Error::Shape`] if one of them lies outside of `values`.
    pub fn new(values: &'a [f32], size: [usize; 2], strides: [usize; 2]) -> Result<Self, Error> {
        check(values.len(), size, strides)?;
        Ok(Self { values, size, strides })
    }

    /// Gives the transposed matrix, of the same numbers where they lie.
    pub fn transposed(self) -> Self {
        let flip = |[a, b]: [usize; 2]| [b, a];
        Self { values: self.values, size: flip(self.size), strides: flip(self.strides) }
    }
}

impl<'a> MatrixMut<'a> {
    /// Takes a matrix as [`Matrix::new`] does.
    ///
    /// # Errors
    /// [`kernels::Error::Shape`] if a number lies outside of `values`, or if neither its rows nor its columns lie one behind the other.
    pub fn new(values: &'a mut [f32], size: [usize; 2], strides: [usize; 2]) -> Result<Self, Error> {
        check(values.len(), size, strides)?;
        let behind = |outer: usize, inner: usize| {
            let len = size[inner].saturating_sub(1) * strides[inner] + 1;
            (size[inner] <= 1 || strides[inner] > 0) && (size[outer] <= 1 || strides[outer] >= len)
        };
        if behind(0, 1) || behind(1, 0) || size.contains(&0) {
            Ok(Self { values, size, strides })
        } else {
            Err(shape(format!("numbers of a matrix of {size:?} with strides {strides:?} share places")))
        }
    }
}

/// Numbers of packed panels that there are at a time.
const MOST_NUMBERS: usize = 1 << 22;
/// Columns of the product that there are at a time.
const MOST_COLUMNS: usize = 1024;

/// Computes `C = alpha · A B + beta · C` on rayon's threads.
///
/// # Shapes
/// A `[m, k]`, B `[k, n]`, C `[m, n]`, each with any strides: a transposed matrix is one with its strides exchanged.
///
/// # Numerics
/// f32, in parts of 256 products, whose sums are added up one after the other. Same bytes whatever the number of threads. Where `beta` is
/// zero, C isn't read.
///
/// # Errors
/// [`kernels::Error::Shape`] where the sizes don't fit; [`Error::Memory`] where there is none for packed columns, 17
/// megabytes at most, and a megabyte a thread; [`Error::Options`] where `REHEAD_CPU` names what this CPU hasn't.
///
/// # Reference
/// Goto and van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, 2008.
///
/// # Example
/// ```
/// # fn main() -> Result<(), resnet::Error> {
/// use native::{Matrix, MatrixMut, product};
/// let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let mut c = [1.0; 4];
/// // [1 2 3; 4 5 6], times itself transposed.
/// let a = Matrix::new(&a, [2, 3], [3, 1])?;
/// product(1.0, a, a.transposed(), 10.0, MatrixMut::new(&mut c, [2, 2], [2, 1])?)?;
/// assert_eq!(c, [24.0, 42.0, 42.0, 87.0]);
/// # Ok(()) }
/// ```
pub fn product(alpha: f32, a: Matrix<'_>, b: Matrix<'_>, beta: f32, c: MatrixMut<'_>) -> Result<(), Error> {
    let ([m, k], [depth, n]) = (a.size, b.size);
    if k != depth || c.size != [m, n] {
        return Err(shape(format!("{:?} times {:?} is no {:?}", a.size, b.size, c.size)));
    }
    let isa = Isa::chosen()?;
    // The smaller one is packed, unless the larger would have to be transposed for it.
    let swapped = n > m && b.strides[0] == 1;
    let (left, right) = if swapped { (b.transposed(), a.transposed()) } else { (a, b) };
    let [rows, all_columns] = [left.size[0], right.size[1]];
    let mut team = Team::new(SCRATCH + MOST_ROWS * padded(all_columns.min(MOST_COLUMNS)))?;
    let lanes = team.size();
    let target = Target::new(c, swapped);
    for columns in chunks(all_columns, MOST_COLUMNS) {
        let most_depth = MOST_NUMBERS / padded(columns.len());
        for part in 0..k.div_ceil(most_depth).max(1) {
            let depth = (part * most_depth).min(k)..((part + 1) * most_depth).min(k);
            let panels = packed(isa, right, &depth, &columns)?;
            let beta = if part == 0 { beta } else { 1.0 };
            team.run(grid(rows, panels.count(), MOST_ROWS, lanes), |(rows, strip), scratch| {
                let (scratch, sums) = scratch.split_at_mut(SCRATCH);
                let first = panels.before(strip.start);
                let width = panels.before(strip.end) - first;
                let sums = &mut sums[..rows.len() * width];
                if depth.is_empty() {
                    sums.fill(0.0);
                }
                let left = Part { matrix: left, row: rows.start, depth: depth.start };
                Strip { left: &left, rows: 0..rows.len(), panels: &panels, columns: strip, column: 0 }.multiply(
                    isa,
                    scratch,
                    Output::new(sums, width),
                    Finish::default(),
                );
                let own = columns.start + first..(columns.start + first + width).min(columns.end);
                // SAFETY: no two parts share rows and columns.
                let target = unsafe { target.again() };
                target.write(sums, width, [rows, own], [alpha, beta]);
            });
        }
    }
    Ok(())
}

/// Cuts a length into ranges of at most so many.
fn chunks(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(most.max(1)).map(move |start| start..(start + most.max(1)).min(len))
}

/// Packs a part of the right matrix, a panel on a thread.
fn packed(isa: Isa, right: Matrix<'_>, depth: &Range<usize>, columns: &Range<usize>) -> Result<Panels, Error> {
    let mut panels = Panels::zeros(isa, depth.len(), columns.len())?;
    panels.panels_mut().collect::<Vec<_>>().into_par_iter().for_each(|(panel, first, width)| {
        let own = first..(first + width).min(columns.len());
        for (row, numbers) in panel.chunks_exact_mut(width).enumerate() {
            let start = (depth.start + row) * right.strides[0] + columns.start * right.strides[1];
            if right.strides[1] == 1 {
                numbers[..own.len()].copy_from_slice(&right.values[start + own.start..start + own.end]);
            } else {
                for (column, number) in own.clone().zip(numbers) {
                    *number = right.values[start + column * right.strides[1]];
                }
            }
        }
    });
    Ok(panels)
}

/// A part of the left matrix: row 0 and depth 0 are these.
struct Part<'a> {
    matrix: Matrix<'a>,
    row: usize,
    depth: usize,
}

impl Rows for Part<'_> {
    fn part<'a>(&'a self, rows: Range<usize>, depth: Range<usize>, scratch: &'a mut [f32]) -> (&'a [f32], usize) {
        let Matrix { values, strides: [down, along], .. } = self.matrix;
        let start = (self.row + rows.start) * down + (self.depth + depth.start) * along;
        if along == 1 {
            return (&values[start..], down);
        }
        let stride = depth.len().next_multiple_of(16) + 16;
        // A few rows at a time, which are neighbours where the matrix is a transposed one.
        for few in chunks(rows.len(), 16) {
            for k in 0..depth.len() {
                for row in few.clone() {
                    scratch[row * stride + k] = values[start + row * down + k * along];
                }
            }
        }
        (scratch, stride)
    }
}

/// Where products go: C in lines that lie one behind the other.
struct Target<'a> {
    lines: Output<'a>,
    /// Numbers from a place of a line to the next.
    step: usize,
    /// Whether lines are columns of the sums.
    crossed: bool,
}

impl<'a> Target<'a> {
    fn new(c: MatrixMut<'a>, swapped: bool) -> Self {
        let [rows, columns] = c.strides;
        let (stride, step) = (rows.max(columns), rows.min(columns));
        Self { lines: Output::new(c.values, stride), step, crossed: swapped != (columns > rows) }
    }

    /// Makes another of the same.
    ///
    /// # Safety
    /// As [`Output::again`].
    unsafe fn again(&self) -> Self {
        // SAFETY: the caller's promise.
        Self { lines: unsafe { self.lines.again() }, ..*self }
    }

    /// Writes sums, of so many numbers a row, to rows and columns of the product.
    fn write(mut self, sums: &[f32], width: usize, [rows, columns]: [Range<usize>; 2], [alpha, beta]: [f32; 2]) {
        let end = |sum: f32, old: f32| if beta == 0.0 { alpha * sum } else { alpha * sum + beta * old };
        let (lines, places, down, along) =
            if self.crossed { (columns, rows, 1, width) } else { (rows, columns, width, 1) };
        for (i, line) in lines.enumerate() {
            if (self.step, along) == (1, 1) {
                let to = self.lines.columns(line, places.clone());
                to.iter_mut().zip(&sums[i * down..]).for_each(|(to, sum)| *to = end(*sum, *to));
                continue;
            }
            for (j, place) in places.clone().enumerate() {
                let at = place * self.step;
                let to = &mut self.lines.columns(line, at..at + 1)[0];
                *to = end(sums[i * down + j * along], *to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::MatmulDesc;
    use testkit::{Samples, assert_close};

    /// Multiplies matrices of these sizes, transposed or not and with room between their lines, and compares with the twin.
    fn check([m, k, n]: [usize; 3], transposed: [bool; 3], [alpha, beta]: [f32; 2]) {
        let mut samples = Samples::new((m * 31 + k * 7 + n) as u64);
        let mut layout = |rows: usize, columns: usize, transposed: bool| {
            let (lines, places) = if transposed { (columns, rows) } else { (rows, columns) };
            let values = samples.vec((lines * (places + 3)).max(1));
            (values, [rows, columns], if transposed { [1, places + 3] } else { [places + 3, 1] })
        };
        let (a, a_size, a_strides) = layout(m, k, transposed[0]);
        let (b, b_size, b_strides) = layout(k, n, transposed[1]);
        let (mut c, c_size, c_strides) = layout(m, n, transposed[2]);
        let dense = |values: &[f32], [rows, columns]: [usize; 2], strides: [usize; 2]| -> Vec<f32> {
            (0..rows * columns).map(|i| values[i / columns * strides[0] + i % columns * strides[1]]).collect()
        };
        let before = c.clone();
        if beta == 0.0 {
            c.fill(f32::NAN);
        }
        product(
            alpha,
            Matrix::new(&a, a_size, a_strides).unwrap(),
            Matrix::new(&b, b_size, b_strides).unwrap(),
            beta,
            MatrixMut::new(&mut c, c_size, c_strides).unwrap(),
        )
        .unwrap();
        let desc = MatmulDesc::new(m as u32, k as u32, n as u32);
        let mut expected =
            kernels::reference::matmul(&desc, &dense(&a, a_size, a_strides), &dense(&b, b_size, b_strides), None);
        let values = expected.values.iter_mut().zip(&mut expected.bounds).zip(dense(&before, c_size, c_strides));
        for ((value, bound), old) in values {
            let added = if beta == 0.0 { 0.0 } else { f64::from(beta) * f64::from(old) };
            // Two more roundings: of the product with alpha, and of the sum.
            *bound =
                f64::from(alpha).abs() * *bound + 1e-7 * (f64::from(alpha) * *value).abs() + 2e-7 * added.abs() + 1e-30;
            *value = f64::from(alpha) * *value + added;
        }
        let what = format!("{m} {k} {n} {transposed:?} {alpha} {beta}");
        assert_close(&what, &dense(&c, c_size, c_strides), &expected);
        // What lies between the lines stays.
        let mut own = vec![false; c.len()];
        (0..m * n).for_each(|i| own[i / n * c_strides[0] + i % n * c_strides[1]] = true);
        for (place, own) in own.into_iter().enumerate() {
            assert!(
                own || c[place].to_bits() == before[place].to_bits() || beta == 0.0 && c[place].is_nan(),
                "{what} {place}"
            );
        }
    }

    #[test]
    fn products_are_those_of_the_twin() {
        for size in [[1, 1, 1], [13, 17, 9], [1, 300, 50], [50, 300, 1], [70, 1, 33], [5, 3, 200], [200, 513, 40]] {
            for bits in 0..8 {
                check(size, [0, 1, 2].map(|bit| bits >> bit & 1 == 1), [[1.0, 0.0], [-0.5, 2.0]][bits % 2]);
            }
        }
        // More columns, and more of the depth, than are packed at a time.
        check([3, 5000, 1100], [false; 3], [1.0, 0.0]);
        check([1100, 20, 1030], [true, false, true], [2.0, 1.0]);
    }

    #[test]
    fn what_holds_no_matrix_is_told() {
        let mut values = [0.0; 6];
        for (size, strides) in [([2, 3], [4, 1]), ([3, 3], [2, 1]), ([usize::MAX, 2], [usize::MAX, 1])] {
            let error = Matrix::new(&values, size, strides).unwrap_err();
            assert!(error.to_string().contains("hold no matrix"), "{error}");
        }
        for strides in [[0, 1], [1, 1], [2, 1]] {
            assert!(MatrixMut::new(&mut values, [2, 3], strides).is_err(), "{strides:?}");
        }
        assert!(MatrixMut::new(&mut values, [1, 6], [1, 1]).is_ok());
        let a = [0.0; 6];
        let matrix = |size: [usize; 2]| Matrix::new(&a, size, [size[1], 1]).unwrap();
        let c = MatrixMut::new(&mut values, [2, 2], [2, 1]).unwrap();
        let error = product(1.0, matrix([2, 3]), matrix([2, 2]), 0.0, c).unwrap_err();
        assert_eq!(error.to_string(), "product: [2, 3] times [2, 2] is no [2, 2]");
    }

    #[test]
    fn without_depth_only_beta_counts() {
        let mut c = [3.0; 4];
        let none = Matrix::new(&[], [2, 0], [0, 1]).unwrap();
        product(1.0, none, none.transposed(), 2.0, MatrixMut::new(&mut c, [2, 2], [2, 1]).unwrap()).unwrap();
        assert_eq!(c, [6.0; 4]);
    }
}
