//! Names as other systems and programs make them: bytes that aren't UTF-8, ends of lines, what steers a terminal or a spreadsheet.
#![cfg(unix)]

mod world;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use world::World;

/// A name of any bytes.
fn bytes(name: &[u8]) -> OsString {
    OsString::from_vec(name.to_vec())
}

/// Runs in the world's folder, expects success, checks that nothing printed steers a terminal, and returns the standard output.
fn plain(world: &World, args: &[&dyn AsRef<std::ffi::OsStr>]) -> String {
    let mut command = world::trainer();
    command
        .args(args.iter().map(|arg| arg.as_ref()))
        .current_dir(world.path("."))
        .env("REHEAD_CACHE", world.path("cache"));
    let output = command.output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{out}\n{err}");
    for text in [&out, &err] {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("b.png")), "an end of line in a name: {text}");
    }
    out
}

fn npy_rows(path: &Path) -> usize {
    trainer::export::npy_rows(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn names_of_any_bytes_reach_every_output_as_plain_text() {
    let world = World::new();
    let photos = world.path("").join(bytes(b"ph\xff\x1b[2J"));
    std::fs::rename(world.path("photos"), &photos).unwrap();
    std::fs::rename(photos.join("red"), photos.join("=red")).unwrap();
    let rename =
        |from: &str, to: &[u8]| std::fs::rename(photos.join(from), photos.join("blue").join(bytes(to))).unwrap();
    rename("blue/00.png", b"a\nb.png");
    rename("blue/01.png", b"\x1b]0;title\x07.png");
    rename("blue/02.png", b"\xff\xfe.png");
    std::fs::write(photos.join("blue").join(bytes(b"bad\r\xff\nb.png")), "no photo").unwrap();

    let run = PathBuf::from(bytes(b"r\xffun\nb.png"));
    let backbone = ["--backbone", "weights.safetensors", "--recipe", "recipe.json"];
    let [flag, weights, flag2, recipe] = &backbone;
    let printed = plain(&world, &[&"train", &photos, flag, weights, flag2, recipe, &"--out", &run]);
    assert!(printed.contains("Report: r\u{fffd}un\\nb.png/report.html\n"), "{printed}");
    let run = world.path("").join(run);
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("config.json")).unwrap()).unwrap();
    assert!(config["data"].as_str().unwrap().ends_with("ph\u{fffd}\u{1b}[2J"), "{config}");
    assert_eq!(config["rejected"][0]["name"], "blue/bad\\r\u{fffd}\\nb.png");

    plain(&world, &[&"train", &photos, flag, weights, flag2, recipe, &"--out", &run, &"--force", &"--json"]);
    let evaluated = world.path("").join(bytes(b"p\xff.csv"));
    plain(&world, &[&"evaluate", &run, &photos, &"--all", &"--predictions", &evaluated]);
    for table in [run.join("predictions.csv"), evaluated] {
        let mut rows = csv::Reader::from_path(table).unwrap();
        let rows: Vec<csv::StringRecord> = rows.records().map(|row| row.unwrap()).collect();
        assert_eq!(rows.len(), 36);
        assert!(rows.iter().any(|row| &row[0] == "blue/a\\nb.png" && &row[2] == "blue"), "{rows:?}");
        assert!(rows.iter().any(|row| row[0].starts_with("'=red/") && &row[2] == "'=red"), "{rows:?}");
        assert!(!rows.iter().flatten().any(|cell| cell.starts_with(['=', '+', '-', '@']) || cell.contains('\n')));
    }

    let odd = photos.join("blue").join(bytes(b"\xff\xfe.png"));
    let predicted: serde_json::Value =
        serde_json::from_str(&plain(&world, &[&"predict", &run, &odd, &"--json"])).unwrap();
    assert!(predicted["photos"][0]["path"].as_str().unwrap().ends_with("blue/\u{fffd}\u{fffd}.png"), "{predicted}");
    assert!(plain(&world, &[&"predict", &run, &photos]).contains("blue/a\\nb.png\n"));

    let array = world.path("").join(bytes(b"f\xff.npy"));
    plain(&world, &[&"embed", &photos, flag, weights, &"--out", &array]);
    let names = std::fs::read_to_string(array.with_extension("txt")).unwrap();
    assert_eq!((names.lines().count(), npy_rows(&array)), (36, 36));
    assert!(names.lines().any(|name| name == "blue/a\\nb.png"), "{names}");
    plain(&world, &[&"embed", &photos, flag, weights, &"--out", &"f.safetensors", &"--json"]);
}

#[test]
fn what_a_weight_file_says_of_itself_is_printed_as_plain_text() {
    let world = World::new();
    let architecture = resnet::Architecture::basic([1; 4], [4, 4, 8, 8], Some(2));
    let bytes = trainer::random_weights(&architecture, 1);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let write = |extra: &str, metadata: &[(&str, &str)]| {
        let metadata = metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let mut tensors = file.tensors();
        if !extra.is_empty() {
            tensors.push((extra.to_owned(), file.tensor("fc.bias").unwrap()));
        }
        let folder = world.path("odd");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.safetensors"), safetensors::serialize(tensors, Some(metadata)).unwrap()).unwrap();
    };
    write("", &[("license", "mit\nb.png \u{1b}[2J"), ("labels", r#"["x\n\u001b[2J", "y"]"#)]);
    assert!(plain(&world, &[&"inspect", &"odd/a.safetensors"]).contains(r"mit\nb.png \u{1b}[2J, says"));
    assert!(plain(&world, &[&"predict", &"odd/a.safetensors", &"photos/red/00.png"]).contains(r"x\n\u{1b}[2J"));

    std::fs::rename(world.path("odd"), world.path("odd\u{9b}\u{7f}")).unwrap();
    let found = plain(&world, &[&"inspect", &"odd\u{9b}\u{7f}/a.safetensors", &"--json"]);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["weights"], "odd\u{9b}\u{7f}/a.safetensors");

    write("layer1.0.\nb.png\u{1b}[2J", &[]);
    let (_, err) = world.expect(3, "inspect odd/a.safetensors");
    assert!(err.contains(r"layer1.0.\nb.png\u{1b}[2J") && !err.contains('\u{1b}'), "{err}");
    write("", &[("recipe", r#"{"resi\n\u001b[2Jze": 3}"#)]);
    let (_, err) = world.expect(3, "inspect odd/a.safetensors");
    assert!(err.contains(r"resi\n\u{1b}[2Jze") && !err.contains('\u{1b}'), "{err}");
}
