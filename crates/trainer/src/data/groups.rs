//! Puts photos that belong together into one group: copies, near-duplicates, and what has a common name. A group plays one part.

use std::collections::HashMap;

use crate::data::part::Part;
use crate::data::target::Target;
use crate::digest::Digest;

/// What is known of a photo when it is dealt a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What is true of it: photos of the same target are split by themselves.
    pub target: &'a Target,
    /// SHA-256 of its content.
    pub digest: Digest,
    /// Its part, where the folders say it.
    pub part: Option<Part>,
    /// The name of its group, where that is known.
    pub group: Option<&'a str>,
    /// The part that it played in an earlier run, which it keeps.
    pub kept: Option<Part>,
}

/// Which photos belong together, by their places: each is of one group.
#[derive(Clone, Debug)]
pub struct Groups {
    /// Leads from each photo to another of its group with a lower place, or to itself.
    leads: Vec<usize>,
}

impl Groups {
    /// Puts copies together, and photos whose groups have one name.
    pub fn new(entries: &[Entry]) -> Self {
        let mut groups = Self { leads: (0..entries.len()).collect() };
        let (mut digests, mut names) = (HashMap::new(), HashMap::new());
        for (place, entry) in entries.iter().enumerate() {
            groups.join(*digests.entry(entry.digest).or_insert(place), place);
            if let Some(name) = entry.group {
                groups.join(*names.entry(name).or_insert(place), place);
            }
        }
        groups
    }

    /// Makes one group of those of two photos.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.shorten(a), self.shorten(b));
        self.leads[a.max(b)] = a.min(b);
    }

    /// Gives the first photo of a photo's group.
    pub fn first(&self, mut place: usize) -> usize {
        while self.leads[place] != place {
            place = self.leads[place];
        }
        place
    }

    /// Tells whether two photos are of one group.
    pub fn are_together(&self, a: usize, b: usize) -> bool {
        self.first(a) == self.first(b)
    }

    /// Lists the groups in the order of their first photos, each with its photos in their order.
    pub fn list(&self) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut places = vec![0; self.leads.len()];
        for place in 0..self.leads.len() {
            let first = self.first(place);
            if first == place {
                places[place] = groups.len();
                groups.push(Vec::new());
            }
            groups[places[first]].push(place);
        }
        groups
    }

    /// Finds the first photo of a group, and makes the way to it half as long for the next time.
    fn shorten(&mut self, mut place: usize) -> usize {
        while self.leads[place] != place {
            self.leads[place] = self.leads[self.leads[place]];
            place = self.leads[place];
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: u8, group: Option<&str>) -> Entry<'_> {
        Entry { target: &Target::None, digest: [content; 32], part: None, group, kept: None }
    }

    #[test]
    fn copies_and_what_has_one_name_are_together() {
        let entries = [
            entry(1, None),
            entry(2, Some("anna")),
            entry(3, Some("ben")),
            entry(1, Some("anna")),
            entry(4, None),
            entry(5, Some("ben")),
            entry(6, Some("")),
        ];
        let mut groups = Groups::new(&entries);
        assert_eq!(groups.list(), [vec![0, 1, 3], vec![2, 5], vec![4], vec![6]]);
        assert!(groups.are_together(0, 1) && !groups.are_together(0, 2));
        groups.join(5, 4);
        groups.join(4, 5);
        assert_eq!(groups.list(), [vec![0, 1, 3], vec![2, 4, 5], vec![6]]);
    }

    #[test]
    fn a_long_chain_is_one_group_whatever_its_order() {
        let entries: Vec<Entry> = (0..=255).map(|content| entry(content, None)).collect();
        let chains: [&dyn Fn(usize) -> usize; 3] = [&|i| i, &|i| 254 - i, &|i| i * 101 % 255];
        for order in chains {
            let mut groups = Groups::new(&entries);
            assert_eq!(groups.list().len(), 256);
            (0..255).map(order).for_each(|place| groups.join(place + 1, place));
            assert_eq!(groups.list(), [(0..256).collect::<Vec<_>>()]);
        }
    }
}
