//! What is kept whatever happens: features as they are computed, and a run that is the old or the new one.

mod world;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use world::{World, files};

const TRAIN: &str =
    "train photos --backbone weights.safetensors --recipe recipe.json --optimizer adamw --epochs 2 --out";

/// Counts the photos that went through the network, as a run says.
fn computed(world: &World, run: &str) -> u64 {
    let metrics: serde_json::Value = serde_json::from_str(&world.read(&format!("{run}/metrics.json"))).unwrap();
    metrics["photos"]["computed"].as_u64().unwrap()
}

/// Lists the keys of a store.
fn keys(world: &World, store: &str) -> Vec<String> {
    files(&world.path(store)).into_iter().filter(|name| name.len() == 64).collect()
}

fn start(world: &World, line: &str) -> Child {
    let mut command = world::trainer();
    command.args(line.split_whitespace()).current_dir(world.path("")).env("REHEAD_CACHE", world.path("cache"));
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // SAFETY: one plain call. Who runs the tests with nohup ignores hang-ups, and the program leaves that so.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGHUP, libc::SIG_DFL);
                Ok(())
            })
        };
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn features_are_shared_by_all_verbs_runs_and_names() {
    let world = World::new();
    world.expect(0, "embed photos --backbone weights.safetensors --recipe recipe.json --out f.npy");
    world.train("");
    assert_eq!(computed(&world, "run"), 0, "embed has kept them");
    // Under other names they are the same photos and the same weights.
    std::fs::rename(world.path("photos"), world.path("pictures")).unwrap();
    std::fs::rename(world.path("weights.safetensors"), world.path("w.safetensors")).unwrap();
    let line = "train pictures --backbone w.safetensors --recipe recipe.json --out";
    world.expect(0, &format!("{line} run2"));
    assert_eq!(computed(&world, "run2"), 0);
    // A run's own model is the same backbone under another head, and says how photos are prepared.
    world.expect(0, "train pictures --backbone run --out run3");
    assert_eq!(computed(&world, "run3"), 0);
    world.expect(0, &format!("{line} run4 --no-store"));
    assert_eq!(computed(&world, "run4"), 36);
    world.expect(0, &format!("{line} run5 --store elsewhere"));
    assert_eq!((computed(&world, "run5"), keys(&world, "elsewhere").len()), (36, 1));
}

#[test]
fn predict_keeps_features_too() {
    let world = World::new();
    world.expect(0, &format!("{TRAIN} run --no-store"));
    world.expect(0, "predict run photos");
    world.expect(0, &format!("{TRAIN} run2"));
    assert_eq!(computed(&world, "run2"), 0);
}

#[test]
fn a_damaged_row_is_named_and_computed_anew() {
    let world = World::new();
    world.expect(0, &format!("{TRAIN} run --store store"));
    let before = std::fs::read(world.path("run/model.safetensors")).unwrap();
    let key = world.path("store").join(&keys(&world, "store")[0]);
    let segment = key.join(&files(&key)[0]);
    let mut bytes = std::fs::read(&segment).unwrap();
    let data = 8 + u64::from_le_bytes(std::array::from_fn(|i| bytes[i])) as usize;
    // The last byte of a value of the first row: its sign and exponent.
    bytes[data + 7] ^= 0x41;
    std::fs::write(&segment, bytes).unwrap();
    let (_, err) = world.expect(0, &format!("{TRAIN} run2 --store store"));
    assert!(err.contains("1 row damaged; their photos' features are computed anew"), "{err}");
    assert_eq!(computed(&world, "run2"), 1);
    assert!(std::fs::read(world.path("run2/model.safetensors")).unwrap() == before, "the same features, the same head");
    let (_, err) = world.expect(0, &format!("{TRAIN} run3 --store store"));
    assert!(!err.contains("damaged"), "{err}");
    assert_eq!(computed(&world, "run3"), 0);
}

#[test]
fn a_store_that_cannot_be_written_decides_nothing() {
    let world = World::new();
    // Where the store should be lies a file.
    std::fs::create_dir(world.path("cache")).unwrap();
    std::fs::write(world.path("cache/features"), b"").unwrap();
    let (_, err) = world.train("");
    assert!(err.contains("features are not kept: can't create"), "{err}");
    // One that was asked for is another matter.
    let (_, err) = world.expect(2, &format!("{TRAIN} run2 --store cache/features"));
    assert!(err.contains("is a file: give a folder"), "{err}");
}

#[cfg(unix)]
#[test]
fn signals_of_schedulers_keep_what_is_computed() {
    let world = World::new();
    for index in 0..1500 {
        world.draw(&format!("photos/red/more{index:04}.png"), [200, 40, (index % 256) as u8], index % 40);
    }
    // Larger than need be, so that there is time to signal.
    std::fs::write(world.path("large.json"), world.read("recipe.json").replace("[32, 32]", "[224, 224]")).unwrap();
    for signal in ["TERM", "HUP", "INT"] {
        let line = format!(
            "train photos --backbone weights.safetensors --recipe large.json --optimizer adamw --epochs 2 --out {signal} --store of-{signal}"
        );
        let mut child = start(&world, &line);
        // Until it has begun.
        let begun = Instant::now();
        while !world.path(signal).join(".trainer-lock").exists() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(1500));
        let signalled = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(signalled.success());
        let status = child.wait().unwrap();
        assert!(!world.path(signal).join("model.safetensors").exists(), "{signal}: too late to say anything");
        assert_eq!(status.code(), Some(130), "{signal}");
        world.expect(0, &line);
        assert!(computed(&world, signal) < 1536, "{signal}: nothing was kept");
    }
}

#[test]
fn a_killed_training_leaves_no_traces() {
    let world = World::new();
    world.train("--seed 1");
    let old = std::fs::read(world.path("run/model.safetensors")).unwrap();
    for delay in [30, 120, 300, 600] {
        let mut child = start(&world, &format!("{TRAIN} run --force --seed 2 --no-store"));
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        world.expect(0, "predict run photos/red/00.png --no-store");
    }
    world.expect(0, "evaluate run photos --all --no-store");
    world.train("--seed 1 --force");
    assert!(std::fs::read(world.path("run/model.safetensors")).unwrap() == old);
    let left: Vec<_> = files(&world.path("run")).into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn one_of_several_trainings_into_a_run_writes_it() {
    let world = World::new();
    let children: Vec<Child> = (0..4).map(|seed| start(&world, &format!("{TRAIN} run --seed {seed}"))).collect();
    let start = Instant::now();
    let codes: Vec<_> = children.into_iter().map(|mut child| child.wait().unwrap().code().unwrap()).collect();
    // All the others are told, at once or because the run is there by then.
    assert_eq!(codes.iter().filter(|&&code| code == 0).count(), 1, "{codes:?} after {:?}", start.elapsed());
    assert_eq!(codes.iter().filter(|&&code| code == 2).count(), 3, "{codes:?}");
    world.expect(0, "evaluate run photos");
}

#[test]
fn files_of_two_runs_are_no_run() {
    let world = World::new();
    world.train("--seed 1");
    world.expect(0, &format!("{TRAIN} run2 --seed 2"));
    std::fs::copy(world.path("run2/parts.json"), world.path("run/parts.json")).unwrap();
    let (_, err) = world.expect(3, "evaluate run photos");
    assert!(err.contains("run: not a usable run: parts.json isn't the one that config.json was written with"), "{err}");
    std::fs::copy(world.path("run2/model.safetensors"), world.path("run/model.safetensors")).unwrap();
    let (_, err) = world.expect(3, "predict run photos/red/00.png");
    assert!(err.contains("model.safetensors isn't the one that config.json was written with"), "{err}");
    // A model alone is whole.
    std::fs::create_dir(world.path("alone")).unwrap();
    std::fs::copy(world.path("run2/model.safetensors"), world.path("alone/model.safetensors")).unwrap();
    world.expect(0, "predict alone photos/red/00.png");
}

#[test]
fn a_run_that_was_committed_by_a_killed_training_is_the_new_one() {
    let world = World::new();
    world.train("--seed 1");
    world.expect(0, &format!("{TRAIN} new --seed 2"));
    let new = std::fs::read(world.path("new/model.safetensors")).unwrap();
    // As a kill between two renames leaves it, in whatever order: into a run, or into a folder that was empty.
    for (run, verb) in [("run", "evaluate run photos"), ("fresh", "predict fresh photos")] {
        let committed = world.path(run).join(".trainer-committed");
        std::fs::create_dir_all(&committed).unwrap();
        for name in files(&world.path("new")) {
            let first = if run == "run" { name.as_str() < "m" } else { name == "model.safetensors" };
            let to = if first { world.path(run) } else { committed.clone() };
            std::fs::copy(world.path("new").join(&name), to.join(&name)).unwrap();
        }
        world.expect(0, verb);
        assert!(std::fs::read(world.path(run).join("model.safetensors")).unwrap() == new && !committed.exists());
        assert!(world.path(run).join("config.json").exists());
    }
}
