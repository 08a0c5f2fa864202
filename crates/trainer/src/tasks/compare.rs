//! Compares two runs on the photos that both were tested on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{Error, Result};
use crate::head::metrics::McNemar;
use crate::report::{Comparison, OfClass};
use crate::run::Judged;

/// Compares two runs by what each says of the photos that both were tested on, known by their content, and that neither has learnt from or was chosen by. Classes are the
/// same where their labels are; a photo of which the runs were told different classes is left out.
///
/// # Errors
/// A folder isn't a run, or its files are damaged; there is no such photo.
pub fn compare(first: &Path, second: &Path) -> Result<Comparison> {
    let ((one, one_knows), (other, other_knows)) = (Judged::read(first)?, Judged::read(second)?);
    let (one, other) = (tested(&one), tested(&other));
    let common: Vec<(&Judged, &Judged)> =
        one.iter().filter_map(|(digest, photo)| Some((*photo, *other.get(digest)?))).collect();
    let (same, relabelled): (Vec<_>, Vec<_>) = common.into_iter().partition(|(a, b)| a.label == b.label);
    if same.is_empty() {
        let (first, second, tested) = (first.to_owned(), second.to_owned(), [one.len(), other.len()]);
        return Err(Error::NothingToCompare { first, second, tested });
    }

    let (mut counts, mut classes) = (McNemar::default(), BTreeMap::new());
    for (a, b) in same {
        let right = [a, b].map(|photo| photo.predicted.as_ref() == Some(&photo.label));
        counts.add(right[0], right[1]);
        let none = || OfClass { label: a.label.clone(), photos: 0, right: [0; 2] };
        let class: &mut OfClass = classes.entry(&a.label).or_insert_with(none);
        class.photos += 1;
        class.right.iter_mut().zip(right).for_each(|(sum, right)| *sum += usize::from(right));
    }
    let unshared = [without(&one_knows, &other_knows), without(&other_knows, &one_knows)];
    Ok(Comparison::new(&counts, classes.into_values().collect(), relabelled.len(), unshared))
}

/// Finds the photos that a run was tested on, by content: not those of which a copy played another part.
fn tested(photos: &[Judged]) -> BTreeMap<&str, &Judged> {
    let is_tested = |photo: &&Judged| photo.is_tested();
    let seen: BTreeSet<&str> =
        photos.iter().filter(|photo| !is_tested(photo)).map(|photo| photo.digest.as_str()).collect();
    let tested = photos.iter().filter(is_tested).map(|photo| (photo.digest.as_str(), photo));
    tested.filter(|(digest, _)| !seen.contains(digest)).collect()
}

/// Lists the labels that are among others not.
fn without(labels: &[String], others: &[String]) -> Vec<String> {
    labels.iter().filter(|label| !others.contains(label)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photo(digest: &str, part: &str) -> Judged {
        let (digest, part) = (digest.to_owned(), part.to_owned());
        Judged { digest, part, label: "a".to_owned(), predicted: Some("b".to_owned()) }
    }

    #[test]
    fn copies_of_what_was_learnt_from_are_no_test() {
        let photos = [
            photo("1", "test"),
            photo("2", "test"),
            photo("2", "train"),
            photo("3", "validation"),
            photo("1", "test"),
            photo("4", "cross-validation"),
        ];
        assert_eq!(tested(&photos).into_keys().collect::<Vec<_>>(), ["1", "4"]);
    }
}
