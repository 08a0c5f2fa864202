//! Inspects a weight file: the network, its size and cost, the recipe for its photos, its licence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use resnet::{Backbone, BackboneOptions, Memory, Recipe, Tap, WeightFile};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::hub::ModelFiles;
use crate::machine::Device;
use crate::run::{open_weights, recipe_of};
use crate::words::{self, shown};

/// What is known of a weight file: its network, cost, recipe and licence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The file.
    #[serde(serialize_with = "words::path")]
    pub weights: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// The commit, if it is of a repository.
    pub revision: Option<String>,
    /// The network's name, torchvision's or a description.
    pub architecture: String,
    /// Trainable parameters, the head's among them.
    pub parameters: usize,
    /// Floating-point operations for one photo at the recipe's input size, two a multiply-add.
    pub flops: u64,
    /// The memory it takes on a device.
    pub memory: Option<Needs>,
    /// How many tensors there are of each number format.
    pub dtypes: BTreeMap<String, usize>,
    /// Length of the pooled feature vector.
    pub features: usize,
    /// Classes of the file's own head, if it has one.
    pub classes: Option<usize>,
    /// How photos are prepared for it.
    pub recipe: Recipe,
    /// The file that holds the recipe; `None` for torchvision's default.
    #[serde(serialize_with = "path")]
    pub recipe_from: Option<PathBuf>,
    /// What the configuration beside it says that it is.
    pub description: Option<String>,
    /// The licence, as stated.
    pub license: Option<String>,
    /// The file that states it.
    #[serde(serialize_with = "path")]
    pub license_from: Option<PathBuf>,
}

/// Serialises a path that may be missing.
fn path<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(Path::to_string_lossy).serialize(serializer)
}

/// Memory on a device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Needs {
    /// The name of the adapter, or of the CPU.
    pub adapter: String,
    /// Photos of a batch.
    pub batch: usize,
    /// Bytes of packed weights.
    pub weights: u64,
    /// Bytes of activations.
    pub activations: u64,
    /// Bytes of scratch memory.
    pub scratch: u64,
}

impl Inspection {
    /// Adds what the network takes on this device for batches of `batch` photos. Nothing is allocated.
    ///
    /// # Errors
    /// The file can't be read any more; the adapter can't run it.
    pub fn measure(&mut self, device: &Device, batch: usize) -> Result<()> {
        let file = open_weights(&self.weights)?;
        let input_size = self.recipe.input_size;
        let Memory { weights, activations, scratch } = match device {
            Device::Gpu(gpu) => {
                let options = BackboneOptions { input_size, precision: gpu.precision, ..BackboneOptions::new(batch) };
                Backbone::memory_of(&gpu.context, file.architecture(), &options)?
            }
            Device::Cpu(_) => {
                let options = native::Options { batch, input_size, taps: &[Tap::Features] };
                native::Backbone::memory_of(file.architecture(), &options)?
            }
        };
        self.memory = Some(Needs { adapter: device.summary().name, batch, weights, activations, scratch });
        Ok(())
    }
}

/// Opens and checks a backbone's files and says what they are.
///
/// # Errors
/// As [`WeightFile::open`]; the recipe can't be followed; a file beside the weights can't be read.
pub fn inspect(files: &ModelFiles) -> Result<Inspection> {
    let file = open_weights(&files.weights)?;
    let (recipe, recipe_from) = recipe_of(&file, &files.weights)?;
    let architecture = file.architecture();
    let mut dtypes = BTreeMap::new();
    for (_, tensor) in file.tensors() {
        *dtypes.entry(format!("{:?}", tensor.dtype())).or_default() += 1;
    }
    let bytes = std::fs::metadata(&files.weights).map_err(Error::io("read", &files.weights))?.len();
    let (license, license_from) = license(&file, files)?.unzip();
    let license = license.map(|license| shown(&license).into_owned());
    let description = files.config.as_ref().map(|path| resnet::regular::read(path).map_err(Error::io("read", path)));
    let description = description.transpose()?.and_then(|text| described(&String::from_utf8_lossy(&text)));
    Ok(Inspection {
        weights: files.weights.clone(),
        bytes,
        revision: files.revision.clone(),
        architecture: architecture.to_string(),
        parameters: architecture.parameters(),
        flops: architecture.flops(recipe.input_size),
        memory: None,
        dtypes,
        features: architecture.features(),
        classes: architecture.classes,
        recipe,
        recipe_from,
        description,
        license,
        license_from,
    })
}

/// Finds the licence: in the weights' metadata, else the configuration, else the model card.
fn license(file: &WeightFile, files: &ModelFiles) -> Result<Option<(String, PathBuf)>> {
    if let Some(license) = file.metadata().get("license") {
        return Ok(Some((license.clone(), files.weights.clone())));
    }
    type Reader = fn(&str) -> Option<String>;
    for (path, find) in [(&files.config, in_config as Reader), (&files.card, in_card)] {
        let Some(path) = path else { continue };
        let text = resnet::regular::read(path).map_err(Error::io("read", path))?;
        if let Some(license) = find(&String::from_utf8_lossy(&text)) {
            return Ok(Some((license, path.clone())));
        }
    }
    Ok(None)
}

/// Reads what a configuration says of its network, in plain text.
fn described(text: &str) -> Option<String> {
    let config: Value = serde_json::from_str(text).ok()?;
    config["description"].as_str().filter(|words| !words.is_empty()).map(|words| shown(words).into_owned())
}

fn in_config(text: &str) -> Option<String> {
    let config: Value = serde_json::from_str(text).ok()?;
    let stated = [&config["pretrained_cfg"]["license"], &config["license"]].into_iter().find_map(Value::as_str)?;
    Some(stated.to_owned()).filter(|license| !license.is_empty())
}

/// Reads the licence off a model card. It begins with a block of YAML, of which a few plain lines are understood: `license: x`, or a list of one or
/// more; for `other`, `license_name: y`.
fn in_card(text: &str) -> Option<String> {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    (lines.next()?.trim_end() == "---").then_some(())?;
    let lines: Vec<&str> = lines.take_while(|line| line.trim_end() != "---").collect();
    let plain = |value: &str| value.trim().trim_matches(['"', '\'']).to_owned();
    let field = |name: &str| {
        let (at, value) =
            lines.iter().enumerate().find_map(|(at, line)| Some((at, line.strip_prefix(name)?.strip_prefix(':')?)))?;
        if !value.trim().is_empty() {
            return Some(plain(value));
        }
        let items: Vec<String> =
            lines[at + 1..].iter().map_while(|line| Some(plain(line.trim_start().strip_prefix("- ")?))).collect();
        (!items.is_empty()).then(|| items.join(", "))
    };
    match field("license")? {
        other if other == "other" => field("license_name").or(Some(other)),
        license => Some(license),
    }
}

#[cfg(test)]
mod tests {
    use resnet::{Architecture, Resize};

    use super::*;
    use crate::hub;
    use crate::untrained::random_weights;

    #[test]
    fn a_model_folder_is_described() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        let ask = || inspect(&hub::resolve_by_env(folder.path().to_str().unwrap(), &()).unwrap()).unwrap();
        let architecture = Architecture::named("resnet18", Some(10)).unwrap();
        write(hub::WEIGHTS, &random_weights(&architecture, 1));

        let found = ask();
        assert_eq!((found.architecture.as_str(), found.parameters), ("resnet18", 11_181_642));
        assert_eq!((found.features, found.classes), (512, Some(10)));
        assert_eq!(found.flops, architecture.flops([224, 224]));
        assert_eq!(found.dtypes, BTreeMap::from([("F32".to_owned(), 102)]));
        assert_eq!((&found.recipe, &found.recipe_from), (&Recipe::default(), &None));
        assert_eq!(found.license, None);
        write("README.md", b"---\ntags: [x]\nlicense: apache-2.0\n---\n# A model\nlicense: none\n");
        assert_eq!(ask().license.as_deref(), Some("apache-2.0"));
        let config =
            br#"{"architecture": "resnet18", "pretrained_cfg": {"crop_pct": 0.95, "license": "bsd-3-clause"}}"#;
        write("config.json", config);
        let found = ask();
        assert_eq!(found.license.as_deref(), Some("bsd-3-clause"));
        assert_eq!(found.recipe.resize, Resize::ShorterSide(235));
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["classes"], 10);
        assert_eq!(json["recipe"]["resize"]["shorter_side"], 235);
    }

    #[test]
    fn licences_are_read_off_model_cards() {
        for (text, expected) in [
            ("---\nlicense: mit\n---\n", Some("mit")),
            ("---\r\nlicense: \"mit\"\r\n---\r\n", Some("mit")),
            ("---\nlicense:\n- mit\n- apache-2.0\ntags:\n- x\n---\n", Some("mit, apache-2.0")),
            ("---\nlicense: other\nlicense_name: acme\n---\n", Some("acme")),
            ("---\nlicense: other\n---\n", Some("other")),
            ("---\nlicense_link: x\n---\nlicense: mit", None),
            ("# A model\n---\nlicense: mit\n---\n", None),
            ("---\nlicense:\n---\n", None),
            ("", None),
        ] {
            assert_eq!(in_card(text).as_deref(), expected, "{text:?}");
        }
    }
}
