//! The crate's error: what can go wrong between a weight file and its features.

use std::path::PathBuf;

use crate::problems::{List, TensorProblems, plain};

/// What can go wrong between a weight file and its features.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The weight file can't be opened or read.
    #[error("can't read {}", plain(&path.to_string_lossy()))]
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
    /// The file starts as safetensors does, and can't be read as such.
    #[error("{file}: the file is damaged; download it again")]
    Damaged {
        /// The file.
        file: String,
        /// What the format's parser says.
        source: safetensors::SafeTensorError,
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
    #[error("recipe: {}: {}", plain(field), plain(problem))]
    Recipe {
        /// The field.
        field: String,
        /// What is wrong with it.
        problem: String,
        /// What the JSON's parser says, where it is its finding.
        source: Option<serde_json::Error>,
    },
    /// A backbone was asked for something that it can't do.
    #[error("backbone: {0}")]
    Options(String),
    /// A layer doesn't run on the device.
    #[error(transparent)]
    Kernels(#[from] kernels::Error),
    /// Weights can't be stored as the device needs them: in f16, which ends at 65504, or in one buffer.
    #[error("weights: `{name}` can't be packed")]
    Weight {
        /// The tensor, in torchvision's (or timm's) names.
        name: String,
        /// What the kernel says.
        source: kernels::Error,
    },
    /// A layer's numbers, of which f16 holds those up to 65504, are beyond, or NaN.
    #[error("backbone: `{layer}` gives numbers beyond f16, which ends at 65504, or NaN: use f32")]
    Overflow {
        /// The first such layer, in torchvision's (or timm's) names; `input` where it is an image's values.
        layer: String,
    },
    /// The device was lost while it worked.
    #[error("backbone: the device was lost")]
    Device(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The process can't have the memory that an engine on the CPU takes.
    #[error("backbone: no memory for {what}, {bytes} bytes")]
    Memory {
        /// What it is for.
        what: &'static str,
        /// How much was asked for.
        bytes: u64,
        /// Whether a smaller batch takes less.
        of_batch: bool,
    },
    /// A mistake of this program: a thread ended in the midst of its work.
    #[error("backbone: a thread that packs weights panicked: {0}")]
    Panic(String),
    /// A picture's size and its pixels don't fit.
    #[error("preprocess: {0}")]
    Image(String),
}

impl Error {
    /// Makes the error of a device that failed, with what it said.
    pub(crate) fn device(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Error::Device(Box::new(source))
    }

    /// Tells whether the network is too large for the device, and may fit it with a smaller batch.
    ///
    /// ```
    /// use resnet::Error;
    /// let (op, what, limit) = ("resnet", "bytes of an activation", "max_buffer_size");
    /// let large = Error::from(kernels::Error::Limit { op, what, needed: 200, limit, allowed: 100 });
    /// assert!(large.is_too_large());
    /// assert!(!Error::Options("no images".to_owned()).is_too_large());
    /// ```
    pub fn is_too_large(&self) -> bool {
        // Of weights too it may be a limit that is exceeded, but they are the same for every batch.
        matches!(
            self,
            Error::Kernels(kernels::Error::Limit { .. } | kernels::Error::OutOfMemory { .. })
                | Error::Memory { of_batch: true, .. }
        )
    }
}
