//! The embedded default: what the trainer does when it is given nothing.
//!
//! It draws pictures of things that its embedded backbone has never seen, and trains two heads on them: one on that backbone, one on
//! the same network with random weights. What lies between the two is what transfer learning is worth.

pub mod draw;

use rayon::prelude::*;
use resnet::WeightFile;

use crate::data::Part;
use crate::data::{Duplicates, SplitOptions};
use crate::error::{Error, Result};
use crate::head::TrainOptions;
use crate::session::Session;
use crate::tasks::{Backbone, Request, Trained, train};
use crate::untrained::random_weights;
use draw::Task;

/// A small ResNet that has seen drawn pictures of other things, and what goes with it.
const BACKBONE: &[u8] = include_bytes!("../../assets/demo_backbone.safetensors");
const CONFIG: &str = include_str!("../../assets/config.json");

/// Pictures a class, by part.
const PICTURES: [(Part, &str, u64); 2] = [(Part::Train, "train", 30), (Part::Test, "test", 40)];

/// What the demo found.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The head on the backbone that has learnt.
    pub pretrained: Trained,
    /// The head on the same network with random weights.
    pub random: Trained,
}

/// Draws the pictures into a temporary folder and trains both heads on them, as `trainer train` would.
///
/// # Errors
/// The adapter fails; there is no room for a few megabytes of pictures.
pub fn compare(session: &Session<'_>, seed: u64) -> Result<Compared> {
    let folder = tempfile::tempdir().map_err(Error::io("create", &std::env::temp_dir()))?;
    let pictures = folder.path().join("pictures");
    let classes = Task::Target.classes();
    let mut files = Vec::new();
    let mut index = 0;
    for (_, part, count) in PICTURES {
        for class in &classes {
            let of_class = pictures.join(part).join(class.to_string());
            std::fs::create_dir_all(&of_class).map_err(Error::io("create", &of_class))?;
            files.extend((index..index + count).map(|index| (*class, index, of_class.join(format!("{index:03}.png")))));
        }
        index += count;
    }
    files.par_iter().try_for_each(|(class, index, path)| {
        let picture = class.draw(*index, seed);
        let (width, height) = (picture.width as u32, picture.height as u32);
        let written = image::save_buffer(path, &picture.rgb, width, height, image::ColorType::Rgb8);
        written.map_err(|error| Error::io("write", path)(std::io::Error::other(error)))
    })?;

    let run = |name: &str, weights: &[u8]| {
        let home = folder.path().join(name);
        std::fs::create_dir(&home).map_err(Error::io("create", &home))?;
        for (name, bytes) in [("backbone.safetensors", weights), ("config.json", CONFIG.as_bytes())] {
            crate::files::write(&home.join(name), bytes)?;
        }
        let request = Request {
            data: pictures.clone().into(),
            backbones: vec![Backbone::at(home.join("backbone.safetensors"))],
            within_error: false,
            views: Default::default(),
            out: home.join("run"),
            force: false,
            overrides: Default::default(),
            // Drawn each by itself, and in folders: there is nothing to look for.
            split: SplitOptions { seed, duplicates: Duplicates::Apart, ..Default::default() },
            kept: Default::default(),
            train: TrainOptions { seed, ..Default::default() },
        };
        train(session, &request)
    };
    let architecture = WeightFile::from_bytes(BACKBONE)?.architecture().clone();
    Ok(Compared {
        pretrained: run("pretrained", BACKBONE)?,
        random: run("random", &random_weights(&architecture, seed))?,
    })
}
