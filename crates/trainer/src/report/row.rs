//! A prediction as a row of a table: its columns, and what stands in them. What a table is written as decides how it looks.

use crate::data::{Class, Part, Target};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::report::prediction::Prediction;
#[cfg(doc)]
use crate::words::SEPARATOR;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    Text(&'static str),
    /// A share.
    Share(&'static str),
}

use Column::{Share, Text};

/// The columns of every such table: the photo, what is true of it, and the five most probable classes; where it may be of several, the set of those that are true, the set of those that are named with
/// the probability that just these are true, and the four most probable of the others.
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
    let labels = |set: &[Class]| set.iter().map(|&class| label(class)).collect::<Result<Vec<_>>>();
    let top = match &photo.named {
        None => photo.top(5),
        // The first place is that of the set.
        Some(named) => {
            let mut others = photo.top(named.len() + 4);
            others.retain(|(class, _)| !named.contains(class));
            others.insert(0, (Class::default(), 0.0));
            others
        }
    };
    let choice = |rank: usize| -> Result<[Value<'a>; 2]> {
        if let (0, Some(named)) = (rank, &photo.named) {
            return Ok([Value::Set(Some(labels(named)?)), Value::Share(photo.set_probability(named))]);
        }
        let choice = top.get(rank);
        let named = choice.map(|&(class, _)| label(class)).transpose()?;
        Ok([Value::Name(named), Value::Share(choice.map(|&(_, probability)| probability))])
    };
    let part = photo.part.map(|part| match photo.cross_validated {
        true => Part::CROSS_VALIDATED.to_owned(),
        false => part.to_string(),
    });
    let target = match (&photo.named, &photo.target) {
        (Some(_), Target::None) => Value::Set(None),
        (Some(_), target) => Value::Set(Some(labels(target.classes())?)),
        (None, target) => Value::Name(target.class().map(label).transpose()?),
    };
    let mut row = vec![Value::Name(Some(&photo.name)), Value::Word(part), target];
    row.extend(choice(0)?);
    row.extend([Value::Share(photo.target_probability()), Value::Word(Some(hex(&photo.digest)))]);
    for rank in 1..5 {
        row.extend(choice(rank)?);
    }
    if asked.known {
        row.push(Value::Word(photo.is_known().map(|known| known.to_string())));
    }
    if asked.set {
        row.push(Value::Set(photo.set.as_ref().map(|set| labels(set)).transpose()?));
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

        let [a, b] = [0, 1].map(Class::new);
        let photo = Prediction {
            named: Some(vec![b]),
            target: Target::Set(vec![a, b]),
            logits: vec![0.0, 2.0, -1.0],
            ..predictions[0].clone()
        };
        let labels = classes(3);
        let found = row(&photo, &labels, Asked::default()).unwrap();
        assert_eq!(found.len(), COLUMNS.len());
        assert_eq!(
            found[2..4],
            [Value::Set(Some(vec!["class <0>", "class <1>"])), Value::Set(Some(vec!["class <1>"]))]
        );
        let share = |place: usize| match found[place] {
            Value::Share(Some(share)) => share,
            _ => panic!("{found:?}"),
        };
        let (one, two) = (1.0 / (1.0 + (-2f64).exp()), 1.0 / (1.0 + 1f64.exp()));
        assert!((share(4) - 0.5 * one * (1.0 - two)).abs() < 1e-12 && (share(5) - share(4)).abs() < 1e-12);
        assert_eq!((&found[7], share(8)), (&Value::Name(Some("class <0>")), 0.5));
        assert_eq!((&found[9], &found[11]), (&Value::Name(Some("class <2>")), &Value::Name(None)));
    }
}
