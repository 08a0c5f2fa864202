//! What is said of photos, as JSON and in files that are written as it comes.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::terminal::Terminal;
use crate::data::{Class, Rejected};
use crate::error::{Error, Result};
use crate::export::Predictions;
use crate::files::Draft;
use crate::head::reject::Verdict;
use crate::outputs::{self, Existing};
use crate::progress::Progress as _;
use crate::report::{self, Asked, Prediction};
use crate::run::Run;
use crate::tasks::Telling;
use crate::words::shown;

/// A file of predictions that is being written; it appears, whole, when it is finished.
pub(crate) struct Said<'a> {
    to: To,
    classes: &'a [String],
    top: usize,
    asked: Asked,
}

/// What predictions are written to.
enum To {
    Csv(Draft),
    /// An object a line.
    Lines(Draft),
    Parquet(Box<Predictions>),
}

/// What predictions are written as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Lines,
    Parquet,
}

/// Tells what a file's name asks for.
fn format_of(path: &Path) -> Result<Format> {
    match path.extension().and_then(|end| end.to_str()) {
        Some("jsonl") => Ok(Format::Lines),
        Some("csv") => Ok(Format::Csv),
        Some("parquet") => Predictions::check_built(path).map(|()| Format::Parquet),
        _ => {
            let (value, expected) = (shown(path).into_owned(), "a name ending in .csv, .jsonl or .parquet");
            Err(Error::InvalidOption { option: "--out", value, expected })
        }
    }
}

/// Checks that predictions can be written at `path`.
///
/// # Errors
/// Another ending, or one that this build doesn't write; something else lies there; the folder takes no files.
pub(crate) fn check(path: &Path, force: bool) -> Result<()> {
    let format = format_of(path)?;
    let ours = |bytes: &[u8]| match format {
        Format::Lines => bytes.starts_with(br#"{"path":"#),
        Format::Csv => report::is_predictions(bytes),
        // What it is stands at its end.
        Format::Parquet => Predictions::are_at(path),
    };
    outputs::check(path, Existing::forced(force), ours).map(drop)
}

impl<'a> Said<'a> {
    pub(crate) fn begin(path: &Path, classes: &'a [String], top: usize, asked: Asked) -> Result<Self> {
        let to = match format_of(path)? {
            Format::Parquet => To::Parquet(Box::new(Predictions::begin(path, asked)?)),
            Format::Lines => To::Lines(Draft::begin(path)?),
            Format::Csv => {
                let mut file = Draft::begin(path)?;
                file.write_all(&report::predictions_header(asked)).map_err(|error| file.failed(error))?;
                To::Csv(file)
            }
        };
        Ok(Self { to, classes, top, asked })
    }

    /// Adds what is said of a photo, or why nothing is, for which a table has no line.
    pub(crate) fn add(&mut self, said: Result<&Prediction, &Rejected>) -> Result<()> {
        let Self { to, classes, top, asked } = self;
        match (to, said) {
            (To::Lines(file), said) => {
                let line = line(said, classes, *top);
                writeln!(file, "{line}").map_err(|error| file.failed(error))
            }
            (To::Csv(file), Ok(prediction)) => {
                let line = report::prediction_line(prediction, classes, *asked)?;
                file.write_all(&line).map_err(|error| file.failed(error))
            }
            (To::Parquet(table), Ok(prediction)) => table.add(prediction, classes),
            (_, Err(_)) => Ok(()),
        }
    }

    pub(crate) fn finish(self) -> Result<()> {
        match self.to {
            To::Csv(file) | To::Lines(file) => file.finish(),
            To::Parquet(table) => table.finish(),
        }
    }
}

/// Gives a run's folder, if a training wrote it, and not others, and its photos are of one class each.
pub(crate) fn ours(run: &Run) -> Option<&Path> {
    run.config.as_ref().filter(|config| !config.several_labels).map(|_| run.folder.as_path())
}

/// Takes what a run can tell besides classes, and says so where one of `ours`, in that folder, can't tell that a photo is like none of them.
pub(crate) fn telling(telling: Result<Telling>, ours: Option<&Path>, terminal: &Terminal) -> Result<Telling> {
    let telling = telling.map_err(|error| match error {
        Error::InvalidOption { option: "coverage", value, expected } => {
            Error::InvalidOption { option: "--coverage", value, expected }
        }
        error => error,
    })?;
    // Of others' weights nobody expects it.
    if let (Some(reason), Some(folder)) = (telling.silent(), ours) {
        let folder = shown(folder);
        terminal.warn(&format!("{folder}: can't tell whether photos are like none of the classes: {reason}"));
    }
    Ok(telling)
}

/// Says as JSON what is said of a photo, or why nothing is.
pub(crate) fn line(said: Result<&Prediction, &Rejected>, classes: &[String], top: usize) -> Value {
    match said {
        Ok(photo) => prediction(photo, classes, top),
        Err(Rejected { name, reason }) => json!({ "path": name, "rejected": reason }),
    }
}

/// Lists the classes that are named of a photo with their probabilities, the most probable first.
pub(crate) fn named_of(photo: &Prediction, named: &[Class]) -> Vec<(Class, f64)> {
    let mut choices = photo.top(photo.logits.len());
    choices.retain(|(class, _)| named.contains(class));
    choices
}

pub(crate) fn prediction(photo: &Prediction, classes: &[String], top: usize) -> Value {
    let choice =
        |(class, probability): (Class, f64)| json!({ "label": classes[class.index()], "probability": probability });
    let choices: Vec<Value> = photo.top(top).into_iter().map(choice).collect();
    let score = photo.verdict.map(
        |Verdict { score, value, threshold }| json!({ "name": score.name(), "value": value, "threshold": threshold }),
    );
    let mut said = json!({ "path": photo.name, "predictions": choices, "known": photo.is_known(), "score": score });
    if let Some(named) = &photo.named {
        said["labels"] = named_of(photo, named).into_iter().map(choice).collect();
    }
    if let Some(set) = &photo.set {
        said["set"] = set.iter().map(|class| classes[class.index()].as_str()).collect();
    }
    said
}
