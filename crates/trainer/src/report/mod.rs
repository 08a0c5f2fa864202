//! Tells how good a head is and what it says about each photo: as text for terminals, as CSV for spreadsheets, as one HTML page.

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
