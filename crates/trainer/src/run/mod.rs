//! The folder a training leaves behind, and the way back from it to a classifier.
//!
//! | file | holds |
//! |---|---|
//! | `model.safetensors` | the whole network under torchvision's names, the new head as `fc`; labels and preprocessing in its metadata |
//! | `labels.txt` | the labels, one a line, in the order of the outputs |
//! | `config.json` | everything needed to do it again ([`Config`]) |
//! | `metrics.json` | the judgement ([`Metrics`](crate::report::Metrics)) |
//! | `predictions.csv` | what the head says about each photo |
//! | `report.html` | the judgement as a page |
//! | `features.safetensors` | every photo's features, for the next training ([`Features`](crate::features::Features)) |

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use resnet::{Recipe, WeightFile};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::data::split::SplitOptions;
use crate::data::{Part, Rejected};
use crate::error::{Error, Result};
use crate::files;
use crate::head::{Head, TrainOptions};
use crate::photos::Reading;

/// The network with its new head.
pub const MODEL: &str = "model.safetensors";
/// The labels.
pub const LABELS: &str = "labels.txt";
/// How it was made; written last, so that a folder with it is whole.
pub const CONFIG: &str = "config.json";
/// The judgement.
pub const METRICS: &str = "metrics.json";
/// The judgement, photo by photo.
pub const PREDICTIONS: &str = "predictions.csv";
/// The judgement as a page.
pub const REPORT: &str = "report.html";
/// The features of all photos.
pub const FEATURES: &str = "features.safetensors";

/// Everything needed to do it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The version of this program.
    pub version: String,
    /// The folder of photos, absolute.
    pub data: PathBuf,
    /// The labels, in the order of the outputs.
    pub classes: Vec<String>,
    /// What couldn't be read.
    pub rejected: Vec<Rejected>,
    /// The backbone.
    pub weights: Weights,
    /// Resize, crop and normalisation.
    pub recipe: Recipe,
    /// Orientation and transparency.
    pub reading: Reading,
    /// Which photo plays which part.
    pub split: SplitOptions,
    /// How the head was trained.
    pub train: TrainOptions,
    /// Where the photos' features are, absolute.
    pub features: PathBuf,
    /// Photos a batch in the backbone.
    pub batch: usize,
    /// How the backbone's weights and activations were stored: `f32` or `f16`.
    #[serde(default = "f32")]
    pub precision: String,
    /// The adapter: its figures may differ from another's in the last digits.
    pub adapter: crate::machine::device::Summary,
    /// The table of measured kernels that was in use, if there was one.
    #[serde(default)]
    pub tuned: Option<crate::machine::tune::Tuned>,
}

/// The precision of runs that don't say.
fn f32() -> String {
    "f32".to_owned()
}

/// Which backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// Where it lay, absolute; empty if it was embedded in the program.
    pub path: PathBuf,
    /// Of the file, in hexadecimal digits.
    pub sha256: String,
    /// Its architecture, as found in the file.
    pub architecture: String,
}

/// Makes the folder of a new run, or takes over one whose training didn't end.
///
/// # Errors
/// It holds a finished run and `force` isn't set, or something that is no run at all.
pub fn prepare(folder: &Path, force: bool) -> Result<()> {
    let exists = |problem, finished| Err(Error::RunExists { path: folder.to_owned(), problem, finished });
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return std::fs::create_dir_all(folder).map_err(Error::io("create", folder));
        }
        Err(error) => return Err(Error::io("create", folder)(error)),
        Ok(data) if !data.is_dir() => {
            return exists("is a file: give a folder to write the run into", false);
        }
        Ok(_) => {}
    }
    let mut names = HashSet::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if files::is_temporary(&name) {
            // A killed run's. Should it be in use by a living one, that one fails and says so.
            std::fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
        } else if !name.starts_with('.') {
            names.insert(name);
        }
    }
    let finished = names.contains(CONFIG) && names.contains(MODEL);
    let unfinished = names.iter().all(|name| name == FEATURES);
    match (finished, unfinished, force) {
        (true, _, false) => exists("holds a finished run", true),
        (true, _, true) | (false, true, _) => Ok(()),
        (false, false, _) => exists("isn't empty and holds no run: give a new or an empty folder", false),
    }
}

/// The bytes of [`MODEL`]: the backbone's tensors as they were in their file, and the head as `fc.weight` and `fc.bias`.
///
/// # Errors
/// The head's width isn't the backbone's.
pub fn model(weights: &WeightFile, head: &Head, recipe: &Recipe, reading: &Reading) -> Result<Vec<u8>> {
    let (classes, features) = (head.classes.len(), weights.architecture().features());
    if head.weight.len() != classes * features || head.bias.len() != classes {
        let (expected, got) = (classes * features, head.weight.len());
        return Err(Error::Shape { operation: "save the model", operand: "fc.weight", expected, got });
    }
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (weight, bias) = (bytes(&head.weight), bytes(&head.bias));
    let view = |shape, data| TensorView::new(Dtype::F32, shape, data).expect("as many bytes as the shape says");
    let mut tensors: Vec<(&str, TensorView)> = weights.tensors().filter(|(name, _)| !name.starts_with("fc.")).collect();
    tensors.push(("fc.weight", view(vec![classes, features], &weight)));
    tensors.push(("fc.bias", view(vec![classes], &bias)));
    let json = |value: serde_json::Result<String>| value.expect("plain data");
    let metadata = HashMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("labels".to_owned(), json(serde_json::to_string(&head.classes))),
        ("recipe".to_owned(), json(serde_json::to_string(recipe))),
        ("reading".to_owned(), json(serde_json::to_string(reading))),
    ]);
    Ok(safetensors::serialize(tensors, Some(metadata)).expect("plain tensors under distinct names"))
}

/// A finished run, to predict with.
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// The network.
    pub weights: WeightFile,
    /// The head, out of it.
    pub head: Head,
    /// The preprocessing, out of its metadata.
    pub recipe: Recipe,
    /// How photos are read, likewise.
    pub reading: Reading,
}

/// The preprocessing that belongs to a weight file, and the file that says so: a run's own, from its metadata; timm's or
/// transformers', from the configuration beside it; else torchvision's, which no file says.
///
/// # Errors
/// It is given, and can't be followed.
pub fn recipe_of(weights: &WeightFile, path: &Path) -> Result<(Recipe, Option<PathBuf>)> {
    match weights.metadata().get("recipe") {
        Some(text) => Ok((Recipe::from_json(text)?, Some(path.to_owned()))),
        None => Ok(Recipe::beside(path)?),
    }
}

/// How photos are read for these weights: a run's own way, from its metadata, else the default.
///
/// # Errors
/// It is given, and can't be followed.
pub fn reading_of(weights: &WeightFile, path: &Path) -> Result<Reading> {
    let Some(text) = weights.metadata().get("reading") else { return Ok(Reading::default()) };
    let invalid =
        |error| Error::InvalidRun { path: path.to_owned(), reason: format!("its reading can't be read: {error}") };
    serde_json::from_str(text).map_err(invalid)
}

impl Run {
    /// Opens the run in `folder` by its [`MODEL`] alone.
    ///
    /// # Errors
    /// There is none, or it isn't one that a run wrote.
    pub fn open(folder: &Path) -> Result<Self> {
        let invalid = |reason: String| Error::InvalidRun { path: folder.to_owned(), reason };
        let path = folder.join(MODEL);
        if !path.is_file() {
            return Err(invalid(format!("no {MODEL} in it; `trainer train` makes one")));
        }
        let weights = WeightFile::open(&path)?;
        let read = |key: &str| {
            let text = weights.metadata().get(key);
            text.ok_or_else(|| invalid(format!("{MODEL} has no {key:?} in its metadata: a run didn't write it")))
        };
        let parsed = |error: serde_json::Error| invalid(format!("metadata of {MODEL}: {error}"));
        let classes: Vec<String> = serde_json::from_str(read("labels")?).map_err(parsed)?;
        let recipe: Recipe = serde_json::from_str(read("recipe")?).map_err(parsed)?;
        let reading = reading_of(&weights, &path)?;
        let linear = weights.head()?;
        if linear.classes != classes.len() {
            let reason = format!("{} labels for {} outputs in {MODEL}", classes.len(), linear.classes);
            return Err(invalid(reason));
        }
        let head = Head { weight: linear.weight, bias: linear.bias, classes };
        Ok(Self { folder: folder.to_owned(), weights, head, recipe, reading })
    }

    /// The network of a weight file with the file's own head, as if it were a run.
    ///
    /// The labels are those of the file's metadata or of the `config.json` beside it (`label_names`, as timm writes them,
    /// or `id2label`, as transformers does), else the classes' numbers.
    ///
    /// # Errors
    /// The file can't be read, isn't of this family, or has no head.
    pub fn of_weights(path: &Path) -> Result<Self> {
        let weights = WeightFile::open(path)?;
        let (recipe, _) = recipe_of(&weights, path)?;
        let reading = reading_of(&weights, path)?;
        let linear = weights.head()?;
        let own = weights.metadata().get("labels").and_then(|text| serde_json::from_str(text).ok());
        let classes = (own.or_else(|| labels_beside(path)))
            .filter(|labels: &Vec<String>| labels.len() == linear.classes)
            .unwrap_or_else(|| (0..linear.classes).map(|class| class.to_string()).collect());
        let head = Head { weight: linear.weight, bias: linear.bias, classes };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { folder, weights, head, recipe, reading })
    }

    /// What the head has seen already, by [`PREDICTIONS`].
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn seen(&self) -> Result<Seen> {
        let invalid = |reason: String| Error::InvalidRun { path: self.folder.clone(), reason };
        let path = self.folder.join(PREDICTIONS);
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let damaged = |error: csv::Error| invalid(format!("{PREDICTIONS}: {error}"));
        let headers = reader.headers().map_err(damaged)?.clone();
        let column = |name: &str| {
            let found = headers.iter().position(|header| header == name);
            found.ok_or_else(|| invalid(format!("{PREDICTIONS} has no column {name:?}")))
        };
        let (part, label, digest) = (column("part")?, column("label")?, column("sha256")?);
        let (train, test) = (Part::Train.to_string(), Part::Test.to_string());
        let mut digests = HashSet::new();
        let mut counts = vec![0; self.head.classes.len()];
        for row in reader.records() {
            let row = row.map_err(damaged)?;
            if row.get(part) != Some(&test) {
                digests.extend(row.get(digest).map(str::to_owned));
            }
            let class = self.head.classes.iter().position(|class| row.get(label) == Some(class));
            if let (true, Some(class)) = (row.get(part) == Some(&train), class) {
                counts[class] += 1;
            }
        }
        Ok(Seen { digests, majority: majority(&counts) })
    }
}

/// The labels in the `config.json` beside a weight file.
fn labels_beside(path: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(path.with_file_name("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_str(&text).ok()?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    if let Some(names) = config["pretrained_cfg"]["label_names"].as_array().or(config["label_names"].as_array()) {
        return names.iter().map(text).collect();
    }
    let names = config["id2label"].as_object()?;
    (0..names.len()).map(|class| text(names.get(&class.to_string())?)).collect()
}

/// What a head has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// SHA-256 of the photos of train and validation, in hexadecimal digits.
    pub digests: HashSet<String>,
    /// The class most frequent in training.
    pub majority: usize,
}

/// Index of the greatest count, the first of equals.
pub(crate) fn majority(counts: &[usize]) -> usize {
    (0..counts.len()).max_by_key(|&class| (counts[class], std::cmp::Reverse(class))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use resnet::{Architecture, Interpolation, Resize};

    use super::*;
    use crate::untrained::random_weights;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        // serde_json's quick way with decimals misses the last digit of these.
        for value in [1e-28, 0.1 + 0.2, 5e-324, 1.797_693_134_862_315_7e308] {
            let split = SplitOptions { validation: value, ..Default::default() };
            let json = serde_json::to_string(&split).unwrap();
            assert_eq!(serde_json::from_str::<SplitOptions>(&json).unwrap(), split, "{json}");
        }
    }

    #[test]
    fn folders_are_taken_over_only_if_they_are_ours() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deep/run");
        let put = |name: &str| std::fs::write(folder.join(name), b"").unwrap();
        prepare(&folder, false).unwrap();
        prepare(&folder, false).unwrap();
        put(FEATURES);
        put(".trainer-xyz.part");
        prepare(&folder, false).unwrap();
        assert!(!folder.join(".trainer-xyz.part").exists());
        put(MODEL);
        assert!(prepare(&folder, true).unwrap_err().to_string().contains("holds no run"));
        put(CONFIG);
        let error = prepare(&folder, false).unwrap_err();
        assert!(
            error.remedy() == Some(crate::error::Remedy::ReplaceRun) && error.fault() == crate::Fault::Usage,
            "{error}"
        );
        prepare(&folder, true).unwrap();
        assert!(prepare(&folder.join(MODEL), true).unwrap_err().to_string().contains("is a file"));
    }

    #[test]
    fn a_folder_without_model_is_no_run() {
        let dir = tempfile::tempdir().unwrap();
        let error = Run::open(dir.path()).err().unwrap();
        assert!(error.to_string().contains("no model.safetensors in it"), "{error}");
    }

    #[test]
    fn weights_own_their_preprocessing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        std::fs::write(&path, random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], None), 1)).unwrap();
        let weights = WeightFile::open(&path).unwrap();
        assert_eq!(recipe_of(&weights, &path).unwrap(), (Recipe::default(), None));
        // timm's, beside the weights.
        let timm = r#"{"pretrained_cfg": {"input_size": [3, 64, 64], "crop_pct": 1.0, "interpolation": "bicubic"}}"#;
        std::fs::write(dir.path().join("config.json"), timm).unwrap();
        let (recipe, from) = recipe_of(&weights, &path).unwrap();
        assert_eq!(from, Some(dir.path().join("config.json")));
        assert_eq!((recipe.input_size, recipe.resize), ([64, 64], Resize::ShorterSide(64)));
        assert_eq!(recipe.interpolation, Interpolation::Bicubic);
        // A run's own, in the metadata of its model, before any file beside it.
        let head = Head { weight: vec![0.5; 16], bias: vec![0.0; 2], classes: vec!["a".into(), "b".into()] };
        let own = Recipe { input_size: [32, 32], ..Recipe::default() };
        std::fs::write(dir.path().join(MODEL), model(&weights, &head, &own, &Reading::default()).unwrap()).unwrap();
        let run = Run::open(dir.path()).unwrap();
        assert_eq!(recipe_of(&run.weights, &path).unwrap(), (own.clone(), Some(path.clone())));
        assert_eq!((run.recipe, run.head), (own, head.clone()));
        let narrow = Head { weight: vec![0.5; 8], ..head };
        assert!(model(&weights, &narrow, &Recipe::default(), &Reading::default()).is_err());
    }
}
