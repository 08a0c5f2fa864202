//! Files of lines of bytes, that can be made again: a mark, a checksum over the rest, and the lines. What is damaged counts as not there.

use std::path::Path;

use crate::error::{Error, Result};
use crate::files;

/// Reads a file's lines of `LINE` bytes; none where it isn't there, has another mark, or is damaged.
pub(super) fn read<const LINE: usize>(path: &Path, mark: &[u8; 8]) -> Option<Vec<[u8; LINE]>> {
    let bytes = resnet::regular::read(path).ok()?;
    let (sum, lines) = bytes.strip_prefix(mark)?.split_first_chunk()?;
    if crc32fast::hash(lines) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (lines, []) = lines.as_chunks() else { return None };
    Some(lines.to_vec())
}

/// Writes a file of lines, in a folder that is made where there is none.
///
/// # Errors
/// It can't be written; what was there stays.
pub(super) fn write<const LINE: usize>(path: &Path, mark: &[u8; 8], lines: &[[u8; LINE]]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    let lines = lines.as_flattened();
    files::write_unsynced(path, &[&mark[..], &crc32fast::hash(lines).to_le_bytes(), lines].concat())
}
