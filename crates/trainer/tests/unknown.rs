//! "None of these" and sets of classes, from training to predictions and evaluations.

mod world;

use world::{World, files};

/// Draws photos that are like none of blue, green and red.
fn draw_others(world: &World) {
    for index in 0..6 {
        world.draw(&format!("others/{index}.png"), [250, 250, 250], index);
        world.draw(&format!("others/{}.png", index + 6), [10, 10, 10], index);
    }
}

#[test]
fn photos_like_none_of_the_classes_are_told() {
    let world = World::new();
    world.train("");
    draw_others(&world);
    let said = world.json("predict run photos others --json");
    let photos = said["photos"].as_array().unwrap();
    let is_other = |photo: &serde_json::Value| photo["path"].as_str().unwrap().contains("others");
    let told = |known: bool, other: bool| {
        photos.iter().filter(|photo| photo["known"] == known && is_other(photo) == other).count()
    };
    assert_eq!(told(false, true), 12, "{said:#}");
    assert!(told(true, false) >= 33, "{said:#}");
    assert_eq!(said["unknown"], 12 + told(false, false));
    let score = &photos[0]["score"];
    assert!(score["value"].is_f64() && score["threshold"].is_f64() && score["name"].is_string(), "{score}");
    assert_eq!(photos[0]["set"], serde_json::Value::Null);
    let counts: u64 = said["counts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(counts + said["unknown"].as_u64().unwrap(), 48);

    let (out, _) = world.expect(0, "predict run others/0.png photos/red/00.png");
    let (first, second) = out.split_once("photos/red/00.png").unwrap();
    assert!(first.contains("\n  like none of these (") && first.contains(", below "), "{out}");
    assert!(!second.contains("none of these"), "{out}");

    let (out, _) = world.expect(0, "predict run others --out said.csv --sort-into sorted");
    assert_eq!(out, "\n12 photos: 12 unknown\n");
    assert_eq!(files(&world.path("sorted")), ["unknown"]);
    let table = world.read("said.csv");
    assert!(table.lines().next().unwrap().ends_with(",probability5,known"), "{table}");
    assert!(table.lines().skip(1).all(|line| line.ends_with(",false")), "{table}");
    // A table without the column is one of ours too.
    let old: Vec<&str> = table.lines().map(|line| line.rsplit_once(',').unwrap().0).collect();
    std::fs::write(world.path("said.csv"), old.join("\n")).unwrap();
    world.expect(0, "predict run others --out said.csv --force --coverage 0.9");
    assert!(world.read("said.csv").lines().next().unwrap().ends_with(",known,set"));
}

#[test]
fn sets_hold_the_true_class() {
    let world = World::new();
    world.train("");
    let line = world.json("predict run photos/red/00.png --coverage 0.9 --json");
    assert_eq!(line["photos"][0]["set"], serde_json::json!(["red"]), "{line:#}");
    let (out, _) = world.expect(0, "predict run photos/red/00.png --coverage 0.9");
    assert!(out.contains("\n  one of: red\n"), "{out}");
    let judged = world.json("evaluate run photos --all --coverage 0.9 --json");
    let sets = &judged["sets"];
    assert!(sets["coverage"].as_f64().unwrap() >= 0.9 && sets["mean_size"].as_f64().unwrap() <= 1.5, "{sets}");
    // 36 photos don't tell the hundredth that isn't covered.
    let (_, err) = world.expect(3, "predict run photos --coverage 0.99");
    assert!(err.contains("sets of 99 % coverage: 36 photos are too few, 99 are needed"), "{err}");
    world.expect(2, "predict run photos --coverage 1");
}

#[test]
fn evaluation_tells_how_well_unknown_photos_are_told() {
    let world = World::new();
    world.train("");
    draw_others(&world);
    let judged = world.json("evaluate run photos --all --unknown others --json");
    assert_eq!((&judged["unknown"]["photos"], &judged["unknown"]["rejected"]), (&12.into(), &12.into()), "{judged:#}");
    assert_eq!(judged["unknown"]["roc_area"], 1.0);
    assert!(judged["rejected_as_unknown"].as_u64().unwrap() <= 3 && judged["sets"].is_null());
    // The known ones as unknown ones aren't told from themselves.
    let same = world.json("evaluate run photos --all --unknown photos --json");
    assert_eq!(same["unknown"]["roc_area"], 0.5);
    assert_eq!(same["unknown"]["rejected"], same["rejected_as_unknown"]);
    let (out, _) = world.expect(0, "evaluate run photos --all --unknown others --coverage 0.9");
    for part in ["of the unknown photos   12 of 12 (100.0 %)", "area under the ROC      1.000", "(asked for: 90 %)"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (_, err) = world.expect(3, "evaluate run photos --all --unknown recipe.json");
    assert!(err.contains("recipe.json"), "{err}");
}

#[test]
fn what_knows_no_photos_says_that_it_cannot_tell() {
    let world = World::new();
    // Of a head that comes with its weights nothing is known.
    world.keep_default(1000);
    let said = world.json("predict resnet18 photos/red/00.png --json");
    assert!(said["photos"][0]["known"].is_null() && said["unknown"].is_null(), "{said:#}");
    let (_, err) = world.expect(2, "predict resnet18 photos/red/00.png --coverage 0.9");
    assert!(err.contains("--coverage: expected a run that was trained with cross-validation"), "{err}");
    // Nor of a run without cross-validation, or of one of before.
    world.train("--optimizer adamw --epochs 2 --warmup 0");
    assert!(!world.path("run/known.safetensors").exists());
    let (out, err) = world.expect(0, "predict run photos/red/00.png --json");
    assert!(
        out.contains("\"known\": null") && err.contains("run: can't tell whether photos are like none"),
        "{out}{err}"
    );
    let (_, err) = world.expect(2, "evaluate run photos --all --coverage 0.9");
    assert!(err.contains("known.safetensors"), "{err}");
    let judged = world.json("evaluate run photos --all --unknown photos --json");
    assert!(judged["rejected_as_unknown"].is_null() && judged["unknown"]["rejected"].is_null(), "{judged:#}");
}

#[test]
fn a_damaged_file_is_named() {
    let world = World::new();
    world.train("");
    let mut bytes = std::fs::read(world.path("run/known.safetensors")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(world.path("run/known.safetensors"), bytes).unwrap();
    let (_, err) = world.expect(3, "predict run photos");
    assert!(
        err.contains("run: not a usable run: known.safetensors isn't the one that config.json was written with"),
        "{err}"
    );
}
