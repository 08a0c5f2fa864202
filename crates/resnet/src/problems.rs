//! Lists all that is wrong with a file's tensors, each by its name, for one error that says everything at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::architecture::Architecture;
use crate::names::{Naming, nearest};

/// All that keeps a file's tensors from being the network they come nearest to. Names are the file's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorProblems {
    /// Tensors that aren't there, each of the first twenty with the name most like it among those that are.
    pub missing: Vec<(String, Option<String>)>,
    /// Tensors that no layer uses.
    pub unexpected: Vec<String>,
    /// Tensors of a wrong shape: name, shape expected, shape found.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl TensorProblems {
    pub(crate) fn find(architecture: &Architecture, found: &BTreeMap<String, Vec<usize>>, naming: &Naming) -> Self {
        let expected: BTreeMap<_, _> = architecture.tensors().into_iter().collect();
        let mut problems = Self::default();
        let unexpected: BTreeSet<&str> =
            found.keys().filter(|name| !expected.contains_key(*name)).map(String::as_str).collect();
        // A misspelt name is among the unexpected ones; only if there are none, any other will do.
        let candidates =
            if unexpected.is_empty() { found.keys().map(String::as_str).collect() } else { unexpected.clone() };
        for (name, expected) in &expected {
            match found.get(name) {
                Some(shape) if shape == expected => {}
                Some(shape) => problems.misshapen.push((naming.original(name), expected.clone(), shape.clone())),
                None => {
                    // Each is compared with all; of those that aren't shown it would take seconds for nothing.
                    let shown = problems.missing.len() < SHOWN;
                    let nearest = if shown { nearest(name, &candidates) } else { None };
                    let nearest = nearest.map(|name| naming.original(name));
                    problems.missing.push((naming.original(name), nearest));
                }
            }
        }
        problems.unexpected = unexpected.into_iter().map(|name| naming.original(name)).collect();
        problems
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misshapen.is_empty()
    }
}

/// Writes a line for each kind of problem: how many, and the first of them by name.
impl fmt::Display for TensorProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing: Vec<_> = self
            .missing
            .iter()
            .map(|(name, nearest)| match nearest {
                Some(nearest) => format!("`{name}` (nearest present: `{nearest}`)"),
                None => format!("`{name}`"),
            })
            .collect();
        let unexpected: Vec<_> = self.unexpected.iter().map(|name| format!("`{name}`")).collect();
        let misshapen: Vec<_> = self
            .misshapen
            .iter()
            .map(|(name, expected, got)| format!("`{name}` is {got:?}, expected {expected:?}"))
            .collect();
        for (kind, items) in [("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen)] {
            if !items.is_empty() {
                write!(f, "\n  {} {kind}: {}", items.len(), List(&items))?;
            }
        }
        Ok(())
    }
}

/// Writes a name or a message of others as one line: what steers a terminal or ends the line is escaped.
pub(crate) fn plain(text: &str) -> String {
    let steers = |c: char| c.is_control() || ['\u{2028}', '\u{2029}'].contains(&c);
    text.chars().fold(String::new(), |mut plain, c| {
        if steers(c) {
            plain.extend(c.escape_default())
        } else {
            plain.push(c)
        }
        plain
    })
}

/// How many items of a list are shown.
const SHOWN: usize = 20;

/// Shows the first of many items, and how many more there are.
pub(crate) struct List<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
