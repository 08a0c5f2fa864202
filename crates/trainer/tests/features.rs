//! Features in the place of photos: a head trained on rows that any program computed, and asked about others.

mod world;

use world::World;

const WAY: &str = "--backbone weights.safetensors --recipe recipe.json";

/// Reads the head of a run: what its logits were divided by, weight and bias.
fn head(world: &World, run: &str) -> (f64, Vec<f32>) {
    let metrics: serde_json::Value = serde_json::from_str(&world.read(&format!("{run}/metrics.json"))).unwrap();
    let bytes = std::fs::read(world.path(&format!("{run}/model.safetensors"))).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let values = |name: &str| -> Vec<f32> {
        file.tensor(name).unwrap().data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    let temperature = metrics["temperature"]["value"].as_f64().unwrap_or(1.0);
    (temperature, [values("fc.weight"), values("fc.bias")].concat())
}

/// A world with a run on its photos, and their features.
fn world() -> World {
    let world = World::new();
    world.train("--l2 0.1 --test 0.3");
    world.expect(0, &format!("embed photos {WAY} --out x.npy"));
    world
}

#[test]
fn features_that_embed_wrote_give_the_head_that_photos_give() {
    let world = world();
    // What a run says of its photos is a table of them: paths, parts, labels.
    let json = world.json("train --features x.npy --labels run/predictions.csv --l2 0.1 --out of-features --json");
    let metrics: serde_json::Value = serde_json::from_str(&world.read("run/metrics.json")).unwrap();
    for part in ["train", "validation", "test"] {
        assert_eq!(json["photos"][part], metrics["photos"][part], "{part}");
    }
    assert!(json["test"]["top1"].is_number() && json["test"]["top1"] == metrics["test"]["top1"], "{json}");
    let certificate = json["certificate"]["gradient"].as_f64();
    assert!(certificate.is_some(), "{json}");
    // Folds are dealt by content, which is the photo's in the one and the row's in the other: only what the logits are divided by depends on them.
    let ((temperature, photos), (other, features)) = (head(&world, "run"), head(&world, "of-features"));
    assert_eq!(photos.len(), features.len());
    for (one, row) in photos.iter().zip(&features) {
        let (one, row) = (f64::from(*one) * temperature, f64::from(*row) * other);
        assert!((one - row).abs() <= 1e-6 * one.abs().max(1.0), "{one} {row}");
    }
    // Both say the same of photos, and a run of photos takes features too.
    let said = |line: &str| world.json(line)["photos"].as_array().unwrap().clone();
    let of_photos = said("predict run photos --json");
    let (of_rows, by_features) =
        (said("predict run --features x.npy --json"), said("predict of-features --features x.npy --json"));
    assert_eq!((of_photos.len(), of_rows.len()), (by_features.len(), by_features.len()));
    for ((photo, row), other) in of_photos.iter().zip(&of_rows).zip(&by_features) {
        assert!(photo["path"].as_str().unwrap().ends_with(row["path"].as_str().unwrap()), "{photo} {row}");
        let first = |said: &serde_json::Value| said["predictions"][0].clone();
        assert_eq!((&first(photo)["label"], &first(photo)["label"]), (&first(row)["label"], &first(other)["label"]));
        let probability = |said: &serde_json::Value| first(said)["probability"].as_f64().unwrap();
        assert!((probability(photo) - probability(row)).abs() < 1e-5, "{photo} {row}");
    }
    // The run says what it was made of.
    let config: serde_json::Value = serde_json::from_str(&world.read("of-features/config.json")).unwrap();
    let features = &config["features"];
    assert!(features["path"].as_str().unwrap().ends_with("x.npy") && config["weights"].is_null(), "{config}");
    assert_eq!((&features["rows"], &features["width"]), (&(of_photos.len()).into(), &32.into()));
    assert!(world.read("of-features/report.html").contains(features["sha256"].as_str().unwrap()));
}

#[test]
fn names_of_folders_are_labels_enough_and_a_table_may_go_by_order() {
    let world = world();
    let (out, _) = world.expect(0, "train --features x.npy --l2 0.1 --out named");
    assert!(out.contains("3 classes") && out.contains("predict named --features FILE\n"), "{out}");
    assert_eq!(world.read("named/labels.txt"), world.read("run/labels.txt"));
    let names = world.read("x.txt");
    std::fs::rename(world.path("x.txt"), world.path("names.txt")).unwrap();
    let (_, err) = world.expect(2, "train --features x.npy --out none");
    assert!(err.contains("--labels: expected a table that says the label of each row"), "{err}");
    let (_, err) = world.expect(2, "train --labels y.csv");
    assert!(err.contains("--features <FILE>"), "{err}");
    let rows: String = names.lines().map(|name| format!("{}\n", name.split('/').next().unwrap())).collect();
    std::fs::write(world.path("y.csv"), format!("label\n{rows}")).unwrap();
    world.expect(0, "train --features x.npy --labels y.csv --l2 0.1 --out ordered");
    let models =
        ["named", "ordered"].map(|run| std::fs::read(world.path(&format!("{run}/model.safetensors"))).unwrap());
    assert!(models[0] == models[1]);
    let (out, _) = world.expect(0, "predict ordered --features x.npy --top 1 --jsonl");
    assert_eq!(out.lines().count(), names.lines().count());
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["path"], first["predictions"].as_array().unwrap().len()), (&"row 0".into(), 1), "{first}");
    // What was learnt from is like itself.
    assert_eq!(first["known"], true, "{first}");
    std::fs::write(world.path("y.csv"), "label\na\nb\n").unwrap();
    let (_, err) = world.expect(3, "train --features x.npy --labels y.csv --out none");
    assert!(err.contains("it has 2 rows, and x.npy has "), "{err}");
    // Nothing that is given is ignored.
    for line in [
        "train photos --features x.npy",
        "train --features x.npy --backbone resnet50",
        "train --features x.npy --duplicates apart",
    ] {
        let (_, err) = world.expect(2, line);
        assert!(err.contains("cannot be used with"), "{line}: {err}");
    }
    let (_, err) = world.expect(2, "train --features x.npy --column label=species");
    assert!(err.contains("--column: expected --labels beside it"), "{err}");
}

#[test]
fn a_run_of_features_says_that_it_takes_no_photos() {
    let world = world();
    world.expect(0, "train --features x.npy --l2 0.1 --out named");
    for line in [
        "predict named photos/red/00.png",
        "evaluate named photos",
        "verify named",
        "train photos --again named",
        "inspect named",
        "train photos --backbone named/model.safetensors --out other",
    ] {
        let (_, err) = world.expect(3, line);
        let told = err.contains("made of features that another program computed") && err.contains("--features FILE");
        assert!(told, "{line}: {err}");
    }
    let (_, err) = world.expect(2, "watch --features x.npy --out named");
    assert!(err.contains("it is photos that are watched"), "{err}");
    // Rows of another network are refused by their width, and damage is seen.
    let narrow = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }\n";
    let narrow = [&b"\x93NUMPY\x01\x00"[..], &[narrow.len() as u8, 0], narrow.as_bytes(), &[0; 8]].concat();
    std::fs::write(world.path("narrow.npy"), narrow).unwrap();
    let (_, err) = world.expect(3, "predict named --features narrow.npy");
    assert!(err.contains("its rows have 2 values, and the run's head takes 32"), "{err}");
    let path = world.path("named/model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (_, err) = world.expect(3, "predict named --features x.npy");
    assert!(err.contains("model.safetensors isn't the one that config.json was written with"), "{err}");
}
