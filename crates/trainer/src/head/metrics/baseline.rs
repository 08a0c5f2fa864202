//! The baseline: what is reached by always guessing the class most frequent in training.

use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use crate::data::{Class, Target};

/// What is reached without looking at the photo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The class always guessed; where photos may be of several, the classes, joined by ` | `.
    pub class: String,
    /// The share that it gets right.
    pub top1: f64,
}

/// Finds the class most frequent in training by how often each occurs; the first of equals.
pub fn majority(counts: &[usize]) -> Class {
    let most = (0..counts.len()).max_by_key(|&class| (counts[class], std::cmp::Reverse(class)));
    Class::new(most.unwrap_or_default())
}

/// Finds the set of classes most frequent in training by those of each photo; the first of equals, and the empty one where there are no photos.
pub fn most_frequent<'a>(sets: impl Iterator<Item = &'a [Class]>) -> Target {
    let mut counts: BTreeMap<&[Class], usize> = BTreeMap::new();
    sets.for_each(|set| *counts.entry(set).or_default() += 1);
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    Target::Set(most.map_or(Vec::new(), |(set, _)| set.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_most_frequent() {
        assert_eq!(majority(&[1, 3, 3, 2]), Class::new(1));
        assert_eq!([majority(&[]), majority(&[0, 0])], [Class::default(); 2]);
        let [a, b] = [0, 1].map(Class::new);
        let sets: [&[Class]; 5] = [&[a, b], &[], &[b], &[b], &[]];
        assert_eq!(most_frequent(sets.into_iter()), Target::Set(vec![]));
        assert_eq!(most_frequent(sets[..4].iter().copied()), Target::Set(vec![b]));
        assert_eq!(most_frequent(std::iter::empty()), Target::Set(vec![]));
    }
}
