//! The part a photo plays: to learn from, to choose by, or to evaluate on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The part a photo plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The head learns from it.
    Train,
    /// It decides which epoch's head is kept, where training goes by epochs; else it judges where no test part does.
    Validation,
    /// The result is evaluated on it; it touches nothing else.
    Test,
}

/// Words that say nothing in the name of a part's folder: `train_images` is `train`.
const FILLING: [&str; 8] = ["data", "folder", "image", "images", "photos", "pictures", "split", "unlabelled"];

impl Part {
    /// All three, in the order of their use.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// What tables say in the place of the part of a photo to train on of which another head speaks, in cross-validation.
    pub const CROSS_VALIDATED: &str = "cross-validation";

    /// Reads a part off a folder's name, with the words that are left of it: `seg_Test2` is of the test part, and `seg` is left.
    ///
    /// Case, numbers, and words such as `set` and `images` don't matter; a name that names two parts names none.
    pub(super) fn of_folder(name: &str) -> Option<(Self, String)> {
        let name = name.to_lowercase();
        let mut found = None;
        let mut left = Vec::new();
        for word in name.split(|letter: char| !letter.is_alphanumeric()) {
            let word = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
            let word = word.strip_suffix("set").unwrap_or(word);
            match Self::ALL.into_iter().find(|part| part.words().contains(&word)) {
                Some(_) if found.is_some() => return None,
                Some(part) => found = Some(part),
                None if word.is_empty() || FILLING.contains(&word) => {}
                None => left.push(word),
            }
        }
        Some((found?, left.join(" ")))
    }

    /// Lists the words for this part in the names of folders.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train", "training"],
            Self::Validation => &["val", "valid", "validation", "validate", "dev"],
            Self::Test => &["test", "testing", "eval", "evaluation"],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_parts_are_known_in_any_case() {
        let read = |name| Part::of_folder(name).map(|(part, left)| (part, left.leak() as &str));
        for (name, part, left) in [
            ("Train", Part::Train, ""),
            ("TRAINING", Part::Train, ""),
            ("training_set", Part::Train, ""),
            ("train2017", Part::Train, ""),
            ("seg_train", Part::Train, "seg"),
            ("Dev", Part::Validation, ""),
            ("valid", Part::Validation, ""),
            ("test1", Part::Test, ""),
            ("Test-Images", Part::Test, ""),
            ("1 testing", Part::Test, ""),
            ("seg_test", Part::Test, "seg"),
            ("test tube", Part::Test, "tube"),
        ] {
            assert_eq!(read(name), Some((part, left)), "{name}");
        }
        for name in ["trains", "contest", "bus", "value", "train_test", "", "data"] {
            assert_eq!(read(name), None, "{name}");
        }
    }
}
