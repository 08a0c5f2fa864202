//! Rows: views of features where they lie, which heads and exports read without a copy.

use crate::error::{Error, Result};

/// Rows of features, in some order, borrowed from where they are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows<'a> {
    width: usize,
    rows: Vec<&'a [f32]>,
}

impl<'a> Rows<'a> {
    /// Views `values`, `[rows, width]`, as rows.
    ///
    /// # Errors
    /// [`Error::Shape`]: `width` is 0, or `values` aren't whole rows.
    pub fn new(values: &'a [f32], width: usize) -> Result<Self> {
        if width == 0 || !values.len().is_multiple_of(width) {
            let (expected, got) = (width.max(1), values.len());
            return Err(Error::Shape { operation: "view rows", operand: "values", expected, got });
        }
        Ok(Self { width, rows: values.chunks_exact(width).collect() })
    }

    /// Collects rows of one width that lie anywhere.
    ///
    /// # Errors
    /// [`Error::Shape`]: a row has another width.
    pub fn from_rows(rows: Vec<&'a [f32]>, width: usize) -> Result<Self> {
        match rows.iter().find(|row| row.len() != width) {
            Some(row) => {
                Err(Error::Shape { operation: "view rows", operand: "a row", expected: width, got: row.len() })
            }
            None => Ok(Self { width, rows }),
        }
    }

    /// Counts the rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Tells whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Gives the number of values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Gives the row of this number.
    pub fn row(&self, index: usize) -> &'a [f32] {
        self.rows[index]
    }

    /// Iterates over all rows in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [f32]> {
        self.rows.iter().copied()
    }

    /// Selects the rows of these numbers, in the given order.
    pub fn select(&self, indices: impl IntoIterator<Item = usize>) -> Self {
        Self { width: self.width, rows: indices.into_iter().map(|index| self.rows[index]).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_where_they_lay() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let rows = Rows::new(&values, 2).unwrap();
        assert_eq!((rows.len(), rows.width(), rows.is_empty()), (3, 2, false));
        let picked = rows.select([2, 0]);
        assert_eq!(picked.iter().collect::<Vec<_>>(), [&values[4..], &values[..2]]);
        assert!(std::ptr::eq(picked.row(0), &values[4..]));
        assert_eq!(Rows::from_rows(vec![&values[..2]], 2).unwrap(), rows.select([0]));
    }

    #[test]
    fn parts_of_rows_are_refused() {
        assert!(Rows::new(&[1.0; 3], 2).is_err() && Rows::new(&[], 0).is_err());
        assert!(Rows::from_rows(vec![&[1.0; 3]], 2).is_err());
        assert!(Rows::new(&[], 2).unwrap().is_empty());
    }
}
