//! Pretrained weights by name: a file, a folder, a short name, or a repository of the Hugging Face hub.
//!
//! | written | means |
//! |---|---|
//! | `resnet18` … (see [`DEFAULTS`]) | the repository that this name stands for |
//! | `demo` | the small backbone that is part of this program |
//! | `weights/mine.safetensors` | this file |
//! | `models/mine` | this folder's `model.safetensors`, with its `config.json` |
//! | `org/name`, `org/name@revision` | a repository of the hub, at a branch, tag or commit |
//!
//! Downloads go to the cache that Python's huggingface_hub keeps, in its layout, so that either finds what the other brought.
//! What the cache holds is taken from there without a request: a branch stays at the commit where it was first met. Without the
//! feature `hub` nothing is ever downloaded, but the cache is still read.

#[cfg(feature = "hub")]
mod address;
mod cache;
#[cfg(feature = "hub")]
mod client;
mod embedded;
mod files;
mod names;
mod options;
mod resolve;

pub use embedded::EMBEDDED;
pub use files::{ModelFiles, WEIGHTS};
pub use names::{DEFAULT, DEFAULTS, DefaultRepo};
pub use options::Options;
pub use resolve::{resolve, resolve_after, resolve_by_env};
