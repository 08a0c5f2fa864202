//! How a linear head comes about, and what holds it back: the method, and the numbers that are chosen for it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::head::standardise::Standard;

/// What features are scaled by: a penalty adds up the squares of weights on features divided by these, and distances are taken between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// All features by one deviation, the root of their mean variance: a feature that hardly changes has little say.
    Common,
    /// Each feature by its own deviation: all have the same say.
    Each,
}

impl Scaling {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Common, Self::Each];

    /// Computes, for each feature and the bias, the weight on a standardised feature that a weight of 1 stands for.
    pub(crate) fn of(self, standard: &Standard) -> Vec<f64> {
        let deviations = standard.deviations();
        let common =
            (deviations.iter().map(|deviation| deviation * deviation).sum::<f64>() / deviations.len() as f64).sqrt();
        let scale = |deviation: &f64| match self {
            Self::Common if common > 0.0 => deviation / common,
            _ => 1.0,
        };
        deviations.iter().map(scale).chain([1.0]).collect()
    }
}

/// How a linear head comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Softmax regression with a penalty on its weights.
    Logistic,
    /// The nearest of the classes' means.
    Prototype,
    /// Linear discriminant analysis: the nearest mean as one covariance within all classes measures distances, shrunk towards the identity.
    Covariance,
}

impl Method {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Logistic, Self::Prototype, Self::Covariance];

    /// Checks that its heads suit rows that may be of several classes.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] unless it is logistic.
    pub(crate) fn check_sets(self) -> Result<()> {
        let expected = "logistic, since photos have several labels";
        match self {
            Self::Logistic => Ok(()),
            other => Err(Error::InvalidOption { option: "head", value: format!("{other:?}").to_lowercase(), expected }),
        }
    }
}

/// A method with the numbers that say how much a head may believe of what it learns from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "lowercase")]
pub enum Regularisation {
    /// A penalty on the squares of weights.
    Logistic {
        /// What the penalty weighs features by.
        scaling: Scaling,
        /// The strength of the penalty.
        l2: f64,
    },
    /// Distances from the classes' means.
    Prototype {
        /// What features are divided by before distances are taken.
        scaling: Scaling,
        /// What logits are multiplied by, but for the share of the class.
        sharpness: f64,
    },
    /// Mahalanobis distances from the classes' means.
    Covariance {
        /// What features are divided by before the covariance is shrunk.
        scaling: Scaling,
        /// By how much the covariance is shrunk: 0 for not at all, 1 for a multiple of the identity.
        shrinkage: f64,
        /// What logits are multiplied by, but for the share of the class; 1 if classes were normal distributions, and the covariance the true one.
        sharpness: f64,
    },
}

impl Regularisation {
    /// Makes that of a head in closed form: shrunk wholly, the covariance says nothing but means.
    pub(crate) fn discriminant(scaling: Scaling, shrinkage: f64, sharpness: f64) -> Self {
        match shrinkage {
            1.0 => Self::Prototype { scaling, sharpness },
            _ => Self::Covariance { scaling, shrinkage, sharpness },
        }
    }

    /// Gives the method.
    pub fn method(&self) -> Method {
        match self {
            Self::Logistic { .. } => Method::Logistic,
            Self::Prototype { .. } => Method::Prototype,
            Self::Covariance { .. } => Method::Covariance,
        }
    }

    /// Gives what features are scaled by.
    pub fn scaling(&self) -> Scaling {
        let (Self::Logistic { scaling, .. } | Self::Prototype { scaling, .. } | Self::Covariance { scaling, .. }) =
            self;
        *scaling
    }

    /// Checks that its numbers make sense.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption) for the first that is out of range.
    pub(crate) fn check(&self) -> Result<()> {
        let positive = |option, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(Error::InvalidOption { option, value: value.to_string(), expected: "more than 0" }),
        };
        match *self {
            Self::Logistic { l2, .. } => positive("l2", l2),
            Self::Prototype { sharpness, .. } => positive("sharpness", sharpness),
            Self::Covariance { shrinkage, sharpness, .. } => {
                if !(shrinkage > 0.0 && shrinkage < 1.0) {
                    let (value, expected) = (shrinkage.to_string(), "more than 0, less than 1");
                    return Err(Error::InvalidOption { option: "shrinkage", value, expected });
                }
                positive("sharpness", sharpness)
            }
        }
    }

    /// Gives the strength of the penalty, of a method that has one.
    pub fn l2(&self) -> Option<f64> {
        match self {
            Self::Logistic { l2, .. } => Some(*l2),
            Self::Prototype { .. } | Self::Covariance { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_stands_beside_its_numbers() {
        let scaling = Scaling::Common;
        for (of, text) in [
            (Regularisation::Logistic { scaling, l2: 0.5 }, r#"{"method":"logistic","scaling":"common","l2":0.5}"#),
            (
                Regularisation::discriminant(scaling, 1.0, 0.5),
                r#"{"method":"prototype","scaling":"common","sharpness":0.5}"#,
            ),
            (
                Regularisation::discriminant(scaling, 0.5, 0.25),
                r#"{"method":"covariance","scaling":"common","shrinkage":0.5,"sharpness":0.25}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&of).unwrap(), text);
            assert_eq!(serde_json::from_str::<Regularisation>(text).unwrap(), of);
            of.check().unwrap();
        }
        for (of, name) in [
            (Regularisation::Logistic { scaling, l2: 0.0 }, "l2"),
            (Regularisation::Prototype { scaling, sharpness: f64::NAN }, "sharpness"),
            (Regularisation::Covariance { scaling, shrinkage: 1.5, sharpness: 1.0 }, "shrinkage"),
        ] {
            assert!(of.check().unwrap_err().to_string().starts_with(name));
        }
    }
}
