//! The names of a run's files.

/// The network with its new head.
pub const MODEL: &str = "model.safetensors";
/// The labels.
pub const LABELS: &str = "labels.txt";
/// The configuration, with the digests of the other files.
pub const CONFIG: &str = "config.json";
/// Which photo played which part.
pub const PARTS: &str = "parts.json";
/// What the run knows its photos by.
pub const KNOWN: &str = "known.safetensors";
/// How good the head is.
pub const METRICS: &str = "metrics.json";
/// What the head says about each photo.
pub const PREDICTIONS: &str = "predictions.csv";
/// The report as a page.
pub const REPORT: &str = "report.html";
