//! The certificate of an optimum: how near to zero the gradient is at a head, computed from the head alone, in f64.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::head::layer::Head;
use crate::head::options::Scaling;
use crate::head::solve::{Learning, Objective as _, OnHost, largest};

/// How near a head is to the one optimum of its convex problem.
///
/// The problem is to minimise `loss + l2 / 2 · Σ u²`, the loss being the mean cross-entropy by the photos' weights and u the weights on features that are divided
/// by their scales. It is strictly convex but for a shift of all biases alike, so a head whose gradient vanishes is the optimum, whoever found it and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// What the penalty weighs features by.
    pub scaling: Scaling,
    /// The strength of the penalty.
    pub l2: f64,
    /// The value of what is minimised, in nats.
    pub objective: f64,
    /// The infinity norm of its gradient at the head, computed in f64 from the head as it is saved.
    pub gradient: f64,
    /// The same at a head of zeros.
    pub start: f64,
    /// How many steps led there; 0 where that isn't known.
    #[serde(default)]
    pub steps: usize,
}

impl Certificate {
    /// Computes the gradient as a share of that at a head of zeros: 0 is the optimum.
    pub fn share(&self) -> f64 {
        if self.start > 0.0 { self.gradient / self.start } else { self.gradient }
    }
}

/// Computes the certificate of a head for what it learnt from.
///
/// # Errors
/// The head isn't as wide as the rows.
pub(crate) fn certify(head: &Head, learning: &Learning, scaling: Scaling, l2: f64) -> Result<Certificate> {
    let scale = scaling.of(learning.standard);
    let wide = scale.len();
    let without = [[None; 2]];
    let learning = Learning { without: &without, folds: &[], ..*learning };
    let weights = learning.standard.unfold(&head.weight, &head.bias);
    let of = |weights: Vec<f64>| -> Result<(f64, f64)> {
        let losses = OnHost::new(&learning).evaluate(std::slice::from_ref(&weights))?;
        let mut value = losses[0].value;
        let slopes = losses[0].gradient.iter().zip(&weights).enumerate().map(|(place, (slope, w))| {
            let u = w / scale[place % wide];
            let pull = if place % wide + 1 < wide { l2 * u } else { 0.0 };
            value += 0.5 * pull * u;
            slope * scale[place % wide] + pull
        });
        let slopes: Vec<f64> = slopes.collect();
        Ok((value, largest(&slopes)))
    };
    let (_, start) = of(vec![0.0; weights.len()])?;
    let (objective, gradient) = of(weights)?;
    Ok(Certificate { scaling, l2, objective, gradient, start, steps: 0 })
}
