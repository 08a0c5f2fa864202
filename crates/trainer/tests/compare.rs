//! Two runs compared: which is better is known, for one of them was taught wrong labels.

mod world;

use world::World;

/// Copies photos into parts/PART/CLASS: 6 of each class to train on and 6 to test. `named` gives the class that photos of a colour are said to be of.
fn parts(world: &World, folder: &str, named: impl Fn(&str, &'static str) -> &'static str) {
    for colour in ["blue", "green", "red"] {
        for (part, indices) in [("train", 0..6), ("test", 6..12)] {
            for index in indices {
                let to = world.path(&format!("{folder}/{part}/{}/{colour}{index:02}.png", named(part, colour)));
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(world.path(&format!("photos/{colour}/{index:02}.png")), to).unwrap();
            }
        }
    }
}

fn train(world: &World, folder: &str, run: &str) {
    world.expect(0, &format!("train {folder} --backbone weights.safetensors --recipe recipe.json --out {run} -q"));
}

#[test]
fn the_run_that_was_taught_wrong_labels_is_worse() {
    let world = World::new();
    parts(&world, "right", |_, colour| colour);
    // Taught that green is red and red is green, and tested as the other.
    parts(&world, "wrong", |part, colour| match (part, colour) {
        ("train", "green") => "red",
        ("train", "red") => "green",
        _ => colour,
    });
    train(&world, "right", "run");
    train(&world, "wrong", "run2");

    let (out, _) = world.expect(0, "compare run run2");
    assert!(out.starts_with("18 photos that both were tested on\n"), "{out}");
    assert!(out.lines().last().unwrap().starts_with("run is better by "), "{out}");
    let (out, _) = world.expect(0, "compare run2 run");
    assert!(out.lines().last().unwrap().starts_with("run is better by "), "{out}");
    let json = world.json("compare run run2 --json");
    let found = &json["comparison"];
    assert_eq!((&json["first"], &json["second"]), (&"run".into(), &"run2".into()));
    assert_eq!((&found["photos"], &found["told"], &found["relabelled"]), (&18.into(), &true.into(), &0.into()));
    // As their own evaluations say.
    for (place, run) in ["run", "run2"].iter().enumerate() {
        let metrics: serde_json::Value = serde_json::from_str(&world.read(&format!("{run}/metrics.json"))).unwrap();
        for figure in ["top1", "top1_interval"] {
            assert_eq!(found["runs"][place][figure], metrics["test"][figure], "{run} {figure}");
        }
        let classes = found["classes"].as_array().unwrap().iter().zip(metrics["test"]["classes"].as_array().unwrap());
        for (class, score) in classes {
            assert_eq!((&class["label"], &class["photos"]), (&score["label"], &score["support"]));
            let recall = class["right"][place].as_f64().unwrap() / class["photos"].as_f64().unwrap();
            assert_eq!(Some(recall), score["recall"].as_f64());
        }
    }
    let [first, second] = [0, 1].map(|place| found["runs"][place]["right"].as_i64().unwrap());
    let only = |which: &str| found[which].as_i64().unwrap();
    assert_eq!(only("only_second") - only("only_first"), second - first);

    // With itself.
    let (out, _) = world.expect(0, "compare run run");
    let told = "No difference can be told on 18 photos (p = 1.00): a difference of at least 33.3 points would show\n";
    assert!(out.ends_with(told), "{out}");
}

#[test]
fn classes_are_matched_by_name_and_what_cannot_be_compared_is_an_error() {
    let world = World::new();
    parts(&world, "photos1", |_, colour| colour);
    parts(&world, "photos2", |_, colour| if colour == "blue" { "azure" } else { colour });
    train(&world, "photos1", "run");
    train(&world, "photos2", "run2");
    let (out, _) = world.expect(0, "compare run run2");
    assert!(out.starts_with("12 photos that both were tested on\n"), "{out}");
    assert!(out.contains("6 photos left out: the runs were told different classes of them\n"), "{out}");
    assert!(out.contains("(only run knows \"blue\"; only run2 knows \"azure\"): they are matched by name\n"), "{out}");

    // What the one was tested on, the other has learnt from.
    for class in ["blue", "green", "red"] {
        std::fs::create_dir_all(world.path("turned/train")).unwrap();
        std::fs::create_dir_all(world.path("turned/test")).unwrap();
        for (from, to) in [("train", "test"), ("test", "train")] {
            std::fs::rename(
                world.path(&format!("photos1/{from}/{class}")),
                world.path(&format!("turned/{to}/{class}")),
            )
            .unwrap();
        }
    }
    train(&world, "turned", "turned-run");
    let (_, err) = world.expect(3, "compare run turned-run");
    let none = "run and turned-run: no photo that both were tested on and neither has learnt from: 18 photos to test in the one, 18 in the other";
    assert!(err.contains(none), "{err}");
    let (_, err) = world.expect(3, "compare run photos2");
    assert!(err.contains("photos2: not a usable run: no config.json in it"), "{err}");
    let (_, err) = world.expect(3, "compare nowhere run");
    assert!(err.contains("nowhere: not a usable run"), "{err}");
    // A spreadsheet has saved the table: what it holds now isn't the run's.
    let table = world.read("run2/predictions.csv");
    std::fs::write(world.path("run2/predictions.csv"), table.replace(',', ";")).unwrap();
    let (_, err) = world.expect(3, "compare run run2");
    assert!(
        err.contains("run2: not a usable run: predictions.csv isn't the one that config.json was written with"),
        "{err}"
    );
    world.expect(2, "compare run");
}
