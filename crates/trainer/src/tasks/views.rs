//! Views of photos: what a head gains that learns from several of each, and judges by their mean.

use std::time::Instant;

use crate::error::{Error, Result};
use crate::head::metrics::Paired;
use crate::photos::Views;
use crate::report::TriedViews;
use crate::session::Session;
use crate::tasks::backbones::{Rival, scores};
use crate::tasks::known::Known;
use crate::tasks::learn::Learnt;

/// What came of views.
pub(crate) struct Tried {
    /// The better head.
    pub(crate) learnt: Learnt,
    /// The views that it was made with.
    pub(crate) views: Views,
    /// How long the passes took.
    pub(crate) seconds: f64,
}

/// Shows photos whose plain view was learnt from in others too, learns from all, and compares both heads on the same folds. Leaves the better of them, and the views that
/// it was made with; with the plain view stays what gains no more than chance, or too little to be worth the passes.
///
/// # Errors
/// There is no cross-validation to compare by; as `learn`.
pub(crate) fn try_views(
    session: &Session<'_>,
    rival: &Rival<'_>,
    views: Views,
    (known, plain): (&mut Known<'_>, Learnt),
    learn: &dyn Fn(&Known<'_>) -> Result<Learnt>,
) -> Result<Tried> {
    if plain.losses.is_empty() {
        let expected = "plain: others are kept for what they gain by cross-validation, which takes lbfgs and three photos or groups that don't belong together";
        return Err(Error::InvalidOption { option: "views", value: views.to_string(), expected });
    }
    let start = Instant::now();
    if !known.view(session, &rival.pretrained(), views)? {
        session.progress.warn("views are left off: a photo changed while it was read");
        return Ok(Tried { learnt: plain, views: Views::default(), seconds: 0.0 });
    }
    let seconds = start.elapsed().as_secs_f64();
    let seen = learn(known)?;
    let gain = Paired::of(&plain.losses, &seen.losses);
    let tried = TriedViews::new(views, [scores(&plain), scores(&seen)], gain);
    let (mut learnt, views) = if tried.kept { (seen, views) } else { (plain, Views::default()) };
    if views.is_plain() {
        known.unview();
    }
    learnt.metrics.views = Some(tried);
    Ok(Tried { learnt, views, seconds })
}
