//! How a long operation tells what it does and learns that it should stop. The library itself prints nothing.

/// A long stretch of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Weights from the hub, counted in bytes.
    Download,
    /// Photos through the backbone, counted in photos.
    Features,
    /// Training the head, counted in epochs.
    Head,
    /// Measuring the layers of a network, counted in passes.
    Bench,
    /// Measuring variants of kernels, counted in shapes.
    Tune,
}

/// What watches. Every method has a default that does nothing, and `()` is a watcher that doesn't care.
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
