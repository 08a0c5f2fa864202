//! The configuration of a run: everything needed to do it again, as `config.json` holds it. JSON is UTF-8: other bytes of a path are replaced.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use resnet::Recipe;
use serde::{Deserialize, Serialize};

use crate::data::split::SplitOptions;
use crate::data::{Origin, Rejected};
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::head::TrainOptions;
use crate::machine::gpu::Summary;
use crate::machine::tune::Tuned;
use crate::photos::{Reading, Views};
use crate::run::folder::CONFIG;
use crate::words;

/// The configuration of a run: everything needed to do it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The version of this program.
    pub version: String,
    /// Where the photos came from, absolute.
    pub data: Origin,
    /// The labels, in the order of the outputs.
    pub classes: Vec<String>,
    /// Whether a photo may be of several of them, or of none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub several_labels: bool,
    /// The photos that couldn't be read.
    pub rejected: Vec<Rejected>,
    /// The backbone; none where the run was made of features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// The features that the run was made of, where another program computed them. What is said of photos' preparation means nothing then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FromFeatures>,
    /// Resize, crop and normalisation.
    pub recipe: Recipe,
    /// Orientation and transparency.
    pub reading: Reading,
    /// The views of each photo that the head learnt from, and by whose mean it judges.
    #[serde(default, skip_serializing_if = "Views::is_plain")]
    pub views: Views,
    /// How photos were split into parts.
    pub split: SplitOptions,
    /// How the head was trained.
    pub train: TrainOptions,
    /// Photos a batch in the backbone.
    pub batch: usize,
    /// How the backbone's weights and activations were stored: `f32` or `f16`.
    #[serde(default = "f32")]
    pub precision: String,
    /// What computed: `gpu`, an adapter by WGSL kernels, or `cpu`, native code.
    #[serde(default = "gpu")]
    pub engine: String,
    /// The adapter, or the CPU in its place: its figures may differ from another's in the last digits.
    pub adapter: Summary,
    /// The table of measured kernels that was in use, if there was one.
    #[serde(default)]
    pub tuned: Option<Tuned>,
    /// SHA-256 of the run's other files by their names, in hexadecimal digits.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

/// Gives the precision of runs that don't state one.
fn f32() -> String {
    "f32".to_owned()
}

/// Gives the engine of runs that don't state one.
fn gpu() -> String {
    "gpu".to_owned()
}

/// The backbone of a run, by its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// The path of the file, absolute.
    #[serde(serialize_with = "words::path")]
    pub path: PathBuf,
    /// SHA-256 of the weight file, in hexadecimal digits.
    pub sha256: String,
    /// Its architecture, as found in the file.
    pub architecture: String,
}

/// The features that a run was made of, by their file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromFeatures {
    /// The path of the file, absolute.
    #[serde(serialize_with = "words::path")]
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// How many rows it holds.
    pub rows: usize,
    /// How many values a row has.
    pub width: usize,
}

impl Config {
    /// Words what features come from: the backbone's architecture, or that another program computed them.
    pub fn backbone(&self) -> &str {
        self.weights.as_ref().map_or("features of another program", |weights| &weights.architecture)
    }

    /// Reads the configuration of the run in `folder`; none where there is no such file.
    ///
    /// # Errors
    /// The file can't be read, or is damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(CONFIG);
        let bytes = match resnet::regular::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let damaged = |error| Error::InvalidRun { path: folder.to_owned(), reason: format!("{CONFIG}: {error}") };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Checks that the content of a file beside it is what the run was written with; of a file that it doesn't know it says nothing.
    ///
    /// # Errors
    /// It is another.
    pub fn check_file(&self, folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
        match self.files.get(name) {
            Some(digest) if *digest != sha256(bytes) => {
                let reason =
                    format!("{name} isn't the one that {CONFIG} was written with: files of two runs, or damage");
                Err(Error::InvalidRun { path: folder.to_owned(), reason })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
impl Config {
    /// Makes the configuration of some run with these labels.
    pub(crate) fn example(classes: Vec<String>) -> Self {
        Self {
            version: "0".into(),
            data: "photos".into(),
            classes,
            several_labels: false,
            rejected: Vec::new(),
            weights: Some(Weights { path: "w".into(), sha256: "0".into(), architecture: "resnet18".into() }),
            features: None,
            recipe: Default::default(),
            reading: Default::default(),
            views: Default::default(),
            split: Default::default(),
            train: Default::default(),
            batch: 1,
            precision: "f32".into(),
            engine: "gpu".into(),
            adapter: Default::default(),
            tuned: None,
            files: Default::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        // serde_json's quick way with decimals misses the last digit of these.
        for value in [1e-28, 0.1 + 0.2, 5e-324, 1.797_693_134_862_315_7e308] {
            let split = SplitOptions { validation: Some(value), ..Default::default() };
            let json = serde_json::to_string(&split).unwrap();
            assert_eq!(serde_json::from_str::<SplitOptions>(&json).unwrap(), split, "{json}");
        }
    }

    #[test]
    fn a_damaged_configuration_is_an_error_and_a_missing_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Config::read(dir.path()).unwrap(), None);
        let write = |text: &str| std::fs::write(dir.path().join(CONFIG), text).unwrap();
        for text in ["", "{\"version\": \"0.1.0\"", "{\"version\": \"0.1.0\"}"] {
            write(text);
            let error = Config::read(dir.path()).unwrap_err();
            let named =
                error.to_string().starts_with(&format!("{}: not a usable run: config.json: ", dir.path().display()));
            assert!(named && error.fault() == crate::Fault::Input, "{error}");
        }
    }
}
