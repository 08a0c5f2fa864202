//! The network that was planned last, for a program that passes photos through the same one again and again: planning takes longer than a few photos.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use resnet::Engine;

use crate::digest::Digest;

/// A network that stays planned on its adapter between two works, with its weights in the adapter's memory.
#[derive(Default)]
pub struct Planned(Mutex<Option<(Digest, Box<dyn Engine>)>>);

impl Planned {
    /// Takes the network that was kept under this key, if it has room for so many images at once. Another one is let go: its memory is needed.
    pub(crate) fn take(&self, key: &Digest, batch: usize) -> Option<Box<dyn Engine>> {
        let (kept, engine) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        (kept == *key && engine.batch() >= batch).then_some(engine)
    }

    /// Keeps a network for the next work.
    pub(crate) fn keep(&self, key: Digest, engine: Box<dyn Engine>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((key, engine));
    }
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planned")
    }
}
