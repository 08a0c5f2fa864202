//! What tests of the binary share: a folder with photos and weights, and how the binary is run in it.

// Each file of tests uses a part of it.
#![allow(dead_code)]

mod drawn;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

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

    pub fn run(&self, line: &str) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .env("REHEAD_CACHE", self.path("cache"))
            .output();
        output.unwrap()
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
