//! Tables of measured kernels in the user's cache: a file for each adapter, driver and version of this program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kernels::{TuneTable, wgpu};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::digest::hex;
use crate::error::Result;
use crate::words::{self, shown};

/// What a measurement holds for: on anything else it is nothing but a guess.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The adapter's name.
    pub adapter: String,
    /// Its maker's number.
    pub vendor: u32,
    /// Its number among the maker's.
    pub device: u32,
    /// The graphics interface.
    pub backend: String,
    /// The driver.
    pub driver: String,
    /// The driver's version.
    pub driver_version: String,
    /// This program's version, whose kernels were measured.
    pub program: String,
}

impl Key {
    /// Of this adapter and this program.
    pub fn of(info: &wgpu::AdapterInfo) -> Self {
        Self {
            adapter: info.name.clone(),
            vendor: info.vendor,
            device: info.device,
            backend: info.backend.to_string(),
            driver: info.driver.clone(),
            driver_version: info.driver_info.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The file that holds its table.
    pub fn path(&self, folder: &Path) -> PathBuf {
        let digest = Sha256::digest(serde_json::to_vec(self).expect("plain data"));
        folder.join(format!("{}.json", hex(&digest[..8])))
    }
}

/// A table that is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuned {
    /// Where it is.
    #[serde(serialize_with = "words::path")]
    pub path: PathBuf,
    /// Shapes that it holds.
    pub shapes: usize,
    /// Of what it holds, in hexadecimal digits.
    pub sha256: String,
}

impl Tuned {
    pub(super) fn new(path: PathBuf, variants: &BTreeMap<String, String>) -> Self {
        let sha256 = hex(&Sha256::digest(serde_json::to_vec(variants).expect("plain data")));
        Self { path, shapes: variants.len(), sha256 }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    pub key: Key,
    /// The variant of each class of shapes, as text.
    pub variants: BTreeMap<String, String>,
}

/// Loads the table measured for a key, if there is one. Variants that this version doesn't know are left out.
///
/// # Errors
/// Why a file that is there can't be used: in words for a warning, since all works without it.
pub fn load(folder: &Path, key: &Key) -> Result<Option<(TuneTable, Tuned)>, String> {
    let path = key.path(folder);
    let ignored = |why: String| format!("{}: {}; ignored until kernels are measured anew", shown(&path), shown(&why));
    let bytes = match resnet::regular::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ignored(error.to_string())),
    };
    let stored: Stored =
        serde_json::from_slice(&bytes).map_err(|error| ignored(format!("not a table of kernels: {error}")))?;
    if stored.key != *key {
        let Key { adapter, driver, driver_version, program, .. } = &stored.key;
        return Err(ignored(format!("measured on {adapter} ({driver} {driver_version}) by version {program}")));
    }
    let known = |(class, text): (&String, &String)| Some((class.clone(), text.parse().ok()?));
    let table = stored.variants.iter().filter_map(known).collect();
    Ok(Some((table, Tuned::new(path, &stored.variants))))
}
