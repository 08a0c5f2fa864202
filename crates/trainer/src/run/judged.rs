//! What a run says of each photo, read back from its `predictions.csv`.

use std::io::ErrorKind;
use std::path::Path;

use crate::data::Part;
use crate::error::{Error, Result};
use crate::run::commit;
use crate::run::config::Config;
use crate::run::folder::PREDICTIONS;
use crate::words::{SEPARATOR, joined, of_cell};

/// A photo of a run: what is true of it, and what the head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// SHA-256 of its content, in hexadecimal digits.
    pub digest: String,
    /// The part that it played.
    pub part: String,
    /// The label of its class; where it may be of several, all of them in order, with ` | ` between.
    pub label: String,
    /// The label of the most probable class, or of all that are named; none where the table has no such column.
    pub predicted: Option<String>,
}

impl Judged {
    /// Tells whether the head that says it neither learnt from the photo nor was chosen by it.
    pub fn is_tested(&self) -> bool {
        self.part == Part::Test.to_string() || self.part == Part::CROSS_VALIDATED
    }

    /// Reads all photos of the run in `folder`, and the labels of its classes.
    ///
    /// # Errors
    /// It isn't a run with its configuration and predictions, or they are damaged or not of one run.
    pub fn read(folder: &Path) -> Result<(Vec<Self>, Vec<String>)> {
        commit::whole(folder)?;
        let none = |name: &str| invalid(folder, format!("no {name} in it"));
        let config = Config::read(folder)?.ok_or_else(|| none("config.json"))?;
        let path = folder.join(PREDICTIONS);
        let bytes = resnet::regular::read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => none(PREDICTIONS),
            _ => Error::io("read", &path)(error),
        })?;
        config.check_file(folder, PREDICTIONS, &bytes)?;
        let mut photos = parse(folder, &bytes)?;
        if config.several_labels {
            // Labels are in the order of the run's classes, and each may have its mark.
            let of_any = |labels: &str| joined(labels.split(SEPARATOR).map(of_cell));
            photos
                .iter_mut()
                .flat_map(|photo| [Some(&mut photo.label), photo.predicted.as_mut()])
                .flatten()
                .for_each(|labels| *labels = of_any(labels));
        }
        if !config.train.optimizer.has_epochs() {
            // Nothing was chosen by them.
            let held_out = photos.iter_mut().filter(|photo| photo.part == Part::Validation.to_string());
            held_out.for_each(|photo| photo.part = Part::Test.to_string());
        }
        match photos.iter().all(|photo| photo.predicted.is_some()) {
            true => Ok((photos, config.classes)),
            false => Err(invalid(folder, format!("{PREDICTIONS} has no column \"predicted\""))),
        }
    }
}

/// Reads the bytes of [`PREDICTIONS`] of the run in `folder`.
pub(super) fn parse(folder: &Path, bytes: &[u8]) -> Result<Vec<Judged>> {
    let mut reader = csv::Reader::from_reader(bytes);
    let damaged = |error: csv::Error| invalid(folder, format!("{PREDICTIONS}: {error}"));
    let headers = reader.headers().map_err(damaged)?.clone();
    let place = |name: &str| headers.iter().position(|header| header == name);
    let column =
        |name: &str| place(name).ok_or_else(|| invalid(folder, format!("{PREDICTIONS} has no column {name:?}")));
    let (part, label, digest, predicted) = (column("part")?, column("label")?, column("sha256")?, place("predicted"));
    let photo = |row: csv::Result<csv::StringRecord>| {
        let row = row.map_err(damaged)?;
        // A row has as many cells as the header, or it is an error.
        let name = |place: usize| of_cell(&row[place]).to_owned();
        let (part, digest) = (row[part].to_owned(), row[digest].to_owned());
        Ok(Judged { digest, part, label: name(label), predicted: predicted.map(name) })
    };
    reader.records().map(photo).collect()
}

fn invalid(folder: &Path, reason: String) -> Error {
    Error::InvalidRun { path: folder.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_before_they_were_cells() {
        let table = b"path,part,label,predicted,sha256\na.jpg,test,'=1,\"b,c\",0707\n";
        let photos = parse(Path::new("run"), table).unwrap();
        let expected = Judged {
            digest: "0707".to_owned(),
            part: "test".to_owned(),
            label: "=1".to_owned(),
            predicted: Some("b,c".to_owned()),
        };
        assert_eq!(photos, [expected]);
        assert_eq!(parse(Path::new("run"), b"part,label,sha256\ntest,a,07\n").unwrap()[0].predicted, None);
        let error = parse(Path::new("run"), b"part,label,sha256\ntest,a\n").unwrap_err().to_string();
        assert!(error.starts_with("run: not a usable run: predictions.csv: "), "{error}");
    }

    #[test]
    fn what_is_no_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let message = || Judged::read(dir.path()).unwrap_err().to_string();
        assert!(message().ends_with("not a usable run: no config.json in it"), "{}", message());
        let mut config = Config::example(vec!["a".to_owned()]);
        config.files.insert(PREDICTIONS.to_owned(), "00".to_owned());
        std::fs::write(dir.path().join("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
        assert!(message().ends_with("no predictions.csv in it"), "{}", message());
        std::fs::write(dir.path().join(PREDICTIONS), "part,label,sha256\ntest,a,07\n").unwrap();
        assert!(message().contains("predictions.csv isn't the one that config.json was written with"), "{}", message());
        config.files.clear();
        std::fs::write(dir.path().join("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
        assert!(message().ends_with("predictions.csv has no column \"predicted\""), "{}", message());
    }
}
