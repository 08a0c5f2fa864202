//! Which variant of each kernel is the fastest here: measured, kept, and used from then on.

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
