//! How a checkpoint wants its photos prepared.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;

/// How the pixels between pixels are found. Both kinds are antialiased: shrinking widens their support.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// A triangle, 2 taps wide.
    Bilinear,
    /// Keys' cubic with a = −1/2, 4 taps wide.
    Bicubic,
}

/// What size a photo gets before its centre is cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The shorter side becomes this long, the longer keeps the proportion (rounded down).
    ShorterSide(usize),
    /// Exactly this height and width, whatever the proportion was.
    Exact([usize; 2]),
}

/// The preprocessing that belongs to a set of weights: resize, centre crop, normalise.
///
/// The default is torchvision's for its ResNets (the first set of ImageNet weights): shorter side to 256, bilinear, the
/// central 224x224, ImageNet's mean and deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Height and width of the network's input.
    pub input_size: [usize; 2],
    /// Size before the centre crop.
    pub resize: Resize,
    /// Interpolation of the resize.
    pub interpolation: Interpolation,
    /// Mean of red, green, blue over the training set, on a scale of 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation, likewise.
    pub std: [f32; 3],
}

const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// The longest side that an input or a resized photo's shorter side may have.
const MAX_SIDE: usize = 16_384;

impl Default for Recipe {
    fn default() -> Self {
        Self {
            input_size: [224, 224],
            resize: Resize::ShorterSide(256),
            interpolation: Interpolation::Bilinear,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        }
    }
}

/// Fields of timm's `pretrained_cfg` that say nothing about preprocessing at test time.
const TIMM_IGNORED: [&str; 28] = [
    "classifier",
    "custom_load",
    "file",
    "first_conv",
    "fixed_input_size",
    "global_pool",
    "hf_hub_filename",
    "hf_hub_id",
    "input_spec",
    "label_descriptions",
    "label_names",
    "license",
    "min_input_size",
    "model_args",
    "notes",
    "num_classes",
    "num_features",
    "origin_url",
    "paper_ids",
    "paper_name",
    "pool_size",
    "source",
    "state_dict",
    "tag",
    "test_crop_pct",
    "test_input_size",
    "training",
    "url",
];

impl Recipe {
    /// Reads the text of a timm `config.json`: its `pretrained_cfg`, or the object itself where there is none.
    ///
    /// The shorter side is resized to `floor(input / crop_pct)`. Absent fields have timm's defaults: 224 pixels, `crop_pct`
    /// 0.875, bicubic, ImageNet's mean and deviation.
    ///
    /// ```
    /// let recipe = resnet::Recipe::from_timm(r#"{ "pretrained_cfg": {
    ///     "input_size": [3, 224, 224], "crop_pct": 0.95, "interpolation": "bicubic", "crop_mode": "center"
    /// } }"#)?;
    /// assert_eq!(recipe.resize, resnet::Resize::ShorterSide(235));
    /// # Ok::<(), resnet::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Recipe`] names the field that is malformed, unknown, or has a value that isn't supported.
    pub fn from_timm(json: &str) -> Result<Self, Error> {
        let config: Map<String, Value> =
            serde_json::from_str(json).map_err(|error| recipe_error("config.json", error.to_string()))?;
        // Antialiased networks have the tensors of plain ones, so that only the name tells them apart.
        if let Some(name) = config.get("architecture").and_then(Value::as_str)
            && ["resnetaa", "resnetblur"].iter().any(|kind| name.starts_with(kind))
        {
            let problem = format!("{name} blurs where it strides, which isn't supported");
            return Err(recipe_error("architecture", problem));
        }
        let config = match config.get("pretrained_cfg") {
            Some(Value::Object(inner)) => inner,
            Some(other) => {
                return Err(recipe_error("pretrained_cfg", format!("{other} isn't an object")));
            }
            None => &config,
        };
        let mut recipe = Self { interpolation: Interpolation::Bicubic, ..Self::default() };
        let mut crop_pct = 0.875;
        for (field, value) in config.iter().filter(|(_, value)| !value.is_null()) {
            match field.as_str() {
                "input_size" => match read::<[usize; 3]>(field, value)? {
                    [3, height, width] if height == width => recipe.input_size = [height, width],
                    other => {
                        let problem = format!("{other:?} isn't supported: [3, n, n] (colour, square) is expected");
                        return Err(recipe_error(field, problem));
                    }
                },
                "interpolation" => recipe.interpolation = read(field, value)?,
                "crop_pct" => crop_pct = read(field, value)?,
                "crop_mode" => {
                    if value != "center" {
                        return Err(recipe_error(field, format!("{value} isn't supported, only \"center\"")));
                    }
                }
                "mean" => recipe.mean = read(field, value)?,
                "std" => recipe.std = read(field, value)?,
                "architecture" => {}
                _ if TIMM_IGNORED.contains(&field.as_str()) => {}
                _ => {
                    return Err(recipe_error(field, "this field isn't known, so it can't be followed"));
                }
            }
        }
        if !(crop_pct > 0.0 && crop_pct <= 1.0) {
            return Err(recipe_error("crop_pct", format!("{crop_pct} isn't above 0 and at most 1")));
        }
        recipe.resize = Resize::ShorterSide((recipe.input_size[0] as f64 / crop_pct).floor() as usize);
        recipe.check()?;
        Ok(recipe)
    }

    /// Checks that the recipe can be followed: sizes between 1 and 16384, finite means, positive deviations.
    ///
    /// # Errors
    /// [`Error::Recipe`] names the field that can't be followed.
    pub fn check(&self) -> Result<(), Error> {
        let sides = match self.resize {
            Resize::ShorterSide(side) => [side; 2],
            Resize::Exact(sides) => sides,
        };
        for (field, sides) in [("input_size", self.input_size), ("resize", sides)] {
            if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
                return Err(recipe_error(field, format!("{sides:?} isn't between 1 and {MAX_SIDE}")));
            }
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return Err(recipe_error("mean", format!("{:?} isn't finite", self.mean)));
        }
        if !self.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            return Err(recipe_error("std", format!("{:?} isn't positive and finite", self.std)));
        }
        Ok(())
    }
}

fn recipe_error(field: &str, problem: impl Into<String>) -> Error {
    Error::Recipe { field: field.into(), problem: problem.into() }
}

fn read<T: serde::de::DeserializeOwned>(field: &str, value: &Value) -> Result<T, Error> {
    T::deserialize(value).map_err(|error| recipe_error(field, format!("{value} isn't supported: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_timm_config_is_read() {
        let recipe = Recipe::from_timm(
            r#"{"architecture": "resnet50", "num_classes": 1000, "pretrained_cfg": {"tag": "a1_in1k", "custom_load": false,
            "input_size": [3, 224, 224], "test_input_size": [3, 288, 288], "fixed_input_size": false, "interpolation": "bicubic",
            "crop_pct": 0.95, "test_crop_pct": 1.0, "crop_mode": "center", "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225], "num_classes": 1000, "pool_size": [7, 7], "first_conv": "conv1", "classifier": "fc",
            "license": "apache-2.0", "url": null}}"#,
        )
        .unwrap();
        let expected =
            Recipe { resize: Resize::ShorterSide(235), interpolation: Interpolation::Bicubic, ..Recipe::default() };
        assert_eq!(recipe, expected);
        let plain = Recipe::from_timm(r#"{"interpolation": "bilinear"}"#).unwrap();
        assert_eq!(plain, Recipe::default());
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (json, field) in [
            (r#"{"crop_mode": "border"}"#, "crop_mode"),
            (r#"{"interpolation": "nearest"}"#, "interpolation"),
            (r#"{"input_size": [1, 224, 224]}"#, "input_size"),
            (r#"{"input_size": [3, 224, 256]}"#, "input_size"),
            (r#"{"input_size": [3, 0, 0]}"#, "input_size"),
            (r#"{"input_size": "224"}"#, "input_size"),
            (r#"{"crop_pct": 0}"#, "crop_pct"),
            (r#"{"crop_pct": 1.5}"#, "crop_pct"),
            (r#"{"crop_pct": 1e-9}"#, "resize"),
            (r#"{"std": [1, 1, 0]}"#, "std"),
            (r#"{"mean": [1, 1]}"#, "mean"),
            (r#"{"mean": [1, 1, 1e300]}"#, "mean"),
            (r#"{"do_flip": true}"#, "do_flip"),
            (r#"{"architecture": "resnetblur50", "pretrained_cfg": {}}"#, "architecture"),
            (r#"{"pretrained_cfg": 3}"#, "pretrained_cfg"),
            ("[]", "config.json"),
        ] {
            let error = Recipe::from_timm(json).unwrap_err().to_string();
            assert!(error.starts_with(&format!("recipe: {field}:")), "{json}: {error}");
        }
    }

    #[test]
    fn serde_round_trips_and_refuses_unknown_fields() {
        let recipe = Recipe { resize: Resize::Exact([10, 20]), ..Recipe::default() };
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        assert!(json.contains(r#""resize":{"exact":[10,20]}"#), "{json}");
        assert!(serde_json::from_str::<Recipe>(&json.replace("\"mean\"", "\"men\"")).is_err());
    }
}
