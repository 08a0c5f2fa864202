//! A line of a part: a photo, what is said of it, and its features or why it has none.

use sha2::{Digest as _, Sha256};

use crate::data::{Labels, Row};
use crate::digest::{Digest, hex};
use crate::export::{Cell, Column, Kind};

/// A photo's line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Its name in the manifest.
    pub(crate) name: String,
    /// What the manifest says of it.
    pub(crate) row: Row,
    /// The SHA-256 of its content and its features, or why it can't be used.
    pub(crate) outcome: Result<(Digest, Box<[f32]>), String>,
}

/// By what lines are sorted: photos by their content, then by name, and after them those that can't be used.
pub(crate) type Order = (bool, Digest, String);

impl Line {
    /// Gives its place among others.
    pub(crate) fn order(&self) -> Order {
        let digest = self.outcome.as_ref().map_or([0; 32], |(digest, _)| *digest);
        (self.outcome.is_err(), digest, self.name.clone())
    }

    /// Adds it to the digest of a table: what the manifest says as JSON on a line, then the content's digest and the features as little-endian f32, or the error on a
    /// line.
    pub(super) fn hash(&self, hash: &mut Sha256) {
        self.row.hash(&self.name, hash);
        match &self.outcome {
            Ok((digest, features)) => {
                hash.update(digest);
                features.iter().for_each(|value| hash.update(value.to_le_bytes()));
            }
            Err(reason) => hash.update(format!("{reason}\n")),
        }
    }

    /// Lists the columns of a table of lines with so many features each.
    pub(super) fn columns(width: usize) -> [Column; 9] {
        [
            ("path", Kind::Text),
            ("sha256", Kind::Text),
            ("label", Kind::Text),
            ("labels", Kind::Texts),
            ("split", Kind::Text),
            ("weight", Kind::Share),
            ("group", Kind::Text),
            ("features", Kind::Row(width)),
            ("error", Kind::Text),
        ]
        .map(|(name, kind)| Column { name, kind })
    }

    /// Hands its cells to a table, in the order of the columns.
    pub(super) fn cells<T>(&self, add: impl FnOnce(&[Cell<'_>]) -> T) -> T {
        let Self { name, row, outcome } = self;
        let known = outcome.as_ref().ok();
        let (digest, split) = (known.map(|(digest, _)| hex(digest)), row.part.map(|part| part.to_string()));
        let (label, labels) = match &row.labels {
            Labels::None => (None, None),
            Labels::One(label) => (Some(label.as_str()), None),
            Labels::Several(labels) => (None, Some(labels.as_slice())),
        };
        add(&[
            Cell::Text(Some(name)),
            Cell::Text(digest.as_deref()),
            Cell::Text(label),
            Cell::Texts(labels),
            Cell::Text(split.as_deref()),
            Cell::Share(Some(row.weight)),
            Cell::Text(row.group.as_deref()),
            Cell::Row(known.map(|(_, features)| &features[..])),
            Cell::Text(outcome.as_ref().err().map(String::as_str)),
        ])
    }
}
