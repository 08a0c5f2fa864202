//! The part a photo plays: to learn from, to choose by, or to evaluate on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The part a photo plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The head learns from it.
    Train,
    /// It decides when training stops, and which epoch's head is kept.
    Validation,
    /// The result is evaluated on it; it touches nothing else.
    Test,
}

impl Part {
    /// All three, in the order of their use.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Lists the names that a folder of this part may have.
    pub(super) fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train"],
            Self::Validation => &["val", "valid", "validation"],
            Self::Test => &["test"],
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}
