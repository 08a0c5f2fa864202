//! How work is done, as Python says it in JSON: engine, batch, store, and how photos are read.

use std::path::PathBuf;
use std::process;
use std::sync::OnceLock;

use pyo3::PyResult;
use pyo3::exceptions::PyRuntimeError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trainer::features::{StoreOptions, check_store};
use trainer::machine::{Device, Planned, Precision, Selection, Wanted, cache_dir};
use trainer::photos::{Reading, Recipe};
use trainer::{Overrides, Session, hub};

use crate::error::{invalid, raise};
use crate::watch::Interpreter;

/// How work is done.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    /// What computes.
    engine: Engine,
    /// A part of the adapter's name, or its number.
    #[serde(default)]
    adapter: Option<String>,
    #[serde(default)]
    half: bool,
    /// Photos at once; none for what suits the device.
    #[serde(default)]
    batch: Option<usize>,
    /// Where features are kept.
    #[serde(default)]
    store: Store,
    /// Resize, crop and normalisation, in place of the weights' own.
    #[serde(default)]
    recipe: Option<Value>,
    /// What becomes of the camera's orientation.
    #[serde(default)]
    exif: Option<String>,
    /// What becomes of transparency.
    #[serde(default)]
    background: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Engine {
    Auto,
    Gpu,
    Cpu,
}

/// Where features are kept: nowhere, in the user's cache folder, or in this folder.
#[derive(Deserialize)]
#[serde(untagged)]
enum Store {
    Usual(bool),
    Folder(PathBuf),
}

impl Default for Store {
    fn default() -> Self {
        Self::Usual(false)
    }
}

/// Reads what Python's half wrote as JSON.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> PyResult<T> {
    serde_json::from_str(text).map_err(invalid)
}

impl Options {
    /// Opens the device, with no work begun.
    pub fn device(&self) -> PyResult<Device> {
        check_process()?;
        let wanted = match self.engine {
            Engine::Auto => Wanted::Auto,
            Engine::Gpu => Wanted::Gpu,
            Engine::Cpu if self.half || self.adapter.is_some() => {
                return Err(invalid("engine=\"cpu\" has neither adapters nor precision=\"f16\": give engine=\"gpu\""));
            }
            Engine::Cpu => Wanted::Cpu,
        };
        let selection = Selection {
            adapter: self.adapter.clone(),
            precision: if self.half { Precision::F16 } else { Precision::F32 },
            tables: cache_dir().map(|folder| folder.join("tune")),
            compiled: cache_dir().map(|folder| folder.join("pipelines")),
            ..Selection::default()
        };
        pollster::block_on(Device::open(wanted, &selection)).map_err(raise)
    }

    /// Opens what a task works with. The network stays planned from one call to the next.
    pub fn session(&self) -> PyResult<Session<'static>> {
        if self.batch == Some(0) {
            return Err(invalid("batch must be 1 or more"));
        }
        let store = match &self.store {
            Store::Usual(false) => None,
            Store::Usual(true) => cache_dir().map(|folder| StoreOptions::at(folder.join("features"))),
            Store::Folder(folder) => {
                check_store(folder).map_err(raise)?;
                Some(StoreOptions::at(folder))
            }
        };
        let planned = Some(Planned::default());
        Ok(Session { batch: self.batch, store, planned, progress: &Interpreter, ..Session::new(self.device()?) })
    }

    /// Opens what a task works with, and finds a backbone's weights by their name: what needs no download comes before it.
    pub fn session_on(&self, weights: &str) -> PyResult<(Session<'static>, PathBuf)> {
        let session = self.session()?;
        let weights = hub::resolve_by_env(weights, &Interpreter).map_err(raise)?.weights;
        Ok((session, weights))
    }

    /// Says what takes the place of the weights' own way with photos.
    pub fn overrides(&self) -> PyResult<Overrides> {
        let recipe = self.recipe.as_ref().map(|recipe| Recipe::from_json(&recipe.to_string())).transpose();
        let reading = match (&self.exif, &self.background) {
            (None, None) => None,
            (exif, background) => Some(Reading {
                exif: exif.as_deref().unwrap_or("apply").parse().map_err(invalid)?,
                background: background.as_deref().unwrap_or("drop").parse().map_err(invalid)?,
            }),
        };
        Ok(Overrides { recipe: recipe.map_err(invalid)?, reading })
    }
}

/// Refuses to work in a process that was forked off one that worked: its threads stayed behind, and all would wait for them for ever.
///
/// # Errors
/// It was.
pub(crate) fn check_process() -> PyResult<()> {
    static FIRST: OnceLock<u32> = OnceLock::new();
    if *FIRST.get_or_init(process::id) == process::id() {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(
        "this process was forked off one that has used rehead, and forking leaves threads and adapters behind: \
         start it afresh, as multiprocessing does with the start methods \"spawn\" and \"forkserver\"",
    ))
}
