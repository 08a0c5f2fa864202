//! Resolves the name that a user writes for a backbone to files on this machine, downloading what is missing.

use std::path::Path;

use resnet::Recipe;

use crate::error::{Error, Result};
use crate::hub::cache::RepoCache;
#[cfg(feature = "hub")]
use crate::hub::client;
use crate::hub::embedded;
use crate::hub::files::{CONFIG, ModelFiles, PREPROCESSOR, WEIGHTS, no_weights};
use crate::hub::names::{Repo, Source};
use crate::hub::options::{Options, hidden};
use crate::progress::Progress;
use crate::words::shown;

/// Finds the files that `name` stands for, downloading what the cache lacks.
///
/// Any number of threads and processes may ask for the same at once: one downloads, the others wait for it.
///
/// # Errors
/// The name is malformed, or nothing is called so; the hub refuses it, can't be reached, or sends something else than
/// it announced; the cache can't be written to; [`Error::Interrupted`].
pub fn resolve(name: &str, options: &Options, progress: &dyn Progress) -> Result<ModelFiles> {
    find(name, |repo| of_repo(name, repo, options, &Asked { progress, first: &|| Ok(()) }))
}

/// Finds the files that `name` stands for as [`resolve`] does, with the options of the environment. A file or folder on this machine needs none:
/// whatever is wrong with them stops only what is asked of a repository.
///
/// # Errors
/// As [`resolve`] and [`Options::from_env`].
pub fn resolve_by_env(name: &str, progress: &dyn Progress) -> Result<ModelFiles> {
    resolve_after(name, progress, &|| Ok(()))
}

/// Finds the files that `name` stands for as [`resolve_by_env`] does. Where they aren't at hand, `first` comes before anything is asked of the hub: work
/// that needs no weights, so that what fails by itself fails without a download.
///
/// # Errors
/// As [`resolve_by_env`]; that of `first`.
pub fn resolve_after(name: &str, progress: &dyn Progress, first: &dyn Fn() -> Result<()>) -> Result<ModelFiles> {
    find(name, |repo| of_repo(name, repo, &Options::from_env()?, &Asked { progress, first }))
}

/// Who watches, and what comes before a download.
struct Asked<'a> {
    progress: &'a dyn Progress,
    first: &'a dyn Fn() -> Result<()>,
}

fn find(name: &str, of_repo: impl FnOnce(&Repo) -> Result<ModelFiles>) -> Result<ModelFiles> {
    match Source::parse(name)? {
        Source::Embedded => embedded::files(),
        Source::File(path) => Ok(ModelFiles::beside(path, None)),
        Source::Folder(path) => {
            let weights = path.join(WEIGHTS);
            if weights.is_file() {
                Ok(ModelFiles::beside(weights, None))
            } else {
                Err(no_weights(name, listing(&path)?))
            }
        }
        Source::Repo(repo) => of_repo(&repo),
    }
}

fn of_repo(name: &str, repo: &Repo, options: &Options, asked: &Asked<'_>) -> Result<ModelFiles> {
    let progress = asked.progress;
    let cache = RepoCache::new(&options.cache, &repo.id);
    let cached = cache.commit(&repo.revision)?.and_then(|commit| {
        let weights = cache.file(&commit, WEIGHTS)?;
        // A cache filled by others may lack what tells the recipe.
        let known = [CONFIG, PREPROCESSOR].iter().all(|name| cache.knows(&commit, name));
        let whole = known || !matches!(Recipe::beside(&weights), Ok((_, None)));
        Some((ModelFiles::beside(weights, Some(commit)), whole))
    });
    match cached {
        Some((files, whole)) if whole || options.offline => return Ok(files),
        _ => (asked.first)()?,
    }
    if options.offline {
        return Err(Error::Weights {
            name: name.to_owned(),
            problem: format!("not in the cache ({}), and HF_HUB_OFFLINE forbids to download it", shown(cache.folder())),
            advice: format!("unset HF_HUB_OFFLINE, or {}", repo.by_hand(&hidden(&options.endpoint))),
        });
    }
    #[cfg(feature = "hub")]
    let downloaded = client::Client::new(name, repo, options, progress)
        .and_then(|client| client.download(&cache))
        .map(|commit| ModelFiles::beside(cache.snapshot(&commit).join(WEIGHTS), Some(commit)));
    #[cfg(not(feature = "hub"))]
    let downloaded = Err(Error::Network {
        name: name.to_owned(),
        problem: "not in the cache, and this program was built without the feature `hub`, so it downloads nothing"
            .to_owned(),
        advice: format!("put it there by `hf download {}`, or give a file", repo.id),
    });
    match (downloaded, cached) {
        (Err(error @ Error::Network { .. }), Some((files, _))) => {
            let commit = files.revision.as_deref().unwrap_or_default();
            progress.warn(&format!("{error}\ntaking what the cache holds, commit {commit}"));
            Ok(files)
        }
        (result, _) => result,
    }
}

/// Lists the names of the files in a folder.
fn listing(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(Error::io("list", folder))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_a_model_if_it_holds_weights() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().to_str().unwrap();
        let ask = || resolve_by_env(name, &());
        let write = |name: &str| std::fs::write(folder.path().join(name), "{}").unwrap();
        for (file, expected) in [
            ("notes.txt", "no model.safetensors in it; give a folder"),
            ("pytorch_model.bin", "python tools/convert.py pytorch_model.bin"),
            ("mine.safetensors", "there is mine.safetensors"),
            ("model.safetensors.index.json", "split"),
        ] {
            write(file);
            let error = ask().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        write(WEIGHTS);
        write(CONFIG);
        let files = ask().unwrap();
        assert_eq!(files.weights, folder.path().join(WEIGHTS));
        assert_eq!(files.config, Some(folder.path().join(CONFIG)));
        assert_eq!((files.preprocessor, files.revision), (None, None));
    }
}
