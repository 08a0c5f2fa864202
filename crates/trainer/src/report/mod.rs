//! Tells how good a head is and what it says about each photo: as text for terminals, as CSV for spreadsheets, as one HTML page.

mod change;
mod choice;
mod comparison;
mod csv;
mod data;
mod figure;
mod html;
mod prediction;
mod row;
mod svg;
#[cfg(test)]
mod tests;
mod text;
mod thumbnail;

pub use self::csv::{is_predictions, prediction_line, predictions_csv, predictions_header};
pub use change::{Change, Compared};
pub use choice::{Backbones, Baselines, Scores, Table, TriedBackbone, TriedViews};
pub use comparison::{Comparison, OfClass, Right};
pub(crate) use data::Data;
pub use data::{Counts, Metrics, Seconds, deals, how_found, judged, left_out, tables, without_leaks};
pub(crate) use html::html;
pub use prediction::Prediction;
pub use row::Asked;
pub(crate) use row::{Column, Value, row};
#[cfg(feature = "cli")]
pub(crate) use text::is_cut;
pub(crate) use text::rejections;
pub use text::text;
