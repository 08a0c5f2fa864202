//! Adds what was measured to the table of an adapter.

use std::path::Path;

use kernels::TuneTable;

use crate::error::{Error, Result};
use crate::files;
use crate::machine::tune::table::{Key, Stored, Tuned, load};

/// Adds a table to what was measured before for the same key; shapes measured again get the new variant.
///
/// # Errors
/// The folder can't be made or written.
pub fn save(folder: &Path, key: &Key, table: &TuneTable) -> Result<Tuned> {
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut all = load(folder, key).ok().flatten().map_or_else(TuneTable::new, |(known, _)| known);
    all.extend(table.iter().map(|(class, &variant)| (class.clone(), variant)));
    let variants = all.iter().map(|(class, variant)| (class.clone(), variant.to_string())).collect();
    let stored = Stored { key: key.clone(), variants };
    let path = key.path(folder);
    files::write(&path, &serde_json::to_vec_pretty(&stored).expect("plain data"))?;
    Ok(Tuned::new(path, &stored.variants))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::{Tile, Variant};

    fn key() -> Key {
        Key {
            adapter: "An adapter".to_owned(),
            vendor: 1,
            device: 2,
            backend: "vulkan".to_owned(),
            driver: "a driver".to_owned(),
            driver_version: "1.2".to_owned(),
            program: "0.1.0".to_owned(),
        }
    }

    #[test]
    fn a_table_comes_back_and_grows() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("not yet there");
        assert_eq!(load(&folder, &key()), Ok(None));
        let direct = Variant::Direct(Tile { rows: 32, columns: 64 });
        let winograd = Variant::Winograd { tile: Tile { rows: 16, columns: 64 }, band: 4 };
        let first = TuneTable::from([("a".to_owned(), direct), ("b".to_owned(), direct)]);
        let saved = save(&folder, &key(), &first).unwrap();
        assert_eq!((saved.shapes, &saved.path), (2, &key().path(&folder)));
        assert_eq!(load(&folder, &key()), Ok(Some((first, saved.clone()))));
        let more = save(&folder, &key(), &TuneTable::from([("b".to_owned(), winograd)])).unwrap();
        assert_ne!(more.sha256, saved.sha256);
        let (table, tuned) = load(&folder, &key()).unwrap().unwrap();
        assert_eq!((table["a"], table["b"], tuned), (direct, winograd, more));
        // Nothing but the table is left in the folder.
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn what_was_measured_elsewhere_or_is_damaged_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let table = TuneTable::from([("a".to_owned(), Variant::Direct(Tile { rows: 32, columns: 64 }))]);
        let path = save(folder, &key(), &table).unwrap().path;
        let others = [
            Key { adapter: "Another".to_owned(), ..key() },
            Key { device: 3, ..key() },
            Key { driver: "another".to_owned(), ..key() },
            Key { driver_version: "1.3".to_owned(), ..key() },
            Key { program: "0.2.0".to_owned(), ..key() },
        ];
        for other in &others {
            assert_eq!(load(folder, other), Ok(None), "{other:?}");
            // The same file under another's name.
            std::fs::copy(&path, other.path(folder)).unwrap();
            let problem = load(folder, other).unwrap_err();
            assert!(problem.contains("measured on An adapter (a driver 1.2) by version 0.1.0; ignored"), "{problem}");
        }
        let whole = std::fs::read(&path).unwrap();
        for damaged in [&b""[..], b"{}", &whole[..whole.len() / 2], b"\xff\xfe"] {
            std::fs::write(&path, damaged).unwrap();
            let problem = load(folder, &key()).unwrap_err();
            assert!(problem.contains("not a table of kernels") && problem.contains("trainer tune"), "{problem}");
        }
        // It is replaced by the next measurement. An unknown variant costs its own shape, no more.
        save(folder, &key(), &table).unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replace("\"a\"", "\"z\": \"of the future\",\n    \"a\"");
        std::fs::write(&path, text).unwrap();
        assert_eq!(load(folder, &key()).unwrap().unwrap().0, table);
    }
}
