//! The optimum of L2-regularised softmax regression: chosen by cross-validation, found by L-BFGS, and certified.

use crate::error::Result;
use crate::head::calibrate::Temperature;
use crate::head::certificate::{Certificate, Claim, certify};
use crate::head::history::{Fit, History};
use crate::head::layer::Head;
use crate::head::options::{Choice, Scaling, TrainOptions};
use crate::head::problem::Problem;
use crate::head::solve::cross_validation::{CrossValidation, Grid, cross_validate, folds_of, head_of};
use crate::head::solve::objective::{Learning, Objective, Posed};
use crate::head::solve::on_device::OnDevice;
use crate::head::solve::on_host::OnHost;
use crate::head::solve::walk::{Path, Reached, walk};
use crate::head::table::Memory;
use crate::progress::Stage;

/// How a head's optimum is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Search {
    pub l2: Option<f64>,
    pub scaling: Option<Scaling>,
    pub tolerance: f64,
    pub choice: Choice,
}

/// Strengths that are tried, from the strongest: half decades.
const STRENGTHS: [f64; 11] = [10.0, 3.2, 1.0, 0.32, 0.1, 0.032, 0.01, 0.0032, 0.001, 0.00032, 0.0001];

/// Finds the head that is optimal for the training part, with the regularisation given or, where folds are dealt, the best of a grid.
///
/// # Errors
/// As [`solve`](crate::head::solve).
pub(crate) fn optimum(memory: &Memory, problem: &Problem, options: &TrainOptions, search: &Search) -> Result<Fit> {
    let posed = Posed::new(problem, options)?;
    let learning = posed.learning();
    let given = search.l2.map(|l2| vec![l2]);
    let scalings = search.scaling.map_or(Scaling::ALL.to_vec(), |scaling| vec![scaling]);
    let grid = Grid {
        scalings: scalings.into_iter().map(|scaling| (scaling, scaling.of(&posed.standard))).collect(),
        strengths: given.as_deref().unwrap_or(&STRENGTHS),
        choice: search.choice,
        nested: problem.folds.is_some_and(|folds| folds.nested),
    };
    let deals = problem.folds.map_or(&[][..], |folds| folds.deals);
    let heads = deals.iter().map(|deal| grid.heads(folds_of(deal))).sum::<usize>();
    memory.progress.begin(Stage::HEADS, heads + 1);
    let found = find(memory, &learning, deals, &grid, (problem.classes, search.tolerance));
    memory.progress.end();
    found
}

fn find(
    memory: &Memory,
    learning: &Learning,
    deals: &[Vec<usize>],
    grid: &Grid,
    (classes, tolerance): (&[String], f64),
) -> Result<Fit> {
    let mut validated: Option<CrossValidation> = match deals {
        [] => None,
        _ => Some(cross_validate(memory, learning, deals, grid, classes)?),
    };
    // Without folds there is nothing to choose by: what was asked for, or the middle of the grid.
    let (scaling, l2) = match &validated {
        Some(found) => (found.candidates[found.chosen].scaling, found.candidates[found.chosen].l2),
        None => (grid.scalings[0].0, grid.strengths[grid.strengths.len() / 2]),
    };
    // Where photos are all told apart, the weaker the better, and it makes no difference.
    if let (Some(found), [strongest, .., weakest]) = (&validated, grid.strengths)
        && [strongest, weakest].contains(&&l2)
        && found.candidates[found.chosen].log_loss > 0.05
    {
        memory
            .progress
            .warn(&format!("the best L2, {l2}, is at the end of what was tried: --l2 can be given beyond it"));
    }
    let scale = scaling.of(learning.standard);
    let mut path = Path { scale: &scale, strengths: &[l2], begin: None };
    let solved = |objective: &mut dyn Objective, path: &Path| -> Result<(Vec<f64>, usize)> {
        let mut last = (Vec::new(), 0);
        walk(
            objective,
            (std::slice::from_ref(path), classes.len()),
            tolerance / 2.0,
            memory.progress,
            &mut |reached: Reached| {
                last = (reached.weights.to_vec(), reached.steps);
                Ok(())
            },
        )?;
        Ok(last)
    };
    let temperature = match &validated {
        Some(found) => Some(Temperature::fit_cautiously(&found.logits, &learning.samples.photos())?),
        None => None,
    };
    let claim = Claim { scaling, l2, temperature: temperature.map_or(1.0, |found| found.value) };
    if let Some(found) = &mut validated {
        found.calibrate(claim.temperature, &learning.samples.photos());
    }
    let of = |weights: &[f64], steps: usize| -> Result<(Head, Certificate)> {
        let weights: Vec<f64> = weights.iter().map(|weight| weight / claim.temperature).collect();
        let head = head_of(&weights, learning.standard, classes);
        let certificate = certify(&head, learning, claim)?;
        Ok((head, Certificate { steps, ..certificate }))
    };
    // The adapter goes as far as f32 can tell; where that is too short, a last stretch in f64 follows.
    let (weights, steps) = solved(&mut OnDevice::new(memory, learning)?, &path)?;
    let (mut head, mut certificate) = of(&weights, steps)?;
    if certificate.share() > tolerance {
        path.begin = Some((&weights, certificate.start));
        let (weights, more) = solved(&mut OnHost::new(learning), &path)?;
        (head, certificate) = of(&weights, steps + more)?;
    }
    if certificate.share() > tolerance {
        memory.progress.warn(&format!(
            "the head's gradient fell to {:.1e} of its start, not to {tolerance:.0e}: the weights can't be finer in f32",
            certificate.share()
        ));
    }
    Ok(Fit {
        head,
        history: History::default(),
        certificate: Some(certificate),
        cross_validation: validated,
        temperature,
    })
}
