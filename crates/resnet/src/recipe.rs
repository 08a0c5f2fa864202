//! How a checkpoint wants its photos prepared.

use std::path::{Path, PathBuf};

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

/// Fields of transformers' `preprocessor_config.json` that say nothing about what a photo's pixels become.
const TRANSFORMERS_IGNORED: [&str; 10] = [
    "_valid_processor_keys",
    "crop_pct", // read before the others
    "default_to_square",
    "device",
    "disable_grouping",
    "do_convert_rgb",
    "feature_extractor_type",
    "image_processor_type",
    "processor_class",
    "return_tensors",
];
/// Fields of which one alone marks a `preprocessor_config.json`.
const TRANSFORMERS_MARKS: [&str; 4] = ["image_processor_type", "feature_extractor_type", "do_resize", "image_mean"];
/// Fields of which one alone marks timm's `config.json`.
const TIMM_MARKS: [&str; 3] = ["pretrained_cfg", "architecture", "crop_pct"];

impl Recipe {
    /// Finds the recipe that lies beside a weight file: transformers' `preprocessor_config.json` or timm's `config.json` in its
    /// folder, else the [default](Self::default). The second value is the file that was followed.
    ///
    /// A `config.json` that isn't timm's says nothing about preprocessing and is passed over.
    ///
    /// # Errors
    /// [`Error::Io`] if such a file is there but can't be read; [`Error::Recipe`] if it can't be followed.
    pub fn beside(weights: impl AsRef<Path>) -> Result<(Self, Option<PathBuf>), Error> {
        for name in ["preprocessor_config.json", "config.json"] {
            let path = weights.as_ref().with_file_name(name);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(Error::Io { path, source }),
            };
            let ours = |error| match error {
                Error::Recipe { field, problem } => {
                    Error::Recipe { field, problem: format!("{problem} (in {})", path.display()) }
                }
                other => other,
            };
            let config = object(&text).map_err(ours)?;
            if has(&config, &TRANSFORMERS_MARKS) || has(&config, &TIMM_MARKS) {
                return Ok((Self::from_json(&text).map_err(ours)?, Some(path)));
            }
        }
        Ok((Self::default(), None))
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
        let recipe: Self = serde_json::from_str(json).map_err(|error| recipe_error("JSON", error.to_string()))?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Reads the text of a transformers `preprocessor_config.json`.
    ///
    /// Three kinds of resize are known, told apart by their fields: with `crop_pct` (ConvNeXT's image processor, which
    /// transformers' own ResNets use) the shorter side becomes `floor(shortest_edge / crop_pct)` and the centre of
    /// `shortest_edge` squared is cut out, but from 384 pixels on the photo is squeezed to the square instead; else a `size`
    /// with `shortest_edge` needs `do_center_crop`; and a `size` with `height` and `width` is exact. The centre is rounded as
    /// torchvision does, which is up to a pixel off the older processors written on NumPy.
    ///
    /// Processors have different defaults, so what matters must be stated: `size`, `resample`, and with `do_normalize` (true
    /// if absent) `image_mean` and `image_std`.
    ///
    /// ```
    /// let recipe = resnet::Recipe::from_transformers(r#"{ "do_resize": true, "size": { "shortest_edge": 224 },
    ///     "crop_pct": 0.875, "resample": 3, "do_normalize": true,
    ///     "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225] }"#)?;
    /// assert_eq!(recipe.resize, resnet::Resize::ShorterSide(256));
    /// assert_eq!(recipe.input_size, [224, 224]);
    /// # Ok::<(), resnet::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Recipe`] names the field that is absent, malformed, unknown, or has a value that isn't supported.
    pub fn from_transformers(json: &str) -> Result<Self, Error> {
        let mut config = object(json)?;
        config.retain(|_, value| !value.is_null());
        let kind = ["image_processor_type", "feature_extractor_type"].iter().find_map(|key| config.get(*key)?.as_str());
        let convnext = config.contains_key("crop_pct") || kind.is_some_and(|kind| kind.starts_with("ConvNext"));
        let crop_pct = config.get("crop_pct").map_or(Ok(0.875), |value| read::<f64>("crop_pct", value))?;

        let (mut size, mut crop_size, mut resample) = (None, None, None);
        let (mut center_crop, mut normalize, mut mean, mut std) = (false, true, None, None);
        for (field, value) in &config {
            let required = |wanted: bool| match read::<bool>(field, value)? {
                value if value == wanted => Ok(()),
                value => Err(recipe_error(field, format!("{value} isn't supported, only {wanted}"))),
            };
            match field.as_str() {
                "do_resize" | "do_rescale" => required(true)?,
                "do_pad" | "do_flip_channel_order" => required(false)?,
                "do_center_crop" => center_crop = read(field, value)?,
                "do_normalize" => normalize = read(field, value)?,
                "size" => {
                    let square = config.get("default_to_square").and_then(Value::as_bool);
                    size = Some(Size::read(field, value, if convnext { Some(false) } else { square })?);
                }
                "crop_size" => crop_size = Some(Size::read(field, value, Some(true))?),
                "resample" => {
                    resample = Some(match value.as_u64() {
                        Some(2) => Interpolation::Bilinear,
                        Some(3) => Interpolation::Bicubic,
                        _ => {
                            let problem = format!("{value} isn't supported: 2 (bilinear) or 3 (bicubic) is expected");
                            return Err(recipe_error(field, problem));
                        }
                    });
                }
                "rescale_factor" => {
                    let factor: f64 = read(field, value)?;
                    if !((factor * 255.0 - 1.0).abs() < 1e-6) {
                        return Err(recipe_error(field, format!("{value} isn't supported, only 1/255")));
                    }
                }
                "image_mean" => mean = Some(read(field, value)?),
                "image_std" => std = Some(read(field, value)?),
                "data_format" if value == "channels_first" => {}
                _ if TRANSFORMERS_IGNORED.contains(&field.as_str()) => {}
                _ => return Err(recipe_error(field, "this field or its value isn't known, so it can't be followed")),
            }
        }

        let absent = |field: &str| recipe_error(field, "isn't stated, and image processors differ in their defaults");
        let (resize, input_size) = match (size.ok_or_else(|| absent("size"))?, center_crop) {
            (Size::ShortestEdge(edge), _) if convnext && edge >= 384 => (Resize::Exact([edge; 2]), [edge; 2]),
            (Size::ShortestEdge(edge), _) if convnext => (shorter_side(edge, "crop_pct", crop_pct)?, [edge; 2]),
            (Size::ShortestEdge(edge), true) => (Resize::ShorterSide(edge), Size::exact(crop_size)?),
            (Size::Exact(sides), true) if !convnext => (Resize::Exact(sides), Size::exact(crop_size)?),
            (Size::Exact(sides), false) if !convnext => (Resize::Exact(sides), sides),
            (Size::Exact(_), _) => {
                return Err(recipe_error(
                    "size",
                    "`height` and `width` don't go with `crop_pct`: `shortest_edge` is expected",
                ));
            }
            (Size::ShortestEdge(_), false) => {
                let problem = "false isn't supported with `size.shortest_edge`: photos would keep their proportions";
                return Err(recipe_error("do_center_crop", problem));
            }
        };
        let (mean, std) = if normalize {
            (mean.ok_or_else(|| absent("image_mean"))?, std.ok_or_else(|| absent("image_std"))?)
        } else {
            ([0.0; 3], [1.0; 3])
        };
        let interpolation = resample.ok_or_else(|| absent("resample"))?;
        let recipe = Self { input_size, resize, interpolation, mean, std };
        recipe.check()?;
        Ok(recipe)
    }

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
        recipe.resize = shorter_side(recipe.input_size[0], "crop_pct", crop_pct)?;
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

/// transformers' `size` and `crop_size`.
enum Size {
    ShortestEdge(usize),
    Exact([usize; 2]),
}

impl Size {
    /// A bare number is one side of a square or the shorter side, as `square` says; `None` where that isn't known.
    fn read(field: &str, value: &Value, square: Option<bool>) -> Result<Self, Error> {
        let side = |value: &Value| read::<usize>(field, value);
        if value.is_number() {
            return match square {
                Some(true) => Ok(Self::Exact([side(value)?; 2])),
                Some(false) => Ok(Self::ShortestEdge(side(value)?)),
                None => {
                    let problem = format!(
                        "{value} alone is one thing to some processors, another to others: \
                        write {{\"shortest_edge\": {value}}} or {{\"height\": {value}, \"width\": {value}}}"
                    );
                    Err(recipe_error(field, problem))
                }
            };
        }
        let sides = value.as_object();
        let get = |name: &str| sides.and_then(|sides| sides.get(name));
        match (get("shortest_edge"), get("height"), get("width"), sides.map(Map::len)) {
            (Some(edge), None, None, Some(1)) => Ok(Self::ShortestEdge(side(edge)?)),
            (None, Some(height), Some(width), Some(2)) => Ok(Self::Exact([side(height)?, side(width)?])),
            _ => {
                let problem = format!("{value} isn't supported: `shortest_edge`, or `height` and `width`, is expected");
                Err(recipe_error(field, problem))
            }
        }
    }

    /// The size to cut out.
    fn exact(crop_size: Option<Self>) -> Result<[usize; 2], Error> {
        match crop_size {
            Some(Self::Exact(sides)) => Ok(sides),
            Some(Self::ShortestEdge(_)) => Err(recipe_error("crop_size", "`height` and `width` are expected")),
            None => Err(recipe_error("crop_size", "isn't stated, though `do_center_crop` is true")),
        }
    }
}

/// The shorter side of which a crop of `input` is the share `crop_pct`, rounded down.
fn shorter_side(input: usize, field: &str, crop_pct: f64) -> Result<Resize, Error> {
    if !(crop_pct > 0.0 && crop_pct <= 1.0) {
        return Err(recipe_error(field, format!("{crop_pct} isn't above 0 and at most 1")));
    }
    Ok(Resize::ShorterSide((input as f64 / crop_pct).floor() as usize))
}

fn object(json: &str) -> Result<Map<String, Value>, Error> {
    serde_json::from_str(json).map_err(|error| recipe_error("JSON", error.to_string()))
}

fn has(config: &Map<String, Value>, marks: &[&str]) -> bool {
    marks.iter().any(|mark| config.contains_key(*mark))
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
            ("[]", "JSON"),
        ] {
            let error = Recipe::from_timm(json).unwrap_err().to_string();
            assert!(error.starts_with(&format!("recipe: {field}:")), "{json}: {error}");
        }
    }

    const RESNET18: &str = r#"{"crop_pct": 0.875, "do_normalize": true, "do_resize": true, "size": 224, "resample": 3,
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}"#;

    #[test]
    fn a_whole_transformers_config_is_read() {
        let expected = Recipe { interpolation: Interpolation::Bicubic, ..Recipe::default() };
        assert_eq!(Recipe::from_transformers(RESNET18).unwrap(), expected);
        // The same, as newer versions save it, with all that doesn't concern it.
        let newer = r#"{"crop_pct": 0.875, "crop_size": null, "data_format": "channels_first", "default_to_square": false,
            "device": null, "disable_grouping": null, "do_center_crop": null, "do_convert_rgb": null, "do_normalize": true,
            "do_rescale": true, "do_resize": true, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
            "image_processor_type": "ConvNextImageProcessorFast", "input_data_format": null, "resample": 3,
            "rescale_factor": 0.00392156862745098, "return_tensors": null, "size": {"shortest_edge": 224}}"#;
        assert_eq!(Recipe::from_transformers(newer).unwrap(), expected);
        assert_eq!(Recipe::from_json(newer).unwrap(), expected);
    }

    #[test]
    fn every_kind_of_resize_of_transformers_is_followed() {
        let with = |edit: &str| {
            let mut config = object(RESNET18).unwrap();
            for (field, value) in object(edit).unwrap() {
                config.insert(field, value);
            }
            Recipe::from_transformers(&serde_json::to_string(&config).unwrap())
        };
        let plain = r#""crop_pct": null, "feature_extractor_type": "BitImageProcessor""#;
        for (edit, resize, input_size) in [
            (r#"{"size": 224, "crop_pct": 0.95}"#.to_owned(), Resize::ShorterSide(235), [224; 2]),
            (r#"{"size": {"shortest_edge": 384}}"#.to_owned(), Resize::Exact([384; 2]), [384; 2]),
            (
                format!(r#"{{{plain}, "size": {{"shortest_edge": 256}}, "do_center_crop": true, "crop_size": 224}}"#),
                Resize::ShorterSide(256),
                [224; 2],
            ),
            (
                format!(
                    r#"{{{plain}, "size": {{"height": 240, "width": 250}}, "do_center_crop": true,
                    "crop_size": {{"height": 200, "width": 210}}}}"#
                ),
                Resize::Exact([240, 250]),
                [200, 210],
            ),
            (format!(r#"{{{plain}, "size": 224, "default_to_square": true}}"#), Resize::Exact([224; 2]), [224; 2]),
        ] {
            let recipe = with(&edit).unwrap();
            assert_eq!((recipe.resize, recipe.input_size), (resize, input_size), "{edit}");
        }
        let raw = with(r#"{"do_normalize": false, "image_mean": null}"#).unwrap();
        assert_eq!((raw.mean, raw.std), ([0.0; 3], [1.0; 3]));

        for (edit, field) in [
            (r#"{"do_resize": false}"#.to_owned(), "do_resize"),
            (r#"{"do_rescale": false}"#.to_owned(), "do_rescale"),
            (r#"{"do_pad": true}"#.to_owned(), "do_pad"),
            (r#"{"rescale_factor": 0.0078}"#.to_owned(), "rescale_factor"),
            (r#"{"resample": 0}"#.to_owned(), "resample"),
            (r#"{"resample": null}"#.to_owned(), "resample"),
            (r#"{"image_mean": null}"#.to_owned(), "image_mean"),
            (r#"{"image_std": [0, 1, 1]}"#.to_owned(), "std"),
            (r#"{"size": null}"#.to_owned(), "size"),
            (r#"{"size": {"longest_edge": 224}}"#.to_owned(), "size"),
            (r#"{"size": {"shortest_edge": 224, "longest_edge": 300}}"#.to_owned(), "size"),
            (r#"{"size": {"height": 224, "width": 224}}"#.to_owned(), "size"),
            (r#"{"size": -1}"#.to_owned(), "size"),
            (format!(r#"{{{plain}}}"#), "size"),
            (r#"{"crop_pct": 0}"#.to_owned(), "crop_pct"),
            (r#"{"crop_pct": "0.9"}"#.to_owned(), "crop_pct"),
            (format!(r#"{{{plain}, "size": {{"shortest_edge": 256}}}}"#), "do_center_crop"),
            (format!(r#"{{{plain}, "size": {{"shortest_edge": 256}}, "do_center_crop": true}}"#), "crop_size"),
            (r#"{"data_format": "channels_last"}"#.to_owned(), "data_format"),
            (r#"{"do_thumbnail": true}"#.to_owned(), "do_thumbnail"),
        ] {
            let error = with(&edit).unwrap_err().to_string();
            assert!(error.starts_with(&format!("recipe: {field}:")), "{edit}: {error}");
        }
    }

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
    }

    #[test]
    fn json_of_each_kind_is_told_apart() {
        let ours = Recipe { mean: [0.1; 3], ..Recipe::default() };
        assert_eq!(Recipe::from_json(&serde_json::to_string(&ours).unwrap()).unwrap(), ours);
        assert_eq!(Recipe::from_json(r#"{"crop_pct": 1.0}"#).unwrap().resize, Resize::ShorterSide(224));
        let typo = serde_json::to_string(&ours).unwrap().replace("resize", "resise");
        assert!(Recipe::from_json(&typo).unwrap_err().to_string().contains("resise"));
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
