//! The demo: what `trainer` does without a verb.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::cli::folder::new_folder;
use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::program::{argument, program};
use crate::cli::terminal::Terminal;
use crate::cli::train::as_json;
use crate::demo::{self, Shown};
use crate::machine::Wanted;
use crate::session::Session;
use crate::words::{count, shown};
use crate::{hub, report, run};

/// The demo's folder, in the current one.
const FOLDER: &str = "rehead-demo";

/// Trains on the photos and the backbone that are part of the program, and says what the head is worth.
pub(crate) fn demo(global: &Global, terminal: &Terminal) -> Outcome {
    // It shows the kernels wherever an adapter of any kind is, and computes all before people's eyes.
    let session = global.session_on(global.wanted(Wanted::Kernels)?, terminal)?;
    let session = Session { store: None, ..session };
    let folder = new_folder(FOLDER, false)?;
    let shown = demo::show(&session, &folder, global.seed)?;
    if global.json {
        let mut result = as_json(&shown.trained, &shown.run);
        result["new"] = json!(shown.new.to_string_lossy());
        emit_json(&result)?;
    } else {
        emit(&text(&shown, &folder, terminal.elapsed()))?;
    }
    Ok(0)
}

/// What the demo prints for people, `seconds` after the program began.
fn text(demo: &Shown, folder: &Path, seconds: f64) -> String {
    let Shown { trained, run, new } = demo;
    let config = &trained.config;
    let mut out = format!(
        "{} of things to throw away: {}; each is judged by a head that never saw it.\n",
        count(trained.predictions.len(), "photo"),
        config.classes.join(", "),
    );
    report::tables(&trained.metrics).iter().for_each(|table| out.extend(["\n", &table.text()]));
    let (program, backbone) = (program(), hub::EMBEDDED);
    let _ = write!(
        out,
        "\n{seconds:.1} s on {}; all is in {}\n\
         Report: {}\n\
         Next:   {program} predict {} {}\n\n\
         Your own photos, in a folder for each class: on the same small backbone, and on a ResNet-18 that\n\
         knows ImageNet, is downloaded once, and is worth more:\n\n  \
         {program} train PHOTOS --backbone {backbone}\n  \
         {program} train PHOTOS\n",
        config.adapter.name,
        shown(folder),
        shown(&run.join(run::REPORT)),
        argument(run),
        argument(new),
    );
    out
}
