//! Tunes kernels: measures which variant of each is the fastest here, keeps the winners, and uses them from then on.

#[cfg(feature = "cli")]
mod measure;
#[cfg(feature = "cli")]
mod operands;
#[cfg(feature = "cli")]
mod save;
mod table;

#[cfg(feature = "cli")]
pub(crate) use measure::{Shape, Tuning, defaults, measure};
#[cfg(feature = "cli")]
pub(crate) use save::save;
pub use table::Tuned;
pub(crate) use table::{Key, load};
