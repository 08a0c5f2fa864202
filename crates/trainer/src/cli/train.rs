//! `trainer train`: a head trained on a folder of photos, and judged.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::reading::ReadingArgs;
use crate::cli::terminal::Terminal;
use crate::data;
use crate::data::split::SplitOptions;
use crate::head::{ClassWeights, Optimizer, TrainOptions};
use crate::tasks::{self, Request, Trained};
use crate::words::count;
use crate::{hub, report, run};

/// Train a head on a folder of photos, and judge it
///
/// DIR holds a folder of photos for each class (DIR/cat/1.jpg), or such folders below DIR/train and DIR/val or DIR/test.
/// Parts may also be called Training, training_set or seg_train, valid, validation or dev, Testing, eval or seg_test, in any case.
/// A part without a folder of its own is drawn from the others, by the photos' content: the same photo always plays the
/// same part, copies stay together, and added photos hardly move any other. Features are kept (see --store): a second
/// training with the same backbone takes seconds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer train photos --backbone resnet18 --out run
  trainer train photos --backbone timm/resnet50.a1_in1k --out run --force --optimizer sgd --class-weights balanced
  trainer train photos --backbone resnet18.safetensors --out run2 --seed 1 --json")]
pub(crate) struct Train {
    /// The folder of photos
    pub(crate) dir: PathBuf,
    /// The backbone: `resnet18`, a repository of the Hugging Face hub (`org/name`, `org/name@revision`), a safetensors file,
    /// or a folder with one
    #[arg(long, alias = "weights", value_name = "NAME|FILE")]
    pub(crate) backbone: String,
    /// The folder to write model, labels, metrics, predictions and report into
    #[arg(long, value_name = "RUN")]
    pub(crate) out: PathBuf,
    /// Replace a finished run
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    /// Share of each class that chooses the best epoch
    #[arg(long, value_name = "SHARE", default_value_t = SplitOptions::default().validation)]
    pub(crate) val: f64,
    /// Share of each class that judges the result
    #[arg(long, value_name = "SHARE", default_value_t = SplitOptions::default().test)]
    pub(crate) test: f64,
    /// How gradients change the weights
    #[arg(long, value_enum, default_value = "adamw")]
    pub(crate) optimizer: OptimizerName,
    /// The highest learning rate [default: 0.001 for adamw, 0.003 for sgd]
    #[arg(long, value_name = "RATE")]
    pub(crate) learning_rate: Option<f64>,
    /// Pull of the weights towards zero
    #[arg(long, value_name = "RATE", default_value_t = TrainOptions::default().weight_decay)]
    pub(crate) weight_decay: f64,
    /// Of sgd, with Nesterov's look ahead
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    pub(crate) momentum: f64,
    /// Passes over the training photos, at most
    #[arg(long, value_name = "N", default_value_t = TrainOptions::default().epochs)]
    pub(crate) epochs: usize,
    /// Photos a training step, at most; an epoch has eight steps or more
    #[arg(long, value_name = "N", default_value_t = TrainOptions::default().batch_size)]
    pub(crate) batch_size: usize,
    /// Epochs over which the learning rate rises
    #[arg(long, value_name = "N", default_value_t = TrainOptions::default().warmup_epochs)]
    pub(crate) warmup: usize,
    /// Share of the target spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = TrainOptions::default().label_smoothing)]
    pub(crate) label_smoothing: f64,
    /// What a photo counts: the same each, or the same each class
    #[arg(long, value_enum, default_value = "none")]
    pub(crate) class_weights: ClassWeightsName,
    /// Stop after so many epochs without a lower validation loss; 0 for never
    #[arg(long, value_name = "N", default_value_t = TrainOptions::default().patience.unwrap_or(0))]
    pub(crate) patience: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OptimizerName {
    Adamw,
    Sgd,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ClassWeightsName {
    None,
    Balanced,
}

impl Train {
    fn options(&self, seed: u64) -> TrainOptions {
        let default = TrainOptions::default();
        let (optimizer, rate) = match self.optimizer {
            OptimizerName::Adamw => (default.optimizer, default.learning_rate),
            OptimizerName::Sgd => (Optimizer::Sgd { momentum: self.momentum, nesterov: self.momentum > 0.0 }, 0.003),
        };
        TrainOptions {
            optimizer,
            learning_rate: self.learning_rate.unwrap_or(rate),
            weight_decay: self.weight_decay,
            epochs: self.epochs,
            batch_size: self.batch_size,
            warmup_epochs: self.warmup.min(self.epochs.saturating_sub(1)),
            label_smoothing: self.label_smoothing,
            class_weights: match self.class_weights {
                ClassWeightsName::None => ClassWeights::None,
                ClassWeightsName::Balanced => ClassWeights::Balanced,
            },
            patience: (self.patience > 0).then_some(self.patience),
            seed,
        }
    }
}

pub(crate) fn train(args: &Train, global: &Global, terminal: &Terminal) -> Outcome {
    let options = args.options(global.seed);
    // What needs no download comes before it.
    options.check()?;
    data::check_folder(&args.dir)?;
    let overrides = args.reading.overrides()?;
    let session = global.session(terminal)?;
    let request = Request {
        data: args.dir.clone(),
        weights: hub::resolve(&args.backbone, &hub::Options::from_env()?, terminal)?.weights,
        out: args.out.clone(),
        force: args.force,
        overrides,
        split: SplitOptions { seed: global.seed, validation: args.val, test: args.test },
        train: options,
    };
    let trained = tasks::train(&session, &request)?;
    if global.json {
        emit_json(&serde_json::to_value(&trained.metrics).expect("plain data"))?;
    } else {
        emit(&text(&trained, &args.out))?;
    }
    Ok(trained.config.rejected.len())
}

/// What a training prints for people.
fn text(trained: &Trained, run: &Path) -> String {
    let Trained { config, metrics, .. } = trained;
    let photos = &metrics.photos;
    let mut out = format!(
        "{}, {}: {} to train, {} to validate, {} to test{}\n",
        count(photos.train + photos.validation + photos.test, "photo"),
        count(config.classes.len(), "class"),
        photos.train,
        photos.validation,
        photos.test,
        if photos.rejected > 0 { format!(", {} rejected", photos.rejected) } else { String::new() },
    );
    let history = &metrics.history;
    let _ = writeln!(
        out,
        "{} on {}; {}, the best is number {}\n",
        config.weights.architecture,
        config.adapter.name,
        count(history.epochs.len(), "epoch"),
        history.best + 1
    );
    match (&metrics.test, &metrics.validation) {
        (Some(test), _) => out.push_str(&report::text("Photos never trained on", test)),
        (None, Some(validation)) => {
            out.push_str("No photos were set aside to test. These chose the epoch and flatter it a little:\n\n");
            out.push_str(&report::text("Validation photos", validation));
        }
        (None, None) => {
            out.push_str("No photos were set aside for an evaluation: --test and --val say how many are.\n")
        }
    }
    let seconds = &metrics.seconds;
    let _ = writeln!(
        out,
        "\n{:.1} s: {:.1} s for features, {:.1} s for the head\nWritten to {}: see {} there",
        seconds.total,
        seconds.features,
        seconds.head,
        run.display(),
        run::REPORT
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
        let line = ["trainer", "d", "--weights", "w", "--out", "o", "--seed", "3"];
        let Line { global, train } = Line::try_parse_from(line).unwrap();
        assert_eq!(train.options(global.seed), TrainOptions { seed: 3, ..Default::default() });
        let more = ["--epochs", "2", "--optimizer", "sgd", "--patience", "0"];
        let options = Line::try_parse_from(line.into_iter().chain(more)).unwrap().train.options(0);
        assert_eq!((options.warmup_epochs, options.patience, options.learning_rate), (1, None, 0.003));
        options.check().unwrap();
    }
}
