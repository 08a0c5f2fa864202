//! Cross-validation: which regularisation is best on photos that a head hasn't learnt from, and how good a head so chosen is on those that had no say in
//! the choice either.

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::Class;
use crate::error::{Error, Result};
use crate::head::layer::Head;
use crate::head::options::Choice;
use crate::head::problem::Classed;
use crate::head::regularisation::{Regularisation, Scaling};
use crate::head::solve::discriminant::Discriminant;
use crate::head::solve::objective::Learning;
use crate::head::solve::on_device::OnDevice;
use crate::head::solve::walk::{Path, Reached, walk};
use crate::head::solve::work::Work;
use crate::head::standardise::Standard;
use crate::head::thresholds;

/// The gradient's share of its start at which a head is good enough to choose by.
const TOLERANCE: f64 = 1e-3;

/// A regularisation, and how heads with it do on photos that they haven't learnt from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// How its heads come about, and what holds them back.
    #[serde(flatten)]
    pub regularisation: Regularisation,
    /// Mean of -ln p(true class) out of fold, in nats, each photo once a deal.
    pub log_loss: f64,
    /// The standard error of that mean, by photos.
    pub log_loss_error: f64,
    /// The share that is right out of fold; where photos may be of several classes wholly, each class counting from a probability of 0.5 on.
    pub top1: f64,
}

/// What cross-validation found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// Into how many folds the photos were dealt.
    pub folds: usize,
    /// All regularisations that were tried, by method, by scaling, then from the strongest.
    pub candidates: Vec<Candidate>,
    /// The place among them of the one that was chosen.
    pub chosen: usize,
    /// By deal of the folds: the share that is right, each photo judged by a head that neither learnt from it nor was chosen by it; where no choice was
    /// nested, by a head that didn't learn from it.
    pub top1: Vec<f64>,
    /// Whether the choice was nested: made anew for each fold, without it.
    pub nested: bool,
    /// `[photos, classes]`: the logits of each photo that is learnt from by the head that judged it, in the deal whose share is the middle one.
    #[serde(skip)]
    pub logits: Vec<f32>,
    /// `[photos]`: −ln p(true class) of each photo that is learnt from by the head that judged it, the mean over the deals, in nats; divided by the temperature as
    /// [`logits`](Self::logits) are. Two problems on the same photos and deals can be compared by it.
    #[serde(skip)]
    pub losses: Vec<f64>,
    /// `[photos]`: the classes that are named of each photo where it may be of several, by `logits` and by thresholds that were chosen on the photos of other folds.
    #[serde(skip)]
    pub named: Vec<Vec<Class>>,
    /// By deal, what `logits` are of one of them; gone once the temperature is known.
    #[serde(skip)]
    pub(crate) by_deal: Vec<Vec<f32>>,
}

impl CrossValidation {
    /// Divides all logits by the temperature, and takes each photo's loss over all deals.
    pub(crate) fn calibrate(&mut self, temperature: f64, samples: &Classed) {
        let cool = |logits: &mut [f32]| {
            logits.iter_mut().for_each(|logit| *logit = (f64::from(*logit) / temperature) as f32);
        };
        cool(&mut self.logits);
        let mut deals = std::mem::take(&mut self.by_deal);
        deals.iter_mut().for_each(|logits| cool(logits));
        let width = self.logits.len() / samples.photos().max(1);
        let loss = |photo: usize| {
            let of_deal = |logits: &Vec<f32>| samples.judge(photo * samples.views, &logits[photo * width..][..width]).0;
            deals.iter().map(of_deal).sum::<f64>() / deals.len() as f64
        };
        self.losses = (0..samples.photos()).map(loss).collect();
    }
}

/// Candidates to choose from, and how.
pub(crate) struct Grid<'a> {
    /// Each with what it weighs features by, as in a [`Path`].
    pub scalings: Vec<(Scaling, Vec<f64>)>,
    /// Those of softmax regression, from the strongest.
    pub strengths: &'a [f64],
    /// The shrinkages of heads in closed form, from the strongest, and the sharpnesses of each.
    pub discriminants: [&'a [f64]; 2],
    pub choice: Choice,
    pub nested: bool,
}

impl Grid<'_> {
    /// Counts the candidates of softmax regression, which come first.
    fn logistic(&self) -> usize {
        self.scalings.len() * self.strengths.len()
    }

    fn len(&self) -> usize {
        let [shrinkages, sharpnesses] = self.discriminants;
        self.logistic() + self.scalings.len() * shrinkages.len() * sharpnesses.len()
    }

    /// Gives a candidate: by scaling, then by strength, or by shrinkage and sharpness.
    pub fn candidate(&self, place: usize) -> Regularisation {
        let Some(place) = place.checked_sub(self.logistic()) else {
            let (scaling, l2) =
                (self.scalings[place / self.strengths.len()].0, self.strengths[place % self.strengths.len()]);
            return Regularisation::Logistic { scaling, l2 };
        };
        let [shrinkages, sharpnesses] = self.discriminants;
        let (pair, sharpness) = (place / sharpnesses.len(), sharpnesses[place % sharpnesses.len()]);
        let (scaling, shrinkage) = (self.scalings[pair / shrinkages.len()].0, shrinkages[pair % shrinkages.len()]);
        Regularisation::discriminant(scaling, shrinkage, sharpness)
    }

    /// Gives what is taken where there is nothing to choose by: what was asked for, or the middle of what would be tried.
    pub fn unchosen(&self) -> Regularisation {
        let scaling = self.scalings[0].0;
        let middle = |values: &[f64]| values[values.len() / 2];
        match self.strengths {
            [] => Regularisation::discriminant(scaling, middle(self.discriminants[0]), middle(self.discriminants[1])),
            strengths => Regularisation::Logistic { scaling, l2: middle(strengths) },
        }
    }

    /// Chooses the candidate of the lowest loss, the first of equals: one in closed form only where it is by more than its standard error lower than softmax
    /// regression's lowest, which has as a rule as many photos right that it is a little less sure of. Or chooses by one standard error: the strongest of the same
    /// method and scaling whose loss is no more than that above.
    fn choose(&self, estimates: &[Estimate]) -> usize {
        let loss = |place: usize| estimates[place].loss;
        let lowest = |places: Range<usize>| places.min_by(|&a, &b| loss(a).total_cmp(&loss(b)));
        let (logistic, closed) = (lowest(0..self.logistic()), lowest(self.logistic()..self.len()));
        let is_better =
            |&closed: &usize| logistic.is_none_or(|logistic| loss(closed) + estimates[closed].error < loss(logistic));
        let best = closed.filter(is_better).or(logistic).unwrap_or_default();
        if self.choice == Choice::Best {
            return best;
        }
        let allowed = estimates[best].loss + estimates[best].error;
        let kind = |place: usize| (self.candidate(place).method(), self.candidate(place).scaling());
        let same = |place: &usize| kind(*place) == kind(best) && loss(*place) <= allowed;
        // Strengths come from the strongest.
        (0..self.len()).find(same).unwrap_or(best)
    }

    /// Counts the heads that are solved for each deal of so many folds.
    pub fn heads(&self, folds: usize) -> usize {
        let sets = if self.nested { folds * (folds + 1) / 2 } else { folds };
        sets * self.len()
    }
}

/// What a head does on some rows that it didn't learn from.
#[derive(Clone, Copy, Default)]
struct Score {
    rows: usize,
    loss: f64,
    squares: f64,
    right: usize,
}

/// A mean loss, and the standard error of that mean.
#[derive(Clone, Copy)]
struct Estimate {
    loss: f64,
    error: f64,
}

impl Score {
    fn add(&mut self, loss: f64, right: bool) {
        self.rows += 1;
        self.loss += loss;
        self.squares += loss * loss;
        self.right += usize::from(right);
    }

    fn and(self, other: &Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            loss: self.loss + other.loss,
            squares: self.squares + other.squares,
            right: self.right + other.right,
        }
    }

    fn estimate(&self) -> Estimate {
        let rows = self.rows.max(1) as f64;
        let loss = self.loss / rows;
        let variance = (self.squares / rows - loss * loss).max(0.0);
        Estimate { loss, error: (variance / (rows - 1.0).max(1.0)).sqrt() }
    }
}

/// What the heads that a deal chose say of all photos.
struct Said {
    right: usize,
    logits: Vec<f32>,
    /// As in [`CrossValidation`].
    named: Vec<Vec<Class>>,
}

/// What one deal of the folds says.
struct Deal {
    /// By candidate and photo: the loss of the head that did without the photo's fold.
    losses: Vec<Vec<f64>>,
    right: Vec<usize>,
    /// By candidate, fold that judges, and fold that chooses: how the head without both does on the latter.
    inner: HashMap<[usize; 3], Score>,
    /// By candidate and fold: the head that did without the fold.
    heads: HashMap<[usize; 2], Head>,
}

impl Deal {
    /// Lets each fold's rows be judged by the head that did without it, of the candidate that is chosen for it.
    fn say(&self, samples: &Classed, folds: &[usize], chosen: impl Fn(usize) -> usize) -> Result<Said> {
        let mut said = Said { right: 0, logits: Vec::new(), named: Vec::new() };
        for (fold, members) in members(folds, samples.views).into_iter().enumerate() {
            let Some(head) = self.heads.get(&[chosen(fold), fold]) else { continue };
            let classes = head.classes.len();
            said.logits.resize(folds.len() / samples.views * classes, 0.0);
            let logits = logits_of(head, samples, &members)?;
            for (&photo, logits) in members.iter().zip(logits.chunks_exact(classes)) {
                said.logits[photo * classes..][..classes].copy_from_slice(logits);
                said.right += usize::from(samples.judge(photo * samples.views, logits).1);
            }
        }
        if samples.has_sets() {
            let sets: Vec<&[Class]> = (0..samples.photos()).map(|photo| samples.of_photo(photo)).collect();
            let of_photos: Vec<usize> = folds.iter().step_by(samples.views).copied().collect();
            said.named = thresholds::Judged { logits: &said.logits, sets: &sets }.named(&of_photos);
            said.right = said.named.iter().zip(sets).filter(|(named, set)| named == set).count();
        }
        Ok(said)
    }
}

/// Chooses among candidates by cross-validation over each deal of folds, and judges the choice.
///
/// With nesting, the photos of a fold are judged by the candidate that is best on the other folds, by heads that did without the fold and the one that
/// they choose by. Heads without two folds serve both ways round: K (K + 1) / 2 sets of photos are learnt from.
///
/// # Reference
/// Varma and Simon, "Bias in error estimation when using cross-validation for model selection", BMC Bioinformatics 7:91, 2006 (nesting);
/// Breiman, Friedman, Olshen and Stone, "Classification and regression trees", 1984, section 3.4.3 (one standard error).
///
/// # Errors
/// The device fails, or the watcher asks to stop.
///
/// # Panics
/// There is no deal.
pub(crate) fn cross_validate(
    work: &Work,
    learning: &Learning,
    deals: &[Vec<usize>],
    grid: &Grid,
    classes: &[String],
) -> Result<CrossValidation> {
    let photos = learning.samples.photos();
    let folds = deals.iter().map(|deal| folds_of(deal)).max().unwrap_or(0);
    let mut judged = Vec::with_capacity(deals.len());
    let mut said = Vec::with_capacity(deals.len());
    for folds_of_rows in deals {
        let mut deal = judge(work, learning, folds_of_rows, grid, classes)?;
        if grid.nested {
            let by_fold = |fold: usize| {
                let scores = (0..grid.len()).map(|candidate| {
                    let inner = (0..folds).filter_map(|inner| deal.inner.get(&[candidate, fold, inner]));
                    inner.fold(Score::default(), |sum, score| sum.and(score))
                });
                grid.choose(&scores.map(|score| score.estimate()).collect::<Vec<_>>())
            };
            said.push(deal.say(learning.samples, folds_of_rows, by_fold)?);
            // Of a thousand classes they are large, and not needed any more.
            deal.heads.clear();
        }
        judged.push(deal);
    }
    let candidate = |candidate: usize| {
        // A photo's loss is its mean over the deals: it is photos that differ by chance.
        let loss =
            |photo: usize| judged.iter().map(|deal| deal.losses[candidate][photo]).sum::<f64>() / judged.len() as f64;
        let mut score = Score::default();
        (0..photos).for_each(|photo| score.add(loss(photo), false));
        let Estimate { loss, error } = score.estimate();
        let right: usize = judged.iter().map(|deal| deal.right[candidate]).sum();
        let top1 = right as f64 / (photos * judged.len()) as f64;
        Candidate { regularisation: grid.candidate(candidate), log_loss: loss, log_loss_error: error, top1 }
    };
    let candidates: Vec<Candidate> = (0..grid.len()).map(candidate).collect();
    let estimates = candidates.iter().map(|found| Estimate { loss: found.log_loss, error: found.log_loss_error });
    let chosen = grid.choose(&estimates.collect::<Vec<_>>());
    if !grid.nested {
        for (deal, of_rows) in judged.iter().zip(deals) {
            said.push(deal.say(learning.samples, of_rows, |_| chosen)?);
        }
    }
    let top1: Vec<f64> = said.iter().map(|said| said.right as f64 / photos as f64).collect();
    // Neither the luckiest deal nor the unluckiest.
    said.sort_by_key(|said| said.right);
    let middle = (said.len() - 1) / 2;
    let named = std::mem::take(&mut said[middle].named);
    let by_deal: Vec<Vec<f32>> = said.into_iter().map(|said| said.logits).collect();
    let logits = by_deal[middle].clone();
    let (nested, losses) = (grid.nested, Vec::new());
    Ok(CrossValidation { folds, candidates, chosen, top1, nested, logits, losses, named, by_deal })
}

/// Which folds a head does without.
type Without = [Option<usize>; 2];

/// Solves the heads of one deal of folds along all candidates, and scores each on what it didn't learn from.
fn judge(work: &Work, learning: &Learning, deal: &[usize], grid: &Grid, classes: &[String]) -> Result<Deal> {
    let members = members(deal, learning.samples.views);
    let folds = members.len();
    let mut without: Vec<Without> = (0..folds).map(|fold| [Some(fold), None]).collect();
    if grid.nested {
        without.extend((0..folds).flat_map(|one| (one + 1..folds).map(move |other| [Some(one), Some(other)])));
    }
    let mut found = Deal {
        losses: vec![vec![0.0; deal.len() / learning.samples.views]; grid.len()],
        right: vec![0; grid.len()],
        inner: HashMap::new(),
        heads: HashMap::new(),
    };
    let learning = Learning { without: &without, folds: deal, ..*learning };
    let mut reached = |candidate: usize, without: Without, weights: &[f64]| -> Result<()> {
        let head = head_of(weights, learning.standard, classes);
        let scored = |fold: usize, losses: Option<&mut [f64]>| score(&head, learning.samples, &members[fold], losses);
        match without {
            [Some(fold), None] => {
                found.right[candidate] += scored(fold, Some(&mut found.losses[candidate]))?.right;
                found.heads.insert([candidate, fold], head);
            }
            [Some(one), Some(other)] => {
                for (judge, choose) in [(one, other), (other, one)] {
                    found.inner.insert([candidate, judge, choose], scored(choose, None)?);
                }
            }
            _ => {}
        }
        Ok(())
    };
    walk_all(work, &learning, grid, &mut reached)?;
    discriminate(work, &learning, grid, &mut reached)?;
    Ok(found)
}

/// Takes a candidate's head, the folds that it does without, and its weights on standardised features.
type Take<'a> = dyn FnMut(usize, Without, &[f64]) -> Result<()> + 'a;

/// Solves softmax regressions of all strengths for all that the heads of `learning` do without.
fn walk_all(work: &Work, learning: &Learning, grid: &Grid, reached: &mut Take) -> Result<()> {
    let (sets, strengths, classes) = (learning.without.len(), grid.strengths.len(), learning.class_weights.len());
    if strengths == 0 {
        return Ok(());
    }
    let all: Vec<Without> = grid.scalings.iter().flat_map(|_| learning.without.iter().copied()).collect();
    let paths: Vec<Path> = (grid.scalings.iter())
        .flat_map(|(_, scale)| (0..sets).map(move |_| Path { scale, strengths: grid.strengths, begin: None }))
        .collect();
    let most = OnDevice::most_heads(classes, learning.standard.width());
    for (group, (paths, without)) in paths.chunks(most).zip(all.chunks(most)).enumerate() {
        let mut objective = work.objective(&Learning { without, ..*learning })?;
        walk(&mut *objective, (paths, classes), TOLERANCE, work.progress, &mut |found: Reached| {
            let path = group * most + found.path;
            reached(path / sets * strengths + found.strength, all[path], found.weights)
        })?;
    }
    Ok(())
}

/// Solves the heads in closed form likewise.
fn discriminate(work: &Work, learning: &Learning, grid: &Grid, reached: &mut Take) -> Result<()> {
    let [shrinkages, sharpnesses] = grid.discriminants;
    if shrinkages.is_empty() {
        return Ok(());
    }
    for (scaling, (_, scale)) in grid.scalings.iter().enumerate() {
        for (set, &without) in learning.without.iter().enumerate() {
            if work.progress.cancelled() {
                return Err(Error::Interrupted { kept: 0 });
            }
            let discriminant = Discriminant::of(learning, set, scale);
            for (shrinkage, directions) in discriminant.directions(shrinkages)?.iter().enumerate() {
                for (place, &sharpness) in sharpnesses.iter().enumerate() {
                    let pair = scaling * shrinkages.len() + shrinkage;
                    let candidate = grid.logistic() + pair * sharpnesses.len() + place;
                    reached(candidate, without, &discriminant.head(directions, sharpness))?;
                }
                work.progress.advance(sharpnesses.len());
            }
        }
    }
    Ok(())
}

/// Computes a head's logits of some photos: of each the mean over its views.
fn logits_of(head: &Head, samples: &Classed, members: &[usize]) -> Result<Vec<f32>> {
    let (views, classes) = (samples.views, head.classes.len());
    let rows = members.iter().flat_map(|photo| photo * views..(photo + 1) * views);
    let logits = head.logits(&samples.rows.select(rows))?;
    if views == 1 {
        return Ok(logits);
    }
    let mean = |photo: &[f32]| -> Vec<f32> {
        let sum = |class: usize| photo.iter().skip(class).step_by(classes).map(|&logit| f64::from(logit)).sum::<f64>();
        (0..classes).map(|class| (sum(class) / views as f64) as f32).collect()
    };
    Ok(logits.chunks_exact(views * classes).flat_map(mean).collect())
}

/// Scores a head on some photos, and notes the loss of each.
fn score(head: &Head, samples: &Classed, members: &[usize], losses: Option<&mut [f64]>) -> Result<Score> {
    let logits = logits_of(head, samples, members)?;
    let of_photos: Vec<(f64, bool)> = (members.par_iter().zip(logits.par_chunks_exact(head.classes.len())))
        .map(|(&photo, logits)| samples.judge(photo * samples.views, logits))
        .collect();
    if let Some(losses) = losses {
        members.iter().zip(&of_photos).for_each(|(&photo, &(loss, _))| losses[photo] = loss);
    }
    let mut score = Score::default();
    of_photos.iter().for_each(|(loss, right)| score.add(*loss, *right));
    Ok(score)
}

/// Makes a head on features as they are of weights on standardised ones, `[classes, width + 1]`.
pub(crate) fn head_of(weights: &[f64], standard: &Standard, classes: &[String]) -> Head {
    let width = standard.width();
    let layers = || weights.chunks_exact(width + 1);
    let weight: Vec<f64> = layers().flat_map(|layer| &layer[..width]).copied().collect();
    let bias: Vec<f64> = layers().map(|layer| layer[width]).collect();
    let (weight, bias) = standard.fold(&weight, &bias);
    Head { weight, bias, classes: classes.to_vec(), thresholds: None }
}

/// Counts the folds of a deal.
pub(crate) fn folds_of(deal: &[usize]) -> usize {
    deal.iter().max().map_or(0, |most| most + 1)
}

/// Lists the photos of each fold of a deal, which gives the fold of each row.
fn members(deal: &[usize], views: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); folds_of(deal)];
    deal.iter().step_by(views).enumerate().for_each(|(photo, &fold)| members[fold].push(photo));
    members
}
