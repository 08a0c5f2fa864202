//! Finds the recipe that lies beside a weight file, and tells which of three kinds its JSON is.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Recipe, object, parse, twist};
use crate::error::Error;
use crate::regular;

/// Fields of which one alone marks a `preprocessor_config.json`.
const TRANSFORMERS_MARKS: [&str; 4] = ["image_processor_type", "feature_extractor_type", "do_resize", "image_mean"];
/// Fields of which one alone marks timm's `config.json`.
const TIMM_MARKS: [&str; 3] = ["pretrained_cfg", "architecture", "crop_pct"];

/// Files beside a weight file that may hold its recipe, the first first.
const FILES: [&str; 2] = ["preprocessor_config.json", "config.json"];

impl Recipe {
    /// Finds the recipe that lies beside a weight file: transformers' `preprocessor_config.json` or timm's `config.json` in its
    /// folder, else the [default](Self::default). The second value is the file that was followed.
    ///
    /// A `config.json` that isn't timm's says nothing about preprocessing and is passed over.
    ///
    /// # Errors
    /// As [`check_beside`](Self::check_beside); [`Error::Recipe`] if such a file can't be followed.
    pub fn beside(weights: impl AsRef<Path>) -> Result<(Self, Option<PathBuf>), Error> {
        Self::check_beside(&weights)?;
        for name in FILES {
            let Some((path, text)) = read_beside(weights.as_ref(), name)? else { continue };
            let config = object(&text).map_err(|error| of_file(error, &path))?;
            if has(&config, &TRANSFORMERS_MARKS) || has(&config, &TIMM_MARKS) {
                return Ok((Self::from_json(&text).map_err(|error| of_file(error, &path))?, Some(path)));
            }
        }
        Ok((Self::default(), None))
    }

    /// Checks that the `config.json` beside a weight file, if there is one, asks for no network that has the tensors of one that
    /// is run here and computes something else: another activation, stride or pooling. [`beside`](Self::beside) checks this
    /// too; call it where the recipe comes from elsewhere.
    ///
    /// # Errors
    /// [`Error::Io`] if the file is there but can't be read; [`Error::Recipe`] names the field, its value and the file.
    pub fn check_beside(weights: impl AsRef<Path>) -> Result<(), Error> {
        let Some((path, text)) = read_beside(weights.as_ref(), "config.json")? else { return Ok(()) };
        match object(&text) {
            Ok(config) => twist::check(&config).map_err(|error| of_file(error, &path)),
            Err(_) => Ok(()),
        }
    }

    /// Reads a recipe from JSON of any of three kinds: this type's own, timm's `config.json`, or transformers'
    /// `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`Error::Recipe`] names the field that is malformed, unknown, or has a value that isn't supported.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let config = object(json)?;
        if has(&config, &TRANSFORMERS_MARKS) {
            return Self::from_transformers(json);
        }
        if has(&config, &TIMM_MARKS) {
            return Self::from_timm(json);
        }
        let recipe: Self = parse(json)?;
        recipe.check()?;
        Ok(recipe)
    }
}

/// Reads the file of this name in a weight file's folder, if it is there.
fn read_beside(weights: &Path, name: &str) -> Result<Option<(PathBuf, String)>, Error> {
    let path = weights.with_file_name(name);
    match regular::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path, source }),
    }
}

/// Adds to an error of a recipe the file that holds it.
fn of_file(error: Error, path: &Path) -> Error {
    match error {
        Error::Recipe { field, problem, source } => {
            Error::Recipe { field, problem: format!("{problem} (in {})", path.display()), source }
        }
        other => other,
    }
}

fn has(config: &Map<String, Value>, marks: &[&str]) -> bool {
    marks.iter().any(|mark| config.contains_key(*mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Resize;

    const RESNET18: &str = r#"{"crop_pct": 0.875, "do_normalize": true, "do_resize": true, "size": 224, "resample": 3,
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}"#;

    #[test]
    fn the_recipe_beside_the_weights_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let beside = || Recipe::beside(folder.path().join("model.safetensors"));
        assert_eq!(beside().unwrap(), (Recipe::default(), None));
        write("config.json", r#"{"model_type": "resnet", "hidden_sizes": [64, 128, 256, 512]}"#);
        assert_eq!(beside().unwrap(), (Recipe::default(), None));
        write("config.json", r#"{"architecture": "resnet18", "pretrained_cfg": {"crop_pct": 0.95}}"#);
        let (recipe, from) = beside().unwrap();
        assert_eq!(recipe.resize, Resize::ShorterSide(235));
        assert_eq!(from, Some(folder.path().join("config.json")));
        write("preprocessor_config.json", RESNET18);
        let (recipe, from) = beside().unwrap();
        assert_eq!(recipe.resize, Resize::ShorterSide(256));
        assert_eq!(from, Some(folder.path().join("preprocessor_config.json")));
        write("preprocessor_config.json", r#"{"do_resize": false}"#);
        let error = beside().unwrap_err().to_string();
        assert!(error.contains("do_resize") && error.contains("preprocessor_config.json"), "{error}");
        write("preprocessor_config.json", "{");
        assert!(matches!(beside().unwrap_err(), Error::Recipe { .. }));
        // What the network is stands in the other file, whichever holds the recipe.
        write("preprocessor_config.json", RESNET18);
        write("config.json", r#"{"model_type": "resnet", "hidden_act": "gelu"}"#);
        let error = beside().unwrap_err().to_string();
        assert!(["hidden_act", "\"gelu\"", "config.json"].iter().all(|part| error.contains(part)), "{error}");
        assert!(Recipe::check_beside(folder.path().join("model.safetensors")).is_err());
    }

    #[test]
    fn json_of_each_kind_is_told_apart() {
        let ours = Recipe { mean: [0.1; 3], ..Recipe::default() };
        assert_eq!(Recipe::from_json(&serde_json::to_string(&ours).unwrap()).unwrap(), ours);
        assert_eq!(Recipe::from_json(r#"{"crop_pct": 1.0}"#).unwrap().resize, Resize::ShorterSide(224));
        let typo = serde_json::to_string(&ours).unwrap().replace("resize", "resise");
        let error = Recipe::from_json(&typo).unwrap_err();
        let cause = std::error::Error::source(&error).expect("the parser's own words").to_string();
        assert!(cause.contains("resise"), "{error}: {cause}");
    }
}
