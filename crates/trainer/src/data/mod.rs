//! Data sets: which photos there are, what is true of them, and which part each plays.
//!
//! Photos come from folders, tables and archives; [`Dataset::open`] says from which. Each reader finds photos and what is true of them
//! (`folder`, `table`, `samples`), and all end in the same checks (`found`).

#[cfg(feature = "parquet")]
mod cell;
mod columns;
mod contents;
mod dataset;
mod feature_rows;
mod folder;
mod folds;
mod found;
mod group_by;
mod groups;
mod kind;
mod labels;
mod leaks;
mod listing;
mod manifest;
mod member;
mod open;
mod origin;
#[cfg(feature = "parquet")]
mod parquet;
mod part;
mod photo;
mod row;
mod rows;
mod samples;
mod scan;
mod source;
pub(crate) mod split;
mod table;
mod tar;
mod target;
mod tree;
mod zip;

pub use columns::{Columns, Role};
pub use dataset::Dataset;
pub use feature_rows::FeatureRows;
pub use listing::Listing;
pub use member::Member;
pub use open::{check, list, list_all};
pub use origin::{ClassOrder, INPUT, Origin};
pub use part::Part;
pub use photo::{Photo, Rejected};
pub use source::Source;
pub use split::{Duplicates, SplitOptions};
pub use target::{Class, Target};

pub(crate) use feature_rows::Told;
pub(crate) use folds::folds;
pub(crate) use groups::{Entry, Groups};
pub(crate) use leaks::{Leak, duplicates, leaks};
pub(crate) use manifest::Entry as ManifestEntry;
pub(crate) use open::manifest;
pub(crate) use row::{Labels, Row};
pub(crate) use source::ReadFile;
