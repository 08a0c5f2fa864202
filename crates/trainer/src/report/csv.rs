//! Predictions as a table for spreadsheets.

use crate::error::Result;
use crate::report::prediction::Prediction;
use crate::report::row::{Asked, COLUMNS, Column, Value, row};
use crate::words::{SEPARATOR, cell};

/// Tells by its first bytes whether a file was written by [`predictions_csv`].
pub fn is_predictions(beginning: &[u8]) -> bool {
    beginning.starts_with(COLUMNS.map(Column::name).join(",").as_bytes())
}

/// Writes the line of column names, with which the table begins.
pub fn predictions_header(asked: Asked) -> Vec<u8> {
    (asked.columns().map(Column::name).collect::<Vec<_>>().join(",") + "\n").into_bytes()
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
    let written = |value: Value<'_>| match value {
        Value::Name(name) => name.map(|name| cell(name).into_owned()),
        Value::Word(word) => word,
        Value::Share(share) => share.map(|share| format!("{share:.6}")),
        Value::Set(set) => {
            set.map(|labels| labels.into_iter().map(|label| cell(label)).collect::<Vec<_>>().join(SEPARATOR))
        }
    };
    let row = row(photo, classes, asked)?.into_iter().map(|value| written(value).unwrap_or_default());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(row.collect::<Vec<String>>()).expect("memory takes it");
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
