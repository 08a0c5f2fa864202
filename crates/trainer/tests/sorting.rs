//! What `predict` does with many photos: results as they come, in files, and photos in folders of their classes.

mod world;

use world::{World, files};

#[test]
fn predictions_go_into_files() {
    let world = World::new();
    world.train("");
    let json = world.json("predict run photos --json");
    let photos = json["photos"].as_array().unwrap();
    let (out, _) = world.expect(0, "predict run photos --out said.csv");
    assert!(out.starts_with("\n36 photos: ") && out.lines().count() == 2, "{out}");
    let table = world.read("said.csv");
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("path,part,label,predicted,probability"), "{table}");
    for (line, photo) in lines.zip(photos) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(
            (cells[0], cells[3]),
            (photo["path"].as_str().unwrap(), photo["predictions"][0]["label"].as_str().unwrap())
        );
    }
    assert_eq!(table.lines().count(), 37);
    // The same as lines of JSON, on the standard output and in a file.
    let (out, _) = world.expect(0, "predict run photos --jsonl --out said.jsonl");
    let values: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&values, out), (photos, world.read("said.jsonl")));
    // Nothing is replaced unasked, and nothing of others at all.
    let (_, err) = world.expect(2, "predict run photos --out said.csv");
    assert!(err.contains("--force"), "{err}");
    world.expect(0, "predict run photos --out said.csv --force");
    world.expect(2, "predict run photos --out recipe.json");
    std::fs::write(world.path("mine.csv"), "a,b\n").unwrap();
    world.expect(2, "predict run photos --out mine.csv --force");
    assert_eq!(world.read("mine.csv"), "a,b\n");
}

#[test]
fn what_cannot_be_read_is_said_in_its_place() {
    let world = World::new();
    world.train("");
    std::fs::write(world.path("photos/red/01.png"), "no photo").unwrap();
    let (out, err) = world.expect(0, "predict run photos/red --jsonl");
    let line = out.lines().find(|line| line.contains("01.png")).unwrap();
    assert!(line.contains("\"rejected\":") && err.contains("1 photo left out"), "{line}{err}");
    assert_eq!(out.lines().count(), 12);
}

#[test]
fn photos_are_sorted_by_their_classes() {
    let world = World::new();
    world.train("");
    let (out, _) = world.expect(0, "predict run photos --sort-into sorted");
    assert!(out.contains("36 photos: "), "{out}");
    let sorted = |folder: &str| -> usize {
        let folder = world.path(folder);
        files(&folder).iter().map(|class| files(&folder.join(class)).len()).sum()
    };
    // Photos of three folders have the same names.
    assert_eq!(sorted("sorted"), 36);
    world.expect(0, "predict run photos --sort-into sorted");
    assert_eq!(sorted("sorted"), 36, "nothing twice");
    world.expect(0, "predict run photos --sort-into unsure --min-probability 1");
    assert_eq!((files(&world.path("unsure")), sorted("unsure")), (vec!["unsure".to_owned()], 36));
    let (_, err) = world.expect(2, "predict run photos --sort-into photos/sorted");
    assert!(err.contains("lies in a folder of these photos"), "{err}");
    world.expect(2, "predict run photos --min-probability 1.5");
    #[cfg(unix)]
    {
        world.expect(0, "predict run photos/red --sort-into links --link");
        let class = files(&world.path("links"))[0].clone();
        let photo = world.path("links").join(&class).join(&files(&world.path("links").join(&class))[0]);
        assert!(photo.is_symlink() && photo.exists());
    }
}
