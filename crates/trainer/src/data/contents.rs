//! What lies in an archive, or in the shards of one: its members by cleaned names, as if it were a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::data::listing::{Level, Listing, is_ignored};
use crate::data::member::Member;
use crate::data::part::Part;
use crate::data::photo::{Photo, Rejected, look_into};
use crate::data::row::Row;
use crate::data::source::Source;
use crate::photos::Look;
use crate::words::{first, shown};

/// The members of an archive, or of all shards.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The archive, or the folder of shards.
    pub path: PathBuf,
    /// The names of the shards where there are any, each with the part that its name says.
    pub shards: Vec<(String, Option<Part>)>,
    /// The members by their names, and by the shard they lie in. Neither hidden ones nor known junk.
    pub members: BTreeMap<(String, usize), Member>,
    /// Folders that are listed by themselves: they may be empty.
    pub folders: BTreeSet<String>,
    /// What the files beside photos say of them, by shard and by the names up to the first dot.
    pub notes: BTreeMap<(String, usize), Result<Row, String>>,
    /// What can't be used.
    pub rejected: Vec<Rejected>,
    /// Names that occur twice.
    pub twice: Vec<String>,
}

/// Cleans a member's name; none for what is hidden or known junk, and for the archive's own root.
///
/// # Errors
/// It leads out of the archive, in words.
pub(super) fn clean(name: &str) -> Result<Option<String>, &'static str> {
    let drive = name.as_bytes().get(1) == Some(&b':') && name.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if name.starts_with('/') || drive {
        return Err("its name begins at a root, and not in the archive");
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err("its name leads out of the archive");
    }
    Ok((!parts.is_empty() && !parts.iter().any(|part| is_ignored(part))).then(|| parts.join("/")))
}

impl Contents {
    /// Adds a member of the shard that is read now; the last of a name counts.
    pub fn add(&mut self, name: String, shard: usize, member: Member) {
        let key = (name, shard);
        if self.members.contains_key(&key) {
            self.twice.push(shown(&key.0).into_owned());
        }
        self.members.insert(key, member);
    }

    /// Reads a member's name; one that isn't UTF-8 is rejected.
    pub fn name(&mut self, bytes: &[u8], shard: usize) -> Option<String> {
        match std::str::from_utf8(bytes) {
            Ok(name) => Some(name.to_owned()),
            Err(_) => {
                self.reject(&String::from_utf8_lossy(bytes), shard, "its name isn't UTF-8");
                None
            }
        }
    }

    /// Cleans a member's name as [`clean`] does; one that leads out of the archive is rejected.
    pub fn cleaned(&mut self, name: &str, shard: usize) -> Option<String> {
        clean(name).unwrap_or_else(|reason| {
            self.reject(name, shard, reason);
            None
        })
    }

    /// Rejects a member by name.
    pub fn reject(&mut self, name: &str, shard: usize, reason: &str) {
        let name = self.full_name(name, shard);
        self.rejected.push(Rejected { name, reason: reason.to_owned() });
    }

    /// Gives the name of a member in lists: with its shard, where there are several.
    pub fn full_name(&self, name: &str, shard: usize) -> String {
        match self.shards.get(shard) {
            Some((file, _)) => format!("{file}/{}", shown(name)),
            None => shown(name).into_owned(),
        }
    }

    /// Makes a photo of a member, of the part that its shard's name says.
    pub fn photo(&self, name: &str, shard: usize, member: &Member) -> Photo {
        Photo {
            name: self.full_name(name, shard),
            source: Source::Member(member.clone()),
            part: self.shards.get(shard).and_then(|(_, part)| *part),
            ..Photo::at(&member.archive().join(name))
        }
    }

    /// Words what a user should know of it.
    pub fn warnings(&self) -> Option<String> {
        let all = self.twice.len();
        (all > 0).then(|| {
            format!("names that stand in the archive twice, where the last counts ({all}): {}", first(&self.twice, 5))
        })
    }

    /// Names a folder in it as if it stood on disk.
    fn below<'a>(&self, folder: &'a Path) -> Option<&'a str> {
        folder.strip_prefix(&self.path).ok()?.to_str()
    }

    /// Lists the members below a folder, each with what of its name lies below that.
    fn inside(&self, folder: &Path) -> impl Iterator<Item = (&str, &(String, usize), &Member)> {
        let prefix = self.below(folder).map(|below| if below.is_empty() { String::new() } else { format!("{below}/") });
        let from = prefix.clone().map(|prefix| self.members.range((prefix, 0)..));
        from.into_iter().flatten().map_while(move |(key, member)| {
            Some((key.0.strip_prefix(prefix.as_deref().unwrap_or_default())?, key, member))
        })
    }

    /// Tells what a member looks like; what can't be read looks like a photo, which is rejected when it is.
    fn look(name: &str, member: &Member) -> Look {
        look_into(name, member).unwrap_or(Look::Photo)
    }

    /// Reads one level, as of a folder. `folder` is the archive's path with what stands below.
    pub fn level(&self, folder: &Path) -> Level {
        let mut level = Level::default();
        for (below, (name, shard), member) in self.inside(folder) {
            if let Some((folder_below, _)) = below.split_once('/') {
                if !level.folders.contains_key(folder_below) {
                    level.folders.insert(folder_below.to_owned(), folder.join(folder_below));
                }
                continue;
            }
            match Self::look(name, member) {
                Look::Photo | Look::Foreign(_) => level.photos.push(self.full_name(name, *shard)),
                Look::Other => level.others.push(self.full_name(name, *shard)),
            }
        }
        for listed in &self.folders {
            let below = self.path.join(listed);
            let next = below.strip_prefix(folder).ok().and_then(|below| below.iter().next()?.to_str());
            if let Some(next) = next {
                level.folders.entry(next.to_owned()).or_insert_with(|| folder.join(next));
            }
        }
        level
    }

    /// Lists all that lies below a folder: each member's name and shard, with the photo that it is, or what else.
    pub fn each(&self, folder: &Path) -> impl Iterator<Item = (&str, usize, Result<Photo, Look>)> {
        self.inside(folder).map(|(_, (name, shard), member)| match Self::look(name, member) {
            Look::Photo => (name.as_str(), *shard, Ok(self.photo(name, *shard, member))),
            other => (name.as_str(), *shard, Err(other)),
        })
    }

    /// Lists the photos below a folder.
    pub fn walk(&self, folder: &Path) -> Listing {
        let mut listing = Listing::default();
        for (name, shard, photo) in self.each(folder) {
            match photo {
                Ok(photo) => listing.photos.push(photo),
                Err(Look::Foreign(reason)) => {
                    listing.rejected.push(Rejected { name: self.full_name(name, shard), reason });
                }
                Err(_) => listing.others.push(self.full_name(name, shard)),
            }
        }
        listing
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::member::Piece;

    #[test]
    fn names_are_cleaned_and_none_leads_out() {
        let clean = |name| clean(name).map(|name| name.unwrap_or_default());
        for (name, cleaned) in [
            ("a/b.jpg", "a/b.jpg"),
            ("./a//b.jpg", "a/b.jpg"),
            ("a/.hidden.jpg", ""),
            (".trash/b.jpg", ""),
            ("__MACOSX/a/b.jpg", ""),
            ("a/Thumbs.db", ""),
            ("./", ""),
            ("a/...jpg.png", ""),
            ("a/b..jpg", "a/b..jpg"),
        ] {
            assert_eq!(clean(name).unwrap(), cleaned, "{name}");
        }
        for name in ["../a.jpg", "a/../b.jpg", "/a.jpg", "C:/a.jpg", "a/.."] {
            assert!(clean(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_archive_has_levels_as_a_folder_has() {
        let mut contents = Contents { path: "x.tar".into(), ..Contents::default() };
        let member = Member::from(Piece { file: Arc::from(Path::new("x.tar")), offset: 0, size: 0 });
        for name in ["a/1.png", "a/deep/2.jpg", "ab/3.png", "4.gif", "notes.txt"] {
            contents.add(name.to_owned(), 0, member.clone());
        }
        contents.folders.insert("empty".to_owned());
        contents.folders.insert("a/none".to_owned());
        let top = contents.level(Path::new("x.tar"));
        assert_eq!(top.folders.keys().collect::<Vec<_>>(), ["a", "ab", "empty"]);
        assert_eq!((top.photos, top.others), (vec!["4.gif".to_owned()], vec!["notes.txt".to_owned()]));
        assert_eq!(contents.level(&top.folders["a"]).folders.keys().collect::<Vec<_>>(), ["deep", "none"]);
        let names = |folder: &str| {
            contents.walk(Path::new(folder)).photos.into_iter().map(|photo| photo.name).collect::<Vec<_>>()
        };
        assert_eq!(names("x.tar/a"), ["a/1.png", "a/deep/2.jpg"]);
        assert_eq!(names("x.tar").len(), 4);
        assert_eq!(contents.walk(Path::new("x.tar/a")).photos[0].path, Path::new("x.tar/a/1.png"));
    }
}
