//! Features of a manifest's photos, in parts that are written apart.

use std::path::PathBuf;

use pyo3::prelude::*;
use serde::Deserialize;
use trainer::data::Origin;
use trainer::outputs::Existing;
use trainer::shards::Shard;
use trainer::tasks::{ShardRequest, shard};
use trainer::{Overrides, Session};

use crate::error::raise;
use crate::options::{Options, check_process, read};

/// A backbone that stays open for shard after shard.
#[pyclass(module = "rehead._native", frozen)]
pub(crate) struct Shards {
    session: Session<'static>,
    weights: PathBuf,
    overrides: Overrides,
}

/// Which shard is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    manifest: Origin,
    index: u32,
    of: u32,
    out: PathBuf,
    force: bool,
}

#[pymethods]
impl Shards {
    #[new]
    fn new(py: Python<'_>, weights: &str, options: &str) -> PyResult<Self> {
        let options: Options = read(options)?;
        let overrides = options.overrides()?;
        py.detach(|| {
            let (session, weights) = options.session_on(weights)?;
            Ok(Self { session, weights, overrides })
        })
    }

    /// Writes a part, and says as JSON what came of it.
    fn write(&self, py: Python<'_>, asked: &str) -> PyResult<String> {
        check_process()?;
        let Asked { manifest, index, of, out, force } = read(asked)?;
        py.detach(|| {
            let request = ShardRequest {
                manifest,
                shard: Shard::new(index, of).map_err(raise)?,
                out,
                weights: self.weights.clone(),
                overrides: self.overrides.clone(),
                existing: Existing::forced(force),
            };
            let done = shard(&self.session, &request).map_err(raise)?;
            Ok(serde_json::to_string(&done).expect("plain data"))
        })
    }
}
