//! Several backbones on the same photos: what is said of each, and which is kept.

mod world;

use resnet::Architecture;
use serde_json::Value;
use trainer::head::metrics::Paired;
use trainer::random_weights;
use world::World;

/// Adds weights of a wider network, and of a narrower one.
fn world() -> World {
    let world = World::new();
    for (name, widths) in [("wide", [16, 16, 32, 64]), ("thin", [2, 2, 2, 2])] {
        let weights = random_weights(&Architecture::basic([1; 4], widths, None), 5);
        std::fs::write(world.path(&format!("{name}.safetensors")), weights).unwrap();
    }
    world
}

const NAMES: [&str; 3] = ["thin.safetensors", "weights.safetensors", "wide.safetensors"];
/// Near-duplicates are found by the first backbone's features where there are several, and by its own where there is one.
const APART: &str = "train photos --recipe recipe.json --duplicates apart";

fn numbers(of: &Value) -> Vec<f64> {
    of.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Reads the loss of each photo that was learnt from off a run's predictions: out of fold, since it is by cross-validation.
fn losses(world: &World, run: &str) -> Vec<f64> {
    let text = world.read(&format!("{run}/predictions.csv"));
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let column = |name: &str| head.iter().position(|other| *other == name).unwrap_or_else(|| panic!("{head:?}"));
    let (place, part) = (column("label_probability"), column("part"));
    let lines = lines.filter(|cells| cells[part] == "train");
    lines.map(|cells| -cells[place].parse::<f64>().unwrap().ln()).collect()
}

#[test]
fn each_backbone_is_judged_as_by_itself_and_the_best_is_kept() {
    let world = world();
    let line = format!("{APART} --backbone {},{} --backbone {}", NAMES[0], NAMES[1], NAMES[2]);
    let (out, err) = world.expect(0, &format!("{line} --out run"));
    let metrics: Value = serde_json::from_str(&world.read("run/metrics.json")).unwrap();
    let tried = metrics["backbones"]["tried"].as_array().unwrap();
    let kept = metrics["backbones"]["kept"].as_u64().unwrap() as usize;
    let of = |field: &str| -> Vec<f64> { tried.iter().map(|each| each[field].as_f64().unwrap()).collect() };
    let out_of_fold = of("out_of_fold");
    assert!((0..3).all(|other| out_of_fold[kept] <= out_of_fold[other]), "{out_of_fold:?}");
    assert!(out_of_fold[0] > out_of_fold[kept], "two features tell less: {out_of_fold:?}");
    assert_eq!(of("width"), [2.0, 32.0, 64.0]);
    assert!(of("milliseconds").iter().all(|milliseconds| *milliseconds > 0.0));
    assert!(of("flops").is_sorted() && of("bytes").is_sorted());

    // By itself each says the same.
    for (place, name) in NAMES.iter().enumerate() {
        let single = world.json(&format!("{APART} --backbone {name} --out single{place} --json"));
        let judged = &single["cross_validated"];
        // One deal of the folds judges, and all three choose.
        assert!((judged["log_loss"].as_f64().unwrap() / out_of_fold[place] - 1.0).abs() < 0.5);
        assert_eq!((&judged["top1"], &judged["log_loss"]), (&tried[place]["top1"], &tried[place]["log_loss"]));
        assert_eq!(numbers(&judged["top1_interval"]), numbers(&tried[place]["top1_interval"]));
        assert!(single["backbones"].is_null() && single["photos"]["computed"] == 0);
    }
    let model = |run: &str| std::fs::read(world.path(&format!("{run}/model.safetensors"))).unwrap();
    assert!(model("run") == model(&format!("single{kept}")));
    for name in NAMES {
        assert!(out.contains(name) && world.read("run/report.html").contains(name));
        assert!(err.lines().any(|line| line.starts_with("36 photos in") && line.ends_with(name)), "{err}");
    }
    assert!(out.contains(&format!("\n> {}", NAMES[kept])) && out.contains("flatters it a little"), "{out}");

    // Known, they cost no pass, and the choice is the same.
    let again = world.json(&format!("{line} --out run --force --json"));
    assert_eq!(again["backbones"]["kept"], kept);
    assert!(again["backbones"]["tried"].as_array().unwrap().iter().all(|each| each["milliseconds"].is_null()));
    // The run is the kept one's, and knows it when it is trained again.
    let config: Value = serde_json::from_str(&world.read("run/config.json")).unwrap();
    assert!(config["weights"]["path"].as_str().unwrap().ends_with(NAMES[kept]));
    let again = world.json("train --again run --json");
    assert!(again["backbones"].is_null() && again["photos"]["computed"] == 0);
}

#[test]
fn a_comparison_goes_on_where_it_was_and_a_test_part_has_no_say() {
    let world = world();
    world.expect(0, &format!("embed photos --backbone {} --recipe recipe.json --out f.npy", NAMES[2]));
    let line = format!("{APART} --test 0.3 --backbone {} --within-error --json", NAMES.join(","));
    let json = world.json(&format!("{line} --out run"));
    let tried = json["backbones"]["tried"].as_array().unwrap();
    let known: Vec<bool> = tried.iter().map(|each| each["milliseconds"].is_null()).collect();
    assert_eq!(known, [false, false, true]);
    // The cheapest within a standard error of the lowest; they were given from the cheapest on.
    let behind = |each: &Value, field: &str| each["behind"][field].as_f64().unwrap();
    let expected = tried.iter().position(|each| behind(each, "difference") <= behind(each, "error")).unwrap();
    assert_eq!(json["backbones"]["kept"], expected);
    assert_eq!(tried[expected]["top1"], json["test"]["top1"]);
    assert_ne!(tried[expected]["log_loss"], tried[expected]["out_of_fold"]);
    // One deal of the folds chooses: the differences can be done by hand, photo by photo, of probabilities with six digits.
    let alone: Vec<Vec<f64>> = (NAMES.iter().enumerate())
        .map(|(place, name)| {
            world.expect(0, &format!("{APART} --test 0.3 --backbone {name} --out single{place}"));
            losses(&world, &format!("single{place}"))
        })
        .collect();
    let mean = |losses: &Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
    let best = alone.iter().min_by(|one, other| mean(one).total_cmp(&mean(other))).unwrap();
    for (losses, each) in alone.iter().zip(tried) {
        let by_hand = Paired::of(losses, best);
        assert!((mean(losses) - each["out_of_fold"].as_f64().unwrap()).abs() < 1e-3);
        assert!((by_hand.difference - behind(each, "difference")).abs() < 1e-3, "{by_hand:?} {each}");
        assert!((by_hand.error - behind(each, "error")).abs() < 1e-3, "{by_hand:?} {each}");
        assert!(losses == best || by_hand.error > 0.0);
    }
    let (out, _) = world.expect(0, &format!("{} --out run --force", line.replace(" --json", "")));
    assert!(out.contains("the photos to test had no say in it") && out.contains("from the store"), "{out}");
}

#[test]
fn what_cannot_be_compared_is_refused_before_any_pass() {
    let world = world();
    let refused = |code: i32, more: &str, said: &[&str]| {
        let (_, err) = world.expect(code, &format!("{APART} --out run {more}"));
        assert!(said.iter().all(|words| err.contains(words)) && !err.contains("photos in"), "{err}");
        assert!(!world.path("run/model.safetensors").exists());
    };
    std::fs::copy(world.path("wide.safetensors"), world.path("copy.safetensors")).unwrap();
    refused(2, "--backbone wide.safetensors,wide.safetensors", &["wide.safetensors twice"]);
    refused(2, "--backbone wide.safetensors,copy.safetensors", &["same weights", "wide.safetensors, copy.safetensors"]);
    refused(5, "--backbone wide.safetensors,gone.safetensors", &["gone.safetensors"]);
    refused(2, "--backbone wide.safetensors,thin.safetensors --optimizer adamw", &["--optimizer lbfgs"]);
    refused(2, "--backbone wide.safetensors --within-error", &["--within-error", "several"]);
    // Two photos a class leave nothing to choose by.
    for class in ["blue", "green", "red"] {
        for index in 1..12 {
            std::fs::remove_file(world.path(&format!("photos/{class}/{index:02}.png"))).unwrap();
        }
    }
    std::fs::remove_dir_all(world.path("photos/red")).unwrap();
    let (_, err) = world.expect(2, &format!("{APART} --out run --backbone wide.safetensors,thin.safetensors"));
    assert!(err.contains("one alone") && err.contains("wide.safetensors, thin.safetensors"), "{err}");
    let (_, err) = world.expect(2, "train --features f.npy --labels l.csv --within-error");
    assert!(err.contains("--within-error"), "{err}");
}
