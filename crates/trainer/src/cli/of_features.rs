//! The options of features that another program computed, in the place of photos.

use std::path::PathBuf;

use clap::Args;

/// Features, and what says their labels.
#[derive(Debug, Args)]
pub(crate) struct OfFeatures {
    /// Train on rows of features that any program computed, in the place of photos: .npy or .safetensors, [rows, width]; or on those of `trainer features`: their folder, or
    /// the merged .parquet, with the labels that the manifest gave. Names of rows such as cat/1.jpg say
    /// their labels, else --labels does. Near-duplicates aren't looked for
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dir", "again", "backbone", "within_error", "views", "recipe", "exif", "background", "duplicates"])]
    pub(crate) features: Option<PathBuf>,
    /// The table of those rows' labels (.csv, .tsv, .jsonl, or - for the standard input), with columns as for photos; rows are found by path where
    /// the features have names, else they stand in one order
    #[arg(long, value_name = "TABLE", requires = "features")]
    pub(crate) labels: Option<PathBuf>,
}
