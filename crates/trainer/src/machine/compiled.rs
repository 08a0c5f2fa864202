//! The driver's cache of compiled kernels (Vulkan's pipeline cache), kept in a file so that the next start needn't compile.
//!
//! A file for each device, named by wgpu: SHA-256, then what the driver gave. wgpu and the driver check that it is of this device
//! and version; the checksum tells whether it is whole. Whatever is wrong with it, kernels are compiled anew.

use std::path::{Path, PathBuf};

use kernels::wgpu::{
    AdapterInfo, Device, ErrorFilter, Features, PipelineCache, PipelineCacheDescriptor, util::pipeline_cache_key,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::files;

/// A device's cache, and its file.
pub struct Compiled {
    cache: PipelineCache,
    path: PathBuf,
    found: Found,
    /// SHA-256 of the file's content.
    saved: Option<Digest>,
}

/// What the file held at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// No file yet.
    Nothing,
    /// A whole cache of so many bytes, which the driver was given.
    Bytes(usize),
    /// Something that this program didn't write, or not to the end, or for another device; it will be replaced.
    Damaged,
}

impl Compiled {
    /// Opens the cache of this device in `folder`; none where the device was made without [`Features::PIPELINE_CACHE`].
    pub async fn open(device: &Device, info: &AdapterInfo, folder: &Path) -> Option<Self> {
        if !device.features().contains(Features::PIPELINE_CACHE) {
            return None;
        }
        let path = folder.join(pipeline_cache_key(info)?);
        // A file that can't be read is as good as none.
        let bytes = resnet::regular::read(&path).ok();
        let mut whole = bytes.as_deref().and_then(unwrap);
        let create = |data| {
            let descriptor = PipelineCacheDescriptor { label: Some("trainer"), data, fallback: true };
            // SAFETY: the data is what `get_data` gave an earlier run, as its checksum shows; it lies in a folder of the user's own.
            unsafe { device.create_pipeline_cache(&descriptor) }
        };
        let scope = device.push_error_scope(ErrorFilter::Validation);
        let mut cache = create(whole.map(|(_, data)| data));
        // An older driver's data is dropped in silence, another device's is an error.
        if scope.pop().await.is_some() {
            whole = None;
            cache = create(None);
        }
        let found = match (&bytes, whole) {
            (None, _) => Found::Nothing,
            (Some(_), None) => Found::Damaged,
            (Some(_), Some((_, data))) => Found::Bytes(data.len()),
        };
        Some(Self { cache, path, found, saved: whole.map(|(digest, _)| digest) })
    }

    /// Hands out the driver's cache, to make a context with.
    pub fn cache(&self) -> PipelineCache {
        self.cache.clone()
    }

    /// Gives the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells what the file held at the start.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Writes the driver's cache to its file, if it has changed since.
    ///
    /// # Errors
    /// The folder can't be made, the file not be written; what was there stays.
    pub fn save(&mut self) -> Result<()> {
        let Some(data) = self.cache.get_data() else { return Ok(()) };
        let digest: Digest = Sha256::digest(&data).into();
        if self.saved == Some(digest) {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        files::write(&self.path, &[&digest[..], &data].concat())?;
        self.saved = Some(digest);
        Ok(())
    }
}

/// Splits a file that is whole into its checksum and its data.
fn unwrap(bytes: &[u8]) -> Option<(Digest, &[u8])> {
    let (digest, data) = bytes.split_first_chunk()?;
    (Digest::from(Sha256::digest(data)) == *digest).then_some((*digest, data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::gpu::{self, Selection};

    #[test]
    fn what_was_compiled_is_found_again_and_damage_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("not/yet/there");
        let selection = Selection { compiled: Some(folder.clone()), ..Default::default() };
        let open = || pollster::block_on(gpu::open(&selection)).unwrap();
        let gpu = open();
        let Some(compiled) = &gpu.compiled else {
            assert!(!gpu.adapter.features().contains(Features::PIPELINE_CACHE), "an adapter with the feature has one");
            return;
        };
        assert_eq!((compiled.found(), compiled.path().parent()), (Found::Nothing, Some(&*folder)));
        let path = compiled.path().to_owned();
        assert!(!path.exists());
        // Something to compile; the cache is saved when the adapter is let go.
        let desc = kernels::MaxPool2dDesc::stem(1, 8, 8, 4);
        kernels::MaxPool2d::new(&gpu.context, &desc).unwrap();
        drop(gpu);
        let written = std::fs::read(&path).unwrap();
        let (_, data) = unwrap(&written).expect("a whole file");
        let gpu = open();
        assert_eq!(gpu.compiled.as_ref().unwrap().found(), Found::Bytes(data.len()));
        gpu.check().unwrap();
        drop(gpu);
        let mut other = written.clone();
        other[written.len() / 2 + 16] ^= 1;
        for damaged in [&b""[..], b"short", &written[..written.len() - 1], &other] {
            std::fs::write(&path, damaged).unwrap();
            let gpu = open();
            assert_eq!(gpu.compiled.as_ref().unwrap().found(), Found::Damaged, "{} bytes", damaged.len());
            gpu.check().unwrap();
            drop(gpu);
            assert!(unwrap(&std::fs::read(&path).unwrap()).is_some(), "it was replaced");
        }
        // Whole, but of another device.
        let mut foreign = data.to_vec();
        foreign[20] ^= 1;
        std::fs::write(&path, [&Sha256::digest(&foreign)[..], &foreign].concat()).unwrap();
        let gpu = open();
        assert_eq!(gpu.compiled.as_ref().unwrap().found(), Found::Damaged);
        gpu.check().unwrap();
    }
}
