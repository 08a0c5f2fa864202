//! Checks labels: `labels.txt` must hold them, and a reader or another file system should be able to tell them apart.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

use crate::data::origin::ClassOrder;
use crate::error::{Error, Result};
use crate::words::shown;

/// Checks that labels can be written, one a line; gives warnings of those that a reader can't tell apart: they are classes of their own, as
/// the file system has them.
///
/// # Errors
/// A blank label, or one with a control character.
pub(super) fn check_labels(labels: &[String]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for label in labels {
        if shown(label) != *label {
            let problem = "holds a control character, which labels.txt can't";
            return Err(Error::InvalidLabel { label: label.clone(), problem });
        }
        if label.trim().is_empty() {
            return Err(Error::InvalidLabel { label: label.clone(), problem: "is blank" });
        }
        if let Some(first) = seen.insert(plain(label), label) {
            let difference = difference(first, label);
            warnings.push(format!(
                "{first:?} and {label:?} are two classes, though they differ only by {difference}: merge them if one was meant"
            ));
        }
    }
    Ok(warnings)
}

/// Reduces a label to what a reader sees: one Unicode form, single blanks, lower case.
fn plain(label: &str) -> String {
    let composed: String = label.nfkc().collect::<String>().to_lowercase();
    composed.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn difference(a: &str, b: &str) -> &'static str {
    if a.to_lowercase() == b.to_lowercase() {
        "case"
    } else if a.split_whitespace().eq(b.split_whitespace()) {
        "blanks"
    } else if a.nfkc().eq(b.nfkc()) {
        "Unicode form (they look the same)"
    } else {
        "case, blanks or Unicode form"
    }
}

/// Asks whether a known label was meant, where an unknown one looks the same; else says nothing.
pub(super) fn hint(unknown: &[String], known: &[String]) -> String {
    unknown
        .iter()
        .find_map(|label| known.iter().find(|class| plain(class) == plain(label)))
        .map(|class| format!(": is {class:?} meant?"))
        .unwrap_or_default()
}

/// Sorts labels, which become classes in this order.
pub(super) fn sort(labels: &mut [String], order: ClassOrder) {
    match order {
        ClassOrder::Bytes => labels.sort(),
        // What differs by case or leading zeros alone has an order too.
        ClassOrder::Natural => labels.sort_by(|a, b| natural(a, b).then_with(|| a.cmp(b))),
    }
}

/// Compares labels by the numbers in them, and by the text between without regard to case.
///
/// # Reference
/// timm's `natural_key`, which splits at `\d+`; here digits are those of ASCII.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let (mut a, mut b) = (a.as_str(), b.as_str());
    while !a.is_empty() && !b.is_empty() {
        let (text, number) = (|c: char| c.is_ascii_digit(), |c: char| !c.is_ascii_digit());
        let ((a_text, a_rest), (b_text, b_rest)) = (cut(a, text), cut(b, text));
        let ((a_number, a_rest), (b_number, b_rest)) = (cut(a_rest, number), cut(b_rest, number));
        let (a_value, b_value) = (a_number.trim_start_matches('0'), b_number.trim_start_matches('0'));
        let order = a_text
            .cmp(b_text)
            .then_with(|| a_number.is_empty().cmp(&b_number.is_empty()).reverse())
            .then_with(|| a_value.len().cmp(&b_value.len()))
            .then_with(|| a_value.cmp(b_value));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    a.len().cmp(&b.len())
}

/// Cuts a text before the first such letter.
fn cut(text: &str, at: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_by_bytes_or_by_the_numbers_in_them() {
        let sorted = |order| {
            let mut labels =
                ["cat10", "Cat2", "cat1", "dog", "10", "9", "cat", "cat02", "a1b3", "a1b12", "99999999999999999999999"]
                    .map(str::to_owned);
            sort(&mut labels, order);
            labels.join(" ")
        };
        assert_eq!(sorted(ClassOrder::Bytes), "10 9 99999999999999999999999 Cat2 a1b12 a1b3 cat cat02 cat1 cat10 dog");
        assert_eq!(
            sorted(ClassOrder::Natural),
            "9 10 99999999999999999999999 a1b3 a1b12 cat cat1 Cat2 cat02 cat10 dog"
        );
    }
}
