//! The crate's error: what can go wrong, in words that a user can act on, and what would help.

use std::path::{Path, PathBuf};

use crate::words::{count, none_of, shown};

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a folder of photos and an evaluated classifier.
///
/// A photo that can't be read is no error: it is a [`Rejected`](crate::data::Rejected), named and counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation of the file system failed.
    #[error("can't {action} {}", shown(path))]
    Io {
        /// What was tried: `read`, `write`, `create`, `list`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The data set's folder, table or archive doesn't exist, or is none of these.
    #[error(
        "{}: {problem}; expected a folder with one sub-folder of photos for each class, a table (.csv, .tsv, .jsonl, .parquet) or an archive \
        (.tar, .zip)",
        shown(path)
    )]
    NotAFolder {
        /// What was given.
        path: PathBuf,
        /// `no such folder or file` or `not a folder`.
        problem: &'static str,
    },
    /// What photos should come from is of a kind that can't be read, or is damaged.
    #[error("{}: {problem}", shown(path))]
    UnusableData {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and the way out.
        problem: String,
    },
    /// An archive that is damaged or cut short.
    #[error("{}: the archive is damaged: {problem}; copy it, or make it, again", shown(path))]
    DamagedArchive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file that this build of the program can't read, or write.
    #[error("{}: this build can't {action} .{feature} files", shown(path))]
    NotBuiltIn {
        /// What was tried: `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The feature of this crate by which that is done.
        feature: &'static str,
    },
    /// A table in which a column can't be found.
    #[error(
        "{}: {problem}; its columns are {}, and that of the {role} is usually called {}",
        shown(path), quoted(columns), usual.join(", ")
    )]
    Columns {
        /// The table.
        path: PathBuf,
        /// What the column should hold: `path`, `label`, `labels`, `split`, `weight` or `group`.
        role: &'static str,
        /// What is wrong.
        problem: String,
        /// The names by which it is known.
        usual: &'static [&'static str],
        /// The columns that there are.
        columns: Vec<String>,
    },
    /// A row of a table that can't be used, or says other than another.
    #[error("{}, line {line}: {problem}", shown(path))]
    Row {
        /// The table.
        path: PathBuf,
        /// The line where it begins, counted from 1; of a table without lines the row.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// No photo has a label, where labels are needed.
    #[error("{}: {} without a label: labels are needed to train and to evaluate", shown(path), count(*photos, "photo"))]
    NoLabels {
        /// The table or the archive.
        path: PathBuf,
        /// How many photos there are.
        photos: usize,
    },
    /// All photos play a part that nothing is learnt from.
    #[error("{}: its photos are of the parts {}, and none is to train on: give some the split train", shown(path), parts.join(", "))]
    NothingToTrain {
        /// The table or the archive.
        path: PathBuf,
        /// The parts.
        parts: Vec<String>,
    },
    /// A photo of no class, or of several, where each must be of one.
    #[error("{photo} has {}: each photo must be of exactly one class here", no_or(classes))]
    NotOneClass {
        /// The photo.
        photo: String,
        /// Its classes.
        classes: Vec<String>,
    },
    /// No file in the folder looks like a photo.
    #[error(
        "{}: no photos in it ({}): looked for files ending in {}",
        shown(path), count(*others, "other file"), endings.join(", ")
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
        "{}: {} outside any class folder and so without a label ({}): move each into the folder of its class",
        shown(path), count(*photos, "photo"), examples.join(", ")
    )]
    LoosePhotos {
        /// The folder that should hold class folders only.
        path: PathBuf,
        /// How many there are.
        photos: usize,
        /// The first few.
        examples: Vec<String>,
    },
    /// One class only: there is nothing to tell apart.
    #[error("{}: a single class, {class:?}: a classifier needs two or more{hint}", shown(path))]
    SingleClass {
        /// The folder.
        path: PathBuf,
        /// Its only class.
        class: String,
        /// A better folder to give, where one can be seen.
        hint: String,
    },
    /// Class folders without a photo.
    #[error("{}: no photos in class {}: add some, or take the folder elsewhere{hint}", shown(path), quoted(classes))]
    EmptyClass {
        /// The folder that holds the class folders.
        path: PathBuf,
        /// Those without.
        classes: Vec<String>,
        /// What they hold instead, where that is known.
        hint: String,
    },
    /// A class of which no photo is in a format that can be read.
    #[error("{}: class {class:?}: {}: {reason}", shown(path), none_of(*photos, "read"))]
    UnreadableClass {
        /// The folder that holds the class folders.
        path: PathBuf,
        /// The class.
        class: String,
        /// How many there are.
        photos: usize,
        /// Why the first one can't be read.
        reason: String,
    },
    /// Folders that are named as the parts of a split are, and can't be used as such.
    #[error("{}: the folders {} look like the parts of a split, but {problem}", shown(path), quoted(folders))]
    UnusableSplit {
        /// The folder that holds them.
        path: PathBuf,
        /// Their names.
        folders: Vec<String>,
        /// What is wrong with them, and the way out.
        problem: String,
    },
    /// A label that `labels.txt`, one a line, can't hold.
    #[error("label {label:?} {problem}: rename it")]
    InvalidLabel {
        /// The label.
        label: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A class to evaluate that was never trained.
    #[error("{}: class {} is not among the {} trained on{hint}", shown(path), quoted(classes), count(*known, "class"))]
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
    /// Every photo of a folder, a class or a part was rejected.
    #[error("{what}: {}: {reason}", none_of(*found, "used"))]
    NothingReadable {
        /// The folder, the class or the part.
        what: String,
        /// How many files there were.
        found: usize,
        /// Why the first of them can't be used.
        reason: String,
    },
    /// All photos to evaluate on had a part in making the run.
    #[error("{what}: the run was made with all {seen} of its photos, which would flatter it")]
    AllSeen {
        /// The folder.
        what: String,
        /// How many photos the run has seen.
        seen: usize,
    },
    /// A recipe that can't be followed.
    #[error("{}", shown(path))]
    Recipe {
        /// The file that holds it.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<resnet::Error>,
    },
    /// An option outside its range, or where it has no place.
    #[error("{option}: expected {expected}, got {value}")]
    InvalidOption {
        /// Its name.
        option: &'static str,
        /// What was given.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// An operand whose length doesn't fit the others.
    #[error("{operation}: {operand} has {got} elements, expected {expected}")]
    Shape {
        /// The function.
        operation: &'static str,
        /// The argument.
        operand: &'static str,
        /// The length it should have.
        expected: usize,
        /// The length it has.
        got: usize,
    },
    /// A target that can't be learnt or evaluated.
    #[error("{operation}: row {row} {problem}; expected {expected}")]
    Target {
        /// The function.
        operation: &'static str,
        /// The first row that has such a target, counted from 0.
        row: usize,
        /// What is wrong with it.
        problem: String,
        /// What it must have.
        expected: String,
    },
    /// Two runs that were tested on no photo in common.
    #[error(
        "{} and {}: no photo that both were tested on and neither has learnt from: {} to test in the one, {} in the other",
        shown(first), shown(second), count(tested[0], "photo"), tested[1]
    )]
    NothingToCompare {
        /// The one run.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// How many photos each has to test.
        tested: [usize; 2],
    },
    /// So few photos can't tell what is asked.
    #[error("{what}: {} too few, {needed} are needed", are(*got))]
    TooFewPhotos {
        /// What is asked.
        what: String,
        /// How many photos there are.
        got: usize,
        /// The smallest number that would do.
        needed: usize,
    },
    /// A number that is NaN or infinite where it must not be.
    #[error("{operation}: {what} is not finite")]
    NotFinite {
        /// The function or step.
        operation: &'static str,
        /// The value, by its name.
        what: String,
    },
    /// Where the output should go, there is something already.
    #[error("{}: {problem}", shown(path))]
    OutputExists {
        /// The folder or file.
        path: PathBuf,
        /// What it is.
        problem: &'static str,
        /// Whether that is a finished output of the same kind, which may be replaced.
        finished: bool,
    },
    /// A folder that should be a run isn't, or is damaged.
    #[error("{}: not a usable run: {}", shown(path), shown(reason))]
    InvalidRun {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// A run that knows features alone, where photos would have to pass through its network.
    #[error(
        "{}: made of features that another program computed: it holds a head and no network, and takes no photos",
        shown(path)
    )]
    MadeOfFeatures {
        /// The run's folder.
        path: PathBuf,
    },
    /// A backbone's name means nothing, or what it means may not or can't be had.
    #[error("{}: {}; {advice}", shown(name), shown(problem))]
    Weights {
        /// The name as it was given.
        name: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// The hub can't be reached, or what it sends isn't right.
    #[error("{}: {}; {advice}", shown(name), shown(problem))]
    Network {
        /// The backbone's name as it was given.
        name: String,
        /// What happened.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// The kernels that suit a software adapter have no f16.
    #[error("the fast kernels of this software adapter have no f16")]
    NoF16,
    /// The loss grew beyond all numbers.
    #[error("train: the loss of epoch {epoch} is not finite")]
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
    },
    /// There is no adapter, or not the one asked for.
    #[error("{0}")]
    NoAdapter(String),
    /// The adapter refused or failed.
    #[error("device: {0}")]
    Device(String),
    /// The device has too little memory.
    #[error("device: out of memory: {0}")]
    OutOfMemory(String),
    /// The system has no thread to give.
    #[error("the system has no thread to give")]
    Thread(#[source] std::io::Error),
    /// The weights are refused, their recipe can't be followed, or the network failed.
    #[error(transparent)]
    Backbone(#[from] resnet::Error),
    /// A kernel refused its operands.
    #[error(transparent)]
    Kernel(#[from] kernels::Error),
    /// The user stopped the work.
    #[error("interrupted")]
    Interrupted {
        /// How many of the photos have features that are kept for the next time.
        kept: usize,
    },
}

/// What would help, for a command line, a server or a notebook to word in its own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Ask for the finished output to be replaced, or write elsewhere.
    ReplaceOutput,
    /// Evaluate on the photos too that the run has seen.
    IncludeSeen,
    /// Close other programs that use the device, or take another one or a smaller backbone.
    FreeMemory,
    /// Compute in f32, or by the tiled kernels.
    TakeF32,
    /// Compute on the CPU, which takes no adapter.
    TakeCpu,
    /// Train with a lower learning rate.
    LowerLearningRate,
    /// Train again, which makes the run anew.
    TrainAgain,
    /// Get the weights elsewhere, and give their folder in place of their name.
    GiveFolder,
    /// Say which column holds this, or that none does.
    NameColumn {
        /// What it should hold: `path`, `label`, `labels`, `split`, `weight` or `group`.
        role: &'static str,
    },
    /// Give features to the run, or train again on them, in the place of photos.
    GiveFeatures,
    /// Build the program with this feature.
    BuildWith {
        /// The feature.
        feature: &'static str,
    },
    /// Do the same again, which begins after the photos whose features are kept.
    GoOn {
        /// How many those are.
        kept: usize,
    },
}

/// Whose fault an [`Error`] is: what the binary's exit code tells a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The command line.
    Usage,
    /// The photos, the weights or the run folder.
    Input,
    /// The machine: its graphics adapter, the driver, or a want of threads.
    Device,
    /// The file system or the network.
    Io,
    /// Nobody's: the user stopped it.
    Interrupted,
}

impl Error {
    /// Makes an I/O error of its path and what was tried.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Adds to an interruption that so many photos' features are kept.
    pub(crate) fn keeping(self, kept: usize) -> Self {
        match self {
            Self::Interrupted { .. } => Self::Interrupted { kept },
            other => other,
        }
    }

    /// Says what would help, where something is known to.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::OutputExists { finished: true, .. } => Some(Remedy::ReplaceOutput),
            Self::AllSeen { .. } => Some(Remedy::IncludeSeen),
            Self::OutOfMemory(_) | Self::Backbone(resnet::Error::Memory { .. }) => Some(Remedy::FreeMemory),
            Self::NoF16 => Some(Remedy::TakeF32),
            Self::NoAdapter(_) => Some(Remedy::TakeCpu),
            Self::Diverged { .. } => Some(Remedy::LowerLearningRate),
            Self::InvalidRun { .. } => Some(Remedy::TrainAgain),
            Self::MadeOfFeatures { .. } => Some(Remedy::GiveFeatures),
            Self::Network { .. } => Some(Remedy::GiveFolder),
            Self::Columns { role, .. } => Some(Remedy::NameColumn { role }),
            Self::NotBuiltIn { feature, .. } => Some(Remedy::BuildWith { feature }),
            Self::Interrupted { kept } if *kept > 0 => Some(Remedy::GoOn { kept: *kept }),
            _ => None,
        }
    }

    /// Says whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } | Self::Network { .. } | Self::Backbone(resnet::Error::Io { .. }) => Fault::Io,
            Self::InvalidOption { .. } | Self::OutputExists { .. } | Self::NoF16 => Fault::Usage,
            Self::NotBuiltIn { action: "write", .. } => Fault::Usage,
            Self::NoAdapter(_)
            | Self::Device(_)
            | Self::OutOfMemory(_)
            | Self::Thread(_)
            | Self::Kernel(_)
            | Self::Backbone(
                resnet::Error::Kernels(_)
                | resnet::Error::Device(_)
                | resnet::Error::Memory { .. }
                | resnet::Error::Panic(_),
            ) => Fault::Device,
            Self::Interrupted { .. } => Fault::Interrupted,
            _ => Fault::Input,
        }
    }
}

fn are(photos: usize) -> String {
    format!("{} {}", count(photos, "photo"), if photos == 1 { "is" } else { "are" })
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

fn no_or(classes: &[String]) -> String {
    match classes {
        [] => "no class".to_owned(),
        _ => format!("{}, {}", count(classes.len(), "class"), quoted(classes)),
    }
}
