//! testkit
pub mod formula;
