//! An evaluation, told: as text for people, as CSV for spreadsheets, as one HTML page without scripts.

mod csv;
mod data;
mod html;
mod prediction;
mod svg;
#[cfg(test)]
mod tests;
mod text;
mod thumbnail;

pub use self::csv::predictions_csv;
pub use data::{Confused, Counts, Data, Metrics, Mistake, Seconds};
pub use html::html;
pub use prediction::Prediction;
pub use text::{rejections, text};
