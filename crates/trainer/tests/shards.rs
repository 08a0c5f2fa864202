//! Shards: parts that any number of processes write, in any order, killed or not, and what is read of them.

mod world;

use world::{World, files};

const WAY: &str = "--backbone weights.safetensors --recipe recipe.json";

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_what_to_build_with() {
    let world = World::new();
    let (_, err) = world.expect(2, &format!("features --manifest photos {WAY} --out parts"));
    assert!(err.contains("this build can't write .parquet files") && err.contains("--features parquet"), "{err}");
    std::fs::create_dir(world.path("parts")).unwrap();
    world.expect(3, "train --features parts --out run");
    assert_eq!(files(&world.path("parts")), [""; 0]);
}

#[cfg(feature = "parquet")]
mod built {
    use std::fs::File;
    use std::path::Path;
    use std::process::Stdio;
    use std::time::Duration;

    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    use super::{WAY, World, files};

    /// A world whose photos are told of by a table, two of which can't be read and two of which are copies.
    fn world() -> World {
        let world = World::new();
        let photos = world.path("photos");
        let mut table = "path,label,split,weight,group\n".to_owned();
        for class in ["blue", "green", "red"] {
            for (number, name) in files(&photos.join(class)).into_iter().enumerate() {
                let split = if number % 4 == 3 { "test" } else { "train" };
                table += &format!("photos/{class}/{name},{class},{split},{},g{number}\n", 1.0 + number as f64 / 8.0);
            }
        }
        std::fs::write(photos.join("red/broken.png"), b"no photo").unwrap();
        std::fs::copy(photos.join("red/00.png"), photos.join("red/copy.png")).unwrap();
        for name in ["broken.png", "copy.png", "gone.png"] {
            table += &format!("photos/red/{name},red,train,1,\n");
        }
        std::fs::write(world.path("photos.csv"), table).unwrap();
        world
    }

    fn features(manifest: &str, shard: &str, out: &str) -> String {
        format!("features --manifest {manifest} {WAY} --shard {shard} --out {out} --no-store")
    }

    fn bytes(path: &Path) -> Vec<u8> {
        std::fs::read(path).unwrap()
    }

    /// Computes all shards, the last first, and merges them.
    fn merged(world: &World, manifest: &str, of: usize, engine: &str) -> Vec<u8> {
        let out = format!("of-{of}");
        for index in (0..of).rev() {
            let done =
                world.json(&format!("{} --engine {engine} --json", features(manifest, &format!("{index}/{of}"), &out)));
            assert_eq!((&done["missing"], &done["skipped"]), (&index.into(), &false.into()), "{done}");
            assert_eq!(world.path(&out).join("_SUCCESS").exists(), index == 0);
        }
        world.expect(0, &format!("features --merge {out} --out {out}.parquet"));
        bytes(&world.path(&format!("{out}.parquet")))
    }

    /// Reads a column of a table as text.
    fn column(path: &Path, name: &str) -> Vec<Option<String>> {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let cell = |row: parquet::record::Row| {
            let (_, field) = row.get_column_iter().find(|(column, _)| *column == name).unwrap();
            match field {
                Field::Null => None,
                Field::Str(text) => Some(text.clone()),
                other => Some(other.to_string()),
            }
        };
        reader.get_row_iter(None).unwrap().map(|row| cell(row.unwrap())).collect()
    }

    #[test]
    fn however_many_shards_there_are_the_merged_table_is_the_same() {
        let world = world();
        for engine in ["cpu", "gpu"] {
            let one = merged(&world, "photos.csv", 1, engine);
            assert!(one == merged(&world, "photos.csv", 3, engine), "{engine}");
            assert!(one == merged(&world, "photos.csv", 17, engine), "{engine}");
            // The only part of one shard is that table.
            assert!(one == bytes(&world.path("of-1/part-00000-of-00001.parquet")));
            for of in ["of-1", "of-3", "of-17"] {
                std::fs::remove_dir_all(world.path(of)).unwrap();
                std::fs::rename(world.path(&format!("{of}.parquet")), world.path(&format!("{engine}-{of}.parquet")))
                    .unwrap();
            }
        }
    }
    /// Computes all shards of the world's table.
    fn job(world: &World, of: usize, out: &str) {
        (0..of).for_each(|index| drop(world.expect(0, &features("photos.csv", &format!("{index}/{of}"), out))));
    }

    #[test]
    fn a_photo_that_cannot_be_read_is_a_row_and_the_job_goes_on() {
        let world = world();
        job(&world, 2, "parts");
        world.expect(0, "features --merge parts --out all.parquet");
        let all = world.path("all.parquet");
        let (names, errors, digests) = (column(&all, "path"), column(&all, "error"), column(&all, "sha256"));
        assert_eq!((names.len(), errors.iter().flatten().count()), (39, 2));
        let said = |name: &str| {
            let place = names.iter().position(|other| other.as_deref() == Some(name)).unwrap();
            (digests[place].clone(), errors[place].clone().unwrap_or_default(), column(&all, "label")[place].clone())
        };
        let (digest, reason, label) = said("photos/red/broken.png");
        assert!(digest.is_none() && !reason.is_empty() && label.as_deref() == Some("red"), "{reason}");
        assert!(said("photos/red/gone.png").1.contains("can't be found"));
        assert_eq!(said("photos/red/copy.png").0, said("photos/red/00.png").0);
        // Sorted by content, what can't be read at the end.
        assert!(
            digests[..37].is_sorted() && digests[..37].iter().all(Option::is_some) && digests[37..] == [None, None]
        );
        // With --strict the exit code tells.
        world.expect(1, "features --merge parts --out strict.parquet --strict");
        // A job all of whose photos can't be read is one too.
        std::fs::write(world.path("none.csv"), "path\na.jpg\nb.jpg\n").unwrap();
        let done = world.json(&format!("{} --json", features("none.csv", "0/1", "none")));
        assert_eq!((&done["photos"], &done["errors"], &done["missing"]), (&2.into(), &2.into(), &0.into()), "{done}");
    }

    #[test]
    fn a_part_that_is_there_is_passed_over_and_a_damaged_one_is_written_anew() {
        let world = world();
        job(&world, 2, "parts");
        let parts = world.path("parts");
        let [part, success] = ["part-00001-of-00002.parquet", "_SUCCESS"].map(|name| parts.join(name));
        let (whole, said) = (bytes(&part), bytes(&success));
        let line = format!("{} --json", features("photos.csv", "1/2", "parts"));
        // No photo is read: there is none.
        std::fs::rename(world.path("photos"), world.path("elsewhere")).unwrap();
        let done = world.json(&line);
        assert_eq!((&done["skipped"], &done["computed"]), (&true.into(), &0.into()), "{done}");
        std::fs::rename(world.path("elsewhere"), world.path("photos")).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 3] ^= 1;
        for other in [&damaged[..], &whole[..whole.len() / 2], b""] {
            std::fs::write(&part, other).unwrap();
            let (_, err) = world.expect(3, "train --features parts --out run");
            assert!(err.contains("part-00001-of-00002.parquet"), "{err}");
            let output = world.run(&line);
            let err = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() && err.contains("the part is damaged"), "{err}");
            assert!(bytes(&part) == whole && bytes(&success) == said);
        }
        // A missing part takes the job's end back until it is there.
        std::fs::remove_file(&part).unwrap();
        let (_, err) = world.expect(3, "features --merge parts --out all.parquet");
        assert!(err.contains("part-00001-of-00002.parquet"), "{err}");
        world.expect(0, &line);
        assert!(bytes(&part) == whole && bytes(&success) == said);
        assert_eq!(files(&parts), ["_SUCCESS", "part-00000-of-00002.parquet", "part-00001-of-00002.parquet"]);
    }

    #[test]
    fn what_belongs_to_another_job_is_refused_by_name() {
        let world = world();
        let (_, err) = world.expect(3, "train --features nothing.parquet --out run");
        assert!(err.contains("nothing.parquet"), "{err}");
        world.expect(0, &features("photos.csv", "0/2", "parts"));
        let (_, err) = world.expect(3, "train --features parts --out run");
        assert!(err.contains("the job isn't finished: 1 part of 2, and no _SUCCESS"), "{err}");
        world.expect(0, &features("photos.csv", "1/2", "parts"));
        // Another number of shards, another manifest, another backbone's preparation.
        let (_, err) = world.expect(2, &features("photos.csv", "1/3", "parts"));
        assert!(err.contains("another number of shards"), "{err}");
        let (_, err) = world.expect(2, &features("photos", "1/2", "parts"));
        assert!(err.contains("is of another job") && err.contains("--force"), "{err}");
        let other = format!("{} --background white", features("photos.csv", "1/2", "parts"));
        let (_, err) = world.expect(2, &other);
        assert!(err.contains("is of another job"), "{err}");
        let success = bytes(&world.path("parts/_SUCCESS"));
        let done = world.json(&format!("{other} --force --json"));
        assert_eq!((&done["missing"], world.path("parts/_SUCCESS").exists()), (&1.into(), false), "{done}");
        std::fs::write(world.path("parts/_SUCCESS"), success).unwrap();
        let (_, err) = world.expect(3, "train --features parts --out run");
        assert!(err.contains("parts of two keys: part-00001-of-00002.parquet"), "{err}");
        // A part alone isn't the job, and a table of something else isn't a part.
        let (_, err) = world.expect(3, "train --features parts/part-00000-of-00002.parquet --out run");
        assert!(err.contains("one part of several"), "{err}");
        world.expect(0, &format!("embed photos/blue {WAY} --out foreign.parquet"));
        std::fs::rename(world.path("foreign.parquet"), world.path("parts/part-00001-of-00002.parquet")).unwrap();
        let (_, err) = world.expect(2, &format!("{} --force", features("photos.csv", "1/2", "parts")));
        assert!(err.contains("holds something else"), "{err}");
    }

    #[test]
    fn a_killed_process_leaves_nothing_or_the_whole_and_two_at_once_are_one() {
        let world = world();
        job(&world, 2, "expected");
        let expected = |name: &str| bytes(&world.path("expected").join(name));
        let part = "part-00000-of-00002.parquet";
        let started = std::time::Instant::now();
        world.expect(0, &features("photos.csv", "0/2", "time"));
        let whole = started.elapsed();
        let mut killed = 0;
        for share in 1..=12u32 {
            let mut child = world
                .command(&features("photos.csv", "0/2", "parts"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(whole * share / 12);
            let _ = child.kill();
            killed += usize::from(!child.wait().unwrap().success());
            let path = world.path("parts").join(part);
            assert!(!path.exists() || bytes(&path) == expected(part));
            if path.exists() {
                std::fs::remove_file(path).unwrap();
            }
        }
        assert!(killed > 0);
        std::thread::sleep(Duration::from_millis(10));
        let line = features("photos.csv", "0/2", "parts");
        let start = || world.command(&line).stdout(Stdio::null()).spawn().unwrap();
        let both = [start(), start()];
        assert!(both.into_iter().all(|mut child| child.wait().unwrap().success()));
        world.expect(0, &features("photos.csv", "1/2", "parts"));
        // What the dead left is gone, too.
        let names = files(&world.path("expected"));
        assert_eq!(files(&world.path("parts")), names);
        names.iter().for_each(|name| assert!(bytes(&world.path("parts").join(name)) == expected(name), "{name}"));
    }

    /// Reads the head of a run.
    fn head(world: &World, run: &str) -> Vec<Vec<u8>> {
        let bytes = bytes(&world.path(&format!("{run}/model.safetensors")));
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        ["fc.weight", "fc.bias"].map(|name| file.tensor(name).unwrap().data().to_vec()).to_vec()
    }

    #[test]
    fn a_head_of_parts_is_the_head_of_the_photos() {
        let world = world();
        let how = "--l2 0.1 --group-by 0(.)";
        world.expect(0, &format!("train photos.csv {WAY} --duplicates apart --l2 0.1 --no-store --out run"));
        for of in [1, 3] {
            job(&world, of, &format!("of-{of}"));
            let line = format!("train --features of-{of} --l2 0.1 --out by-{of} --json");
            let json = world.json(&line);
            assert_eq!(json["photos"]["rejected"], 2, "{json}");
            let (_, err) = world.expect(0, &format!("train --features of-{of} --l2 0.1 --out told-{of}"));
            assert!(err.contains("2 photos left out") && err.contains("photos/red/broken.png"), "{err}");
        }
        assert_eq!(head(&world, "by-1"), head(&world, "run"));
        for name in ["model.safetensors", "predictions.csv", "labels.txt"] {
            assert!(
                bytes(&world.path(&format!("by-1/{name}"))) == bytes(&world.path(&format!("by-3/{name}"))),
                "{name}"
            );
        }
        assert!(bytes(&world.path("by-1/predictions.csv")) == bytes(&world.path("run/predictions.csv")));
        // Labels of a table, by name; the merged file; groups by name; predictions.
        world.expect(0, "features --merge of-3 --out all.parquet");
        world.expect(0, "train --features all.parquet --labels photos.csv --l2 0.1 --out by-table");
        assert_eq!(head(&world, "by-table"), head(&world, "run"));
        world.expect(0, &format!("train --features of-3 {how} --out grouped"));
        let (out, _) = world.expect(0, "predict by-3 --features of-3 --jsonl");
        assert_eq!(out.lines().count(), 37);
        // Where the manifest says no label, names do.
        std::fs::remove_file(world.path("photos/red/broken.png")).unwrap();
        world.expect(0, &features("photos", "0/1", "names"));
        world.expect(0, "train --features names --l2 0.1 --out by-names");
        assert_eq!(world.read("by-names/labels.txt"), world.read("run/labels.txt"));
    }
}
