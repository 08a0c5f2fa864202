//! Heads of features that another program computed: trained on rows of a file, and asked about others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use resnet::Recipe;

use crate::data::{Dataset, Duplicates, FeatureRows, Origin, Photo, SplitOptions};
use crate::error::Result;
use crate::features::{FeatureFile, Rows};
use crate::head::TrainOptions;
use crate::photos::{Reading, Views};
use crate::progress::{Stage, watched};
use crate::report::Prediction;
use crate::run::{self, FromFeatures, HeadRun, Making};
use crate::session::Session;
use crate::tasks::known::Known;
use crate::tasks::labelled::check;
use crate::tasks::learn::{Learning, MadeFrom, learn, learn_from_given};
use crate::tasks::telling::Telling;
use crate::tasks::train::absolute;
use crate::tasks::trained::Trained;

/// What a training on features is asked to do.
#[derive(Clone, Debug)]
pub struct FeaturesRequest {
    /// The file of features: see [`FeatureFile`].
    pub features: PathBuf,
    /// What says the rows' labels: a table, or the file of features itself, where the names of its rows say them.
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

/// Trains a head on rows of features and writes the run, as [`train`](crate::tasks::train) does on photos. Equal rows are taken for copies.
///
/// # Errors
/// Any of [`Error`](crate::Error).
pub fn train_features(session: &Session<'_>, request: &FeaturesRequest) -> Result<Trained> {
    let start = Instant::now();
    let split = SplitOptions { duplicates: Duplicates::Apart, ..request.split.clone() };
    request.train.check()?;
    split.check()?;
    let file = watched(session.progress, Stage::LISTING, || FeatureFile::open(&request.features))?;
    let rows = FeatureRows { path: &request.features, names: file.names.as_deref(), count: file.digests.len() };
    let (labels, by) = (&request.labels, split.group_by.as_deref());
    let mut dataset = match labels.path == request.features {
        false => Dataset::of_features(&rows, labels, by)?,
        true => Dataset::of_named_features(&rows, labels.class_order, by)?,
    };
    check(&dataset, &request.train)?;
    learn_from_given(&mut dataset, &request.train);
    let folder = Making::begin(&request.out, request.force)?;
    dataset.warnings.iter().for_each(|warning| session.progress.warn(warning));
    let features = FromFeatures {
        path: absolute(&request.features),
        sha256: file.sha256.clone(),
        rows: file.digests.len(),
        width: file.features.width(),
    };
    let known = Known::of_rows(&dataset.photos, file);
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
    let assigned = learning.assigned(session)?;
    let learnt = learn(session, &learning, &assigned)?;
    let model = run::head_alone(&learnt.head, features.width)?;
    let (data, recipe, views) = (labels.absolute(), Recipe::default(), Views::default());
    let origin = MadeFrom { data, weights: None, features: Some(features), recipe, views };
    learnt.write(session, (&learning, &assigned), origin, (folder, model))
}

/// Says what a run's head makes of rows of features, and hands it out row by row, in their order.
///
/// # Errors
/// The file can't be read, or its rows aren't as wide as the head takes them; that of `each`.
pub fn predict_features(
    run: &HeadRun,
    path: &Path,
    telling: &Telling,
    each: &mut dyn FnMut(Prediction) -> Result<()>,
) -> Result<()> {
    let file = FeatureFile::open(path)?;
    run.check(&file.features.rows([])?, path)?;
    for (row, digest) in file.digests.iter().enumerate() {
        let values: Rows<'_> = file.features.rows([digest])?;
        let logits = run.head.logits(&values)?;
        let photo = Photo::of_features(row, &file.name(row));
        let mut said = [Prediction::of(&photo, *digest, &run.head, logits)];
        telling.tell(&values, &mut said)?;
        let [said] = said;
        each(said)?;
    }
    Ok(())
}
