//! Which engine computes, and that the CPU's does what an adapter's does.

mod world;

use std::process::Output;

use world::{World, distance};

/// A Vulkan loader that finds no driver.
const NO_DRIVER: [(&str, &str); 2] =
    [("VK_ICD_FILENAMES", "/nonexistent.json"), ("VK_DRIVER_FILES", "/nonexistent.json")];

const TRAIN: &str = "train photos --backbone weights.safetensors --recipe recipe.json --force --out";

/// Runs where no adapter is, and no engine is asked for but by the line.
fn alone(world: &World, line: &str) -> Output {
    world.command(line).envs(NO_DRIVER).env_remove("REHEAD_ENGINE").output().unwrap()
}

/// Reads what a run says of its engine.
fn engine(world: &World, run: &str) -> String {
    let config: serde_json::Value = serde_json::from_str(&world.read(&format!("{run}/config.json"))).unwrap();
    assert_eq!(config["adapter"]["kind"] == "CPU", config["engine"] == "cpu", "{config}");
    assert!(
        !config["adapter"]["name"].as_str().unwrap().is_empty()
            && !config["adapter"]["driver"].as_str().unwrap().is_empty()
    );
    config["engine"].as_str().unwrap().to_owned()
}

#[test]
fn the_cpu_does_what_an_adapter_does() {
    let world = World::new();
    let on = |engine: &str| world.features(&format!("--recipe recipe.json --engine {engine}"));
    let (gpu, cpu) = (on("gpu"), on("cpu"));
    let error = distance(&cpu, &gpu);
    assert!(error < 1e-4, "{error}");
    // The comparison can fail: f16 is another matter.
    let halves = world.features("--recipe recipe.json --engine gpu --kernels tiled --precision f16");
    assert!(distance(&halves, &gpu) > error.max(1e-5));
    for optimizer in ["lbfgs", "adamw --epochs 3", "sgd --epochs 3"] {
        let line = format!("{TRAIN} run --engine cpu --optimizer {optimizer} --json");
        let trained = world.json(&line);
        assert_eq!(engine(&world, "run"), "cpu");
        assert!(trained["test"]["top1"].as_f64().or(trained["cross_validated"]["top1"].as_f64()).unwrap() > 0.9);
        // The same bytes again, and on any number of threads.
        let model = std::fs::read(world.path("run/model.safetensors")).unwrap();
        let again = world.command(&format!("{line} --no-store")).env("RAYON_NUM_THREADS", "5").output().unwrap();
        assert!(again.status.success());
        assert!(std::fs::read(world.path("run/model.safetensors")).unwrap() == model, "{optimizer}");
    }
    world.expect(0, &format!("{TRAIN} run --engine cpu"));
    let (out, _) = world.expect(0, "predict run photos/red/00.png --engine cpu");
    assert!(out.contains("red"), "{out}");
    assert_eq!(world.json("evaluate run photos --all --engine cpu --json")["evaluation"]["count"], 36);
    world.expect(0, "verify run --engine cpu");
    assert!(world.json("inspect weights.safetensors --engine cpu --json")["memory"]["weights"].as_u64().unwrap() > 0);
    let (out, _) = world.expect(0, "--engine cpu");
    assert!(out.contains("the same network, random weights"), "{out}");
}

#[test]
fn features_of_one_engine_serve_the_other() {
    let world = World::new();
    world.expect(0, &format!("{TRAIN} run --engine gpu"));
    assert_eq!(engine(&world, "run"), "gpu");
    assert_eq!(world.json(&format!("{TRAIN} run --engine cpu --json"))["photos"]["computed"], 0);
    world.expect(0, "verify run --engine gpu");
}

/// The variables by which the Vulkan loader finds the software driver twice, as two adapters.
#[cfg(target_os = "linux")]
fn twice(world: &World) -> [(&'static str, std::ffi::OsString); 2] {
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let mut files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let of_lavapipe = |file: &std::fs::DirEntry| file.file_name().to_string_lossy().starts_with("lvp");
    let driver = files.find(of_lavapipe).expect("lavapipe: apt-get install mesa-vulkan-drivers").path();
    let second = world.path("second.json");
    std::fs::copy(&driver, &second).unwrap();
    let both = std::env::join_paths([&driver, &second]).unwrap();
    [("VK_ICD_FILENAMES", both.clone()), ("VK_DRIVER_FILES", both)]
}

#[test]
#[cfg(target_os = "linux")]
fn all_adapters_share_the_photos() {
    let world = World::new();
    let twice = twice(&world);
    let run = |line: &str| {
        let output = world.command(line).envs(twice.clone()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let doctor: serde_json::Value = serde_json::from_str(&run("doctor --json")).unwrap();
    assert_eq!(doctor["adapters"].as_array().unwrap().len(), 2, "{doctor}");
    let embed = "embed photos --backbone weights.safetensors --recipe recipe.json --no-store --batch 2 --out";
    run(&format!("{embed} one.npy"));
    run(&format!("{embed} all.npy --adapter All"));
    assert_eq!(world.read("one.txt"), world.read("all.txt"));
    assert!(std::fs::read(world.path("one.npy")).unwrap() == std::fs::read(world.path("all.npy")).unwrap());
    run(&format!("{TRAIN} run --adapter all"));
    let config: serde_json::Value = serde_json::from_str(&world.read("run/config.json")).unwrap();
    assert!(config["adapter"]["name"].as_str().unwrap().ends_with(" and 1 other"), "{config}");
    assert!(run("predict run photos/red/00.png --adapter all").contains("red"));
    // One of them, and where there is no other.
    run(&format!("{embed} second.npy --adapter 1"));
    world.expect(0, &format!("{embed} alone.npy --adapter all"));
}

#[test]
fn without_an_adapter_the_cpu_is_taken() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let world = World::new();
    let trained = alone(&world, &format!("{TRAIN} run"));
    assert_eq!(trained.status.code(), Some(0), "{}", String::from_utf8_lossy(&trained.stderr));
    assert_eq!(engine(&world, "run"), "cpu");
    for line in ["predict run photos/red/00.png", "evaluate run photos --all", "verify run", "-q"] {
        assert_eq!(alone(&world, line).status.code(), Some(0), "{line}");
    }
    let doctor = alone(&world, "doctor --json");
    let findings: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert_eq!((&findings["engine"], &findings["why"]), (&"cpu".into(), &"there is no adapter".into()));
    assert!(findings["cpu"]["matmul_gflops"].as_f64().unwrap() > 0.0 && findings["kernels"].is_null(), "{findings}");
    // Who asks for an adapter gets none else.
    for line in ["predict run photos/red/00.png --engine gpu", "doctor --engine gpu", "doctor --backend vulkan", "tune"]
    {
        let output = alone(&world, line);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{line}: {err}");
        let words = ["no graphics adapter found", "mesa-vulkan-drivers", "--engine cpu needs none"];
        assert!(words.iter().all(|part| err.contains(part)), "{line}: {err}");
    }
}

#[test]
fn an_engine_is_asked_for_by_what_only_it_has() {
    let world = World::new();
    for option in ["--precision f16", "--adapter 0", "--backend vulkan", "--kernels tiled", "--checks"] {
        let (_, err) = world.expect(2, &format!("embed photos --out f.npy --engine cpu {option}"));
        assert!(err.contains("--engine: expected auto or gpu with --adapter"), "{err}");
    }
    let (_, err) = world.expect(2, "tune --engine cpu --architecture resnet18");
    assert!(err.contains("an adapter's kernels"), "{err}");
    world.expect(0, &format!("{TRAIN} run --engine auto --adapter 0"));
    assert_eq!(engine(&world, "run"), "gpu");
    let asked = world.command("predict run photos/red/00.png").env("REHEAD_ENGINE", "abacus").output().unwrap();
    assert_eq!(asked.status.code(), Some(2));
    assert!(String::from_utf8(asked.stderr).unwrap().contains("abacus"));
    let doctor = world.json("doctor --json --engine cpu");
    assert_eq!((&doctor["engine"], &doctor["why"]), (&"cpu".into(), &"as asked for".into()));
}

#[test]
fn the_doctor_measures_both_engines() {
    let world = World::new();
    let line = "doctor --bench --weights weights.safetensors --batch 2 --json -q --engine auto";
    let found = world.json(line);
    assert!(found["bench"]["images_per_second"].as_f64().unwrap() > 0.0);
    let cpu = &found["cpu_bench"];
    assert_eq!(cpu["batch"], 2);
    let [pass, images] = ["pass_ms", "images_per_second"].map(|figure| cpu[figure].as_f64().unwrap());
    assert!(pass > 0.0 && (images * pass - 2e3).abs() < 1e-6, "{cpu}");
}
