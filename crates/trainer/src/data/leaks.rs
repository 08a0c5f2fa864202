//! Finds copies: a photo that lies in train and in test would be evaluated on what it taught.

use std::collections::BTreeMap;

use crate::digest::Digest;

/// Finds contents that occur more than once, each as the places where it does, in ascending order.
pub fn duplicates(digests: impl IntoIterator<Item = Digest>) -> Vec<Vec<usize>> {
    let mut seen: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
    for (place, digest) in digests.into_iter().enumerate() {
        seen.entry(digest).or_default().push(place);
    }
    let mut repeated: Vec<_> = seen.into_values().filter(|places| places.len() > 1).collect();
    repeated.sort();
    repeated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_that_occur_twice_are_found_in_the_order_of_their_places() {
        let digests = [7, 3, 9, 3, 7, 7, 1].map(|byte| [byte; 32]);
        assert_eq!(duplicates(digests), [vec![0, 4, 5], vec![1, 3]]);
        assert!(duplicates(digests[..3].iter().copied()).is_empty());
    }
}
