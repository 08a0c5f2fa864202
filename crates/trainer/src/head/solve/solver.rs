//! The one door to all solvers.

use crate::error::Result;
use crate::head::history::Fit;
use crate::head::options::{Optimizer, TrainOptions};
use crate::head::problem::Problem;
use crate::head::regularisation::Regularisation;
use crate::head::solve::minibatch::minibatch;
use crate::head::solve::optimum::{self, Search, optimum};
use crate::head::solve::work::Work;
use crate::machine::Device;
use crate::progress::Progress;

/// Trains a head: finds the optimum, or goes by mini-batches and keeps the best epoch, as the [`Optimizer`] says.
///
/// The optimum is that of `Σ r (−ln p(class)) + l2 / 2 · Σ u²`: r are the rows' shares by their weights and those of their classes, p the softmax of
/// the head's logits, u its weights on features divided by their [`Scaling`](crate::head::Scaling); biases are free. Where rows are of sets of classes ([`Target::Set`](crate::data::Target::Set)), p is the sigmoid of each class by itself, and the sum runs over all classes, with 1 − p of
/// those that a row isn't of; then thresholds are chosen too ([`Head::thresholds`](crate::head::Head::thresholds)). It is found by L-BFGS, and comes with a
/// [`Certificate`](crate::head::Certificate). Strength and scaling are chosen among 22 by cross-validation where folds are dealt, with heads in closed form beside them where rows are few: see
/// [`Method`](crate::head::Method). The seed, the order of the
/// rows and the size of batches don't matter.
///
/// # Numerics
/// The device computes in f32; standardisation, the search for the optimum, its certificate and the validation loss are in f64. The same problem and options give the same head on the
/// same device; heads of different devices agree within what the certificate leaves open.
///
/// # Examples
/// ```no_run
/// use trainer::data::{Class, Target};
/// use trainer::features::Rows;
/// use trainer::head::{Problem, Samples, TrainOptions, solve};
/// use trainer::machine::{Device, Selection, Wanted};
///
/// let device = pollster::block_on(Device::open(Wanted::Auto, &Selection::default()))?;
/// // Four photos of two features each.
/// let features = [0.1, 0.9, 0.2, 0.8, 0.9, 0.1, 0.7, 0.3];
/// let rows = Rows::new(&features, 2)?;
/// let targets: Vec<Target> = [0, 0, 1, 1].map(|class| Class::new(class).into()).to_vec();
/// let classes = ["cat", "dog"].map(str::to_owned);
/// let train = Samples { rows: &rows, targets: &targets, weights: None };
/// let problem = Problem { classes: &classes, train, validation: None, folds: None, views: 1 };
/// let fit = solve(&device, &problem, &TrainOptions::default(), &())?;
/// println!("the gradient fell to {:.0e} of its start", fit.certificate.unwrap().share());
/// # Ok::<(), trainer::Error>(())
/// ```
///
/// # Reference
/// Hastie, Tibshirani and Friedman, "The elements of statistical learning", 2nd edition, 2009, section 4.4.
///
/// # Errors
/// An option is out of range; a row isn't of exactly one class; rows and targets don't fit; the loss isn't finite any more; the
/// device fails; the watcher asks to stop.
pub fn solve(device: &Device, problem: &Problem, options: &TrainOptions, progress: &dyn Progress) -> Result<Fit> {
    options.check()?;
    if problem.is_of_sets() {
        options.check_sets()?;
    }
    let work = Work { device, most_rows: usize::MAX, progress };
    let mut fit = match options.optimizer {
        Optimizer::Lbfgs { method, l2, scaling, tolerance, choice, .. } => {
            optimum(&work, problem, options, &Search { method, l2, scaling, tolerance, choice })
        }
        Optimizer::Sgd { .. } | Optimizer::AdamW { .. } => minibatch(&work, problem, options),
    }?;
    if let Some(adjustment) = options.class_weights.adjustment(&problem.counts()) {
        fit.adjust(&adjustment);
    }
    Ok(fit)
}

/// Finds the head of one regularisation, whatever cross-validation would choose; its logits are neither calibrated nor adjusted. Down to the tolerance of
/// [`Optimizer::Lbfgs`], or the usual one beside others.
///
/// # Errors
/// As [`solve`].
pub fn solve_for(
    device: &Device,
    problem: &Problem,
    options: &TrainOptions,
    regularisation: Regularisation,
    progress: &dyn Progress,
) -> Result<Fit> {
    options.check()?;
    regularisation.check()?;
    if problem.is_of_sets() {
        regularisation.method().check_sets()?;
        options.check_sets()?;
    }
    let tolerance = match options.optimizer {
        Optimizer::Lbfgs { tolerance, .. } => tolerance,
        Optimizer::Sgd { .. } | Optimizer::AdamW { .. } => 1e-6,
    };
    let work = Work { device, most_rows: usize::MAX, progress };
    optimum::solve_for(&work, problem, options, (regularisation, tolerance))
}
