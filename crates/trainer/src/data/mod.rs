//! Data sets: which photos there are, what is true of them, and which part each plays.

mod dataset;
mod folder;
mod labels;
mod leaks;
mod listing;
mod part;
mod photo;
pub mod split;
mod target;

pub use dataset::Dataset;
pub use leaks::duplicates;
pub use listing::{Listing, list};
pub use part::Part;
pub use photo::{Photo, Rejected};
pub use target::{Class, Target};

pub(crate) use listing::check_folder;
