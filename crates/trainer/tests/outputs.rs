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
            .env("REHEAD_ENGINE", "gpu")
            .env("REHEAD_CACHE", world.path("cache"));
        let status = bash.status().unwrap();
        assert_eq!(status.code(), Some(0), "{redirected}");
        assert!(world.path(out).join("model.safetensors").exists(), "{redirected}");
    }
}

#[cfg(feature = "parquet")]
#[test]
fn tables_hold_what_other_files_hold() {
    use std::fs::File;

    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::{Field, Row};

    let rows = |path: std::path::PathBuf| -> Vec<Row> {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        reader.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect()
    };
    let world = World::new();
    let embed = "embed photos --backbone weights.safetensors --recipe recipe.json --out";
    world.expect(0, &format!("{embed} f.npy"));
    let (out, _) = world.expect(0, &format!("{embed} f.parquet"));
    assert_eq!(out, "36 photos x 32 features in f.parquet\n");
    let (names, npy) = (world.read("f.txt"), std::fs::read(world.path("f.npy")).unwrap());
    let features = rows(world.path("f.parquet"));
    assert_eq!(features.len(), 36);
    for ((row, name), values) in features.iter().zip(names.lines()).zip(npy[128..].chunks_exact(4 * 32)) {
        let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        let [Field::Str(path), Field::Str(sha256), Field::ListInternal(list)] = &fields[..] else { panic!("{row}") };
        assert_eq!((path.as_str(), sha256.len()), (name, 64));
        let values = values.as_chunks().0.iter().map(|&bytes| Field::Float(f32::from_le_bytes(bytes)));
        assert_eq!(list.elements(), values.collect::<Vec<_>>());
    }

    world.train("--optimizer adamw --epochs 2");
    world.expect(0, "predict run photos --out p.csv");
    world.expect(0, "predict run photos --out p.parquet");
    let predicted = rows(world.path("p.parquet"));
    let mut csv = csv::Reader::from_path(world.path("p.csv")).unwrap();
    let columns = csv.headers().unwrap().clone();
    let lines: Vec<_> = csv.records().map(|line| line.unwrap()).collect();
    assert_eq!((predicted.len(), lines.len()), (36, 36));
    for (row, line) in predicted.iter().zip(&lines) {
        let names: Vec<&str> = row.get_column_iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, columns.iter().collect::<Vec<_>>());
        for ((name, field), cell) in row.get_column_iter().zip(line) {
            let same = match field {
                Field::Null => cell.is_empty(),
                Field::Str(text) => text == cell,
                Field::Double(share) => format!("{share:.6}") == cell,
                _ => false,
            };
            assert!(same, "{name}: {field} and {cell}");
        }
    }

    // Somebody else's table stays, and ours is replaced where that is asked for; one kind isn't the other.
    for (line, output, other) in
        [(embed, "f.parquet", "p.parquet"), ("predict run photos --out", "p.parquet", "f.parquet")]
    {
        let before = std::fs::read(world.path(other)).unwrap();
        let (_, err) = world.expect(2, &format!("{line} {other} --force"));
        assert!(err.contains("holds something else than this would write"), "{err}");
        assert_eq!(std::fs::read(world.path(other)).unwrap(), before);
        let before = std::fs::read(world.path(output)).unwrap();
        let (_, err) = world.expect(2, &format!("{line} {output}"));
        assert!(err.contains("is there already"), "{err}");
        world.expect(0, &format!("{line} {output} --force"));
        assert_eq!(std::fs::read(world.path(output)).unwrap(), before, "the same rows are the same file");
    }
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_table_that_is_not_built_in_is_refused_before_any_work() {
    let world = World::new();
    for line in
        ["embed photos --backbone weights.safetensors --out f.parquet", "predict nowhere photos --out p.parquet"]
    {
        let (_, err) = world.expect(2, line);
        assert!(err.contains("this build can't write .parquet files") && err.contains("--features parquet"), "{err}");
    }
}
