//! From a process's start to its first features, and the most memory it holds: medians of several child processes, phase by phase.
//!
//! `cargo bench --bench start`, or `-- resnet50 8` for another network and batch. `now` is what the process holds at the end of
//! a phase, `peak` the most until then. The first run on a machine compiles; drivers keep what they compiled, so `cold` is measured
//! with Mesa's cache off.

use resnet::{Architecture, Backbone, BackboneOptions, Engine, ImageTensor, Tap, WeightFile};
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Tells a child what to do: the weight file and the batch.
const CHILD: &str = "REHEAD_BENCH_START";
const RUNS: usize = 7;

fn main() {
    if let Some(task) = std::env::var_os(CHILD) {
        let task = task.into_string().expect("a task in UTF-8");
        let (batch, weights) = task.split_once(' ').expect("a batch and a file");
        return child(weights, batch.parse().expect("a number"));
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    // `cargo test --benches` runs this once.
    let runs = if std::env::args().any(|argument| argument == "--bench") { RUNS } else { 1 };
    let name = arguments.first().map_or("resnet18", String::as_str);
    let batch = arguments.get(1).map_or("8", String::as_str);
    let architecture = Architecture::named(name, Some(1000)).expect("a network's name");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let weights = folder.path().join("weights.safetensors");
    std::fs::write(&weights, testkit::formula::weights(&architecture.tensors())).expect("room for the weights");
    let task = format!("{batch} {}", weights.display());
    for (title, cache) in [("warm", "false"), ("cold", "true")] {
        println!("\n{name} batch {batch}, {title}: medians of {runs} processes");
        println!("{:10} {:>9} {:>9} {:>9} {:>9}", "", "wall ms", "CPU ms", "now MB", "peak MB");
        let runs: Vec<Vec<Phase>> = (0..runs).map(|_| run(&task, cache)).collect();
        for phase in 0..runs[0].len() {
            let median = |of: fn(&Phase) -> f64| {
                let mut values: Vec<f64> = runs.iter().map(|run| of(&run[phase])).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            let Phase { name, .. } = &runs[0][phase];
            println!(
                "{name:10} {:9.1} {:9.1} {:9.1} {:9.1}",
                median(|phase| phase.wall),
                median(|phase| phase.cpu),
                median(|phase| phase.now),
                median(|phase| phase.peak)
            );
        }
    }
}

struct Phase {
    name: String,
    /// Milliseconds.
    wall: f64,
    cpu: f64,
    /// Megabytes.
    now: f64,
    peak: f64,
}

fn run(task: &str, no_mesa_cache: &str) -> Vec<Phase> {
    let start = Instant::now();
    let output = Command::new(std::env::current_exe().expect("this program"))
        .env(CHILD, task)
        .env("MESA_SHADER_CACHE_DISABLE", no_mesa_cache)
        .stderr(Stdio::inherit())
        .output()
        .expect("a child");
    let total = start.elapsed();
    assert!(output.status.success(), "the child failed");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut phases: Vec<Phase> = text
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words[at].parse().expect("a number");
            Phase { name: words[0].to_owned(), wall: number(1), cpu: number(2), now: number(3), peak: number(4) }
        })
        .collect();
    let spent: f64 = phases.iter().map(|phase| phase.cpu).sum();
    let Phase { now, peak, .. } = *phases.last().expect("phases");
    phases.push(Phase { name: "total".into(), wall: total.as_secs_f64() * 1e3, cpu: spent, now, peak });
    phases
}

fn child(weights: &str, batch: usize) {
    trainer::machine::give_back_large_blocks();
    let mut clock = Clock::start();
    let gpu = pollster::block_on(trainer::machine::open(&Default::default())).expect("an adapter");
    clock.stop("device");
    let file = WeightFile::open(weights).expect("the weights");
    clock.stop("open");
    let backbone =
        Backbone::new(&gpu.context, &gpu.queue, &file, &BackboneOptions::new(batch)).expect("the network is planned");
    clock.stop("plan");
    let image = ImageTensor { height: 224, width: 224, data: testkit::Samples::new(1).vec(224 * 224 * 3) };
    let images = vec![image; batch];
    for phase in ["first", "second"] {
        let features = backbone.submit(&images).unwrap().wait(Tap::Features).expect("features");
        assert!(features.iter().all(|value| value.is_finite()), "features are numbers");
        clock.stop(phase);
    }
}

/// Prints what each phase took.
struct Clock {
    wall: Instant,
    cpu: Duration,
}

impl Clock {
    fn start() -> Self {
        Clock { wall: Instant::now(), cpu: Duration::ZERO }
    }

    fn stop(&mut self, phase: &str) {
        let (wall, cpu) = (Instant::now(), cpu_time());
        println!(
            "{phase} {} {} {} {}",
            (wall - self.wall).as_secs_f64() * 1e3,
            (cpu - self.cpu).as_secs_f64() * 1e3,
            memory("VmRSS"),
            memory("VmHWM"),
        );
        *self = Clock { wall, cpu };
    }
}

/// Megabytes of this process, where Linux says so; else 0.
fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}

/// What all threads of this process have used, where Linux says so (in ticks of 10 ms).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
