//! Which network a verb measures: a backbone's, or a published one without its weights.

use clap::Args;
use resnet::{Architecture, Recipe, WeightFile};

use crate::error::{Error, Result};
use crate::hub;
use crate::progress::Progress;
use crate::run::{open_weights, recipe_of};

/// Which network to measure.
#[derive(Debug, Args)]
pub(crate) struct NetworkArgs {
    /// The network of this backbone, as for `train`
    #[arg(long, alias = "weights", value_name = "NAME|FILE", conflicts_with = "architecture")]
    pub(crate) backbone: Option<String>,
    /// A published network without its weights, so that nothing is downloaded [default: resnet18]
    #[arg(long, value_name = "NAME")]
    pub(crate) architecture: Option<String>,
}

/// A network to measure, and the rows and columns of its images.
pub(crate) struct Network {
    /// Its weights, where they were asked for.
    pub(crate) weights: Option<WeightFile>,
    pub(crate) architecture: Architecture,
    pub(crate) input_size: [usize; 2],
}

impl NetworkArgs {
    /// Tells whether a network was named.
    pub(crate) fn given(&self) -> bool {
        self.backbone.is_some() || self.architecture.is_some()
    }

    /// Finds the network, downloading its weights where the cache lacks them.
    pub(crate) fn network(&self, progress: &dyn Progress) -> Result<Network> {
        if let Some(backbone) = &self.backbone {
            let path = hub::resolve_by_env(backbone, progress)?.weights;
            let weights = open_weights(&path)?;
            let (Recipe { input_size, .. }, _) = recipe_of(&weights, &path)?;
            let architecture = weights.architecture().clone();
            return Ok(Network { weights: Some(weights), architecture, input_size });
        }
        let name = self.architecture.as_deref().unwrap_or(hub::DEFAULT);
        let architecture = Architecture::named(name, Some(1000)).ok_or_else(|| {
            let known: Vec<&str> = Architecture::published().collect();
            Error::Weights {
                name: name.to_owned(),
                problem: "no published architecture".to_owned(),
                advice: format!("give one of {}", known.join(", ")),
            }
        })?;
        Ok(Network { weights: None, architecture, input_size: Recipe::default().input_size })
    }
}
