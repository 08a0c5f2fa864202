//! Recipes as transformers words them: `preprocessor_config.json`, of processors that differ.

use serde_json::{Map, Value};

use super::{CropRounding, Interpolation, Recipe, Resize, object, read, recipe_error, shorter_side};
use crate::error::Error;

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
impl Recipe {
    /// Reads the text of a transformers `preprocessor_config.json`.
    ///
    /// Three kinds of resize are known, told apart by their fields: with `crop_pct` (ConvNeXT's image processor, which
    /// transformers' own ResNets use) the shorter side becomes `floor(shortest_edge / crop_pct)` and the centre of
    /// `shortest_edge` squared is cut out, but from 384 pixels on the photo is squeezed to the square instead; else a `size`
    /// with `shortest_edge` needs `do_center_crop`; and a `size` with `height` and `width` is exact. The centre's
    /// offset is rounded down, as all these processors do.
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
        let crop_rounding = CropRounding::Down;
        let recipe = Self { input_size, resize, interpolation, crop_rounding, mean, std };
        recipe.check()?;
        Ok(recipe)
    }
}

/// transformers' `size` and `crop_size`.
enum Size {
    ShortestEdge(usize),
    Exact([usize; 2]),
}

impl Size {
    /// Reads a size: a bare number is one side of a square or the shorter side, as `square` says; `None` where that isn't known.
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

    /// Gives the size to cut out.
    fn exact(crop_size: Option<Self>) -> Result<[usize; 2], Error> {
        match crop_size {
            Some(Self::Exact(sides)) => Ok(sides),
            Some(Self::ShortestEdge(_)) => Err(recipe_error("crop_size", "`height` and `width` are expected")),
            None => Err(recipe_error("crop_size", "isn't stated, though `do_center_crop` is true")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESNET18: &str = r#"{"crop_pct": 0.875, "do_normalize": true, "do_resize": true, "size": 224, "resample": 3,
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}"#;

    #[test]
    fn a_whole_transformers_config_is_read() {
        let crop_rounding = CropRounding::Down;
        let expected = Recipe { interpolation: Interpolation::Bicubic, crop_rounding, ..Recipe::default() };
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
}
