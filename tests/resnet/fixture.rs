//! `forward.json` and `forward_timm.json`: what torchvision's and timm's networks compute, at every tap.

use resnet::{Architecture, WeightFile};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use testkit::formula;

/// Parses a fixture whose first line holds the checksum of the others.
pub fn parse<T: DeserializeOwned>(text: &'static str) -> T {
    #[derive(Deserialize)]
    struct Head {
        crc32_of_the_other_lines: u32,
    }
    let (_, rest) = text.split_once('\n').expect("more than a line");
    let head: Head = serde_json::from_str(text).expect("a first line with a checksum");
    assert_eq!(formula::crc32(rest.bytes()), head.crc32_of_the_other_lines, "the fixture isn't as it was written");
    serde_json::from_str(text).expect("the fixture that its generator writes")
}

#[derive(Deserialize)]
pub struct Fixture {
    pub pinned: Vec<Pinned>,
    pub cases: Vec<Case>,
}

/// The last three values of a tensor drawn by formula.
#[derive(Deserialize)]
pub struct Pinned {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

#[derive(Deserialize)]
pub struct Case {
    architecture: String,
    /// The input's shape, NCHW.
    pub input: [usize; 4],
    pub taps: Vec<Tap>,
}

#[derive(Deserialize)]
pub struct Tap {
    /// The name: `stem`, `maxpool`, `layer1` to `layer4`, `features` or `logits`.
    pub name: String,
    /// Its shape, NCHW, or NC after pooling.
    pub shape: Vec<usize>,
    pub mean_abs: f64,
    pub samples: Vec<f64>,
}

impl Fixture {
    pub fn load() -> Self {
        parse(include_str!("../fixtures/resnet/forward.json"))
    }

    pub fn load_timm() -> Self {
        parse(include_str!("../fixtures/resnet/forward_timm.json"))
    }
}

impl Case {
    pub fn architecture(&self) -> Architecture {
        Architecture::named(&self.architecture, Some(1000))
            .unwrap_or_else(|| Architecture::basic([1, 1, 1, 1], [32, 64, 128, 256], Some(10)))
    }

    /// Draws the weights of this network by the formula.
    pub fn weights(&self) -> WeightFile {
        let file = WeightFile::from_bytes(formula::weights(&self.architecture().tensors())).expect("a whole network");
        assert_eq!(file.architecture().to_string(), self.architecture);
        file
    }

    /// Draws the input, NHWC.
    pub fn input_nhwc(&self) -> Vec<f32> {
        let [n, c, h, w] = self.input;
        let nchw = formula::input("input", n * c * h * w);
        let mut nhwc = vec![0.0; nchw.len()];
        for (i, value) in nchw.into_iter().enumerate() {
            nhwc[nhwc_index(i, &self.input)] = value;
        }
        nhwc
    }

    /// Lists a tap's samples, each with its index into the NHWC (or NC) output.
    pub fn samples<'a>(&self, tap: &'a Tap) -> impl Iterator<Item = (usize, f64)> + 'a {
        let series = format!("{}/{}", self.architecture, tap.name);
        let len = tap.shape.iter().product();
        let at = move |i| nhwc_index(formula::position(&series, i, len), &tap.shape);
        tap.samples.iter().enumerate().map(move |(i, value)| (at(i), *value))
    }
}

/// Computes where the element at `index` of an NCHW tensor stands in NHWC; NC stays as it is.
fn nhwc_index(index: usize, shape: &[usize]) -> usize {
    let &[_, c, h, w] = shape else { return index };
    let (n, channel, pixel) = (index / (c * h * w), index / (h * w) % c, index % (h * w));
    (n * h * w + pixel) * c + channel
}
