//! A backbone that stays open, for photos as they come.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use trainer::features::Outcome;
use trainer::{Session, tasks};

use crate::bytes;
use crate::error::raise;
use crate::options::{Options, check_process, read};
use crate::photos::{Image, Photos};

/// A backbone that stays open.
#[pyclass(module = "rehead._native", frozen)]
pub(crate) struct Embedder {
    session: Session<'static>,
    embedder: tasks::Embedder,
}

#[pymethods]
impl Embedder {
    #[new]
    fn new(py: Python<'_>, weights: &str, options: &str) -> PyResult<Self> {
        let options: Options = read(options)?;
        let overrides = options.overrides()?;
        py.detach(|| {
            let (session, weights) = options.session_on(weights)?;
            let embedder = tasks::Embedder::open(&session, &weights, &overrides).map_err(raise)?;
            Ok(Self { session, embedder })
        })
    }

    /// Features of a photo.
    #[getter]
    fn width(&self) -> usize {
        self.embedder.width()
    }

    /// What computes: `gpu` or `cpu`.
    #[getter]
    fn engine(&self) -> &'static str {
        self.session.device.engine()
    }

    /// What features depend on besides the photo: SHA-256, and JSON.
    fn key(&self, py: Python<'_>) -> (String, String) {
        let key = py.detach(|| self.embedder.key(&self.session));
        (key.to_string(), key.parts().to_owned())
    }

    /// Features, row after row, NaN where there are none, and row by row why.
    fn embed<'py>(&self, py: Python<'py>, images: Vec<Option<Image>>) -> PyResult<Embedded<'py>> {
        check_process()?;
        let photos = Photos::of(py, &images)?;
        let width = self.width();
        let (features, rejected) = py.detach(|| {
            let (mut features, mut rejected) = (vec![f32::NAN; photos.count * width], HashMap::new());
            let each = &mut |place: usize, outcome: Outcome<'_>| {
                match outcome {
                    Outcome::Known(_, row) => features[photos.rows[place] * width..][..width].copy_from_slice(row),
                    Outcome::Rejected(photo) => drop(rejected.insert(place, photo.reason.clone())),
                }
                Ok(())
            };
            self.embedder.embed(&self.session, &photos.photos, each).map_err(raise)?;
            Ok::<_, PyErr>((features, rejected))
        })?;
        Ok((bytes::of_f32(py, &features), photos.errors(rejected)))
    }
}

/// Features, and row by row why there are none.
type Embedded<'py> = (Bound<'py, PyByteArray>, Vec<Option<String>>);
