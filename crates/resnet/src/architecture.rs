//! Which ResNet a file holds, and the convolutions it is made of.
//!
//! An [`Architecture`] is the few numbers that tell one residual network from another. Every one of them is
//! visible in a checkpoint's tensor names and shapes, so no flag is ever needed. [`Architecture::network`] spells it out
//! into the typed list of layers that a forward pass walks.
//!
//! Besides the plain network these are: the deep stem of three 3x3 convolutions (ResNet-C), the average-pooled shortcut
//! (ResNet-D), squeeze and excitation (SE) and efficient channel attention (ECA), alone or together, as timm has them.
//!
//! What shapes cannot show is taken as torchvision and timm have it: the stem's first convolution has stride 2 and half its
//! kernel as padding, stages 2 to 4 begin with stride 2, and a bottleneck strides in its 3x3 convolution ("v1.5") rather than
//! in the first 1x1; gates are sigmoids, ECA pads with zeros.
//! Networks that differ from one of these in nothing but strides or parameterless layers (timm's antialiased `resnetaa*` and
//! `resnetblur*`) can't be told from it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};

/// The two residual blocks of the family.
///
/// # Reference
/// He et al., *Deep Residual Learning for Image Recognition*, 2015, figure 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// A 1x1 convolution down, a 3x3, perhaps grouped, and a 1x1 up.
    Bottleneck,
}

impl Block {
    /// Convolutions on the residual branch: 2 or 3.
    pub fn convolutions(self) -> usize {
        match self {
            Block::Basic => 2,
            Block::Bottleneck => 3,
        }
    }
}

/// Channel attention: each block's branch is multiplied, channel by channel, by the sigmoid of what small layers make of its
/// averages over all pixels, before the shortcut is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attention {
    /// Two dense layers with a ReLU between them.
    ///
    /// # Reference
    /// Hu, Shen, Albanie, Sun and Wu, *Squeeze-and-Excitation Networks*, 2018, section 3.
    SqueezeExcite {
        /// Channels between the two.
        reduced: usize,
    },
    /// One small convolution along the channels.
    ///
    /// # Reference
    /// Wang et al., *ECA-Net: Efficient Channel Attention*, 2020, section 3.2.
    Efficient {
        /// Neighbouring channels that it sees, odd.
        kernel: usize,
    },
}

/// One of the four stages: blocks of equal width, the first of which halves the resolution (save in stage 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stage {
    /// Number of blocks, at least 1.
    pub blocks: usize,
    /// Channels that each block puts out.
    pub width: usize,
    /// Channels between a block's convolutions: a bottleneck's 3x3 width; in a basic block the same as `width`.
    pub inner: usize,
    /// Groups of a bottleneck's 3x3 convolution: 1, or ResNeXt's cardinality.
    pub groups: usize,
    /// Whether the first block's shortcut is a 1x1 convolution rather than the identity. Always so in stages 2 to 4.
    pub projection: bool,
    /// Channel attention of every block.
    pub attention: Option<Attention>,
}

/// A residual network of the family of torchvision and timm, told by its shapes.
///
/// ```
/// use resnet::Architecture;
///
/// let net = Architecture::named("resnet50", Some(1000)).unwrap();
/// assert_eq!(net.features(), 2048);
/// assert_eq!(net.parameters(), 25_557_032);
/// assert_eq!(net.to_string(), "resnet50");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Architecture {
    /// Kind of residual block, the same throughout.
    pub block: Block,
    /// Channels that the stem puts out.
    pub stem_width: usize,
    /// Channels of the two 3x3 convolutions before the stem's last, also 3x3 (ResNet-C and -D); `None` for a stem of one 7x7.
    ///
    /// # Reference
    /// He et al., *Bag of Tricks for Image Classification with Convolutional Neural Networks*, 2019, section 4.2.
    pub deep_stem: Option<[usize; 2]>,
    /// Whether a shortcut that halves the resolution averages 2x2 pixels before a 1x1 convolution of stride 1 (ResNet-D), rather
    /// than striding in it.
    pub pooled_shortcuts: bool,
    /// Stages 1 to 4, in order.
    pub stages: [Stage; 4],
    /// Classes of the file's own head (`fc`); `None` for a backbone without one.
    pub classes: Option<usize>,
}

/// Names of published networks, torchvision's and then timm's.
const PUBLISHED: [&str; 58] = [
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "resnet10t",
    "resnet14t",
    "resnet18d",
    "resnet26",
    "resnet26d",
    "resnet26t",
    "resnet34d",
    "resnet50c",
    "resnet50d",
    "resnet50s",
    "resnet50t",
    "resnet101c",
    "resnet101d",
    "resnet101s",
    "resnet152c",
    "resnet152d",
    "resnet152s",
    "resnet200",
    "resnet200d",
    "resnext50d_32x4d",
    "resnext101_32x4d",
    "resnext101_32x16d",
    "resnext101_32x32d",
    "seresnet18",
    "seresnet34",
    "seresnet50",
    "seresnet50t",
    "seresnet101",
    "seresnet152",
    "seresnet152d",
    "seresnet200d",
    "seresnet269d",
    "seresnext26d_32x4d",
    "seresnext26t_32x4d",
    "seresnext50_32x4d",
    "seresnext101_32x4d",
    "seresnext101_32x8d",
    "seresnext101_64x4d",
    "seresnext101d_32x8d",
    "ecaresnet26t",
    "ecaresnet50d",
    "ecaresnet50t",
    "ecaresnet101d",
    "ecaresnet200d",
    "ecaresnet269d",
    "ecaresnetlight",
    "ecaresnext26t_32x4d",
    "ecaresnext50t_32x4d",
];

/// What a name's depth stands for: blocks a stage.
const DEPTHS: [(&str, Block, [usize; 4]); 11] = [
    ("10", Block::Basic, [1, 1, 1, 1]),
    ("14", Block::Bottleneck, [1, 1, 1, 1]),
    ("18", Block::Basic, [2, 2, 2, 2]),
    ("26", Block::Bottleneck, [2, 2, 2, 2]),
    ("34", Block::Basic, [3, 4, 6, 3]),
    ("50", Block::Bottleneck, [3, 4, 6, 3]),
    ("101", Block::Bottleneck, [3, 4, 23, 3]),
    ("152", Block::Bottleneck, [3, 8, 36, 3]),
    ("200", Block::Bottleneck, [3, 24, 36, 3]),
    ("269", Block::Bottleneck, [3, 30, 48, 8]),
    ("light", Block::Bottleneck, [1, 1, 11, 3]),
];

/// What the letter behind the depth stands for: deep stem, its width, average-pooled shortcuts.
const LETTERS: [(&str, Option<[usize; 2]>, usize, bool); 5] = [
    ("", None, 64, false),
    ("c", Some([32, 32]), 64, false),
    ("d", Some([32, 32]), 64, true),
    ("s", Some([64, 64]), 128, false),
    ("t", Some([24, 32]), 64, true),
];

/// Blocks a stage beyond which a tensor's block index is taken for a mistake in its name.
const MAX_BLOCKS: usize = 256;

impl Architecture {
    /// The network published as `name` by torchvision or timm (`resnet18`, `wide_resnet50_2`, `seresnext26t_32x4d`…), or `None`.
    pub fn named(name: &str, classes: Option<usize>) -> Option<Self> {
        // <attention>resne[x]t<depth><letter>_<groups>x<channels a group at stage 1>d
        let (kind, rest) = PUBLISHED.contains(&name).then(|| name.split_once("resne"))??;
        let rest = rest.trim_start_matches('x').strip_prefix('t')?;
        let (rest, cardinality) = rest.split_once('_').unwrap_or((rest, "1x64d"));
        let (depth, block, depths, letter) = DEPTHS.iter().find_map(|&(depth, block, depths)| {
            let letter = rest.strip_prefix(depth)?;
            Some((depth, block, depths, LETTERS.iter().find(|l| l.0 == letter)?))
        })?;
        let &(_, deep_stem, stem_width, pooled) = letter;
        let (groups, group_width) = match cardinality.strip_suffix('d') {
            Some(cardinality) => cardinality.split_once('x')?,
            None => ("1", "128"),
        };
        let (groups, group_width) = (groups.parse().ok()?, group_width.parse::<usize>().ok()?);
        let mut channels = stem_width;
        let stages = std::array::from_fn(|s| {
            let (width, inner) = match block {
                Block::Basic => (64 << s, 64 << s),
                Block::Bottleneck => (256 << s, (group_width * groups) << s),
            };
            let attention = match kind {
                "se" => Some(Attention::SqueezeExcite { reduced: ((width / 16 + 4) / 8 * 8).max(8) }),
                "eca" => Some(Attention::Efficient { kernel: (width.ilog2() as usize).div_ceil(2).max(2) | 1 }),
                _ => None,
            };
            let projection = s > 0 || channels != width;
            channels = width;
            Stage { blocks: depths[s], width, inner, groups, projection, attention }
        });
        let pooled_shortcuts = pooled || depth == "light";
        Some(Self { block, stem_width, deep_stem, pooled_shortcuts, stages, classes })
    }

    /// The names that [`named`](Self::named) knows.
    pub fn published() -> impl Iterator<Item = &'static str> {
        PUBLISHED.into_iter()
    }

    /// A network of basic blocks whose stem is as wide as its first stage.
    ///
    /// ```
    /// let small = resnet::Architecture::basic([1, 1, 1, 1], [32, 64, 128, 256], None);
    /// assert_eq!(small.to_string(), "resnet-basic-1-1-1-1-w32");
    /// ```
    pub fn basic(blocks: [usize; 4], widths: [usize; 4], classes: Option<usize>) -> Self {
        let stages = std::array::from_fn(|s| Stage {
            blocks: blocks[s],
            width: widths[s],
            inner: widths[s],
            groups: 1,
            projection: s > 0,
            attention: None,
        });
        let stem_width = widths[0];
        Self { block: Block::Basic, stem_width, deep_stem: None, pooled_shortcuts: false, stages, classes }
    }

    /// Length of the pooled feature vector: the last stage's width.
    pub fn features(&self) -> usize {
        self.stages[3].width
    }

    /// The layers in the order a forward pass takes them.
    pub fn network(&self) -> Network {
        let conv = |name: &str, norm: &str, kernel, in_channels, out_channels, stride| ConvSpec {
            name: name.into(),
            norm: norm.into(),
            in_channels,
            out_channels,
            kernel,
            stride,
            padding: kernel / 2,
            groups: 1,
            relu: true,
        };
        let stem = match self.deep_stem {
            None => vec![conv("conv1", "bn1", 7, 3, self.stem_width, 2)],
            Some([first, second]) => vec![
                conv("conv1.0", "conv1.1", 3, 3, first, 2),
                conv("conv1.3", "conv1.4", 3, first, second, 1),
                conv("conv1.6", "bn1", 3, second, self.stem_width, 1),
            ],
        };
        let mut blocks = Vec::new();
        let mut channels = self.stem_width;
        for (s, stage) in self.stages.iter().enumerate() {
            for b in 0..stage.blocks {
                let stride = if s > 0 && b == 0 { 2 } else { 1 };
                blocks.push(self.block_spec(s, b, channels, stride));
                channels = stage.width;
            }
        }
        Network {
            stem,
            pool: PoolSpec { kernel: 3, stride: 2, padding: 1 },
            blocks,
            features: self.features(),
            classes: self.classes,
        }
    }

    fn block_spec(&self, s: usize, b: usize, channels: usize, stride: usize) -> BlockSpec {
        let Stage { width, inner, groups, projection, attention, .. } = self.stages[s];
        let name = format!("layer{}.{b}", s + 1);
        let conv = |i: usize, kernel, [in_channels, out_channels]: [usize; 2], stride, groups| ConvSpec {
            name: format!("{name}.conv{i}"),
            norm: format!("{name}.bn{i}"),
            in_channels,
            out_channels,
            kernel,
            stride,
            padding: kernel / 2,
            groups,
            relu: true,
        };
        let mut convs = match self.block {
            Block::Basic => vec![conv(1, 3, [channels, inner], stride, 1), conv(2, 3, [inner, width], 1, 1)],
            Block::Bottleneck => vec![
                conv(1, 1, [channels, inner], 1, 1),
                conv(2, 3, [inner, inner], stride, groups),
                conv(3, 1, [inner, width], 1, 1),
            ],
        };
        if let (Some(_), Some(last)) = (attention, convs.last_mut()) {
            last.relu = false;
        }
        let gate = match attention {
            None => vec![],
            Some(Attention::SqueezeExcite { reduced }) => {
                let dense = |i, in_channels, out_channels, relu| GateSpec::Dense {
                    name: format!("{name}.se.fc{i}"),
                    in_channels,
                    out_channels,
                    relu,
                };
                vec![dense(1, width, reduced, true), dense(2, reduced, width, false)]
            }
            Some(Attention::Efficient { kernel }) => {
                vec![GateSpec::Sliding { name: format!("{name}.se.conv"), channels: width, kernel }]
            }
        };
        let shortcut = (b == 0 && projection).then(|| {
            let pool = self.pooled_shortcuts && stride > 1;
            // With pooling the first module is the pool, or the identity where there is nothing to pool.
            let place = usize::from(self.pooled_shortcuts);
            let conv = ConvSpec {
                name: format!("{name}.downsample.{place}"),
                norm: format!("{name}.downsample.{}", place + 1),
                relu: false,
                ..conv(0, 1, [channels, width], if pool { 1 } else { stride }, 1)
            };
            ShortcutSpec { pool, conv }
        });
        BlockSpec { name, stage: s + 1, convs, gate, shortcut }
    }

    /// Every tensor of the network in torchvision's and timm's names, with its shape: convolutions in the order of the layers, gates,
    /// head.
    ///
    /// Holds `num_batches_tracked` nowhere: it plays no part in inference.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let network = self.network();
        let mut tensors = Vec::new();
        for conv in network.convs() {
            tensors.push((format!("{}.weight", conv.name), conv.weight_shape().to_vec()));
            for part in ["weight", "bias", "running_mean", "running_var"] {
                tensors.push((format!("{}.{part}", conv.norm), vec![conv.out_channels]));
            }
        }
        for gate in network.blocks.iter().flat_map(|block| &block.gate) {
            tensors.push((format!("{}.weight", gate.name()), gate.weight_shape()));
            if let GateSpec::Dense { out_channels, .. } = gate {
                tensors.push((format!("{}.bias", gate.name()), vec![*out_channels]));
            }
        }
        if let Some(classes) = self.classes {
            tensors.push(("fc.weight".into(), vec![classes, self.features()]));
            tensors.push(("fc.bias".into(), vec![classes]));
        }
        tensors
    }

    /// Trainable parameters, the head's included where there is one; BatchNorm's running statistics aren't counted.
    pub fn parameters(&self) -> usize {
        let counted = |name: &str| !name.contains(".running_");
        self.tensors().iter().filter(|(name, _)| counted(name)).map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Floating-point operations for one image of `size` (height, width): two a multiply-add of the convolutions, the
    /// gates' layers and the head. Pooling, additions, the gates' products and BatchNorm (folded away) are left out, as published counts do.
    pub fn flops(&self, size: [usize; 2]) -> u64 {
        self.network().flops(size)
    }

    /// Reads the architecture off canonical (torchvision) tensor names and shapes.
    ///
    /// Each width is the one that most of the tensors concerned agree on, so a few missing or misshapen ones don't hide
    /// what the network is, and can then be named. `Err` says why the tensors are no network of this family.
    pub(crate) fn detect(tensors: &BTreeMap<String, Vec<usize>>) -> Result<Self, String> {
        let mut stages: [Vec<(usize, &str, &[usize])>; 4] = Default::default();
        for (name, shape) in tensors {
            if let Some((stage, block, part)) = split_block_name(name) {
                stages[stage].push((block, part, shape));
            }
        }
        if let Some(s) = stages.iter().position(Vec::is_empty) {
            return Err(format!("it has no tensor of stage `layer{}`", s + 1));
        }
        let deep = tensors.keys().any(|name| name.starts_with("conv1.0.") || name.starts_with("conv1.3."));
        let first_conv = if deep { "conv1.0.weight" } else { "conv1.weight" };
        match tensors.get(first_conv).map(Vec::as_slice) {
            None | Some([_, 3, 7, 7]) => {}
            Some([_, 3, _, _]) if deep => {}
            Some([_, 3, kernel, _]) => {
                return Err(format!(
                    "its stem is a {kernel}x{kernel} convolution, as in ResNets for CIFAR or small images; a 7x7 one is expected, or \
                    three of 3x3"
                ));
            }
            Some([_, channels, _, _]) => {
                return Err(format!("its stem takes {channels} input channels; photos have 3"));
            }
            Some(shape) => return Err(format!("its `{first_conv}` has shape {shape:?}")),
        }
        let bottlenecks = stages
            .each_ref()
            .map(|parts| parts.iter().any(|(_, part, _)| part.starts_with("conv3.") || part.starts_with("bn3.")));
        let bottleneck = bottlenecks[0];
        if bottlenecks != [bottleneck; 4] {
            return Err("some of its stages are made of basic blocks, others of bottlenecks".into());
        }
        let block = if bottleneck { Block::Bottleneck } else { Block::Basic };

        let stem_width_of = |modules: [&str; 2]| {
            let of_module = |name: &str| modules.iter().any(|module| name.starts_with(module));
            majority(tensors.iter().filter(|(name, _)| of_module(name)).map(|(_, shape)| first(shape)))
                .ok_or("its stem tells no width")
        };
        let stem_width = stem_width_of([if deep { "conv1.6." } else { "conv1." }, "bn1."])?;
        let deep_stem = match deep {
            true => Some([stem_width_of(["conv1.0.", "conv1.1."])?, stem_width_of(["conv1.3.", "conv1.4."])?]),
            false => None,
        };
        let pooled_shortcuts = stages.iter().flatten().any(|(_, part, _)| part.starts_with("downsample.2."));
        let mut channels = stem_width;
        let mut found = Vec::new();
        for (s, parts) in stages.iter().enumerate() {
            let stage = s + 1;
            let width_of = |i: usize| {
                let (conv, norm) = (format!("conv{i}."), format!("bn{i}."));
                majority(
                    parts
                        .iter()
                        .filter(|(_, part, _)| part.starts_with(&conv) || part.starts_with(&norm))
                        .map(|(_, _, shape)| first(shape)),
                )
                .ok_or(format!("no tensor of `layer{stage}` tells the width of its convolution {i}"))
            };
            let width = width_of(block.convolutions())?;
            let inner = width_of(block.convolutions() - 1)?;
            let group_width = majority(parts.iter().map(|(_, part, shape)| match (*part, *shape) {
                ("conv2.weight", [_, group_width, _, _]) if bottleneck => *group_width,
                _ => 0,
            }));
            let groups = group_width.filter(|width| inner % width == 0).map_or(1, |width| inner / width);
            let projection = s > 0
                || channels != width
                || parts.iter().any(|(b, part, _)| *b == 0 && part.starts_with("downsample."));
            let blocks = parts.iter().map(|(b, _, _)| b + 1).max().unwrap_or(1);
            let sizes = |module: &str, size: fn(&[usize]) -> usize| {
                majority(parts.iter().filter(|(_, part, _)| part.starts_with(module)).map(|(_, _, shape)| size(shape)))
            };
            let reduced = sizes("se.fc1.", first).map(|reduced| Attention::SqueezeExcite { reduced });
            // An even kernel has no middle: no such network exists.
            let last_if_odd = |shape: &[usize]| shape.last().copied().filter(|kernel| kernel % 2 == 1).unwrap_or(0);
            let kernel = sizes("se.conv.weight", last_if_odd).map(|kernel| Attention::Efficient { kernel });
            found.push(Stage { blocks, width, inner, groups, projection, attention: reduced.or(kernel) });
            channels = width;
        }
        let stages = found.try_into().map_err(|_| "it doesn't have four stages")?;
        let head = tensors.iter().filter(|(name, _)| *name == "fc.weight" || *name == "fc.bias");
        let classes = majority(head.map(|(_, shape)| first(shape)));
        Ok(Self { block, stem_width, deep_stem, pooled_shortcuts, stages, classes })
    }
}

/// The name: torchvision's or timm's for a published network, whatever the number of classes; else a description,
/// `resnet-<block>-<blocks a stage>-w<widths>`, with only the first width if they double from stage to stage, and whatever else
/// there is: `-inner`, `-g` (groups), `-stem`, `-deep` (widths), `-avgpool`, `-se` (reduced channels), `-eca` (kernels).
impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = Self::published().find(|name| Self::named(name, self.classes).as_ref() == Some(self)) {
            return f.write_str(name);
        }
        let join = |values: [usize; 4]| {
            let doubling = (1..4).all(|s| values[s] == values[0] << s);
            let mut text = values[0].to_string();
            for value in &values[if doubling { 4 } else { 1 }..] {
                let _ = write!(text, "-{value}");
            }
            text
        };
        let [a, b, c, d] = self.stages.map(|stage| stage.blocks);
        let kind = match self.block {
            Block::Basic => "basic",
            Block::Bottleneck => "bottleneck",
        };
        let expansion = if self.block == Block::Basic { 1 } else { 4 };
        write!(f, "resnet-{kind}-{a}-{b}-{c}-{d}-w{}", join(self.stages.map(|stage| stage.width / expansion)))?;
        if self.stages.iter().any(|stage| stage.inner * expansion != stage.width) {
            write!(f, "-inner{}", join(self.stages.map(|stage| stage.inner)))?;
        }
        if self.stages.iter().any(|stage| stage.groups > 1) {
            let groups = self.stages.map(|stage| stage.groups);
            if groups == [groups[0]; 4] {
                write!(f, "-g{}", groups[0])?;
            } else {
                write!(f, "-g{}", join(groups))?;
            }
        }
        if self.stem_width * expansion != self.stages[0].width {
            write!(f, "-stem{}", self.stem_width)?;
        }
        if let Some([first, second]) = self.deep_stem {
            write!(f, "-deep{first}-{second}")?;
        }
        if self.pooled_shortcuts {
            f.write_str("-avgpool")?;
        }
        let squeezed = self.stages.map(|stage| match stage.attention {
            Some(Attention::SqueezeExcite { reduced }) => reduced,
            _ => 0,
        });
        let kernels = self.stages.map(|stage| match stage.attention {
            Some(Attention::Efficient { kernel }) => kernel,
            _ => 0,
        });
        for (name, sizes) in [("se", squeezed), ("eca", kernels)] {
            if sizes != [0; 4] {
                write!(f, "-{name}{}", join(sizes))?;
            }
        }
        Ok(())
    }
}

/// One convolution with the BatchNorm that follows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvSpec {
    /// torchvision's module name: its weight is the tensor `<name>.weight`, of shape [`weight_shape`](Self::weight_shape).
    pub name: String,
    /// torchvision's module name of its BatchNorm.
    pub norm: String,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Stride along both axes.
    pub stride: usize,
    /// Zeros added on each of the four sides.
    pub padding: usize,
    /// Groups: each output channel sees `in_channels / groups` inputs.
    pub groups: usize,
    /// Whether a ReLU follows. In a block's last convolution it comes after the shortcut has been added; behind channel
    /// attention it belongs to the gated sum.
    pub relu: bool,
}

impl ConvSpec {
    /// Shape of the weight, OIHW: `[out_channels, in_channels / groups, kernel, kernel]`.
    pub fn weight_shape(&self) -> [usize; 4] {
        [self.out_channels, self.in_channels / self.groups, self.kernel, self.kernel]
    }

    /// Height and width of the output for an input of `size` (height, width).
    pub fn output_size(&self, size: [usize; 2]) -> [usize; 2] {
        output_size(size, self.kernel, self.stride, self.padding)
    }

    /// Floating-point operations, two a multiply-add, for one image of `size` (height, width).
    pub fn flops(&self, size: [usize; 2]) -> u64 {
        let [h, w] = self.output_size(size);
        2 * (h * w) as u64 * self.weight_shape().iter().product::<usize>() as u64
    }
}

/// The max-pooling after the stem. Padding counts as minus infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolSpec {
    /// Height and width of the window.
    pub kernel: usize,
    /// Stride along both axes.
    pub stride: usize,
    /// Rows and columns of padding on each side.
    pub padding: usize,
}

impl PoolSpec {
    /// Height and width of the output for an input of `size` (height, width).
    pub fn output_size(&self, size: [usize; 2]) -> [usize; 2] {
        output_size(size, self.kernel, self.stride, self.padding)
    }
}

/// A layer on the way from the averages of a block's channels to its gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GateSpec {
    /// A dense layer with bias, stored as a 1x1 convolution.
    Dense {
        /// timm's module name: `<name>.weight` and `<name>.bias`.
        name: String,
        /// Channels that it sees.
        in_channels: usize,
        /// Channels that it gives.
        out_channels: usize,
        /// Whether a ReLU follows.
        relu: bool,
    },
    /// A convolution along the channels, padded with zeros to the same length, without bias.
    Sliding {
        /// timm's module name: `<name>.weight`.
        name: String,
        /// Channels that it sees and gives.
        channels: usize,
        /// Length of the kernel, odd.
        kernel: usize,
    },
}

impl GateSpec {
    /// timm's module name.
    pub fn name(&self) -> &str {
        match self {
            GateSpec::Dense { name, .. } | GateSpec::Sliding { name, .. } => name,
        }
    }

    /// Shape of the weight: `[out_channels, in_channels, 1, 1]` or `[1, 1, kernel]`.
    pub fn weight_shape(&self) -> Vec<usize> {
        match *self {
            GateSpec::Dense { in_channels, out_channels, .. } => vec![out_channels, in_channels, 1, 1],
            GateSpec::Sliding { kernel, .. } => vec![1, 1, kernel],
        }
    }

    /// Floating-point operations, two a multiply-add, for one image.
    pub fn flops(&self) -> u64 {
        2 * match *self {
            GateSpec::Dense { in_channels, out_channels, .. } => in_channels * out_channels,
            GateSpec::Sliding { channels, kernel, .. } => channels * kernel,
        } as u64
    }
}

/// A shortcut that isn't the identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShortcutSpec {
    /// Whether 2x2 pixels are averaged with stride 2 before the convolution: an odd last row or column by itself.
    pub pool: bool,
    /// The 1x1 convolution.
    pub conv: ConvSpec,
}

impl ShortcutSpec {
    /// Height and width of what the convolution takes, for a block's input of `size` (height, width).
    pub fn pooled_size(&self, size: [usize; 2]) -> [usize; 2] {
        if self.pool { size.map(|side| side.div_ceil(2)) } else { size }
    }
}

/// A residual block: `relu(convs(x) + shortcut(x))`, or with channel attention
/// `relu(sigmoid(gate(mean(convs(x)))) · convs(x) + shortcut(x))`, the mean over all pixels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockSpec {
    /// torchvision's module name, `layer1.0`.
    pub name: String,
    /// Stage it belongs to, 1 to 4.
    pub stage: usize,
    /// The residual branch, in order. The last one's ReLU follows the addition of the shortcut.
    pub convs: Vec<ConvSpec>,
    /// The layers of the channel attention; none without it.
    pub gate: Vec<GateSpec>,
    /// The shortcut; `None` where it is the block's input itself.
    pub shortcut: Option<ShortcutSpec>,
}

/// The layers of a network: stem, max-pool, blocks, global average pool, head.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first convolutions: one, or three in a deep stem.
    pub stem: Vec<ConvSpec>,
    /// The max-pooling after them.
    pub pool: PoolSpec,
    /// All blocks of stages 1 to 4, in order.
    pub blocks: Vec<BlockSpec>,
    /// Length of the vector that global average pooling leaves.
    pub features: usize,
    /// Classes of the file's own head, `None` without one.
    pub classes: Option<usize>,
}

impl Network {
    /// Every convolution: the stem, then each block's shortcut (where it has one) and branch.
    pub fn convs(&self) -> impl Iterator<Item = &ConvSpec> {
        self.stem.iter().chain(
            self.blocks
                .iter()
                .flat_map(|block| block.shortcut.iter().map(|shortcut| &shortcut.conv).chain(&block.convs)),
        )
    }

    /// Floating-point operations for one image of `size` (height, width): see [`Architecture::flops`].
    pub fn flops(&self, size: [usize; 2]) -> u64 {
        let mut total = 0;
        let mut run = |convs: &[ConvSpec], mut size| {
            for conv in convs {
                total += conv.flops(size);
                size = conv.output_size(size);
            }
            size
        };
        let mut size = self.pool.output_size(run(&self.stem, size));
        for block in &self.blocks {
            if let Some(shortcut) = &block.shortcut {
                run(std::slice::from_ref(&shortcut.conv), shortcut.pooled_size(size));
            }
            size = run(&block.convs, size);
        }
        total += self.blocks.iter().flat_map(|block| &block.gate).map(GateSpec::flops).sum::<u64>();
        total + 2 * (self.features * self.classes.unwrap_or(0)) as u64
    }
}

fn output_size(size: [usize; 2], kernel: usize, stride: usize, padding: usize) -> [usize; 2] {
    size.map(|n| (n + 2 * padding).checked_sub(kernel).map_or(0, |room| room / stride + 1))
}

/// `layer2.0.conv1.weight` into (1, 0, `conv1.weight`).
fn split_block_name(name: &str) -> Option<(usize, usize, &str)> {
    let (stage, rest) = name.strip_prefix("layer")?.split_once('.')?;
    let (block, part) = rest.split_once('.')?;
    let stage = stage.parse::<usize>().ok()?.checked_sub(1).filter(|s| *s < 4)?;
    let block = block.parse().ok().filter(|b| *b < MAX_BLOCKS)?;
    Some((stage, block, part))
}

fn first(shape: &[usize]) -> usize {
    shape.first().copied().unwrap_or(0)
}

/// The commonest of the values that aren't zero; of equals, the larger.
fn majority(values: impl Iterator<Item = usize>) -> Option<usize> {
    let mut counts = HashMap::new();
    for value in values.filter(|value| *value > 0) {
        *counts.entry(value).or_insert(0_usize) += 1;
    }
    counts.into_iter().max_by_key(|&(value, count)| (count, value)).map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(tensors: Vec<(String, Vec<usize>)>) -> Result<Architecture, String> {
        Architecture::detect(&tensors.into_iter().collect())
    }

    #[test]
    fn published_networks_have_their_published_size() {
        // Parameters and multiply-adds at 224 px, as the papers and torchvision's model cards state them.
        let published = [
            ("resnet18", 11_689_512, 1.814),
            ("resnet34", 21_797_672, 3.664),
            ("resnet50", 25_557_032, 4.089),
            ("resnet101", 44_549_160, 7.801),
            ("resnet152", 60_192_808, 11.514),
            ("wide_resnet50_2", 68_883_240, 11.398),
            ("wide_resnet101_2", 126_886_696, 22.753),
            ("resnext50_32x4d", 25_028_904, 4.230),
            ("resnext101_32x8d", 88_791_336, 16.414),
        ];
        for (name, parameters, giga_macs) in published {
            let net = Architecture::named(name, Some(1000)).unwrap();
            assert_eq!(net.parameters(), parameters, "{name}");
            let macs = net.flops([224, 224]) as f64 / 2e9;
            assert!((macs - giga_macs).abs() < 0.001, "{name}: {macs}");
        }
    }

    #[test]
    fn an_architecture_is_found_again_from_its_tensors() {
        for name in Architecture::published() {
            for classes in [None, Some(5), Some(1000)] {
                let net = Architecture::named(name, classes).unwrap();
                assert_eq!(detect(net.tensors()).as_ref(), Ok(&net));
                assert_eq!(net.to_string(), name);
            }
        }
        let mut odd = Architecture::basic([1, 2, 1, 3], [12, 20, 40, 80], Some(7));
        odd.stem_width = 8;
        odd.stages[0].projection = true;
        assert_eq!(detect(odd.tensors()).as_ref(), Ok(&odd));
        assert_eq!(odd.to_string(), "resnet-basic-1-2-1-3-w12-20-40-80-stem8");
        odd.deep_stem = Some([3, 5]);
        odd.pooled_shortcuts = true;
        odd.stages[0].attention = Some(Attention::SqueezeExcite { reduced: 2 });
        odd.stages[3].attention = Some(Attention::Efficient { kernel: 7 });
        assert_eq!(detect(odd.tensors()).as_ref(), Ok(&odd));
        assert_eq!(odd.to_string(), "resnet-basic-1-2-1-3-w12-20-40-80-stem8-deep3-5-avgpool-se2-0-0-0-eca0-0-0-7");
        let mut grouped = Architecture::named("resnext50_32x4d", None).unwrap();
        grouped.stages.iter_mut().for_each(|stage| (stage.blocks, stage.groups) = (2, 16));
        assert_eq!(detect(grouped.tensors()).as_ref(), Ok(&grouped));
        assert_eq!(grouped.to_string(), "resnet-bottleneck-2-2-2-2-w64-inner128-g16");
    }

    #[test]
    fn a_few_wrong_tensors_do_not_hide_the_architecture() {
        let net = Architecture::named("resnet34", Some(10)).unwrap();
        let mut tensors = net.tensors();
        tensors.retain(|(name, _)| name != "layer2.1.conv2.weight" && !name.starts_with("layer3.0.downsample"));
        tensors.iter_mut().find(|(name, _)| name == "layer4.0.conv1.weight").unwrap().1 = vec![9, 9];
        assert_eq!(detect(tensors), Ok(net));
    }

    #[test]
    fn what_the_shapes_rule_out_is_refused() {
        let with_stem = |shape: [usize; 4]| {
            let mut tensors = Architecture::named("resnet18", None).unwrap().tensors();
            tensors[0].1 = shape.to_vec();
            detect(tensors).unwrap_err()
        };
        assert!(with_stem([64, 3, 3, 3]).contains("3x3"));
        assert!(with_stem([64, 1, 7, 7]).contains("1 input channels"));
        let mut grey = Architecture::named("resnet18d", None).unwrap().tensors();
        grey[0].1 = vec![32, 1, 3, 3];
        assert!(detect(grey).unwrap_err().contains("1 input channels"));
        let mut mixed = Architecture::named("resnet14t", None).unwrap().tensors();
        mixed.retain(|(name, _)| !name.starts_with("layer2.0.conv3.") && !name.starts_with("layer2.0.bn3."));
        assert!(detect(mixed).unwrap_err().contains("basic blocks"));
        let mut three_stages = Architecture::named("resnet18", None).unwrap().tensors();
        three_stages.retain(|(name, _)| !name.starts_with("layer4"));
        assert!(detect(three_stages).unwrap_err().contains("layer4"));
        assert!(detect(vec![("layer1.99999999999.conv1.weight".into(), vec![1])]).is_err());
    }

    #[test]
    fn strides_are_those_of_torchvision() {
        let net = Architecture::named("resnet50", None).unwrap().network();
        let strided: Vec<_> = net.convs().filter(|conv| conv.stride == 2).map(|conv| conv.name.as_str()).collect();
        assert_eq!(
            strided,
            [
                "conv1",
                "layer2.0.downsample.0",
                "layer2.0.conv2",
                "layer3.0.downsample.0",
                "layer3.0.conv2",
                "layer4.0.downsample.0",
                "layer4.0.conv2"
            ]
        );
        assert_eq!(net.blocks.len(), 16);
        assert_eq!(net.blocks[0].shortcut.as_ref().unwrap().conv.stride, 1);
        assert!(net.blocks[1].shortcut.is_none());
        assert!(net.convs().all(|conv| conv.relu != conv.name.contains("downsample")));
    }
}
