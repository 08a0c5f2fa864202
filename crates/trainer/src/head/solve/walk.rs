//! Paths of heads: each is solved for one strength of regularisation after another, from the strongest, and all of them side by side.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::head::solve::lbfgs::{Lbfgs, Told};
use crate::head::solve::objective::{Loss, Objective, Penalty};
use crate::progress::Progress;

/// Steps that are kept, at most, and bytes of them for all paths.
const STEPS_KEPT: usize = 10;
const BYTES_KEPT: usize = 512 << 20;
/// Steps that a head may take, at most, for one strength.
const STEPS: usize = 2000;

/// The way of a head: the regularisation that it is solved for. Minimised is the loss and a [`Penalty`].
#[derive(Clone, Debug)]
pub(crate) struct Path<'a> {
    /// As in a [`Penalty`].
    pub scale: &'a [f64],
    /// The strengths, l2, in the order in which they are solved for.
    pub strengths: &'a [f64],
    /// Where it begins, unless at zero: weights on standardised features, and the infinity norm of the gradient at zero.
    pub begin: Option<(&'a [f64], f64)>,
}

impl<'a> Path<'a> {
    /// Gives the penalty of a strength; past the last, the last one's.
    fn penalty(&self, strength: usize) -> Penalty<'a> {
        Penalty { scale: self.scale, l2: self.strengths[strength.min(self.strengths.len() - 1)] }
    }
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
        let path = path.clone();
        let begin = match path.begin {
            None => vec![0.0; classes * path.scale.len()],
            Some((weights, _)) => path.penalty(0).scaled(weights),
        };
        let start = path.begin.map(|(_, norm)| norm);
        Self { path, search: Lbfgs::new(begin, memory, noise), start, at: 0, steps: 0 }
    }

    fn done(&self) -> bool {
        self.at == self.path.strengths.len()
    }

    /// Takes the loss at the point asked for.
    fn told(&mut self, mut loss: Loss) -> Told {
        self.path.penalty(self.at).add(self.search.point(), &mut loss);
        let told = self.search.told(loss.value, loss.gradient);
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
        let before = self.path.penalty(self.at);
        (self.at, self.steps) = (self.at + 1, 0);
        if !self.done() {
            let more = self.path.penalty(self.at).l2 - before.l2;
            self.search.penalise(more, |place| before.applies(place));
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
    loop {
        let (which, mut under_way): (Vec<usize>, Vec<&mut Walker>) =
            walkers.iter_mut().enumerate().filter(|(_, walker)| !walker.done()).unzip();
        if which.is_empty() {
            return Ok(());
        }
        if progress.cancelled() {
            return Err(Error::Interrupted { kept: 0 });
        }
        let point = |walker: &&mut Walker| walker.path.penalty(walker.at).unscaled(walker.search.point());
        let heads: Vec<Vec<f64>> = under_way.par_iter().map(point).collect();
        let losses = objective.evaluate(&which, &heads)?;
        // Heads know nothing of each other: the same on any number of cores.
        let told: Vec<Told> = under_way.par_iter_mut().zip(losses).map(|(walker, loss)| walker.told(loss)).collect();
        for ((place, walker), told) in which.into_iter().zip(under_way).zip(told) {
            if !walker.search.value().is_finite() {
                return Err(Error::NotFinite { operation: "train", what: "the loss".to_owned() });
            }
            // Where nothing better is found this strength has ended, and none that follows.
            let mut ended = told == Told::Stalled || walker.steps == STEPS;
            while !walker.done() && (ended || (told == Told::Moved && walker.gradient() <= tolerance)) {
                let weights = walker.path.penalty(walker.at).unscaled(walker.search.x());
                let (strength, steps) = (walker.at, walker.steps);
                reached(Reached { path: place, strength, weights: &weights, steps })?;
                progress.advance(1);
                walker.go_on();
                ended = false;
            }
        }
    }
}
