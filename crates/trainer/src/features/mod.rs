//! Features of photos: each photo passes through the frozen network once, and what that gives is kept by the photo's content.

mod duplicates;
mod engines;
mod extract;
mod extractor;
#[cfg(test)]
pub(crate) mod fake;
mod file;
mod fleet;
mod key;
mod lines;
mod lookup;
mod memory;
mod near;
mod npy;
mod number;
mod ordered;
mod rows;
mod segment;
mod store;
mod upkeep;
mod verdicts;

pub use engines::Engines;
pub use extract::{Extraction, Outcome, Watch, extract, extract_each};
pub use extractor::Extractor;
pub use file::FeatureFile;
pub use key::Key;
pub use memory::Features;
pub use rows::Rows;
pub use upkeep::{Cap, Dropped, Shelf, StoreOptions, Verified, check as check_store, clear, info, prune, verify};

pub(crate) use duplicates::{Looking, near_duplicates};
