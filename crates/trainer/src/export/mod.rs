//! Files for other programs: features as arrays.

pub mod arrays;
