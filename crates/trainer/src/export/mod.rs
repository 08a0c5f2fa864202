//! What other programs read: features as arrays.

mod arrays;

pub use arrays::{npy, safetensors};
