//! Files for other programs: features as arrays.

mod arrays;

pub use arrays::{npy, safetensors};
