//! A frozen ResNet on the CPU's vectors, for machines without a GPU: a second [`Engine`](resnet::Engine) beside the WGSL one, of the same
//! network, the same folded weights and the same taps.
//!
//! [`Backbone`] runs every architecture of [`resnet`]. Convolutions are this crate's own: 1x1 as products on the channels-last images as they
//! lie, 3x3 by Winograd's minimal filtering, all others by gathered windows, with bias, residual and ReLU at the end of the products.
//! [`product`] is the product of matrices that they stand on.
//!
//! x86-64 has AVX-512, AVX2 with FMA, or SSE2, ARM has NEON, chosen when the program runs; the environment variable `REHEAD_CPU` names a
//! lesser one (`avx2`, `sse2`). Threads are rayon's: `RAYON_NUM_THREADS` says how many.
//!
//! ```no_run
//! # fn example(photos: &[resnet::ImageBytes]) -> Result<(), resnet::Error> {
//! use native::{Backbone, Options};
//! use resnet::{Engine, Tap, WeightFile};
//!
//! let weights = WeightFile::open("resnet18.safetensors")?;
//! let backbone = Backbone::new(&weights, &Options { batch: 8, input_size: [224, 224], taps: &[Tap::Features] })?;
//! let features = backbone.submit_bytes(photos)?.wait(Tap::Features)?;
//! assert_eq!(features.len(), photos.len() * backbone.len_of(Tap::Features).unwrap());
//! # Ok(()) }
//! ```

mod backbone;
mod convolution;
mod gather;
mod matrix;
mod memory;
mod panels;
mod plan;
mod pools;
mod product;
mod simd;
mod team;
mod tile;
mod winograd;

pub use backbone::{Backbone, Options};
pub use matrix::{Matrix, MatrixMut, product};

/// Names the instructions that are computed by, the best that this CPU has or those that `REHEAD_CPU` names: `avx512`, `avx2`, `sse2`, `neon`, or `plain`.
///
/// # Errors
/// [`resnet::Error::Options`] where `REHEAD_CPU` names what this CPU hasn't.
pub fn instructions() -> Result<&'static str, resnet::Error> {
    Ok(simd::Isa::chosen()?.name())
}
