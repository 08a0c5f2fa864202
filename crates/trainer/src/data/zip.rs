//! Lists what a zip archive holds: where each member lies.

use std::path::Path;
use std::sync::Arc;

use rawzip::{CompressionMethod, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, RECOMMENDED_BUFFER_SIZE, ZipArchive};
use resnet::regular;

use crate::data::contents::Contents;
use crate::data::member::{Zip, Zipped};
use crate::error::{Error, Result};
use crate::words::shown;

/// Lists a zip archive.
///
/// # Errors
/// It can't be read; it is damaged or cut short.
pub(super) fn read(path: &Path) -> Result<Contents> {
    let file = regular::open(path).map_err(Error::io("read", path))?;
    let damaged = |problem: String| Error::DamagedArchive { path: path.to_owned(), problem };
    let broken = |error: rawzip::Error| damaged(shown(&error.to_string()).into_owned());
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(broken)?;
    let zip = Arc::new(Zip { path: path.to_owned(), archive });
    let mut contents = Contents { path: path.to_owned(), ..Contents::default() };
    let (promised, mut found) = (zip.archive.entries_hint(), 0);
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let mut entries = zip.archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(broken)? {
        found += 1;
        let Some(name) = contents.name(entry.file_path().as_bytes(), 0) else { continue };
        // Some programs for Windows write it so.
        let name = name.replace('\\', "/");
        let Some(cleaned) = contents.cleaned(&name, 0) else { continue };
        let method = entry.compression_method();
        if entry.is_dir() || name.ends_with('/') {
            contents.folders.insert(cleaned);
        } else if entry.mode().is_symlink() {
            contents.reject(&name, 0, "a link, which isn't followed in an archive");
        } else if entry.flags().is_encrypted() || entry.flags().has_strong_encryption() {
            contents.reject(&name, 0, "it is encrypted: make the archive anew without a password");
        } else if method != CompressionMethod::STORE && method != CompressionMethod::DEFLATE {
            let reason = format!("it is packed by {method}: only stored and deflated members can be read");
            contents.reject(&name, 0, &reason);
        } else {
            let deflated = method == CompressionMethod::DEFLATE;
            contents.add(cleaned, 0, Zipped { zip: zip.clone(), entry: entry.wayfinder(), deflated }.into());
        }
    }
    match found == promised {
        true => Ok(contents),
        false => Err(damaged(format!("it lists {found} members where {promised} are promised"))),
    }
}
