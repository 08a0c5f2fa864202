//! The list of layers and the folded weights, walked in f64 by the definition of each layer, give PyTorch's values: so what
//! [`resnet::Network`] says is right, whatever runs it.

use resnet::{ConvSpec, GateSpec, PoolSpec, WeightFile};

use crate::fixture::{Case, Fixture, Tap};

/// A batch of NHWC images in f64.
struct Tensor {
    shape: [usize; 4],
    data: Vec<f64>,
}

impl Tensor {
    fn zeros(n: usize, [h, w]: [usize; 2], c: usize) -> Self {
        Self { shape: [n, h, w, c], data: vec![0.0; n * h * w * c] }
    }

    fn pixel(&self, n: usize, y: usize, x: usize) -> &[f64] {
        let [_, h, w, c] = self.shape;
        &self.data[((n * h + y) * w + x) * c..][..c]
    }

    /// Calls `visit(output offset, window y, window x, input pixel)` for every window position inside the picture.
    fn windows(&self, spec: [usize; 3], out: [usize; 2], mut visit: impl FnMut(usize, usize, usize, &[f64])) {
        let [kernel, stride, padding] = spec;
        let [n, h, w, _] = self.shape;
        for (output, position) in (0..n * out[0] * out[1]).enumerate() {
            let (n, y, x) = (position / (out[0] * out[1]), position / out[1] % out[0], position % out[1]);
            for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
                let (iy, ix) = ((y * stride + ky).wrapping_sub(padding), (x * stride + kx).wrapping_sub(padding));
                if iy < h && ix < w {
                    visit(output, ky, kx, self.pixel(n, iy, ix));
                }
            }
        }
    }

    fn conv(&self, file: &WeightFile, spec: &ConvSpec) -> Self {
        let folded = file.conv(spec).unwrap();
        let size = spec.output_size([self.shape[1], self.shape[2]]);
        let mut out = Self::zeros(self.shape[0], size, spec.out_channels);
        let [out_channels, group_in, kernel, _] = spec.weight_shape();
        let group_out = out_channels / spec.groups;
        for pixel in out.data.chunks_exact_mut(out_channels) {
            pixel.iter_mut().zip(&folded.bias).for_each(|(value, bias)| *value = f64::from(*bias));
        }
        // [ky][kx][group][i][o], so that the innermost loop runs over neighbours.
        let taps = kernel * kernel;
        let mut weight = vec![0.0; folded.weight.len()];
        for (index, value) in folded.weight.iter().enumerate() {
            let (o, i, tap) = (index / (group_in * taps), index / taps % group_in, index % taps);
            weight[((tap * spec.groups + o / group_out) * group_in + i) * group_out + o % group_out] =
                f64::from(*value);
        }
        self.windows([kernel, spec.stride, spec.padding], size, |output, ky, kx, pixel| {
            let to = &mut out.data[output * out_channels..][..out_channels];
            let weight = &weight[(ky * kernel + kx) * out_channels * group_in..];
            for (channel, value) in pixel.iter().enumerate() {
                let to = &mut to[channel / group_in * group_out..][..group_out];
                for (to, weight) in to.iter_mut().zip(&weight[channel * group_out..]) {
                    *to += value * weight;
                }
            }
        });
        out
    }

    fn max_pool(&self, spec: &PoolSpec) -> Self {
        let size = spec.output_size([self.shape[1], self.shape[2]]);
        let mut out = Self::zeros(self.shape[0], size, self.shape[3]);
        out.data.fill(f64::NEG_INFINITY);
        self.windows([spec.kernel, spec.stride, spec.padding], size, |output, _, _, pixel| {
            for (to, value) in out.data[output * pixel.len()..].iter_mut().zip(pixel) {
                *to = to.max(*value);
            }
        });
        out
    }

    /// Averages 2x2 pixels with stride 2; at an odd edge the mean of the pixels there are.
    fn avg_pool(&self) -> Self {
        let [n, h, w, channels] = self.shape;
        let size = [h.div_ceil(2), w.div_ceil(2)];
        let mut out = Self::zeros(n, size, channels);
        let mut pixels = vec![0.0; n * size[0] * size[1]];
        self.windows([2, 2, 0], size, |output, _, _, pixel| {
            pixels[output] += 1.0;
            out.data[output * channels..].iter_mut().zip(pixel).for_each(|(to, value)| *to += value);
        });
        for (out, pixels) in out.data.chunks_exact_mut(channels).zip(pixels) {
            out.iter_mut().for_each(|value| *value /= pixels);
        }
        out
    }

    /// Takes the mean of every channel over an image's pixels.
    fn means(&self) -> Vec<f64> {
        let [n, h, w, c] = self.shape;
        let mut means = vec![0.0; n * c];
        for (i, value) in self.data.iter().enumerate() {
            means[i / (h * w * c) * c + i % c] += value / (h * w) as f64;
        }
        means
    }

    /// Multiplies every channel by the sigmoid of its gate.
    fn scaled(mut self, gates: &[f64]) -> Self {
        let [_, h, w, c] = self.shape;
        for (i, value) in self.data.iter_mut().enumerate() {
            *value /= 1.0 + (-gates[i / (h * w * c) * c + i % c]).exp();
        }
        self
    }

    fn relu(mut self) -> Self {
        self.data.iter_mut().for_each(|value| *value = value.max(0.0));
        self
    }
}

/// Applies a layer of a gate to the channels of each image.
fn gate(file: &WeightFile, spec: &GateSpec, input: &[f64]) -> Vec<f64> {
    let (weight, bias) = file.gate(spec).unwrap();
    match *spec {
        GateSpec::Dense { in_channels, relu, .. } => {
            let out = |x: &[f64], weight: &[f32], bias: f32| {
                let sum = x.iter().zip(weight).map(|(x, w)| x * f64::from(*w)).sum::<f64>() + f64::from(bias);
                if relu { sum.max(0.0) } else { sum }
            };
            let rows = || weight.chunks_exact(in_channels).zip(&bias);
            input.chunks_exact(in_channels).flat_map(|x| rows().map(move |(w, b)| out(x, w, *b))).collect()
        }
        GateSpec::Sliding { channels, kernel, .. } => {
            let at = |x: &[f64], c: usize, k: usize| (c + k).checked_sub(kernel / 2).and_then(|i| x.get(i).copied());
            let out = |x: &[f64], c| (0..kernel).map(|k| f64::from(weight[k]) * at(x, c, k).unwrap_or(0.0)).sum();
            input.chunks_exact(channels).flat_map(|x| (0..channels).map(move |c| out(x, c))).collect()
        }
    }
}

fn check(case: &Case, tap: &Tap, shape: &[usize], got: &[f64]) {
    let name = format!("{} {}", case.architecture(), tap.name);
    assert_eq!(tap.shape, shape, "{name}");
    let mean = got.iter().map(|value| value.abs()).sum::<f64>() / got.len() as f64;
    // Folded weights are rounded to f32: 2^-24 each, and some dozens of layers pass it on.
    let close = |got: f64, expected: f64| (got - expected).abs() <= 2e-6 * (expected.abs() + tap.mean_abs);
    assert!(close(mean, tap.mean_abs), "{name}: mean {mean}, expected {}", tap.mean_abs);
    let mut samples = 0;
    for (index, expected) in case.samples(tap) {
        assert!(close(got[index], expected), "{name} [{index}]: {}, expected {expected}", got[index]);
        samples += 1;
    }
    assert_eq!(samples, 64, "{name}");
    let (index, expected) = case.samples(tap).next().unwrap();
    assert!(!close(got[index] + 1e-3, expected), "{name}: a wrong value passes");
}

/// Computes what the network of `file` gives at every tap for NHWC images: the shape, NCHW or NC, and the values, NHWC or NC.
pub fn walk(file: &WeightFile, [n, c, h, w]: [usize; 4], input: &[f32]) -> Vec<(Vec<usize>, Vec<f64>)> {
    let network = file.architecture().network();
    let mut x = Tensor { shape: [n, h, w, c], data: input.iter().copied().map(f64::from).collect() };
    let mut taps = Vec::new();
    let mut tap = |x: &Tensor| {
        let [n, h, w, c] = x.shape;
        taps.push((vec![n, c, h, w], x.data.clone()));
    };
    for conv in &network.stem {
        x = x.conv(file, conv).relu();
    }
    tap(&x);
    x = x.max_pool(&network.pool);
    tap(&x);
    for (i, block) in network.blocks.iter().enumerate() {
        let shortcut = block.shortcut.as_ref().map(|spec| {
            let pooled = spec.pool.then(|| x.avg_pool());
            pooled.as_ref().unwrap_or(&x).conv(file, &spec.conv)
        });
        let (last, rest) = block.convs.split_last().unwrap();
        let mut branch = rest
            .iter()
            .fold(None, |branch: Option<Tensor>, spec| Some(branch.as_ref().unwrap_or(&x).conv(file, spec).relu()));
        branch = branch.map(|branch| branch.conv(file, last));
        let mut sum = branch.unwrap();
        if !block.gate.is_empty() {
            let gates = block.gate.iter().fold(sum.means(), |x, spec| gate(file, spec, &x));
            sum = sum.scaled(&gates);
        }
        let shortcut = shortcut.unwrap_or(x);
        assert_eq!(sum.shape, shortcut.shape);
        sum.data.iter_mut().zip(&shortcut.data).for_each(|(sum, value)| *sum += value);
        x = sum.relu();
        if network.blocks.get(i + 1).is_none_or(|next| next.stage != block.stage) {
            tap(&x);
        }
    }
    let features = x.means();
    let head = file.head().unwrap();
    assert_eq!(Some(head.classes), network.classes);
    let mut logits = Vec::new();
    for features in features.chunks_exact(head.features) {
        for (weight, bias) in head.weight.chunks_exact(head.features).zip(&head.bias) {
            logits.push(weight.iter().zip(features).map(|(w, x)| f64::from(*w) * x).sum::<f64>() + f64::from(*bias));
        }
    }
    taps.extend([(vec![n, network.features], features), (vec![n, head.classes], logits)]);
    taps
}

fn run(case: &Case) {
    let walked = walk(&case.weights(), case.input, &case.input_nhwc());
    assert_eq!(walked.len(), case.taps.len());
    for (tap, (shape, got)) in case.taps.iter().zip(&walked) {
        check(case, tap, shape, got);
    }
}

#[test]
fn walking_the_layers_gives_what_pytorch_gives() {
    let mut cases = Fixture::load().cases;
    assert_eq!(cases.len(), 11);
    cases.extend(Fixture::load_timm().cases);
    assert_eq!(cases.len(), 21);
    // The others differ from these in nothing but numbers of blocks and channels.
    let walked = [
        ("resnet-basic-1-1-1-1-w32", 64),
        ("resnet18", 64),
        ("resnet50", 64),
        ("resnext50_32x4d", 64),
        ("resnet14t", 64),
        ("seresnet50", 64),
        ("resnet18d", 75),
        ("seresnet18", 75),
        ("ecaresnetlight", 37),
    ];
    for (name, height) in walked {
        let case = cases.iter().find(|case| case.architecture().to_string() == name && case.input[2] == height);
        run(case.unwrap_or_else(|| panic!("no case {name} of {height} rows")));
    }
}
