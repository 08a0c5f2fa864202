//! WGSL compute kernels for neural networks, for any program with wgpu 30 to embed; [`wgpu`] is that version.
//!
//! Each operation is made in three steps: **plan** (`Matmul::new(&context, &desc)` checks shapes against the device's
//! limits and compiles), **bind** (`plan.bind(...)` ties buffers), **encode** (`commands.encode(&mut encoder)` records
//! into the caller's encoder). A kernel never submits, polls, blocks, logs or holds global state.
//!
//! Activations are NHWC, weights OIHW, matrices row-major, all f32; convolutions and pooling also take f16 ([`Precision`]).

pub use wgpu;

mod commands;
mod context;
mod decay;
#[cfg(feature = "reference")]
mod emulation;
mod error;
pub mod host;
mod mirror;
mod ops;
mod overflow;
mod params;
mod precision;
#[cfg(feature = "reference")]
pub mod reference;
mod sliding;
mod step;
mod tile;
mod tune;
mod window;
mod workspace;

pub use commands::{Commands, Cost, encode_all, encode_first_use, slices};
pub use context::{Context, OPERAND_USAGES, cooperative_features, wanted_features};
pub use error::{Cause, Error};
pub use host::Host;
pub use ops::*;
pub use overflow::{OverflowFlag, OverflowFlags};
pub use precision::{Precision, from_halves, halves};
pub use tune::{Family, Tile, Tune, TuneTable, UnknownVariant, Variant};
pub use workspace::{Workspace, WorkspaceSize};
