//! Heads of features that another program computed: trained on rows of a file, and asked about others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use resnet::Recipe;

use crate::data::{Dataset, Duplicates, FeatureRows, Labels, Origin, Photo, Rejected, SplitOptions, Told};
use crate::error::Result;
use crate::features::{FeatureFile, Rows};
use crate::head::TrainOptions;
use crate::photos::{Reading, Views};
use crate::progress::{Progress, Stage, watched};
use crate::report::Prediction;
use crate::run::{self, FromFeatures, HeadRun, Making};
use crate::session::Session;
use crate::shards::FeatureTable;
use crate::tasks::known::Known;
use crate::tasks::learn::{Learning, MadeFrom, learn, learn_from_given};
use crate::tasks::tell::tell_rejected;
use crate::tasks::telling::Telling;
use crate::tasks::train::absolute;
use crate::tasks::trained::Trained;

/// What a training on features is asked to do.
#[derive(Clone, Debug)]
pub struct FeaturesRequest {
    /// The file of features: see [`FeatureFile`]; or the folder of a finished job of shards, or its merged table: see [`FeatureTable`].
    pub features: PathBuf,
    /// What says the rows' labels: a table, or the file of features itself, where the names of its rows say them, or a job's manifest did.
    pub labels: Origin,
    /// The folder to write the run into.
    pub out: PathBuf,
    /// Replace a finished run there.
    pub force: bool,
    /// Which row plays which part. Near-duplicates aren't looked for.
    pub split: SplitOptions,
    /// How the head is trained.
    pub train: TrainOptions,
}

/// Features as they were given, whatever holds them.
struct Given {
    file: FeatureFile,
    /// Photos that have none, since they couldn't be read.
    rejected: Vec<Rejected>,
    /// What a job's manifest said of all, where it said labels.
    told: Option<Vec<Told>>,
}

impl Given {
    fn open(path: &Path) -> Result<Self> {
        if !FeatureTable::is_at(path) {
            return Ok(Self { file: FeatureFile::open(path)?, rejected: Vec::new(), told: None });
        }
        let FeatureTable { file, rejected, told } = FeatureTable::open(path)?;
        let labelled = told.iter().any(|told| told.row.labels != Labels::None);
        Ok(Self { file, rejected, told: labelled.then_some(told) })
    }
}

/// Trains a head on rows of features and writes the run, as [`train`](crate::tasks::train) does on photos. Equal rows are taken for copies.
///
/// # Errors
/// Any of [`Error`](crate::Error).
pub fn train_features(session: &Session<'_>, request: &FeaturesRequest) -> Result<Trained> {
    let start = Instant::now();
    let split = SplitOptions { duplicates: Duplicates::Apart, ..request.split.clone() };
    request.train.check()?;
    split.check()?;
    let Given { file, rejected, told } = watched(session.progress, Stage::LISTING, || Given::open(&request.features))?;
    let (path, count) = (request.features.as_path(), file.digests.len());
    let rows = FeatureRows { path, names: file.names.as_deref(), count, rejected: &rejected };
    let (labels, by) = (&request.labels, split.group_by.as_deref());
    let mut dataset = match (labels.path == request.features, told) {
        (false, _) => Dataset::of_features(&rows, labels, by)?,
        (true, Some(told)) => Dataset::of_told_features(path, &told, labels.class_order, by)?,
        (true, None) => Dataset::of_named_features(&rows, labels.class_order, by)?,
    };
    dataset.check_single()?;
    learn_from_given(&mut dataset, &request.train);
    let folder = Making::begin(&request.out, request.force)?;
    dataset.warnings.iter().for_each(|warning| session.progress.warn(warning));
    let features = FromFeatures {
        path: absolute(&request.features),
        sha256: file.sha256.clone(),
        rows: file.digests.len(),
        width: file.features.width(),
    };
    let known = Known::of_rows(&dataset.photos, file, &dataset.rejected);
    tell_rejected(&known.rejected, session.progress);
    let (reading, kept) = (Reading::default(), HashMap::new());
    let learning = Learning {
        dataset: &dataset,
        known: &known,
        reading,
        split: &split,
        kept: &kept,
        train: &request.train,
        before: None,
        start,
        name: "",
    };
    let learnt = learn(session, &learning, &learning.assigned(session)?)?;
    let model = run::head_alone(&learnt.head, features.width)?;
    let (data, recipe, views) = (labels.absolute(), Recipe::default(), Views::default());
    let origin = MadeFrom { data, weights: None, features: Some(features), recipe, views };
    learnt.write(session, &learning, origin, (folder, model))
}

/// Says what a run's head makes of rows of features, and hands it out row by row, in their order.
///
/// # Errors
/// The file can't be read, or its rows aren't as wide as the head takes them; that of `each`.
pub fn predict_features(
    run: &HeadRun,
    path: &Path,
    telling: &Telling,
    progress: &dyn Progress,
    each: &mut dyn FnMut(Prediction) -> Result<()>,
) -> Result<()> {
    let Given { file, rejected, .. } = Given::open(path)?;
    tell_rejected(&rejected, progress);
    run.check(&file.features.rows([])?, path)?;
    for (row, digest) in file.digests.iter().enumerate() {
        let values: Rows<'_> = file.features.rows([digest])?;
        let logits = run.head.logits(&values)?;
        let photo = Photo::of_features(row, &file.name(row));
        let mut said = [Prediction::of(&photo, *digest, logits)];
        telling.tell(&values, &mut said)?;
        let [said] = said;
        each(said)?;
    }
    Ok(())
}
