//! The backbone that is part of the program: laid out as files in the user's cache folder, for all that takes a file takes it then.

use std::path::Path;

use crate::digest;
use crate::error::{Error, Result};
use crate::files;
use crate::hub::files::{CONFIG, ModelFiles, WEIGHTS};
use crate::machine::cache_dir;

/// The name of the backbone that needs no download.
pub const EMBEDDED: &str = "demo";

const FILES: [(&str, &[u8]); 2] = [
    (WEIGHTS, include_bytes!("../../assets/demo/model.safetensors")),
    (CONFIG, include_bytes!("../../assets/demo/config.json")),
];

/// Finds its files in the user's cache folder, and writes those that aren't there whole.
///
/// # Errors
/// There is no cache folder, or nothing can be written into it.
pub(super) fn files() -> Result<ModelFiles> {
    let cache = cache_dir().ok_or_else(|| Error::Weights {
        name: EMBEDDED.to_owned(),
        problem: "it is laid out in the user's cache folder, and there is none".to_owned(),
        advice: "set REHEAD_CACHE to a folder".to_owned(),
    })?;
    files_in(&cache)
}

fn files_in(cache: &Path) -> Result<ModelFiles> {
    // Another version of this program may have others.
    let weights = FILES[0].1;
    let folder = cache.join("backbones").join(format!("{EMBEDDED}-{}", &digest::sha256(weights)[..16]));
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    for (name, bytes) in FILES {
        let path = folder.join(name);
        if !std::fs::read(&path).is_ok_and(|there| there == bytes) {
            files::write(&path, bytes)?;
        }
    }
    Ok(ModelFiles::beside(folder.join(WEIGHTS), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{open_weights, recipe_of};

    #[test]
    fn it_is_laid_out_whole_whatever_lies_there() {
        let cache = tempfile::tempdir().unwrap();
        let files = files_in(cache.path()).unwrap();
        assert_eq!(std::fs::read(&files.weights).unwrap(), FILES[0].1);
        let opened = open_weights(&files.weights).unwrap();
        let (_, from) = recipe_of(&opened, &files.weights).unwrap();
        assert_eq!(from, files.config);
        // A full disk, long ago.
        std::fs::write(&files.weights, &FILES[0].1[..100]).unwrap();
        assert_eq!(files_in(cache.path()).unwrap(), files);
        assert_eq!(std::fs::read(&files.weights).unwrap(), FILES[0].1);
        // What is whole isn't written again.
        let written = || std::fs::metadata(&files.weights).unwrap().modified().unwrap();
        let before = written();
        files_in(cache.path()).unwrap();
        assert_eq!(written(), before);
    }
}
