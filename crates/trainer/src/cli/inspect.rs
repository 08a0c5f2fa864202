//! `trainer inspect`: what a backbone is.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use pollster::block_on;
use resnet::{Interpolation, Recipe, Resize};

use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::terminal::Terminal;
use crate::hub;
use crate::machine::{Device, Wanted};
use crate::progress::{Stage, watched};
use crate::tasks::{Inspection, Needs, inspect as look};
use crate::words::{self, shown};

/// Say what a backbone is: architecture, size, cost, recipe, licence
///
/// A name is downloaded if the cache of the Hugging Face hub hasn't got it. Names and their licences: each short name
/// (resnet18, resnet34, resnet50, resnet101, resnet152, wide_resnet50_2, wide_resnet101_2, resnext50_32x4d,
/// resnext101_32x8d) is torchvision's first ImageNet-1k weights as timm keeps them, `timm/NAME.tv_in1k`, BSD-3-Clause. `demo`
/// is the small backbone that is part of this program, and says what it is worth.
///
/// The variables of huggingface_hub are honoured: HF_HUB_CACHE, HF_HOME, HF_HUB_OFFLINE, HF_TOKEN, HF_ENDPOINT.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer inspect resnet18
  trainer inspect demo
  trainer inspect microsoft/resnet-18@main --json
  trainer inspect run")]
pub(crate) struct Inspect {
    /// The backbone, as for `train`
    #[arg(value_name = "NAME|FILE")]
    pub(crate) backbone: String,
}

pub(crate) fn inspect(args: &Inspect, global: &Global, terminal: &Terminal) -> Outcome {
    let files = hub::resolve_by_env(&args.backbone, terminal)?;
    let mut found = watched(terminal, Stage::WEIGHTS, || look(&files))?;
    // A file can be looked at without a device, but not without the one that was asked for.
    let wanted = global.wanted(Wanted::Auto)?;
    let device = watched(terminal, Stage::DEVICE, || block_on(Device::open(wanted, &global.selection())))?;
    let batch = global.batch.map_or_else(|| device.batch(found.recipe.input_size), usize::from);
    found.measure(&device, batch)?;
    if global.json {
        emit_json(&serde_json::to_value(&found).expect("plain data"))?;
    } else {
        emit(&text(&found))?;
    }
    Ok(0)
}

/// Writes the findings for people.
fn text(found: &Inspection) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:13}{value}");
    };
    line("File", format!("{} ({:.1} MB)", shown(&found.weights), found.bytes as f64 / 1e6));
    if let Some(revision) = &found.revision {
        line("Revision", revision.clone());
    }
    line("Architecture", found.architecture.clone());
    line("Parameters", format!("{:.2} million", found.parameters as f64 / 1e6));
    let [height, width] = found.recipe.input_size;
    line("Cost", format!("{:.2} GFLOPs a photo of {height}x{width}", found.flops as f64 / 1e9));
    if let Some(Needs { adapter, batch, weights, activations, scratch }) = &found.memory {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        line(
            "Memory",
            format!(
                "{:.0} MB on {adapter} for {} at once: {:.0} weights, {:.0} activations, {:.0} scratch",
                megabytes(weights + activations + scratch),
                words::count(*batch, "photo"),
                megabytes(*weights),
                megabytes(*activations),
                megabytes(*scratch)
            ),
        );
    }
    let formats: Vec<String> =
        found.dtypes.iter().map(|(dtype, tensors)| format!("{dtype} ({})", words::count(*tensors, "tensor"))).collect();
    line("Numbers", formats.join(", "));
    line("Features", found.features.to_string());
    line("Head", found.classes.map_or("none".to_owned(), |classes| words::count(classes, "class")));
    line("Recipe", recipe_text(&found.recipe));
    line(
        "",
        format!("from {}", found.recipe_from.as_deref().map_or("torchvision's default".into(), of(&found.weights))),
    );
    if let Some(description) = &found.description {
        line("About", description.clone());
    }
    let license = match (&found.license, &found.license_from) {
        (Some(license), Some(from)) => format!("{license}, says {}", of(&found.weights)(from)),
        _ => "not stated".to_owned(),
    };
    line("Licence", license);
    out
}

/// Names a file beside the weights.
fn of(weights: &Path) -> impl Fn(&Path) -> String {
    move |path| match path.file_name() {
        _ if path == weights => "its own metadata".to_owned(),
        Some(name) if path.parent() == weights.parent() => shown(name).into_owned(),
        _ => shown(path).into_owned(),
    }
}

fn recipe_text(recipe: &Recipe) -> String {
    let interpolation = match recipe.interpolation {
        Interpolation::Bilinear => "bilinear",
        Interpolation::Bicubic => "bicubic",
    };
    let resize = match recipe.resize {
        Resize::ShorterSide(side) => format!("shorter side to {side}"),
        Resize::Exact([height, width]) => format!("to {height}x{width}"),
    };
    let [height, width] = recipe.input_size;
    format!("{resize} ({interpolation}), centre {height}x{width}, mean {:?}, deviation {:?}", recipe.mean, recipe.std)
}

#[cfg(test)]
mod tests {
    use resnet::Architecture;

    use super::*;
    use crate::untrained::random_weights;

    #[test]
    fn a_model_folder_is_described() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        let ask = || text(&look(&hub::resolve_by_env(folder.path().to_str().unwrap(), &()).unwrap()).unwrap());
        write(hub::WEIGHTS, &random_weights(&Architecture::named("resnet18", Some(10)).unwrap(), 1));
        let described = ask();
        for expected in
            ["11.18 million", "3.63 GFLOPs a photo of 224x224", "10 classes", "torchvision's default", "not stated"]
        {
            assert!(described.contains(expected), "{expected}\n{described}");
        }
        write("config.json", br#"{"pretrained_cfg": {"crop_pct": 0.95, "license": "bsd-3-clause"}}"#);
        let described = ask();
        assert!(described.contains("from config.json") && described.contains("bsd-3-clause, says config.json"));
    }
}
