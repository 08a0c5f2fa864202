//! A finished run, to predict with.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use trainer::data::Class;
use trainer::report::Prediction;
use trainer::run::{self, Config, HeadRun};
use trainer::tasks::{Telling, predict_each};
use trainer::{Error, Session};

use crate::bytes;
use crate::error::raise;
use crate::options::{Options, check_process, read};
use crate::photos::{Image, Photos};

/// A finished run: the network, or the head alone where it was made of features.
#[pyclass(module = "rehead._native", frozen)]
pub(crate) struct Run {
    made: Made,
    options: Options,
    /// Opened when photos come.
    session: OnceLock<Session<'static>>,
}

/// What a run was made of.
enum Made {
    Photos(Box<run::Run>),
    Features(Box<HeadRun>),
}

/// Probabilities, row after row, NaN where there are none; then row by row the class, the classes that are named where there may be several, whether it is like what was learnt
/// from, the classes of its set, and why there is nothing of all this.
type Predicted<'py> = (Bound<'py, PyByteArray>, Vec<Option<usize>>, Sets, Vec<Option<bool>>, Sets, Vec<Option<String>>);

/// Row by row some classes, where they can be told.
type Sets = Vec<Option<Vec<usize>>>;

/// Weights by class, biases, and thresholds where there are any.
type Weights<'py> = (Bound<'py, PyByteArray>, Bound<'py, PyByteArray>, Option<Vec<f64>>);

#[pymethods]
impl Run {
    #[new]
    fn new(py: Python<'_>, folder: PathBuf, options: &str) -> PyResult<Self> {
        let options = read(options)?;
        let made = py.detach(|| match run::Run::open(&folder) {
            Err(Error::MadeOfFeatures { .. }) => HeadRun::open(&folder).map(|run| Made::Features(Box::new(run))),
            opened => opened.map(|run| Made::Photos(Box::new(run))),
        });
        Ok(Self { made: made.map_err(raise)?, options, session: OnceLock::new() })
    }

    /// The labels, in the order of the head's outputs.
    #[getter]
    fn classes(&self) -> Vec<String> {
        self.head().classes.clone()
    }

    /// How it was made, as JSON, where that is known.
    #[getter]
    fn config(&self) -> Option<String> {
        let config: &Option<Config> = match &self.made {
            Made::Photos(run) => &run.config,
            Made::Features(run) => &run.config,
        };
        config.as_ref().map(|config| serde_json::to_string(config).expect("plain data"))
    }

    /// Weights and biases of its head, and thresholds where a photo may be of several classes.
    fn weights<'py>(&self, py: Python<'py>) -> Weights<'py> {
        let head = self.head();
        (bytes::of_f32(py, &head.weight), bytes::of_f32(py, &head.bias), head.thresholds.clone())
    }

    /// Says what is on photos.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        images: Vec<Option<Image>>,
        coverage: Option<f64>,
    ) -> PyResult<Predicted<'py>> {
        check_process()?;
        let photos = Photos::of(py, &images)?;
        let (predictions, rejected) = py.detach(|| self.predictions(&photos, coverage))?;
        let classes = self.head().classes.len();
        let mut probabilities = vec![f64::NAN; photos.count * classes];
        let (mut labels, mut known) = (vec![None; photos.count], vec![None; photos.count]);
        let (mut named, mut sets) = (vec![None; photos.count], vec![None; photos.count]);
        let places = |classes: Vec<Class>| classes.into_iter().map(Class::index).collect::<Vec<usize>>();
        for (place, said) in predictions {
            let row = photos.rows[place];
            probabilities[row * classes..][..classes].copy_from_slice(&said.probabilities());
            labels[row] = said.top(1).first().map(|(class, _)| class.index());
            known[row] = said.is_known();
            named[row] = said.named.map(places);
            sets[row] = said.set.map(places);
        }
        Ok((bytes::of_f64(py, &probabilities), labels, named, known, sets, photos.errors(rejected)))
    }
}

impl Run {
    fn head(&self) -> &trainer::head::Head {
        match &self.made {
            Made::Photos(run) => &run.head,
            Made::Features(run) => &run.head,
        }
    }

    /// Gives what is said of photos, and why of others nothing is, both by place.
    fn predictions(&self, photos: &Photos, coverage: Option<f64>) -> PyResult<Outcomes> {
        let run = match &self.made {
            Made::Photos(run) => run,
            Made::Features(run) => return Err(raise(Error::MadeOfFeatures { path: run.folder.clone() })),
        };
        let telling = Telling::of(run, coverage).map_err(raise)?;
        let session = match self.session.get() {
            Some(session) => session,
            None => {
                let opened = self.options.session()?;
                self.session.get_or_init(|| opened)
            }
        };
        let (mut predictions, mut rejected, mut place) = (Vec::new(), HashMap::new(), 0);
        predict_each(session, run, &photos.photos, &telling, &mut |_, said| {
            match said {
                Ok(prediction) => predictions.push((place, prediction)),
                Err(photo) => drop(rejected.insert(place, photo.reason.clone())),
            }
            place += 1;
            Ok(())
        })
        .map_err(raise)?;
        Ok((predictions, rejected))
    }
}

/// What is said of photos, and why of others nothing is, both by place.
type Outcomes = (Vec<(usize, Prediction)>, HashMap<usize, String>);
