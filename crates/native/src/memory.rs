//! Memory that may not be had: asked for, with an error where the system has none.

use resnet::Error;

/// Gives so many zeros. `of_batch` says whether a smaller batch needs less.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn zeros(what: &'static str, len: usize, of_batch: bool) -> Result<Vec<f32>, Error> {
    let mut values = Vec::new();
    let none = |_| Error::Memory { what, bytes: len as u64 * 4, of_batch };
    values.try_reserve_exact(len).map_err(none)?;
    values.resize(len, 0.0);
    Ok(values)
}
