//! The folder a training leaves behind.

use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a file whole or not at all: to a temporary one in the same folder, synced, then renamed over the old.
///
/// # Errors
/// The folder isn't writable, or the disk is full; what was there stays.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = || Error::io("write", path);
    let mut file = tempfile::Builder::new()
        .prefix(".")
        .suffix(".part")
        .tempfile_in(folder)
        .map_err(failed())?;
    file.write_all(bytes).map_err(failed())?;
    file.as_file().sync_all().map_err(failed())?;
    file.persist(path).map_err(|error| failed()(error.error))?;
    Ok(())
}
