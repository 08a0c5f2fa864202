//! `trainer train --features`: a head trained on features that another program computed, and judged.

use crate::cli::global::Global;
use crate::cli::print::Outcome;
use crate::cli::terminal::Terminal;
use crate::cli::train::{Train, tell};
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
    let (trained, out) = args.with_run(&features.clone(), |out| {
        let (out, force) = (out.to_owned(), args.force);
        tasks::train_features(&session, &FeaturesRequest { features, labels, out, force, split, train }).map_err(named)
    })?;
    tell(&trained, &out, global, terminal)
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
