//! The head of a run by itself: what predicts of features that were computed elsewhere.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::features::Rows;
use crate::head::Head;
use crate::run::commit;
use crate::run::config::Config;
use crate::run::folder::MODEL;
use crate::run::likeness::Likeness;
use crate::run::model::{Run, THRESHOLDS, is_head_alone, thresholds_of};
use crate::run::named::plain;

/// The head of a finished run, made of photos or of features, to predict with.
pub struct HeadRun {
    /// Its folder.
    pub folder: PathBuf,
    /// The head.
    pub head: Head,
    /// How it was made, where that is known.
    pub config: Option<Config>,
}

impl HeadRun {
    /// Opens the head of the run in `folder`.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn open(folder: &Path) -> Result<Self> {
        match Run::open(folder) {
            Ok(Run { folder, head, config, .. }) => Ok(Self { folder, head, config }),
            Err(Error::MadeOfFeatures { .. }) => Self::alone(folder),
            Err(error) => Err(error),
        }
    }

    /// Reads a head that stands alone.
    fn alone(folder: &Path) -> Result<Self> {
        commit::whole(folder)?;
        let invalid =
            |reason: &str| Error::InvalidRun { path: folder.to_owned(), reason: format!("{MODEL}: {reason}") };
        let path = folder.join(MODEL);
        let bytes = resnet::regular::read(&path).map_err(Error::io("read", &path))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| invalid(&error.to_string()))?;
        let metadata = SafeTensors::read_metadata(&bytes).ok().and_then(|(_, metadata)| metadata.metadata().clone());
        let metadata = metadata.filter(|_| is_head_alone(&bytes)).unwrap_or_default();
        let classes: Vec<String> = (metadata.get("labels"))
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| invalid("no labels in its metadata"))?;
        let thresholds = thresholds_of(metadata.get(THRESHOLDS), classes.len()).map_err(|reason| invalid(&reason))?;
        let values = |name: &str, dimensions: usize| {
            let tensor = file.tensor(name).ok().filter(|tensor| {
                let shape = tensor.shape();
                tensor.dtype() == Dtype::F32 && shape.len() == dimensions && shape[0] == classes.len()
            });
            let data = tensor.ok_or_else(|| invalid(&format!("no {name} of {} classes in f32", classes.len())))?.data();
            let values: Vec<f32> = data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            match values.iter().all(|value| value.is_finite()) {
                true => Ok(values),
                false => Err(invalid(&format!("{name} holds a number that is not finite"))),
            }
        };
        let (weight, bias) = (values("fc.weight", 2)?, values("fc.bias", 1)?);
        let config = Config::read(folder)?;
        if let Some(config) = &config {
            config.check_file(folder, MODEL, &bytes)?;
        }
        let head = Head { weight, bias, classes: plain(&classes), thresholds };
        Ok(Self { folder: folder.to_owned(), head, config })
    }

    /// Reads what the run knows its rows by; none where it was written without.
    ///
    /// # Errors
    /// As [`Likeness::read`].
    pub fn likeness(&self) -> Result<Option<Likeness>> {
        self.config.as_ref().map_or(Ok(None), |config| Likeness::read(&self.folder, config, self.head.width()))
    }

    /// Checks that the head takes rows as wide as these, which were read from `path`.
    ///
    /// # Errors
    /// It takes others.
    pub fn check(&self, rows: &Rows<'_>, path: &Path) -> Result<()> {
        let (width, got) = (self.head.width(), rows.width());
        if width == got {
            return Ok(());
        }
        let problem = format!(
            "its rows have {got} values, and the run's head takes {width}: compute them by the program that computed what the run was made of"
        );
        Err(Error::UnusableData { path: path.to_owned(), problem })
    }
}
