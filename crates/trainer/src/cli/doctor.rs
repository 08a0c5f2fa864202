//! `trainer doctor`: what this machine can do, what is slow on it and why.

use std::fmt::Write as _;

use clap::Args;
use pollster::block_on;
use resnet::WeightFile;

use crate::cli::global::Global;
use crate::cli::network::NetworkArgs;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::terminal::Terminal;
use crate::error::Error;
use crate::features::Engines;
use crate::machine::bench::{self, Bench, Layer, Passes, SLOW};
use crate::machine::compiled::Found;
use crate::machine::doctor::{self, Advice, Diagnosis, Examined, Processor, SIZE};
use crate::machine::gpu::{self, Summary};
use crate::machine::tune::Tuned;
use crate::machine::{Cpu, Device, Wanted};
use crate::progress::{Progress as _, Stage, watched};
use crate::untrained::random_weights;
use crate::words::{chain, count, shown};

/// Say what this machine can do, what is slow on it and why
///
/// With --bench, also each layer of a network: its kernel, milliseconds, GFLOP/s, and its share of the fastest matrix product at
/// hand (on a software adapter a CPU's, on all cores; on a GPU its own best). Layers below 20 % of that are named with the reason.
/// Images a second are those of passes one after the other, each submitted before the last is waited for.
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

pub(crate) fn doctor(args: &Doctor, global: &Global, terminal: &Terminal) -> Outcome {
    let Doctor { bench, network } = args;
    if !bench && network.given() {
        return Err(Error::InvalidOption {
            option: if network.backbone.is_some() { "--backbone" } else { "--architecture" },
            value: "none".to_owned(),
            expected: "--bench with it",
        });
    }
    let wanted = global.wanted(Wanted::Auto)?;
    let adapters = block_on(gpu::adapters(global.selection().backends));
    let session = global.session_on(wanted, terminal)?;
    // Where the choice is left open, the adapter that isn't taken is looked at too.
    let beside = match session.device {
        Device::Cpu(_) if wanted == Wanted::Auto && !adapters.is_empty() => {
            let opened = watched(terminal, Stage::DEVICE, || block_on(gpu::open(&global.selection())));
            opened.map_err(|error| terminal.warn(&chain(&error))).ok()
        }
        _ => None,
    };
    let gpu = session.device.gpu().or(beside.as_ref());
    let mut diagnosis = doctor::diagnose(wanted, &adapters, &session.device, gpu)?;
    if *bench {
        let network = network.network(terminal)?;
        let weights = match network.weights {
            Some(weights) => weights,
            None => WeightFile::from_bytes(random_weights(&network.architecture, global.seed))?,
        };
        let input_size = network.input_size;
        let batch = |own: usize| global.batch.map_or(own, usize::from);
        if let Some(gpu) = gpu {
            diagnosis.bench = Some(bench::measure(gpu, &weights, input_size, batch(gpu.batch(input_size)), terminal)?);
        }
        if wanted != Wanted::Gpu {
            let cpu = Device::Cpu(Cpu::open()?);
            let engine = Engines::of(&cpu, &weights, input_size).plan(batch(cpu.batch(input_size)))?;
            diagnosis.cpu_bench = Some(bench::passes(&*engine, terminal)?);
        }
    }
    if global.json {
        let mut value = serde_json::to_value(&diagnosis).expect("plain data");
        value["advice"] = diagnosis.advice.iter().map(worded).collect();
        emit_json(&value)?;
    } else {
        emit(&text(&diagnosis))?;
    }
    Ok(0)
}

/// Words advice in the terms of this command line.
fn worded(advice: &Advice) -> String {
    match advice {
        Advice::Unforce { suited } => {
            format!("These kernels are correct here but made for other adapters: drop --kernels, {suited} are faster.")
        }
        Advice::SoftwareAdapter => {
            "This is a software adapter: the CPU does the GPU's work, and does it faster by itself (--engine cpu). Every photo passes through the network once and its features \
             are kept, so a few thousand photos are bearable; a small network (ResNet-18) is 3 to 4 times faster than ResNet-50."
                .to_owned()
        }
        Advice::TakeGpu(index) => format!("There is a GPU: --adapter {index} takes it."),
        Advice::NoGpuSeen if cfg!(target_os = "linux") => {
            "If the machine has a GPU, its Vulkan driver isn't installed or not visible (in a container, pass the GPU through)."
                .to_owned()
        }
        Advice::NoGpuSeen => "If the machine has a GPU, its driver isn't installed or not visible.".to_owned(),
        Advice::NoSubgroups => {
            "The fast kernels for software adapters need subgroups of 4, 8 or 16 lanes, as lavapipe has them from Mesa 22 on."
                .to_owned()
        }
        Advice::DevelopmentBuild => {
            "This is a build for development: --release decodes photos a little faster.".to_owned()
        }
    }
}

/// Writes the findings for people.
fn text(diagnosis: &Diagnosis) -> String {
    let Diagnosis { engine, why, cpu, adapters, examined, advice, bench, cpu_bench } = diagnosis;
    let Processor { name, instructions, threads, matmul_gflops } = cpu;
    let mut out = format!("Engine    {engine}: {why}\n");
    let threads = count(*threads, "thread");
    let _ = writeln!(out, "CPU       {name} ({instructions}, {threads}); matmul {SIZE}: {matmul_gflops:.1} GFLOP/s");
    out.push_str(if adapters.is_empty() { "Adapters  none\n" } else { "Adapters\n" });
    for (index, adapter) in adapters.iter().enumerate() {
        let mark = if examined.as_ref().is_some_and(|examined| *adapter == examined.adapter) { '*' } else { ' ' };
        let Summary { name, kind, backend, driver } = adapter;
        let _ = writeln!(out, "{mark} {index}  {name} ({kind}, {backend}, {driver})");
    }
    if let Some(examined) = examined {
        out.push_str(&examined_text(examined));
    }
    for advice in advice {
        let _ = write!(out, "\n{}\n", worded(advice));
    }
    if let Some(bench) = bench {
        let _ = write!(out, "\n{}", bench_text(bench));
    }
    if let Some(Passes { batch, pass_ms, images_per_second }) = cpu_bench {
        let images = count(*batch, "image");
        let _ = write!(out, "\nOn the CPU: {pass_ms:.3} ms a pass of {images}: {images_per_second:.1} images/s\n");
    }
    out
}

/// Writes what was found of an adapter for people.
fn examined_text(examined: &Examined) -> String {
    let mut out = format!("\nKernels   {}: {}\n", examined.kernels, examined.reason);
    let _ = match &examined.tuned {
        Some(Tuned { path, shapes, .. }) => {
            writeln!(out, "Tuned     {}, in {}", count(*shapes, "shape"), shown(path))
        }
        None => writeln!(out, "Tuned     no: the default variant of each shape; `trainer tune` measures them"),
    };
    let _ = writeln!(out, "Speed     matmul {SIZE}: {:.1} GFLOP/s", examined.matmul_gflops);
    let _ = match &examined.compiled {
        None => writeln!(out, "Compiled  not kept by us: this adapter has no pipeline cache"),
        Some((path, found)) => {
            let path = shown(path);
            match found {
                Found::Nothing => writeln!(out, "Compiled  kept from now on in {path}"),
                Found::Bytes(bytes) => writeln!(out, "Compiled  {bytes} bytes taken from {path}"),
                Found::Damaged => writeln!(out, "Compiled  damaged, made anew: {path}"),
            }
        }
    };
    let words = |all: &[(&str, bool)]| {
        all.iter().map(|(name, so)| format!("{name} {}", if *so { "yes" } else { "no" })).collect::<Vec<_>>().join(", ")
    };
    let [least, most] = examined.subgroup;
    let _ = writeln!(out, "Features  {}; subgroup {least} to {most} lanes", words(&examined.features));
    let _ = writeln!(out, "In use    {}", words(&examined.in_use));
    out.push_str("Limits\n");
    for (name, value) in &examined.limits {
        let _ = writeln!(out, "  {value:>14}  {name}");
    }
    out
}

/// Writes the layers for people.
fn bench_text(bench: &Bench) -> String {
    let [height, width] = bench.input_size;
    let mut out = format!(
        "{}, {} of {height}x{width} at once, by {}\nYardstick {}: {:.1} GFLOP/s; memory {:.1} GB/s\n\
         Starting a dispatch: {:.4} ms{}\n\n",
        bench.architecture,
        count(bench.batch, "image"),
        bench.timer,
        bench.yardstick.name,
        bench.yardstick.gflops,
        bench.memory_gb_s,
        bench.starting_ms,
        bench.full_workgroups.map(|full| format!("; full from about {full} workgroups on")).unwrap_or_default(),
    );
    let widest = |of: fn(&Layer) -> &str, least: &str| {
        bench.layers.iter().map(|layer| of(layer).len()).max().unwrap_or(0).max(least.len())
    };
    let name = widest(|layer| &layer.name, "layer");
    let shape = widest(|layer| &layer.shape, "shape");
    let kernel = widest(|layer| &layer.kernel, "kernel");
    let _ = writeln!(
        out,
        "{:name$}  {:shape$}  {:kernel$}        ms   time  GFLOP/s   GB/s  yardstick",
        "layer", "shape", "kernel"
    );
    let row = |layer: &Layer| {
        let gflops = if layer.flops > 0 { format!("{:.1}", layer.gflops) } else { "·".to_owned() };
        format!(
            "{:name$}  {:shape$}  {:kernel$}  {:>8.3}  {:>3.0} %  {gflops:>7}  {:>5.1}      {:>3.0} %{}\n",
            layer.name,
            layer.shape,
            layer.kernel,
            layer.ms,
            100.0 * layer.ms / bench.layers_ms,
            layer.gb_s,
            100.0 * layer.share,
            if layer.slow.is_some() { "  slow" } else { "" },
        )
    };
    out.extend(bench.layers.iter().map(row));
    let _ = write!(out, "\nThe slowest {}\n", bench.slowest.len());
    out.extend(bench.slowest.iter().map(|&index| row(&bench.layers[index])));
    let slow: Vec<&Layer> = bench.layers.iter().filter(|layer| layer.slow.is_some()).collect();
    if slow.is_empty() {
        let _ = write!(out, "\nNo layer is below {:.0} % of the yardstick.\n", 100.0 * SLOW);
    } else {
        let _ =
            write!(out, "\nBelow {:.0} % of the yardstick (of memory, where there are no products)\n", 100.0 * SLOW);
        for layer in slow {
            let _ = writeln!(out, "{:name$}  {}", layer.name, layer.slow.as_deref().unwrap_or_default());
        }
    }
    let _ = write!(
        out,
        "\n{:.3} ms in layers; {:.3} ms a pass by itself, {:.3} ms with the next under way: {:.1} images/s\n",
        bench.layers_ms, bench.pass_ms, bench.pipelined_ms, bench.images_per_second
    );
    out
}
