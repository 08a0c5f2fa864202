//! Photos from tables, archives and the standard input, through the command line.

mod world;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use world::World;

/// Trains on data into a run.
fn train(world: &World, data: &str, run: &str) {
    let how = "--backbone weights.safetensors --recipe recipe.json --optimizer adamw --epochs 3";
    world.expect(0, &format!("train {data} --out {run} {how}"));
}

/// Lists the photos below `photos`, by class.
fn photos(world: &World) -> Vec<(String, String)> {
    let classes = world::files(&world.path("photos"));
    let of = |class: &String| {
        let names = world::files(&world.path(&format!("photos/{class}")));
        names.into_iter().map(|name| (class.clone(), format!("{class}/{name}"))).collect::<Vec<_>>()
    };
    classes.iter().flat_map(of).collect()
}

fn tarred(path: &Path, members: &[(String, Vec<u8>)]) {
    let mut builder = tar::Builder::new(File::create(path).unwrap());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &content[..]).unwrap();
    }
    builder.finish().unwrap();
}

fn zipped(path: &Path, members: &[(String, Vec<u8>)]) {
    let mut archive = rawzip::ZipArchiveWriter::new(File::create(path).unwrap());
    for (name, content) in members {
        let (mut entry, config) = archive.new_file(name.as_str()).start().unwrap();
        let mut writer = config.wrap(&mut entry);
        writer.write_all(content).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
}

/// Runs with text on the standard input; gives the exit code, what was printed, and what was told.
fn piped(world: &World, line: &str, input: &str) -> (i32, String, String) {
    let mut child = world::trainer()
        .args(line.split_whitespace())
        .current_dir(world.path(""))
        .env("REHEAD_CACHE", world.path("cache"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Writes the photos' paths and labels as a Parquet table, and the photos themselves as another, where those can be read.
#[cfg(feature = "parquet")]
fn tables(world: &World, photos: &[(String, String)]) -> Vec<&'static str> {
    use std::sync::Arc;

    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    let texts = |of: &dyn Fn(&(String, String)) -> Vec<u8>| -> Vec<ByteArray> {
        photos.iter().map(|photo| of(photo).into()).collect()
    };
    let write = |name: &str, schema: &str, columns: &[Vec<ByteArray>]| {
        let schema = Arc::new(parse_message_type(&format!("message schema {{ {schema} }}")).unwrap());
        let file = File::create(world.path(name)).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for values in columns {
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(values, None, None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
    };
    let labels = texts(&|(class, _)| class.clone().into_bytes());
    let paths = texts(&|(_, name)| format!("photos/{name}").into_bytes());
    let contents = texts(&|(_, name)| std::fs::read(world.path("photos").join(name)).unwrap());
    let text = "required binary path (UTF8);";
    write("paths.parquet", &format!("{text} required binary label (UTF8);"), &[paths.clone(), labels.clone()]);
    let schema = format!("required group image {{ required binary bytes; {text} }} required binary label (UTF8);");
    write("cells.parquet", &schema, &[contents, paths, labels]);
    vec!["paths.parquet", "cells.parquet"]
}

#[cfg(not(feature = "parquet"))]
fn tables(_: &World, _: &[(String, String)]) -> Vec<&'static str> {
    Vec::new()
}

#[test]
fn a_run_is_the_same_whatever_held_its_photos() {
    let world = World::new();
    train(&world, "photos", "run");
    let photos = photos(&world);
    let rows =
        |line: &dyn Fn(&str, &str) -> String| photos.iter().map(|(class, name)| line(class, name)).collect::<String>();
    let csv = "image;species;notes\n".to_owned() + &rows(&|class, name| format!("photos/{name};{class};\n"));
    std::fs::write(world.path("a.csv"), &csv).unwrap();
    let members: Vec<(String, Vec<u8>)> = photos
        .iter()
        .map(|(_, name)| (name.clone(), std::fs::read(world.path("photos").join(name)).unwrap()))
        .collect();
    tarred(&world.path("a.tar"), &members);
    zipped(&world.path("a.zip"), &members);
    let samples = photos.iter().zip(&members).flat_map(|((class, name), (_, content))| {
        let key = name.replace('/', "_").replace(".png", "");
        [(format!("{key}.png"), content.clone()), (format!("{key}.cls"), class.clone().into_bytes())]
    });
    tarred(&world.path("samples.tar"), &samples.collect::<Vec<_>>());
    let mut all = vec!["a.csv", "a.tar", "a.zip", "samples.tar"];
    all.extend(tables(&world, &photos));
    let same = |data: &str| {
        for file in ["labels.txt", "model.safetensors"] {
            let read = |run: &str| std::fs::read(world.path(run).join(file)).unwrap();
            assert!(read("run") == read("run-2"), "{file} of {data}");
        }
        // Cells have no names but their rows' numbers, and so another order.
        let parts = |run: &str| {
            let parts: serde_json::Value = serde_json::from_str(&world.read(&format!("{run}/parts.json"))).unwrap();
            let photos = ["train", "validation", "test"].iter().zip(parts["labels"].as_array().unwrap()).flat_map(
                |(part, labels)| {
                    let digests = parts[part].as_array().unwrap().iter().zip(labels.as_array().unwrap());
                    digests.map(|(digest, label)| format!("{part} {label} {digest}")).collect::<Vec<_>>()
                },
            );
            photos.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(parts("run"), parts("run-2"), "{data}");
    };
    for data in all {
        std::fs::remove_dir_all(world.path("run-2")).unwrap_or_default();
        train(&world, data, "run-2");
        same(data);
        let config: serde_json::Value = serde_json::from_str(&world.read("run-2/config.json")).unwrap();
        assert!(config["data"].as_str().unwrap().ends_with(data), "{}", config["data"]);
        let judged = world.json(&format!("evaluate run {data} --all --json"));
        assert_eq!(
            (&judged["evaluation"]["count"], judged["left_out_as_seen"].as_u64()),
            (&36.into(), Some(0)),
            "{data}"
        );
        let predicted = world.json(&format!("predict run {data} --json"));
        assert_eq!(predicted["photos"].as_array().unwrap().len(), 36, "{data}");
    }
    // The mistakes of a run that learnt from an archive are shown as pictures too.
    let wrong = csv.replacen(";red;", ";green;", 6).replacen(";green;", ";red;", 6);
    std::fs::write(world.path("a.csv"), wrong).unwrap();
    let members: Vec<(String, Vec<u8>)> = members
        .iter()
        .cloned()
        .chain([("metadata.csv".to_owned(), std::fs::read(world.path("a.csv")).unwrap())])
        .map(|(name, content)| (if name.ends_with(".csv") { name } else { format!("photos/{name}") }, content))
        .collect();
    zipped(&world.path("wrong.zip"), &members);
    train(&world, "wrong.zip", "run-3");
    assert!(world.read("run-3/report.html").contains("data:image/jpeg;base64,"));
    // Photos may be named on the standard input, and so may labels.
    let list = rows(&|_, name| format!("photos/{name}\n"));
    let (code, out, err) = piped(&world, "predict run - --top 1 --json", &list);
    let predicted: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    assert_eq!((code, predicted["photos"].as_array().unwrap().len()), (0, 36));
    assert_eq!(predicted["photos"][0]["path"], "photos/blue/00.png");
    let (code, _, err) = piped(&world, "embed - --backbone weights.safetensors --out f.npy", &list);
    assert_eq!((code, world.read("f.txt").lines().count()), (0, 36), "{err}");
    let json = rows(&|class, name| format!("{{\"path\": \"photos/{name}\", \"label\": {class:?}}}\n"));
    let (code, out, err) = piped(&world, "evaluate run - --all", &json);
    assert!(code == 0 && out.contains("36 photos"), "{out}{err}");
    let (code, _, err) = piped(&world, "evaluate run -", &list);
    assert!(code == 3 && err.contains("36 photos without a label"), "{err}");
    // So it is with a training, whose labels must be there, and whose photos can't be listed again.
    let how = "--backbone weights.safetensors --recipe recipe.json --optimizer adamw --epochs 3 --out run-2 --force";
    let (code, _, err) = piped(&world, &format!("train - {how}"), &list);
    assert!(code == 3 && err.contains("36 photos without a label"), "{err}");
    let table = rows(&|class, name| format!("photos/{name},{class}\n"));
    for text in [json, format!("path,label\n{table}")] {
        std::fs::remove_dir_all(world.path("run-2")).unwrap();
        let (code, _, err) = piped(&world, &format!("train - {how}"), &text);
        assert_eq!(code, 0, "{err}");
        same("-");
    }
    let config: serde_json::Value = serde_json::from_str(&world.read("run-2/config.json")).unwrap();
    assert_eq!(config["data"], "-");
    let (_, err) = world.expect(2, "train --again run-2");
    assert!(err.contains("photos that can be listed again: give a folder or a table"), "{err}");
}

#[test]
fn what_a_table_lacks_is_said_in_the_command_line_s_words() {
    let world = World::new();
    let rows: String = photos(&world)
        .iter()
        .enumerate()
        .map(|(number, (class, name))| {
            format!("photos/{name},{class}{},{}\n", if class == "red" { 10 } else { 2 }, number % 3)
        })
        .collect();
    std::fs::write(world.path("a.csv"), format!("photo,kind,weight\n{rows}")).unwrap();
    let how = "--backbone weights.safetensors --recipe recipe.json --optimizer adamw --epochs 2 --out run";
    let (_, err) = world.expect(3, &format!("train a.csv {how}"));
    assert!(
        err.contains("its columns are \"photo\", \"kind\", \"weight\"")
            && err.contains("--column path=NAME says which it is"),
        "{err}"
    );
    let (_, err) = world.expect(2, &format!("train a.csv {how} --column species"));
    assert!(err.contains("WHAT=NAME, as in label=species"), "{err}");
    world.expect(2, &format!("train photos {how} --column label=kind"));
    let told = "--column path=photo --column label=kind";
    world.expect(0, &format!("train a.csv {how} {told} --class-order natural"));
    assert_eq!(world.read("run/labels.txt"), "blue2\ngreen2\nred10\n");
    let config: serde_json::Value = serde_json::from_str(&world.read("run/config.json")).unwrap();
    assert_eq!(
        (&config["data"]["columns"]["label"], &config["data"]["class_order"]),
        (&"kind".into(), &"natural".into())
    );
    // Weights move what is learnt.
    let model = std::fs::read(world.path("run/model.safetensors")).unwrap();
    world.expect(0, &format!("train a.csv {how} {told} --class-order natural --force"));
    assert!(std::fs::read(world.path("run/model.safetensors")).unwrap() == model);
    world.expect(0, &format!("train a.csv {how} {told} --column weight= --class-order natural --force"));
    assert!(std::fs::read(world.path("run/model.safetensors")).unwrap() != model);
    std::fs::write(world.path("several.csv"), "path,labels\nphotos/red/00.png,a;b\nphotos/red/01.png,a\n").unwrap();
    let (_, err) = world.expect(2, &format!("train several.csv {how} --force"));
    assert!(err.contains("expected lbfgs, since photos have several labels"), "{err}");
    std::fs::write(world.path("a.tar.gz"), "").unwrap();
    let (_, err) = world.expect(3, &format!("train a.tar.gz {how} --force"));
    assert!(err.contains("decompress it to a .tar"), "{err}");
    if !cfg!(feature = "parquet") {
        std::fs::write(world.path("a.parquet"), "PAR1").unwrap();
        let (_, err) = world.expect(3, &format!("train a.parquet {how} --force"));
        assert!(err.contains("this build can't read .parquet files") && err.contains("--features parquet"), "{err}");
    }
}

#[test]
fn photos_of_one_group_by_a_column_play_one_part() {
    let world = World::new();
    let patient = |number: usize| format!("patient {}", number % 12 / 2);
    let rows: String = (photos(&world).iter().enumerate())
        .map(|(number, (class, name))| format!("photos/{name},{class},{}\n", patient(number)))
        .collect();
    std::fs::write(world.path("a.csv"), format!("path,label,patient\n{rows}")).unwrap();
    let how = "--backbone weights.safetensors --recipe recipe.json --optimizer adamw --epochs 2 --duplicates apart";
    world.expect(0, &format!("train a.csv {how} --out run --group-by patient"));
    let predictions = world.read("run/predictions.csv");
    let part = |name: &str| {
        let line = predictions.lines().find(|line| line.starts_with(&format!("photos/{name},"))).unwrap();
        line.split(',').nth(1).unwrap().to_owned()
    };
    let mut parts: Vec<(String, String)> =
        photos(&world).iter().enumerate().map(|(number, (_, name))| (patient(number), part(name))).collect();
    parts.sort();
    parts.dedup();
    assert_eq!(parts.len(), 6, "{parts:?}");
    // On the standard input too, and again with a run's own settings.
    let (code, _, err) =
        piped(&world, &format!("train - {how} --out piped --group-by patient"), &format!("path,label,patient\n{rows}"));
    assert_eq!(code, 0, "{err}");
    let read = |run: &str| std::fs::read(world.path(run).join("parts.json")).unwrap();
    let before = read("run");
    assert!(read("piped") == before);
    world.expect(0, "train --again run");
    assert!(read("run") == before);
    let (_, err) = world.expect(2, &format!("train a.csv {how} --out other --group-by nobody"));
    assert!(err.contains("finds nothing in the first"), "{err}");
}
