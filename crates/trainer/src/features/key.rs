//! The key of kept features: all that moves them by more than their precision's own error, so that stale ones are never used.

use std::fmt;

use kernels::Precision;
use resnet::{Architecture, Recipe, WeightFile};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::digest::{Digest, hex};
use crate::photos::{JPEG_DECODER, Preparation, Reading, View};

/// Raised by one when the program's own numerics change so that features move by more than their precision's error: another way to
/// resize, say, or a bug in a kernel that is mended.
const NUMERICS: u32 = 1;

/// What features depend on besides the photo, as SHA-256 and as JSON.
///
/// # Numerics
/// Under one key, features agree to a relative 1e-4 in f32 and 0.3 % in f16, whichever adapter, driver, kernels and batch computed them.
/// `docs/adr/0011-what-features-are-keyed-by.md` says why these are no part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    digest: Digest,
    parts: String,
}

#[derive(Clone, Copy, Serialize)]
struct Parts<'a> {
    numerics: u32,
    weights: &'a str,
    precision: &'a str,
    jpeg_decoder: &'a str,
    reading: &'a Reading,
    recipe: &'a Recipe,
    /// None for the plain one, as all were before there were others.
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<View>,
}

impl Key {
    /// Makes the key of features by the backbone with this digest, in hexadecimal digits, of photos that are so prepared.
    pub fn new(weights: &str, precision: Precision, preparation: &Preparation) -> Self {
        // Limits are no part of it: a photo that keeps them is read in the same way under others.
        let Preparation { recipe, reading, limits: _, view } = preparation;
        let view = Some(*view).filter(|view| !view.is_plain());
        let (precision, jpeg_decoder) = (precision.name(), JPEG_DECODER);
        Self::of_parts(&Parts { numerics: NUMERICS, weights, precision, jpeg_decoder, reading, recipe, view })
    }

    /// Makes the key of features by these weights: by the tensors of the backbone, whatever file they lie in, under whatever head.
    pub fn of(weights: &WeightFile, precision: Precision, preparation: &Preparation) -> Self {
        Self::new(&Self::digest_of(weights), precision, preparation)
    }

    /// Computes the digest of these weights' backbone, in hexadecimal digits: what takes long of a key.
    pub(crate) fn digest_of(weights: &WeightFile) -> String {
        let mut hash = Sha256::new();
        // What a network does with its tensors isn't all seen in these.
        hash.update(format!("{:?}", Architecture { classes: None, ..weights.architecture().clone() }));
        for (name, tensor) in weights.backbone_tensors() {
            hash.update(format!("{name} {:?} {:?}", tensor.dtype(), tensor.shape()));
            hash.update(tensor.data());
        }
        hex(&hash.finalize())
    }

    fn of_parts(parts: &Parts) -> Self {
        let parts = serde_json::to_string(parts).expect("plain data");
        Self { digest: Sha256::digest(&parts).into(), parts }
    }

    /// Gives the SHA-256 over the parts.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Gives the parts as JSON, for people.
    pub fn parts(&self) -> &str {
        &self.parts
    }
}

/// Writes the digest in hexadecimal digits.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photos::{Exif, Limits, Views};

    #[test]
    fn each_part_changes_the_key_and_nothing_else_does() {
        let (recipe, reading) = (Recipe::default(), Reading::default());
        let other_recipe = Recipe { mean: [0.5; 3], ..Recipe::default() };
        let other_reading = Reading { exif: Exif::Ignore, ..Reading::default() };
        let plain = Parts {
            numerics: 1,
            weights: "5f70",
            precision: "f32",
            jpeg_decoder: "zune-jpeg",
            reading: &reading,
            recipe: &recipe,
            view: None,
        };
        let mut keys = [
            plain,
            Parts { numerics: 2, ..plain },
            Parts { weights: "5f71", ..plain },
            Parts { precision: "f16", ..plain },
            Parts { jpeg_decoder: "libjpeg-turbo", ..plain },
            Parts { reading: &other_reading, ..plain },
            Parts { recipe: &other_recipe, ..plain },
            Parts { view: Some(View { mirrored: true, ..View::default() }), ..plain },
        ]
        .map(|parts| Key::of_parts(&parts).to_string())
        .to_vec();
        // What was kept yesterday is found today, by whatever version of the program: this changes on purpose, or with NUMERICS.
        assert_eq!(keys[0], "0e2e617c15f8ec9e33f67d591192ea3d8d16f2087736a12207849d3a4c4ccd70");
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 8);
    }

    #[test]
    fn a_key_is_made_of_what_features_depend_on() {
        let key = |preparation: &Preparation| Key::new("5f70", Precision::F16, preparation);
        let plain = key(&Preparation::default());
        let parts: serde_json::Value = serde_json::from_str(plain.parts()).unwrap();
        assert_eq!(
            (&parts["numerics"], &parts["weights"], &parts["precision"], &parts["jpeg_decoder"]),
            (&NUMERICS.into(), &"5f70".into(), &"f16".into(), &JPEG_DECODER.into())
        );
        assert_eq!(hex(plain.digest()), plain.to_string());
        let limits = Limits { pixels: 9, ..Limits::default() };
        assert_eq!(key(&Preparation { limits, ..Preparation::default() }), plain);
        let reading = Reading { exif: Exif::Ignore, ..Reading::default() };
        assert_ne!(key(&Preparation { reading, ..Preparation::default() }), plain);
        let recipe = Recipe { input_size: [32; 2], ..Recipe::default() };
        assert_ne!(key(&Preparation { recipe, ..Preparation::default() }), plain);
        let views: std::collections::BTreeSet<String> = (Views { flip: true, crops: true }.all().into_iter())
            .map(|view| key(&Preparation { view, ..Preparation::default() }).to_string())
            .collect();
        assert!(views.len() == 10 && views.contains(&plain.to_string()));
    }
}
