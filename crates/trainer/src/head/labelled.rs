//! Checks what comes from outside as rows with a class each: logits or probabilities of photos that are judged.

use crate::data::Class;
use crate::error::{Error, Result};

/// Checks that so many values are a row for each class given, and each row as wide as the classes are many. Gives the width.
///
/// # Errors
/// There are no rows; the values aren't whole rows; a class is beyond the width.
pub(crate) fn width(operation: &'static str, values: usize, classes: &[Class]) -> Result<usize> {
    let shape = |operand, expected, got| Err(Error::Shape { operation, operand, expected, got });
    let rows = classes.len();
    if rows == 0 {
        return shape("classes", 1, 0);
    }
    if values == 0 || !values.is_multiple_of(rows) {
        return shape("values", rows * (values / rows).max(1), values);
    }
    let width = values / rows;
    match classes.iter().position(|class| class.index() >= width) {
        Some(row) => {
            let problem = format!("has class number {}", classes[row].index());
            Err(Error::Target { operation, row, problem, expected: format!("exactly one of {width} classes") })
        }
        None => Ok(width),
    }
}

/// Checks that all values are finite.
///
/// # Errors
/// The first that isn't, by its place.
pub(crate) fn finite(operation: &'static str, what: &'static str, mut values: impl Iterator<Item = f64>) -> Result<()> {
    match values.position(|value| !value.is_finite()) {
        Some(place) => Err(Error::NotFinite { operation, what: format!("{what} {place}") }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_and_classes_among_them() {
        let [a, b, c] = [0, 1, 2].map(Class::new);
        let message = |values, classes: &[Class]| width("judge", values, classes).unwrap_err().to_string();
        assert_eq!(width("judge", 6, &[a, b, a]).unwrap(), 2);
        assert_eq!(message(0, &[]), "judge: classes has 0 elements, expected 1");
        assert_eq!(message(7, &[a, b]), "judge: values has 7 elements, expected 6");
        assert_eq!(message(0, &[a, b]), "judge: values has 0 elements, expected 2");
        assert_eq!(message(4, &[a, c]), "judge: row 1 has class number 2; expected exactly one of 2 classes");
        finite("judge", "logit", [0.0, 1.0].into_iter()).unwrap();
        let error = finite("judge", "logit", [0.0, f64::NAN].into_iter()).unwrap_err();
        assert_eq!(error.to_string(), "judge: logit 1 is not finite");
    }
}
