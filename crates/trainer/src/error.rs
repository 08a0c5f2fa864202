//! What can go wrong, said once, in words a user can act on.

use std::path::{Path, PathBuf};

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a folder of photos and an evaluated classifier.
///
/// A photo that can't be read is no error: it is a [`Rejected`](crate::data::Rejected), named and counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation of the file system failed.
    #[error("can't {action} {}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `create`, `list`.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The data set's folder doesn't exist or isn't a folder.
    #[error("{}: {problem}; expected a folder with one sub-folder of photos for each class", path.display())]
    NotAFolder {
        /// What was given.
        path: PathBuf,
        /// `no such folder` or `not a folder`.
        problem: &'static str,
    },
    /// No file in the folder looks like a photo.
    #[error(
        "{}: no photos in it ({others} other files): looked for files ending in {}",
        path.display(), endings.join(", ")
    )]
    NoPhotos {
        /// The folder.
        path: PathBuf,
        /// How many files of other kinds it holds.
        others: usize,
        /// How the names of photos end.
        endings: &'static [&'static str],
    },
    /// Photos lie beside the class folders, where they have no label.
    #[error(
        "{}: {count} photos lie outside any class folder and so have no label ({}): move each into the folder of its class",
        path.display(), examples.join(", ")
    )]
    LoosePhotos {
        /// The folder that should hold class folders only.
        path: PathBuf,
        /// How many there are.
        count: usize,
        /// The first few.
        examples: Vec<String>,
    },
    /// One class only: there is nothing to tell apart.
    #[error("{}: a single class, {class:?}: a classifier needs two or more class folders{hint}", path.display())]
    SingleClass {
        /// The folder.
        path: PathBuf,
        /// Its only class.
        class: String,
        /// A better folder to give, where one can be seen.
        hint: String,
    },
    /// Class folders without a photo.
    #[error("{}: no photos in class {}: add some, or remove the folder", path.display(), quoted(classes))]
    EmptyClass {
        /// The folder that holds the class folders.
        path: PathBuf,
        /// The empty ones.
        classes: Vec<String>,
    },
    /// Two labels that a reader, or another file system, can't tell apart.
    #[error("labels {first:?} and {second:?} differ only by {difference}: rename one, or merge the folders")]
    ClashingLabels {
        /// One label.
        first: String,
        /// The other.
        second: String,
        /// In what they differ.
        difference: &'static str,
    },
    /// A label that `labels.txt`, one a line, can't hold.
    #[error("label {label:?} {problem}: rename the folder")]
    InvalidLabel {
        /// The label.
        label: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A class to be judged that was never trained.
    #[error("{}: class {} is not among the {known} classes trained on{hint}", path.display(), quoted(classes))]
    UnknownClass {
        /// The folder that holds it.
        path: PathBuf,
        /// The unknown ones.
        classes: Vec<String>,
        /// How many classes are known.
        known: usize,
        /// The known label most alike.
        hint: String,
    },
    /// Every photo of a class, or of a part, was rejected or fell elsewhere.
    #[error("{what}: none of its {found} photos can be used: see the reasons given for each")]
    NothingReadable {
        /// The class or the part.
        what: String,
        /// How many files there were.
        found: usize,
    },
    /// An option outside its range.
    #[error("{option}: {value} is out of range: expected {expected}")]
    InvalidOption {
        /// Its name.
        option: &'static str,
        /// What was given.
        value: String,
        /// What would do.
        expected: &'static str,
    },
    /// Numbers of things that must agree don't.
    #[error("{operation}: {operand} has {got} elements, expected {expected}")]
    Shape {
        /// The function.
        operation: &'static str,
        /// The argument.
        operand: &'static str,
        /// What its length should be.
        expected: usize,
        /// What it is.
        got: usize,
    },
    /// A number that is NaN or infinite where it must not be.
    #[error("{operation}: {what} is not finite")]
    NotFinite {
        /// The function or step.
        operation: &'static str,
        /// Which value.
        what: String,
    },
    /// The output folder holds something already.
    #[error("{}: {problem}", path.display())]
    RunExists {
        /// The folder.
        path: PathBuf,
        /// What it holds and what to do.
        problem: &'static str,
    },
    /// A folder that should be a run isn't, or is damaged.
    #[error("{}: not a usable run: {reason}", path.display())]
    InvalidRun {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// A backbone's name means nothing, or what it means may not or can't be had.
    #[error("{name}: {problem}; {advice}")]
    Weights {
        /// As it was given.
        name: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// The hub can't be reached, or what it sends isn't right.
    #[error("{name}: {problem}; {advice}")]
    Network {
        /// The backbone's name as it was given.
        name: String,
        /// What happened.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// There is no adapter, or not the one asked for.
    #[error("{0}")]
    NoAdapter(String),
    /// The adapter refused or failed.
    #[error("device: {0}")]
    Device(String),
    /// The adapter has too little memory.
    #[error(
        "device: out of memory: {0}; close other programs that use the adapter, take another with --adapter, or a smaller backbone"
    )]
    OutOfMemory(String),
    /// The weights or the preprocessing.
    #[error(transparent)]
    Backbone(#[from] resnet::Error),
    /// A kernel refused its operands.
    #[error(transparent)]
    Kernel(#[from] kernels::Error),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Whose fault an [`Error`] is: what the binary's exit code tells a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The command line.
    Usage,
    /// The photos, the weights or the run folder.
    Input,
    /// The graphics adapter or its driver.
    Device,
    /// The file system or the network.
    Io,
    /// Nobody's: the user stopped it.
    Interrupted,
}

impl Error {
    /// An I/O error with its path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } | Self::Network { .. } | Self::Backbone(resnet::Error::Io { .. }) => Fault::Io,
            Self::InvalidOption { .. } | Self::RunExists { .. } => Fault::Usage,
            Self::NoAdapter(_)
            | Self::Device(_)
            | Self::OutOfMemory(_)
            | Self::Kernel(_)
            | Self::Backbone(resnet::Error::Kernels(_) | resnet::Error::Device(_)) => Fault::Device,
            Self::Interrupted => Fault::Interrupted,
            _ => Fault::Input,
        }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
