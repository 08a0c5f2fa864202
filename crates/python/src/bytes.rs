//! Numbers as the bytes that NumPy makes arrays of, and arrays as numbers.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

use crate::error::invalid;

/// Copies numbers into bytes that Python owns and may change.
pub(crate) fn of_f32<'py>(py: Python<'py>, values: &[f32]) -> Bound<'py, PyByteArray> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    PyByteArray::new(py, &bytes)
}

/// Copies numbers into bytes that Python owns and may change.
pub(crate) fn of_f64<'py>(py: Python<'py>, values: &[f64]) -> Bound<'py, PyByteArray> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    PyByteArray::new(py, &bytes)
}

/// Copies an array's numbers, in C order.
///
/// # Errors
/// Its elements are of another type.
pub(crate) fn values<T: Element>(array: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    PyBuffer::<T>::get(array)?.to_vec(array.py())
}

/// Copies a matrix: its numbers, row by row, and how many a row has.
///
/// # Errors
/// It isn't a matrix of 32-bit floats, or has no columns.
pub(crate) fn matrix(array: &Bound<'_, PyAny>) -> PyResult<(Vec<f32>, usize)> {
    let buffer = PyBuffer::<f32>::get(array)?;
    match *buffer.shape() {
        [_, width] if width > 0 => Ok((buffer.to_vec(array.py())?, width)),
        _ => Err(invalid(format!("expected a matrix with columns, got the shape {:?}", buffer.shape()))),
    }
}
