//! `trainer predict`: what is on photos.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::data::DataArgs;
use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json, emit_line};
use crate::cli::reading::ReadingArgs;
use crate::cli::said::{self, Said};
use crate::cli::tally::{Place, Tally};
use crate::cli::terminal::Terminal;
use crate::data::{self, Class, Listing, Photo, Rejected, Source};
use crate::error::{Error, Result};
use crate::export::{self, Way};
use crate::files::is_below;
use crate::head::Head;
use crate::head::reject::Verdict;
use crate::progress::{Progress as _, Stage, watched};
use crate::report::Prediction;
use crate::run::{Named, Run};
use crate::tasks::Telling;
use crate::tasks::tell::{nothing_readable, tell_rejected};
use crate::words::shown;
use crate::{files, hub, tasks};

/// Say what is on photos
///
/// A head names one of its classes whatever it is shown. Photos that are like none of those that it learnt from are said to be so, where cross-validation
/// found what tells them. Of a run whose photos may have several labels all are named whose probability reaches the label's threshold.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer predict run new.jpg
  trainer predict run holiday/ --top 1 --json
  trainer predict run holiday/ --out predictions.csv
  trainer predict run inbox/ --sort-into sorted --min-probability 0.8
  trainer predict run inbox/ --coverage 0.95      which classes it may be: the true one is among them for 95 % of photos
  trainer predict run --features new.npy          of features that another program, or `trainer embed`, computed
  find holiday -name '*.jpg' | trainer predict run -
  trainer predict resnet18 new.jpg                what the weights' own head says, of ImageNet's classes")]
pub(crate) struct Predict {
    /// The folder that `trainer train` wrote; or weights, as for `--backbone`, to ask their own head
    #[arg(value_name = "RUN|NAME|FILE")]
    pub(crate) run: PathBuf,
    /// Photos, or folders, tables and archives of photos, as for `train`; - for paths on the standard input
    #[arg(required_unless_present = "features", value_name = "PHOTO")]
    pub(crate) photos: Vec<PathBuf>,
    /// Rows of features in the place of photos, .npy or .safetensors, computed by what computed those that the run was made of
    #[arg(long, value_name = "FILE", conflicts_with_all = ["photos", "columns", "sort_into", "recipe", "exif", "background"])]
    pub(crate) features: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// How many classes to name, the most probable first; where photos may have several labels, in JSON alone, beside those that are named
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) top: u16,
    /// Print a line of JSON for each photo as it is known
    #[arg(long, conflicts_with = "json")]
    pub(crate) jsonl: bool,
    /// Write what is said of each photo into this file: .csv, .jsonl or, where that is built in, .parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace predictions that were written there before
    #[arg(long)]
    pub(crate) force: bool,
    /// Copy each photo into the folder of its class below DIR; what lies there stays
    #[arg(long, value_name = "DIR")]
    pub(crate) sort_into: Option<PathBuf>,
    /// Make links there instead of copies
    #[arg(long, requires = "sort_into")]
    pub(crate) link: bool,
    /// Where the most probable class has less, a photo counts as unsure, and goes into `unsure`
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(crate) min_probability: f64,
    /// Name the classes among which the true one is for this share of photos; few where the head is sure, several where it isn't
    #[arg(long, value_name = "SHARE", value_parser = inner_share)]
    pub(crate) coverage: Option<f64>,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}

pub(crate) fn predict(args: &Predict, global: &Global, terminal: &Terminal) -> Outcome {
    if let Some(out) = &args.out {
        said::check(out, args.force)?;
    }
    if let Some(folder) = &args.sort_into {
        check_sorted(folder, &args.photos)?;
    }
    // Where there are weights to download, photos are listed before; they may be named on the standard input, which can be read once.
    let listing = OnceCell::new();
    let list = || data::list_all(&args.photos, &args.data.columns());
    let first = || {
        let photos = list()?;
        check_there(&photos)?;
        drop(listing.set(photos));
        Ok(())
    };
    let run = open(args, terminal, &first)?;
    args.check_head(&run.head)?;
    let telling = said::telling(Telling::of(&run, args.coverage), said::ours(&run), terminal)?;
    let Listing { photos, mut rejected, warnings, .. } = listing.into_inner().map_or_else(list, Ok)?;
    warnings.iter().for_each(|warning| terminal.warn(warning));
    tell_rejected(&rejected, terminal);
    let session = global.session(terminal)?;
    let classes = &run.head.classes;
    let (top, lines) = (usize::from(args.top), args.jsonl);
    let mut out = args.out.as_deref().map(|path| Said::begin(path, classes, top, telling.asked())).transpose()?;
    let (mut tally, mut json) = (Tally::new(classes, args.min_probability), Vec::new());
    let unreadable = tasks::predict_each(&session, &run, &photos, &telling, &mut |photo, outcome| {
        let said = outcome.as_ref().map_err(|rejected| *rejected);
        if let Some(out) = &mut out {
            out.add(said)?;
        }
        match &outcome {
            _ if lines => terminal.beside(|| emit_line(&said::line(said, classes, top)))?,
            Ok(prediction) if global.json => json.push(said::prediction(prediction, classes, top)),
            Ok(prediction) if out.is_none() => terminal.beside(|| emit(&text(prediction, classes, top)))?,
            _ => {}
        }
        let Ok(prediction) = outcome else { return Ok(()) };
        let folder = match tally.add(&prediction) {
            Place::Of(class) => &classes[class.index()],
            Place::Unsure => export::UNSURE,
            Place::Unknown => export::UNKNOWN,
            // Such photos aren't sorted.
            Place::Several => return Ok(()),
        };
        if let Some(sorted) = &args.sort_into {
            let way = if args.link { Way::Link } else { Way::Copy };
            export::sort_into(sorted, folder, photo, way)?;
        }
        Ok(())
    })?;
    rejected.extend(unreadable);
    if tally.photos() == 0 {
        return Err(nothing_readable("predict".to_owned(), &rejected));
    }
    out.map_or(Ok(()), Said::finish)?;
    if global.json {
        emit_json(&tally.json(&json, &rejected, telling.silent().is_none()))?;
    } else if !lines && (args.out.is_some() || args.sort_into.is_some() || tally.are_many()) {
        emit(&tally.text())?;
    }
    Ok(rejected.len())
}

impl Predict {
    /// Refuses what says nothing of a head whose photos may be of several classes, rather than ignore it.
    pub(crate) fn check_head(&self, head: &Head) -> Result<()> {
        let expected = "a run of one class a photo, since photos have several labels";
        match (&self.sort_into, self.min_probability) {
            _ if head.thresholds.is_none() => Ok(()),
            (Some(folder), _) => {
                Err(Error::InvalidOption { option: "--sort-into", value: shown(folder).into_owned(), expected })
            }
            (None, least) if least > 0.0 => {
                Err(Error::InvalidOption { option: "--min-probability", value: least.to_string(), expected })
            }
            _ => Ok(()),
        }
    }
}

/// Checks that one of the photos, at least, is there.
fn check_there(listing: &Listing) -> Result<()> {
    let gone = |photo: &Photo| match photo.source {
        Source::File => {
            let error = photo.path.metadata().err()?;
            Some(Rejected { name: photo.name.clone(), reason: error.to_string() })
        }
        _ => None,
    };
    let gone: Vec<Rejected> = listing.photos.iter().map_while(gone).collect();
    match gone.len() == listing.photos.len() {
        true => Err(nothing_readable("predict".to_owned(), gone.iter().chain(&listing.rejected))),
        false => Ok(()),
    }
}

/// Checks that photos can be sorted into a folder, and that it isn't in one of those they come from: the next time it would be listed too.
fn check_sorted(folder: &Path, photos: &[PathBuf]) -> Result<()> {
    for photos in photos.iter().filter(|path| path.is_dir()) {
        if is_below(folder, photos)? {
            let problem =
                "lies in a folder of these photos, which would list them twice the next time: give a folder elsewhere";
            return Err(Error::OutputExists { path: folder.to_owned(), problem, finished: false });
        }
    }
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    files::try_folder(&folder.join(export::UNSURE))
}

/// Reads a share, in [0, 1].
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "expected a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("expected a number from 0 to 1".to_owned()) }
}

/// Reads a share between 0 and 1, which is neither.
pub(crate) fn inner_share(text: &str) -> Result<f64, String> {
    let share = share(text)?;
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("expected a number between 0 and 1".to_owned()) }
}

/// Opens the run, or weights with their own head; `first` comes before weights are downloaded.
fn open(args: &Predict, terminal: &Terminal, first: &dyn Fn() -> Result<()>) -> Result<Run> {
    let overrides = args.reading.overrides()?;
    if Run::is_at(&args.run) {
        if overrides.recipe.is_some() || overrides.reading.is_some() {
            return Err(Error::InvalidOption {
                option: "--recipe, --exif and --background",
                value: format!("the run {}", shown(&args.run)),
                expected: "weights, since a run prepares photos as those it learnt from",
            });
        }
        return watched(terminal, Stage::WEIGHTS, || Run::open(&args.run));
    }
    let weights = match args.run.is_file() {
        // Its name need not be text.
        true => args.run.clone(),
        false => hub::resolve_after(&args.run.to_string_lossy(), terminal, first)?.weights,
    };
    let run = watched(terminal, Stage::WEIGHTS, || tasks::own_head(&weights, &overrides))?;
    let unnamed = match run.named {
        Named::Stated => return Ok(run),
        Named::ImageNet => "they have a thousand outputs, so ImageNet's names are assumed",
        Named::Numbered => "classes are numbers here: `label_names` in a config.json beside the weights names them",
    };
    terminal.warn(&format!("{} names no classes; {unnamed}", shown(&weights)));
    Ok(run)
}

/// Words by how much a score is below its threshold, with as many digits as show that it is.
fn below(verdict: &Verdict) -> String {
    let Verdict { score, value, threshold } = *verdict;
    let threshold = threshold.unwrap_or(value);
    let worded = |digits: usize| [value, threshold].map(|number| format!("{number:.digits$}"));
    let worded = (2..9).map(worded).find(|[value, threshold]| value != threshold).unwrap_or_else(|| worded(9));
    format!("{} {}, below {}", score.name(), worded[0], worded[1])
}

pub(crate) fn text(photo: &Prediction, classes: &[String], top: usize) -> String {
    let choices = match &photo.named {
        None => photo.top(top),
        Some(named) => said::named_of(photo, named),
    };
    let label = |class: &Class| &classes[class.index()];
    let width = choices.iter().map(|(class, _)| label(class).chars().count()).max().unwrap_or(0);
    let mut out = format!("{}\n", photo.name);
    for (class, probability) in &choices {
        let _ = writeln!(out, "  {:width$}  {:>5.1} %", label(class), 100.0 * probability);
    }
    if choices.is_empty() && photo.named.is_some() {
        out += "  none of the labels\n";
    }
    if let Some(verdict) = photo.verdict.filter(|verdict| verdict.is_known() == Some(false)) {
        let _ = writeln!(out, "  like none of these ({})", below(&verdict));
    }
    match photo.set.as_deref() {
        Some([]) => out += "  one of: none is probable enough\n",
        Some(set) => {
            let _ = writeln!(
                out,
                "  one of: {}",
                set.iter().map(|class| label(class).as_str()).collect::<Vec<_>>().join(", ")
            );
        }
        None => {}
    }
    out
}
