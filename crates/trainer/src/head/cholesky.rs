//! Cholesky's factor of a symmetric positive definite matrix, by which linear equations are solved.

use rayon::prelude::*;

use crate::head::solve::dot;

/// L of a matrix L Lᵀ, row by row, zeros above the diagonal left out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cholesky {
    factor: Vec<f64>,
}

impl Cholesky {
    /// Factors a matrix `[width, width]`; none where it isn't positive definite to f64.
    ///
    /// # Reference
    /// Golub and Van Loan, "Matrix computations", 4th edition, 2013, section 4.2.
    pub fn of(matrix: &[f64], width: usize) -> Option<Self> {
        let mut factor: Vec<f64> = Vec::with_capacity(width * (width + 1) / 2);
        for (row, values) in matrix.chunks_exact(width).enumerate() {
            let first = factor.len();
            for column in 0..=row {
                let other = if column == row { &factor[first..] } else { &line(&factor, column)[..column] };
                let rest = values[column] - dot(&factor[first..], other);
                let value = if column < row {
                    rest / line(&factor, column)[column]
                } else if rest > 1e-14 * values[row] {
                    rest.sqrt()
                } else {
                    return None;
                };
                factor.push(value);
            }
        }
        Some(Self { factor })
    }

    /// Gives the part of a line of L that isn't zero.
    pub fn line(&self, row: usize) -> &[f64] {
        line(&self.factor, row)
    }

    /// Solves L y = x.
    pub fn solve_lower(&self, x: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut y: Vec<f64> = Vec::new();
        for (row, value) in x.enumerate() {
            let line = line(&self.factor, row);
            y.push((value - dot(&line[..row], &y)) / line[row]);
        }
        y
    }

    /// Solves L Lᵀ y = x.
    pub fn solve(&self, x: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut y = self.solve_lower(x);
        for row in (0..y.len()).rev() {
            let line = line(&self.factor, row);
            let value = y[row] / line[row];
            y[row] = value;
            y[..row].iter_mut().zip(line).for_each(|(y, factor)| *y -= value * factor);
        }
        y
    }

    /// Computes the sum of the diagonal of the matrix's inverse.
    pub fn trace_of_inverse(&self) -> f64 {
        let width = ((2 * self.factor.len()) as f64).sqrt() as usize;
        // Column by column of L⁻¹, which begins on the diagonal; added up in their order.
        let column = |at: usize| -> f64 {
            let mut y: Vec<f64> = Vec::with_capacity(width - at);
            for row in at..width {
                let line = &self.line(row)[at..];
                let value = if row == at { 1.0 } else { 0.0 } - dot(&line[..row - at], &y);
                y.push(value / line[row - at]);
            }
            dot(&y, &y)
        };
        (0..width).into_par_iter().map(column).collect::<Vec<f64>>().iter().sum()
    }
}

/// Gives the part of a triangle's line that isn't zero.
fn line(factor: &[f64], line: usize) -> &[f64] {
    let first = line * (line + 1) / 2;
    &factor[first..=first + line]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_times_itself_is_the_matrix() {
        let matrix = [4.0, 2.0, -2.0, 2.0, 10.0, 2.0, -2.0, 2.0, 5.0];
        let found = Cholesky::of(&matrix, 3).unwrap();
        assert_eq!(found.factor, [2.0, 1.0, 3.0, -1.0, 1.0, 3f64.sqrt()]);
        // L y = x by hand.
        assert_eq!(found.solve_lower([4.0, 8.0, 1.0].into_iter()), [2.0, 2.0, 1.0 / 3f64.sqrt()]);
        // And the matrix times the solution is the right side.
        let y = found.solve([1.0, -2.0, 3.0].into_iter());
        for (row, expected) in matrix.chunks(3).zip([1.0, -2.0, 3.0]) {
            assert!((dot(row, &y) - expected).abs() < 1e-14, "{y:?}");
        }
        // By unit vectors: the diagonal of the inverse.
        let unit = |at: usize| found.solve((0..3).map(move |row| f64::from(u8::from(row == at))))[at];
        assert!((found.trace_of_inverse() - (0..3).map(unit).sum::<f64>()).abs() < 1e-14);
        assert_eq!(Cholesky::of(&[1.0, 2.0, 2.0, 4.0], 2), None);
        assert_eq!(Cholesky::of(&[0.0], 1), None);
    }
}
