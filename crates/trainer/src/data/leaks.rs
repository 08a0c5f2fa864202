//! Finds leaks: a photo that is tested on, and belongs together with one that the head learns from or is chosen by.

use std::collections::BTreeMap;

use crate::data::groups::Groups;
use crate::data::part::Part;
use crate::digest::Digest;

/// A photo that belongs together with one of another part, by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The photo that is evaluated on, or chosen by.
    pub photo: usize,
    /// What it belongs together with: the first photo of its group that is learnt from, or else is chosen by; a copy before others.
    pub with: usize,
}

/// Finds the leaks between parts, in the order of the photos: where folders give the parts, a group may play several.
pub fn leaks(groups: &Groups, digests: &[Digest], parts: &[Part]) -> Vec<Leak> {
    let mut leaks = Vec::new();
    for group in groups.list() {
        for &photo in &group {
            let others = group.iter().copied().filter(|&other| parts[other] < parts[photo]);
            let with = others.min_by_key(|&other| (digests[other] != digests[photo], parts[other]));
            leaks.extend(with.map(|with| Leak { photo, with }));
        }
    }
    leaks.sort_by_key(|leak| leak.photo);
    leaks
}

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
    use crate::data::groups::Entry;
    use crate::data::target::Target;

    #[test]
    fn contents_that_occur_twice_are_found_in_the_order_of_their_places() {
        let digests = [7, 3, 9, 3, 7, 7, 1].map(|byte| [byte; 32]);
        assert_eq!(duplicates(digests), [vec![0, 4, 5], vec![1, 3]]);
        assert!(duplicates(digests[..3].iter().copied()).is_empty());
    }

    #[test]
    fn what_is_tested_on_leaks_from_what_is_learnt() {
        use Part::{Test, Train, Validation};
        let digests = [1, 2, 2, 3, 4, 5, 6, 7].map(|byte| [byte; 32]);
        let entry = |&digest| Entry { target: &Target::None, digest, part: None, group: None, kept: None };
        let mut groups = Groups::new(&digests.iter().map(entry).collect::<Vec<_>>());
        // 0 is alike to the copies 1 and 2, 4 to 5, and 6 to nothing else of another part.
        groups.join(0, 1);
        groups.join(4, 5);
        groups.join(6, 7);
        let parts = [Train, Validation, Test, Test, Test, Validation, Test, Test];
        let found: Vec<_> = leaks(&groups, &digests, &parts).iter().map(|leak| (leak.photo, leak.with)).collect();
        assert_eq!(found, [(1, 0), (2, 1), (4, 5)]);
        assert!(leaks(&groups, &digests, &[Test; 8]).is_empty());
    }
}
