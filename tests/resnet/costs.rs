//! Guards what a pass of the common networks costs, in numbers that no machine's speed changes: they stand in a file, and a plan that needs
//! more of anything fails here before anybody has to measure it.

use kernels::Family;
use resnet::{Architecture, Backbone, BackboneOptions, WeightFile};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};
use testkit::{formula, gpu};

const UPDATE: &str = "UPDATE_COSTS=1 cargo test --test resnet costs";

/// By network, batch and family, then by figure.
type Costs = BTreeMap<String, BTreeMap<String, u64>>;

fn measure(name: &str, batch: usize, family: Family) -> BTreeMap<String, u64> {
    let tensors = Architecture::named(name, None).expect("a published network").tensors();
    let weights = WeightFile::from_bytes(formula::weights(&tensors)).expect("a complete file");
    let context = gpu().context(family);
    let backbone = Backbone::new(&context, &gpu().queue, &weights, &BackboneOptions::new(batch)).unwrap();
    let (cost, memory) = (backbone.cost(), backbone.memory());
    [
        ("dispatches", cost.dispatches),
        ("passes", cost.passes),
        ("copies", cost.copies),
        ("copied_bytes", cost.copied_bytes),
        ("flops", cost.flops),
        ("pipelines", context.pipelines() as u64),
        ("arena_bytes", memory.activations),
        ("workspace_bytes", memory.scratch),
        ("weight_bytes", memory.weights),
    ]
    .map(|(figure, value)| (figure.to_owned(), value))
    .into()
}

/// Writes a line for each figure that isn't what the file says.
fn differences(expected: &Costs, got: &Costs) -> Vec<String> {
    let mut lines = Vec::new();
    for (case, figures) in got {
        for (figure, &got) in figures {
            match expected.get(case).and_then(|figures| figures.get(figure)) {
                Some(&expected) if got == expected => {}
                Some(&expected) if got > expected => {
                    lines.push(format!("{case}: {figure} grew from {expected} to {got}"))
                }
                Some(&expected) => lines.push(format!("{case}: {figure} fell from {expected} to {got}")),
                None => lines.push(format!("{case}: {figure} isn't in the file")),
            }
        }
    }
    lines
}

#[test]
fn no_plan_costs_more_than_it_did() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/resnet/costs.json");
    let mut got = Costs::new();
    for (name, batch) in [("resnet18", 1), ("resnet18", 8), ("resnet50", 8)] {
        for family in gpu().families() {
            got.insert(format!("{name} batch {batch} {}", family.name()), measure(name, batch, family));
        }
    }
    let mut expected: Costs = serde_json::from_slice(&fs::read(&path).unwrap_or_else(|_| b"{}".to_vec())).unwrap();
    if std::env::var_os("UPDATE_COSTS").is_some() {
        // What this adapter can't plan stays as it is.
        expected.extend(got);
        let text = serde_json::to_string_pretty(&json!(expected)).unwrap();
        fs::write(path, text + "\n").unwrap();
        return;
    }
    let lines = differences(&expected, &got);
    assert!(lines.is_empty(), "{}\nWhere that is meant: {UPDATE}", lines.join("\n"));
}

#[test]
fn more_of_anything_is_seen() {
    let costs = |dispatches: u64| -> Costs {
        let figures: Value = json!({ "a": { "dispatches": dispatches, "flops": 7 } });
        serde_json::from_value(figures).unwrap()
    };
    assert!(differences(&costs(3), &costs(3)).is_empty());
    assert_eq!(differences(&costs(3), &costs(4)), ["a: dispatches grew from 3 to 4"]);
    assert_eq!(differences(&costs(3), &costs(2)), ["a: dispatches fell from 3 to 2"]);
    assert_eq!(differences(&Costs::new(), &costs(2)).len(), 2);
}
