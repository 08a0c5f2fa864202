//! Any bytes as a photo, from file to the network's input, in the ways that options allow.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use resnet::{ImageBytes, Interpolation, Recipe, Resize};
use trainer::photos::{Background, Exif, Limits, Preparation, Reading, decode_unguarded};

fuzz_target!(|data: &[u8]| {
    // The options come from the length, so that seeds are plain photos.
    let bit = |at: usize| data.len() >> at & 1 == 1;
    let reading = Reading {
        exif: if bit(0) { Exif::Ignore } else { Exif::Apply },
        background: if bit(1) { Background::Over([9, 99, 200]) } else { Background::Drop },
    };
    let limits = Limits { bytes: 1 << 20, pixels: 1 << 20, time: Duration::MAX };
    let Ok(picture) = decode_unguarded(data, &reading, &limits) else { return };
    assert_eq!(picture.rgb.len(), 3 * picture.width * picture.height);
    let recipe = Recipe {
        input_size: [16; 2],
        resize: if bit(2) { Resize::Exact([17, 9]) } else { Resize::ShorterSide(20) },
        interpolation: if bit(3) { Interpolation::Bicubic } else { Interpolation::Bilinear },
        ..Recipe::default()
    };
    let preparation = Preparation { recipe, reading, limits, ..Preparation::default() };
    let tensor = preparation.image(&picture, ImageBytes::default()).expect("the recipe can be followed").tensor();
    assert_eq!(tensor.data.len(), 3 * 16 * 16);
    assert!(tensor.data.iter().all(|value| value.is_finite()));
});
