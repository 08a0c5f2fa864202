//! Cross-validation: which regularisation is best on photos that a head hasn't learnt from, and how good a head so chosen is on those that had no say in
//! the choice either.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::Class;
use crate::error::Result;
use crate::features::Rows;
use crate::head::layer::Head;
use crate::head::options::{Choice, Scaling};
use crate::head::problem::Classed;
use crate::head::softmax::{log_softmax, top};
use crate::head::solve::objective::Learning;
use crate::head::solve::on_device::OnDevice;
use crate::head::solve::walk::{Path, Reached, walk};
use crate::head::standardise::Standard;
use crate::head::table::Memory;

/// The gradient's share of its start at which a head is good enough to choose by.
const TOLERANCE: f64 = 1e-3;

/// A regularisation, and how heads with it do on photos that they haven't learnt from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// What the penalty weighs features by.
    pub scaling: Scaling,
    /// The strength of the penalty.
    pub l2: f64,
    /// Mean of -ln p(true class) out of fold, in nats, each photo once a deal.
    pub log_loss: f64,
    /// The standard error of that mean, by photos.
    pub log_loss_error: f64,
    /// The share that is right out of fold.
    pub top1: f64,
}

/// What cross-validation found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// Into how many folds the photos were dealt.
    pub folds: usize,
    /// All regularisations that were tried, by scaling, then from the strongest.
    pub candidates: Vec<Candidate>,
    /// The place among them of the one that was chosen.
    pub chosen: usize,
    /// By deal of the folds: the share that is right, each photo judged by a head that neither learnt from it nor was chosen by it; where no choice was
    /// nested, by a head that didn't learn from it.
    pub top1: Vec<f64>,
    /// Whether the choice was nested: made anew for each fold, without it.
    pub nested: bool,
    /// `[rows, classes]`: the logits of each training row by the head that judged it, in the deal whose share is the middle one.
    #[serde(skip)]
    pub logits: Vec<f32>,
}

/// Candidates to choose from, and how.
pub(crate) struct Grid<'a> {
    pub scalings: Vec<(Scaling, Vec<f64>)>,
    /// From the strongest.
    pub strengths: &'a [f64],
    pub choice: Choice,
    pub nested: bool,
}

impl Grid<'_> {
    fn len(&self) -> usize {
        self.scalings.len() * self.strengths.len()
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
    loss: f64,
    right: usize,
}

/// What one deal of the folds says.
struct Deal {
    /// By candidate and row: the loss of the head that did without the row's fold.
    losses: Vec<Vec<f64>>,
    right: Vec<usize>,
    /// By candidate, fold that judges, and fold that chooses: the sum of losses of the latter.
    inner: HashMap<[usize; 3], f64>,
    /// By candidate and fold: the head that did without the fold.
    heads: HashMap<[usize; 2], Head>,
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
    memory: &Memory,
    learning: &Learning,
    deals: &[Vec<usize>],
    grid: &Grid,
    classes: &[String],
) -> Result<CrossValidation> {
    let samples = learning.samples;
    let rows = samples.classes.len();
    let folds = deals.iter().flatten().max().map_or(0, |most| most + 1);
    let judged: Vec<Deal> =
        deals.iter().map(|deal| judge(memory, learning, deal, grid, classes)).collect::<Result<_>>()?;
    let candidates: Vec<Candidate> = (0..grid.len())
        .map(|candidate| {
            // A photo's loss is its mean over the deals: it is photos that differ by chance.
            let loss =
                |row: usize| judged.iter().map(|deal| deal.losses[candidate][row]).sum::<f64>() / judged.len() as f64;
            let mean = (0..rows).map(loss).sum::<f64>() / rows as f64;
            let squares = (0..rows).map(|row| (loss(row) - mean).powi(2)).sum::<f64>();
            let right: usize = judged.iter().map(|deal| deal.right[candidate]).sum();
            Candidate {
                scaling: grid.scalings[candidate / grid.strengths.len()].0,
                l2: grid.strengths[candidate % grid.strengths.len()],
                log_loss: mean,
                log_loss_error: (squares / (rows as f64 * (rows as f64 - 1.0).max(1.0))).sqrt(),
                top1: right as f64 / (rows * judged.len()) as f64,
            }
        })
        .collect();
    let losses: Vec<f64> = candidates.iter().map(|candidate| candidate.log_loss).collect();
    let chosen = choose(&candidates, &losses, grid.choice);
    let mut of_deals = Vec::new();
    for (deal, of_rows) in judged.iter().zip(deals) {
        let by_fold = |fold: usize| match grid.nested {
            false => chosen,
            true => {
                let of = |candidate| (0..folds).filter_map(|inner| deal.inner.get(&[candidate, fold, inner])).sum();
                let losses: Vec<f64> = (0..grid.len()).map(of).collect();
                choose(&candidates, &losses, grid.choice)
            }
        };
        let mut logits = vec![0.0; rows * classes.len()];
        let mut right = 0;
        for fold in 0..folds {
            let Some(head) = deal.heads.get(&[by_fold(fold), fold]) else { continue };
            let members: Vec<usize> = (0..rows).filter(|&row| of_rows[row] == fold).collect();
            let said = head.logits(&some(samples.rows, &members)?)?;
            for (&row, said) in members.iter().zip(said.chunks_exact(classes.len())) {
                logits[row * classes.len()..][..classes.len()].copy_from_slice(said);
                right += usize::from(top(said, 1) == [samples.classes[row]]);
            }
        }
        of_deals.push((right, logits));
    }
    let top1: Vec<f64> = of_deals.iter().map(|(right, _)| *right as f64 / rows as f64).collect();
    // Neither the luckiest deal nor the unluckiest.
    of_deals.sort_by_key(|(right, _)| *right);
    let middle = (of_deals.len() - 1) / 2;
    let logits = of_deals.swap_remove(middle).1;
    Ok(CrossValidation { folds, candidates, chosen, top1, nested: grid.nested, logits })
}

/// Chooses the candidate of the lowest loss, the first of equals; or by one standard error the strongest of the same scaling whose loss is no more than that above.
fn choose(candidates: &[Candidate], losses: &[f64], choice: Choice) -> usize {
    let best = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or_default();
    if choice == Choice::Best {
        return best;
    }
    // Losses may be sums over some of the rows: the allowance grows with them.
    let scale = if candidates[best].log_loss > 0.0 { losses[best] / candidates[best].log_loss } else { 1.0 };
    let allowed = losses[best] + candidates[best].log_loss_error * scale;
    let same = |place: &usize| candidates[*place].scaling == candidates[best].scaling && losses[*place] <= allowed;
    (0..losses.len()).filter(same).max_by(|&a, &b| candidates[a].l2.total_cmp(&candidates[b].l2)).unwrap_or(best)
}

/// Solves the heads of one deal of folds along all candidates, and scores each on what it didn't learn from.
fn judge(memory: &Memory, learning: &Learning, deal: &[usize], grid: &Grid, classes: &[String]) -> Result<Deal> {
    let samples = learning.samples;
    let folds = deal.iter().max().map_or(0, |most| most + 1);
    let members: Vec<Vec<usize>> =
        (0..folds).map(|fold| (0..deal.len()).filter(|&row| deal[row] == fold).collect()).collect();
    let mut without: Vec<[Option<usize>; 2]> = (0..folds).map(|fold| [Some(fold), None]).collect();
    if grid.nested {
        without.extend((0..folds).flat_map(|one| (one + 1..folds).map(move |other| [Some(one), Some(other)])));
    }
    let sets = without.len();
    let all: Vec<[Option<usize>; 2]> = grid.scalings.iter().flat_map(|_| without.iter().copied()).collect();
    let paths: Vec<Path> = (grid.scalings.iter())
        .flat_map(|(_, scale)| (0..sets).map(move |_| Path { scale, strengths: grid.strengths, begin: None }))
        .collect();
    let mut found = Deal {
        losses: vec![vec![0.0; deal.len()]; grid.len()],
        right: vec![0; grid.len()],
        inner: HashMap::new(),
        heads: HashMap::new(),
    };
    let strengths = grid.strengths.len();
    let scored = |head: &Head, fold: usize, losses: Option<&mut [f64]>| -> Result<Score> {
        score(head, samples, &members[fold], losses)
    };
    let most = OnDevice::most_heads(classes.len(), learning.standard.width());
    for (group, (paths, without_of_group)) in paths.chunks(most).zip(all.chunks(most)).enumerate() {
        let learning = Learning { without: without_of_group, folds: deal, ..*learning };
        let mut objective = OnDevice::new(memory, &learning)?;
        walk(&mut objective, (paths, classes.len()), TOLERANCE, memory.progress, &mut |reached: Reached| {
            let path = group * most + reached.path;
            let candidate = path / sets * strengths + reached.strength;
            let head = head_of(reached.weights, learning.standard, classes);
            match without[path % sets] {
                [Some(fold), None] => {
                    let score = scored(&head, fold, Some(&mut found.losses[candidate]))?;
                    found.right[candidate] += score.right;
                    found.heads.insert([candidate, fold], head);
                }
                [Some(one), Some(other)] => {
                    for (judge, choose) in [(one, other), (other, one)] {
                        found.inner.insert([candidate, judge, choose], scored(&head, choose, None)?.loss);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// Scores a head on some rows, and notes the loss of each.
fn score(head: &Head, samples: &Classed, members: &[usize], losses: Option<&mut [f64]>) -> Result<Score> {
    let logits = head.logits(&some(samples.rows, members)?)?;
    let of_rows: Vec<(f64, bool)> = (members.par_iter().zip(logits.par_chunks_exact(head.classes.len())))
        .map(|(&row, logits)| {
            let truth: Class = samples.classes[row];
            (-log_softmax(logits, truth), top(logits, 1) == [truth])
        })
        .collect();
    if let Some(losses) = losses {
        members.iter().zip(&of_rows).for_each(|(&row, &(loss, _))| losses[row] = loss);
    }
    let mut score = Score::default();
    of_rows.iter().for_each(|(loss, right)| {
        score.loss += loss;
        score.right += usize::from(*right);
    });
    Ok(score)
}

/// Makes a head on features as they are of weights on standardised ones, `[classes, width + 1]`.
pub(crate) fn head_of(weights: &[f64], standard: &Standard, classes: &[String]) -> Head {
    let width = standard.width();
    let layers = || weights.chunks_exact(width + 1);
    let weight: Vec<f64> = layers().flat_map(|layer| &layer[..width]).copied().collect();
    let bias: Vec<f64> = layers().map(|layer| layer[width]).collect();
    let (weight, bias) = standard.fold(&weight, &bias);
    Head { weight, bias, classes: classes.to_vec() }
}

/// Views some rows.
fn some<'a>(rows: &Rows<'a>, members: &[usize]) -> Result<Rows<'a>> {
    Rows::from_rows(members.iter().map(|&row| rows.row(row)).collect(), rows.width())
}
