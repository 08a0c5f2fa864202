//! How many classes of a photo are named and true, where it may be of several.

use crate::data::Class;

/// Counts of a photo's classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// Classes that are named and true.
    pub hits: usize,
    pub named: usize,
    pub truths: usize,
}

impl Named {
    pub fn of(named: &[Class], truths: &[Class]) -> Self {
        let hits = named.iter().filter(|class| truths.contains(class)).count();
        Self { hits, named: named.len(), truths: truths.len() }
    }

    /// Tells whether just those are named that are true.
    pub fn is_exact(&self) -> bool {
        self.hits == self.named && self.hits == self.truths
    }
}
