//! Predictions in Parquet tables, with the columns of `predictions.csv`.

use std::borrow::Cow;
use std::path::Path;

use crate::error::Result;
use crate::export::column::{Cell, Column, Kind};
use crate::export::table::{self, Table};
use crate::report::{self, Asked, Prediction, Value};
use crate::words::SEPARATOR;

/// What such a table says that it holds.
const WHAT: &str = "predictions";

/// Lists the columns, with those that are asked for.
fn columns(asked: Asked) -> Vec<Column> {
    let column = |column: report::Column| match column {
        report::Column::Text(name) => Column { name, kind: Kind::Text },
        report::Column::Share(name) => Column { name, kind: Kind::Share },
    };
    asked.columns().map(column).collect()
}

/// A Parquet table of predictions that is being written; it appears, whole, when it is finished. Names stand in it as they are, and a cell that says
/// nothing is null.
#[derive(Debug)]
pub struct Predictions {
    table: Table,
    asked: Asked,
}

impl Predictions {
    /// Begins a table.
    ///
    /// # Errors
    /// The folder takes no files; [`Error::NotBuiltIn`](crate::Error::NotBuiltIn) without the feature `parquet`.
    pub fn begin(path: &Path, asked: Asked) -> Result<Self> {
        Ok(Self { table: Table::begin(path, WHAT, &columns(asked))?, asked })
    }

    /// Checks that this build writes such tables.
    ///
    /// # Errors
    /// [`Error::NotBuiltIn`](crate::Error::NotBuiltIn) without the feature `parquet`.
    pub fn check_built(path: &Path) -> Result<()> {
        table::check_built(path)
    }

    /// Tells whether the file at `path` is such a table.
    pub fn are_at(path: &Path) -> bool {
        table::is_ours(path, WHAT)
    }

    /// Adds what is said of a photo.
    ///
    /// # Errors
    /// A class is beyond `classes`; the file can't be written.
    pub fn add(&mut self, photo: &Prediction, classes: &[String]) -> Result<()> {
        let values = report::row(photo, classes, self.asked)?;
        let text = |value| -> Option<Cow<'_, str>> {
            match value {
                &Value::Name(name) => name.map(Cow::Borrowed),
                Value::Word(word) => word.as_deref().map(Cow::Borrowed),
                Value::Set(labels) => labels.as_ref().map(|labels| Cow::Owned(labels.join(SEPARATOR))),
                Value::Share(_) => None,
            }
        };
        let texts: Vec<Option<Cow<'_, str>>> = values.iter().map(text).collect();
        let cells = values.iter().zip(&texts).map(|(value, text)| match value {
            &Value::Share(share) => Cell::Share(share),
            _ => Cell::Text(text.as_deref()),
        });
        self.table.add(&cells.collect::<Vec<_>>())
    }

    /// Finishes the table.
    ///
    /// # Errors
    /// It can't be written; what was there stays.
    pub fn finish(self) -> Result<()> {
        self.table.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::predictions_header;

    #[test]
    fn columns_are_those_of_the_csv() {
        for (known, set) in [(false, false), (true, false), (true, true)] {
            let asked = Asked { known, set };
            let names: Vec<&str> = columns(asked).iter().map(|column| column.name).collect();
            assert_eq!(format!("{}\n", names.join(",")).into_bytes(), predictions_header(asked));
        }
    }
}
