//! The commands: what each asks of the library, and what it prints.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::data::split::SplitOptions;
use crate::data::{self, Photo, Rejected};
use crate::machine::device::Gpu;
use crate::machine::{bench, device, doctor, inspect, tune};
use crate::progress::Progress as _;
use crate::report::{self, Prediction};
use crate::run::{self, Run};
use crate::tasks::{self, Overrides, Request, Trained};
use crate::untrained::random_weights;
use crate::{Error, demo, files, hub, words};
use anyhow::{Context as _, Result};
use pollster::block_on;
use resnet::{Architecture, BackboneOptions, Recipe, WeightFile};
use serde_json::{Value, json};

use crate::cli::terminal::Terminal;
use crate::cli::{Doctor, Embed, Evaluate, Global, Inspect, NetworkArgs, Predict, ReadingArgs, Train, Tune, tables};

/// How many photos were rejected, which is for `--strict` to judge.
pub(crate) type Outcome = Result<usize>;

pub(crate) fn train(args: &Train, global: &Global, terminal: &Terminal) -> Outcome {
    let options = args.options(global.seed);
    // What needs no download comes before it.
    options.validate()?;
    data::check_folder(&args.dir)?;
    let overrides = overrides(args.recipe.as_deref(), &args.reading)?;
    let gpu = open(global, terminal)?;
    let request = Request {
        data: args.dir.clone(),
        weights: hub::resolve(&args.backbone, &hub::Options::from_env()?, terminal)?.weights,
        out: args.out.clone(),
        force: args.force,
        cache: args.cache.clone(),
        overrides,
        split: SplitOptions { seed: global.seed, validation: args.val, test: args.test },
        train: options,
        batch: global.batch.into(),
        limits: global.limits(),
    };
    let trained = tasks::train(&request, &gpu, terminal)?;
    let (config, metrics) = (&trained.config, &trained.metrics);
    if global.json {
        emit_json(&serde_json::to_value(metrics)?)?;
        return Ok(config.rejected.len());
    }
    let photos = &metrics.photos;
    let mut out = format!(
        "{}, {}: {} to train, {} to validate, {} to test{}\n",
        words::count(photos.train + photos.validation + photos.test, "photo"),
        words::count(config.classes.len(), "class"),
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
        words::count(history.epochs.len(), "epoch"),
        history.best + 1
    );
    match (&metrics.test, &metrics.validation) {
        (Some(test), _) => out.push_str(&report::text("Photos never trained on", test)),
        (None, Some(validation)) => {
            out.push_str("No photos were set aside to test. These chose the epoch and flatter it a little:\n\n");
            out.push_str(&report::text("Validation photos", validation));
        }
        (None, None) => out.push_str("No photos were set aside to judge by (--test 0 --val 0).\n"),
    }
    let seconds = &metrics.seconds;
    let _ = writeln!(
        out,
        "\n{:.1} s: {:.1} s for features, {:.1} s for the head\nWritten to {}: see {} there",
        seconds.total,
        seconds.features,
        seconds.head,
        args.out.display(),
        run::REPORT
    );
    emit(&out)?;
    Ok(config.rejected.len())
}

pub(crate) fn evaluate(args: &Evaluate, global: &Global, terminal: &Terminal) -> Outcome {
    let run = Run::open(&args.run)?;
    let gpu = open(global, terminal)?;
    let judged = tasks::judge(&run, &args.dir, args.all, global.batch.into(), &global.limits(), &gpu, terminal)?;
    if let Some(path) = &args.predictions {
        files::write(path, &report::predictions_csv(&judged.predictions, &run.head.classes)?)?;
    }
    if global.json {
        emit_json(&json!({
            "evaluation": judged.evaluation, "rejected": judged.rejected, "left_out_as_seen": judged.seen,
        }))?;
    } else {
        let mut out = String::new();
        if judged.seen > 0 {
            let photos = words::count(judged.seen, "photo");
            let _ = writeln!(out, "{photos} left out: the run was made with them (--all judges them too)\n");
        }
        out.push_str(&report::text(&args.dir.display().to_string(), &judged.evaluation));
        emit(&out)?;
    }
    Ok(judged.rejected.len())
}

pub(crate) fn predict(args: &Predict, global: &Global, terminal: &Terminal) -> Outcome {
    let run = if args.run.is_file() { Run::of_weights(&args.run)? } else { Run::open(&args.run)? };
    let (photos, mut rejected) = photos_of(args)?;
    tasks::tell_rejected(&rejected, terminal);
    let gpu = open(global, terminal)?;
    let (predictions, unreadable) =
        tasks::predict(&run, &photos, global.batch.into(), &global.limits(), &gpu, terminal)?;
    rejected.extend(unreadable);
    let top = usize::from(args.top);
    if global.json {
        let photos: Vec<Value> =
            predictions.iter().map(|photo| prediction_json(photo, &run.head.classes, top)).collect();
        emit_json(&json!({ "photos": photos, "rejected": rejected }))?;
    } else {
        let width = run.head.classes.iter().map(|class| class.chars().count()).max().unwrap_or(0);
        let mut out = String::new();
        for photo in &predictions {
            let _ = writeln!(out, "{}", photo.name);
            for &(class, probability) in photo.top.iter().take(top) {
                let _ = writeln!(out, "  {:width$}  {:>5.1} %", run.head.classes[class], 100.0 * probability);
            }
        }
        emit(&out)?;
    }
    if predictions.is_empty() {
        return Err(Error::NothingReadable { what: "predict".to_owned(), found: rejected.len() }.into());
    }
    Ok(rejected.len())
}

/// Photos by their paths; of folders, all that is in them.
fn photos_of(args: &Predict) -> Result<(Vec<Photo>, Vec<Rejected>)> {
    let (mut photos, mut rejected) = (Vec::new(), Vec::new());
    for path in &args.photos {
        if path.is_dir() {
            let listing = data::list(path)?;
            photos.extend(listing.photos.into_iter().map(|photo| Photo::at(&photo.path)));
            rejected.extend(listing.rejected);
        } else {
            photos.push(Photo::at(path));
        }
    }
    Ok((photos, rejected))
}

fn prediction_json(photo: &Prediction, classes: &[String], top: usize) -> Value {
    let choices = photo.top.iter().take(top);
    let choices: Vec<Value> =
        choices.map(|&(class, probability)| json!({ "label": classes[class], "probability": probability })).collect();
    json!({ "path": photo.name, "predictions": choices })
}

pub(crate) fn embed(args: &Embed, global: &Global, terminal: &Terminal) -> Outcome {
    let npy = match args.out.extension().and_then(|end| end.to_str()) {
        Some("npy") => true,
        Some("safetensors") => false,
        _ => {
            let value = args.out.display().to_string();
            return Err(Error::InvalidOption {
                option: "--out",
                value,
                expected: "a name ending in .safetensors or .npy",
            }
            .into());
        }
    };
    data::check_folder(&args.dir)?;
    let overrides = overrides(args.recipe.as_deref(), &args.reading)?;
    let gpu = open(global, terminal)?;
    let weights = hub::resolve(&args.backbone, &hub::Options::from_env()?, terminal)?.weights;
    let batch = global.batch.into();
    let embedded = tasks::embed(&args.dir, &weights, &overrides, batch, &global.limits(), &gpu, terminal)?;
    let [photos, features] = embedded.shape();
    if npy {
        files::write(&args.out.with_extension("txt"), (embedded.names.join("\n") + "\n").as_bytes())?;
        files::write(&args.out, &embedded.npy())?;
    } else {
        files::write(&args.out, &embedded.safetensors())?;
    }
    if global.json {
        emit_json(&json!({ "photos": photos, "features": features, "rejected": embedded.rejected }))?;
    } else {
        emit(&format!("{} x {features} features in {}\n", words::count(photos, "photo"), args.out.display()))?;
    }
    Ok(embedded.rejected.len())
}

pub(crate) fn inspect(args: &Inspect, global: &Global, terminal: &Terminal) -> Outcome {
    let mut found = inspect::inspect(&hub::resolve(&args.backbone, &hub::Options::from_env()?, terminal)?)?;
    // A file can be looked at without an adapter.
    if let Ok(gpu) = block_on(device::open(&global.selection())) {
        found.measure(&gpu, global.batch.into())?;
    }
    if global.json {
        emit_json(&serde_json::to_value(&found)?)?;
    } else {
        emit(&found.text())?;
    }
    Ok(0)
}

pub(crate) fn doctor(args: &Doctor, global: &Global, terminal: &Terminal) -> Outcome {
    let Doctor { bench, network } = args;
    if !bench && (network.backbone.is_some() || network.architecture.is_some()) {
        return Err(Error::InvalidOption {
            option: if network.backbone.is_some() { "--backbone" } else { "--architecture" },
            value: "given without --bench".to_owned(),
            expected: "--bench with it",
        }
        .into());
    }
    let adapters = block_on(device::adapters(global.selection().backends));
    let gpu = open(global, terminal)?;
    let mut diagnosis = doctor::examine(&adapters, &gpu)?;
    if *bench {
        let (network, input_size) = network_of(network, terminal)?;
        let weights = match network {
            Network::File(weights) => weights,
            Network::Architecture(architecture) => WeightFile::from_bytes(random_weights(&architecture, global.seed))?,
        };
        diagnosis.bench = Some(bench::measure(&gpu, &weights, input_size, global.batch.into(), terminal)?);
    }
    if global.json {
        emit_json(&serde_json::to_value(&diagnosis)?)?;
    } else {
        emit(&diagnosis.text())?;
    }
    Ok(0)
}

pub(crate) fn tune(args: &Tune, global: &Global, terminal: &Terminal) -> Outcome {
    let folder = tables().ok_or_else(|| Error::InvalidOption {
        option: "REHEAD_CACHE",
        value: "nothing".to_owned(),
        expected: "a folder, as there is no home folder to keep measurements in",
    })?;
    let (network, input_size) = network_of(&args.network, terminal)?;
    let architecture = match &network {
        Network::File(weights) => weights.architecture(),
        Network::Architecture(architecture) => architecture,
    };
    let gpu = open(global, terminal)?;
    let taps = bench::taps(architecture.classes);
    let options =
        BackboneOptions { input_size, taps, precision: gpu.precision, ..BackboneOptions::new(global.batch.into()) };
    let layers = tune::defaults(&gpu, architecture, &options)?;
    let tuning = tune::measure(&gpu, &layers, Duration::from_secs(args.seconds), terminal)?;
    let key = tune::Key::of(&gpu.adapter.get_info());
    let tuned = tune::save(&folder, &key, &tuning.table())?;
    if global.json {
        emit_json(&json!({
            "architecture": architecture.to_string(), "key": key, "table": tuned, "tuning": tuning,
        }))?;
    } else {
        let mut out = format!("{architecture} on {}, by {}\n\n", key.adapter, tuning.timer);
        out.push_str(&tuning.text());
        let _ = writeln!(
            out,
            "\n{} in {}, used from now on (--no-tune leaves it aside)",
            words::count(tuned.shapes, "shape"),
            tuned.path.display()
        );
        emit(&out)?;
    }
    Ok(0)
}

/// What to measure.
enum Network {
    File(WeightFile),
    Architecture(Architecture),
}

/// The network that was asked for, and the size of its images.
fn network_of(args: &NetworkArgs, terminal: &Terminal) -> Result<(Network, [usize; 2])> {
    if let Some(backbone) = &args.backbone {
        let path = hub::resolve(backbone, &hub::Options::from_env()?, terminal)?.weights;
        let weights = WeightFile::open(&path).map_err(Error::from)?;
        let (recipe, _) = tasks::recipe_of(&weights, &path)?;
        return Ok((Network::File(weights), recipe.input_size));
    }
    let name = args.architecture.as_deref().unwrap_or("resnet18");
    let architecture = Architecture::named(name, Some(1000)).ok_or_else(|| {
        let known: Vec<&str> = Architecture::published().collect();
        Error::Weights {
            name: name.to_owned(),
            problem: "no published architecture".to_owned(),
            advice: format!("give one of {}", known.join(", ")),
        }
    })?;
    Ok((Network::Architecture(architecture), Recipe::default().input_size))
}

/// The adapter that was asked for.
fn open(global: &Global, terminal: &Terminal) -> Result<Gpu> {
    let gpu = block_on(device::open(&global.selection()))?;
    if let Some(problem) = &gpu.table_problem {
        terminal.warn(problem);
    }
    Ok(gpu)
}

pub(crate) fn demo(global: &Global, terminal: &Terminal) -> Outcome {
    let gpu = open(global, terminal)?;
    let compared = demo::compare(&gpu, global.seed, global.batch.into(), terminal)?;
    let judgement = |trained: &Trained| trained.metrics.test.clone().context("the demo has a test part");
    let (pretrained, random) = (judgement(&compared.pretrained)?, judgement(&compared.random)?);
    if global.json {
        emit_json(&json!({ "pretrained": pretrained, "random": random }))?;
        return Ok(0);
    }
    let Trained { config, metrics, .. } = &compared.pretrained;
    let photos = &metrics.photos;
    let mut out = format!(
        "A new head for {} kinds of things:\n  {}.\n\
         The pictures are drawn by this program, none is a photo: {} to learn from, {} to choose\n\
         the epoch by, {} to judge by. The backbone has seen other things, drawn likewise.\n\n",
        config.classes.len(),
        config.classes.chunks(4).map(|classes| classes.join(", ")).collect::<Vec<_>>().join(",\n  "),
        photos.train,
        photos.validation,
        photos.test
    );
    let _ = writeln!(out, "{:40}right   95 % interval", "The new head");
    let rows = [("on the pretrained backbone", &pretrained), ("on the same network, random weights", &random)];
    for (name, evaluation) in rows {
        let [low, high] = evaluation.top1_interval.map(|share| 100.0 * share);
        let _ = writeln!(out, "  {name:37}{:>5.1} %   {low:.1} to {high:.1}", 100.0 * evaluation.top1);
    }
    let _ = writeln!(out, "  {:37}{:>5.1} %", "guessing", 100.0 * pretrained.baseline.top1);
    let _ = write!(
        out,
        "\n{:.1} s on {}\n\n\
         Now your own photos, in a folder for each class, and a ResNet with ImageNet weights\n\
         (this name is downloaded once; others, and files, do as well):\n\n  \
         cargo run --release -p trainer -- train photos --backbone resnet18 --out run\n",
        metrics.seconds.total + compared.random.metrics.seconds.total,
        config.adapter.name,
    );
    emit(&out)?;
    Ok(0)
}

fn overrides(recipe: Option<&Path>, reading: &ReadingArgs) -> Result<Overrides> {
    Ok(Overrides { recipe: recipe.map(read_recipe).transpose()?, reading: reading.reading() })
}

fn read_recipe(path: &Path) -> Result<Recipe> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
    let recipe = Recipe::from_json(&text).map_err(Error::from).with_context(|| path.display().to_string())?;
    Ok(recipe)
}

fn emit_json(value: &Value) -> Result<()> {
    emit(&format!("{value:#}\n"))
}

/// Prints a result. A reader that has had enough (`| head`) is no failure.
pub(crate) fn emit(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("can't write to the standard output"),
    }
}
