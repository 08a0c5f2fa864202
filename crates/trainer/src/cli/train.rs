//! `trainer train`: a head trained on a folder of photos, and judged.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::choices::ChoiceArgs;
use crate::cli::data::DataArgs;
use crate::cli::folder::next_run;
use crate::cli::global::Global;
use crate::cli::named::{ChoiceName, ClassWeightsName, DuplicatesName, HeadName, OptimizerName, ScalingName};
use crate::cli::of_features::OfFeatures;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::program::{argument, program};
use crate::cli::reading::ReadingArgs;
use crate::cli::terminal::Terminal;
use crate::data::{self, ClassOrder, Duplicates, Origin, Part, SplitOptions};
use crate::error::{Error, Result};
use crate::head::{Choice, Method, Optimizer, Scaling, TrainOptions};
use crate::progress::{Stage, watched};
use crate::report::Counts;
use crate::session::{Overrides, Session};
use crate::tasks::labelled::labelled;
use crate::tasks::{self, Again, Request, Trained};
use crate::words::{count, shown};
use crate::{report, run};

/// Train a head on labelled photos, and judge it
///
/// DIR holds a folder of photos for each class (DIR/cat/1.jpg), or such folders below DIR/train and DIR/val or DIR/test.
/// Parts may also be called Training, training_set or seg_train, valid, validation or dev, Testing, eval or seg_test, in any case.
/// DIR may also be a table with columns such as path, label, split, weight and group (.csv, .tsv, .jsonl), an archive of such folders or
/// of WebDataset's samples (.tar, .zip; or a folder of .tar files), or - for a table on the standard input. A table's column `labels` holds any number of
/// labels a photo (cat;indoor, or a list in JSON; ; or [] for none): each label is then learnt and judged by itself, with a threshold of its own.
/// Where no folder judges, photos are drawn to do so, or cross-validation judges by all: of each class its share, to the photo, but one at least is
/// left to train on. The photos' content says which: copies and near-duplicates stay together, and added photos move few others. Features are kept
/// (see --store): a second training with the same backbone takes seconds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer train photos
  trainer train birds.csv --column label=species --class-order natural
  trainer train birds.csv --column labels=tags                   several labels a photo: cat;indoor
  trainer train photos --backbone timm/resnet50.a1_in1k --out plants --force --optimizer sgd --class-weights balanced
  trainer train photos --backbone resnet18,resnet34,resnet50     which backbone? --within-error for the cheapest that is as good
  trainer train photos --backbone demo --baselines               without a download; what has its learning gained?
  trainer train photos --views flip                              learn from mirror images too, if that helps
  trainer train photos --group-by '^[^/]+/(patient[0-9]+)'       photos of one patient play one part
  trainer train birds.csv --group-by patient                     likewise, by the table's column
  trainer train --features dinov2.npy --labels birds.csv         on features that another program computed
  trainer train --again run                                      the same once more, on what the folder holds now
  trainer train photos --backbone resnet18.safetensors --out run2 --seed 1 --json")]
pub(crate) struct Train {
    /// The folder of photos, or a table or an archive of them
    #[arg(required_unless_present_any = ["again", "features"])]
    pub(crate) dir: Option<PathBuf>,
    /// Train this run again, with its settings, on photos that were added, removed or moved since: those that are still there keep their
    /// parts, only new ones pass through the backbone, and both heads are compared. The run is replaced, unless --out names another place
    #[arg(long, value_name = "RUN", conflicts_with_all = SETTINGS)]
    pub(crate) again: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) of: OfFeatures,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// The order of the classes: by `bytes`, as torchvision has them, or `natural`, which has cat2 before cat10, as timm does
    #[arg(long, value_name = "bytes|natural", default_value = "bytes")]
    pub(crate) class_order: ClassOrder,
    #[command(flatten)]
    pub(crate) choices: ChoiceArgs,
    /// Train heads too on the same network with random weights and on the photos' colours alone, and show beside what they reach: what the backbone has learnt is worth so much
    #[arg(long)]
    pub(crate) baselines: bool,
    /// The folder to write model, labels, metrics, predictions and report into
    /// [default: `run` in the current folder, or the first of `run-2`, `run-3` that isn't there]
    #[arg(long, value_name = "RUN")]
    pub(crate) out: Option<PathBuf>,
    /// Replace a finished run, `run` where --out names no other
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    /// Share of each class that judges the result [default: 0.2; 0 where photos are few and cross-validation judges by all of them]
    #[arg(long, value_name = "SHARE")]
    pub(crate) test: Option<f64>,
    /// Share of each class that chooses the best epoch of adamw and sgd [default: 0.15]
    #[arg(long, value_name = "SHARE")]
    pub(crate) val: Option<f64>,
    /// Keep photos of one group in one part: those with the same in the column of this very name, where photos come from a table that has it; else those of which
    /// the first parentheses of this regular expression match the same in their names, or all of it where it has none
    #[arg(long, value_name = "COLUMN|REGEX")]
    pub(crate) group_by: Option<String>,
    /// Whether photos that are nearly the same (crops, mirror images, other sizes, frames of a burst) play one part
    #[arg(long, value_enum, default_value = "together")]
    pub(crate) duplicates: DuplicatesName,
    /// How the head is found: its optimum by lbfgs, or by steps on a few photos at a time
    #[arg(long, value_enum, default_value = "lbfgs")]
    pub(crate) optimizer: OptimizerName,
    /// How the head comes about: by softmax regression, as the nearest of the classes' means, or as the nearest mean as the covariance within all
    /// classes measures [default: the best by cross-validation where it judges few photos, else logistic]
    #[arg(long, value_enum)]
    pub(crate) head: Option<HeadName>,
    /// Pull of the weights towards zero, for lbfgs [default: the best of 11 between 0.0001 and 10, by cross-validation]
    #[arg(long, value_name = "STRENGTH")]
    pub(crate) l2: Option<f64>,
    /// What the pull weighs features by, for lbfgs: each by its own deviation, or all by a common one [default: the better by cross-validation]
    #[arg(long, value_enum)]
    pub(crate) scaling: Option<ScalingName>,
    /// Parts of cross-validation, each judged by heads that learn from the others, for lbfgs [default: 5]
    #[arg(long, value_name = "N")]
    pub(crate) folds: Option<usize>,
    /// Which pull is chosen, for lbfgs: the best, or the strongest that is within a standard error as good [default: best]
    #[arg(long, value_enum)]
    pub(crate) choose: Option<ChoiceName>,
    /// The highest learning rate [default: 0.001 for adamw, 0.003 for sgd]
    #[arg(long, value_name = "RATE")]
    pub(crate) learning_rate: Option<f64>,
    /// Pull of the weights towards zero, for adamw and sgd [default: 0.01]
    #[arg(long, value_name = "RATE")]
    pub(crate) weight_decay: Option<f64>,
    /// Of sgd, with Nesterov's look ahead [default: 0.9]
    #[arg(long, value_name = "SHARE")]
    pub(crate) momentum: Option<f64>,
    /// Passes over the training photos, at most, for adamw and sgd [default: 100]
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// Photos a training step, at most, for adamw and sgd; an epoch has eight steps or more [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<usize>,
    /// Epochs over which the learning rate rises, for adamw and sgd [default: 5]
    #[arg(long, value_name = "N")]
    pub(crate) warmup: Option<usize>,
    /// Share of the target spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = TrainOptions::default().label_smoothing)]
    pub(crate) label_smoothing: f64,
    /// What a photo counts: the same each, the same each class, or between the two, by how many photos of its class are new; or `adjusted`: the same each, and what is
    /// said is then corrected for how frequent the classes are
    #[arg(long, value_enum, default_value = "none")]
    pub(crate) class_weights: ClassWeightsName,
    /// Stop after so many epochs without a lower validation loss, for adamw and sgd; 0 for never [default: 20]
    #[arg(long, value_name = "N")]
    pub(crate) patience: Option<usize>,
}

impl Train {
    pub(crate) fn split(&self, seed: u64) -> SplitOptions {
        SplitOptions {
            seed,
            validation: self.val,
            test: self.test,
            group_by: self.group_by.clone(),
            duplicates: match self.duplicates {
                DuplicatesName::Together => Duplicates::Together,
                DuplicatesName::Apart => Duplicates::Apart,
            },
        }
    }

    /// Trains into the folder that was named, or into the next one that isn't there, and gives it too.
    pub(crate) fn with_run(
        &self,
        data: &Path,
        train: impl FnOnce(&Path) -> Result<Trained>,
    ) -> Result<(Trained, PathBuf)> {
        let out = match &self.out {
            Some(out) => out.clone(),
            None => next_run(data, self.force)?,
        };
        let trained = train(&out).inspect_err(|_| {
            // What was made for this run, and stayed empty, shall not count as one. That it can't go away is no failure of its own.
            if self.out.is_none() {
                let _ = std::fs::remove_dir(&out);
            }
        })?;
        Ok((trained, out))
    }

    /// Checks what can be known at once, and gives what it says.
    pub(crate) fn check(&self, global: &Global) -> Result<Checked> {
        self.check_optimizer()?;
        let (train, split) = (self.options(global.seed), self.split(global.seed));
        self.choices.check(!train.optimizer.has_epochs())?;
        train.check().and_then(|()| split.check())?;
        // Without a folder there is a run that knows its own.
        let dir = self.dir.as_deref().unwrap_or(Path::new("."));
        let data = Origin { class_order: self.class_order, ..self.data.origin(dir) };
        data::check(&data)?;
        Ok(Checked { train, split, data, overrides: self.reading.overrides()? })
    }

    /// Refuses what says nothing to the optimiser, rather than ignore it.
    pub(crate) fn check_optimizer(&self) -> Result<()> {
        fn given<T: ToString>(value: Option<T>) -> Option<String> {
            value.map(|value| value.to_string())
        }
        if let (OptimizerName::Adamw, Some(momentum)) = (self.optimizer, self.momentum) {
            let expected = "--optimizer sgd beside it, since adamw has none";
            return Err(Error::InvalidOption { option: "--momentum", value: momentum.to_string(), expected });
        }
        let (of, expected) = match self.optimizer {
            OptimizerName::Lbfgs => (
                [
                    ("--learning-rate", given(self.learning_rate)),
                    ("--weight-decay", given(self.weight_decay)),
                    ("--momentum", given(self.momentum)),
                    ("--epochs", given(self.epochs)),
                    ("--batch-size", given(self.batch_size)),
                    ("--warmup", given(self.warmup)),
                    ("--patience", given(self.patience)),
                    ("--val", given(self.val)),
                ]
                .to_vec(),
                "--optimizer adamw or sgd beside it: lbfgs finds the optimum, without epochs and without photos to choose one by",
            ),
            OptimizerName::Adamw | OptimizerName::Sgd => (
                [
                    ("--head", self.head.map(|_| "given".to_owned())),
                    ("--l2", given(self.l2)),
                    ("--folds", given(self.folds)),
                    ("--scaling", self.scaling.map(|_| "given".to_owned())),
                    ("--choose", self.choose.map(|_| "given".to_owned())),
                ]
                .to_vec(),
                "--optimizer lbfgs beside it, which finds the optimum by it",
            ),
        };
        match of.into_iter().find_map(|(option, value)| Some((option, value?))) {
            Some((option, value)) => Err(Error::InvalidOption { option, value, expected }),
            None => Ok(()),
        }
    }

    pub(crate) fn options(&self, seed: u64) -> TrainOptions {
        let default = TrainOptions::default();
        let (optimizer, rate) = match self.optimizer {
            OptimizerName::Lbfgs => (self.lbfgs(), default.learning_rate),
            OptimizerName::Adamw => (Optimizer::ADAMW, default.learning_rate),
            OptimizerName::Sgd => {
                let momentum = self.momentum.unwrap_or(0.9);
                (Optimizer::Sgd { momentum, nesterov: momentum > 0.0 }, 0.003)
            }
        };
        let epochs = self.epochs.unwrap_or(default.epochs);
        TrainOptions {
            optimizer,
            learning_rate: self.learning_rate.unwrap_or(rate),
            weight_decay: self.weight_decay.unwrap_or(default.weight_decay),
            epochs,
            batch_size: self.batch_size.unwrap_or(default.batch_size),
            warmup_epochs: self.warmup.unwrap_or(default.warmup_epochs).min(epochs.saturating_sub(1)),
            label_smoothing: self.label_smoothing,
            class_weights: self.class_weights.into(),
            patience: self.patience.map_or(default.patience, |patience| (patience > 0).then_some(patience)),
            seed,
        }
    }

    fn lbfgs(&self) -> Optimizer {
        let Optimizer::Lbfgs { tolerance, folds, choice, .. } = Optimizer::LBFGS else { return Optimizer::LBFGS };
        Optimizer::Lbfgs {
            method: self.head.map(Method::from),
            l2: self.l2,
            scaling: self.scaling.map(Scaling::from),
            tolerance,
            folds: self.folds.unwrap_or(folds),
            choice: match self.choose {
                Some(ChoiceName::OneStandardError) => Choice::OneStandardError,
                Some(ChoiceName::Best) => Choice::Best,
                None => choice,
            },
        }
    }
}

/// What a training was asked for, as far as that could be checked at once.
pub(crate) struct Checked {
    train: TrainOptions,
    split: SplitOptions,
    data: Origin,
    overrides: Overrides,
}

/// The options that a run keeps when it is trained again.
const SETTINGS: [&str; 28] = [
    "columns",
    "baselines",
    "class_order",
    "backbone",
    "within_error",
    "views",
    "recipe",
    "exif",
    "background",
    "val",
    "test",
    "group_by",
    "duplicates",
    "optimizer",
    "head",
    "l2",
    "scaling",
    "folds",
    "choose",
    "learning_rate",
    "weight_decay",
    "momentum",
    "epochs",
    "batch_size",
    "warmup",
    "label_smoothing",
    "class_weights",
    "patience",
];

pub(crate) fn train(args: &Train, global: &Global, terminal: &Terminal) -> Outcome {
    let (trained, out) = match &args.again {
        Some(run) => {
            let data = args.dir.as_deref().map(|dir| args.data.origin(dir));
            data.iter().try_for_each(data::check)?;
            let again = Again { data, out: args.out.clone(), force: args.force };
            let trained = tasks::train_again(&global.session(terminal)?, run, again)?;
            (trained, args.out.clone().unwrap_or_else(|| run.clone()))
        }
        None => {
            // What needs no download, and no adapter, comes before them.
            let checked = args.check(global)?;
            first(args, checked, terminal, &global.session(terminal)?)?
        }
    };
    tell(&trained, &out, global, terminal)
}

/// Says what came of a training.
pub(crate) fn tell(trained: &Trained, out: &Path, global: &Global, terminal: &Terminal) -> Outcome {
    if global.json {
        emit_json(&as_json(trained, out))?;
    } else {
        emit(&text(trained, out, terminal.elapsed()))?;
    }
    Ok(trained.config.rejected.len())
}

/// Trains a run for the first time, and gives its folder.
pub(crate) fn first(
    args: &Train,
    checked: Checked,
    terminal: &Terminal,
    session: &Session<'_>,
) -> Result<(Trained, PathBuf)> {
    let Checked { train, split, data, overrides } = checked;
    let listed = || match data.is_input() {
        // It can be read once.
        true => Ok(()),
        false => watched(terminal, Stage::LISTING, || labelled(&data, split.group_by.as_deref(), &train)).map(drop),
    };
    let backbones = args.choices.resolved(terminal, &listed)?;
    args.with_run(&data.path.clone(), |out| {
        let ChoiceArgs { within_error, views, .. } = args.choices;
        let (out, force, kept) = (out.to_owned(), args.force, HashMap::new());
        let request = Request {
            data,
            backbones,
            within_error,
            views,
            baselines: args.baselines,
            out,
            force,
            overrides,
            split,
            kept,
            train,
        };
        tasks::train(session, &request)
    })
}

/// Says what came of a training, for machines.
pub(crate) fn as_json(trained: &Trained, out: &Path) -> Value {
    let mut result = serde_json::to_value(&trained.metrics).expect("plain data");
    result["run"] = json!(out.to_string_lossy());
    result
}

/// Says which photos play which parts, unless all play one.
fn parts(photos: &Counts) -> String {
    match photos.validation + photos.test {
        0 => String::new(),
        _ if photos.validation == 0 => format!(": {} to train, {} to test", photos.train, photos.test),
        _ => format!(": {} to train, {} to validate, {} to test", photos.train, photos.validation, photos.test),
    }
}

/// What a training prints for people, `seconds` after the program began.
pub(crate) fn text(trained: &Trained, run: &Path, seconds: f64) -> String {
    let Trained { config, metrics, .. } = trained;
    let photos = &metrics.photos;
    let mut out = format!(
        "{}, {}{}{}\n",
        count(photos.train + photos.validation + photos.test, "photo"),
        count(config.classes.len(), "class"),
        parts(photos),
        if photos.rejected > 0 { format!(", {} rejected", photos.rejected) } else { String::new() },
    );
    let history = &metrics.history;
    let _ = writeln!(
        out,
        "{} on {}; {}\n",
        config.backbone(),
        config.adapter.name,
        report::how_found(metrics).unwrap_or_else(|| "no epoch".to_owned())
    );
    if let Some(words) = report::without_leaks(metrics) {
        let _ = writeln!(out, "{words}\n");
    }
    match report::judged(config, metrics) {
        Some((Part::Validation, _, validation)) if config.train.optimizer.has_epochs() => {
            out.push_str("No photos were set aside to test. These chose the epoch and flatter it a little:\n\n");
            out.push_str(&report::text("Validation photos", validation));
        }
        Some((_, title, evaluation)) => out.push_str(&report::text(title, evaluation)),
        None if config.split.test == Some(0.0) && config.train.optimizer.has_epochs() => {
            out.push_str("No photos were set aside for an evaluation: --test and --val say how many are.\n");
        }
        None if !config.train.optimizer.has_epochs() => out.push_str(
            "No evaluation: cross-validation takes three photos or groups that don't belong together. --test sets some aside.\n",
        ),
        None => out.push_str(
            "No photo could be spared for an evaluation: that takes a class of two or more, one of them to train on.\n",
        ),
    }
    if let Some(words) = report::deals(metrics) {
        let _ = writeln!(out, "\n{words}");
    }
    if let Some(words) = report::left_out(metrics) {
        let _ = writeln!(out, "\n{words}");
    }
    report::tables(metrics).iter().for_each(|table| out.extend(["\n", &table.text()]));
    if let Some(change) = &metrics.change {
        let _ = write!(out, "\n{}", change.text());
    }
    if report::is_cut(config.classes.len()) {
        let _ = writeln!(out, "\nAll classes are in {} and {}", run::REPORT, run::METRICS);
    }
    if history.still_falling(config.train.epochs) {
        let _ =
            writeln!(out, "\nThe loss was still falling in the last epoch: try --epochs {}", 2 * config.train.epochs);
    }
    let (features, head, computed) = (metrics.seconds.features, metrics.seconds.head, photos.computed);
    let known = match photos.train + photos.validation + photos.test {
        all if computed == 0 && all > 0 => " (all were known)".to_owned(),
        all if computed < all => format!(" ({computed} were new)"),
        _ => String::new(),
    };
    let (program, named) = (program(), argument(run));
    let what = if config.features.is_some() { "--features FILE" } else { "PHOTO" };
    let _ = writeln!(
        out,
        "\n{seconds:.1} s: {features:.1} s for features{known}, {head:.1} s for the head\n\
         Report: {}\n\
         Next:   {program} predict {named} {what}",
        shown(&run.join(run::REPORT)),
    );
    out
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        global: Global,
        #[command(flatten)]
        train: Train,
    }

    #[test]
    fn defaults_are_the_library_s() {
        let line = ["trainer", "d", "--seed", "3"];
        let Line { global, train } = Line::try_parse_from(line).unwrap();
        assert_eq!(train.options(global.seed), TrainOptions { seed: 3, ..Default::default() });
        assert_eq!(train.split(global.seed), SplitOptions { seed: 3, ..Default::default() });
        let more = ["--epochs", "2", "--optimizer", "sgd", "--patience", "0"];
        let options = Line::try_parse_from(line.into_iter().chain(more)).unwrap().train.options(0);
        assert_eq!((options.warmup_epochs, options.patience, options.learning_rate), (1, None, 0.003));
        options.check().unwrap();
    }
}
