//! `trainer embed`: the backbone's features of every photo, in a file.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::data::DataArgs;
use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::reading::ReadingArgs;
use crate::cli::terminal::Terminal;
use crate::error::Error;
use crate::export;
use crate::outputs::{self, Existing};
use crate::words::{count, shown};
use crate::{data, files, hub, tasks};

/// Write the backbone's features of every photo of a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer embed photos --out features.safetensors
  trainer embed photos --backbone resnet50 --out features.npy

A .npy file has no room for names: they go into a .txt file beside it, one a line in the order of the rows.
Control characters in names are escaped: \\n for a new line.")]
pub(crate) struct Embed {
    /// The folder of photos, sub-folders too, labelled or not; or a table or an archive, as for `train`, or - for paths on the standard input
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// The backbone, as for `train`
    #[arg(long, alias = "weights", value_name = "NAME|FILE", default_value = hub::DEFAULT)]
    pub(crate) backbone: String,
    /// The file to write: .safetensors or .npy
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace features that were written there before
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}

pub(crate) fn embed(args: &Embed, global: &Global, terminal: &Terminal) -> Outcome {
    let npy = match args.out.extension().and_then(|end| end.to_str()) {
        Some("npy") => true,
        Some("safetensors") => false,
        _ => {
            let (value, expected) = (shown(&args.out).into_owned(), "a name ending in .safetensors or .npy");
            return Err(Error::InvalidOption { option: "--out", value, expected });
        }
    };
    let existing = Existing::forced(args.force);
    let names = args.out.with_extension("txt");
    if npy {
        let rows = outputs::check(&args.out, existing, |bytes| export::npy_rows(bytes).is_some())?;
        // Names are known by the rows beside them.
        outputs::check(&names, existing, |_| rows)?;
    } else {
        outputs::check(&args.out, existing, export::is_safetensors)?;
    }
    let origin = args.data.origin(&args.dir);
    data::check(&origin)?;
    let overrides = args.reading.overrides()?;
    let session = global.session(terminal)?;
    let weights = hub::resolve_by_env(&args.backbone, terminal)?.weights;
    let embedded = tasks::embed(&session, origin, &weights, &overrides)?;
    let rows = embedded.rows()?;
    if npy {
        files::write(&names, (embedded.names.join("\n") + "\n").as_bytes())?;
        files::write(&args.out, &export::npy(&rows))?;
    } else {
        files::write(&args.out, &export::safetensors(&rows, &embedded.names))?;
    }
    if global.json {
        emit_json(&json!({ "photos": rows.len(), "features": rows.width(), "rejected": embedded.rejected }))?;
    } else {
        let photos = count(rows.len(), "photo");
        emit(&format!("{photos} x {} features in {}\n", rows.width(), shown(&args.out)))?;
    }
    Ok(embedded.rejected.len())
}
