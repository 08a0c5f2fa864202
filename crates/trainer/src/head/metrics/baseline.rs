//! The baseline: what is reached by always guessing the class most frequent in training.

use serde::{Deserialize, Serialize};

use crate::data::Class;

/// What is reached without looking at the photo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The class always guessed.
    pub class: String,
    /// The share that it gets right.
    pub top1: f64,
}

/// Finds the class most frequent in training by how often each occurs; the first of equals.
pub fn majority(counts: &[usize]) -> Class {
    let most = (0..counts.len()).max_by_key(|&class| (counts[class], std::cmp::Reverse(class)));
    Class::new(most.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_most_frequent() {
        assert_eq!(majority(&[1, 3, 3, 2]), Class::new(1));
        assert_eq!([majority(&[]), majority(&[0, 0])], [Class::default(); 2]);
    }
}
