//! Predictions as a table for spreadsheets.

use crate::data::{Class, Part};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::report::prediction::Prediction;
use crate::words::cell;

/// The columns: the photo, what is true of it, and the five most probable classes.
const COLUMNS: [&str; 15] = [
    "path",
    "part",
    "label",
    "predicted",
    "probability",
    "label_probability",
    "sha256",
    "top2",
    "probability2",
    "top3",
    "probability3",
    "top4",
    "probability4",
    "top5",
    "probability5",
];

/// What stands between the classes of a set in a cell.
pub(crate) const SEPARATOR: &str = " | ";

/// Columns that stand after the others where it was asked for what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `known`: whether the photo is like those that were learnt from, `true` or `false`, and nothing where that can't be told.
    pub known: bool,
    /// `set`: the classes of the photo's set, joined by ` | `.
    pub set: bool,
}

impl Asked {
    /// Lists their names.
    pub fn columns(self) -> impl Iterator<Item = &'static str> {
        [(self.known, "known"), (self.set, "set")].into_iter().filter_map(|(asked, name)| asked.then_some(name))
    }
}

/// Tells by its first bytes whether a file was written by [`predictions_csv`].
pub fn is_predictions(beginning: &[u8]) -> bool {
    beginning.starts_with(COLUMNS.join(",").as_bytes())
}

/// Writes the line of column names, with which the table begins.
pub fn predictions_header(asked: Asked) -> Vec<u8> {
    let columns: Vec<&str> = COLUMNS.into_iter().chain(asked.columns()).collect();
    (columns.join(",") + "\n").into_bytes()
}

/// Writes predictions as CSV, a line for each photo. No name begins a formula: where a photo or a class is called `=1`, the cell is `'=1`, with the
/// apostrophe by which spreadsheets mark text.
///
/// # Errors
/// A class is beyond `classes`.
pub fn predictions_csv(predictions: &[Prediction], classes: &[String], asked: Asked) -> Result<Vec<u8>> {
    let mut table = predictions_header(asked);
    for photo in predictions {
        table.extend(prediction_line(photo, classes, asked)?);
    }
    Ok(table)
}

/// Writes a photo's line of the table.
///
/// # Errors
/// As [`predictions_csv`].
pub fn prediction_line(photo: &Prediction, classes: &[String], asked: Asked) -> Result<Vec<u8>> {
    let label = |class: Class| {
        classes.get(class.index()).map(|label| cell(label).into_owned()).ok_or(Error::Shape {
            operation: "predictions.csv",
            operand: "classes",
            expected: class.index() + 1,
            got: classes.len(),
        })
    };
    let top = photo.top(5);
    let choice = |rank: usize| -> Result<[String; 2]> {
        match top.get(rank) {
            Some(&(class, probability)) => Ok([label(class)?, format!("{probability:.6}")]),
            None => Ok(Default::default()),
        }
    };
    let mut row = vec![
        cell(&photo.name).into_owned(),
        match photo.part {
            Some(_) if photo.cross_validated => Part::CROSS_VALIDATED.to_owned(),
            part => part.map(|part| part.to_string()).unwrap_or_default(),
        },
        photo.target.class().map(label).transpose()?.unwrap_or_default(),
    ];
    row.extend(choice(0)?);
    row.push(photo.target_probability().map(|p| format!("{p:.6}")).unwrap_or_default());
    row.push(hex(&photo.digest));
    for rank in 1..5 {
        row.extend(choice(rank)?);
    }
    if asked.known {
        row.push(photo.is_known().map(|known| known.to_string()).unwrap_or_default());
    }
    if asked.set {
        let set: Vec<String> = photo.set.iter().flatten().map(|&class| label(class)).collect::<Result<_>>()?;
        row.push(set.join(SEPARATOR));
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&row).expect("memory takes it");
    Ok(writer.into_inner().map_err(csv::IntoInnerError::into_error).expect("memory takes it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{classes, evaluated};

    #[test]
    fn csv_has_a_line_a_photo() {
        let (_, predictions) = evaluated(4, 2);
        let csv = String::from_utf8(predictions_csv(&predictions, &classes(2), Asked::default()).unwrap()).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines[0].starts_with("path,part,label,predicted,probability,label_probability,sha256,top2"));
        let start = "0.jpg,test,class <0>,class <1>,0.982014,0.017986,0707";
        assert!(lines[1].starts_with(start), "{}", lines[1]);
        assert!(lines[1].ends_with(",class <0>,0.017986,,,,,,"), "{}", lines[1]);
        assert!(predictions_csv(&predictions, &classes(1), Asked::default()).is_err());
    }

    #[test]
    fn no_name_begins_a_formula() {
        let (_, mut predictions) = evaluated(4, 2);
        predictions[0].name = "=cmd|' /C calc'!A0.jpg".to_owned();
        let csv = predictions_csv(&predictions, &["-1".to_owned(), "@b".to_owned()], Asked::default()).unwrap();
        let mut reader = csv::Reader::from_reader(csv.as_slice());
        let rows: Vec<_> = reader.records().map(|row| row.unwrap()).collect();
        assert_eq!([&rows[0][0], &rows[0][2], &rows[0][3]], ["'=cmd|' /C calc'!A0.jpg", "'-1", "'@b"]);
        assert!(rows.iter().flatten().all(|cell| !cell.starts_with(['=', '+', '-', '@'])));
    }
}
