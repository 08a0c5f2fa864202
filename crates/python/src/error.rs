//! Errors as exceptions: the class says whose fault it was, and what would help is worded in Python's terms.

use std::error::Error as _;
use std::iter::successors;

use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use trainer::{Error, Fault, Remedy};

use crate::watch;

/// Makes the exception of an error, and of what it came from.
pub(crate) fn raise(error: Error) -> PyErr {
    let class = match error.fault() {
        Fault::Usage => "UsageError",
        Fault::Device => "DeviceError",
        Fault::Io => "IoError",
        Fault::Interrupted => {
            return watch::raised().unwrap_or_else(|| PyKeyboardInterrupt::new_err(error.to_string()));
        }
        _ => "InputError",
    };
    let causes = successors(error.source(), |&cause| cause.source());
    let message = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    raise_as(class, message, worded(&error))
}

/// Makes an exception of this class of `rehead`.
pub(crate) fn raise_as(class: &str, message: String, remedy: Option<String>) -> PyErr {
    Python::attach(|py| {
        let made = || -> PyResult<Bound<'_, PyAny>> {
            let class = py.import("rehead._errors")?.getattr(class)?;
            let text = remedy.as_ref().map_or(message.clone(), |remedy| format!("{message}; {remedy}"));
            let error = class.call1((text,))?;
            error.setattr("remedy", remedy)?;
            Ok(error)
        };
        made().map_or_else(|failed| failed, PyErr::from_value)
    })
}

/// Makes the exception of an argument that is none of what it may be.
pub(crate) fn invalid(message: impl ToString) -> PyErr {
    PyValueError::new_err(message.to_string())
}

/// Words what would help, where something is known to.
fn worded(error: &Error) -> Option<String> {
    let words = match error.remedy()? {
        Remedy::GoOn { kept } => {
            return Some(format!(
                "the features of {kept} photos are kept in the store, and the same again goes on from there"
            ));
        }
        Remedy::NameColumn { role } => {
            return Some(format!(
                "columns={{\"{role}\": NAME}} says which it is, columns={{\"{role}\": \"\"}} that there is none"
            ));
        }
        Remedy::BuildWith { feature } => {
            return Some(format!("build the wheel with `maturin build --features {feature}`"));
        }
        Remedy::ReplaceOutput => "give another path, or force=True to replace it",
        Remedy::IncludeSeen => "evaluate on photos that it hasn't seen",
        Remedy::GiveFeatures => "give features to its head: load_run(path).head.predict(features)",
        Remedy::FreeMemory => {
            "close other programs that take its memory, give a smaller batch, another engine, or a smaller backbone"
        }
        Remedy::TakeCpu => "engine=\"cpu\" needs none",
        Remedy::TakeF32 => "take precision=\"f32\"",
        Remedy::LowerLearningRate => "take a lower learning rate",
        Remedy::TrainAgain => "rehead.train makes one, with force=True in the place of this",
        Remedy::GiveFolder => "give the path of its file or folder in the place of the name",
        // A remedy that this wheel knows no words for.
        _ => return None,
    };
    Some(words.to_owned())
}
