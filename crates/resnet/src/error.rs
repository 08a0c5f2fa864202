//! The crate's one error.

use std::fmt;
use std::path::PathBuf;

use crate::weights::TensorProblems;

/// What can go wrong between a weight file and its features.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The weight file can't be opened or read.
    #[error("can't read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file isn't a whole safetensors file.
    #[error("{file}: {what}; {advice}")]
    Format {
        /// The file.
        file: String,
        /// What it is.
        what: String,
        /// What to do.
        advice: String,
    },
    /// The file holds weights, but of no network that this crate runs.
    #[error("{file}: {what}; {advice}")]
    Unsupported {
        /// The file.
        file: String,
        /// What it was recognised as.
        what: String,
        /// What to do.
        advice: String,
    },
    /// Tensors are missing, unexpected or misshapen.
    #[error("{file}: its tensors don't make a whole {architecture}{problems}")]
    Tensors {
        /// The file.
        file: String,
        /// The network they come nearest to.
        architecture: String,
        /// All that is wrong.
        problems: Box<TensorProblems>,
    },
    /// Values that no network can run on.
    #[error("weights: {}; the file is damaged or its training diverged: get another", List(problems))]
    Values {
        /// The file.
        file: String,
        /// A sentence for each tensor concerned.
        problems: Vec<String>,
    },
    /// A tensor's shape isn't the one expected.
    #[error("{name}: shape {got:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape expected.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
    },
    /// A layer asked for isn't in the file.
    #[error("weights: no tensor `{name}` in this {architecture}")]
    NoTensor {
        /// The tensor, in torchvision's names.
        name: String,
        /// The file's network.
        architecture: String,
    },
    /// Logits were asked of a backbone without a head.
    #[error("weights: this {architecture} has no head (`fc.weight`), so it gives features but no logits")]
    NoHead {
        /// The file's network.
        architecture: String,
    },
    /// A preprocessing recipe can't be followed.
    #[error("recipe: {field}: {problem}")]
    Recipe {
        /// The field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A backbone was asked for something that it can't do.
    #[error("backbone: {0}")]
    Options(String),
    /// A layer doesn't run on the device.
    #[error(transparent)]
    Kernels(#[from] kernels::Error),
    /// The device was lost while it worked.
    #[error("backbone: the device was lost: {0}")]
    Device(String),
    /// A picture's size and its pixels don't fit.
    #[error("preprocess: {0}")]
    Image(String),
}

/// Shows the first of many items, and how many more there are.
pub(crate) struct List<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 20;
        for (i, item) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
