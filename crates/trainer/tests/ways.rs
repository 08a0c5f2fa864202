//! The ways into the program, and what it says on them: to people who come with a folder of photos, and to machines.

mod world;

use world::World;

#[test]
fn a_folder_of_photos_is_all_it_takes() {
    let world = World::new();
    // Without the default backbone it is said how to get it.
    let (_, err) = world.expect(3, "photos");
    let wanted =
        ["resnet18: not in the cache", "timm/resnet18.tv_in1k/tree/main on another machine", "give that folder"];
    assert!(wanted.iter().all(|part| err.contains(part)), "{err}");
    assert!(!world.path("run").exists());
    world.keep_default(1000);
    let (out, _) = world.expect(0, "photos --optimizer adamw --epochs 2");
    let report = std::path::Path::new("run").join("report.html");
    assert!(out.contains(&format!("Report: {}\n", report.display())), "{out}");
    let next = format!("Next:   {} predict run PHOTO\n", env!("CARGO_BIN_EXE_trainer"));
    assert!(out.ends_with(&next), "{out}");
    // Nothing is written over, and machines are told where it went.
    let (model, train) = (
        std::fs::read(world.path("run/model.safetensors")).unwrap(),
        "train photos --optimizer adamw --epochs 2 --seed 1",
    );
    assert_eq!(world.json(&format!("{train} --json"))["run"], "run-2");
    assert_eq!(std::fs::read(world.path("run/model.safetensors")).unwrap(), model);
    assert_eq!(world.json(&format!("{train} --json --force"))["run"], "run");
    assert_ne!(std::fs::read(world.path("run/model.safetensors")).unwrap(), model);
    // A training that fails leaves no folder to count.
    world.expect(2, "train photos --optimizer adamw --epochs 2 --val 0.15 --test 0.9");
    world.expect(3, "train photos --optimizer adamw --epochs 2 --recipe run/metrics.json");
    assert!(!world.path("run-3").exists());
    std::fs::create_dir(world.path("photos/here")).unwrap();
    let inside = world::trainer()
        .args(["train", "..", "--backbone", "../../weights.safetensors"])
        .current_dir(world.path("photos/here"))
        .output()
        .unwrap();
    let err = String::from_utf8(inside.stderr).unwrap();
    assert!(inside.status.code() == Some(2) && err.contains("--out: expected a folder for the run"), "{err}");
}

#[test]
fn weights_can_be_asked_what_they_know() {
    let world = World::new();
    world.keep_default(1000);
    let (out, err) = world.expect(0, "predict resnet18 photos/red/00.png --top 1");
    assert!(err.contains("names no classes; they have a thousand outputs, so ImageNet's names are assumed"), "{err}");
    let names = include_str!("../assets/imagenet.txt");
    let label = out.lines().nth(1).unwrap().trim_end_matches(" %").rsplit_once("  ").unwrap().0.trim();
    assert!(names.lines().any(|name| name == label), "{out}");
    // A folder of weights, and photos prepared otherwise.
    world.keep_default(3);
    let folder = "hub/models--timm--resnet18.tv_in1k/snapshots/0123456789abcdef0123456789abcdef01234567";
    let (out, err) = world.expect(0, &format!("predict {folder} photos/red/00.png"));
    assert!(err.contains("classes are numbers here") && out.lines().count() == 4, "{out}{err}");
    world.draw("clear.png", [200, 40, 90], 3);
    let clear = image::open(world.path("clear.png")).unwrap().to_rgba8();
    let clear = image::RgbaImage::from_fn(clear.width(), clear.height(), |x, y| {
        let [r, g, b, _] = clear.get_pixel(x, y).0;
        image::Rgba([r, g, b, 20])
    });
    clear.save(world.path("clear.png")).unwrap();
    let ask = |more: &str| world.json(&format!("predict resnet18 clear.png --json {more}"))["photos"].clone();
    let plain = ask("");
    assert_eq!(ask("--background drop"), plain);
    assert_ne!(ask("--background black"), plain);
    assert_ne!(ask("--recipe recipe.json"), plain);
    // A run has its own way.
    world.train("--optimizer adamw --epochs 2");
    let (_, err) = world.expect(2, "predict run clear.png --background black");
    assert!(err.contains("--background: expected weights, since a run prepares photos"), "{err}");
    let (_, err) = world.expect(3, "predict rnu clear.png");
    assert!(err.contains("rnu: there is no such file or folder"), "{err}");
}

#[test]
fn machines_are_told_of_failures_on_the_stream_that_they_read() {
    let world = World::new();
    for (code, kind, line) in [
        (2, "usage", "train --json"),
        (2, "usage", "train photos --backbone weights.safetensors --learning-rate 0 --json"),
        (3, "input", "predict nowhere photos/red/00.png --json"),
        (3, "input", "predict resnet18 nowhere.jpg --json"),
        (4, "device", "doctor --adapter no-such-adapter --json"),
        (5, "io", "train photos --backbone nothing.safetensors --json"),
    ] {
        let (out, err) = world.expect(code, line);
        let error =
            serde_json::from_str::<serde_json::Value>(&out).unwrap_or_else(|_| panic!("{line}: {out}"))["error"]
                .clone();
        assert_eq!((&error["kind"], &error["exit_code"]), (&kind.into(), &code.into()), "{line}");
        let message = error["message"].as_str().unwrap();
        assert!(!message.is_empty() && err.contains(message.lines().next().unwrap()), "{line}: {out}{err}");
    }
    world.train("--optimizer adamw --epochs 2");
    let line = "train photos --backbone weights.safetensors --recipe recipe.json --out run --json";
    let (out, _) = world.expect(2, line);
    let error: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(error["error"]["remedy"], "give another name, or --force to replace it");
    // One object, whatever is left out.
    std::fs::write(world.path("broken.png"), "no photo").unwrap();
    let (out, _) = world.expect(3, "predict run broken.png --json");
    let error: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains("broken.png: not a photo"), "{out}");
    assert_eq!(world.run("doctor --adapter no-such-adapter").stdout, b"");
}

#[test]
fn photos_of_two_classes_are_named_and_leave_each_something_to_learn_from() {
    let world = World::new();
    for (class, colour) in [("a", [200, 10, 10]), ("b", [10, 10, 200])] {
        (0..2).for_each(|index| world.draw(&format!("copied/{class}/{index}.png"), colour, index));
        // The third class has a copy of a photo of each.
        std::fs::create_dir_all(world.path("copied/c")).unwrap();
        std::fs::copy(world.path(&format!("copied/{class}/0.png")), world.path(&format!("copied/c/{class}.png")))
            .unwrap();
    }
    for seed in 0..4 {
        // A copy plays one part, and the third class keeps something to learn from whatever the others say.
        let line = format!(
            "train copied --backbone weights.safetensors --recipe recipe.json --optimizer adamw --epochs 2 --out run --force --seed {seed}"
        );
        let (_, err) = world.expect(0, &line);
        assert!(err.contains("2 photos with copies, which stay in one part: a/0.png, b/0.png"), "{err}");
        assert!(err.contains("2 photos in several classes: no classifier can get all of them right"), "{err}");
        let predictions = world.read("run/predictions.csv");
        assert!(predictions.lines().any(|line| line.starts_with("c/") && line.contains(",train,")), "{predictions}");
    }
}

#[test]
fn what_could_not_be_spared_was_not_refused_by_the_user() {
    let world = World::new();
    for (class, colour) in [("a", [200, 10, 10]), ("b", [10, 10, 200])] {
        world.draw(&format!("single/{class}/1.png"), colour, 1);
    }
    let train = "train single --backbone weights.safetensors --recipe recipe.json --force --optimizer adamw --epochs 2";
    let (out, _) = world.expect(0, train);
    assert!(out.contains("No photo could be spared for an evaluation: that takes a class of two or more"), "{out}");
    let (out, _) = world.expect(0, &format!("{train} --test 0 --val 0"));
    assert!(out.contains("No photos were set aside for an evaluation: --test and --val"), "{out}");
}

#[test]
fn a_loss_that_still_falls_is_told_with_what_to_raise() {
    let world = World::new();
    let (out, err) = world.train("--optimizer adamw --epochs 12 --warmup 0 --learning-rate 0.001");
    assert!(out.contains("The loss was still falling in the last epoch: try --epochs 24"), "{out}");
    assert!(err.contains("12 epochs in ") && err.contains("the best, number 12: loss "), "{err}");
    // The figures are those of the epoch whose head is kept.
    let (out, err) =
        world.train("--optimizer adamw --epochs 60 --warmup 0 --learning-rate 0.05 --patience 3 --force --seed 2");
    let history = &serde_json::from_str::<serde_json::Value>(&world.read("run/metrics.json")).unwrap()["history"];
    let best = history["best"].as_u64().unwrap() as usize;
    let loss = history["epochs"][best - 1]["validation_loss"].as_f64().unwrap();
    assert!(err.contains(&format!("the best, number {}: ", best)), "{err}");
    assert!(err.contains(&format!(", validation {loss:.3} (")), "{err}");
    assert!(!out.contains("still falling"), "{out}");
}
