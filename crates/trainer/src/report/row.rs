//! A prediction as a row of a table: its columns, and what stands in them. What a table is written as decides how it looks.

use crate::data::{Class, Part};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::report::prediction::Prediction;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    Text(&'static str),
    /// A share.
    Share(&'static str),
}

use Column::{Share, Text};

/// The columns of every such table: the photo, what is true of it, and the five most probable classes.
pub(crate) const COLUMNS: [Column; 15] = [
    Text("path"),
    Text("part"),
    Text("label"),
    Text("predicted"),
    Share("probability"),
    Share("label_probability"),
    Text("sha256"),
    Text("top2"),
    Share("probability2"),
    Text("top3"),
    Share("probability3"),
    Text("top4"),
    Share("probability4"),
    Text("top5"),
    Share("probability5"),
];

impl Column {
    pub(crate) fn name(self) -> &'static str {
        let (Text(name) | Share(name)) = self;
        name
    }
}

/// Columns that stand after the others where it was asked for what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `known`: whether the photo is like those that were learnt from, `true` or `false`, and nothing where that can't be told.
    pub known: bool,
    /// `set`: the classes of the photo's set, joined by ` | `.
    pub set: bool,
}

impl Asked {
    /// Lists all columns.
    pub(crate) fn columns(self) -> impl Iterator<Item = Column> {
        let more = [(self.known, Text("known")), (self.set, Text("set"))];
        COLUMNS.into_iter().chain(more.into_iter().filter_map(|(asked, column)| asked.then_some(column)))
    }
}

/// What stands in a cell; nothing where there is nothing to say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// A name that a user gave.
    Name(Option<&'a str>),
    /// A word of ours.
    Word(Option<String>),
    Share(Option<f64>),
    /// Classes that stand in one cell, between [`SEPARATOR`]s.
    Set(Option<Vec<&'a str>>),
}

/// What stands between the classes of a set.
pub(crate) const SEPARATOR: &str = " | ";

/// Lists what stands in the columns of a photo's row.
///
/// # Errors
/// A class is beyond `classes`.
pub(crate) fn row<'a>(photo: &'a Prediction, classes: &'a [String], asked: Asked) -> Result<Vec<Value<'a>>> {
    let label = |class: Class| {
        let (operation, operand) = ("write predictions", "classes");
        let (expected, got) = (class.index() + 1, classes.len());
        classes.get(class.index()).map(String::as_str).ok_or(Error::Shape { operation, operand, expected, got })
    };
    let top = photo.top(5);
    let choice = |rank: usize| -> Result<[Value<'a>; 2]> {
        let choice = top.get(rank);
        let named = choice.map(|&(class, _)| label(class)).transpose()?;
        Ok([Value::Name(named), Value::Share(choice.map(|&(_, probability)| probability))])
    };
    let part = photo.part.map(|part| match photo.cross_validated {
        true => Part::CROSS_VALIDATED.to_owned(),
        false => part.to_string(),
    });
    let target = photo.target.class().map(label).transpose()?;
    let mut row = vec![Value::Name(Some(&photo.name)), Value::Word(part), Value::Name(target)];
    row.extend(choice(0)?);
    row.extend([Value::Share(photo.target_probability()), Value::Word(Some(hex(&photo.digest)))]);
    for rank in 1..5 {
        row.extend(choice(rank)?);
    }
    if asked.known {
        row.push(Value::Word(photo.is_known().map(|known| known.to_string())));
    }
    if asked.set {
        let labels = |set: &Vec<Class>| set.iter().map(|&class| label(class)).collect::<Result<Vec<_>>>();
        row.push(Value::Set(photo.set.as_ref().map(labels).transpose()?));
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{classes, evaluated};

    #[test]
    fn a_row_has_a_cell_a_column_and_a_judgement_by_others_is_named() {
        let (_, mut predictions) = evaluated(4, 2);
        let labels = classes(2);
        for (known, set) in [(false, false), (true, false), (true, true)] {
            let asked = Asked { known, set };
            assert_eq!(row(&predictions[0], &labels, asked).unwrap().len(), asked.columns().count());
        }
        predictions[0].cross_validated = true;
        let found = row(&predictions[0], &labels, Asked::default()).unwrap();
        assert_eq!(found[1], Value::Word(Some(Part::CROSS_VALIDATED.to_owned())));
        assert!(row(&predictions[0], &labels[..1], Asked::default()).is_err());
    }
}
