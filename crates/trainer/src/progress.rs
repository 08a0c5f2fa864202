//! Progress: how a long operation tells what it does and learns that it should stop, since the library itself prints nothing.

use serde::{Deserialize, Serialize};

/// A long stretch of work: what is counted, and in what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What is done: `download`.
    pub name: &'static str,
    /// What a step is, in the plural: `bytes`; empty where the stage is a single step, of unknown length.
    pub unit: &'static str,
}

impl Stage {
    /// An adapter, or the CPU, is made ready.
    pub const DEVICE: Self = Self { name: "opening the device", unit: "" };
    /// Folders are listed.
    pub const LISTING: Self = Self { name: "listing photos", unit: "" };
    /// Weights are read and checked.
    pub const WEIGHTS: Self = Self { name: "reading weights", unit: "" };
    /// Weights come from the hub.
    pub const DOWNLOAD: Self = Self { name: "download", unit: "bytes" };
    /// Photos pass through the backbone.
    pub const FEATURES: Self = Self { name: "features", unit: "photos" };
    /// The colours of photos are counted.
    pub const COLOURS: Self = Self { name: "colours", unit: "photos" };
    /// Kept features are compared with their checksums.
    pub const VERIFY: Self = Self { name: "verify", unit: "segments" };
    /// Features are compared with each other.
    pub const NEIGHBOURS: Self = Self { name: "looking for near-duplicates", unit: "" };
    /// Photos whose features are alike are looked at once more.
    pub const PAIRS: Self = Self { name: "near-duplicates", unit: "pairs" };
    /// The head is trained.
    pub const HEAD: Self = Self { name: "head", unit: "epochs" };
    /// Heads are fitted: the one that is kept, and those by which it is chosen and judged.
    pub const HEADS: Self = Self { name: "head", unit: "fits" };
    /// A score is chosen that tells photos of none of the classes.
    pub const UNKNOWN: Self = Self { name: "what tells unknown photos", unit: "" };
    /// The layers of a network are measured.
    pub const BENCH: Self = Self { name: "bench", unit: "passes" };
    /// Variants of kernels are measured.
    pub const TUNE: Self = Self { name: "tune", unit: "shapes" };
}

/// Tells that a single step of unknown length is under way while it is.
pub(crate) fn watched<T>(progress: &dyn Progress, stage: Stage, step: impl FnOnce() -> T) -> T {
    progress.begin(stage, 1);
    let done = step();
    progress.end();
    done
}

/// One pass over the training part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The mean loss over the training part during the pass.
    pub train_loss: f64,
    /// The mean loss on the validation part after the pass, if there is one.
    pub validation_loss: Option<f64>,
    /// The accuracy on the validation part after the pass.
    pub validation_top1: Option<f64>,
    /// The learning rate of its last step.
    pub learning_rate: f64,
}

/// Watches a long operation. Every method has a default that does nothing; `()` ignores all.
pub trait Progress: Sync {
    /// Begins a stage of `total` steps.
    fn begin(&self, _stage: Stage, _total: usize) {}
    /// Counts some more steps as done.
    fn advance(&self, _steps: usize) {}
    /// Gives the figures of an epoch of the head's training, after it.
    fn epoch(&self, _epoch: &Epoch) {}
    /// Shows the figures of the moment to people: a loss, a rate.
    fn note(&self, _figures: &str) {}
    /// Ends the stage.
    fn end(&self) {}
    /// Warns of something a user should know although the work goes on.
    fn warn(&self, _message: &str) {}
    /// Tells whether the work should stop: it then ends in [`Error::Interrupted`](crate::Error::Interrupted).
    fn cancelled(&self) -> bool {
        false
    }
}

impl Progress for () {}

/// Watches work on one of several things, whose name goes with each stage and each warning; an empty name is left out.
pub(crate) struct Named<'a> {
    pub(crate) name: &'a str,
    pub(crate) progress: &'a dyn Progress,
}

impl Named<'_> {
    /// Puts the name before some words.
    fn before(&self, apart: &str, words: &str) -> String {
        if self.name.is_empty() { words.to_owned() } else { format!("{}{apart}{words}", self.name) }
    }
}

impl Progress for Named<'_> {
    fn begin(&self, stage: Stage, total: usize) {
        self.progress.begin(stage, total);
        if !self.name.is_empty() {
            self.progress.note(self.name);
        }
    }

    fn advance(&self, steps: usize) {
        self.progress.advance(steps);
    }

    fn epoch(&self, epoch: &Epoch) {
        self.progress.epoch(epoch);
    }

    fn note(&self, figures: &str) {
        self.progress.note(&self.before("  ", figures));
    }

    fn end(&self) {
        self.progress.end();
    }

    fn warn(&self, message: &str) {
        self.progress.warn(&self.before(": ", message));
    }

    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}

/// Warnings that are kept, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Warnings(std::sync::Mutex<Vec<String>>);

#[cfg(test)]
impl Progress for Warnings {
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

#[cfg(test)]
impl Warnings {
    /// What was warned of since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}
