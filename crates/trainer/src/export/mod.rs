//! What other programs read: features as arrays.

pub mod arrays;
