//! Recipes as timm words them: `config.json` with its `pretrained_cfg`.

use serde_json::Value;

use super::{Interpolation, Recipe, object, read, recipe_error, shorter_side, twist};
use crate::error::Error;

/// Fields of timm's `pretrained_cfg` that say nothing about preprocessing at test time.
const TIMM_IGNORED: [&str; 31] = [
    "classifier",
    "custom_load",
    "description",
    "file",
    "first_conv",
    "fixed_input_size",
    "global_pool", // checked with the network
    "hf_hub_filename",
    "hf_hub_id",
    "input_spec",
    "label_descriptions",
    "label_names",
    "label_offset",
    "license",
    "min_input_size",
    "model_args", // checked with the network
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
    "test_pool_size",
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
        let config = object(json)?;
        twist::check(&config)?;
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
        recipe.resize = shorter_side(recipe.input_size[0], "crop_pct", crop_pct)?;
        recipe.check()?;
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Resize;

    #[test]
    fn a_whole_timm_config_is_read() {
        let recipe = Recipe::from_timm(
            r#"{"architecture": "resnet50", "num_classes": 1000, "pretrained_cfg": {"tag": "a1_in1k", "custom_load": false,
            "input_size": [3, 224, 224], "test_input_size": [3, 288, 288], "fixed_input_size": false, "interpolation": "bicubic",
            "crop_pct": 0.95, "test_crop_pct": 1.0, "crop_mode": "center", "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225], "num_classes": 1000, "pool_size": [7, 7], "first_conv": "conv1", "classifier": "fc",
            "license": "apache-2.0", "url": null, "description": "leaves", "label_offset": 1, "test_pool_size": [9, 9]}}"#,
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
            (r#"{"pretrained_cfg": {}, "model_args": {"act_layer": "silu"}}"#, "model_args.act_layer"),
            (r#"{"mean": [123.675, 116.28, 103.53]}"#, "mean"),
            (r#"{"pretrained_cfg": 3}"#, "pretrained_cfg"),
            ("[]", "JSON"),
        ] {
            let error = Recipe::from_timm(json).unwrap_err().to_string();
            assert!(error.starts_with(&format!("recipe: {field}:")), "{json}: {error}");
        }
    }
}
