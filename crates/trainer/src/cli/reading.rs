//! The options of how photos are read and prepared, where the weights' own way isn't wanted.

use std::path::PathBuf;

use clap::Args;
use resnet::{Recipe, regular};

use crate::error::{Error, Result};
use crate::photos::{Background, Exif, Reading};
use crate::session::Overrides;

/// How photos are read. A run keeps it, and `evaluate` and `predict` follow the run.
#[derive(Debug, Args)]
pub(crate) struct ReadingArgs {
    /// Preprocess as this JSON says (ours, timm's or transformers') instead of as the weights do
    #[arg(long, value_name = "FILE")]
    pub(crate) recipe: Option<PathBuf>,
    /// Turn photos as the camera noted, or `ignore` it, as torchvision does [default: apply]
    #[arg(long, value_name = "apply|ignore")]
    pub(crate) exif: Option<Exif>,
    /// The colour behind transparent parts, or `drop` for the colours stored there, as Pillow does [default: drop]
    #[arg(long, value_name = "drop|white|black|#rrggbb")]
    pub(crate) background: Option<Background>,
}

impl ReadingArgs {
    /// Reads what was asked for; nothing where nothing was said, for the weights may be a run's, with a way of their own.
    pub(crate) fn overrides(&self) -> Result<Overrides> {
        let recipe = match &self.recipe {
            Some(path) => {
                let text = regular::read_to_string(path).map_err(Error::io("read", path))?;
                Some(
                    Recipe::from_json(&text)
                        .map_err(|error| Error::Recipe { path: path.clone(), source: Box::new(error) })?,
                )
            }
            None => None,
        };
        let reading = (self.exif.is_some() || self.background.is_some())
            .then(|| Reading { exif: self.exif.unwrap_or_default(), background: self.background.unwrap_or_default() });
        Ok(Overrides { recipe, reading })
    }
}
