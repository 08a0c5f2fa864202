//! Which part a photo plays: to learn from, to decide by, or to judge by.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The part a photo plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The head learns from it.
    Train,
    /// It decides when to stop, and which epoch's head is kept.
    Validation,
    /// It judges the result and touches nothing else.
    Test,
}

impl Part {
    /// All three, in the order of their use.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Names a folder of this part may have.
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
