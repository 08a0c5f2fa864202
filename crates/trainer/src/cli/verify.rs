//! `trainer verify`: whether a run's head is the optimum that it is said to be.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::terminal::Terminal;
use crate::tasks;
use crate::words::{count, shown};

/// Verify that a run's head is the optimum that it is said to be
///
/// The problem that lbfgs solves has one optimum, where the gradient is zero. From the head as it is saved and the features that are kept of its photos, this computes
/// the gradient once more, in f64. Whoever changed a weight, a label or a photo's features is found out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer verify run
  trainer verify run --json

No photo is read. A head that adamw or sgd made is no optimum, and can't be verified.")]
pub(crate) struct Verify {
    /// The folder that `trainer train` wrote
    pub(crate) run: PathBuf,
}

pub(crate) fn verify(args: &Verify, global: &Global, terminal: &Terminal) -> Outcome {
    let verified = tasks::verify(&global.session(terminal)?, &args.run)?;
    let (said, found) = (&verified.said, &verified.found);
    if global.json {
        emit_json(&json!({
            "run": args.run.to_string_lossy(), "photos": verified.photos, "certificate": found, "said": said,
        }))?;
    } else {
        emit(&format!(
            "{}: the head is the optimum for {}\n  gradient   {:.1e} of its start; the training found {:.1e}\n  objective  {:.9}; the training found {:.9}\n",
            shown(&args.run),
            count(verified.photos, "photo"),
            found.share(),
            said.share(),
            found.objective,
            said.objective,
        ))?;
    }
    Ok(0)
}
