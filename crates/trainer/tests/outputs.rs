//! What the binary writes where, and that it replaces nothing that isn't its own.

mod world;

use world::{World, files};

#[test]
fn features_for_other_programs() {
    let world = World::new();
    let command = "embed photos --backbone weights.safetensors --recipe recipe.json --out";
    let (out, _) = world.expect(0, &format!("{command} features.safetensors"));
    assert_eq!(out, "36 photos x 32 features in features.safetensors\n");
    let bytes = std::fs::read(world.path("features.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("features").unwrap().shape(), [36, 32]);
    world.expect(0, &format!("{command} features.npy"));
    let npy = std::fs::read(world.path("features.npy")).unwrap();
    assert!(npy.starts_with(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (36, 32), }"));
    assert_eq!(npy[127], b'\n');
    assert_eq!(&npy[128..], file.tensor("features").unwrap().data());
    assert!(world.read("features.txt").starts_with("blue/00.png\nblue/01.png\n"));
    world.expect(0, &format!("{command} features.csv"));
    let csv = world.read("features.csv");
    assert!(csv.starts_with("path,f0,f1,") && csv.lines().count() == 37, "{csv}");
    world.expect(2, &format!("{command} features.bin"));
}

#[test]
fn nothing_is_replaced_that_is_not_ours() {
    let world = World::new();
    world.train("--optimizer adamw --epochs 2 --no-tune");
    let embed = "embed photos --backbone weights.safetensors --recipe recipe.json --out";
    let train = "train photos --backbone weights.safetensors --recipe recipe.json --out run2 --optimizer adamw --epochs 2 --store";
    // Weights, a photo, a run's files: refused before any work, with --force too, and untouched.
    for (line, victim) in [
        (format!("{embed} weights.safetensors --force"), "weights.safetensors"),
        (format!("{embed} run/model.safetensors --force"), "run/model.safetensors"),
        (format!("{embed} run/labels.npy --force"), "run/labels.txt"),
        ("evaluate run photos --force --predictions photos/red/00.png".to_owned(), "photos/red/00.png"),
        ("evaluate run photos --force --predictions run/labels.txt".to_owned(), "run/labels.txt"),
    ] {
        let before = std::fs::read(world.path(victim)).unwrap();
        let (_, err) = world.expect(2, &line);
        assert!(err.contains("holds something else than this would write"), "{line}: {err}");
        assert_eq!(std::fs::read(world.path(victim)).unwrap(), before, "{line}");
    }
    assert!(!world.path("run/labels.npy").exists());
    for other in ["photos", "weights.safetensors", "run"] {
        let (_, err) = world.expect(2, &format!("{train} {other}"));
        assert!(err.contains(&format!("error: {other}: ")), "{err}");
    }
    // What is ours is replaced if that is asked for.
    for (line, output) in [
        (format!("{embed} all.safetensors"), "all.safetensors"),
        (format!("{embed} all.npy"), "all.npy"),
        ("evaluate run photos --predictions told.csv".to_owned(), "told.csv"),
    ] {
        world.expect(0, &line);
        let before = std::fs::read(world.path(output)).unwrap();
        let (_, err) = world.expect(2, &line);
        assert!(err.contains("is there already: give another name, or --force to replace it"), "{err}");
        world.expect(0, &format!("{line} --force"));
        assert_eq!(std::fs::read(world.path(output)).unwrap(), before);
    }
    // Names lie beside their rows.
    std::fs::write(world.path("notes.txt"), "mine").unwrap();
    world.expect(2, &format!("{embed} notes.npy --force"));
    assert_eq!(world.read("notes.txt"), "mine");
    // A folder that isn't there is told before the work.
    let (_, err) = world.expect(5, "evaluate run photos --predictions no/such/folder.csv");
    assert!(err.contains("can't write"), "{err}");
}

#[test]
fn a_run_does_not_lie_among_the_photos() {
    let world = World::new();
    for out in ["photos/run", "photos", "photos/red", "photos/../photos/run"] {
        let line = format!("train photos --backbone weights.safetensors --recipe recipe.json --out {out}");
        let (_, err) = world.expect(2, &line);
        assert!(err.contains("lies in the folder of photos"), "{out}: {err}");
    }
    assert_eq!(files(&world.path("photos")), ["blue", "green", "red"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_stream_that_fails_decides_nothing_about_the_work() {
    let world = World::new();
    let line = "train photos --backbone weights.safetensors --recipe recipe.json --optimizer adamw --epochs 2 --out";
    // Nobody reads, the disk is full, it is closed.
    for (out, redirected) in [("first", "2>/dev/full"), ("second", "2>&-"), ("third", "2>&1 | head -c 1 >/dev/null")] {
        let command = format!("{} {line} {out} {redirected}", env!("CARGO_BIN_EXE_trainer"));
        let mut bash = std::process::Command::new("bash");
        bash.args(["-o", "pipefail", "-c", &command])
            .current_dir(world.path(""))
            .env("REHEAD_CACHE", world.path("cache"));
        let status = bash.status().unwrap();
        assert_eq!(status.code(), Some(0), "{redirected}");
        assert!(world.path(out).join("model.safetensors").exists(), "{redirected}");
    }
}
