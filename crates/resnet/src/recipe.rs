//! The recipe: how a checkpoint wants its photos prepared, which `preprocess` follows. The files below read it from JSON.

mod files;
mod timm;
mod transformers;
mod twist;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;

/// The filter that finds values between pixels. Both kinds are antialiased: shrinking widens their support.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// A triangle, 2 taps wide.
    Bilinear,
    /// Keys' cubic with a = −1/2, 4 taps wide.
    Bicubic,
}

/// The size a photo gets before its centre is cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The shorter side becomes this long, the longer keeps the proportion (rounded down).
    ShorterSide(usize),
    /// Exactly this height and width, whatever the proportion was.
    Exact([usize; 2]),
}

/// How the offset of a centre crop is rounded where as many pixels can't be left out on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropRounding {
    /// Half-way to the even number, as torchvision and timm do.
    #[default]
    Even,
    /// Down, as transformers does.
    Down,
}

impl CropRounding {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
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
    /// Rounding of the centre crop's offset; torchvision's where it isn't stated.
    #[serde(default, skip_serializing_if = "CropRounding::is_default")]
    pub crop_rounding: CropRounding,
    /// Mean of red, green, blue over the training set, on a scale of 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation, likewise.
    pub std: [f32; 3],
}

const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// The longest side that an input may have: activations of a larger one take gigabytes for one photo.
const MAX_INPUT: usize = 2048;
/// The longest side that a resized photo's shorter side may have.
const MAX_SIDE: usize = 16_384;

impl Default for Recipe {
    fn default() -> Self {
        Self {
            input_size: [224, 224],
            resize: Resize::ShorterSide(256),
            interpolation: Interpolation::Bilinear,
            crop_rounding: CropRounding::Even,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        }
    }
}

impl Recipe {
    /// Checks that the recipe can be followed: an input between 1 and 2048, a resize between 1 and 16384, means from 0 to 1, deviations above 0 and at most 1.
    ///
    /// # Errors
    /// [`Error::Recipe`] names the field that can't be followed.
    pub fn check(&self) -> Result<(), Error> {
        let sides = match self.resize {
            Resize::ShorterSide(side) => [side; 2],
            Resize::Exact(sides) => sides,
        };
        for (field, sides, most) in [("input_size", self.input_size, MAX_INPUT), ("resize", sides, MAX_SIDE)] {
            if sides.iter().any(|side| !(1..=most).contains(side)) {
                return Err(recipe_error(field, format!("{sides:?} isn't between 1 and {most}")));
            }
        }
        // Values beyond 1 are nearly always those of photos whose bytes weren't divided by 255.
        let scale = "isn't on the scale of 0 to 1; divide what is meant for bytes by 255";
        if !self.mean.iter().all(|mean| (0.0..=1.0).contains(mean)) {
            return Err(recipe_error("mean", format!("{:?} {scale}", self.mean)));
        }
        if !self.std.iter().all(|std| *std > 0.0 && *std <= 1.0) {
            return Err(recipe_error("std", format!("{:?} isn't above 0, or {scale}", self.std)));
        }
        Ok(())
    }
}

/// Computes the shorter side of which a crop of `input` is the share `crop_pct`, rounded down.
pub(crate) fn shorter_side(input: usize, field: &str, crop_pct: f64) -> Result<Resize, Error> {
    if !(crop_pct > 0.0 && crop_pct <= 1.0) {
        return Err(recipe_error(field, format!("{crop_pct} isn't above 0 and at most 1")));
    }
    Ok(Resize::ShorterSide((input as f64 / crop_pct).floor() as usize))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Error> {
    let (field, problem) = ("JSON".to_owned(), "it can't be read".to_owned());
    serde_json::from_str(json).map_err(|source| Error::Recipe { field, problem, source: Some(source) })
}

pub(crate) fn object(json: &str) -> Result<Map<String, Value>, Error> {
    parse(json)
}

pub(crate) fn recipe_error(field: &str, problem: impl Into<String>) -> Error {
    Error::Recipe { field: field.into(), problem: problem.into(), source: None }
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(field: &str, value: &Value) -> Result<T, Error> {
    T::deserialize(value).map_err(|source| Error::Recipe {
        field: field.into(),
        problem: format!("{value} isn't supported"),
        source: Some(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_takes_gigabytes_is_refused() {
        let with = |side: usize| Recipe { input_size: [224, side], ..Recipe::default() }.check();
        with(2048).unwrap();
        for side in [0, 2049, 4096, 16_384] {
            let error = with(side).unwrap_err().to_string();
            assert!(error.contains(&format!("input_size: [224, {side}] isn't between 1 and 2048")), "{error}");
        }
    }

    #[test]
    fn means_and_deviations_of_bytes_are_refused() {
        let bytes = Recipe { mean: [123.675, 116.28, 103.53], ..Recipe::default() };
        let error = bytes.check().unwrap_err().to_string();
        assert!(error.starts_with("recipe: mean: [123.675") && error.contains("divide"), "{error}");
        let bytes = Recipe { std: [58.395, 57.12, 57.375], ..Recipe::default() };
        let error = bytes.check().unwrap_err().to_string();
        assert!(error.starts_with("recipe: std: [58.395") && error.contains("divide"), "{error}");
        Recipe { mean: [0.0; 3], std: [1.0; 3], ..Recipe::default() }.check().unwrap();
    }

    #[test]
    fn serde_round_trips_and_refuses_unknown_fields() {
        let recipe = Recipe { resize: Resize::Exact([10, 20]), ..Recipe::default() };
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        assert!(json.contains(r#""resize":{"exact":[10,20]}"#), "{json}");
        // Recipes that were written before the field existed are as they were.
        assert!(!json.contains("crop_rounding"), "{json}");
        let down = Recipe { crop_rounding: CropRounding::Down, ..recipe };
        let text = serde_json::to_string(&down).unwrap();
        assert!(text.contains(r#""crop_rounding":"down""#), "{text}");
        assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), down);
        assert!(serde_json::from_str::<Recipe>(&json.replace("\"mean\"", "\"men\"")).is_err());
    }
}
