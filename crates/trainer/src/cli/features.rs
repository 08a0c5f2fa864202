//! `trainer features`: the features of a shard of a job, in a part; and the parts of a job, merged.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::data::DataArgs;
use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::reading::ReadingArgs;
use crate::cli::terminal::Terminal;
use crate::error::{Error, Result};
use crate::outputs::Existing;
use crate::shards::{self, SUCCESS, Shard};
use crate::tasks::ShardRequest;
use crate::words::{count, shown};
use crate::{data, hub, tasks};

/// Write the backbone's features of a shard of many photos, to be computed by many processes
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer features --manifest photos.csv --shard 3/17 --out features    the fourth of seventeen
  trainer features --manifest photos.csv --shard /17 --out features     the one that Kubernetes or Slurm gives this process
  trainer features --merge features --out features.parquet              all parts in one file
  trainer train --features features                                     a head, once all parts are there

Shards are counted from 0, as by JOB_COMPLETION_INDEX and `sbatch --array=0-16`. Which photos are of a shard follows from their names and N. Each part is a file
part-00003-of-00017.parquet with the columns path, sha256, label, labels, split, weight, group, features and error, sorted by sha256: a photo that can't be read is a row that says why.
It appears when it is whole; the same again passes over a part that is there, and writes a damaged one anew. Whoever finds all parts there writes _SUCCESS.
However many shards there are, the merged file has the same bytes. Needs a build with the feature parquet; docs/scale.md has recipes for Kubernetes and Slurm.")]
pub(crate) struct Features {
    /// All photos of the job: a folder, a table or an archive, as for `train`, labelled or not
    #[arg(long, value_name = "PHOTOS", required_unless_present = "merge")]
    pub(crate) manifest: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Which shard, counted from 0, of how many; /N takes the number of JOB_COMPLETION_INDEX (a Kubernetes Indexed Job) or SLURM_ARRAY_TASK_ID (a Slurm array)
    #[arg(long, value_name = "I/N|/N", default_value = "0/1")]
    pub(crate) shard: String,
    /// Merge the parts of a finished job, in this folder, into one file
    #[arg(long, value_name = "DIR", conflicts_with_all = ["manifest", "shard", "columns", "backbone", "recipe", "exif", "background"])]
    pub(crate) merge: Option<PathBuf>,
    /// The backbone, as for `train`
    #[arg(long, alias = "weights", value_name = "NAME|FILE", default_value = hub::DEFAULT)]
    pub(crate) backbone: String,
    /// The folder of the job's parts, which all its processes share; with --merge the file to write
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) out: PathBuf,
    /// Write the part, or the merged file, also where it is there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}

pub(crate) fn features(args: &Features, global: &Global, terminal: &Terminal) -> Outcome {
    let existing = Existing::forced(args.force);
    if let Some(parts) = &args.merge {
        let [rows, errors] = shards::merge(parts, &args.out, existing)?;
        let (out, photos) = (&args.out, count(rows, "photo"));
        match global.json {
            true => emit_json(&json!({ "path": out.to_string_lossy(), "photos": rows, "errors": errors }))?,
            false => emit(&format!("{photos}, {} in {}\n", count(errors, "error"), shown(out)))?,
        }
        return Ok(errors);
    }
    let shard = which(&args.shard, |name| std::env::var(name).ok())?;
    let manifest = args.data.origin(&args.manifest.clone().unwrap_or_default());
    data::check(&manifest)?;
    let overrides = args.reading.overrides()?;
    let session = global.session(terminal)?;
    let weights = hub::resolve_by_env(&args.backbone, terminal)?.weights;
    let request = ShardRequest { manifest, shard, out: args.out.clone(), weights, overrides, existing };
    let done = tasks::shard(&session, &request)?;
    match global.json {
        true => emit_json(&serde_json::to_value(&done).expect("plain data"))?,
        false => {
            let success =
                if done.missing == 0 { format!("{}\n", shown(&args.out.join(SUCCESS))) } else { String::new() };
            emit(&format!("{}\n{}\n{success}", done.text(), shown(&done.path)))?;
        }
    }
    Ok(done.errors)
}

/// Says in which variables those who start many processes number them.
const NUMBERED: [&str; 2] = ["JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID"];

/// Reads which shard is asked for.
fn which(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Shard> {
    let wrong = |value: String, expected| Err(Error::InvalidOption { option: "--shard", value, expected });
    let form = "I/N, I counted from 0 and less than N, or /N where Kubernetes or Slurm gives the number";
    let Some((index, of)) = text.split_once('/') else { return wrong(text.to_owned(), form) };
    let index = match index {
        "" => {
            let told: Vec<(&str, String)> = NUMBERED.iter().filter_map(|name| Some((*name, variable(name)?))).collect();
            match &told[..] {
                [(_, index)] => index.clone(),
                [] => {
                    return wrong(
                        text.to_owned(),
                        "I/N where neither JOB_COMPLETION_INDEX nor SLURM_ARRAY_TASK_ID is set",
                    );
                }
                _ => {
                    return wrong(
                        text.to_owned(),
                        "I/N where both JOB_COMPLETION_INDEX and SLURM_ARRAY_TASK_ID are set",
                    );
                }
            }
        }
        index => index.to_owned(),
    };
    let shard = index.parse().ok().zip(of.parse().ok()).and_then(|(index, of)| Shard::new(index, of).ok());
    shard.map_or_else(|| wrong(format!("{index}/{of}"), form), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_named_or_numbered_by_who_started_the_process() {
        let none = |_: &str| None;
        let of = |name: &'static str| move |asked: &str| (asked == name).then(|| "4".to_owned());
        let shard = |index, of| Shard::new(index, of).unwrap();
        assert_eq!(which("3/17", of("JOB_COMPLETION_INDEX")).unwrap(), shard(3, 17));
        assert_eq!(which("/17", of("JOB_COMPLETION_INDEX")).unwrap(), shard(4, 17));
        assert_eq!(which("/5", of("SLURM_ARRAY_TASK_ID")).unwrap(), shard(4, 5));
        let message =
            |text: &str, variable: &dyn Fn(&str) -> Option<String>| which(text, variable).unwrap_err().to_string();
        assert!(message("/17", &none).contains("neither"));
        assert!(message("/17", &|_| Some("0".to_owned())).contains("both"));
        assert!(message("/4", &of("SLURM_ARRAY_TASK_ID")).contains("got 4/4"));
        for wrong in ["17", "17/17", "-1/17", "a/2", "0/0", "1/"] {
            assert!(message(wrong, &none).contains("--shard: expected I/N"), "{wrong}");
        }
    }
}
