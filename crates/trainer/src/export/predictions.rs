//! Predictions in Parquet tables, with the columns of `predictions.csv`.

use std::path::Path;

use crate::data::Class;
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::export::column::{Cell, Column, Kind};
use crate::export::table::{self, Table};
use crate::report::{Asked, Prediction, SEPARATOR};

/// What such a table says that it holds.
const WHAT: &str = "predictions";

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn share(name: &'static str) -> Column {
    Column { name, kind: Kind::Share }
}

/// The columns of `predictions.csv`.
const COLUMNS: [Column; 15] = [
    text("path"),
    text("part"),
    text("label"),
    text("predicted"),
    share("probability"),
    share("label_probability"),
    text("sha256"),
    text("top2"),
    share("probability2"),
    text("top3"),
    share("probability3"),
    text("top4"),
    share("probability4"),
    text("top5"),
    share("probability5"),
];

/// Lists the columns, with those that are asked for.
fn columns(asked: Asked) -> Vec<Column> {
    COLUMNS.into_iter().chain(asked.columns().map(text)).collect()
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
    /// The folder takes no files; [`Error::NotBuiltIn`] without the feature `parquet`.
    pub fn begin(path: &Path, asked: Asked) -> Result<Self> {
        Ok(Self { table: Table::begin(path, WHAT, &columns(asked))?, asked })
    }

    /// Checks that this build writes such tables.
    ///
    /// # Errors
    /// [`Error::NotBuiltIn`] without the feature `parquet`.
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
        let label = |class: Class| {
            classes.get(class.index()).map(String::as_str).ok_or(Error::Shape {
                operation: "write predictions",
                operand: "classes",
                expected: class.index() + 1,
                got: classes.len(),
            })
        };
        let top = photo.top(5);
        let choice = |rank: usize| -> Result<[Cell<'_>; 2]> {
            let choice = top.get(rank);
            let named = choice.map(|&(class, _)| label(class)).transpose()?;
            Ok([Cell::Text(named), Cell::Share(choice.map(|&(_, probability)| probability))])
        };
        let part = photo.part.map(|part| part.to_string());
        let target = photo.target.class().map(label).transpose()?;
        let sha256 = hex(&photo.digest);
        let mut row = vec![Cell::Text(Some(&photo.name)), Cell::Text(part.as_deref()), Cell::Text(target)];
        row.extend(choice(0)?);
        row.extend([Cell::Share(photo.target_probability()), Cell::Text(Some(&sha256))]);
        for rank in 1..5 {
            row.extend(choice(rank)?);
        }
        let known = photo.is_known().map(|known| known.to_string());
        let set: Option<Vec<&str>> =
            photo.set.as_ref().map(|set| set.iter().map(|&class| label(class)).collect::<Result<_>>()).transpose()?;
        let set = set.map(|labels| labels.join(SEPARATOR));
        if self.asked.known {
            row.push(Cell::Text(known.as_deref()));
        }
        if self.asked.set {
            row.push(Cell::Text(set.as_deref()));
        }
        self.table.add(&row)
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
