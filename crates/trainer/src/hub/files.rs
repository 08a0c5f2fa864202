//! The files of a backbone: its weights, and what lies beside them.

use std::path::PathBuf;

use crate::error::Error;
use crate::words::shown;

/// The weights of a repository or folder.
pub const WEIGHTS: &str = "model.safetensors";
/// The other files that are fetched where a repository has them: the recipe, timm's or transformers', and the model card, which states the licence.
pub(crate) const BESIDE: [&str; 3] = [CONFIG, PREPROCESSOR, CARD];
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const PREPROCESSOR: &str = "preprocessor_config.json";
const CARD: &str = "README.md";

/// A backbone's files, all on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// The safetensors file.
    pub weights: PathBuf,
    /// The `config.json` beside it: timm's has the recipe.
    pub config: Option<PathBuf>,
    /// The `preprocessor_config.json` beside it: transformers' recipe.
    pub preprocessor: Option<PathBuf>,
    /// The model card beside it, which may state a licence.
    pub card: Option<PathBuf>,
    /// The commit, where the files are of a repository.
    pub revision: Option<String>,
}

impl ModelFiles {
    /// Finds the files beside these weights.
    pub(crate) fn beside(weights: PathBuf, revision: Option<String>) -> Self {
        let [config, preprocessor, card] =
            BESIDE.map(|name| Some(weights.with_file_name(name)).filter(|path| path.is_file()));
        Self { weights, config, preprocessor, card, revision }
    }
}

/// Says what a folder or repository has instead of weights.
pub(crate) fn no_weights(name: &str, files: Vec<String>) -> Error {
    let first = |ends: &[&str]| files.iter().find(|file| ends.iter().any(|end| file.ends_with(end))).map(shown);
    let advice = if let Some(index) = first(&[".safetensors.index.json"]) {
        format!(
            "{index} says that the weights are split over several files, which no ResNet needs: get a single {WEIGHTS}"
        )
    } else if let Some(file) = first(&[".safetensors"]) {
        format!("there is {file}: give that file itself, or rename it")
    } else if let Some(file) = first(&[".bin", ".pth", ".pt", ".pth.tar", ".ckpt"]) {
        format!(
            "there is {file}, which is never loaded, as it can run code: convert it with `python tools/convert.py {file}`"
        )
    } else {
        "give a folder or repository that has one, or a safetensors file".to_owned()
    };
    Error::Weights { name: name.to_owned(), problem: format!("no {WEIGHTS} in it"), advice }
}
