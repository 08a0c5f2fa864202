//! The store by the command line: what is kept, its upkeep, and what an unchanged photo costs.

mod world;

use world::{World, files};

const TRAIN: &str =
    "train photos --backbone weights.safetensors --recipe recipe.json --optimizer adamw --epochs 2 --store store --out";

#[test]
fn what_is_kept_is_told_verified_and_dropped() {
    let world = World::new();
    let (out, _) = world.expect(0, "store info --store store");
    assert!(out.contains("nothing is kept yet"), "{out}");
    world.expect(0, &format!("{TRAIN} run"));
    let info = world.json("store info --store store --json");
    let key = info["keys"][0]["key"].as_str().unwrap().to_owned();
    assert_eq!((&info["keys"][0]["rows"], info["keys"].as_array().unwrap().len()), (&36.into(), 1));
    let (out, _) = world.expect(0, "store info --store store");
    assert!(out.contains("36 rows of features") && out.contains(&key[..12]) && out.contains("32 x 32 pixels"), "{out}");
    let (out, _) = world.expect(0, "store verify --store store");
    assert_eq!(out, "36 rows whole\n");

    let folder = world.path("store").join(&key);
    let segment = folder.join(&files(&folder)[0]);
    let mut bytes = std::fs::read(&segment).unwrap();
    let data = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    bytes[data + 3] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let (out, _) = world.expect(1, "store verify --store store --strict");
    assert!(out.contains("1 of 36 rows damaged") && out.contains("35 rows whole, 1 damaged"), "{out}");

    // What is in use stays, whatever its size.
    world.expect(0, "store prune --store store --max-gb 0");
    assert!(segment.exists());
    let (_, err) = world.expect(2, "store clear 00zz --store store");
    assert!(err.contains("the first digits of one key"), "{err}");
    let (out, _) = world.expect(0, &format!("store clear {} --store store", &key[..8]));
    assert!(out.starts_with("36 rows dropped"), "{out}");
    assert!(!segment.exists());
    // A folder of photos is no store.
    world.expect(2, "store clear --store photos");
    assert_eq!(files(&world.path("photos")).len(), 3);
}

#[test]
fn four_at_once_keep_every_row_once() {
    let world = World::new();
    std::thread::scope(|scope| {
        for run in 0..4 {
            let world = &world;
            scope.spawn(move || world.expect(0, &format!("{TRAIN} run{run}")));
        }
    });
    let (out, _) = world.expect(0, "store verify --store store");
    assert_eq!(out, "36 rows whole\n");
    let again = world.json(&format!("{TRAIN} again --json"));
    assert_eq!(again["photos"]["computed"], 0);
}

/// Fifty of those that `tools/faults --calls any --kills 1000` makes, and of other moments: only features are computed.
#[test]
fn whoever_is_killed_leaves_a_store_that_is_whole() {
    let world = World::new();
    let line = "embed photos --backbone weights.safetensors --recipe recipe.json --out f.npy --force --store";
    let begun = std::time::Instant::now();
    world.expect(0, &format!("{line} first"));
    let whole = begun.elapsed();
    let root = world.path("store");
    for kill in 0..50u32 {
        let mut child = world::trainer()
            .args(line.split_whitespace())
            .arg(&root)
            .current_dir(world.path(""))
            .env("REHEAD_CACHE", world.path("cache"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Most of the time goes by before the first row: the second half is looked at more closely.
        std::thread::sleep(whole * (25 + kill * 37 % 50 * 2) / 100);
        child.kill().unwrap();
        child.wait().unwrap();
        if root.exists() {
            let found = trainer::features::verify(&root, &()).unwrap();
            assert_eq!((found.damaged, found.problems), (0, Vec::new()), "after {kill} kills");
        }
        if kill % 8 == 7 {
            // From nothing again, so that there is something to write.
            trainer::features::clear(&root, None).unwrap();
        }
    }
    world.expect(0, &format!("{line} store"));
    assert_eq!(trainer::features::verify(&root, &()).unwrap().whole, 36);
}
