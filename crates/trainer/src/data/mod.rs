//! Data sets: which photos there are, what is true of them, and which part each plays.

mod dataset;
mod folder;
mod group_by;
mod groups;
mod labels;
mod leaks;
mod listing;
mod part;
mod photo;
mod scan;
pub(crate) mod split;
mod target;

pub use dataset::Dataset;
pub use listing::{Listing, check_folder, list};
pub use part::Part;
pub use photo::{Photo, Rejected};
pub use split::{Duplicates, SplitOptions};
pub use target::{Class, Target};

pub(crate) use group_by::group_by;
pub(crate) use groups::{Entry, Groups};
pub(crate) use leaks::{Leak, duplicates, leaks};
pub(crate) use listing::told_again;
