//! Photos sorted into a folder for each class, as copies or links: what a person would do by hand, and looks through afterwards.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::data::Photo;
use crate::error::{Error, Result};
use crate::files;
use crate::photos::{Failure, Limits};

/// The folder of photos of which no class is probable enough.
pub const UNSURE: &str = "unsure";

/// The folder of photos that are like none of the classes.
pub const UNKNOWN: &str = "unknown";

/// How photos come into their folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As copies.
    Copy,
    /// As symbolic links to the files.
    Link,
}

/// Sorts a photo into `folder/class` and gives the path that it has there. What lies there stays: a photo that is there already is left alone, and another
/// of the same name gets a number.
///
/// # Errors
/// The folder takes no files; the photo can't be read any more; a link to what isn't a file of its own.
pub fn sort_into(folder: &Path, class: &str, photo: &Photo, way: Way) -> Result<PathBuf> {
    let folder = folder.join(as_file_name(class));
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let name =
        photo.path.file_name().map_or_else(|| as_file_name(&photo.name), |name| name.to_string_lossy().into_owned());
    let (stem, end) = match name.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() => (stem.to_owned(), format!(".{end}")),
        _ => (name, String::new()),
    };
    let names = std::iter::once(format!("{stem}{end}")).chain((2..).map(|number| format!("{stem}-{number}{end}")));
    match way {
        Way::Copy => {
            let limits = Limits { bytes: u64::MAX, ..Limits::default() };
            let bytes = photo.read(&limits).map_err(|failure| match failure {
                Failure::Machine(error) => error,
                Failure::Photo(reason) => Error::NothingReadable { what: photo.name.clone(), found: 1, reason },
            })?;
            for name in names {
                let path = folder.join(name);
                let same = || resnet::regular::read(&path).is_ok_and(|there| there == bytes);
                if files::write_beside(&path, &bytes)? || same() {
                    return Ok(path);
                }
            }
        }
        Way::Link => {
            let target = photo.path.canonicalize().map_err(Error::io("link to", &photo.path))?;
            for name in names {
                let path = folder.join(name);
                match link(&target, &path) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                        if path.canonicalize().is_ok_and(|there| there == target) {
                            return Ok(path);
                        }
                    }
                    done => return done.map(|()| path.clone()).map_err(Error::io("write", &path)),
                }
            }
        }
    }
    unreachable!("names don't end")
}

fn link(target: &Path, path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, path);
    #[cfg(windows)]
    return std::os::windows::fs::symlink_file(target, path);
    #[cfg(not(any(unix, windows)))]
    {
        let _ = (target, path);
        Err(ErrorKind::Unsupported.into())
    }
}

/// Makes a name that any file system takes of a label.
fn as_file_name(label: &str) -> String {
    let plain = |c: char| if c.is_control() || "/\\:*?\"<>|".contains(c) { '_' } else { c };
    let name: String = label.chars().map(plain).collect();
    // The longest that every system takes is 255 bytes; dots in front would hide it, and behind it Windows drops them.
    let mut end = name.len().min(200);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let name = name[..end].trim().trim_matches('.').trim();
    if name.is_empty() { "_".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photo(folder: &Path, name: &str, content: &str) -> Photo {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        Photo::at(&path)
    }

    #[test]
    fn nothing_is_replaced_and_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let photos = [photo(dir.path(), "a/1.jpg", "one"), photo(dir.path(), "b/1.jpg", "two")];
        let ways: &[Way] = if cfg!(unix) { &[Way::Copy, Way::Link] } else { &[Way::Copy] };
        for (class, way) in ["cat", "dog"].into_iter().zip(ways) {
            for _again in 0..2 {
                let paths = photos.each_ref().map(|photo| sort_into(&out, class, photo, *way).unwrap());
                assert_eq!(paths, ["1.jpg", "1-2.jpg"].map(|name| out.join(class).join(name)));
                assert_eq!(paths.map(|path| std::fs::read_to_string(path).unwrap()), ["one", "two"]);
            }
            assert_eq!(out.join(class).read_dir().unwrap().count(), 2);
            assert_eq!(out.join(class).join("1.jpg").is_symlink(), *way == Way::Link);
        }
    }

    #[test]
    fn any_label_makes_a_folder() {
        for (label, name) in [
            ("cat", "cat"),
            ("n/a", "n_a"),
            ("../x", "_x"),
            (".hidden.", "hidden"),
            ("tench, Tinca tinca", "tench, Tinca tinca"),
            ("a\nb:c", "a_b_c"),
            ("..", "_"),
            ("", "_"),
        ] {
            assert_eq!(as_file_name(label), name);
        }
        assert_eq!(as_file_name(&"é".repeat(300)).len(), 200);
    }
}
