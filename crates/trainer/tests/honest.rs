//! Honest parts: what belongs together plays one part, and what leaks between folders is named and left out beside.

mod world;

use std::collections::HashMap;
use std::path::Path;

use image::RgbImage;
use image::imageops::{self, crop_imm};
use world::World;

/// Opens one of the demo's photos.
fn photo(class: usize, index: usize) -> RgbImage {
    let class = ["glass", "metal", "paper"][class];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/photos").join(class);
    let name = &world::files(&folder)[index];
    image::open(folder.join(name)).unwrap().into_rgb8()
}

fn save(image: &RgbImage, path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save(path).unwrap();
}

/// Cuts away an eighth of each side's length.
fn crop(image: &RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    crop_imm(image, width / 16, height / 20, width * 7 / 8, height * 7 / 8).to_image()
}

/// Reads which part each photo of a run played.
fn parts(world: &World, run: &str) -> HashMap<String, String> {
    let table = world.read(&format!("{run}/predictions.csv"));
    let part = table.lines().next().unwrap().split(',').position(|name| name == "part").unwrap();
    table
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            (cells[0].to_owned(), cells[part].to_owned())
        })
        .collect()
}

#[test]
fn crops_and_mirror_images_play_the_part_of_their_photo() {
    let world = World::new();
    let mut made = Vec::new();
    for class in 0..3 {
        for index in 0..24 {
            let photo = photo(class, index);
            let name = format!("{class}/{index:02}");
            save(&photo, &world.path(&format!("seen/{name}.png")));
            if index % 4 == 0 {
                save(&crop(&photo), &world.path(&format!("seen/{name}-crop.png")));
                save(&imageops::flip_horizontal(&photo), &world.path(&format!("seen/{name}-mirrored.png")));
                made.push(name);
            }
        }
    }
    let train = |more: &str| {
        let line = format!("train seen --backbone demo --optimizer adamw --epochs 2 --out run --force {more}");
        let (_, err) = world.expect(0, &line);
        let parts = parts(&world, "run");
        let apart = made.iter().filter(|name| {
            let of = |end: &str| &parts[&format!("{name}{end}.png")];
            of("") != of("-crop") || of("") != of("-mirrored")
        });
        (err, apart.count(), parts)
    };
    let (err, apart, parts) = train("");
    assert!(err.contains("nearly the same as another"), "{err}");
    // Each that is found joins one to another: 36 were made, and some photos show one thing.
    let told = err.split(" photos nearly the same").next().unwrap().rsplit(' ').next().unwrap();
    assert!((30..=42).contains(&told.parse().unwrap()), "{err}");
    assert!(apart <= 3, "{apart}: {err}");
    let tests = parts.values().filter(|part| *part == "test").count();
    assert!((18..=24).contains(&tests), "{tests} of {}", parts.len());
    let (err, apart, _) = train("--duplicates apart");
    assert!(apart >= 6 && !err.contains("nearly the same"), "{apart}: {err}");
    assert!(world.read("run/config.json").contains("\"duplicates\": \"apart\""));
}

#[test]
fn what_leaks_between_folders_is_named_and_left_out_beside() {
    let world = World::new();
    for class in 0..3 {
        for index in 0..20 {
            let part = ["train", "train", "train", "test"][index % 4];
            save(&photo(class, index), &world.path(&format!("seen/{part}/{class}/{index:02}.png")));
        }
        let copied = world.path(&format!("seen/test/{class}/copy.png"));
        std::fs::copy(world.path(&format!("seen/train/{class}/00.png")), copied).unwrap();
        save(&crop(&photo(class, 2)), &world.path(&format!("seen/test/{class}/crop.png")));
    }
    let line = "train seen --backbone demo --optimizer adamw --epochs 2 --out run";
    let (out, err) = world.expect(0, line);
    assert!(err.contains("test/0/copy.png is a copy of train/0/00.png"), "{err}");
    assert!(err.contains("test/1/crop.png is nearly the same as train/1/02.png"), "{err}");
    let metrics: serde_json::Value = serde_json::from_str(&world.read("run/metrics.json")).unwrap();
    let counts = ["test", "test_without_leaks"].map(|field| metrics[field]["count"].as_u64().unwrap());
    let leaks = metrics["leaks"].as_u64().unwrap();
    // Three copies, and of three crops those that are found.
    assert!((5..=6).contains(&leaks) && counts == [21, 21 - leaks], "{leaks}, {counts:?}");
    assert!(err.contains(&format!("{leaks} photos of the folders to validate or to test aren't new")), "{err}");
    let told = format!("{leaks} photos to test aren't new to the head");
    assert!(out.contains(&told) && world.read("run/report.html").contains(&told), "{out}");
    assert!(out.contains(&format!("of {} other photos it gets ", 21 - leaks)), "{out}");

    // Where nothing leaks nothing is said of it.
    for class in 0..3 {
        for name in ["copy", "crop"] {
            std::fs::remove_file(world.path(&format!("seen/test/{class}/{name}.png"))).unwrap();
        }
    }
    let (out, err) = world.expect(0, &format!("{line} --force"));
    assert!(!err.contains("aren't new") && !out.contains("aren't new"), "{out}{err}");
    let metrics: serde_json::Value = serde_json::from_str(&world.read("run/metrics.json")).unwrap();
    assert!(metrics["leaks"] == 0 && metrics["test_without_leaks"].is_null());
}

#[test]
fn an_evaluation_names_what_is_nearly_the_same_as_a_photo_that_was_learnt_from() {
    let world = World::new();
    for class in 0..3 {
        for index in 0..20 {
            let photo = photo(class, index);
            let folder = if index < 14 { "seen" } else { "others" };
            save(&photo, &world.path(&format!("{folder}/{class}/{index:02}.png")));
            if index < 2 {
                save(&crop(&photo), &world.path(&format!("others/{class}/crop {index}.png")));
            }
        }
        std::fs::copy(world.path(&format!("seen/{class}/03.png")), world.path(&format!("others/{class}/copy.png")))
            .unwrap();
    }
    let line = "train seen --backbone demo --optimizer adamw --epochs 2 --out run --test 0 --val 0";
    world.expect(0, line);
    // Its photos are read once more, when their dates are old enough to be trusted.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    world.expect(0, &format!("{line} --force"));
    let evaluate = |more: &str| {
        let (out, err) = world.expect(0, &format!("evaluate run others --json {more}"));
        (serde_json::from_str::<serde_json::Value>(&out).unwrap(), err)
    };
    let (judged, err) = evaluate("");
    let near = judged["nearly_seen"].as_array().unwrap();
    // Of six crops those that are found, and drawings that this small network tells apart less well than photos.
    let is_crop = |pair: &&serde_json::Value| {
        let [photo, with] = ["photo", "with"].map(|field| pair[field].as_str().unwrap());
        photo.contains("crop") && photo.replace("crop ", "0") == with
    };
    let crops = near.iter().filter(is_crop).count();
    assert!((5..=6).contains(&crops) && near.len() <= crops + 2, "{near:?}");
    let first = near[0]["photo"].as_str().unwrap();
    assert!(err.contains(&format!("{first} is nearly the same as {}", near[0]["with"].as_str().unwrap())), "{err}");
    let counts = ["evaluation", "evaluation_without_nearly_seen"].map(|field| judged[field]["count"].as_u64().unwrap());
    assert_eq!((counts, &judged["left_out_as_seen"]), ([24, 24 - near.len() as u64], &3.into()));
    assert!(judged["not_compared"] == 0 && !err.contains("no features are kept"), "{err}");
    let (out, _) = world.expect(0, "evaluate run others");
    assert!(out.contains(&format!("{} photos aren't new to the head", near.len())), "{out}");
    // Who asks for all isn't told.
    let (judged, err) = evaluate("--all");
    assert!(judged["nearly_seen"] == serde_json::json!([]) && !err.contains("nearly the same"), "{err}");
    // Without their features only copies are known, whose features are those of the copies.
    let (judged, err) = evaluate("--no-store");
    assert!(judged["nearly_seen"] == serde_json::json!([]) && judged["not_compared"] == 39, "{judged}");
    assert!(err.contains("of 39 of the 42 photos that the run was made with no features are kept"), "{err}");
    assert!(judged["evaluation_without_nearly_seen"].is_null() && judged["left_out_as_seen"] == 3);
    // Where its pictures have gone, only what is all but equal counts.
    std::fs::rename(world.path("seen"), world.path("elsewhere")).unwrap();
    let (judged, err) = evaluate("");
    let gone = judged["nearly_seen"].as_array().unwrap();
    assert!(gone.len() < near.len() || gone.iter().all(|pair| pair["with"].is_null()), "{gone:?} {err}");
}

#[test]
fn groups_in_names_play_one_part() {
    let world = World::new();
    for (class, colour) in [("a", [200, 10, 10]), ("b", [10, 10, 200])] {
        for index in 0..24 {
            world.draw(&format!("grouped/{class}/day{}_{index}.png", index / 4), colour, index);
        }
    }
    world.draw("grouped/a/other.png", [200, 10, 10], 30);
    let train = "train grouped --backbone weights.safetensors --recipe recipe.json --optimizer adamw --epochs 2 --out run --force";
    let (_, err) = world.expect(0, &format!("{train} --group-by /(day[0-9]+)_"));
    assert!(err.contains("1 photo of no group, each taken by itself") && err.contains("none in a/other.png"), "{err}");
    let parts = parts(&world, "run");
    let of = |day: usize| {
        let photos = parts.iter().filter(move |(name, _)| name.contains(&format!("/day{day}_")));
        photos.map(|(_, part)| part.clone()).collect::<std::collections::HashSet<_>>()
    };
    // A day has photos of both classes.
    assert!((0..6).all(|day| of(day).len() == 1), "{parts:?}");
    assert_eq!((0..6).flat_map(of).collect::<std::collections::HashSet<_>>().len(), 3, "{parts:?}");
    let (_, err) = world.expect(2, &format!("{train} --group-by nowhere"));
    assert!(err.contains("\"nowhere\", which finds nothing in the first, "), "{err}");
    let (_, err) = world.expect(2, &format!("{train} --group-by ("));
    assert!(err.contains("regular expression"), "{err}");
}
