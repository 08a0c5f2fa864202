//! Paths of heads: each is solved for one strength of regularisation after another, from the strongest, and all of them side by side.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::head::solve::lbfgs::{Lbfgs, Told};
use crate::head::solve::objective::{Loss, Objective};
use crate::progress::Progress;

/// Steps that are kept, at most, and bytes of them for all paths.
const STEPS_KEPT: usize = 10;
const BYTES_KEPT: usize = 512 << 20;
/// Steps that a head may take, at most, for one strength.
const STEPS: usize = 2000;

/// The way of a head: the regularisation that it is solved for.
///
/// Minimised is `loss + l2 / 2 · Σ u²`, over all weights u = w / scale in the place of those on standardised features, but not the biases.
#[derive(Clone, Debug)]
pub(crate) struct Path<'a> {
    /// A number for each feature, and 1 for the bias.
    pub scale: &'a [f64],
    /// The strengths, l2, in the order in which they are solved for.
    pub strengths: &'a [f64],
    /// Where it begins, unless at zero: weights on standardised features, and the infinity norm of the gradient at zero.
    pub begin: Option<(&'a [f64], f64)>,
}

/// A head that was solved for one strength.
pub(crate) struct Reached<'a> {
    /// Which path it is on, and which of its strengths this is.
    pub path: usize,
    pub strength: usize,
    /// `[classes, width + 1]` on standardised features.
    pub weights: &'a [f64],
    /// Steps taken for this strength.
    pub steps: usize,
}

/// A head on its way.
struct Walker<'a> {
    path: Path<'a>,
    search: Lbfgs,
    /// The gradient's norm at zero.
    start: Option<f64>,
    at: usize,
    steps: usize,
}

impl<'a> Walker<'a> {
    fn new(path: &Path<'a>, classes: usize, (memory, noise): (usize, f64)) -> Self {
        let begin = match path.begin {
            None => vec![0.0; classes * path.scale.len()],
            Some((weights, _)) => weights.iter().zip(path.scale.iter().cycle()).map(|(w, scale)| w / scale).collect(),
        };
        let start = path.begin.map(|(_, norm)| norm);
        Self { path: path.clone(), search: Lbfgs::new(begin, memory, noise), start, at: 0, steps: 0 }
    }

    fn done(&self) -> bool {
        self.at == self.path.strengths.len()
    }

    fn strength(&self) -> f64 {
        self.path.strengths[self.at.min(self.path.strengths.len() - 1)]
    }

    /// Gives the weights on standardised features at a point.
    fn weights(&self, point: &[f64]) -> Vec<f64> {
        point.iter().zip(self.path.scale.iter().cycle()).map(|(u, scale)| u * scale).collect()
    }

    /// Takes the loss at the point asked for.
    fn told(&mut self, Loss { mut value, mut gradient }: Loss) -> Told {
        let (wide, l2) = (self.path.scale.len(), self.strength());
        for (place, (slope, u)) in gradient.iter_mut().zip(self.search.point()).enumerate() {
            *slope *= self.path.scale[place % wide];
            if place % wide + 1 < wide {
                *slope += l2 * u;
                value += 0.5 * l2 * u * u;
            }
        }
        let told = self.search.told(value, gradient);
        self.start.get_or_insert_with(|| self.search.norm());
        self.steps += usize::from(told == Told::Moved);
        told
    }

    fn gradient(&self) -> f64 {
        match self.start {
            Some(start) if start > 0.0 => self.search.norm() / start,
            _ => self.search.norm(),
        }
    }

    /// Goes on to the next strength.
    fn go_on(&mut self) {
        let (before, wide) = (self.strength(), self.path.scale.len());
        (self.at, self.steps) = (self.at + 1, 0);
        if !self.done() {
            self.search.penalise(self.strength() - before, |place| place % wide + 1 < wide);
        }
    }
}

/// Solves heads of so many classes along their paths, all side by side: each goes on to its next strength once its gradient has fallen to `tolerance` of
/// that at zero, or nothing better can be found. A head begins where it was solved for the strength before, or at zero.
///
/// # Errors
/// The objective fails, `reached` does, or the watcher asks to stop; the loss isn't finite.
pub(crate) fn walk(
    objective: &mut dyn Objective,
    (paths, classes): (&[Path], usize),
    tolerance: f64,
    progress: &dyn Progress,
    reached: &mut dyn FnMut(Reached) -> Result<()>,
) -> Result<()> {
    let elements: usize = paths.iter().map(|path| classes * path.scale.len()).sum();
    let memory = (BYTES_KEPT / (16 * elements.max(1))).clamp(3, STEPS_KEPT);
    let noise = objective.noise();
    let mut walkers: Vec<Walker> = paths.iter().map(|path| Walker::new(path, classes, (memory, noise))).collect();
    while !walkers.iter().all(Walker::done) {
        if progress.cancelled() {
            return Err(Error::Interrupted { kept: 0 });
        }
        let heads: Vec<Vec<f64>> = walkers.par_iter().map(|walker| walker.weights(walker.search.point())).collect();
        let losses = objective.evaluate(&heads)?;
        // Heads know nothing of each other: the same on any number of cores.
        let told: Vec<Option<Told>> = (walkers.par_iter_mut().zip(losses))
            .map(|(walker, loss)| (!walker.done()).then(|| walker.told(loss)))
            .collect();
        for (place, (walker, told)) in walkers.iter_mut().zip(told).enumerate() {
            let Some(told) = told else { continue };
            if !walker.search.value().is_finite() {
                return Err(Error::NotFinite { operation: "train", what: "the loss".to_owned() });
            }
            let stalled = told == Told::Stalled || walker.steps == STEPS;
            let mut ended = stalled;
            while !walker.done() && (ended || (told == Told::Moved && walker.gradient() <= tolerance)) {
                let weights = walker.weights(walker.search.x());
                let (strength, steps) = (walker.at, walker.steps);
                reached(Reached { path: place, strength, weights: &weights, steps })?;
                progress.advance(1);
                walker.go_on();
                ended = false;
            }
        }
    }
    Ok(())
}
