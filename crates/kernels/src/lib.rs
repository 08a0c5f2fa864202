//! WGSL compute kernels for neural networks, for any wgpu program to embed.
//!
//! Each operation is made in three steps: **plan** (`Matmul::new(&context, &desc)` checks shapes against the device's
//! limits and compiles), **bind** (`plan.bind(...)` ties buffers), **encode** (`commands.encode(&mut encoder)` records
//! into the caller's encoder). A kernel never submits, polls, blocks, logs or holds global state.
//!
//! Activations are NHWC, weights OIHW, matrices row-major, all f32.

pub use wgpu;

mod commands;
mod context;
mod error;
mod mirror;
mod ops;
mod params;
#[cfg(feature = "reference")]
pub mod reference;
mod tune;
mod workspace;

pub use commands::{Commands, encode_all, encode_first_use};
pub use context::{Context, wanted_features};
pub use error::Error;
pub use ops::*;
pub use tune::{Family, Tune};
pub use workspace::{Workspace, WorkspaceSize};
