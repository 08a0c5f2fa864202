//! What the options of `trainer train` may be, by name.

use clap::ValueEnum;

use crate::head::{ClassWeights, Method, Scaling};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OptimizerName {
    Lbfgs,
    Adamw,
    Sgd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HeadName {
    Logistic,
    Prototype,
    Covariance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScalingName {
    Each,
    Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChoiceName {
    Best,
    OneStandardError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DuplicatesName {
    /// Look for them, and keep them together
    Together,
    /// Don't look for them; only copies to the byte stay together
    Apart,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ClassWeightsName {
    None,
    Balanced,
    Effective,
    Adjusted,
}

impl From<HeadName> for Method {
    fn from(name: HeadName) -> Self {
        match name {
            HeadName::Logistic => Self::Logistic,
            HeadName::Prototype => Self::Prototype,
            HeadName::Covariance => Self::Covariance,
        }
    }
}

impl From<ScalingName> for Scaling {
    fn from(name: ScalingName) -> Self {
        match name {
            ScalingName::Each => Self::Each,
            ScalingName::Common => Self::Common,
        }
    }
}

impl From<ClassWeightsName> for ClassWeights {
    fn from(name: ClassWeightsName) -> Self {
        match name {
            ClassWeightsName::None => Self::None,
            ClassWeightsName::Balanced => Self::Balanced,
            ClassWeightsName::Effective => Self::Effective,
            ClassWeightsName::Adjusted => Self::Adjusted,
        }
    }
}
