//! Heads on rows of features: found, and asked.

use std::ops::Range;

use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use serde::Deserialize;
use serde_json::json;
use trainer::data::{Class, Target};
use trainer::features::Rows;
use trainer::head::{Folds, Head, Problem, Samples, sigmoid, softmax, solve};

use crate::bytes;
use crate::error::{invalid, raise};
use crate::options::{Options, read};
use crate::training::Settings;
use crate::watch::Interpreter;

/// Weights and biases of a head, and how it was found, as JSON.
type Fitted<'py> = (Bound<'py, PyByteArray>, Bound<'py, PyByteArray>, String);

/// What is learnt from besides the rows: by row its class, its fold of cross-validation and what it counts, the last two where there are any.
#[derive(FromPyObject)]
pub(crate) struct Labels<'py> {
    #[pyo3(item)]
    classes: Bound<'py, PyAny>,
    #[pyo3(item)]
    folds: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    weights: Option<Bound<'py, PyAny>>,
}

/// What is asked for: settings, options, and how many classes there are.
#[derive(Deserialize)]
struct Asked {
    settings: Settings,
    options: Options,
    classes: usize,
}

/// Finds the head of rows of features whose classes are known, by number.
#[pyfunction]
pub(crate) fn fit<'py>(
    py: Python<'py>,
    rows: &Bound<'py, PyAny>,
    labels: Labels<'py>,
    asked: &str,
) -> PyResult<Fitted<'py>> {
    let Asked { settings, options, classes } = read(asked)?;
    let (values, width) = bytes::matrix(rows)?;
    let targets = places(&labels.classes, 0..classes)?.into_iter().map(|class| Class::new(class).into());
    let targets: Vec<Target> = targets.collect();
    let deal = labels.folds.map(|folds| places(&folds, 0..targets.len())).transpose()?;
    let weights: Option<Vec<f64>> = labels.weights.map(|weights| bytes::values(&weights)).transpose()?;
    let (head, told) = py.detach(|| {
        let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
        let rows = Rows::new(&values, width).map_err(raise)?;
        let train = Samples { rows: &rows, targets: &targets, weights: weights.as_deref() };
        let folds = deal.as_ref().map(|deal| Folds { deals: std::slice::from_ref(deal), nested: false });
        let problem = Problem { classes: &names, train, validation: None, folds, views: 1 };
        let fit = solve(&options.device()?, &problem, &settings.train(), &Interpreter).map_err(raise)?;
        let told = json!({
            "certificate": fit.certificate,
            "cross_validation": fit.cross_validation,
            "temperature": fit.temperature,
        });
        Ok::<_, PyErr>((fit.head, told))
    })?;
    Ok((bytes::of_f32(py, &head.weight), bytes::of_f32(py, &head.bias), told.to_string()))
}

/// Reads whole numbers that must lie within bounds.
fn places(array: &Bound<'_, PyAny>, bounds: Range<usize>) -> PyResult<Vec<usize>> {
    let place = |value: i64| {
        let place = usize::try_from(value).ok().filter(|place| bounds.contains(place));
        place.ok_or_else(|| invalid(format!("{value} isn't one of 0 to {}", bounds.end.saturating_sub(1))))
    };
    bytes::values::<i64>(array)?.into_iter().map(place).collect()
}

/// Computes logits and probabilities of rows of features by a head: weights by class, and biases. Where a row may be of `several` classes each has a probability by itself.
#[pyfunction]
pub(crate) fn logits<'py>(
    py: Python<'py>,
    weight: &Bound<'py, PyAny>,
    bias: &Bound<'py, PyAny>,
    rows: &Bound<'py, PyAny>,
    several: bool,
) -> PyResult<(Bound<'py, PyByteArray>, Bound<'py, PyByteArray>)> {
    let ((weight, width), bias) = (bytes::matrix(weight)?, bytes::values(bias)?);
    let (values, columns) = bytes::matrix(rows)?;
    if weight.len() != bias.len() * width {
        return Err(invalid(format!("{} biases for {} rows of weights", bias.len(), weight.len() / width)));
    }
    let (logits, probabilities) = py.detach(|| {
        let classes = vec![String::new(); bias.len()];
        let head = Head { weight, bias, classes, thresholds: None };
        let logits = head.logits(&Rows::new(&values, columns).map_err(raise)?).map_err(raise)?;
        let probabilities: Vec<f64> = match several {
            true => logits.iter().map(|&logit| sigmoid(logit.into())).collect(),
            false => logits.chunks_exact(head.classes.len().max(1)).flat_map(softmax).collect(),
        };
        Ok::<_, PyErr>((logits, probabilities))
    })?;
    Ok((bytes::of_f32(py, &logits), bytes::of_f64(py, &probabilities)))
}
