//! The user's cache folder: where this program keeps what it can make again, such as compiled kernels and their measurements.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Finds the user's cache folder, if the environment names one; it need not exist yet.
///
/// `REHEAD_CACHE` where it is set; else `rehead` in `XDG_CACHE_HOME`, or in the place that the platform has for caches:
/// `~/Library/Caches`, `%LOCALAPPDATA%`, `~/.cache`.
pub fn cache_dir() -> Option<PathBuf> {
    from_variables(|name| std::env::var_os(name), std::env::home_dir())
}

fn from_variables(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(own) = path("REHEAD_CACHE") {
        return Some(own);
    }
    let in_home = |folder: &str| home.as_deref().map(|home: &Path| home.join(folder));
    let platform = || match () {
        () if cfg!(target_os = "macos") => in_home("Library/Caches"),
        () if cfg!(windows) => path("LOCALAPPDATA").or_else(|| in_home("AppData/Local")),
        () => in_home(".cache"),
    };
    // The specification says that a relative path means nothing.
    let caches = path("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(platform)?;
    Some(caches.join("rehead"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_s_word_then_the_standard_then_the_platform() {
        let home = std::env::temp_dir();
        let found = |variables: &[(&str, &Path)]| {
            let get = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_os_str().to_owned())
            };
            from_variables(get, Some(home.clone())).unwrap()
        };
        let xdg = home.join("xdg");
        assert_eq!(found(&[("REHEAD_CACHE", Path::new("own")), ("XDG_CACHE_HOME", &xdg)]), Path::new("own"));
        assert_eq!(found(&[("REHEAD_CACHE", Path::new("")), ("XDG_CACHE_HOME", &xdg)]), xdg.join("rehead"));
        let platform = found(&[]);
        assert!(platform.starts_with(&home) && platform.ends_with("rehead"), "{platform:?}");
        assert_eq!(found(&[("XDG_CACHE_HOME", Path::new("relative"))]), platform);
        assert_eq!(from_variables(|_| None, None), None);
    }
}
