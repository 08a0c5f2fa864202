//! What a backbone has to beat: heads on features that no network has learnt, trained and judged on the same photos, and on the folds as they are first dealt.

use resnet::WeightFile;

use crate::data::Dataset;
use crate::error::Result;
use crate::report::{Baselines, Scores};
use crate::session::Session;
use crate::tasks::backbones::{Rival, scores};
use crate::tasks::known::Known;
use crate::tasks::learn::Learnt;
use crate::untrained::random_weights;

/// Trains a head on what is known of photos by a backbone.
type Learn<'a> = &'a dyn Fn(&Rival<'_>, &Known<'_>) -> Result<Learnt>;

/// Trains a head as that of `rival` on the same network with random weights, and one on the photos' colours, and says how good all are. None where a photo changed
/// meanwhile, so that they can't be judged by the same.
///
/// # Errors
/// As `learn`.
pub(crate) fn baselines(
    session: &Session<'_>,
    dataset: &Dataset,
    (rival, known, own): (&Rival<'_>, &Known<'_>, &Learnt),
    learn: Learn<'_>,
    seed: u64,
) -> Result<Option<Baselines>> {
    let weights = &WeightFile::from_bytes(random_weights(rival.weights.architecture(), seed))?;
    let other = |name| {
        let (path, recipe, reading) = (rival.path, rival.recipe.clone(), rival.reading);
        Rival { name, path, weights, sha256: String::new(), recipe, reading }
    };
    let (random, colours) = (other("random weights"), other("colours"));
    let judged = |rival: &Rival<'_>, of: &Known<'_>| -> Result<Option<Scores>> {
        (of.kept == known.kept).then(|| learn(rival, of).map(|learnt| scores(&learnt))).transpose()
    };
    let random = judged(&random, &random.pass(session, dataset)?.known)?;
    let colours = judged(&colours, &Known::of_colours(session, &rival.reading, dataset)?)?;
    let found = random.zip(colours).map(|(random, colours)| Baselines { own: scores(own), random, colours });
    if found.is_none() {
        session.progress.warn("baselines are left off: a photo changed while it was read");
    }
    Ok(found)
}
