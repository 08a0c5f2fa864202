//! `trainer predict`: what is on photos.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::terminal::Terminal;
use crate::data::{self, Class, Photo, Rejected};
use crate::error::{Error, Result};
use crate::progress::Progress as _;
use crate::report::Prediction;
use crate::run::Run;
use crate::tasks::tell::tell_rejected;
use crate::tasks::{self, Predicted};

/// Say what is on photos
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer predict run new.jpg
  trainer predict run holiday/ --top 1 --json
  trainer predict resnet18.safetensors new.jpg       what ImageNet's own head says")]
pub(crate) struct Predict {
    /// The folder that `trainer train` wrote, or a weight file, to ask its own head
    pub(crate) run: PathBuf,
    /// Photos, or folders of photos
    #[arg(required = true, value_name = "PHOTO")]
    pub(crate) photos: Vec<PathBuf>,
    /// How many classes to name, the most probable first
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) top: u16,
}

pub(crate) fn predict(args: &Predict, global: &Global, terminal: &Terminal) -> Outcome {
    let run = if args.run.is_file() { Run::of_weights(&args.run)? } else { Run::open(&args.run)? };
    let (photos, mut rejected) = photos_of(args, terminal)?;
    tell_rejected(&rejected, terminal);
    let session = global.session(terminal)?;
    let Predicted { predictions, rejected: unreadable } = tasks::predict(&session, &run, &photos)?;
    rejected.extend(unreadable);
    let (top, classes) = (usize::from(args.top), &run.head.classes);
    if global.json {
        let photos: Vec<Value> = predictions.iter().map(|photo| prediction_json(photo, classes, top)).collect();
        emit_json(&json!({ "photos": photos, "rejected": rejected }))?;
    } else {
        emit(&text(&predictions, classes, top))?;
    }
    match predictions.is_empty() {
        true => Err(Error::NothingReadable { what: "predict".to_owned(), found: rejected.len() }),
        false => Ok(rejected.len()),
    }
}

fn text(predictions: &[Prediction], classes: &[String], top: usize) -> String {
    let width = classes.iter().map(|class| class.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for photo in predictions {
        let _ = writeln!(out, "{}", photo.name);
        for (class, probability) in photo.top(top) {
            let _ = writeln!(out, "  {:width$}  {:>5.1} %", classes[class.index()], 100.0 * probability);
        }
    }
    out
}

/// Lists photos by their paths; of folders, all that is in them.
fn photos_of(args: &Predict, terminal: &Terminal) -> Result<(Vec<Photo>, Vec<Rejected>)> {
    let (mut photos, mut rejected) = (Vec::new(), Vec::new());
    for path in &args.photos {
        if path.is_dir() {
            let listing = data::list(path)?;
            data::told_again(&listing.again).iter().for_each(|word| terminal.warn(word));
            photos.extend(listing.photos.into_iter().map(|photo| Photo::at(&photo.path)));
            rejected.extend(listing.rejected);
        } else {
            photos.push(Photo::at(path));
        }
    }
    Ok((photos, rejected))
}

fn prediction_json(photo: &Prediction, classes: &[String], top: usize) -> Value {
    let choice =
        |(class, probability): (Class, f64)| json!({ "label": classes[class.index()], "probability": probability });
    let choices: Vec<Value> = photo.top(top).into_iter().map(choice).collect();
    json!({ "path": photo.name, "predictions": choices })
}
