//! Pretrained weights by name: a file, a folder, a short name, or a repository of the Hugging Face hub.
//!
//! | written | means |
//! |---|---|
//! | `resnet18` … (see [`DEFAULTS`]) | the repository that this name stands for |
//! | `weights/mine.safetensors` | this file |
//! | `models/mine` | this folder's `model.safetensors`, with its `config.json` |
//! | `org/name`, `org/name@revision` | a repository of the hub, at a branch, tag or commit |
//!
//! Downloads go to the cache that Python's huggingface_hub keeps, in its layout, so that either finds what the other brought.
//! What the cache holds is taken from there without a request: a branch stays at the commit where it was first met. Without the
//! feature `hub` nothing is ever downloaded, but the cache is still read.

mod cache;
#[cfg(feature = "hub")]
mod client;
mod names;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use resnet::Recipe;

use crate::error::{Error, Result};
use crate::progress::Progress;
use cache::RepoCache;
pub use names::{DEFAULTS, DefaultRepo, Repo, Source};

/// The weights of a repository or folder.
pub const WEIGHTS: &str = "model.safetensors";
/// What else is fetched, where a repository has it: the recipe, timm's or transformers', and the model card, which states the licence.
const BESIDE: [&str; 3] = [CONFIG, PREPROCESSOR, CARD];
const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const CARD: &str = "README.md";

/// Where the hub and its cache are, and how patient to be with them.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// The cache's folder, which holds one folder for each repository.
    pub cache: PathBuf,
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// Proof of who asks, sent to the endpoint alone.
    pub token: Option<String>,
    /// Make no requests.
    pub offline: bool,
    /// How long to wait for a connection, an answer, or the next bytes.
    pub timeout: Duration,
    /// How often a request is tried that brings nothing.
    pub attempts: u32,
    /// The pause after a failed try; each further one is twice as long.
    pub pause: Duration,
    /// The longest pause, also if the hub asks for a longer one.
    pub longest_pause: Duration,
}

impl Options {
    /// From the environment, by the variables of huggingface_hub: `HF_HUB_CACHE`, `HF_HOME` and `XDG_CACHE_HOME` for the cache,
    /// `HF_ENDPOINT`, `HF_TOKEN` or the file at `HF_TOKEN_PATH`, and `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// There is a token's file, but it can't be read; there is no home folder and nothing else says where the cache is.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var_os(name), std::env::home_dir())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Result<Self> {
        let get = |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let text = |names: &[&str]| get(names).map(|value| value.to_string_lossy().trim().to_owned());
        let yes = |name: &str| {
            text(&[name]).is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.to_ascii_uppercase().as_str()))
        };
        let path = |names: &[&str]| {
            let path = PathBuf::from(get(names)?);
            Some(match (path.strip_prefix("~"), &home) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => path,
            })
        };
        let home_cache = || home.as_ref().map(|home| home.join(".cache"));
        let hf_home =
            path(&["HF_HOME"]).or_else(|| Some(path(&["XDG_CACHE_HOME"]).or_else(home_cache)?.join("huggingface")));
        let cache = path(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])
            .or_else(|| Some(hf_home.as_ref()?.join("hub")))
            .ok_or(Error::InvalidOption {
                option: "HF_HUB_CACHE",
                value: "nothing".to_owned(),
                expected: "a folder, as there is no home folder to keep downloads in",
            })?;
        let token = match text(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
            _ if yes("HF_HUB_DISABLE_IMPLICIT_TOKEN") => None,
            Some(token) => Some(token),
            None => match path(&["HF_TOKEN_PATH"]).or_else(|| Some(hf_home?.join("token"))) {
                Some(path) => match std::fs::read_to_string(&path) {
                    Ok(token) => Some(token.trim().to_owned()),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                    Err(error) => return Err(Error::io("read", &path)(error)),
                },
                None => None,
            },
        };
        let endpoint = text(&["HF_ENDPOINT"]).unwrap_or_else(|| "https://huggingface.co".to_owned());
        Ok(Self {
            cache,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token.filter(|token| !token.is_empty()),
            offline: yes("HF_HUB_OFFLINE") || yes("TRANSFORMERS_OFFLINE"),
            timeout: Duration::from_secs(30),
            attempts: 5,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        })
    }
}

/// All but the token.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// A backbone's files, all on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// The safetensors file.
    pub weights: PathBuf,
    /// The `config.json` beside it: timm's has the recipe.
    pub config: Option<PathBuf>,
    /// The `preprocessor_config.json` beside it: transformers' recipe.
    pub preprocessor: Option<PathBuf>,
    /// The model card beside it, which may state a licence.
    pub card: Option<PathBuf>,
    /// The commit, where the files are of a repository.
    pub revision: Option<String>,
}

impl ModelFiles {
    /// The files beside these weights.
    fn beside(weights: PathBuf, revision: Option<String>) -> Self {
        let [config, preprocessor, card] =
            BESIDE.map(|name| Some(weights.with_file_name(name)).filter(|path| path.is_file()));
        Self { weights, config, preprocessor, card, revision }
    }
}

/// Finds the files that `name` stands for, downloading what the cache lacks.
///
/// Any number of threads and processes may ask for the same at once: one downloads, the others wait for it.
///
/// # Errors
/// The name is malformed, or nothing is called so; the hub doesn't let us have it, can't be reached, or sends something else than
/// it announced; the cache can't be written to; [`Error::Interrupted`].
pub fn resolve(name: &str, options: &Options, progress: &dyn Progress) -> Result<ModelFiles> {
    match Source::parse(name)? {
        Source::File(path) => Ok(ModelFiles::beside(path, None)),
        Source::Folder(path) => {
            let weights = path.join(WEIGHTS);
            if weights.is_file() {
                Ok(ModelFiles::beside(weights, None))
            } else {
                Err(no_weights(name, listing(&path)?))
            }
        }
        Source::Repo(repo) => of_repo(name, &repo, options, progress),
    }
}

fn of_repo(name: &str, repo: &Repo, options: &Options, progress: &dyn Progress) -> Result<ModelFiles> {
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
        None if options.offline => {
            return Err(Error::Weights {
                name: name.to_owned(),
                problem: format!(
                    "not in the cache ({}), and HF_HUB_OFFLINE forbids to download it",
                    cache.folder().display()
                ),
                advice: "unset HF_HUB_OFFLINE, or copy the repository's folder of a machine that has it there"
                    .to_owned(),
            });
        }
        _ => {}
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

/// Names of the files in a folder.
fn listing(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(Error::io("list", folder))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Says what a folder or repository has instead of weights.
fn no_weights(name: &str, files: Vec<String>) -> Error {
    let first = |ends: &[&str]| files.iter().find(|file| ends.iter().any(|end| file.ends_with(end)));
    let advice = if let Some(index) = first(&[".safetensors.index.json"]) {
        format!(
            "{index} says that the weights are split over several files, which no ResNet needs: get a single {WEIGHTS}"
        )
    } else if let Some(file) = first(&[".safetensors"]) {
        format!("there is {file}: give that file itself, or rename it")
    } else if let Some(file) = first(&[".bin", ".pth", ".pt", ".pth.tar", ".ckpt"]) {
        format!(
            "there is {file}, which is never loaded, as it can run code: convert it with `python tools/convert.py {file}`"
        )
    } else {
        "give a folder or repository that has one, or a safetensors file".to_owned()
    };
    Error::Weights { name: name.to_owned(), problem: format!("no {WEIGHTS} in it"), advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> Result<Options> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        Options::from_variables(find, Some("/home/me".into()))
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        for (variables, expected) in [
            (&[][..], "/home/me/.cache/huggingface/hub"),
            (&[("HF_HOME", "")], "/home/me/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/xdg")], "/xdg/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/xdg"), ("HF_HOME", "/hf")], "/hf/hub"),
            (&[("HF_HOME", "~/hf")], "/home/me/hf/hub"),
            (&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/old"),
            (&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/c"),
        ] {
            assert_eq!(options(variables).unwrap().cache, Path::new(expected), "{variables:?}");
        }
        assert!(Options::from_variables(|_| None, None).unwrap_err().to_string().contains("HF_HUB_CACHE"));
    }

    #[test]
    fn the_other_variables_are_read() {
        let plain = options(&[]).unwrap();
        assert_eq!((plain.endpoint.as_str(), plain.token, plain.offline), ("https://huggingface.co", None, false));
        let set = options(&[("HF_ENDPOINT", "http://mirror/x/"), ("HF_TOKEN", " secret\n"), ("HF_HUB_OFFLINE", "yes")]);
        let set = set.unwrap();
        assert_eq!(
            (set.endpoint.as_str(), set.token.as_deref(), set.offline),
            ("http://mirror/x", Some("secret"), true)
        );
        assert!(!format!("{set:?}").contains("secret"));
        assert!(!options(&[("HF_HUB_OFFLINE", "0")]).unwrap().offline);

        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "filed\n").unwrap();
        let home = folder.path().to_str().unwrap();
        assert_eq!(options(&[("HF_HOME", home)]).unwrap().token.as_deref(), Some("filed"));
        assert_eq!(options(&[("HF_HOME", home), ("HF_TOKEN", "given")]).unwrap().token.as_deref(), Some("given"));
        assert_eq!(options(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).unwrap().token, None);
        assert!(options(&[("HF_TOKEN_PATH", home)]).is_err(), "a folder is no token");
    }

    #[test]
    fn a_folder_is_a_model_if_it_holds_weights() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().to_str().unwrap();
        let ask = || resolve(name, &options(&[]).unwrap(), &());
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
