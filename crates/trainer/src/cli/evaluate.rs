//! `trainer evaluate`: evaluates a run on other photos.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::data::DataArgs;
use crate::cli::global::Global;
use crate::cli::predict::inner_share;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::said;
use crate::cli::terminal::Terminal;
use crate::error::{Error, Result};
use crate::head::conformal::Sets;
use crate::outputs::{self, Existing};
use crate::progress::{Stage, watched};
use crate::run::Run;
use crate::session::Session;
use crate::tasks::{Evaluated, Telling, Unknown};
use crate::words::{count, shown};
use crate::{data, files, report, tasks};

/// Evaluate a run on labelled photos
///
/// Photos that the run was trained on, or that chose its epoch, are left out: they would flatter it. Photos that are nearly the same as one of those
/// are named, and the figures without them stand beside, as far as the features of those are kept (see --store). DIR/test is taken where it exists.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer evaluate run photos-from-another-camera
  trainer evaluate run photos --predictions predictions.csv --json
  trainer evaluate run photos --unknown other-things    how well photos of none of the classes are told
  trainer evaluate run photos --coverage 0.95           how often sets of classes hold the true one, and how large they are")]
pub(crate) struct Evaluate {
    /// The folder that `trainer train` wrote
    pub(crate) run: PathBuf,
    /// The folder of photos, one sub-folder for each class; or a table or an archive, as for `train`
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Evaluate on the photos too that the run was made with
    #[arg(long)]
    pub(crate) all: bool,
    /// Photos that are like none of the classes, labelled or not, to see how well they are told: a photo, a folder, a table or an archive
    #[arg(long, value_name = "OTHER")]
    pub(crate) unknown: Option<PathBuf>,
    /// Measure the sets of classes that shall hold the true one for this share of photos
    #[arg(long, value_name = "SHARE", value_parser = inner_share)]
    pub(crate) coverage: Option<f64>,
    /// Write what the head says about each photo into this CSV file
    #[arg(long, value_name = "FILE")]
    pub(crate) predictions: Option<PathBuf>,
    /// Replace predictions that were written there before
    #[arg(long)]
    pub(crate) force: bool,
}

pub(crate) fn evaluate(args: &Evaluate, global: &Global, terminal: &Terminal) -> Outcome {
    if let Some(path) = &args.predictions {
        outputs::check(path, Existing::forced(args.force), report::is_predictions)?;
    }
    let origin = args.data.origin(&args.dir);
    data::check(&origin)?;
    let run = watched(terminal, Stage::WEIGHTS, || Run::open(&args.run))?;
    if let (Some(path), Some(_)) = (&args.unknown, &run.head.thresholds) {
        let expected = "a run of one class a photo: where there may be none, nothing tells photos of other things";
        return Err(Error::InvalidOption { option: "--unknown", value: shown(path).into_owned(), expected });
    }
    let telling = said::telling(Telling::of(&run, args.coverage), said::ours(&run), terminal)?;
    let session = global.session(terminal)?;
    let judged = tasks::evaluate(&session, &run, origin, args.all, &telling)?;
    let unknown = args.unknown.as_ref().map(|path| unknown(path, (&session, &run), &telling, &judged)).transpose()?;
    if let Some(path) = &args.predictions {
        files::write(path, &report::predictions_csv(&judged.predictions, &run.head.classes, telling.asked())?)?;
    }
    if global.json {
        emit_json(&json!({
            "evaluation": judged.evaluation, "rejected": judged.rejected, "left_out_as_seen": judged.seen,
            "nearly_seen": judged.near, "evaluation_without_nearly_seen": judged.without_near, "not_compared": judged.unsought,
            "rejected_as_unknown": judged.rejected_as_unknown, "unknown": unknown, "sets": judged.sets,
        }))?;
    } else {
        let seen = match judged.seen {
            0 => String::new(),
            seen => {
                format!("{} left out: the run was made with them (--all includes them)\n\n", count(seen, "photo"))
            }
        };
        let cut = match report::is_cut(run.head.classes.len()) {
            true => "\n--json lists all classes, --predictions all photos\n",
            false => "",
        };
        let near = near(&judged).map_or_else(String::new, |words| words + "\n\n");
        emit(
            &(seen
                + &near
                + &report::text(&shown(&args.dir), &judged.evaluation)
                + &told(&judged, unknown.as_ref(), args.coverage)
                + cut),
        )?;
    }
    Ok(judged.rejected.len())
}

/// Judges photos of none of the classes.
fn unknown(
    path: &Path,
    (session, run): (&Session<'_>, &Run),
    telling: &Telling,
    judged: &Evaluated,
) -> Result<Unknown> {
    // No column of theirs is looked at but their paths.
    let data::Listing { photos, warnings, .. } = data::list_all(&[path.to_owned()], &Default::default())?;
    warnings.iter().for_each(|warning| session.progress.warn(warning));
    tasks::unknown(session, run, &photos, telling, &judged.predictions)
}

/// Words how many photos are taken for none of the classes, and how sets turn out.
fn told(judged: &Evaluated, unknown: Option<&Unknown>, coverage: Option<f64>) -> String {
    let mut out = String::new();
    let share = |some: usize, all: usize| format!("{some} of {all} ({:.1} %)", 100.0 * some as f64 / all as f64);
    if let Some(rejected) = judged.rejected_as_unknown {
        let _ = writeln!(out, "\nlike none of the classes  {}", share(rejected, judged.predictions.len()));
    }
    if let Some(Unknown { photos, rejected, roc_area }) = unknown {
        let _ = match rejected {
            Some(rejected) => writeln!(out, "  of the unknown photos   {}", share(*rejected, *photos)),
            None => writeln!(out, "\n{}: can't be told from others", count(*photos, "unknown photo")),
        };
        if let Some(area) = roc_area {
            let _ = writeln!(out, "  area under the ROC      {area:.3}");
        }
    }
    if let (Some(Sets { coverage, mean_size, empty }), Some(asked)) = (judged.sets, coverage) {
        let [coverage, asked, empty] = [coverage, asked, empty].map(|share| 100.0 * share);
        let _ =
            writeln!(out, "\nsets of classes           hold the true one for {coverage:.1} % (asked for: {asked} %)");
        let _ = writeln!(out, "  classes in a set        {mean_size:.2} on average; {empty:.1} % are empty");
    }
    out
}

/// Words how good the head is without the photos that aren't quite new to it, where there are such.
fn near(judged: &Evaluated) -> Option<String> {
    let photos = match judged.near.len() {
        0 => return None,
        1 => "1 photo isn't".to_owned(),
        several => format!("{several} photos aren't"),
    };
    let others = judged.without_near.as_ref().map_or_else(
        || "and there is no other".to_owned(),
        |others| {
            let [top1, low, high] = [others.top1, others.top1_interval[0], others.top1_interval[1]].map(|x| 100.0 * x);
            let without = count(others.count, "other photo");
            format!("and of {without} it gets {top1:.1} % right (95 % interval {low:.1} to {high:.1})")
        },
    );
    Some(format!("{photos} new to the head (nearly the same as ones that the run was made with), {others}"))
}
