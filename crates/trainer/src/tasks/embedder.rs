//! A backbone that stays open: embeds photos that come bit by bit, or lie in memory.

use std::path::Path;
use std::sync::OnceLock;

use resnet::{Recipe, WeightFile};

use crate::data::Photo;
use crate::error::Result;
use crate::features::{Key, Outcome};
use crate::photos::{Reading, View};
use crate::progress::{Stage, watched};
use crate::run::open_weights;
use crate::session::{Overrides, Pretrained, Session};

/// A backbone that was opened, and how photos are prepared for it.
///
/// # Example
/// ```no_run
/// use trainer::{Session, data::Photo, features::Outcome, machine, tasks::Embedder};
///
/// let device = pollster::block_on(machine::Device::open(machine::Wanted::Auto, &machine::Selection::default()))?;
/// let session = Session { planned: Some(Default::default()), ..Session::new(device) };
/// let embedder = Embedder::open(&session, "resnet18.safetensors".as_ref(), &Default::default())?;
/// let photos = [Photo::in_memory("upload 17", std::fs::read("new.jpg").expect("a photo"))];
/// embedder.embed(&session, &photos, &mut |place, outcome| {
///     match outcome {
///         Outcome::Known(_, features) => println!("{place}: {} features", features.len()),
///         Outcome::Rejected(photo) => println!("{place}: {}", photo.reason),
///     }
///     Ok(())
/// })?;
/// # Ok::<(), trainer::Error>(())
/// ```
pub struct Embedder {
    weights: WeightFile,
    recipe: Recipe,
    reading: Reading,
    /// That of the backbone's tensors, by which keys are made, once one was.
    digest: OnceLock<String>,
}

impl Embedder {
    /// Opens the backbone in the file `weights`. Photos are prepared as it says, but for `overrides`.
    ///
    /// # Errors
    /// The file can't be read, or isn't of this family; its recipe can't be followed.
    pub fn open(session: &Session<'_>, weights: &Path, overrides: &Overrides) -> Result<Self> {
        let file = watched(session.progress, Stage::WEIGHTS, || open_weights(weights))?;
        let (recipe, reading) = overrides.or_of(&file, weights)?;
        Ok(Self { weights: file, recipe, reading, digest: OnceLock::new() })
    }

    /// Gives the number of features of a photo.
    pub fn width(&self) -> usize {
        self.weights.architecture().features()
    }

    /// Says what the features depend on besides the photos.
    pub fn key(&self, session: &Session<'_>) -> Key {
        let digest = self.digest.get_or_init(|| Key::digest_of(&self.weights));
        Key::new(digest, session.device.precision(), &session.preparation(&self.backbone()))
    }

    /// Passes photos through the backbone, but for those whose features the session's store holds, and hands out what became of each, with its place, in
    /// their order: memory doesn't grow with their number. Counts those that went through the network.
    ///
    /// # Errors
    /// The device failed; that of `each`. A photo that can't be read is none: it is handed out as rejected.
    pub fn embed(
        &self,
        session: &Session<'_>,
        photos: &[Photo],
        each: &mut dyn FnMut(usize, Outcome<'_>) -> Result<()>,
    ) -> Result<usize> {
        let key = session.needs_key().then(|| self.key(session));
        session.stream((&self.backbone(), key), photos, each)
    }

    /// Gives it as tasks take it.
    pub(crate) fn backbone(&self) -> Pretrained<'_> {
        let Self { weights, recipe, reading, .. } = self;
        Pretrained { weights, recipe, reading: *reading, view: View::default(), name: "" }
    }
}

#[cfg(test)]
mod tests {
    use resnet::Architecture;

    use super::*;
    use crate::features::StoreOptions;
    use crate::machine::{Cpu, Device, Planned};
    use crate::tasks::embed;
    use crate::untrained::random_weights;

    #[test]
    fn photos_in_memory_have_the_features_of_those_in_a_folder_under_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, weights) = (dir.path().join("photos"), dir.path().join("w.safetensors"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&weights, random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], None), 1)).unwrap();
        let mut photos = vec![Photo::in_memory("no photo", *b"GIF89a, cut short")];
        for shade in [10, 90, 200] {
            let picture = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([shade, x as u8, 3 * y as u8]));
            let path = folder.join(format!("{shade:03}.png"));
            picture.save(&path).unwrap();
            photos.push(Photo::in_memory("a photo", std::fs::read(path).unwrap()));
        }
        let recipe = Some(Recipe { input_size: [32, 32], ..Recipe::default() });
        let overrides = Overrides { recipe, reading: None };
        let mut session = Session::new(Device::Cpu(Cpu::open().unwrap()));
        let listed = embed(&session, &folder, &weights, &overrides).unwrap();
        let expected: Vec<f32> = listed.rows().unwrap().iter().flatten().copied().collect();

        session.planned = Some(Planned::default());
        session.store = Some(StoreOptions::at(dir.path().join("store")));
        let embedder = Embedder::open(&session, &weights, &overrides).unwrap();
        let preparation = session.preparation(&embedder.backbone());
        assert_eq!(embedder.key(&session), Key::of(&embedder.weights, session.device.precision(), &preparation));
        for new in [3, 0] {
            let (mut features, mut rejected) = (Vec::new(), Vec::new());
            let computed = embedder.embed(&session, &photos, &mut |place, outcome| {
                match outcome {
                    Outcome::Known(_, row) => features.extend_from_slice(row),
                    Outcome::Rejected(photo) => rejected.push((place, photo.name.clone())),
                }
                Ok(())
            });
            assert_eq!(computed.unwrap(), new, "what was computed is found in the store, under the same key");
            assert_eq!((embedder.width(), &features), (8, &expected));
            assert_eq!(rejected, [(0, "no photo".to_owned())]);
        }
    }
}
