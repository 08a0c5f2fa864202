//! What is said of photos, as JSON and in files that are written as it comes.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::data::{Class, Rejected};
use crate::error::{Error, Result};
use crate::files::Draft;
use crate::outputs::{self, Existing};
use crate::report::{self, Prediction};
use crate::words::shown;

/// A file of predictions that is being written; it appears, whole, when it is finished.
pub(crate) struct Said<'a> {
    file: Draft,
    lines: bool,
    classes: &'a [String],
    top: usize,
}

/// Tells whether a file's name asks for lines of JSON rather than for CSV.
fn is_lines(path: &Path) -> Result<bool> {
    match path.extension().and_then(|end| end.to_str()) {
        Some("jsonl") => Ok(true),
        Some("csv") => Ok(false),
        _ => {
            let (value, expected) = (shown(path).into_owned(), "a name ending in .csv or .jsonl");
            Err(Error::InvalidOption { option: "--out", value, expected })
        }
    }
}

/// Checks that predictions can be written at `path`.
///
/// # Errors
/// Another ending; something else lies there; the folder takes no files.
pub(crate) fn check(path: &Path, force: bool) -> Result<()> {
    let lines = is_lines(path)?;
    let ours = |bytes: &[u8]| match lines {
        true => bytes.starts_with(br#"{"path":"#),
        false => report::is_predictions(bytes),
    };
    outputs::check(path, Existing::forced(force), ours).map(drop)
}

impl<'a> Said<'a> {
    pub(crate) fn begin(path: &Path, classes: &'a [String], top: usize) -> Result<Self> {
        let (mut file, lines) = (Draft::begin(path)?, is_lines(path)?);
        if !lines {
            file.write_all(&report::predictions_header()).map_err(|error| file.failed(error))?;
        }
        Ok(Self { file, lines, classes, top })
    }

    /// Adds what is said of a photo, or why nothing is, for which a table has no line.
    pub(crate) fn add(&mut self, said: Result<&Prediction, &Rejected>) -> Result<()> {
        let line = match said {
            _ if self.lines => format!("{}\n", line(said, self.classes, self.top)).into_bytes(),
            Ok(prediction) => report::prediction_line(prediction, self.classes)?,
            Err(_) => return Ok(()),
        };
        self.file.write_all(&line).map_err(|error| self.file.failed(error))
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.file.finish()
    }
}

/// Says as JSON what is said of a photo, or why nothing is.
pub(crate) fn line(said: Result<&Prediction, &Rejected>, classes: &[String], top: usize) -> Value {
    match said {
        Ok(photo) => prediction(photo, classes, top),
        Err(Rejected { name, reason }) => json!({ "path": name, "rejected": reason }),
    }
}

pub(crate) fn prediction(photo: &Prediction, classes: &[String], top: usize) -> Value {
    let choice =
        |(class, probability): (Class, f64)| json!({ "label": classes[class.index()], "probability": probability });
    let choices: Vec<Value> = photo.top(top).into_iter().map(choice).collect();
    json!({ "path": photo.name, "predictions": choices })
}

/// Gives the photos of each class that has some.
pub(crate) fn counts(counts: &[usize], classes: &[String]) -> Map<String, Value> {
    let found = classes.iter().zip(counts).filter(|(_, count)| **count > 0);
    found.map(|(class, count)| (class.clone(), (*count).into())).collect()
}
