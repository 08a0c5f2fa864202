//! Where the hub and its cache are, as the environment says.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};

/// Where the hub and its cache are, and how patient to be with them.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// The cache's folder, which holds one folder for each repository.
    pub cache: PathBuf,
    /// The hub's address, without a slash at its end; `user:password@` before its host goes to the hub alone, and into no message.
    pub endpoint: String,
    /// Proof of who asks, sent to the endpoint alone.
    pub token: Option<String>,
    /// Whether no requests are made.
    pub offline: bool,
    /// How long to wait for a connection, an answer, or the next bytes.
    pub timeout: Duration,
    /// How often a request that brings nothing is tried.
    pub attempts: u32,
    /// The pause after a failed try; each further one is twice as long.
    pub pause: Duration,
    /// The longest pause, also if the hub asks for a longer one.
    pub longest_pause: Duration,
    /// The most bytes of a file: one of unknown length would otherwise end where the disk does.
    pub largest: u64,
}

impl Options {
    /// Reads the environment, by the variables of huggingface_hub: `HF_HUB_CACHE`, `HF_HOME` and `XDG_CACHE_HOME` for the cache,
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
                Some(path) => match resnet::regular::read_to_string(&path) {
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
            // The largest ResNet of timm's, resnext101_32x48d, has 3.3 GB.
            largest: 8 << 30,
        })
    }
}

/// Hides user and password of an address, whatever else is wrong with it.
pub(super) fn hidden(address: &str) -> String {
    address.rsplit_once('@').map_or_else(|| address.to_owned(), |(_, host)| format!("…@{host}"))
}

/// All but the token and the password.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("cache", &self.cache)
            .field("endpoint", &hidden(&self.endpoint))
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
}
