//! The certificate of an optimum: how near to zero the gradient is at a head, computed from the head alone, in f64.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::head::layer::Head;
use crate::head::options::TrainOptions;
use crate::head::problem::Problem;
use crate::head::regularisation::Regularisation;
use crate::head::solve::{Discriminant, Learning, Objective as _, OnHost, Penalty, Posed, largest};

/// How near a head is to the one optimum of its convex problem.
///
/// The problem is to minimise `loss + l2 / 2 · Σ u²`, the loss being the mean cross-entropy by the photos' weights and u the weights on features that are divided
/// by their scales. It is strictly convex but for a shift of all biases alike, so a head whose gradient vanishes is the optimum, whoever found it and how. Heads in closed form minimise
/// `Σ u · Σ u / 2 − m · u` over the classes, with their means m and the covariance Σ within them: likewise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// How the head comes about, and what holds it back.
    #[serde(flatten)]
    pub regularisation: Regularisation,
    /// What the optimum's logits are divided by to make the head's, for probabilities to believe; 1 where they weren't calibrated.
    #[serde(default = "one")]
    pub temperature: f64,
    /// The value of what is minimised; of softmax regression in nats.
    pub objective: f64,
    /// The infinity norm of its gradient at the head, computed in f64 from the head as it is saved.
    pub gradient: f64,
    /// The same at a head of zeros.
    pub start: f64,
    /// How many steps led there; 0 where that isn't known.
    #[serde(default)]
    pub steps: usize,
}

/// Gives the temperature of heads that aren't calibrated.
fn one() -> f64 {
    1.0
}

/// The optimum that a head is said to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub regularisation: Regularisation,
    pub temperature: f64,
}

impl Certificate {
    /// Computes the gradient as a share of that at a head of zeros: 0 is the optimum.
    pub fn share(&self) -> f64 {
        if self.start > 0.0 { self.gradient / self.start } else { self.gradient }
    }
}

/// Computes the certificate of a head anew, for a problem and options that it is said to have been solved for.
///
/// # Errors
/// The head doesn't fit the problem; a row isn't of exactly one class.
pub(crate) fn certify_again(
    head: &Head,
    problem: &Problem,
    options: &TrainOptions,
    said: &Certificate,
) -> Result<Certificate> {
    let Certificate { regularisation, temperature, .. } = *said;
    let mut head = head.clone();
    if let Some(adjustment) = options.class_weights.adjustment(&problem.counts()) {
        head.adjust(&adjustment, 1.0);
    }
    certify(&head, &Posed::new(problem, options)?.learning(), Claim { regularisation, temperature })
}

/// Computes the certificate of a head for all the rows that it learnt from.
///
/// # Errors
/// The head isn't as wide as the rows.
pub(crate) fn certify(head: &Head, learning: &Learning, claim: Claim) -> Result<Certificate> {
    let Claim { regularisation, temperature } = claim;
    let (classes, width) = (learning.class_weights.len(), learning.standard.width());
    if head.bias.len() != classes || head.weight.len() != classes * width {
        let (expected, got) = (classes * width, head.weight.len());
        return Err(Error::Shape { operation: "certify", operand: "the head's weights", expected, got });
    }
    let scale = regularisation.scaling().of(learning.standard);
    let mut weights = learning.standard.unfold(&head.weight, &head.bias);
    weights.iter_mut().for_each(|weight| *weight *= temperature);
    let closed = |shape: (f64, f64)| Discriminant::of(learning, 0, &scale).certify(&weights, shape);
    let [objective, gradient, start] = match regularisation {
        Regularisation::Logistic { l2, .. } => certify_logistic(weights, learning, Penalty { scale: &scale, l2 })?,
        Regularisation::Prototype { sharpness, .. } => closed((1.0, sharpness))?,
        Regularisation::Covariance { shrinkage, sharpness, .. } => closed((shrinkage, sharpness))?,
    };
    Ok(Certificate { regularisation, temperature, objective, gradient, start, steps: 0 })
}

/// Computes the value of what softmax regression minimises at a head, its gradient's norm, and that at a head of zeros.
fn certify_logistic(weights: Vec<f64>, learning: &Learning, penalty: Penalty) -> Result<[f64; 3]> {
    let zeros = vec![0.0; weights.len()];
    let [start, found] = [&zeros, &weights].map(|weights| penalty.scaled(weights));
    let learning = Learning { without: &[[None; 2]; 2], ..*learning };
    let mut losses = OnHost::new(&learning).evaluate(&[0, 1], &[zeros, weights])?;
    for (loss, u) in losses.iter_mut().zip([&start, &found]) {
        penalty.add(u, loss);
    }
    let [start, gradient] = [0, 1].map(|head| largest(&losses[head].gradient));
    Ok([losses[1].value, gradient, start])
}
