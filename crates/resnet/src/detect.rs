//! Which network a file's tensors hold, by their names and shapes alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::architecture::{Architecture, Attention, Block, Stage};
use crate::error::Error;
use crate::identify::{self, Diagnosis, SUPPORTED};
use crate::names::Naming;
use crate::problems::{List, TensorProblems};

/// Blocks a stage beyond which a tensor's block index is taken for a mistake in its name.
const MAX_BLOCKS: usize = 256;

impl Architecture {
    /// The network that tensors of these names and shapes make, found as [`WeightFile`](crate::WeightFile) finds it, without any values: a file's
    /// header is enough.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is another network, by its name where it is known; [`Error::Tensors`] with everything
    /// missing, unexpected or misshapen.
    ///
    /// ```
    /// use resnet::Architecture;
    ///
    /// let net = Architecture::named("seresnet50", Some(1000)).unwrap();
    /// assert_eq!(Architecture::of_tensors(net.tensors()).unwrap(), net);
    /// ```
    pub fn of_tensors(tensors: impl IntoIterator<Item = (String, Vec<usize>)>) -> Result<Self, Error> {
        let (naming, shapes) = canonical(tensors.into_iter());
        recognise("weights", &naming, &shapes)
    }

    /// Reads the architecture off canonical (torchvision) tensor names and shapes.
    ///
    /// Each width is the one that most of the tensors concerned agree on, so a few missing or misshapen ones don't hide
    /// what the network is, and can then be named. `Err` says why the tensors are no network of this family.
    fn detect(tensors: &BTreeMap<String, Vec<usize>>) -> Result<Self, String> {
        let mut stages: [Vec<StageTensor>; 4] = Default::default();
        for (name, shape) in tensors {
            if let Some((stage, block, part)) = split_block_name(name) {
                stages[stage].push((block, part, shape));
            }
        }
        if let Some(s) = stages.iter().position(Vec::is_empty) {
            return Err(format!("it has no tensor of stage `layer{}`", s + 1));
        }
        let deep = tensors.keys().any(|name| name.starts_with("conv1.0.") || name.starts_with("conv1.3."));
        check_first_conv(tensors, deep)?;
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
            let stage = stage(parts, block, channels)
                .map_err(|i| format!("no tensor of `layer{}` tells the width of its convolution {i}", s + 1))?;
            channels = stage.width;
            found.push(Stage { projection: s > 0 || stage.projection, ..stage });
        }
        let stages = found.try_into().map_err(|_| "it doesn't have four stages")?;
        let head = tensors.iter().filter(|(name, _)| *name == "fc.weight" || *name == "fc.bias");
        let classes = majority(head.map(|(_, shape)| first(shape)));
        Ok(Self { block, stem_width, deep_stem, pooled_shortcuts, stages, classes })
    }
}

/// Refuses a stem that shapes show to be another.
fn check_first_conv(tensors: &BTreeMap<String, Vec<usize>>, deep: bool) -> Result<(), String> {
    let name = if deep { "conv1.0.weight" } else { "conv1.weight" };
    match tensors.get(name).map(Vec::as_slice) {
        None | Some([_, 3, 7, 7]) => Ok(()),
        Some([_, 3, _, _]) if deep => Ok(()),
        Some([_, 3, kernel, _]) => Err(format!(
            "its stem is a {kernel}x{kernel} convolution, as in ResNets for CIFAR or small images; a 7x7 one is expected, or \
            three of 3x3"
        )),
        Some([_, channels, _, _]) => Err(format!("its stem takes {channels} input channels; photos have 3")),
        Some(shape) => Err(format!("its `{name}` has shape {shape:?}")),
    }
}

/// A tensor of a stage: the number of its block, its name in it, its shape.
type StageTensor<'a> = (usize, &'a str, &'a [usize]);

/// Reads a stage off its tensors, for an input of so many `channels`. `Err` is the number of a convolution whose width none tells.
fn stage(parts: &[StageTensor], block: Block, channels: usize) -> Result<Stage, usize> {
    let width_of = |i: usize| {
        let (conv, norm) = (format!("conv{i}."), format!("bn{i}."));
        let of_it = parts.iter().filter(|(_, part, _)| part.starts_with(&conv) || part.starts_with(&norm));
        majority(of_it.map(|(_, _, shape)| first(shape))).ok_or(i)
    };
    let width = width_of(block.convolutions())?;
    let inner = width_of(block.convolutions() - 1)?;
    let group_width = majority(parts.iter().map(|(_, part, shape)| match (*part, *shape) {
        ("conv2.weight", [_, group_width, _, _]) if block == Block::Bottleneck => *group_width,
        _ => 0,
    }));
    let sizes = |module: &str, size: fn(&[usize]) -> usize| {
        majority(parts.iter().filter(|(_, part, _)| part.starts_with(module)).map(|(_, _, shape)| size(shape)))
    };
    let reduced = sizes("se.fc1.", first).map(|reduced| Attention::SqueezeExcite { reduced });
    // An even kernel has no middle: no such network exists.
    let last_if_odd = |shape: &[usize]| shape.last().copied().filter(|kernel| kernel % 2 == 1).unwrap_or(0);
    let kernel = sizes("se.conv.weight", last_if_odd).map(|kernel| Attention::Efficient { kernel });
    Ok(Stage {
        blocks: parts.iter().map(|(b, _, _)| b + 1).max().unwrap_or(1),
        width,
        inner,
        groups: group_width.filter(|width| inner % width == 0).map_or(1, |width| inner / width),
        projection: channels != width || parts.iter().any(|(b, part, _)| *b == 0 && part.starts_with("downsample.")),
        attention: reduced.or(kernel),
    })
}

/// Finds out how tensors are spelt, and keys them by their canonical names, without those that play no part in inference.
pub(crate) fn canonical<T>(tensors: impl Iterator<Item = (String, T)>) -> (Naming, BTreeMap<String, T>) {
    let used: Vec<_> = tensors.filter(|(name, _)| !name.ends_with("num_batches_tracked")).collect();
    let naming = Naming::detect(used.iter().map(|(name, _)| name.as_str()));
    let mut keyed = BTreeMap::new();
    for (name, tensor) in used {
        let canonical = naming.canonical(&name);
        // Two spellings of one tensor: the second keeps its own name and is reported as unexpected.
        let key = if keyed.contains_key(&canonical) { name } else { canonical };
        keyed.insert(key, tensor);
    }
    (naming, keyed)
}

/// The network that tensors of canonical names make, or what is wrong with them.
pub(crate) fn recognise(
    file: &str,
    naming: &Naming,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<Architecture, Error> {
    let fitted = Architecture::detect(shapes).map(|architecture| {
        let problems = TensorProblems::find(&architecture, shapes, naming);
        (architecture, problems)
    });
    let unsupported = |Diagnosis { what, advice }| Error::Unsupported { file: file.to_owned(), what, advice };
    // A Sequential's numbers would pass for those of a VGG.
    let other = || {
        identify::nested_resnet(shapes, naming, "4.0.conv1.")
            .or_else(|| identify::other_network(shapes))
            .or_else(|| identify::nested_resnet(shapes, naming, "layer1.0."))
    };
    let (architecture, problems) = match fitted {
        Ok((architecture, problems)) if problems.is_empty() => return Ok(architecture),
        Ok(misfit) => match other() {
            Some(diagnosis) => return Err(unsupported(diagnosis)),
            None if has_other_head(&misfit.0, shapes) => return Ok(misfit.0),
            None => misfit,
        },
        Err(reason) => {
            return Err(unsupported(other().unwrap_or_else(|| {
                let names: Vec<_> = shapes.keys().take(3).map(|name| naming.original(name)).collect();
                let what = format!(
                    "this is no ResNet that can be run: {reason} (of its {} tensors, the first are {})",
                    shapes.len(),
                    List(&names)
                );
                Diagnosis::new(what, SUPPORTED)
            })));
        }
    };
    let architecture = architecture.to_string();
    Err(Error::Tensors { file: file.to_owned(), architecture, problems: Box::new(problems) })
}

/// First components of names that heads have beside torchvision's `fc.weight` and `fc.bias`.
const HEADS: [&str; 8] = ["classifier", "classif", "fc", "head", "heads", "last_linear", "linear", "logits"];

/// Tells whether a network without a head is whole and all that it has no place for is one head of another make.
fn has_other_head(architecture: &Architecture, shapes: &BTreeMap<String, Vec<usize>>) -> bool {
    let expected: BTreeMap<_, _> = architecture.tensors().into_iter().collect();
    let whole = expected.iter().all(|(name, shape)| shapes.get(name) == Some(shape));
    let others = shapes.keys().filter(|name| !expected.contains_key(*name));
    let modules: BTreeSet<&str> = others.map(|name| name.split_once('.').map_or("", |(module, _)| module)).collect();
    architecture.classes.is_none() && whole && modules.len() == 1 && modules.iter().all(|module| HEADS.contains(module))
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
}
