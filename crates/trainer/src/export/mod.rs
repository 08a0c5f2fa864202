//! Files for other programs: features as arrays, photos in folders of their classes.

mod arrays;
mod sorted;

pub use arrays::{Array, Format, format_of, names_beside, npy_rows};
pub use sorted::{UNSURE, Way, sort_into};
