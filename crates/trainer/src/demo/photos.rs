//! The demo's photos, as they lie in this crate's assets: some to train on, and a few to be asked about afterwards.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Below the demo's folder: what is learnt from and judged by, a folder for each class.
pub(super) const PHOTOS: &str = "photos";
/// Likewise, what no head is shown before it is asked.
pub(super) const NEW: &str = "new";

/// Lists files of the assets with their content.
macro_rules! assets {
    ($($file:literal)* $(, $folder:literal $class:literal: $($number:literal)*)*) => {
        &[
            $(($file, include_bytes!(concat!("../../assets/demo/", $file))),)*
            $($((
                concat!($folder, "/", $class, "/", $number, ".jpg"),
                include_bytes!(concat!("../../assets/demo/", $folder, "/", $class, "/", $number, ".jpg")),
            ),)*)*
        ]
    };
}

/// All files, by their paths below the demo's folder. The numbers are TrashNet's.
#[rustfmt::skip]
const FILES: &[(&str, &[u8])] = assets! {
    "LICENSE" "SOURCE.md"
    , "photos" "cardboard":
        4 13 18 22 30 40 53 56 62 69 78 82 91 103 110 115 124 137 143 157 161 167 176 182 190 196 199 204 211 214 222
        225 228 231 234 239 251 269 274 277 280 286 291 294 304 307 317 330 339 344 349 363 369 372 375 378 384 389
    , "photos" "glass":
        9 16 21 28 31 35 38 41 44 49 55 60 69 77 81 86 95 98 107 111 117 123 131 135 142 147 164 170 195 212 226 236 244
        248 266 271 275 281 311 315 320 335 340 348 362 378 386 389 413 428 431 436 449 454 457 472 477 492
    , "photos" "metal":
        7 10 18 23 27 38 57 81 86 91 98 101 111 116 127 136 142 151 155 164 167 172 180 186 190 197 201 208 220 229 232
        237 250 256 262 272 275 280 296 301 311 314 318 321 333 336 340 344 351 355 361 367 373 383 388 392 396 402
    , "photos" "paper":
        7 20 28 34 39 49 56 62 68 73 97 118 122 133 147 162 175 190 193 198 202 208 214 221 239 242 249 256 263 274 285
        300 307 318 340 349 367 371 376 399 402 408 415 422 426 448 480 496 507 517 530 542 570 575 578 582 586 589
    , "photos" "plastic":
        1 9 15 18 21 26 29 34 37 42 47 72 101 111 114 120 123 137 143 150 153 156 159 166 183 187 192 202 207 230 236
        246 251 258 261 264 267 273 314 334 338 343 357 367 375 382 398 402 416 426 437 444 452 456 462 466 470 480
    , "new" "cardboard":
        323 336
    , "new" "glass":
        372 481
    , "new" "metal":
        211 292
    , "new" "paper":
        266 337
    , "new" "plastic":
        108 128
};

/// Writes them below a folder, and gives those of photos and of new ones.
///
/// # Errors
/// The disk is full, or takes no files there.
pub(super) fn write(folder: &Path) -> Result<[PathBuf; 2]> {
    for (name, bytes) in FILES {
        let path = folder.join(name);
        let parent = path.parent().expect("below a folder");
        std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        let written = File::create_new(&path).and_then(|mut file| file.write_all(bytes));
        written.map_err(Error::io("write", &path))?;
    }
    Ok([PHOTOS, NEW].map(|name| folder.join(name)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::data::{Dataset, Origin};

    /// Lists the files below a folder by their paths.
    fn below(folder: &Path, root: &Path, all: &mut BTreeSet<String>) {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => below(&path, root, all),
                false => drop(all.insert(path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"))),
            }
        }
    }

    #[test]
    fn every_asset_is_listed_and_written() {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
        let (mut there, mut written) = (BTreeSet::new(), BTreeSet::new());
        below(&assets, &assets, &mut there);
        there.retain(|name| !["model.safetensors", "config.json"].contains(&&**name));
        let folder = tempfile::tempdir().unwrap();
        let [photos, new] = write(folder.path()).unwrap();
        below(folder.path(), folder.path(), &mut written);
        assert_eq!(written, there, "tools/pretrain/demo_photos.py chose others: list them in demo/photos.rs");
        for (folder, of_class) in [(photos, 58), (new, 2)] {
            let found = Dataset::open(Origin::from(folder)).unwrap();
            assert_eq!(found.classes, ["cardboard", "glass", "metal", "paper", "plastic"]);
            assert_eq!(found.photos.len(), 5 * of_class);
        }
        // What lies there isn't the demo's to replace.
        assert!(write(folder.path()).is_err());
    }
}
