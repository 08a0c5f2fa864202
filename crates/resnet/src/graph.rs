//! A network as a list of layers over numbered tensors, from which every engine plans: what is computed, of what, in which order.
//! How a device computes it, and where tensors live, stands elsewhere.
//!
//! ```text
//! photos ─ stem ─ pool ─ stage 1 … 4 ─ average ─ head
//!
//! block:  x ─ conv ─ conv ─ (conv) ─ + ─ relu          gated:  y ─ average ─ gate ─ sigmoid ─ · y ─ + shortcut ─ relu
//!         └──── shortcut ────────────┘
//! ```

use crate::architecture::Architecture;
use crate::arena::Tensor;
use crate::engine::Tap;
use crate::error::Error;
use crate::network::{BlockSpec, ConvSpec, GateSpec, Network, PoolSpec, ShortcutSpec};

/// What a layer does.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Stores the photos as activations are stored.
    Convert,
    /// A convolution with its bias, the sum with a second tensor where it reads two, and its ReLU.
    Conv(ConvSpec),
    /// Max-pooling.
    MaxPool(PoolSpec),
    /// Averages 2x2 pixels: an odd last row or column by itself.
    AvgPool,
    /// Averages all pixels of an image.
    GlobalAvgPool,
    /// A layer between a branch's averages and its gate.
    Gate(GateSpec),
    /// `relu(sigmoid(gate) · branch + shortcut)`; it reads branch, gate and shortcut.
    GatedSum,
    /// The file's own head.
    Head,
}

/// A layer, and the tensors that it reads and writes.
#[derive(Clone, Debug)]
pub struct Layer {
    /// torchvision's (or timm's) name of the module.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// Images that it takes: the batch, or a part of it.
    pub images: usize,
    /// Rows, columns and channels of what one image gives it.
    pub input: [usize; 3],
    /// Rows, columns and channels of what it gives for one image.
    pub output: [usize; 3],
    /// The tensors that it reads, by their numbers.
    pub reads: Vec<usize>,
    /// The tensor that it writes.
    pub writes: usize,
}

impl Layer {
    /// Counts floating-point operations by the definition, two a multiply-add; 0 where there are no products.
    pub fn flops(&self) -> u64 {
        let [height, width, channels] = self.input;
        let one = match &self.op {
            Op::Conv(spec) => spec.flops([height, width]),
            Op::Gate(spec) => spec.flops(),
            Op::Head => 2 * (channels * self.output[2]) as u64,
            Op::Convert | Op::MaxPool(_) | Op::AvgPool | Op::GlobalAvgPool | Op::GatedSum => 0,
        };
        self.images as u64 * one
    }
}

/// The sizes and taps that a network is laid out for.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// Images of a pass.
    pub batch: usize,
    /// Rows and columns of an image.
    pub input_size: [usize; 2],
    /// The taps to read. Layers behind the last tap are left out.
    pub taps: &'a [Tap],
    /// Images that the stem does at a time, at most: what it computes is the largest by far, and no more of it need be there than
    /// of what follows.
    pub stem_images: usize,
    /// Channels in which the first layer stores the photos, where the others don't read them as they come.
    pub convert: Option<usize>,
}

/// Channels that sizes are checked for: more than any tensor has to a pixel of the input.
const MOST_CHANNELS: usize = 1 << 16;

impl Layout<'_> {
    /// Checks that a network can be laid out so.
    ///
    /// # Errors
    /// [`Error::Options`] for an empty batch, image or list of taps, for a stage that there isn't, and for more values than can be
    /// counted; [`Error::NoHead`] when logits are asked of a network without a head.
    pub fn check(&self, architecture: &Architecture) -> Result<(), Error> {
        let &Layout { batch, input_size, taps, .. } = self;
        if batch == 0 || input_size.contains(&0) || taps.is_empty() {
            return Err(Error::Options(format!(
                "a batch of {batch} images of {input_size:?} with taps {taps:?}: none may be empty"
            )));
        }
        if let Some(tap) = taps.iter().find(|tap| matches!(tap, Tap::Stage(s) if !(1..=4).contains(s))) {
            return Err(Error::Options(format!("{tap:?}: stages are 1 to 4")));
        }
        if taps.contains(&Tap::Logits) && architecture.classes.is_none() {
            return Err(Error::NoHead { architecture: architecture.to_string() });
        }
        let factors = [batch, input_size[0], input_size[1], MOST_CHANNELS];
        match factors.iter().try_fold(1usize, |product, &factor| product.checked_mul(factor)) {
            Some(_) => Ok(()),
            None => Err(Error::Options(format!(
                "a batch of {batch} images of {input_size:?}: more values than can be counted"
            ))),
        }
    }
}

/// Layers in the order in which they run; tensor 0 is the photos.
#[derive(Debug)]
pub struct Graph {
    /// The layers.
    pub layers: Vec<Layer>,
    /// What they read and write.
    pub tensors: Vec<Tensor>,
    /// The taps, each with its tensor.
    pub taps: Vec<(Tap, usize)>,
}

impl Graph {
    /// Lays a network out.
    pub fn new(network: &Network, layout: Layout) -> Self {
        let graph = Graph { layers: Vec::new(), tensors: Vec::new(), taps: Vec::new() };
        let mut builder = Builder { layout, graph };
        let last = builder.last();
        let photos = builder.photos();
        let mut x = builder.stem(network, photos);
        for stage in network.blocks.chunk_by(|one, next| one.stage == next.stage) {
            let tap = Tap::Stage(stage[0].stage);
            if last < tap {
                return builder.graph;
            }
            for block in stage {
                x = builder.block(block, x);
            }
            builder.tap(tap, x);
        }
        if last >= Tap::Features {
            let features = builder.global_avg_pool("avgpool", x);
            builder.tap(Tap::Features, features);
            if let (Tap::Logits, Some(classes)) = (last, network.classes) {
                let logits = builder.add("fc", Op::Head, &[features], [1, 1, classes]);
                builder.tap(Tap::Logits, logits);
            }
        }
        builder.graph
    }
}

/// A tensor by its number, with rows and columns of its images.
#[derive(Clone, Copy)]
struct Value {
    tensor: usize,
    size: [usize; 2],
}

struct Builder<'a> {
    layout: Layout<'a>,
    graph: Graph,
}

impl Builder<'_> {
    fn last(&self) -> Tap {
        self.layout.taps.iter().max().copied().unwrap_or(Tap::Features)
    }

    fn photos(&mut self) -> Value {
        let [height, width] = self.layout.input_size;
        let photos = self.tensor(self.layout.batch, [height, width, 3]);
        let tensor = &mut self.graph.tensors[photos.tensor];
        (tensor.full, tensor.kept) = (true, true);
        match self.layout.convert {
            Some(channels) => self.add("input", Op::Convert, &[photos], [height, width, channels]),
            None => photos,
        }
    }

    /// Adds the stem and its pooling, of a few images at a time. The last part may do some images again.
    fn stem(&mut self, network: &Network, photos: Value) -> Value {
        let Layout { batch, taps, stem_images, .. } = self.layout;
        let part = if taps.contains(&Tap::Stem) { batch } else { stem_images.clamp(1, batch) };
        let mut pooled = None;
        let mut x = photos;
        for first in (0..batch).step_by(part) {
            let first = first.min(batch - part);
            x = self.images(photos, first, part);
            for conv in &network.stem {
                x = self.conv(conv, x, None);
            }
            if part == batch {
                self.tap(Tap::Stem, x);
            }
            if self.last() > Tap::Stem {
                let [height, width] = network.pool.output_size(x.size);
                let size = [height, width, self.graph.tensors[x.tensor].channels];
                let whole = *pooled.get_or_insert_with(|| self.tensor(batch, size));
                let output = self.images(whole, first, part);
                self.push("maxpool", Op::MaxPool(network.pool), &[x], output);
            }
        }
        if let Some(pooled) = pooled {
            self.tap(Tap::Pool, pooled);
        }
        pooled.unwrap_or(x)
    }

    fn block(&mut self, block: &BlockSpec, input: Value) -> Value {
        let shortcut = match &block.shortcut {
            Some(shortcut) => self.shortcut(shortcut, input),
            None => input,
        };
        let gated = !block.gate.is_empty();
        let mut x = input;
        for (i, conv) in block.convs.iter().enumerate() {
            let residual = (i + 1 == block.convs.len() && !gated).then_some(shortcut);
            x = self.conv(conv, x, residual);
        }
        if gated { self.gated_sum(&block.gate, x, shortcut) } else { x }
    }

    fn shortcut(&mut self, shortcut: &ShortcutSpec, mut x: Value) -> Value {
        if shortcut.pool {
            let [height, width] = shortcut.pooled_size(x.size);
            // timm numbers the parts of a shortcut: the pool is the one before the convolution.
            let name = shortcut.conv.name.replace("downsample.1", "downsample.0");
            x = self.add(&name, Op::AvgPool, &[x], [height, width, shortcut.conv.in_channels]);
        }
        self.conv(&shortcut.conv, x, None)
    }

    /// Adds channel attention on a branch, and the sum with the shortcut.
    fn gated_sum(&mut self, gate: &[GateSpec], branch: Value, shortcut: Value) -> Value {
        // timm's name of the attention, without the layer's own.
        let attention = gate.first().and_then(|gate| gate.name().rsplit_once('.')).map_or("", |(name, _)| name);
        let mut x = self.global_avg_pool(&format!("{attention}.avgpool"), branch);
        for spec in gate {
            let channels = match *spec {
                GateSpec::Dense { out_channels, .. } => out_channels,
                GateSpec::Sliding { channels, .. } => channels,
            };
            x = self.add(spec.name(), Op::Gate(spec.clone()), &[x], [1, 1, channels]);
        }
        let [height, width] = branch.size;
        let channels = self.graph.tensors[branch.tensor].channels;
        self.add(attention, Op::GatedSum, &[branch, x, shortcut], [height, width, channels])
    }

    fn global_avg_pool(&mut self, name: &str, x: Value) -> Value {
        let channels = self.graph.tensors[x.tensor].channels;
        self.add(name, Op::GlobalAvgPool, &[x], [1, 1, channels])
    }

    fn conv(&mut self, spec: &ConvSpec, x: Value, residual: Option<Value>) -> Value {
        let [height, width] = spec.output_size(x.size);
        let reads: Vec<Value> = [x].into_iter().chain(residual).collect();
        self.add(&spec.name, Op::Conv(spec.clone()), &reads, [height, width, spec.out_channels])
    }

    /// Adds a layer and the tensor that it writes, of as many images as it reads.
    fn add(&mut self, name: &str, op: Op, reads: &[Value], size: [usize; 3]) -> Value {
        // Gates are small, and their sigmoids stretch errors: they stay f32, as what is read of them does.
        let full = matches!(op, Op::GlobalAvgPool | Op::Gate(_) | Op::Head);
        let output = self.tensor(self.images_of(reads[0]), size);
        self.graph.tensors[output.tensor].full = full;
        self.push(name, op, reads, output);
        output
    }

    fn push(&mut self, name: &str, op: Op, reads: &[Value], output: Value) {
        let images = self.images_of(output);
        let [from, to] = [reads[0], output].map(|Value { tensor, size: [height, width] }| {
            let channels = self.graph.tensors[tensor].channels;
            [height, width, channels]
        });
        let reads = reads.iter().map(|value| value.tensor).collect();
        let layer = Layer { name: name.to_owned(), op, images, input: from, output: to, reads, writes: output.tensor };
        self.graph.layers.push(layer);
    }

    fn tensor(&mut self, images: usize, [height, width, channels]: [usize; 3]) -> Value {
        let pixels = images * height * width;
        self.graph.tensors.push(Tensor { pixels, channels, full: false, kept: false, part_of: None });
        Value { tensor: self.graph.tensors.len() - 1, size: [height, width] }
    }

    fn images_of(&self, Value { tensor, size: [height, width] }: Value) -> usize {
        self.graph.tensors[tensor].pixels / (height * width).max(1)
    }

    /// Makes the part of a tensor that holds `count` of the batch's images, from the `first` on.
    fn images(&mut self, whole: Value, first: usize, count: usize) -> Value {
        let image = whole.size[0] * whole.size[1];
        let part_of = Some((whole.tensor, first * image));
        let tensor = Tensor { pixels: count * image, kept: false, part_of, ..self.graph.tensors[whole.tensor] };
        self.graph.tensors.push(tensor);
        Value { tensor: self.graph.tensors.len() - 1, ..whole }
    }

    fn tap(&mut self, tap: Tap, value: Value) {
        if self.layout.taps.contains(&tap) {
            self.graph.tensors[value.tensor].kept = true;
            self.graph.taps.push((tap, value.tensor));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;

    fn graph(name: &str, batch: usize, stem_images: usize, taps: &[Tap]) -> Graph {
        let network = Architecture::named(name, Some(7)).unwrap().network();
        Graph::new(&network, Layout { batch, input_size: [64, 96], taps, stem_images, convert: None })
    }

    /// Lists each layer's name, what it reads and what it writes.
    fn lines(graph: &Graph) -> Vec<String> {
        graph.layers.iter().map(|layer| format!("{} {:?} {}", layer.name, layer.reads, layer.writes)).collect()
    }

    #[test]
    fn a_network_is_laid_out_as_the_papers_figure() {
        let lines = lines(&graph("resnet10t", 1, 1, &[Tap::Logits]));
        let stem = ["conv1.0 [1] 2", "conv1.3 [2] 3", "conv1.6 [3] 4", "maxpool [4] 6"];
        assert_eq!(lines[..4], stem);
        // A block with the identity as its shortcut, then one that pools and projects.
        assert_eq!(lines[4..6], ["layer1.0.conv1 [5] 7", "layer1.0.conv2 [7, 5] 8"]);
        let second = ["layer2.0.downsample.0 [8] 9", "layer2.0.downsample.1 [9] 10", "layer2.0.conv1 [8] 11"];
        assert_eq!(lines[6..9], second);
        assert_eq!(lines[9], "layer2.0.conv2 [11, 10] 12");
        assert_eq!(lines[lines.len() - 2..], ["avgpool [20] 21", "fc [21] 22"]);
    }

    #[test]
    fn a_gate_is_made_of_a_branchs_averages() {
        let graph = graph("seresnet18", 2, 2, &[Tap::Stage(1)]);
        let lines = lines(&graph);
        let start = lines.iter().position(|line| line.starts_with("layer1.0.se.avgpool")).unwrap();
        let expected =
            ["layer1.0.se.avgpool [6] 7", "layer1.0.se.fc1 [7] 8", "layer1.0.se.fc2 [8] 9", "layer1.0.se [6, 9, 3] 10"];
        assert_eq!(lines[start..start + 4], expected);
        assert_eq!([6, 7, 8, 9, 10].map(|tensor| graph.tensors[tensor].full), [false, true, true, true, false]);
        assert!(lines.last().unwrap().starts_with("layer1.1.se ["), "layers behind the last tap are left out");
    }

    #[test]
    fn every_layer_reads_what_is_written_before_it() {
        for name in Architecture::published() {
            for stem_images in [1, 2, 3] {
                let graph = graph(name, 3, stem_images, &[Tap::Logits]);
                let mut written = vec![false; graph.tensors.len()];
                written[0] = true;
                for layer in &graph.layers {
                    for &read in &layer.reads {
                        let tensor = graph.tensors[read];
                        let whole = tensor.part_of.map_or(read, |(whole, _)| whole);
                        assert!(written[whole], "{name}: {}", layer.name);
                    }
                    let writes = layer.writes;
                    written[graph.tensors[writes].part_of.map_or(writes, |(whole, _)| whole)] = true;
                }
                let (_, logits) = graph.taps[0];
                assert_eq!((graph.tensors[logits].pixels, graph.tensors[logits].channels), (3, 7), "{name}");
            }
        }
    }

    #[test]
    fn a_stem_in_parts_does_every_image() {
        let parts = |batch, stem_images, taps: &[Tap]| -> Vec<(usize, usize)> {
            let graph = graph("resnet18", batch, stem_images, taps);
            let pools = graph.layers.iter().filter(|layer| layer.name == "maxpool");
            pools
                .map(|layer| {
                    let (_, first) = graph.tensors[layer.writes].part_of.unwrap();
                    (first / (16 * 24), layer.images)
                })
                .collect()
        };
        assert_eq!(parts(8, 8, &[Tap::Features]), [(0, 8)]);
        assert_eq!(parts(8, 3, &[Tap::Features]), [(0, 3), (3, 3), (5, 3)]);
        assert_eq!(parts(3, 1, &[Tap::Features]), [(0, 1), (1, 1), (2, 1)]);
        assert_eq!(parts(8, 3, &[Tap::Stem, Tap::Features]), [(0, 8)], "a tapped stem is whole");
        assert_eq!(parts(8, 3, &[Tap::Stem]), [], "nothing reads the pool");
    }

    #[test]
    fn products_are_counted_by_the_definition() {
        for name in Architecture::published() {
            let flops: u64 = graph(name, 4, 4, &[Tap::Logits]).layers.iter().map(Layer::flops).sum();
            assert_eq!(flops, 4 * Architecture::named(name, Some(7)).unwrap().flops([64, 96]), "{name}");
        }
    }
}
