//! Shards: the features of more photos than one process should compute, in parts that are written apart, by processes that needn't know of each other, and read as
//! one table.
//!
//! Which photos are of a shard, and the order of rows, follow from names and contents alone: however many shards there are, the merged table has the same
//! bytes.

mod about;
mod folder;
mod line;
mod merge;
mod part;
#[cfg(feature = "parquet")]
#[path = "parquet.rs"]
mod reader;
#[cfg(not(feature = "parquet"))]
#[path = "unbuilt.rs"]
mod reader;
mod shard;
mod spill;

pub use folder::SUCCESS;
pub use merge::{FeatureTable, merge};
pub use shard::Shard;

pub(crate) use about::{About, Job};
pub(crate) use folder::{Folder, Standing};
pub(crate) use line::Line;
pub(crate) use part::Draft;
pub(crate) use spill::Spill;
