//! How a long operation tells what it does and learns that it should stop. The library itself prints nothing.

/// A long stretch of work: what is counted, and in what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What is done, as a noun: `download`.
    pub name: &'static str,
    /// What a step is, in the plural: `bytes`.
    pub unit: &'static str,
}

impl Stage {
    /// Weights come from the hub.
    pub const DOWNLOAD: Self = Self { name: "download", unit: "bytes" };
    /// Photos pass through the backbone.
    pub const FEATURES: Self = Self { name: "features", unit: "photos" };
    /// The head is trained.
    pub const HEAD: Self = Self { name: "head", unit: "epochs" };
    /// The layers of a network are measured.
    pub const BENCH: Self = Self { name: "bench", unit: "passes" };
    /// Variants of kernels are measured.
    pub const TUNE: Self = Self { name: "tune", unit: "shapes" };
}

/// Watches a long operation. Every method has a default that does nothing; `()` ignores all.
pub trait Progress: Sync {
    /// A stage of `total` steps begins.
    fn begin(&self, _stage: Stage, _total: usize) {}
    /// Some more steps are done.
    fn advance(&self, _steps: usize) {}
    /// The figures of the moment, for people: a loss, a rate.
    fn note(&self, _figures: &str) {}
    /// The stage ends.
    fn end(&self) {}
    /// Something a user should know although the work goes on.
    fn warn(&self, _message: &str) {}
    /// True once the work should stop: it then ends in [`Error::Interrupted`](crate::Error::Interrupted).
    fn cancelled(&self) -> bool {
        false
    }
}

impl Progress for () {}

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
