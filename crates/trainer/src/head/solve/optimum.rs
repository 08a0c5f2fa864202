//! The best linear head: its regularisation chosen by cross-validation, solved by L-BFGS or in closed form, and certified.

use crate::data::Class;
use crate::error::Result;
use crate::head::calibrate::Temperature;
use crate::head::certificate::{Certificate, Claim, certify};
use crate::head::history::{Fit, History};
use crate::head::layer::Head;
use crate::head::options::{Choice, TrainOptions};
use crate::head::problem::{Classed, Problem};
use crate::head::regularisation::{Method, Regularisation, Scaling};
use crate::head::sigmoid::sigmoid;
use crate::head::solve::cross_validation::{CrossValidation, Grid, cross_validate, folds_of, head_of};
use crate::head::solve::discriminant::Discriminant;
use crate::head::solve::leave_one_out::LeaveOneOut;
use crate::head::solve::objective::{Learning, Objective, Penalty, Posed};
use crate::head::solve::on_host::OnHost;
use crate::head::solve::walk::{Path, Reached, walk};
use crate::head::solve::work::Work;
use crate::head::thresholds::{Judged, LEAST};
use crate::progress::Stage;
use crate::words::{count, first};

/// How a head's optimum is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Search {
    pub method: Option<Method>,
    pub l2: Option<f64>,
    pub scaling: Option<Scaling>,
    pub tolerance: f64,
    pub choice: Choice,
}

/// Strengths that are tried, from the strongest: half decades.
const STRENGTHS: [f64; 11] = [10.0, 3.2, 1.0, 0.32, 0.1, 0.032, 0.01, 0.0032, 0.001, 0.00032, 0.0001];
/// Shrinkages of the covariance that are tried; wholly shrunk it leaves the nearest mean, and says so by another name.
const SHRINKAGES: [f64; 3] = [1.0, 0.8, 0.4];
/// Sharpnesses that are tried with each: octaves. Features that say much the same count several times in a distance, the more the wider they are.
const SHARPNESSES: [f64; 8] =
    [1.0 / 256.0, 1.0 / 128.0, 1.0 / 64.0, 1.0 / 32.0, 1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 1.0 / 2.0];
/// So many rows a class, and in all, have heads in closed form take part unasked: of so few, means say most of what can be known, and cost next to nothing.
const FEW: [usize; 2] = [10, 1000];

impl Search {
    /// Lists the candidates for a problem.
    fn grid<'a>(&'a self, posed: &Posed, nested: bool) -> Grid<'a> {
        let scalings = self.scaling.map_or(Scaling::ALL.to_vec(), |scaling| vec![scaling]);
        let logistic = matches!(self.method, None | Some(Method::Logistic));
        // A penalty and spread targets are of the loss of softmax regression.
        let photos = posed.samples.photos();
        let few = photos <= FEW[0] * posed.class_weights.len() && photos <= FEW[1] && !posed.samples.has_sets();
        let shrinkages = match self.method {
            None if few && self.l2.is_none() && posed.label_smoothing == 0.0 => &SHRINKAGES[..],
            None | Some(Method::Logistic) => &[],
            Some(Method::Prototype) => &SHRINKAGES[..1],
            Some(Method::Covariance) => &SHRINKAGES[1..],
        };
        Grid {
            scalings: scalings.into_iter().map(|scaling| (scaling, scaling.of(&posed.standard))).collect(),
            strengths: match &self.l2 {
                _ if !logistic => &[],
                Some(l2) => std::slice::from_ref(l2),
                None => &STRENGTHS,
            },
            discriminants: [shrinkages, &SHARPNESSES],
            choice: self.choice,
            nested,
        }
    }
}

/// Finds the head that is optimal for the training part, with the regularisation given or, where folds are dealt, the best of a grid.
///
/// # Errors
/// As [`solve`](crate::head::solve).
pub(crate) fn optimum(work: &Work, problem: &Problem, options: &TrainOptions, search: &Search) -> Result<Fit> {
    let posed = Posed::new(problem, options)?;
    let grid = search.grid(&posed, problem.folds.is_some_and(|folds| folds.nested));
    let deals = problem.folds.map_or(&[][..], |folds| folds.deals);
    let heads = deals.iter().map(|deal| grid.heads(folds_of(deal))).sum::<usize>();
    work.progress.begin(Stage::HEADS, heads + 1);
    let found = find(work, &posed.learning(), deals, &grid, (problem.classes, search.tolerance));
    work.progress.end();
    found
}

/// Finds the head that is optimal for the training part with this regularisation.
///
/// # Errors
/// As [`solve`](crate::head::solve).
pub(crate) fn solve_for(
    work: &Work,
    problem: &Problem,
    options: &TrainOptions,
    (regularisation, tolerance): (Regularisation, f64),
) -> Result<Fit> {
    let posed = Posed::new(problem, options)?;
    let claim = Claim { regularisation, temperature: 1.0 };
    let (mut head, certificate) = solved(work, &posed.learning(), &claim, (problem.classes, tolerance))?;
    head.thresholds = posed.samples.has_sets().then(|| vec![0.5; problem.classes.len()]);
    let certificate = Some(certificate);
    Ok(Fit {
        head,
        history: History::default(),
        certificate,
        cross_validation: None,
        leave_one_out: None,
        temperature: None,
    })
}

fn find(
    work: &Work,
    learning: &Learning,
    deals: &[Vec<usize>],
    grid: &Grid,
    (classes, tolerance): (&[String], f64),
) -> Result<Fit> {
    let mut validated: Option<CrossValidation> = match deals {
        [] => None,
        _ => Some(cross_validate(work, learning, deals, grid, classes)?),
    };
    let regularisation = match &validated {
        Some(found) => found.candidates[found.chosen].regularisation,
        None => grid.unchosen(),
    };
    // Where photos are all told apart, the weaker the better, and it makes no difference.
    if let (Some(found), [strongest, .., weakest], Some(l2)) = (&validated, grid.strengths, regularisation.l2())
        && [*strongest, *weakest].contains(&l2)
        && found.candidates[found.chosen].log_loss > 0.05
    {
        work.progress.warn(&format!("the best L2, {l2}, is at the end of what was tried: --l2 can be given beyond it"));
    }
    let samples = learning.samples;
    let temperature = match &validated {
        Some(found) => Some(temperature(samples, &found.logits)?),
        None => None,
    };
    let claim = Claim { regularisation, temperature: temperature.map_or(1.0, |found| found.value) };
    if let Some(found) = &mut validated {
        found.calibrate(claim.temperature, samples);
    }
    let (mut head, certificate) = solved(work, learning, &claim, (classes, tolerance))?;
    // Where the equations are nearly singular f32 holds their solution less well, and no search can help.
    if regularisation.method() == Method::Logistic && certificate.share() > tolerance {
        work.progress.warn(&format!(
            "the head's gradient fell to {:.1e} of its start, not to {tolerance:.0e}: the weights can't be finer in f32",
            certificate.share()
        ));
    }
    if samples.has_sets() {
        head.thresholds =
            Some(thresholds(work, samples, validated.as_ref().map_or(&[], |found| &found.logits), classes));
    }
    let scale = regularisation.scaling().of(learning.standard);
    let leave_one_out = regularisation
        .l2()
        .and_then(|l2| LeaveOneOut::of(learning, &head, &Penalty { scale: &scale, l2 }, claim.temperature));
    Ok(Fit {
        head,
        history: History::default(),
        certificate: Some(certificate),
        cross_validation: validated,
        leave_one_out,
        temperature,
    })
}

/// Fits the temperature on out-of-fold logits of the photos; where they may be of several classes, on each class of each photo as a choice of two.
fn temperature(samples: &Classed, logits: &[f32]) -> Result<Temperature> {
    let photos = 0..samples.photos();
    if !samples.has_sets() {
        let classes: Vec<Class> = photos.map(|photo| samples.of_photo(photo)[0]).collect();
        return Temperature::fit_cautiously(logits, &classes);
    }
    let width = logits.len() / photos.len();
    let pairs: Vec<f32> = logits.iter().flat_map(|&logit| [0.0, logit]).collect();
    let is_of = |photo, class| Class::new(usize::from(samples.of_photo(photo).contains(&Class::new(class))));
    let truths: Vec<Class> = photos.flat_map(|photo| (0..width).map(move |class| is_of(photo, class))).collect();
    let Temperature { value, log_loss_before, log_loss_after } = Temperature::fit_cautiously(&pairs, &truths)?;
    // A photo's loss is the sum over its classes.
    let [log_loss_before, log_loss_after] = [log_loss_before, log_loss_after].map(|loss| width as f64 * loss);
    Ok(Temperature { value, log_loss_before, log_loss_after })
}

/// Chooses the thresholds of photos that may be of several classes by their out-of-fold logits, and warns of classes that keep 0.5.
fn thresholds(work: &Work, samples: &Classed, logits: &[f32], classes: &[String]) -> Vec<f64> {
    let sets: Vec<&[Class]> = (0..samples.photos()).map(|photo| samples.of_photo(photo)).collect();
    let cuts = match logits {
        [] => vec![None; classes.len()],
        _ => Judged { logits, sets: &sets }.cuts(|_| true),
    };
    let kept = classes.iter().zip(&cuts).filter(|(_, cut)| cut.is_none());
    let kept: Vec<String> = kept.map(|(class, _)| class.clone()).collect();
    if !kept.is_empty() && !logits.is_empty() {
        work.progress.warn(&format!(
            "{} of fewer than {LEAST} photos, or of all but so few: the threshold stays 0.5: {}",
            count(kept.len(), "class"),
            first(&kept, 5)
        ));
    }
    cuts.into_iter().map(|cut| cut.map_or(0.5, sigmoid)).collect()
}

/// Solves for the head of a claim, and certifies it.
fn solved(
    work: &Work,
    learning: &Learning,
    claim: &Claim,
    (classes, tolerance): (&[String], f64),
) -> Result<(Head, Certificate)> {
    let scale = claim.regularisation.scaling().of(learning.standard);
    let of = |weights: &[f64], steps: usize| -> Result<(Head, Certificate)> {
        let weights: Vec<f64> = weights.iter().map(|weight| weight / claim.temperature).collect();
        let head = head_of(&weights, learning.standard, classes);
        let certificate = certify(&head, learning, *claim)?;
        Ok((head, Certificate { steps, ..certificate }))
    };
    let l2 = match claim.regularisation {
        Regularisation::Logistic { l2, .. } => l2,
        Regularisation::Prototype { sharpness, .. } => return of(&closed(learning, &scale, 1.0, sharpness)?, 0),
        Regularisation::Covariance { shrinkage, sharpness, .. } => {
            return of(&closed(learning, &scale, shrinkage, sharpness)?, 0);
        }
    };
    let mut path = Path { scale: &scale, strengths: &[l2], begin: None };
    let walked = |objective: &mut dyn Objective, path: &Path| -> Result<(Vec<f64>, usize)> {
        let mut last = (Vec::new(), 0);
        walk(
            objective,
            (std::slice::from_ref(path), classes.len()),
            tolerance / 2.0,
            work.progress,
            &mut |reached: Reached| {
                last = (reached.weights.to_vec(), reached.steps);
                Ok(())
            },
        )?;
        Ok(last)
    };
    // The device goes as far as f32 can tell; where that is too short, a last stretch in f64 follows.
    let (weights, steps) = walked(&mut *work.objective(learning)?, &path)?;
    let (head, certificate) = of(&weights, steps)?;
    if certificate.share() <= tolerance {
        return Ok((head, certificate));
    }
    path.begin = Some((&weights, certificate.start));
    let (weights, more) = walked(&mut OnHost::new(learning), &path)?;
    of(&weights, steps + more)
}

/// Computes the head in closed form of all rows.
fn closed(learning: &Learning, scale: &[f64], shrinkage: f64, sharpness: f64) -> Result<Vec<f64>> {
    let discriminant = Discriminant::of(learning, 0, scale);
    Ok(discriminant.head(&discriminant.directions(&[shrinkage])?[0], sharpness))
}
