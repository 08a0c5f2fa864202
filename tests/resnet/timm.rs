//! Tests that every residual network that timm registers is either recognised or refused by name.

use std::collections::BTreeMap;

use resnet::{Architecture, Error};
use serde::Deserialize;

use crate::fixture;

#[derive(Deserialize)]
struct Names {
    models: Vec<Model>,
    /// Tensors of a block as "name shape", or "name* channels" for a BatchNorm's four.
    blocks: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    parameters: usize,
    /// For an image of 224x224; not stated where a parameterless layer moves a stride.
    flops: Option<u64>,
    /// The network that its tensors make…
    architecture: Option<String>,
    /// …or words of the refusal, of which one must occur, `|` between them.
    refused: Option<String>,
    outer: Vec<String>,
    /// Numbers of blocks, each with how often it follows itself.
    sequences: BTreeMap<String, Vec<(usize, usize)>>,
}

/// Expands a row to the tensors that it stands for.
fn expand(prefix: &str, row: &str, tensors: &mut Vec<(String, Vec<usize>)>) {
    let (name, shape) = row.split_once(' ').unwrap();
    let shape: Vec<usize> =
        shape.split(',').filter(|size| !size.is_empty()).map(|size| size.parse().unwrap()).collect();
    match name.strip_suffix('*') {
        Some(norm) => {
            for part in ["weight", "bias", "running_mean", "running_var"] {
                tensors.push((format!("{prefix}{norm}.{part}"), shape.clone()));
            }
        }
        None => tensors.push((format!("{prefix}{name}"), shape)),
    }
}

impl Names {
    fn tensors(&self, model: &Model) -> Vec<(String, Vec<usize>)> {
        let mut tensors = Vec::new();
        model.outer.iter().for_each(|row| expand("", row, &mut tensors));
        for (sequence, runs) in &model.sequences {
            let blocks = runs.iter().flat_map(|&(block, times)| std::iter::repeat_n(block, times));
            for (place, block) in blocks.enumerate() {
                let prefix = format!("{sequence}.{place}.");
                self.blocks[block].iter().for_each(|row| expand(&prefix, row, &mut tensors));
            }
        }
        tensors
    }
}

#[test]
fn every_residual_network_of_timm_is_found_or_refused_by_name() {
    let names: Names = fixture::parse(include_str!("../fixtures/resnet/timm_names.json"));
    let (mut run, mut counted, mut wrong) = (0, 0, Vec::new());
    for model in &names.models {
        let tensors = names.tensors(model);
        let (name, found) = (&model.name, Architecture::of_tensors(tensors.clone()));
        match (&model.architecture, &model.refused, found) {
            (Some(expected), None, Ok(found)) => {
                run += 1;
                let sorted = |tensors: Vec<_>| tensors.into_iter().collect::<BTreeMap<String, Vec<usize>>>();
                assert_eq!(sorted(found.tensors()), sorted(tensors), "{name}");
                assert_eq!(found.parameters(), model.parameters, "{name}");
                if let Some(flops) = model.flops {
                    assert_eq!(found.flops([224, 224]), flops, "{name}");
                    counted += 1;
                }
                if found.to_string() != *expected {
                    wrong.push(format!("{name}: found {found} instead of {expected}"));
                }
                if let Some(named) = Architecture::named(name, Some(1000)) {
                    assert_eq!(named, found, "{name}");
                }
            }
            (None, Some(words), Err(Error::Unsupported { what, .. })) if words.split('|').any(|w| what.contains(w)) => {
            }
            (_, _, Ok(found)) => wrong.push(format!("{name}: found {found}, should be refused")),
            (_, _, Err(error)) => {
                let message: String = error.to_string().chars().take(300).collect();
                wrong.push(format!("{name} (expected {:?}): {message}", model.refused));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!((run, counted), (69, 58));
    let known = |name: &str| names.models.iter().any(|model| model.name == name && model.architecture.is_some());
    assert_eq!(Architecture::published().find(|name| !known(name)), None, "a published name that timm doesn't know");
}
