//! `trainer train --features`: a head trained on features that another program computed, and judged.

use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::terminal::Terminal;
use crate::cli::train::{Train, as_json, next_run, text};
use crate::data::{Columns, Origin};
use crate::error::Error;
use crate::tasks::{self, FeaturesRequest};
use crate::words::shown;

pub(crate) fn train(args: &Train, global: &Global, terminal: &Terminal) -> Outcome {
    let features = args.of.features.clone().unwrap_or_default();
    args.check_optimizer()?;
    let (train, split) = (args.options(global.seed), args.split(global.seed));
    train.check()?;
    split.check()?;
    if args.of.labels.is_none() && args.data.columns() != Columns::default() {
        let (value, expected) = (format!("{} alone", shown(&features)), "--labels beside it, a table that has columns");
        return Err(Error::InvalidOption { option: "--column", value, expected });
    }
    let labels = args.of.labels.as_ref().unwrap_or(&features);
    let labels = Origin { class_order: args.class_order, ..args.data.origin(labels) };
    let session = global.session(terminal)?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => next_run(&features, args.force)?,
    };
    let request = FeaturesRequest { features, labels, out: out.clone(), force: args.force, split, train };
    let trained = tasks::train_features(&session, &request).map_err(named).inspect_err(|_| {
        // What was made for this run, and stayed empty, shall not count as one. That it can't go away is no failure of its own.
        if args.out.is_none() {
            let _ = std::fs::remove_dir(&out);
        }
    })?;
    if global.json {
        emit_json(&as_json(&trained, &out))?;
    } else {
        emit(&text(&trained, &out, terminal.elapsed()))?;
    }
    Ok(0)
}

/// Names the option by which labels are given, where they are missing.
fn named(error: Error) -> Error {
    match error {
        Error::InvalidOption { option: "labels", value, expected } => {
            Error::InvalidOption { option: "--labels", value, expected }
        }
        other => other,
    }
}
