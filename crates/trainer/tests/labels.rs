//! Several labels a photo, from the table to the prediction: colours that stand side by side, each told by itself.

mod world;

use image::{Rgb, RgbImage};
use serde_json::Value;
use world::World;

const COLOURS: [(&str, [u8; 3]); 3] = [("blue", [40, 60, 220]), ("green", [40, 200, 60]), ("red", [220, 50, 40])];

/// Draws a photo in three stripes, a colour each or grey, and names those that are there.
fn stripes(world: &World, name: &str, which: u32, index: u32) -> Vec<&'static str> {
    let path = world.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let picture = RgbImage::from_fn(48, 40 + index % 7, |x, y| {
        let stripe = x / 16;
        let colour = if which >> stripe & 1 == 1 { COLOURS[stripe as usize].1 } else { [128; 3] };
        let shade = ((x * (index + 3) + y * 5) % 40) as u8;
        Rgb(colour.map(|value| value.saturating_sub(shade)))
    });
    picture.save(path).unwrap();
    (0..3).filter(|stripe| which >> stripe & 1 == 1).map(|stripe| COLOURS[stripe].0).collect()
}

/// Draws photos of all sets of colours, and a table of them: JSON Lines, or CSV whose empty set is a `;`.
fn table(world: &World, folder: &str, from: u32, json: bool) -> String {
    let mut lines = if json { String::new() } else { "path,labels\n".to_owned() };
    for index in from..from + 64 {
        let name = format!("{folder}/{index:03}.png");
        let labels = stripes(world, &name, index % 8, index);
        lines += &match json {
            true => format!("{}\n", serde_json::json!({ "path": name, "labels": labels })),
            false if labels.is_empty() => format!("{name},;\n"),
            false => format!("{name},{}\n", labels.join(";")),
        };
    }
    let table = format!("{folder}.{}", if json { "jsonl" } else { "csv" });
    std::fs::write(world.path(&table), lines).unwrap();
    table
}

fn metrics(world: &World, run: &str) -> Value {
    serde_json::from_str(&world.read(&format!("{run}/metrics.json"))).unwrap()
}

const BACKBONE: &str = "--backbone weights.safetensors --recipe recipe.json --duplicates apart";

#[test]
fn photos_of_several_labels_are_learnt_judged_predicted_and_verified() {
    let world = World::new();
    let csv = table(&world, "known", 0, false);
    let (out, err) = world.expect(0, &format!("train {csv} {BACKBONE} --out run"));
    for words in ["mean AP", "micro F1", "exact match", "Hamming loss", "threshold", "always no label"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(!out.contains("taken for") && !out.contains("top-5"), "{out}");
    assert!(!err.contains("none of the classes"), "{err}");
    let found = metrics(&world, "run");
    let judged = &found["cross_validated"];
    let number = |of: &Value| of.as_f64().unwrap_or_else(|| panic!("{judged}"));
    // Colours in their places are easily told, and none is there in half of the photos.
    assert!(number(&judged["average_precision"]) > 0.9 && number(&judged["of_sets"]["micro_f1"]) > 0.8, "{judged}");
    assert!(number(&judged["of_sets"]["prior_average_precision"]) == 0.5, "{judged}");
    assert_eq!((judged["count"].as_u64(), judged["top5"].is_null()), (Some(64), true));
    assert!(number(&judged["top1"]) > number(&judged["baseline"]["top1"]), "{judged}");
    for class in judged["classes"].as_array().unwrap() {
        assert!(class["support"] == 32 && class["threshold"].as_f64().is_some_and(|least| least > 0.0), "{class}");
    }
    // What is said of photos by heads that didn't learn from them is what is counted.
    let predictions = world.read("run/predictions.csv");
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_reader(predictions.as_bytes()).records().map(Result::unwrap).collect();
    let exact = rows.iter().filter(|row| row[2] == row[3]).count();
    assert_eq!(exact as f64 / 64.0, number(&judged["top1"]));
    assert!(rows.iter().all(|row| &row[1] == "cross-validation"));
    assert!(rows.iter().any(|row| &row[2] == "blue | green | red") && rows.iter().any(|row| row[2].is_empty()));
    let page = world.read("run/report.html");
    assert!(page.contains("<th>threshold") && !page.contains("Confusion"));
    assert!(!world.path("run/known.safetensors").exists());

    // The same from JSON, to the byte, but for the names.
    let (lines, _) = (table(&world, "known", 0, true), ());
    world.expect(0, &format!("train {lines} {BACKBONE} --out run2"));
    let model = |run: &str| std::fs::read(world.path(&format!("{run}/model.safetensors"))).unwrap();
    assert!(model("run") == model("run2"));
    assert_eq!(world.read("run/parts.json"), world.read("run2/parts.json"));

    let (out, _) = world.expect(0, "verify run");
    assert!(out.contains("the head is the optimum for 64 photos"), "{out}");
    let parts = world.read("run/parts.json");
    assert!(parts.starts_with("{\"version\":3,"), "{parts}");

    // Photos that it hasn't seen.
    let others = table(&world, "others", 100, false);
    let evaluated = world.json(&format!("evaluate run {others} --json --predictions said.csv"));
    assert!(number(&evaluated["evaluation"]["average_precision"]) > 0.9, "{evaluated}");
    assert!(world.read("said.csv").starts_with("path,part,label,predicted,"), "no column that says nothing");
    let said = world.json("predict run others/103.png others/104.png --json");
    let labels = |photo: usize| -> Vec<&str> {
        said["photos"][photo]["labels"].as_array().unwrap().iter().map(|one| one["label"].as_str().unwrap()).collect()
    };
    let mut first = labels(0);
    first.sort_unstable();
    assert_eq!((first, labels(1)), (vec!["blue", "green", "red"], vec![]), "{said}");
    assert_eq!((&said["photos"][1]["predictions"].as_array().unwrap().len(), &said["without_label"]), (&3, &1.into()));
    let (out, err) = world.expect(0, "predict run others/103.png others/104.png --out out.csv");
    assert!(out.contains("2 photos: 1 blue, 1 green, 1 red, 1 with no label"), "{out}");
    assert!(err.is_empty() || !err.contains("can't tell"), "{err}");
    let (out, _) = world.expect(0, "predict run others/104.png");
    assert_eq!(out, "others/104.png\n  none of the labels\n");

    // Two runs, on what both judged; and one with itself.
    let (out, _) = world.expect(0, "compare run run2");
    assert!(out.starts_with("64 photos that both were tested on\n") && out.contains("p = 1.00"), "{out}");
    let (out, _) = world.expect(0, "train --again run --out run3");
    assert!(out.contains("Since the run before: nothing changed"), "{out}");
    assert!(model("run3") == model("run"));
}

#[test]
fn what_takes_one_label_a_photo_is_refused_by_name() {
    let world = World::new();
    let csv = table(&world, "known", 0, false);
    for (more, name) in [
        ("--optimizer adamw", "optimizer"),
        ("--head prototype", "head"),
        ("--class-weights balanced", "class weights"),
        ("--label-smoothing 0.1", "label smoothing"),
    ] {
        let (_, err) = world.expect(2, &format!("train {csv} {BACKBONE} --out run {more}"));
        assert!(err.contains(name) && err.contains("several labels"), "{more}: {err}");
        assert!(!world.path("run").exists(), "{more}");
    }
    world.expect(0, &format!("train {csv} {BACKBONE} --out run --test 0.25"));
    let judged = metrics(&world, "run")["test"].clone();
    assert!(judged["of_sets"].is_object() && judged["count"].as_u64().is_some_and(|count| (12..=20).contains(&count)));
    for (line, name) in [
        ("predict run known --coverage 0.9", "--coverage"),
        ("predict run known --sort-into sorted", "--sort-into"),
        ("predict run known --min-probability 0.5", "--min-probability"),
        ("evaluate run known.csv --coverage 0.9", "--coverage"),
        ("evaluate run known.csv --unknown photos", "--unknown"),
    ] {
        let (_, err) = world.expect(2, line);
        assert!(err.contains(name), "{line}: {err}");
    }
    // A head of one class a photo takes no photo of several.
    world.train("--force");
    let (_, err) = world.expect(3, &format!("evaluate run {csv}"));
    assert!(!err.is_empty());
}
