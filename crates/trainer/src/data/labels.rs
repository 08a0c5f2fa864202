//! Checks labels: `labels.txt` must hold them, and a reader or another file system should be able to tell them apart.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

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
                "{first:?} and {label:?} are two classes, though they differ only by {difference}: merge the folders if one was meant"
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
