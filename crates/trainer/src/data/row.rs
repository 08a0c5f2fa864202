//! What a row of a table, or a file beside a photo in an archive, says of it.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::data::columns::{Places, Role};
use crate::data::part::Part;
use crate::words::shown;

/// What a row says of a photo.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Its path, as it stands there; none where it has none.
    pub path: Option<String>,
    /// Its classes.
    pub labels: Labels,
    pub part: Option<Part>,
    pub weight: f64,
    pub group: Option<String>,
}

/// What a row says of classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Labels {
    /// Nothing: it is to be predicted.
    #[default]
    None,
    /// It is of this class.
    One(String),
    /// It is of all these, which may be none.
    Several(Vec<String>),
}

impl Default for Row {
    /// Says nothing.
    fn default() -> Self {
        Self { path: None, labels: Labels::None, part: None, weight: 1.0, group: None }
    }
}

impl Row {
    /// Reads a row: a value for each column, of which text is as a table holds it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn read(values: &[Value], places: &Places) -> Result<Self, String> {
        let value = |role| places.of(role).and_then(|place| values.get(place)).unwrap_or(&Value::Null);
        let text = |role| plain(value(role)).map_err(|problem| format!("the {} {problem}", Role::name(role)));
        let labels = match value(Role::Labels) {
            Value::Null => match value(Role::Label) {
                Value::Array(all) => Labels::Several(list(all)?),
                _ => text(Role::Label)?.map_or(Labels::None, Labels::One),
            },
            Value::Array(all) => Labels::Several(list(all)?),
            _ => match text(Role::Labels)? {
                Some(all) => Labels::Several(separated(&all)),
                None => Labels::None,
            },
        };
        Ok(Self {
            path: text(Role::Path)?,
            labels,
            part: text(Role::Split)?.map(|word| part(&word)).transpose()?,
            weight: text(Role::Weight)?.map_or(Ok(1.0), |word| weight(&word))?,
            group: text(Role::Group)?,
        })
    }
}

impl Row {
    /// Adds what it says of the photo of this name to a digest: a JSON array on a line.
    pub(crate) fn hash(&self, name: &str, hash: &mut Sha256) {
        let Self { path: _, labels, part, weight, group } = self;
        let labels = match labels {
            Labels::None => Value::Null,
            Labels::One(label) => label.as_str().into(),
            Labels::Several(labels) => labels.as_slice().into(),
        };
        let line = json!([name, labels, part, weight, group]);
        hash.update(format!("{line}\n"));
    }
}

/// Reads a value as text; a number as it stands. Nothing, and blanks, are none.
fn plain(value: &Value) -> Result<Option<String>, String> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Array(_) | Value::Object(_) => return Err(format!("is no text: {}", first(&value.to_string()))),
    };
    Ok((!text.is_empty()).then_some(text))
}

/// Reads a list of classes.
fn list(all: &[Value]) -> Result<Vec<String>, String> {
    let label = |value| plain(value).map(Option::unwrap_or_default).map_err(|problem| format!("a class {problem}"));
    all.iter().map(label).filter(|label| label.as_ref() != Ok(&String::new())).collect()
}

/// Reads classes that are separated by `;` or `|`.
fn separated(all: &str) -> Vec<String> {
    all.split([';', '|']).map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned).collect()
}

fn part(word: &str) -> Result<Part, String> {
    let part = Part::of_folder(word).map(|(part, _)| part);
    part.ok_or_else(|| format!("the split {:?} names no part: say train, validation or test", first(word)))
}

fn weight(word: &str) -> Result<f64, String> {
    let weight = word.parse().ok().filter(|weight: &f64| weight.is_finite() && *weight >= 0.0);
    weight.ok_or_else(|| format!("the weight {:?} is no number of 0 or more", first(word)))
}

/// Quotes the beginning of what others wrote.
pub(super) fn first(text: &str) -> String {
    let text = shown(text);
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::columns::Columns;

    /// Reads a row of these columns.
    fn read(row: Value) -> Result<Row, String> {
        let Value::Object(row) = row else { panic!() };
        let (columns, values): (Vec<String>, Vec<Value>) = row.into_iter().unzip();
        Row::read(&values, &Columns::default().places("t".as_ref(), &columns).unwrap())
    }

    #[test]
    fn text_and_numbers_are_read_as_they_stand() {
        let row = read(json!({"path": " a b.jpg ", "label": 7, "split": "val", "weight": "0.5", "group": 12})).unwrap();
        let expected = Row {
            path: Some("a b.jpg".into()),
            labels: Labels::One("7".into()),
            part: Some(Part::Validation),
            weight: 0.5,
            group: Some("12".into()),
        };
        assert_eq!(row, expected);
        let bare = read(json!({"path": "a", "label": "", "split": null, "weight": " "})).unwrap();
        assert_eq!((bare.labels, bare.part, bare.weight, bare.group), (Labels::None, None, 1.0, None));
        assert_eq!(read(json!({"path": "a", "label": 1.50})).unwrap().labels, Labels::One("1.5".into()));
        assert_eq!(read(json!({"path": "a", "label": "007"})).unwrap().labels, Labels::One("007".into()));
    }

    #[test]
    fn several_classes_are_a_list_or_separated() {
        let several = |labels: &[&str]| Labels::Several(labels.iter().map(|&label| label.to_owned()).collect());
        for (value, labels) in [
            (json!("cat;dog"), several(&["cat", "dog"])),
            (json!("cat | dog|"), several(&["cat", "dog"])),
            (json!(["cat", 2]), several(&["cat", "2"])),
            (json!([]), several(&[])),
            (json!(""), Labels::None),
            (json!(null), Labels::None),
        ] {
            assert_eq!(read(json!({"path": "a", "labels": value})).unwrap().labels, labels, "{value}");
        }
        assert_eq!(read(json!({"path": "a", "label": ["cat"]})).unwrap().labels, several(&["cat"]));
        // One class is one, whatever it is called.
        assert_eq!(read(json!({"path": "a", "label": "a;b"})).unwrap().labels, Labels::One("a;b".into()));
    }

    #[test]
    fn what_says_nothing_that_can_be_used_is_told() {
        for (field, value, problem) in [
            ("split", json!("3"), "the split \"3\" names no part"),
            ("split", json!("train_test"), "names no part"),
            ("weight", json!(-1), "the weight \"-1\" is no number of 0 or more"),
            ("weight", json!("NaN"), "is no number"),
            ("weight", json!("inf"), "is no number"),
            ("weight", json!("much"), "is no number"),
            ("label", json!({"a": 1}), "the label is no text: {\"a\":1}"),
            ("labels", json!([["a"]]), "a class is no text"),
        ] {
            let problem_told = read(json!({"path": "a", field: value})).unwrap_err();
            assert!(problem_told.contains(problem), "{problem_told}");
        }
    }
}
