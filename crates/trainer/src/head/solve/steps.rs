//! The steps by mini-batches, on whichever device: an epoch's, the validation between epochs, and the weights of the best.

use crate::error::Result;
use crate::head::options::TrainOptions;
use crate::head::problem::Classed;
use crate::head::solve::cross_validation::head_of;
use crate::head::solve::learner::Learner;
use crate::head::solve::native_learner::NativeLearner;
use crate::head::solve::objective::Posed;
use crate::head::solve::work::Work;
use crate::head::validate::{Judged, Validation};
use crate::machine::Device;

/// What takes steps on a device, with the samples that validate the weights between them, if there are any.
pub(crate) enum Steps<'a> {
    /// On the adapter.
    Gpu(Box<(Learner<'a>, Option<Validation<'a>>)>),
    /// On the CPU's cores.
    Cpu(Box<NativeLearner<'a>>, &'a Posed<'a>, Option<&'a Classed<'a>>),
}

impl<'a> Steps<'a> {
    /// Sends the samples where the steps are taken; the weights are zero.
    ///
    /// # Errors
    /// The device has too little memory, or is lost; the optimiser doesn't go by mini-batches.
    pub fn new(
        work: &Work<'a>,
        posed: &'a Posed<'a>,
        validation: Option<&'a Classed<'a>>,
        options: &'a TrainOptions,
    ) -> Result<Self> {
        let Posed { samples, standard, class_weights, .. } = posed;
        Ok(match work.device {
            Device::Cpu(_) => Self::Cpu(Box::new(NativeLearner::new(posed, options)?), posed, validation),
            Device::Gpu(gpu) => {
                let memory = work.on(gpu);
                let learner = Learner::new(&memory, samples, standard, class_weights, options)?;
                let of = |samples| Validation::new(&memory, samples, standard, &learner.weight, class_weights);
                let validation = validation.map(of).transpose()?;
                Self::Gpu(Box::new((learner, validation)))
            }
        })
    }

    /// Takes the steps of an epoch, on all rows in this order, and gives the sum of their losses.
    ///
    /// # Errors
    /// The device is lost.
    pub fn learn(&mut self, order: &[usize], epoch: usize) -> Result<f64> {
        match self {
            Self::Gpu(on_gpu) => on_gpu.0.learn(order, epoch),
            Self::Cpu(learner, ..) => learner.learn(order, epoch),
        }
    }

    /// Computes the mean loss of the samples to validate by, by the weights of the classes, and the share that is right; none where there are no such
    /// samples.
    ///
    /// # Errors
    /// The device is lost.
    pub fn validate(&self) -> Result<Option<(f64, f64)>> {
        match self {
            Self::Gpu(on_gpu) => on_gpu.1.as_ref().map(Validation::validate).transpose(),
            Self::Cpu(_, _, None) => Ok(None),
            Self::Cpu(learner, posed, Some(samples)) => {
                let classes = vec![String::new(); posed.class_weights.len()];
                let logits = head_of(learner.weight(), &posed.standard, &classes).logits(samples.rows)?;
                let mut judged = Judged::new(&posed.class_weights);
                let rows = logits.chunks_exact(classes.len()).zip(samples.classes());
                rows.for_each(|(logits, &class)| judged.add(logits, class));
                Ok(Some(judged.means()))
            }
        }
    }

    /// Keeps the present weights as the best.
    pub fn keep(&mut self) {
        match self {
            Self::Gpu(on_gpu) => on_gpu.0.keep(),
            Self::Cpu(learner, ..) => learner.keep(),
        }
    }

    /// Gives the best weights on standardised features, `[classes, width + 1]` with the biases last.
    ///
    /// # Errors
    /// The device is lost.
    pub fn best(&self) -> Result<Vec<f64>> {
        match self {
            Self::Gpu(on_gpu) => on_gpu.0.best(),
            Self::Cpu(learner, ..) => Ok(learner.best().to_vec()),
        }
    }
}
