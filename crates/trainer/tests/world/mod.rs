//! What tests of the binary share: a folder with photos and weights, and how the binary is run in it.

// Each file of tests uses a part of it.
#![allow(dead_code)]

mod drawn;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use resnet::Architecture;
use tempfile::TempDir;
use trainer::random_weights;

/// Prepares the binary to run on an adapter, be it software, so that the kernels are what is tested: a machine without one fails.
pub fn trainer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.env("REHEAD_ENGINE", "gpu");
    command
}

/// A folder with tiny weights and a data set of three classes, told apart by colour.
pub struct World {
    dir: TempDir,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        drawn::world(dir.path());
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn draw(&self, name: &str, colour: [u8; 3], index: u32) {
        drawn::draw(&self.path(name), colour, index);
    }

    /// Puts weights with a head of so many classes where the default backbone is looked for.
    pub fn keep_default(&self, classes: usize) {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let repository = self.path("hub/models--timm--resnet18.tv_in1k");
        let snapshot = repository.join("snapshots").join(commit);
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir_all(repository.join("refs")).unwrap();
        std::fs::write(repository.join("refs/main"), commit).unwrap();
        let architecture = Architecture::basic([1; 4], [8, 8, 16, 32], Some(classes));
        std::fs::write(snapshot.join("model.safetensors"), random_weights(&architecture, 1)).unwrap();
        let config = r#"{"pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 1.0}}"#;
        std::fs::write(snapshot.join("config.json"), config).unwrap();
    }

    /// Prepares the binary to run here.
    pub fn command(&self, line: &str) -> Command {
        let mut command = trainer();
        command
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .env("REHEAD_CACHE", self.path("cache"))
            .env("HF_HUB_CACHE", self.path("hub"))
            .env("HF_HUB_OFFLINE", "1")
            // What runs the tests doesn't run the program.
            .env_remove("CARGO");
        command
    }

    pub fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs, expects an exit code, returns stdout and stderr.
    pub fn expect(&self, code: i32, line: &str) -> (String, String) {
        let output = self.run(line);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert_eq!(output.status.code(), Some(code), "`trainer {line}`\n{out}\n{err}");
        (out, err)
    }

    pub fn train(&self, more: &str) -> (String, String) {
        self.expect(0, &format!("train photos --backbone weights.safetensors --recipe recipe.json --out run {more}"))
    }

    pub fn json(&self, line: &str) -> serde_json::Value {
        let (out, _) = self.expect(0, line);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}\n{out}"))
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Computes the features of all photos anew.
    pub fn features(&self, more: &str) -> Vec<f32> {
        self.expect(
            0,
            &format!("embed photos --backbone weights.safetensors --out f.safetensors --no-store --force {more}"),
        );
        let bytes = std::fs::read(self.path("f.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        file.tensor("features").unwrap().data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }
}

/// Lists the names in a folder, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Computes how far numbers lie from others, relative to the norm of these.
pub fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(want).map(|(got, want)| got - want)) / norm(&mut want.iter().copied())
}
