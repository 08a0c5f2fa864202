//! What a residual network of the family of torchvision and timm is: the few numbers that tell one from another.
//!
//! Every one of them is visible in a checkpoint's tensor names and shapes, so that a user need not state it. [`Architecture::network`]
//! spells it out into the typed list of layers that a forward pass walks.
//!
//! Besides the plain network these are: the deep stem of three 3x3 convolutions (ResNet-C), the average-pooled shortcut
//! (ResNet-D), squeeze and excitation (SE) and efficient channel attention (ECA), alone or together, as timm has them.
//!
//! What shapes cannot show is taken as torchvision and timm have it: the stem's first convolution has stride 2 and half its
//! kernel as padding, stages 2 to 4 begin with stride 2, and a bottleneck strides in its 3x3 convolution ("v1.5") rather than
//! in the first 1x1; gates are sigmoids, ECA pads with zeros.
//! Networks that differ from one of these in nothing but strides or parameterless layers (timm's antialiased `resnetaa*` and
//! `resnetblur*`) can't be told from it.

use crate::network::{BlockSpec, ConvSpec, GateSpec, Network, PoolSpec, ShortcutSpec};

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
    /// Counts the convolutions on the residual branch: 2 or 3.
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

impl Architecture {
    /// Describes a network of basic blocks whose stem is as wide as its first stage.
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

    /// Gives the length of the pooled feature vector: the last stage's width.
    pub fn features(&self) -> usize {
        self.stages[3].width
    }

    /// Spells out the layers in the order a forward pass takes them.
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

    /// Lists every tensor of the network in torchvision's and timm's names, with its shape: convolutions in the order of the layers, gates,
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

    /// Counts trainable parameters, the head's included where there is one; BatchNorm's running statistics aren't counted.
    pub fn parameters(&self) -> usize {
        let counted = |name: &str| !name.contains(".running_");
        self.tensors().iter().filter(|(name, _)| counted(name)).map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Counts floating-point operations for one image of `size` (height, width): two a multiply-add of the convolutions, the
    /// gates' layers and the head. Pooling, additions, the gates' products and BatchNorm (folded away) are left out, as published counts do.
    pub fn flops(&self, size: [usize; 2]) -> u64 {
        self.network().flops(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
