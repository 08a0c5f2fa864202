//! Names that people know: torchvision's and timm's for published networks, and a description for all others.

use std::fmt::{self, Write};

use crate::architecture::{Architecture, Attention, Block, Stage};

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

impl Architecture {
    /// Finds the network published as `name` by torchvision or timm (`resnet18`, `wide_resnet50_2`, `seresnext26t_32x4d`…), or `None`.
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

    /// Lists the names that [`named`](Self::named) knows.
    pub fn published() -> impl Iterator<Item = &'static str> {
        PUBLISHED.into_iter()
    }
}

/// Writes the name: torchvision's or timm's for a published network, whatever the number of classes; else a description,
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
