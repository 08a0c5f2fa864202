//! Verifies that a run's head is the optimum of what it was asked to learn, from the features that are kept.

use std::path::Path;

use crate::data::Target;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::head::{Certificate, Optimizer, Problem, Samples, certify_again};
use crate::report::Metrics;
use crate::run::{self, Parts, Run};
use crate::session::{Pretrained, Session};

/// What was found of a head.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// What the training said.
    pub said: Certificate,
    /// What the head and the kept features say now.
    pub found: Certificate,
    /// At what share of its start the gradient counts as none.
    pub tolerance: f64,
    /// How many photos the head learnt from.
    pub photos: usize,
}

/// Verifies the head of the run in `folder`: computes the gradient of its problem from the features of the photos that it learnt from, as the store has them.
///
/// # Errors
/// The run's head is no optimum by its own account, or its files are damaged; not all features are kept any more; the gradient isn't what it should be.
pub fn verify(session: &Session<'_>, folder: &Path) -> Result<Verified> {
    let run = Run::open(folder)?;
    let invalid = |reason: String| Error::InvalidRun { path: folder.to_owned(), reason };
    let config =
        run.config.as_ref().ok_or_else(|| invalid("no config.json in it, which says how it was made".into()))?;
    let path = folder.join(run::METRICS);
    let bytes = resnet::regular::read(&path).map_err(Error::io("read", &path))?;
    config.check_file(folder, run::METRICS, &bytes)?;
    let metrics: Metrics =
        serde_json::from_slice(&bytes).map_err(|error| invalid(format!("{}: {error}", run::METRICS)))?;
    let (Some(said), Optimizer::Lbfgs { tolerance, .. }) = (metrics.certificate, config.train.optimizer) else {
        return Err(invalid("its head was stopped by epochs, and is no optimum that could be verified".into()));
    };
    let backbone = Pretrained::of(&run);
    let views = run.views.all();
    let mut features: Vec<Features> = views.iter().map(|view| session.recalled(&backbone.shown(*view))).collect();
    let mut learnt = Parts::read(folder, config)?.learnt();
    learnt.sort_by(|(a, one, _), (b, other, _)| (a, one).cmp(&(b, other)));
    let missing = learnt.iter().filter(|(digest, ..)| !features.iter_mut().all(|view| view.recall(digest))).count();
    if missing > 0 {
        return Err(invalid(format!(
            "the features of {missing} of the {} photos that it learnt from aren't kept any more: a training on them computes them anew",
            learnt.len()
        )));
    }
    let digests: Vec<&Digest> = learnt.iter().map(|(digest, ..)| digest).collect();
    let rows = Features::side_by_side(&features, &digests)?;
    let shown = || learnt.iter().flat_map(|photo| std::iter::repeat_n(photo, views.len()));
    let targets: Vec<Target> = shown().map(|(_, target, _)| target.clone()).collect();
    let weights: Vec<f64> = shown().map(|(.., weight)| weight / views.len() as f64).collect();
    let train = Samples { rows: &rows, targets: &targets, weights: Some(&weights) };
    let problem = Problem { classes: &run.head.classes, train, validation: None, folds: None, views: views.len() };
    let found = certify_again(&run.head, &problem, &config.train, &said)?;
    // Sums in another order, or features of another adapter, move the last digits.
    if !(found.share() <= 10.0 * tolerance.max(said.share())) {
        let reason = format!(
            "its head isn't the optimum that it is said to be: the gradient is {:.1e} of its start, where {:.1e} was found",
            found.share(),
            said.share()
        );
        return Err(invalid(reason));
    }
    Ok(Verified { said, found, tolerance, photos: learnt.len() })
}
