//! A run that grows with its photos: trained again, by hand and whenever they change.

mod world;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use world::World;

/// Reads the part of each photo off a run.
fn parts(world: &World, run: &str) -> BTreeMap<String, String> {
    let json: serde_json::Value = serde_json::from_str(&world.read(&format!("{run}/parts.json"))).unwrap();
    let of = |part: &str| -> Vec<String> {
        json[part].as_array().unwrap().iter().map(|digest| digest.as_str().unwrap().to_owned()).collect()
    };
    ["train", "validation", "test"]
        .iter()
        .flat_map(|part| of(part).into_iter().map(|digest| (digest, (*part).to_owned())))
        .collect()
}

#[test]
fn a_run_is_trained_again_on_what_changed() {
    let world = World::new();
    world.train("--optimizer adamw --epochs 3 --seed 5 --test 0.3");
    let before = parts(&world, "run");
    // Nothing changed: the same head, to the byte.
    let model = std::fs::read(world.path("run/model.safetensors")).unwrap();
    let (out, _) = world.expect(0, "train --again run");
    assert!(out.contains("Since the run before: nothing changed"), "{out}");
    assert!(out.contains(" right before, ") && out.contains("(all were known)"), "{out}");
    assert!(std::fs::read(world.path("run/model.safetensors")).unwrap() == model);

    for index in 0..4 {
        world.draw(&format!("photos/red/new{index}.png"), [220, 20, 10 * index as u8], 40 + index);
    }
    std::fs::remove_file(world.path("photos/green/03.png")).unwrap();
    std::fs::rename(world.path("photos/green/04.png"), world.path("photos/red/moved.png")).unwrap();
    std::fs::rename(world.path("photos/blue"), world.path("photos/azure")).unwrap();
    let json = world.json("train --again run --out run2 --json");
    let change = &json["change"];
    assert_eq!((&change["added"], &change["removed"], &change["moved"]), (&4.into(), &1.into(), &1.into()));
    assert_eq!(change["classes_renamed"], serde_json::json!([["blue", "azure"]]));
    assert_eq!(
        (&change["classes_added"], &change["classes_removed"]),
        (&serde_json::json!([]), &serde_json::json!([]))
    );
    assert_eq!((&json["photos"]["computed"], &json["run"]), (&4.into(), &"run2".into()));
    assert!(change["compared"]["photos"].as_u64().unwrap() >= 9, "{change}");
    // Settings and parts are the run's.
    let config: serde_json::Value = serde_json::from_str(&world.read("run2/config.json")).unwrap();
    assert_eq!(
        (&config["train"]["epochs"], &config["train"]["seed"], &config["split"]["test"]),
        (&3.into(), &5.into(), &0.3.into())
    );
    let after = parts(&world, "run2");
    let moved: Vec<_> =
        after.iter().filter(|(photo, part)| before.get(*photo).is_some_and(|old| old != *part)).collect();
    assert_eq!((moved, after.len(), before.len()), (Vec::new(), 39, 36));

    // A class of its own is new, and what can't be known is said.
    world.draw("photos/owl/1.png", [1, 2, 3], 3);
    world.draw("photos/owl/2.png", [4, 2, 3], 5);
    let (out, _) = world.expect(0, "train --again run2");
    assert!(out.contains("1 class new (\"owl\")"), "{out}");
    let (_, err) = world.expect(2, "train --again run2 --epochs 5");
    assert!(err.contains("--again") && err.contains("--epochs"), "{err}");
    world.expect(2, "train --again run2 --patience 3");
    let (_, err) = world.expect(2, "train --again run2 --out run");
    assert!(err.contains("--force"), "{err}");
    world.expect(3, "train --again photos");
    world.expect(2, "train");
    // Where the weights have gone, the run has its own.
    std::fs::remove_file(world.path("weights.safetensors")).unwrap();
    let json = world.json("train --again run2 --json");
    assert_eq!(json["photos"]["computed"], 0);
}

#[cfg(unix)]
#[test]
fn a_folder_is_watched() {
    let world = World::new();
    let mut child = world::trainer()
        .args("watch photos --out run --backbone weights.safetensors --recipe recipe.json --optimizer adamw --epochs 2 --json".split(' '))
        .current_dir(world.path(""))
        .env("REHEAD_CACHE", world.path("cache"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = Arc::new(Mutex::new(String::new()));
    let (stderr, heard) = (BufReader::new(child.stderr.take().unwrap()), told.clone());
    std::thread::spawn(move || stderr.lines().for_each(|line| *heard.lock().unwrap() += &line.unwrap()));
    let mut next = || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = next();
    assert_eq!((&first["run"], first.get("change")), (&"run".into(), None));
    let start = Instant::now();
    world.draw("photos/red/new.png", [220, 20, 10], 41);
    let second = next();
    assert_eq!((&second["change"]["added"], &second["photos"]["computed"]), (&1.into(), &1.into()));
    // A second on a machine that has nothing else to do.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    println!("trained {:.2?} after the change", start.elapsed());
    // What can't be trained on leaves the run as it was, and the next change counts.
    std::fs::rename(world.path("photos/green"), world.path("green")).unwrap();
    std::fs::rename(world.path("photos/red"), world.path("red")).unwrap();
    let refused = || told.lock().unwrap().contains("a single class");
    while !refused() {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", told.lock().unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(parts(&world, "run").len(), 37);
    std::fs::rename(world.path("green"), world.path("photos/green")).unwrap();
    let third = next();
    assert_eq!(third["change"]["classes_removed"], serde_json::json!(["red"]));
    let ended = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(ended.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
