//! A small world to train in: photos of three classes, told apart by colour, a tiny network with random weights, and its recipe.

use std::path::Path;

use image::{Rgb, RgbImage};
use resnet::Architecture;
use trainer::random_weights;

/// Writes `photos/CLASS/NN.png`, `weights.safetensors` and `recipe.json` into a folder.
pub fn world(folder: &Path) {
    let architecture = Architecture::basic([1; 4], [8, 8, 16, 32], None);
    std::fs::write(folder.join("weights.safetensors"), random_weights(&architecture, 1)).unwrap();
    let recipe = r#"{"input_size": [32, 32], "resize": {"shorter_side": 36}, "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}"#;
    std::fs::write(folder.join("recipe.json"), recipe).unwrap();
    for (class, colour) in [("blue", [40, 60, 220]), ("green", [40, 200, 60]), ("red", [220, 50, 40])] {
        for index in 0..12 {
            draw(&folder.join(format!("photos/{class}/{index:02}.png")), colour, index);
        }
    }
}

/// Draws a photo; each index gives another one.
pub fn draw(path: &Path, colour: [u8; 3], index: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let shade = |value: u8, x: u32, y: u32| value.saturating_sub(((x * (index + 3) + y * 5) % 40) as u8);
    let picture = RgbImage::from_fn(48, 40 + index, |x, y| Rgb(colour.map(|value| shade(value, x, y))));
    picture.save(path).unwrap();
}
