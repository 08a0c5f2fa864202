//! From labelled photos to a run, as Python asks for it.

use std::path::PathBuf;

use pyo3::prelude::*;
use serde::Deserialize;
use trainer::data::{Duplicates, Origin, SplitOptions};
use trainer::head::{Choice, ClassWeights, Method, Optimizer, Scaling, TrainOptions};
use trainer::tasks::{self, Backbone, Request};
use trainer::{Result, data, hub};

use crate::error::{invalid, raise};
use crate::options::{Options, read};
use crate::watch::Interpreter;

/// How a head is found: the optimum, and by what it is chosen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    method: Option<Method>,
    l2: Option<f64>,
    scaling: Option<Scaling>,
    folds: usize,
    choice: Choice,
    label_smoothing: f64,
    class_weights: ClassWeights,
}

impl Settings {
    /// Gives them as the library takes them.
    pub fn train(&self) -> TrainOptions {
        let Self { method, l2, scaling, folds, choice, label_smoothing, class_weights } = *self;
        let Optimizer::Lbfgs { tolerance, .. } = Optimizer::LBFGS else { unreachable!("it is what its name says") };
        let optimizer = Optimizer::Lbfgs { method, l2, scaling, tolerance, folds, choice };
        TrainOptions { optimizer, label_smoothing, class_weights, ..TrainOptions::default() }
    }
}

/// What a training is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    data: Origin,
    backbones: Vec<String>,
    within_error: bool,
    baselines: bool,
    views: String,
    out: PathBuf,
    force: bool,
    test: Option<f64>,
    group_by: Option<String>,
    duplicates: Duplicates,
    seed: u64,
    settings: Settings,
    options: Options,
}

/// Trains, and writes the run.
#[pyfunction]
pub(crate) fn train(py: Python<'_>, asked: &str) -> PyResult<()> {
    let asked: Asked = read(asked)?;
    let (views, overrides) = (asked.views.parse().map_err(invalid)?, asked.options.overrides()?);
    py.detach(|| {
        let train = TrainOptions { seed: asked.seed, ..asked.settings.train() };
        let Asked { seed, test, group_by, duplicates, .. } = asked;
        let split = SplitOptions { seed, validation: None, test, group_by, duplicates };
        // What needs no download, and no adapter, comes before them.
        train.check().and_then(|()| split.check()).and_then(|()| data::check(&asked.data)).map_err(raise)?;
        let session = asked.options.session()?;
        let resolved = |name: String| -> Result<Backbone> {
            let weights = hub::resolve_by_env(&name, &Interpreter)?.weights;
            Ok(Backbone { name, weights })
        };
        let backbones = asked.backbones.into_iter().map(resolved).collect::<Result<_>>().map_err(raise)?;
        let Asked { data, within_error, baselines, out, force, .. } = asked;
        let request = Request {
            data,
            backbones,
            within_error,
            views,
            out,
            force,
            overrides,
            split,
            kept: Default::default(),
            train,
            baselines,
        };
        tasks::train(&session, &request).map(drop).map_err(raise)
    })
}
