//! `trainer predict`: what is on photos.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::data::DataArgs;
use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::reading::ReadingArgs;
use crate::cli::terminal::Terminal;
use crate::data::{self, Class, Listing};
use crate::error::{Error, Result};
use crate::hub;
use crate::progress::{Progress as _, Stage, watched};
use crate::report::Prediction;
use crate::run::{Named, Run};
use crate::tasks::tell::{nothing_readable, tell_rejected};
use crate::tasks::{self, Predicted};
use crate::words::shown;

/// Say what is on photos
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer predict run new.jpg
  trainer predict run holiday/ --top 1 --json
  find holiday -name '*.jpg' | trainer predict run -
  trainer predict resnet18 new.jpg                what the weights' own head says, of ImageNet's classes")]
pub(crate) struct Predict {
    /// The folder that `trainer train` wrote; or weights, as for `--backbone`, to ask their own head
    #[arg(value_name = "RUN|NAME|FILE")]
    pub(crate) run: PathBuf,
    /// Photos, or folders, tables and archives of photos, as for `train`; - for paths on the standard input
    #[arg(required = true, value_name = "PHOTO")]
    pub(crate) photos: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// How many classes to name, the most probable first
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) top: u16,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}

pub(crate) fn predict(args: &Predict, global: &Global, terminal: &Terminal) -> Outcome {
    let run = open(args, terminal)?;
    let Listing { photos, mut rejected, warnings, .. } = data::list_all(&args.photos, &args.data.columns())?;
    warnings.iter().for_each(|warning| terminal.warn(warning));
    tell_rejected(&rejected, terminal);
    let session = global.session(terminal)?;
    let Predicted { predictions, rejected: unreadable } = tasks::predict(&session, &run, &photos)?;
    rejected.extend(unreadable);
    if predictions.is_empty() {
        return Err(nothing_readable("predict".to_owned(), &rejected));
    }
    let (top, classes) = (usize::from(args.top), &run.head.classes);
    if global.json {
        let photos: Vec<Value> = predictions.iter().map(|photo| prediction_json(photo, classes, top)).collect();
        emit_json(&json!({ "photos": photos, "rejected": rejected }))?;
    } else {
        emit(&text(&predictions, classes, top))?;
    }
    Ok(rejected.len())
}

/// Opens the run, or weights with their own head.
fn open(args: &Predict, terminal: &Terminal) -> Result<Run> {
    let overrides = args.reading.overrides()?;
    if Run::is_at(&args.run) {
        if overrides.recipe.is_some() || overrides.reading.is_some() {
            return Err(Error::InvalidOption {
                option: "--recipe, --exif and --background",
                value: format!("the run {}", shown(&args.run)),
                expected: "weights, since a run prepares photos as those it learnt from",
            });
        }
        return watched(terminal, Stage::WEIGHTS, || Run::open(&args.run));
    }
    let weights = match args.run.is_file() {
        // Its name need not be text.
        true => args.run.clone(),
        false => hub::resolve_by_env(&args.run.to_string_lossy(), terminal)?.weights,
    };
    let run = watched(terminal, Stage::WEIGHTS, || tasks::own_head(&weights, &overrides))?;
    let unnamed = match run.named {
        Named::Stated => return Ok(run),
        Named::ImageNet => "they have a thousand outputs, so ImageNet's names are assumed",
        Named::Numbered => "classes are numbers here: `label_names` in a config.json beside the weights names them",
    };
    terminal.warn(&format!("{} names no classes; {unnamed}", shown(&weights)));
    Ok(run)
}

fn text(predictions: &[Prediction], classes: &[String], top: usize) -> String {
    let told: Vec<_> = predictions.iter().map(|photo| (&photo.name, photo.top(top))).collect();
    let label = |class: &Class| &classes[class.index()];
    let named = told.iter().flat_map(|(_, choices)| choices).map(|(class, _)| label(class).chars().count());
    let width = named.max().unwrap_or(0);
    let mut out = String::new();
    for (name, choices) in &told {
        let _ = writeln!(out, "{name}");
        for (class, probability) in choices {
            let _ = writeln!(out, "  {:width$}  {:>5.1} %", label(class), 100.0 * probability);
        }
    }
    out
}

fn prediction_json(photo: &Prediction, classes: &[String], top: usize) -> Value {
    let choice =
        |(class, probability): (Class, f64)| json!({ "label": classes[class.index()], "probability": probability });
    let choices: Vec<Value> = photo.top(top).into_iter().map(choice).collect();
    json!({ "path": photo.name, "predictions": choices })
}
