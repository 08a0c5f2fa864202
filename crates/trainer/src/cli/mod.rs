//! The command line.

mod commands;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::data::split::SplitOptions;
use crate::head::{ClassWeights, Optimizer, TrainOptions};
use crate::machine::allocator;
use crate::machine::cache_dir::cache_dir;
use crate::machine::device::Selection;
use crate::photos::{Background, Exif, Limits, Reading};
use crate::{Error, Fault};
use clap::{Args, Parser, Subcommand, ValueEnum};
use kernels::{Family, Precision, wgpu::Backends};
use terminal::Terminal;

/// Gives a ResNet that knows ImageNet a new head for your own photos, on any GPU.
///
/// Without a command, the demo runs: no files, no network, less than a minute.
#[derive(Debug, Parser)]
#[command(
    name = "trainer",
    version,
    max_term_width = 110,
    after_help = "Examples:
  trainer                                                     the demo
  trainer train photos --backbone resnet18 --out run
  trainer predict run new.jpg
  trainer doctor                                              what this machine can do
  trainer tune                                                the fastest kernels for it

Exit codes: 0 done, 1 done but photos were rejected (with --strict), 2 usage, 3 bad input, 4 device, 5 I/O, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Take the adapter with this number or part of its name (see `trainer doctor`)
    #[arg(long, global = true, value_name = "NAME|INDEX", help_heading = "Everywhere")]
    pub(crate) adapter: Option<String>,
    /// Take only adapters of this graphics interface
    #[arg(long, global = true, value_enum, help_heading = "Everywhere")]
    pub(crate) backend: Option<Backend>,
    /// Take these kernels: `texture` for software adapters, `tiled` for GPUs
    #[arg(long, global = true, value_enum, default_value = "auto", help_heading = "Everywhere")]
    pub(crate) kernels: Kernels,
    /// Leave the measurements of `trainer tune` aside: the default kernel of each shape
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) no_tune: bool,
    /// Store the backbone's weights and activations in 32 bits or, on GPUs, in 16: half the memory and traffic, features
    /// that differ by about 0.1 %
    #[arg(long, global = true, value_enum, default_value = "f32", help_heading = "Everywhere")]
    pub(crate) precision: PrecisionName,
    /// Photos that pass through the backbone at once; halved where the adapter's memory doesn't suffice
    #[arg(long, global = true, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Everywhere")]
    pub(crate) batch: u16,
    /// Another seed, another split and another training
    #[arg(long, global = true, value_name = "N", default_value_t = 0, help_heading = "Everywhere")]
    pub(crate) seed: u64,
    /// Print results as JSON
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub(crate) quiet: bool,
    /// Exit with 1 if a photo had to be left out
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) strict: bool,
    /// Leave out photos of more pixels
    #[arg(long, global = true, value_name = "N", default_value_t = Limits::default().pixels, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Everywhere")]
    pub(crate) max_pixels: u64,
    /// Leave out files of more bytes
    #[arg(long, global = true, value_name = "N", default_value_t = Limits::default().bytes, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Everywhere")]
    pub(crate) max_bytes: u64,
    /// Leave out photos that take longer to decode
    #[arg(long, global = true, value_name = "N", default_value_t = Limits::default().time.as_secs(), value_parser = clap::value_parser!(u64).range(1..), help_heading = "Everywhere")]
    pub(crate) max_seconds: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Backend {
    Vulkan,
    Metal,
    Dx12,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kernels {
    Auto,
    Texture,
    Tiled,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PrecisionName {
    F32,
    F16,
}

impl Global {
    pub(crate) fn limits(&self) -> Limits {
        Limits { bytes: self.max_bytes, pixels: self.max_pixels, time: Duration::from_secs(self.max_seconds) }
    }

    pub(crate) fn selection(&self) -> Selection {
        Selection {
            backends: self.backend.map(|backend| match backend {
                Backend::Vulkan => Backends::VULKAN,
                Backend::Metal => Backends::METAL,
                Backend::Dx12 => Backends::DX12,
            }),
            adapter: self.adapter.clone(),
            family: match self.kernels {
                Kernels::Auto => None,
                Kernels::Texture => Some(Family::Texture),
                Kernels::Tiled => Some(Family::Tiled),
            },
            tables: tables().filter(|_| !self.no_tune),
            precision: match self.precision {
                PrecisionName::F32 => Precision::F32,
                PrecisionName::F16 => Precision::F16,
            },
            compiled: cache_dir().map(|folder| folder.join("pipelines")),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(Box<Train>),
    Evaluate(Evaluate),
    Predict(Predict),
    Embed(Embed),
    Inspect(Inspect),
    Doctor(Doctor),
    Tune(Tune),
}

/// Where `trainer tune` keeps its tables.
pub(crate) fn tables() -> Option<PathBuf> {
    Some(cache_dir()?.join("tune"))
}

/// Say what this machine can do, what is slow on it and why
///
/// With --bench, also each layer of a network: its kernel, milliseconds, GFLOP/s, and its share of the fastest matrix product at
/// hand (on a software adapter a CPU's, on all cores; on a GPU its own best). Layers below 20 % of that are named with the reason.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer doctor
  trainer doctor --adapter 1 --kernels tiled --json
  trainer doctor --bench                                   ResNet-18 with random weights
  trainer doctor --bench --architecture resnet50 --batch 1
  trainer doctor --bench --backbone timm/resnet50.a1_in1k --json")]
pub(crate) struct Doctor {
    /// Measure each layer of a network
    #[arg(long)]
    pub(crate) bench: bool,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// Measure which kernels are the fastest here, and use them from then on
///
/// Each shape of the network is computed in every way there is (Winograd or direct, tiles of several sizes) at the given --batch; a
/// result must agree with the default's before its way may win. Winners are kept in the user's cache (REHEAD_CACHE, or
/// rehead in XDG_CACHE_HOME or the platform's place for caches), for this adapter, driver and version of the program alone, and
/// all commands use them. Features computed by other kernels differ in the last digits, so kept features of a network whose
/// kernels changed are computed anew. On a software adapter the winners may take more memory: a ResNet-18 90 MB.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer tune                                             the shapes of ResNet-18
  trainer tune --architecture resnet50 --seconds 60
  trainer tune --backbone resnet18.safetensors --batch 1
  trainer doctor                                           says which table is in use
  trainer train photos --backbone resnet18 --out run --no-tune")]
pub(crate) struct Tune {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Time to take, about; a slow adapter may need more
    #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
}

/// Which network to measure.
#[derive(Debug, Args)]
pub(crate) struct NetworkArgs {
    /// The network of this backbone, as for `train`
    #[arg(long, alias = "weights", value_name = "NAME|FILE", conflicts_with = "architecture")]
    pub(crate) backbone: Option<String>,
    /// A published network without its weights, so that nothing is downloaded [default: resnet18]
    #[arg(long, value_name = "NAME")]
    pub(crate) architecture: Option<String>,
}

/// Train a head on a folder of photos, and judge it
///
/// DIR holds a folder of photos for each class (DIR/cat/1.jpg), or such folders below DIR/train and DIR/val or DIR/test.
/// A part without a folder of its own is drawn from the others, by the photos' content: the same photo always plays the
/// same part, copies stay together, and added photos hardly move any other. Features are kept in the run: a second
/// training with the same backbone takes seconds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer train photos --backbone resnet18 --out run
  trainer train photos --backbone timm/resnet50.a1_in1k --out run --force --optimizer sgd --class-weights balanced
  trainer train photos --backbone resnet18.safetensors --out run2 --seed 1 --cache features.safetensors --json")]
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
    /// Replace a finished run; its features are used again
    #[arg(long)]
    pub(crate) force: bool,
    /// Keep features in this file instead of the run, to share them between runs
    #[arg(long, value_name = "FILE")]
    pub(crate) cache: Option<PathBuf>,
    /// Preprocess as this JSON says (ours, timm's or transformers') instead of as the weights do
    #[arg(long, value_name = "FILE")]
    pub(crate) recipe: Option<PathBuf>,
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

/// How photos are read. A run keeps it, and `evaluate` and `predict` follow the run.
#[derive(Debug, Args)]
pub(crate) struct ReadingArgs {
    /// Turn photos as the camera noted, or `ignore` it, as torchvision does [default: apply]
    #[arg(long, value_name = "apply|ignore")]
    pub(crate) exif: Option<Exif>,
    /// The colour behind transparent parts, or `drop` for the colours stored there, as Pillow does [default: drop]
    #[arg(long, value_name = "drop|white|black|#rrggbb")]
    pub(crate) background: Option<Background>,
}

impl ReadingArgs {
    /// None if nothing was said, for the weights may be a run's, with a way of their own.
    pub(crate) fn reading(&self) -> Option<Reading> {
        (self.exif.is_some() || self.background.is_some())
            .then(|| Reading { exif: self.exif.unwrap_or_default(), background: self.background.unwrap_or_default() })
    }
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
    pub(crate) fn options(&self, seed: u64) -> TrainOptions {
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

/// Judge a run on a folder of labelled photos
///
/// Photos that the run was trained on, or that chose its epoch, are left out: they would flatter it. DIR/test is
/// taken where it exists.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer evaluate run photos-from-another-camera
  trainer evaluate run photos --predictions predictions.csv --json")]
pub(crate) struct Evaluate {
    /// The folder that `trainer train` wrote
    pub(crate) run: PathBuf,
    /// The folder of photos, one sub-folder for each class
    pub(crate) dir: PathBuf,
    /// Judge the photos too that the run was made with
    #[arg(long)]
    pub(crate) all: bool,
    /// Write what the head says about each photo into this CSV file
    #[arg(long, value_name = "FILE")]
    pub(crate) predictions: Option<PathBuf>,
}

/// Say what is on photos
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer predict run new.jpg
  trainer predict run holiday/ --top 1 --json
  trainer predict resnet18.safetensors new.jpg       what ImageNet's own head says")]
pub(crate) struct Predict {
    /// The folder that `trainer train` wrote, or a weight file, to ask its own head
    pub(crate) run: PathBuf,
    /// Photos, or folders of photos
    #[arg(required = true, value_name = "PHOTO")]
    pub(crate) photos: Vec<PathBuf>,
    /// How many classes to name, the most probable first
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) top: u16,
}

/// Write the backbone's features of every photo of a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer embed photos --backbone resnet18.safetensors --out features.safetensors
  trainer embed photos --backbone resnet18.safetensors --out features.npy

A .npy file has no room for names: they go into a .txt file beside it, one a line in the order of the rows.")]
pub(crate) struct Embed {
    /// The folder of photos; sub-folders too, labelled or not
    pub(crate) dir: PathBuf,
    /// The backbone, as for `train`
    #[arg(long, alias = "weights", value_name = "NAME|FILE")]
    pub(crate) backbone: String,
    /// The file to write: .safetensors or .npy
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Preprocess as this JSON says instead of as the weights do
    #[arg(long, value_name = "FILE")]
    pub(crate) recipe: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}

/// Say what a backbone is: architecture, size, cost, recipe, licence
///
/// A name is downloaded if the cache of the Hugging Face hub hasn't got it. Names and their licences: each short name
/// (resnet18, resnet34, resnet50, resnet101, resnet152, wide_resnet50_2, wide_resnet101_2, resnext50_32x4d,
/// resnext101_32x8d) is torchvision's first ImageNet-1k weights as timm keeps them, `timm/NAME.tv_in1k`, BSD-3-Clause.
///
/// The variables of huggingface_hub are honoured: HF_HUB_CACHE, HF_HOME, HF_HUB_OFFLINE, HF_TOKEN, HF_ENDPOINT.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer inspect resnet18
  trainer inspect microsoft/resnet-18@main --json
  trainer inspect run")]
pub(crate) struct Inspect {
    /// The backbone, as for `train`
    #[arg(value_name = "NAME|FILE")]
    pub(crate) backbone: String,
}

/// The command line, from its arguments to an exit code.
pub fn main() -> ExitCode {
    allocator::give_back_large_blocks();
    quieten_wayland();
    quieten_decoders();
    let Cli { global, command } = Cli::parse();
    let terminal = Terminal::new(global.quiet);
    if let Err(error) = Terminal::listen() {
        eprintln!("warning: ctrl-c will end the program without saving features: {error}");
    }
    let outcome = match &command {
        Some(Command::Train(args)) => commands::train(args, &global, &terminal),
        Some(Command::Evaluate(args)) => commands::evaluate(args, &global, &terminal),
        Some(Command::Predict(args)) => commands::predict(args, &global, &terminal),
        Some(Command::Embed(args)) => commands::embed(args, &global, &terminal),
        Some(Command::Inspect(args)) => commands::inspect(args, &global, &terminal),
        Some(Command::Doctor(args)) => commands::doctor(args, &global, &terminal),
        Some(Command::Tune(args)) => commands::tune(args, &global, &terminal),
        None => commands::demo(&global, &terminal),
    };
    match outcome {
        Ok(rejected) if rejected > 0 && global.strict => ExitCode::from(1),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(code(&error))
        }
    }
}

fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>().map(Error::fault) {
        Some(Fault::Usage) => 2,
        Some(Fault::Input) => 3,
        Some(Fault::Device) => 4,
        Some(Fault::Interrupted) => 130,
        Some(Fault::Io) | None => 5,
    }
}

/// A photo whose decoder panics is reported with its name and left out: the panic's own message says nothing to the user.
fn quieten_decoders() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(crate::photos::THREAD) {
            tell(panic);
        }
    }));
}

/// Mesa's Vulkan layer that orders adapters asks the desktop, and where there is none (a server, a container) it prints
/// "error: XDG_RUNTIME_DIR is invalid" for everyone to worry about. The order is ours anyway.
fn quieten_wayland() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the program's first act, while it has one thread.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_the_library_s() {
        let line = ["trainer", "train", "d", "--weights", "w", "--out", "o", "--seed", "3"];
        let cli = Cli::try_parse_from(line).unwrap();
        let Some(Command::Train(train)) = cli.command else { panic!("not train") };
        assert_eq!(train.options(cli.global.seed), TrainOptions { seed: 3, ..Default::default() });
        let short =
            Cli::try_parse_from(line.into_iter().chain(["--epochs", "2", "--optimizer", "sgd", "--patience", "0"]));
        let Some(Command::Train(train)) = short.unwrap().command else { panic!("not train") };
        let options = train.options(0);
        assert_eq!((options.warmup_epochs, options.patience, options.learning_rate), (1, None, 0.003));
        options.check().unwrap();
    }
}
