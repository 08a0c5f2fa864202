//! `trainer embed`: the backbone's features of every photo, in a file.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::data::DataArgs;
use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::reading::ReadingArgs;
use crate::cli::terminal::Terminal;
use crate::export::{self, Array, Format};
use crate::outputs::{self, Existing};
use crate::progress::{Stage, watched};
use crate::words::{count, shown};
use crate::{data, hub, tasks};

/// Write the backbone's features of every photo of a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer embed photos --out features.safetensors
  trainer embed photos --backbone resnet50 --out features.npy

Rows are written as they come, in the order of the photos' names; the file appears when it is whole. What was computed is kept whatever happens:
the same again goes on from there (see --store). A .npy file has no room for names: they go into a .txt file beside it, one a line in the order of the rows.
Control characters in names are escaped: \\n for a new line. A .parquet table has the columns path, sha256 and features, a list.")]
pub(crate) struct Embed {
    /// The folder of photos, sub-folders too, labelled or not; or a table or an archive, as for `train`, or - for paths on the standard input
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// The backbone, as for `train`
    #[arg(long, alias = "weights", value_name = "NAME|FILE", default_value = hub::DEFAULT)]
    pub(crate) backbone: String,
    /// The file to write: .safetensors, .npy, .csv or, where that is built in, .parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace features that were written there before
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}

pub(crate) fn embed(args: &Embed, global: &Global, terminal: &Terminal) -> Outcome {
    let format = export::format_of(&args.out)?;
    let existing = Existing::forced(args.force);
    let there = outputs::check(&args.out, existing, |bytes| format.is_ours(&args.out, bytes))?;
    if format == Format::Npy {
        // Names are known by the rows beside them.
        outputs::check(&export::names_beside(&args.out), existing, |_| there)?;
    }
    let origin = args.data.origin(&args.dir);
    data::check(&origin)?;
    let overrides = args.reading.overrides()?;
    let session = global.session(terminal)?;
    let listed = || match origin.is_input() {
        // It can be read once.
        true => Ok(()),
        false => watched(terminal, Stage::LISTING, || data::list(&origin)).map(drop),
    };
    let weights = hub::resolve_after(&args.backbone, terminal, &listed)?.weights;
    let mut array: Option<(Array, usize)> = None;
    let embedded = tasks::embed_each(&session, &origin, &weights, &overrides, &mut |photo, digest, row| {
        let (array, _) = match &mut array {
            Some(array) => array,
            none => none.insert((Array::begin(&args.out, format, row.len())?, row.len())),
        };
        array.add(&photo.name, digest, row)
    })?;
    let (array, width) = array.expect("a task without a row is an error");
    array.finish()?;
    if global.json {
        emit_json(&json!({ "photos": embedded.rows, "features": width, "rejected": embedded.rejected }))?;
    } else {
        let photos = count(embedded.rows, "photo");
        emit(&format!("{photos} x {width} features in {}\n", shown(&args.out)))?;
    }
    Ok(embedded.rejected.len())
}
