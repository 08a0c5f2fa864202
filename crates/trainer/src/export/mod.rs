//! Files for other programs: features as arrays.

mod arrays;

pub use arrays::{is_safetensors, npy, npy_rows, safetensors};
