//! The native half of the wheel `rehead`: what Python's half, in `python/rehead`, asks of the library `trainer`.
//!
//! Options and figures cross as JSON, numbers as bytes that NumPy takes as they are, and photos as buffers or paths. Python's half words
//! all that a user sees; nothing is computed on either side that the library computes.

mod bytes;
mod embedder;
mod error;
mod head;
mod options;
mod photos;
mod run;
mod shards;
mod training;
mod watch;

/// What `rehead/__init__.py` imports.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::embedder::Embedder;
    #[pymodule_export]
    use crate::head::{fit, logits};
    #[pymodule_export]
    use crate::run::Run;
    #[pymodule_export]
    use crate::shards::Shards;
    #[pymodule_export]
    use crate::training::train;
}
