//! `trainer compare`: tells which of two runs is better, and whether that can be told.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::tasks;
use crate::words::shown;

/// Compare two runs on the photos that both were tested on
///
/// Photos are known by their content, and those that either run has learnt from, or was chosen by, are left out. Two runs of one folder are tested on
/// the same photos if they have the same --seed and the same shares.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer train photos --backbone resnet50 --out run50
  trainer compare run run50
  trainer compare run run50 --json

The test is McNemar's, exact: it looks at the photos that only one of the runs gets right. The difference comes with its 95 % interval. No features are computed:
what the runs said of each photo lies in their predictions.csv.")]
pub(crate) struct Compare {
    /// The folder that `trainer train` wrote
    pub(crate) first: PathBuf,
    /// The folder that another training wrote
    pub(crate) second: PathBuf,
}

pub(crate) fn compare(args: &Compare, global: &Global) -> Outcome {
    let comparison = tasks::compare(&args.first, &args.second)?;
    let names = [shown(&args.first), shown(&args.second)];
    if global.json {
        emit_json(&json!({ "first": names[0], "second": names[1], "comparison": comparison }))?;
    } else {
        emit(&comparison.text([&*names[0], &*names[1]]))?;
    }
    Ok(0)
}
