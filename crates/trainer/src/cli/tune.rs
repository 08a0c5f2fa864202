//! `trainer tune`: the fastest kernels here, measured and kept.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use resnet::BackboneOptions;
use serde_json::json;

use crate::cli::global::{Global, tables};
use crate::cli::network::NetworkArgs;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::terminal::Terminal;
use crate::error::Error;
use crate::machine::tune::{self, Shape, Tuning};
use crate::machine::{Wanted, bench};
use crate::words::{count, shown};

/// Measure which kernels are the fastest here, and use them from then on
///
/// Each shape of the network is computed in every way there is (Winograd or direct, tiles of several sizes) at the given --batch; a
/// result must agree with the default's before its way may win. Winners are kept in the user's cache (REHEAD_CACHE, or
/// rehead in XDG_CACHE_HOME or the platform's place for caches), for this adapter, driver and version of the program alone, and
/// all commands use them. Features computed by other kernels differ in the last digits only, so kept features stay in use.
/// On a software adapter the winners may take more memory: a ResNet-18 90 MB.
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

pub(crate) fn tune(args: &Tune, global: &Global, terminal: &Terminal) -> Outcome {
    let folder = tables().ok_or_else(|| Error::InvalidOption {
        option: "REHEAD_CACHE",
        value: "nothing".to_owned(),
        expected: "a folder, as there is no home folder to keep measurements in",
    })?;
    let network = args.network.network(terminal)?;
    let session = global.session_on(global.wanted(Wanted::Gpu)?, terminal)?;
    let Some(gpu) = session.device.gpu() else {
        let expected = "auto or gpu: it is an adapter's kernels that are measured";
        return Err(Error::InvalidOption { option: "--engine", value: "cpu".to_owned(), expected });
    };
    let architecture = &network.architecture;
    let options = BackboneOptions {
        input_size: network.input_size,
        taps: bench::taps(architecture.classes),
        precision: gpu.precision,
        ..BackboneOptions::new(session.batch(network.input_size))
    };
    let layers = tune::defaults(gpu, architecture, &options)?;
    let tuning = tune::measure(gpu, &layers, Duration::from_secs(args.seconds), terminal)?;
    let key = tune::Key::of(&gpu.adapter.get_info());
    let tuned = tune::save(&folder, &key, &tuning.table())?;
    if global.json {
        emit_json(&json!({
            "architecture": architecture.to_string(), "key": key, "table": tuned, "tuning": tuning,
        }))?;
        return Ok(0);
    }
    emit(&format!(
        "{architecture} on {}, by {}\n\n{}\n{} in {}, used from now on (--no-tune leaves it aside)\n",
        shown(&key.adapter),
        tuning.timer,
        text(&tuning),
        count(tuned.shapes, "shape"),
        shown(&tuned.path)
    ))?;
    Ok(0)
}

/// Writes the figures for people.
fn text(tuning: &Tuning) -> String {
    let mut out =
        String::from("layers  default                      ms   chosen                       ms   gain  shape\n");
    let (mut before, mut after) = (0.0, 0.0);
    for shape in &tuning.shapes {
        let Shape { class, layers, default, chosen, .. } = shape;
        let number = layers.len() as f64;
        let [default_ms, chosen_ms] = [*default, *chosen].map(|variant| shape.ms(variant).unwrap_or(f64::NAN));
        (before, after) = (before + number * default_ms, after + number * chosen_ms);
        let _ = writeln!(
            out,
            "{number:>6}  {:22}  {default_ms:>7.3}   {:22}  {chosen_ms:>7.3}  {:>3.0} %  {class}",
            default.to_string(),
            if chosen == default { "·".to_owned() } else { chosen.to_string() },
            100.0 * (1.0 - chosen_ms / default_ms),
        );
    }
    let seconds = tuning.seconds;
    let _ = write!(out, "\nThese layers take {after:.1} ms instead of {before:.1}; measured in {seconds:.1} s\n");
    if !tuning.unmeasured.is_empty() {
        let left = count(tuning.unmeasured.len(), "shape");
        let _ = writeln!(out, "No time was left for {left}: --seconds gives more");
    }
    out
}
