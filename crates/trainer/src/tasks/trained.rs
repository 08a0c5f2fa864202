//! The result of a training, and how it is saved as a run, whose files appear together.

use crate::data::Part;
use crate::error::Result;
use crate::photos::Limits;
use crate::report::{self, Asked, Data, Metrics, Prediction};
use crate::run::{self, Config, Making, Parts};

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

/// The files of a run that take more than its figures to write.
pub(crate) struct Kept {
    /// [`run::MODEL`].
    pub(crate) model: Vec<u8>,
    /// [`run::KNOWN`], where cross-validation judged photos.
    pub(crate) known: Option<Vec<u8>>,
}

impl Trained {
    /// Puts the run in its folder: `kept`, figures, predictions, report and configuration. Thumbnails are read within `limits`.
    pub(crate) fn save(&mut self, folder: Making, kept: Kept, limits: &Limits) -> Result<()> {
        let Trained { config, metrics, predictions } = self;
        let json = |value: serde_json::Result<Vec<u8>>| value.expect("plain data");
        let mut parts = Parts::new(config.classes.len());
        for photo in &*predictions {
            if let Some(part) = photo.part {
                parts.add(part, &photo.digest, &photo.target);
            }
        }
        let learnt = predictions.iter().filter(|photo| photo.part == Some(Part::Train));
        parts.weigh(learnt.map(|photo| photo.weight).collect());
        let page = report::html(&Data::new(config, metrics, predictions, limits));
        let mut files = vec![
            (run::MODEL, kept.model),
            (run::LABELS, (config.classes.join("\n") + "\n").into_bytes()),
            (run::METRICS, json(serde_json::to_vec_pretty(metrics))),
            (run::PREDICTIONS, report::predictions_csv(predictions, &config.classes, Asked::default())?),
            (run::REPORT, page.into_bytes()),
            (run::PARTS, parts.to_json()),
        ];
        files.extend(kept.known.map(|known| (run::KNOWN, known)));
        folder.commit(&files, config)
    }
}
