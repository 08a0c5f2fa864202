//! The binary as a user meets it: what it prints, writes and returns. Photos are drawn and weights are random, so accuracy
//! means nothing here.

mod world;

use std::path::PathBuf;

use world::{World, distance, files};

#[test]
fn from_photos_to_predictions() {
    let world = World::new();
    let (out, err) = world.train("--test 0.2");
    assert!(out.starts_with("36 photos, 3 classes: 29 to train, 7 to test"), "{out}");
    assert!(out.contains("Photos never trained on: ") && out.contains("taken for\n"), "{out}");
    assert!(err.contains("36 photos in "), "{err}");
    let expected = [
        "config.json",
        "known.safetensors",
        "labels.txt",
        "metrics.json",
        "model.safetensors",
        "parts.json",
        "predictions.csv",
        "report.html",
    ];
    assert_eq!(files(&world.path("run")), expected);
    assert_eq!(world.read("run/labels.txt"), "blue\ngreen\nred\n");
    assert_eq!(world.read("run/predictions.csv").lines().count(), 37);
    let metrics: serde_json::Value = serde_json::from_str(&world.read("run/metrics.json")).unwrap();
    // Colours are told apart even by random weights.
    assert!(metrics["test"]["top1"].as_f64().unwrap() > 0.8, "{}", metrics["test"]);
    let config: serde_json::Value = serde_json::from_str(&world.read("run/config.json")).unwrap();
    assert_eq!(config["classes"], serde_json::json!(["blue", "green", "red"]));

    // The model is a network of its own, with a head.
    let model = resnet::WeightFile::open(world.path("run/model.safetensors")).unwrap();
    assert_eq!(model.head().unwrap().classes, 3);
    let original = resnet::WeightFile::open(world.path("weights.safetensors")).unwrap();
    for (name, tensor) in original.tensors().filter(|(name, _)| !name.starts_with("fc.")) {
        let (_, kept) = model.tensors().find(|(other, _)| *other == name).unwrap();
        assert_eq!(tensor.data(), kept.data(), "{name}");
    }

    assert_eq!(metrics["schema"], 1);
    let cells = metrics["test"]["confusion"].as_array().unwrap().iter().map(|cell| cell[2].as_u64().unwrap());
    assert_eq!(cells.sum::<u64>(), metrics["test"]["count"].as_u64().unwrap());

    // It isn't evaluated on the photos it was made with: what is left is the test part, evaluated as before.
    let (out, _) = world.expect(0, "evaluate run photos --predictions again.csv");
    assert!(out.contains("left out: the run was made with them"), "{out}");
    let again = world.json("evaluate run photos --json");
    // But for the nearest neighbour among what was learnt from, which a run doesn't keep.
    let own = |evaluation: &serde_json::Value| {
        let mut own = evaluation.clone();
        own.as_object_mut().unwrap().remove("nearest_neighbour");
        own["figures"].as_array_mut().unwrap().retain(|figure| figure["name"] != "nearest_neighbour");
        own
    };
    assert_eq!(own(&again["evaluation"]), own(&metrics["test"]));
    assert_eq!(metrics["test"]["nearest_neighbour"], 1.0);
    assert_eq!(world.json("evaluate run photos --all --json")["evaluation"]["count"], 36);
    let tests = metrics["test"]["count"].as_u64().unwrap() as usize;
    assert_eq!(world.read("again.csv").lines().count(), tests + 1);

    world.draw("new/sea.png", [30, 50, 230], 99);
    let answer = world.json("predict run new/sea.png --top 2 --json");
    assert_eq!(answer["photos"][0]["predictions"][0]["label"], "blue", "{answer}");
    assert_eq!(answer["photos"][0]["predictions"].as_array().unwrap().len(), 2);
    let (out, _) = world.expect(0, "predict run new");
    assert!(out.starts_with("new/sea.png\n  blue "), "{out}");
}

#[test]
fn a_second_training_skips_the_backbone_and_repeats_the_first() {
    let world = World::new();
    world.train("--seed 5");
    let (metrics, predictions) = (world.read("run/metrics.json"), world.read("run/predictions.csv"));
    assert!(metrics.contains("\"computed\": 36"), "{metrics}");
    let line = "train photos --backbone weights.safetensors --recipe recipe.json --out run --seed 5";
    let (_, err) = world.expect(2, line);
    assert!(err.contains("holds a finished run: give another name, or --force to replace it"), "{err}");
    world.train("--seed 5 --force");
    assert!(world.read("run/metrics.json").contains("\"computed\": 0"));
    assert_eq!(world.read("run/predictions.csv"), predictions);
    world.draw("photos/red/00.png", [200, 30, 30], 77);
    world.train("--seed 5 --force");
    assert!(world.read("run/metrics.json").contains("\"computed\": 1"));
}

#[test]
fn features_in_f16_are_kept_apart_and_hardly_differ() {
    let world = World::new();
    world.train("--seed 5");
    assert!(world.read("run/config.json").contains("\"precision\": \"f32\""));
    world.train("--seed 5 --force --kernels tiled --precision f16");
    assert!(world.read("run/metrics.json").contains("\"computed\": 36"), "f32 features aren't f16's");
    assert!(world.read("run/config.json").contains("\"precision\": \"f16\""));
    let embed = |rest: &str| world.features(&format!("--recipe recipe.json --kernels tiled {rest}"));
    let error = distance(&embed("--precision f16"), &embed(""));
    assert!(error > 1e-5 && error < 3e-3, "{error}");
    if world.json("doctor --json")["kernels"] == "texture" {
        let (_, err) = world.expect(2, "predict run photos/red/00.png --precision f16");
        assert!(err.contains("have no f16") && err.contains("--kernels tiled"), "{err}");
    }
}

#[test]
fn unreadable_photos_are_named_and_strictness_is_a_choice() {
    let world = World::new();
    std::fs::write(world.path("photos/red/03.png"), "no photo").unwrap();
    std::fs::write(world.path("photos/red/list.txt"), "no photo").unwrap();
    let (out, err) = world.train("--test 0.2");
    assert!(err.contains("photos/red/03.png") || err.contains("red/03.png: "), "{err}");
    assert!(err.contains("ignored, no photos by their names (1): red/list.txt"), "{err}");
    assert!(out.contains("1 rejected"), "{out}");
    world.expect(1, "evaluate run photos --strict");
    // A class of which nothing is left: the reasons are given before it ends.
    std::fs::create_dir_all(world.path("damaged/a")).unwrap();
    std::fs::write(world.path("damaged/a/1.png"), "no photo").unwrap();
    world.draw("damaged/b/1.png", [1, 2, 3], 1);
    let (_, err) = world.expect(3, "train damaged --weights weights.safetensors --recipe recipe.json --out run2");
    assert!(err.contains("class \"a\": its only photo can't be used: a/1.png: not a photo"), "{err}");
    let (_, err) = world.expect(3, "predict run photos/red/03.png");
    assert!(err.contains("left out:\n  photos/red/03.png: "), "{err}");
    world.expect(0, "predict run photos/red/03.png photos/red/04.png");
    world.expect(1, "predict run photos/red/03.png photos/red/04.png --strict");
    let (_, err) = world.expect(3, "predict run nowhere.jpg");
    assert!(err.contains("nowhere.jpg"), "{err}");
}

#[test]
fn mistakes_have_their_exit_codes() {
    let world = World::new();
    world.expect(2, "train");
    let (_, err) = world.expect(2, "trian photos");
    assert!(err.contains("a similar subcommand exists: 'train'"), "{err}");
    world.expect(2, "predict run photo.jpg --top 0");
    let train = |rest: &str| format!("train {rest} --out run2");
    let (_, err) = world.expect(3, &train("nowhere --backbone weights.safetensors"));
    assert!(err.contains("error: nowhere: no such folder"), "{err}");
    world.expect(5, &train("photos --backbone nothing.safetensors"));
    let (_, err) = world.expect(3, &train("photos --backbone recipe.json"));
    assert!(err.contains("recipe.json"), "{err}");
    // Before any photo is looked at.
    let (_, err) =
        world.expect(2, &train("photos --backbone weights.safetensors --optimizer adamw --val 0.15 --test 0.9"));
    assert!(err.contains("less than 1, so that something is left to train on") && !err.contains("images/s"), "{err}");
    world.expect(2, &train("photos --backbone weights.safetensors --optimizer sgd --learning-rate 0"));
    // What says nothing to the optimiser isn't ignored.
    for (option, other) in [("--epochs 3", "--optimizer adamw or sgd"), ("--val 0.1", "--optimizer adamw or sgd")] {
        let (_, err) = world.expect(2, &train(&format!("photos --backbone weights.safetensors {option}")));
        assert!(err.contains(other) && err.contains(&option[..5]), "{err}");
    }
    let (_, err) = world.expect(2, &train("photos --backbone weights.safetensors --optimizer sgd --l2 0.1"));
    assert!(err.contains("--l2") && err.contains("--optimizer lbfgs"), "{err}");
    let (_, err) = world.expect(2, "train photos --backbone weights.safetensors --out photos");
    assert!(err.contains("lies in the folder of photos"), "{err}");
    std::fs::create_dir(world.path("full")).unwrap();
    std::fs::write(world.path("full/notes"), "mine").unwrap();
    let (_, err) = world.expect(2, "train photos --backbone weights.safetensors --out full");
    assert!(err.contains("isn't empty and holds no run"), "{err}");
    // A backbone can be looked at without an adapter, but not without the one that was asked for.
    let (_, err) = world.expect(4, "inspect weights.safetensors --adapter no-such-adapter");
    assert!(err.contains("no adapter \"no-such-adapter\""), "{err}");
    let (_, err) = world.expect(4, "doctor --adapter no-such-adapter");
    assert!(err.contains("no adapter \"no-such-adapter\"; choose one of these by number or name: 0: "), "{err}");
    let (_, err) = world.expect(3, "predict photos photos/red/00.png");
    assert!(err.contains("photos: not a usable run: no model.safetensors in it"), "{err}");
    assert!(!world.path("run2").join("config.json").exists());
}

#[test]
fn the_doctor_examines() {
    let world = World::new();
    let findings = world.json("doctor --json");
    assert!(findings["matmul_gflops"].as_f64().unwrap() > 0.0);
    assert!(["tiled", "texture"].contains(&findings["kernels"].as_str().unwrap()));
    assert_eq!(findings["in_use"][0], serde_json::json!(["precision-f16", false]));
    let (out, _) = world.expect(0, "doctor --kernels tiled");
    assert!(out.contains("\nIn use    precision-f16 no, "), "{out}");
    assert!(out.contains("Kernels   tiled"), "{out}");
    assert!(out.contains("\nCompiled  "), "{out}");
    // What the first compiled, the second found.
    if let Some([_, found]) = findings["compiled"].as_array().map(Vec::as_slice) {
        assert_eq!(found, "nothing");
        assert!(out.contains("bytes taken from") && out.contains("kept"), "{out}");
    }
}

#[test]
fn the_doctor_measures_each_layer() {
    let world = World::new();
    let bench = &world.json("doctor --bench --weights weights.safetensors --batch 2 --json -q")["bench"];
    let layers = bench["layers"].as_array().unwrap();
    let names: Vec<&str> = layers.iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    assert_eq!((names[0], names[1], names.last()), ("conv1", "maxpool", Some(&"avgpool")));
    // The stem runs in parts, each with a line of its own.
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), 1 + 1 + 4 * 2 + 3 + 1, "{names:?}");
    for layer in layers {
        assert!(layer["ms"].as_f64().unwrap() > 0.0 && layer["share"].as_f64().unwrap() > 0.0, "{layer}");
        assert!(!layer["kernel"].as_str().unwrap().is_empty(), "{layer}");
    }
    assert!(bench["yardstick"]["gflops"].as_f64().unwrap() > 0.0);
    for figure in ["memory_gb_s", "starting_ms", "layers_ms", "pass_ms", "pipelined_ms", "images_per_second"] {
        assert!(bench[figure].as_f64().unwrap() > 0.0, "{figure}: {bench}");
    }
    assert!(bench["full_workgroups"].is_null() || bench["full_workgroups"].as_u64().unwrap() > 0);
    let (_, err) = world.expect(2, "doctor --architecture resnet50");
    assert!(err.contains("--bench"), "{err}");
    let (_, err) = world.expect(3, "doctor --bench --architecture resnet19");
    assert!(err.contains("resnet19: no published architecture") && err.contains("resnet18"), "{err}");
}

#[test]
fn kernels_are_measured_kept_and_used() {
    let world = World::new();
    // The size of the photos that is measured is that of the weights' recipe.
    let config = r#"{"pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 1.0}}"#;
    std::fs::write(world.path("config.json"), config).unwrap();
    assert!(world.json("doctor --json")["tuned"].is_null());
    let measured = world.json("tune --backbone weights.safetensors --seconds 10 --json -q");
    let shapes = measured["tuning"]["shapes"].as_array().unwrap();
    assert!(!shapes.is_empty());
    let table = PathBuf::from(measured["table"]["path"].as_str().unwrap());
    assert!(table.starts_with(world.path("cache")), "{table:?}");
    let tuned = || world.json("doctor --json")["tuned"].clone();
    assert_eq!(tuned(), measured["table"]);
    assert!(world.json("doctor --json --no-tune")["tuned"].is_null());

    // As if in each shape the last had won.
    let computed = |more: &str| {
        let line = format!(
            "train photos --backbone weights.safetensors --out run --optimizer adamw --epochs 1 --force --json -q {more}"
        );
        world.json(&line)["photos"]["computed"].as_u64().unwrap()
    };
    assert_eq!((computed("--no-tune"), computed("--no-tune")), (36, 0));
    let mut stored: serde_json::Value = serde_json::from_slice(&std::fs::read(&table).unwrap()).unwrap();
    for shape in shapes {
        let last = shape["candidates"].as_array().unwrap().last().unwrap()["variant"].clone();
        stored["variants"][shape["class"].as_str().unwrap()] = last;
    }
    std::fs::write(&table, stored.to_string()).unwrap();
    assert_eq!(computed(""), 0, "other kernels cost no features");
    let error = distance(&world.features(""), &world.features("--no-tune"));
    assert!(error < 1e-4, "{error}");
    let config: serde_json::Value = serde_json::from_str(&world.read("run/config.json")).unwrap();
    assert_eq!(config["tuned"], tuned());
    world.expect(0, "predict run photos/red/00.png");

    std::fs::write(&table, "{\"key\": ").unwrap();
    let (out, err) = world.expect(0, "doctor");
    assert!(err.contains("warning: ") && err.contains("ignored") && out.contains("Tuned     no"), "{out}{err}");
    let (_, err) = world.expect(0, "doctor --no-tune");
    assert!(!err.contains("ignored"), "{err}");
}

#[test]
fn the_demo_shows_what_transfer_is_worth() {
    let world = World::new();
    let (out, _) = world.expect(0, "--quiet");
    // What it says to do next can be done, as it stands there.
    let program = env!("CARGO_BIN_EXE_trainer");
    let commands: Vec<&str> =
        out.lines().filter_map(|line| line.split_once(&format!("{program} "))).map(|(_, rest)| rest).collect();
    let [predict, train, _with_resnet18] = commands[..] else { panic!("{out}") };
    let (said, _) = world.expect(0, predict);
    let new = ["cardboard", "glass", "metal", "paper", "plastic"].map(|class| format!("rehead-demo/new/{class}/"));
    assert!(new.iter().all(|class| said.matches(class.as_str()).count() == 2), "{said}");
    world.expect(0, &format!("{} --no-store", train.replace("PHOTOS", "photos")));
    assert!(out.contains("Report: rehead-demo/run/report.html"), "{out}");
    assert!(world.read("rehead-demo/run/report.html").contains("random weights"));

    // A second time it is the same, in a folder of its own.
    let before = std::fs::metadata(world.path("rehead-demo/run/model.safetensors")).unwrap().modified().unwrap();
    let found = world.json("--json --quiet");
    assert_eq!(found["run"], "rehead-demo-2/run");
    for name in ["model.safetensors", "predictions.csv", "known.safetensors"] {
        let read = |run: &str| std::fs::read(world.path(run).join("run").join(name)).unwrap();
        assert!(read("rehead-demo") == read("rehead-demo-2"), "{name}");
    }
    assert_eq!(std::fs::metadata(world.path("rehead-demo/run/model.safetensors")).unwrap().modified().unwrap(), before);

    assert_eq!(found["cross_validated"]["count"], 290);
    let top1 = |name: &str| found["baselines"][name]["top1"].as_f64().unwrap();
    let [own, random, colours] = ["own", "random", "colours"].map(top1);
    assert_eq!(own, found["cross_validated"]["top1"]);
    assert!(random > 0.2 && colours > 0.4, "{random}, {colours}");
    // What a backbone is for.
    assert!(own > random + 0.1 && own > colours, "{own}, {random}, {colours}");
}

#[test]
fn the_backbone_that_is_part_of_the_program_goes_by_its_name() {
    let world = World::new();
    // A folder of that name isn't meant.
    std::fs::create_dir(world.path("demo")).unwrap();
    let (out, _) = world.expect(0, "inspect demo");
    assert!(out.contains("About") && out.contains("Licence"), "{out}");
    let (_, err) = world.expect(3, "inspect demo@main");
    assert!(err.contains("part of this program"), "{err}");
    world.expect(0, "embed photos --backbone demo --out f.npy");
    let (out, _) = world.expect(0, "train photos --backbone demo --baselines --out run");
    assert!(out.contains("the same network, random weights") && out.contains("how often each colour occurs"), "{out}");
    // Colours are all there is to these photos.
    let metrics: serde_json::Value = serde_json::from_str(&world.read("run/metrics.json")).unwrap();
    assert!(metrics["baselines"]["colours"]["top1"].as_f64().unwrap() > 0.9, "{metrics}");
}

#[test]
fn help_has_examples() {
    let world = World::new();
    for command in ["", "train", "evaluate", "compare", "predict", "embed", "doctor", "tune"] {
        assert!(world.expect(0, &format!("{command} --help")).0.contains("Examples:"), "{command}");
    }
}

/// Everything below a folder is one data set or another's: the part a photo plays may be given by folders.
#[test]
fn parts_given_by_folders_are_obeyed() {
    let world = World::new();
    for (part, indices) in [("train", 0..8), ("val", 8..10), ("test", 10..12)] {
        for class in ["blue", "green", "red"] {
            for index in indices.clone() {
                let to = world.path(&format!("parts/{part}/{class}/{index:02}.png"));
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(world.path(&format!("photos/{class}/{index:02}.png")), to).unwrap();
            }
        }
    }
    let line = "train parts --backbone weights.safetensors --recipe recipe.json --out run";
    let (out, _) = world.expect(0, &format!("{line} --optimizer adamw"));
    assert!(out.starts_with("36 photos, 3 classes: 24 to train, 6 to validate, 6 to test"), "{out}");
    assert!(world.read("run/predictions.csv").contains("test/red/11.png,test,red,"));
    // Where cross-validation chooses, photos to choose by are learnt from; without others, they judge.
    let (out, _) = world.expect(0, &format!("{line} --force"));
    assert!(out.starts_with("36 photos, 3 classes: 30 to train, 6 to test"), "{out}");
    std::fs::rename(world.path("parts/test"), world.path("aside")).unwrap();
    let (out, _) = world.expect(0, &format!("{line} --force"));
    assert!(out.starts_with("30 photos, 3 classes: 24 to train, 6 to validate, 0 to test"), "{out}");
    assert!(out.contains("Photos never trained on: 6 photos"), "{out}");
    std::fs::rename(world.path("aside"), world.path("parts/test")).unwrap();

    // A test that was given and can't be read is an error, and no other is drawn in its place.
    for class in ["blue", "green", "red"] {
        for file in files(&world.path(&format!("parts/test/{class}"))) {
            std::fs::write(world.path(&format!("parts/test/{class}/{file}")), "no photo").unwrap();
        }
    }
    let (_, err) = world.expect(3, "train parts --backbone weights.safetensors --recipe recipe.json --out run2");
    assert!(err.contains("the given part test: none of its"), "{err}");
}

#[test]
fn photos_are_read_as_the_run_says_and_within_limits() {
    let world = World::new();
    let train = "train photos --weights weights.safetensors --recipe recipe.json --optimizer adamw --epochs 2 -q";
    world.expect(0, &format!("{train} --out run --exif ignore --background white"));
    let config = std::fs::read_to_string(world.path("run/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["reading"], serde_json::json!({ "exif": "ignore", "background": "#ffffff" }));
    // The run decides from then on.
    world.expect(2, "predict run photos/red/00.png --exif apply");
    world.expect(0, "predict run photos/red/00.png");
    world.expect(2, &format!("{train} --out other --background pink"));
    let embed = "embed photos --weights weights.safetensors --recipe recipe.json --out all.npy -q";
    let (_, err) = world.expect(3, &format!("{embed} --max-pixels 1000"));
    assert!(err.contains("00.png: 48 x 40 pixels are more than the limit of 1000"), "{err}");
    let (_, err) = world.expect(3, &format!("{embed} --max-bytes 9"));
    assert!(err.contains("bytes are more than the limit of 9"), "{err}");
}

#[test]
fn what_a_run_has_seen_does_not_depend_on_its_reports() {
    let world = World::new();
    world.train("--optimizer adamw --epochs 2");
    let first = world.json("evaluate run photos --json");
    assert!(first["left_out_as_seen"].as_u64().unwrap() > 0, "{first}");
    // A spreadsheet saves the table in its own way.
    let table = world.read("run/predictions.csv");
    std::fs::write(world.path("run/predictions.csv"), format!("\u{feff}{}", table.replace(',', ";"))).unwrap();
    assert_eq!(world.json("evaluate run photos --json"), first);
    // A run of an earlier program has that table alone.
    let parts = world.read("run/parts.json");
    std::fs::remove_file(world.path("run/parts.json")).unwrap();
    let (_, err) = world.expect(3, "evaluate run photos");
    assert!(err.contains("predictions.csv has no column"), "{err}");
    std::fs::write(world.path("run/predictions.csv"), table).unwrap();
    assert_eq!(world.json("evaluate run photos --json"), first);
    std::fs::write(world.path("run/parts.json"), &parts[..parts.len() / 2]).unwrap();
    let (_, err) = world.expect(3, "evaluate run photos");
    assert!(err.contains("run: not a usable run: parts.json isn't the one that"), "{err}");
}

#[test]
fn a_damaged_configuration_of_a_run_is_an_error() {
    let world = World::new();
    world.train("--optimizer adamw --epochs 2");
    let config = world.read("run/config.json");
    std::fs::write(world.path("run/config.json"), &config[..config.len() / 2]).unwrap();
    for line in ["evaluate run photos", "predict run photos/red/00.png"] {
        let (_, err) = world.expect(3, line);
        assert!(err.contains("run: not a usable run: config.json: "), "{err}");
    }
    // Without it, the model is all there is, and does.
    std::fs::remove_file(world.path("run/config.json")).unwrap();
    world.expect(0, "predict run photos/red/00.png");
}

#[test]
fn a_training_without_an_evaluation_has_a_report_too() {
    let world = World::new();
    world.train("--optimizer adamw --epochs 3 --warmup 1 --test 0 --val 0");
    let page = world.read("run/report.html");
    assert!(page.contains("<h1>No photos were set aside for an evaluation</h1>"), "{page}");
    assert!(page.contains("<polyline") && page.contains("weights.safetensors"), "{page}");
}

#[test]
fn few_photos_are_all_learnt_from_and_judged_by_cross_validation() {
    let world = World::new();
    let (out, _) = world.train("");
    assert!(out.starts_with("36 photos, 3 classes\n"), "{out}");
    assert!(out.contains("All photos, each judged by a head that never saw it: 36 photos"), "{out}");
    assert!(out.contains(", of 22 by 5-fold cross-validation") && out.contains("with the folds dealt anew: "), "{out}");
    let metrics: serde_json::Value = serde_json::from_str(&world.read("run/metrics.json")).unwrap();
    let certificate = &metrics["certificate"];
    let share = certificate["gradient"].as_f64().unwrap() / certificate["start"].as_f64().unwrap();
    assert!(share <= 1e-6, "{certificate}");
    assert_eq!(metrics["cross_validated"]["count"], 36);
    assert_eq!((&metrics["photos"]["train"], &metrics["test"]), (&36.into(), &serde_json::Value::Null));
    let (found, tried) = (&metrics["cross_validation"], metrics["cross_validation"]["candidates"].as_array().unwrap());
    assert_eq!((tried.len(), &found["nested"], found["top1"].as_array().unwrap().len()), (22, &true.into(), 3));
    // What is said of a photo comes from a head that didn't learn from it: the table counts what the figures count.
    let rows = world.read("run/predictions.csv");
    let mut rows = csv::Reader::from_reader(rows.as_bytes());
    let right = rows.records().filter(|row| row.as_ref().unwrap()[2] == row.as_ref().unwrap()[3]).count();
    let top1 = metrics["cross_validated"]["top1"].as_f64().unwrap();
    assert!((right as f64 / 36.0 - top1).abs() < 1e-12, "{right} {top1}");
    // The head has seen all of them.
    let (_, err) = world.expect(3, "evaluate run photos");
    assert!(err.contains("36"), "{err}");
    // It can be verified from what is kept, until what is kept has gone.
    let verified = world.json("verify run --json");
    assert_eq!((&verified["photos"], &verified["said"]), (&36.into(), certificate));
    let again = &verified["certificate"];
    assert!(
        (again["objective"].as_f64().unwrap() / certificate["objective"].as_f64().unwrap() - 1.0).abs() < 1e-9,
        "{again}"
    );
    let (_, err) = world.expect(3, "verify run --no-store");
    assert!(err.contains("the features of 36 of the 36 photos that it learnt from aren't kept any more"), "{err}");
    // The same head once more, whatever the seed.
    let model = std::fs::read(world.path("run/model.safetensors")).unwrap();
    for more in ["--force", "--force --seed 3"] {
        world.train(more);
        assert!(std::fs::read(world.path("run/model.safetensors")).unwrap() == model, "{more}");
    }
    // Fewer than three of a class can't judge it, which is told.
    for index in 2..12 {
        std::fs::remove_file(world.path(&format!("photos/red/{index:02}.png"))).unwrap();
    }
    let (_, err) = world.train("--force");
    assert!(
        err.contains("fewer than 3 photos that don't belong together: too few to judge") && err.contains("red ("),
        "{err}"
    );
}

#[test]
fn shares_are_kept_to_the_photo_and_what_cannot_be_spared_is_told() {
    let world = World::new();
    let (out, err) = world.train("--optimizer adamw --epochs 3 --warmup 1");
    assert!(out.starts_with("36 photos, 3 classes: 24 to train, 5 to validate, 7 to test"), "{out}");
    assert!(!err.contains("to be tested on"), "{err}");
    let metrics: serde_json::Value = serde_json::from_str(&world.read("run/metrics.json")).unwrap();
    let told = format!("the best is number {}\n", metrics["history"]["best"]);
    assert!(out.contains(&told) && metrics["history"]["best"].as_u64() > Some(0), "{out}");

    for index in 1..12 {
        std::fs::remove_file(world.path(&format!("photos/red/{index:02}.png"))).unwrap();
    }
    let (out, err) = world.train("--optimizer adamw --epochs 3 --warmup 1 --force");
    assert!(out.starts_with("25 photos, 3 classes: 16 to train, 4 to validate, 5 to test"), "{out}");
    assert!(err.contains("1 class has no photo to be tested on: red\n"), "{err}");
    for class in ["blue", "green"] {
        for index in 1..12 {
            std::fs::remove_file(world.path(&format!("photos/{class}/{index:02}.png"))).unwrap();
        }
    }
    let (out, err) = world.train("--optimizer adamw --epochs 3 --warmup 1 --force");
    assert!(out.contains("No photo could be spared for an evaluation: that takes a class of two or more"), "{out}");
    assert!(!(out.contains("--test") || err.contains("tested")), "{out}\n{err}");
    let (out, _) = world.train("--optimizer adamw --epochs 3 --warmup 1 --force --test 0 --val 0");
    assert!(out.contains("No photos were set aside for an evaluation: --test and --val say how many are."), "{out}");
}
