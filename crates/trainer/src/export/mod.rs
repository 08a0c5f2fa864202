//! Files for other programs: features as arrays and tables, predictions as tables, photos in folders of their classes.

mod arrays;
#[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "a build that writes no table reads no cell"))]
mod column;
mod predictions;
mod sorted;
#[cfg(feature = "parquet")]
#[path = "parquet.rs"]
mod table;
#[cfg(not(feature = "parquet"))]
#[path = "unbuilt.rs"]
mod table;

pub(crate) use column::{Cell, Column, Kind};
#[cfg(feature = "parquet")]
pub(crate) use table::{GROUP_ROWS, TABLE_KEY};
pub(crate) use table::{Table, check_built};

pub use arrays::{Array, Format, format_of, names_beside, npy_rows};
pub use predictions::Predictions;
pub use sorted::{UNKNOWN, UNSURE, Way, sort_into};
