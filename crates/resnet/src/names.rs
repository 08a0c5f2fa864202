//! Maps tensor names to torchvision's, which are canonical here, and back, so that the rest of the crate knows one spelling.

use std::collections::BTreeSet;

/// How a file spells its tensors' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    /// The prefix of every name: `module.`, `model.`, `backbone.`…
    prefix: String,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// torchvision's names, which are also timm's.
    Torchvision,
    /// transformers' names; `nested` where the backbone stands under `resnet.`, beside a `classifier`.
    Transformers { nested: bool },
    /// The places of torchvision's modules: `nn.Sequential(*model.children())`.
    Sequential,
}

/// Modules by their places among a ResNet's children; those without tensors left out.
const CHILDREN: [(&str, &str); 7] =
    [("0", "conv1"), ("1", "bn1"), ("4", "layer1"), ("5", "layer2"), ("6", "layer3"), ("7", "layer4"), ("9", "fc")];

/// First components of unwrapped names, which no wrapper's prefix is.
const ROOTS: [&str; 8] = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc", "embedder"];

impl Naming {
    /// Finds out the spelling from all names of a file.
    pub(crate) fn detect<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut prefix = String::new();
        let mut components = names.clone().next().unwrap_or_default().split('.').peekable();
        while let Some(component) = components.next() {
            let longer = format!("{prefix}{component}.");
            let wraps = !ROOTS.contains(&component) && names.clone().all(|name| name.starts_with(&longer));
            if components.peek().is_none() || !wraps {
                break;
            }
            prefix = longer;
        }
        let mut bare = names.map(|name| &name[prefix.len()..]);
        let style =
            if bare.clone().any(|name| name.starts_with("resnet.embedder.") || name.starts_with("resnet.encoder.")) {
                Style::Transformers { nested: true }
            } else if bare.clone().any(|name| name.starts_with("embedder.") || name.starts_with("encoder.stages.")) {
                Style::Transformers { nested: false }
            } else if bare.any(|name| name == "4.0.conv1.weight") {
                Style::Sequential
            } else {
                Style::Torchvision
            };
        Self { prefix, style }
    }

    /// Translates a file's tensor name into the canonical one; a name that the style doesn't know stays as it is, less the prefix.
    pub(crate) fn canonical(&self, name: &str) -> String {
        let bare = name.strip_prefix(&self.prefix).unwrap_or(name);
        match self.style {
            Style::Torchvision => bare.to_owned(),
            Style::Sequential => renamed(bare, |child| child.0, |child| child.1),
            Style::Transformers { nested } => {
                let inner = if nested { bare.strip_prefix("resnet.").unwrap_or(bare) } else { bare };
                from_transformers(inner).unwrap_or_else(|| bare.to_owned())
            }
        }
    }

    /// Translates a canonical tensor name into the file's.
    pub(crate) fn original(&self, canonical: &str) -> String {
        let bare = match self.style {
            Style::Torchvision => canonical.to_owned(),
            Style::Sequential => renamed(canonical, |child| child.1, |child| child.0),
            Style::Transformers { nested } => match to_transformers(canonical) {
                Some(name) if nested && !name.starts_with("classifier.") => {
                    format!("resnet.{name}")
                }
                Some(name) => name,
                None => canonical.to_owned(),
            },
        };
        format!("{}{bare}", self.prefix)
    }
}

type Child = (&'static str, &'static str);

/// Renames the first component of `name` as [`CHILDREN`] pair them; what isn't there stays.
fn renamed(name: &str, from: fn(&Child) -> &'static str, to: fn(&Child) -> &'static str) -> String {
    let pair = |(module, part)| Some(format!("{}.{part}", to(CHILDREN.iter().find(|child| from(child) == module)?)));
    name.split_once('.').and_then(pair).unwrap_or_else(|| name.to_owned())
}

fn from_transformers(name: &str) -> Option<String> {
    if let Some(part) = name.strip_prefix("embedder.embedder.") {
        return Some(match part.strip_prefix("normalization.") {
            Some(part) => format!("bn1.{part}"),
            None => format!("conv1.{}", part.strip_prefix("convolution.")?),
        });
    }
    if let Some(part) = name.strip_prefix("classifier.1.") {
        return Some(format!("fc.{part}"));
    }
    let (stage, rest) = name.strip_prefix("encoder.stages.")?.split_once(".layers.")?;
    let (block, rest) = rest.split_once('.')?;
    let block = format!("layer{}.{block}", stage.parse::<usize>().ok()?.checked_add(1)?);
    if let Some(part) = rest.strip_prefix("shortcut.") {
        return Some(match part.strip_prefix("normalization.") {
            Some(part) => format!("{block}.downsample.1.{part}"),
            None => format!("{block}.downsample.0.{}", part.strip_prefix("convolution.")?),
        });
    }
    let (layer, part) = rest.strip_prefix("layer.")?.split_once('.')?;
    let layer = layer.parse::<usize>().ok()?.checked_add(1)?;
    Some(match part.strip_prefix("normalization.") {
        Some(part) => format!("{block}.bn{layer}.{part}"),
        None => format!("{block}.conv{layer}.{}", part.strip_prefix("convolution.")?),
    })
}

fn to_transformers(name: &str) -> Option<String> {
    let (module, part) = name.split_once('.')?;
    match module {
        "conv1" => return Some(format!("embedder.embedder.convolution.{part}")),
        "bn1" => return Some(format!("embedder.embedder.normalization.{part}")),
        "fc" => return Some(format!("classifier.1.{part}")),
        _ => {}
    }
    let stage = module.strip_prefix("layer")?.parse::<usize>().ok()?.checked_sub(1)?;
    let (block, rest) = part.split_once('.')?;
    let (module, part) = rest.split_once('.')?;
    let inner = match module {
        "downsample" => match part.split_once('.')? {
            ("0", part) => format!("shortcut.convolution.{part}"),
            (_, part) => format!("shortcut.normalization.{part}"),
        },
        _ => match module.strip_prefix("conv") {
            Some(i) => format!("layer.{}.convolution.{part}", i.parse::<usize>().ok()?.checked_sub(1)?),
            None => {
                let i = module.strip_prefix("bn")?.parse::<usize>().ok()?.checked_sub(1)?;
                format!("layer.{i}.normalization.{part}")
            }
        },
    };
    Some(format!("encoder.stages.{stage}.layers.{block}.{inner}"))
}

/// Finds the name of `present` that is most like `name`.
pub(crate) fn nearest<'a>(name: &str, present: &BTreeSet<&'a str>) -> Option<&'a str> {
    present
        .iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), *candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;

    #[test]
    fn transformers_names_map_both_ways() {
        for (theirs, ours) in [
            ("embedder.embedder.convolution.weight", "conv1.weight"),
            ("embedder.embedder.normalization.running_var", "bn1.running_var"),
            ("encoder.stages.0.layers.1.layer.0.convolution.weight", "layer1.1.conv1.weight"),
            ("encoder.stages.3.layers.0.layer.2.normalization.bias", "layer4.0.bn3.bias"),
            ("encoder.stages.1.layers.0.shortcut.convolution.weight", "layer2.0.downsample.0.weight"),
            ("encoder.stages.1.layers.0.shortcut.normalization.weight", "layer2.0.downsample.1.weight"),
            ("classifier.1.weight", "fc.weight"),
        ] {
            assert_eq!(from_transformers(theirs).as_deref(), Some(ours));
            assert_eq!(to_transformers(ours).as_deref(), Some(theirs));
        }
        for unknown in ["encoder.stages.x.layers.0.layer.0.convolution.weight", "pooler.weight", "encoder.stages.0"] {
            assert_eq!(from_transformers(unknown), None);
        }
    }

    #[test]
    fn every_spelling_is_undone() {
        let canonical: Vec<String> =
            Architecture::named("resnet50", Some(3)).unwrap().tensors().into_iter().map(|(name, _)| name).collect();
        let styles = [
            Style::Torchvision,
            Style::Transformers { nested: false },
            Style::Transformers { nested: true },
            Style::Sequential,
        ];
        for style in styles {
            for prefix in ["", "module.", "module.backbone.", "encoder."] {
                let naming = Naming { prefix: prefix.into(), style };
                let theirs: Vec<String> = canonical.iter().map(|name| naming.original(name)).collect();
                let detected = Naming::detect(theirs.iter().map(String::as_str));
                assert_eq!(detected, naming);
                let back: Vec<String> = theirs.iter().map(|name| detected.canonical(name)).collect();
                assert_eq!(back, canonical);
            }
        }
    }

    #[test]
    fn a_prefix_that_some_names_lack_stays() {
        let naming = Naming::detect(["backbone.conv1.weight", "backbone.bn1.weight", "fc.weight"].into_iter());
        assert_eq!(naming.canonical("backbone.conv1.weight"), "backbone.conv1.weight");
        assert_eq!(Naming::detect(["conv1.weight"].into_iter()).canonical("conv1.weight"), "conv1.weight");
    }

    #[test]
    fn nearest_prefers_the_fewest_edits() {
        let present = ["layer1.0.conv1.wieght", "layer1.0.bn1.bias", "fc.weight"].into();
        assert_eq!(nearest("layer1.0.conv1.weight", &present), Some("layer1.0.conv1.wieght"));
        assert_eq!(nearest("x", &BTreeSet::new()), None);
    }
}
