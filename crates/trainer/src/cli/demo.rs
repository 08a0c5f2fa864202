//! The demo: what `trainer` does without a verb.

use std::fmt::Write as _;

use serde_json::json;

use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::program::program;
use crate::cli::terminal::Terminal;
use crate::demo;
use crate::machine::Wanted;
use crate::session::Session;
use crate::tasks::Trained;

/// Compares a head on the embedded backbone with one on random weights.
pub(crate) fn demo(global: &Global, terminal: &Terminal) -> Outcome {
    // What it says is computed before people's eyes.
    // It shows the kernels wherever an adapter of any kind is.
    let session = global.session_on(global.wanted(Wanted::Kernels)?, terminal)?;
    let session = Session { store: None, ..session };
    let compared = demo::compare(&session, global.seed)?;
    let judgement = |trained: &Trained| trained.metrics.test.clone().expect("the demo has a test part");
    let (pretrained, random) = (judgement(&compared.pretrained), judgement(&compared.random));
    if global.json {
        emit_json(&json!({ "pretrained": pretrained, "random": random }))?;
        return Ok(0);
    }
    let Trained { config, metrics, .. } = &compared.pretrained;
    let photos = &metrics.photos;
    let mut out = format!(
        "A new head for {} kinds of things:\n  {}.\n\
         The pictures are drawn by this program, none is a photo: {} to learn from, {} to judge\n\
         by. The backbone has seen other things, drawn likewise.\n\n",
        config.classes.len(),
        config.classes.chunks(4).map(|classes| classes.join(", ")).collect::<Vec<_>>().join(",\n  "),
        photos.train,
        photos.test
    );
    let _ = writeln!(out, "{:40}right   95 % interval", "The new head");
    let rows = [("on the pretrained backbone", &pretrained), ("on the same network, random weights", &random)];
    for (name, evaluation) in rows {
        let [low, high] = evaluation.top1_interval.map(|share| 100.0 * share);
        let _ = writeln!(out, "  {name:37}{:>5.1} %   {low:.1} to {high:.1}", 100.0 * evaluation.top1);
    }
    let _ = writeln!(out, "  {:37}{:>5.1} %", "guessing", 100.0 * pretrained.baseline.top1);
    let _ = write!(
        out,
        "\n{:.1} s on {}\n\n\
         Now your own photos, in a folder for each class. A ResNet with ImageNet weights is downloaded\n\
         once; --backbone names another, or a file:\n\n  \
         {} train photos\n",
        terminal.elapsed(),
        config.adapter.name,
        program(),
    );
    emit(&out)?;
    Ok(0)
}
