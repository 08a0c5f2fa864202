//! Resizing against Pillow, and the whole preprocessing against torchvision.

use resnet::{ImageView, Interpolation, Recipe, Resize, preprocess, resize};
use serde::Deserialize;
use testkit::formula;

use crate::fixture::parse;

#[derive(Deserialize)]
struct Fixture {
    resized: Vec<Resized>,
    pipelines: Vec<Pipeline>,
}

#[derive(Deserialize)]
struct Resized {
    from: [usize; 2],
    to: [usize; 2],
    filter: Interpolation,
    crc32: u32,
    samples: Vec<u8>,
}

#[derive(Deserialize)]
struct Pipeline {
    from: [usize; 2],
    resize: usize,
    crop: usize,
    filter: Interpolation,
    sum: f64,
    samples: Vec<f64>,
}

fn fixture() -> Fixture {
    parse(include_str!("../fixtures/resnet/pillow_resize.json"))
}

/// Draws tiles of noise and tiles of gradient, taking turns: the picture of `pillow_resize.py`.
fn picture([width, height]: [usize; 2]) -> Vec<u8> {
    let value = |i: usize| {
        let (y, x, c) = (i / 3 / width, i / 3 % width, i % 3);
        if (x / 7 + y / 5).is_multiple_of(2) {
            formula::byte("picture", i)
        } else {
            ((5 * x + 3 * y + 70 * c) % 256) as u8
        }
    };
    (0..width * height * 3).map(value).collect()
}

#[test]
fn every_byte_is_pillows() {
    let fixture = fixture();
    assert!(fixture.resized.len() >= 120);
    for case in fixture.resized {
        let pixels = picture(case.from);
        let [width, height] = case.to;
        let image = ImageView::new(case.from[0], case.from[1], &pixels).unwrap();
        let got = resize(image, [height, width], case.filter).unwrap();
        let label = format!("{:?} to {:?} {:?}", case.from, case.to, case.filter);
        assert_eq!(got.len(), width * height * 3, "{label}");
        let samples: Vec<u8> =
            (0..case.samples.len()).map(|i| got[formula::position("samples", i, got.len())]).collect();
        assert_eq!(samples, case.samples, "{label}");
        assert_eq!(formula::crc32(got.iter().copied()), case.crc32, "{label}");
        let mut wrong = got;
        wrong[0] ^= 1;
        assert_ne!(formula::crc32(wrong), case.crc32, "{label}: a wrong byte passes");
    }
}

#[test]
fn the_whole_pipeline_is_torchvisions() {
    for case in fixture().pipelines {
        let pixels = picture(case.from);
        let recipe = Recipe {
            input_size: [case.crop; 2],
            resize: Resize::ShorterSide(case.resize),
            interpolation: case.filter,
            ..Recipe::default()
        };
        let tensor = preprocess(ImageView::new(case.from[0], case.from[1], &pixels).unwrap(), &recipe).unwrap();
        let label = format!("{:?} to {} cropped to {} {:?}", case.from, case.resize, case.crop, case.filter);
        assert_eq!([tensor.height, tensor.width], [case.crop; 2], "{label}");
        let len = tensor.data.len();
        for (i, expected) in case.samples.iter().enumerate() {
            let got = f64::from(tensor.data[formula::position("samples", i, len)]);
            // A byte's difference would be 0.017.
            assert!((got - expected).abs() <= 1e-6, "{label}: {got}, expected {expected}");
        }
        let sum: f64 = tensor.data.iter().map(|value| f64::from(*value)).sum();
        assert!((sum - case.sum).abs() <= 1e-7 * len as f64, "{label}: sum {sum}, expected {}", case.sum);
    }
}
