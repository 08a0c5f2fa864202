//! The result of a training, and how it is saved as a run, whose files appear together.

use std::path::Path;

use crate::error::Result;
use crate::files::Staged;
use crate::photos::Limits;
use crate::report::{self, Data, Metrics, Prediction};
use crate::run::{self, Config, Parts};

/// The result of a training.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The configuration: everything needed to do it again.
    pub config: Config,
    /// The evaluation, and how the training went.
    pub metrics: Metrics,
    /// The prediction of each photo.
    pub predictions: Vec<Prediction>,
}

impl Trained {
    /// Writes the run: `model`, figures, predictions, report and configuration. Thumbnails are read within `limits`.
    pub(crate) fn save(&self, folder: &Path, model: &[u8], limits: &Limits) -> Result<()> {
        let Trained { config, metrics, predictions } = self;
        let json = |value: serde_json::Result<Vec<u8>>| value.expect("plain data");
        let mut parts = Parts::new(config.classes.len());
        for photo in predictions {
            if let Some(part) = photo.part {
                parts.add(part, &photo.digest, photo.target.class());
            }
        }
        let page = report::html(&Data::new(config, metrics, predictions, limits));
        let mut staged = Staged::new(folder);
        staged.add(run::MODEL, model)?;
        staged.add(run::LABELS, (config.classes.join("\n") + "\n").as_bytes())?;
        staged.add(run::METRICS, &json(serde_json::to_vec_pretty(metrics)))?;
        staged.add(run::PREDICTIONS, &report::predictions_csv(predictions, &config.classes)?)?;
        staged.add(run::REPORT, page.as_bytes())?;
        staged.add(run::PARTS, &parts.to_json())?;
        staged.add(run::CONFIG, &json(serde_json::to_vec_pretty(config)))?;
        staged.commit()
    }
}
