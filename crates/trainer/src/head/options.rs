//! How a head is trained: optimiser, learning rate, weights of classes, and when to stop.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::head::regularisation::{Method, Scaling};

/// The rule by which gradients change the weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Optimizer {
    /// The optimum of L2-regularised softmax regression, by L-BFGS on all samples at once: the same whatever the seed and the order.
    Lbfgs {
        /// How the head comes about; none for softmax regression or, where cross-validation judges few samples, what is best by it.
        #[serde(default)]
        method: Option<Method>,
        /// The strength of the penalty; none for the best of a grid by cross-validation.
        #[serde(default)]
        l2: Option<f64>,
        /// What the penalty weighs features by; none for the better one by cross-validation.
        #[serde(default)]
        scaling: Option<Scaling>,
        /// The gradient's infinity norm, as a share of that at zero, at which the head counts as the optimum.
        tolerance: f64,
        /// Into how many folds samples are dealt for cross-validation.
        folds: usize,
        /// How the strength is chosen.
        #[serde(default)]
        choice: Choice,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the last step that is taken again.
        momentum: f64,
        /// Whether the gradient is taken ahead, along the momentum.
        nesterov: bool,
    },
    /// Adam with decoupled weight decay.
    AdamW {
        /// Decay of the gradient's mean.
        beta1: f64,
        /// Decay of the squared gradient's mean.
        beta2: f64,
        /// The number added to the divisor, which keeps it from 0.
        eps: f64,
    },
}

impl Optimizer {
    /// Finds the optimum, with everything chosen by cross-validation over five folds.
    pub const LBFGS: Self =
        Self::Lbfgs { method: None, l2: None, scaling: None, tolerance: 1e-6, folds: 5, choice: Choice::Best };

    /// Moves by estimates of the gradient's mean and square, with the usual decays.
    pub const ADAMW: Self = Self::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8 };

    /// Tells whether it goes by epochs, of which a validation part chooses the best.
    pub fn has_epochs(&self) -> bool {
        !matches!(self, Self::Lbfgs { .. })
    }
}

/// How one of several regularisations is chosen by its out-of-fold loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The one of the lowest loss.
    #[default]
    Best,
    /// The strongest whose loss is no more than one standard error above the lowest.
    OneStandardError,
}

/// How it is made up for that some classes have few samples: by what a class's samples count in the loss, or by a correction of the logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// Every sample the same.
    #[default]
    None,
    /// Every class the same: samples / (classes · samples of the class).
    Balanced,
    /// Between the two: in proportion to (1 − β) / (1 − βⁿ) for n samples of the class, β = 0.999, so that samples beyond a thousand hardly count as more. The
    /// mean over samples is 1.
    ///
    /// # Reference
    /// Cui, Jia, Lin, Song and Belongie, "Class-balanced loss based on effective number of samples", 2019, equation 3.
    Effective,
    /// Every sample the same; the logarithm of each class's share of the samples is taken off its logits then. What is said is what would be if all classes were as frequent, and the error that is
    /// least is the mean of the classes'.
    ///
    /// # Reference
    /// Menon, Jayasumana, Rawat, Jain, Veit and Kumar, "Long-tail learning via logit adjustment", 2021, section 4.1, with τ = 1.
    Adjusted,
}

/// What of the samples of a class is new, from one to the next.
const NEW: f64 = 0.999;

impl ClassWeights {
    /// Computes the weight of each class from how many training samples it has.
    pub fn of(self, counts: &[usize]) -> Vec<f32> {
        let total: usize = counts.iter().sum();
        let balanced = |&count: &usize| match count {
            0 => 0.0,
            _ => (total as f64 / (counts.len() * count) as f64) as f32,
        };
        match self {
            Self::None | Self::Adjusted => vec![1.0; counts.len()],
            Self::Balanced => counts.iter().map(balanced).collect(),
            Self::Effective => {
                let share = |&count: &usize| match count {
                    0 => 0.0,
                    _ => (1.0 - NEW) / (1.0 - NEW.powi(count.min(i32::MAX as usize) as i32)),
                };
                let all: f64 = counts.iter().map(|count| *count as f64 * share(count)).sum();
                counts.iter().map(|count| (share(count) * total as f64 / all.max(f64::MIN_POSITIVE)) as f32).collect()
            }
        }
    }

    /// Computes what is taken off the logits of each class, from how many training samples it has: ln (classes · samples of the class / samples), 0 where classes are as frequent. A class
    /// without samples counts as half a one.
    pub(crate) fn adjustment(self, counts: &[usize]) -> Option<Vec<f64>> {
        let total: usize = counts.iter().sum();
        let of = |&count: &usize| (counts.len() as f64 * (count as f64).max(0.5) / total.max(1) as f64).ln();
        (self == Self::Adjusted).then(|| counts.iter().map(of).collect())
    }
}

/// How the head is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    /// The optimiser.
    pub optimizer: Optimizer,
    /// The highest learning rate, reached after the warm-up.
    pub learning_rate: f64,
    /// Pull of the weights (not the bias) towards zero.
    pub weight_decay: f64,
    /// Passes over the training part, at most.
    pub epochs: usize,
    /// Samples a step, at most: see [`batch_of`](Self::batch_of).
    pub batch_size: usize,
    /// Epochs over which the learning rate rises.
    pub warmup_epochs: usize,
    /// Share of the target that is spread over all classes.
    pub label_smoothing: f64,
    /// What a class's samples count.
    pub class_weights: ClassWeights,
    /// Epochs without a lower validation loss after which training stops; none for never.
    pub patience: Option<usize>,
    /// Seed of the order of samples. Weights start at zero.
    pub seed: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            optimizer: Optimizer::LBFGS,
            learning_rate: 1e-3,
            weight_decay: 1e-2,
            epochs: 100,
            batch_size: 64,
            warmup_epochs: 5,
            label_smoothing: 0.0,
            class_weights: ClassWeights::None,
            patience: Some(20),
            seed: 0,
        }
    }
}

impl TrainOptions {
    /// Checks that every value makes sense.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption) for the first that is out of range.
    pub fn check(&self) -> Result<()> {
        let non_negative = |value: f64| value >= 0.0 && value.is_finite();
        let below_one = |value: f64| (0.0..1.0).contains(&value);
        let check = |good: bool, option, value: f64, expected| {
            let value = value.to_string();
            if good { Ok(()) } else { Err(Error::InvalidOption { option, value, expected }) }
        };
        let rate = self.learning_rate;
        check(rate > 0.0 && rate.is_finite(), "learning rate", rate, "more than 0")?;
        check(non_negative(self.weight_decay), "weight decay", self.weight_decay, "0 or more")?;
        check(self.epochs > 0, "epochs", self.epochs as f64, "1 or more")?;
        check(self.batch_size > 0, "batch size", self.batch_size as f64, "1 or more")?;
        let warmup = self.warmup_epochs;
        check(warmup < self.epochs || warmup == 0, "warm-up epochs", warmup as f64, "less than all epochs")?;
        check(below_one(self.label_smoothing), "label smoothing", self.label_smoothing, "0 or more, less than 1")?;
        check(self.patience != Some(0), "patience", 0.0, "1 or more")?;
        match self.optimizer {
            Optimizer::Lbfgs { method, l2, tolerance, folds, .. } => {
                let closed = method.is_some_and(|method| method != Method::Logistic);
                let only = "none beside a head that isn't logistic, whose loss alone has it";
                check(!closed || l2.is_none(), "l2", l2.unwrap_or(0.0), only)?;
                check(!closed || self.label_smoothing == 0.0, "label smoothing", self.label_smoothing, only)?;
                let l2 = l2.unwrap_or(1.0);
                check(l2 > 0.0 && l2.is_finite(), "l2", l2, "more than 0")?;
                check((1e-12..=0.1).contains(&tolerance), "tolerance", tolerance, "from 1e-12 to 0.1")?;
                check((3..=100).contains(&folds), "folds", folds as f64, "from 3 to 100")
            }
            Optimizer::Sgd { momentum, nesterov } => {
                check(below_one(momentum), "momentum", momentum, "0 or more, less than 1")?;
                check(!nesterov || momentum > 0.0, "momentum", momentum, "more than 0 with Nesterov")
            }
            Optimizer::AdamW { beta1, beta2, eps } => {
                check(below_one(beta1), "beta1", beta1, "0 or more, less than 1")?;
                check(below_one(beta2), "beta2", beta2, "0 or more, less than 1")?;
                check(eps > 0.0, "eps", eps, "more than 0")
            }
        }
    }

    /// Checks that it suits rows that may be of several classes, each of which is learnt by itself.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption) for the first that doesn't.
    pub fn check_sets(&self) -> Result<()> {
        let check = |good: bool, option, value: String, expected| match good {
            true => Ok(()),
            false => Err(Error::InvalidOption { option, value, expected }),
        };
        let only = "lbfgs, since photos have several labels";
        let name = if matches!(self.optimizer, Optimizer::Sgd { .. }) { "sgd" } else { "adamw" };
        check(!self.optimizer.has_epochs(), "optimizer", name.to_owned(), only)?;
        if let Optimizer::Lbfgs { method: Some(method), .. } = self.optimizer {
            method.check_sets()?;
        }
        let only = "none, since photos have several labels: each class has a threshold of its own";
        check(
            self.class_weights == ClassWeights::None,
            "class weights",
            format!("{:?}", self.class_weights).to_lowercase(),
            only,
        )?;
        let only = "0, since photos have several labels";
        check(self.label_smoothing == 0.0, "label smoothing", self.label_smoothing.to_string(), only)
    }

    /// Says how many samples a step takes of so many in all: fewer than `batch_size` where an epoch would have less than eight
    /// steps, since a head on a handful of samples needs as many steps as any other.
    pub fn batch_of(&self, samples: usize) -> usize {
        self.batch_size.min(samples.div_ceil(8))
    }

    /// Computes the learning rate of a step, counted from 0: a straight rise over the warm-up, then half a cosine towards 0.
    ///
    /// With w steps of warm-up of n in all: peak · (step + 1) / w, then peak · (1 + cos(π (step − w) / (n − w))) / 2.
    ///
    /// # Reference
    /// Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, without restarts.
    pub fn learning_rate_at(&self, step: usize, steps_per_epoch: usize) -> f64 {
        let (warmup, all) = (self.warmup_epochs * steps_per_epoch, self.epochs * steps_per_epoch);
        if step < warmup {
            return self.learning_rate * (step + 1) as f64 / warmup as f64;
        }
        let done = (step - warmup) as f64 / (all - warmup).max(1) as f64;
        self.learning_rate * 0.5 * (1.0 + (PI * done.min(1.0)).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let options = TrainOptions { learning_rate: 1.0, epochs: 10, warmup_epochs: 2, ..Default::default() };
        let rate = |step| options.learning_rate_at(step, 5);
        assert_eq!((rate(0), rate(9), rate(10)), (0.1, 1.0, 1.0));
        assert!((rate(30) - 0.5).abs() < 1e-12);
        assert!(rate(49) > 0.0 && rate(49) < 0.01);
        assert!((10..49).all(|step| rate(step + 1) < rate(step)));
        let flat = TrainOptions { warmup_epochs: 0, epochs: 1, ..options };
        assert_eq!(flat.learning_rate_at(0, 1), 1.0);
    }

    #[test]
    fn few_samples_make_small_batches() {
        let of = |samples| TrainOptions { batch_size: 64, ..Default::default() }.batch_of(samples);
        assert_eq!((of(10_000), of(512), of(100), of(3)), (64, 64, 13, 1));
    }

    #[test]
    fn balanced_weights_make_classes_equal() {
        assert_eq!(ClassWeights::None.of(&[3, 1]), [1.0, 1.0]);
        assert_eq!(ClassWeights::Balanced.of(&[3, 1, 0]), [4.0 / 9.0, 4.0 / 3.0, 0.0]);
        // Of few samples all are new: as balanced, nearly. Beyond many, more make no difference: as unweighted.
        let near = |got: Vec<f32>, expected: &[f32]| {
            assert!(
                got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 0.01),
                "{got:?} {expected:?}"
            );
        };
        near(ClassWeights::Effective.of(&[3, 1, 0]), &[2.0 / 3.0, 2.0, 0.0]);
        near(ClassWeights::Effective.of(&[10_000, 20_000]), &[1.0, 1.0]);
        assert_eq!(ClassWeights::Balanced.adjustment(&[3, 1]), None);
        assert_eq!(ClassWeights::Adjusted.of(&[3, 1]), [1.0, 1.0]);
        assert_eq!(ClassWeights::Adjusted.adjustment(&[3, 1]).unwrap(), [1.5f64.ln(), 0.5f64.ln()]);
        let counts = [5000, 40];
        let weights = ClassWeights::Effective.of(&counts);
        let mean = counts.iter().zip(&weights).map(|(count, weight)| *count as f32 * weight).sum::<f32>() / 5040.0;
        assert!(
            (mean - 1.0).abs() < 1e-5 && weights[1] / weights[0] > 20.0 && weights[1] / weights[0] < 40.0,
            "{weights:?}"
        );
    }

    #[test]
    fn senseless_options_are_named() {
        let good = TrainOptions { optimizer: Optimizer::ADAMW, ..Default::default() };
        assert!(good.check().is_ok());
        let sgd = |momentum| Optimizer::Sgd { momentum, nesterov: true };
        let lbfgs_of = |method, l2, folds| Optimizer::Lbfgs {
            method,
            l2,
            scaling: None,
            tolerance: 1e-6,
            folds,
            choice: Choice::Best,
        };
        let lbfgs = |l2, folds| lbfgs_of(None, l2, folds);
        for (bad, name) in [
            (TrainOptions { learning_rate: 0.0, ..good }, "learning rate"),
            (TrainOptions { learning_rate: f64::NAN, ..good }, "learning rate"),
            (TrainOptions { weight_decay: -1.0, ..good }, "weight decay"),
            (TrainOptions { epochs: 0, ..good }, "epochs"),
            (TrainOptions { batch_size: 0, ..good }, "batch size"),
            (TrainOptions { warmup_epochs: 100, ..good }, "warm-up"),
            (TrainOptions { label_smoothing: 1.0, ..good }, "label smoothing"),
            (TrainOptions { patience: Some(0), ..good }, "patience"),
            (TrainOptions { optimizer: sgd(0.0), ..good }, "momentum"),
            (TrainOptions { optimizer: lbfgs(Some(0.0), 5), ..good }, "l2"),
            (TrainOptions { optimizer: lbfgs(Some(f64::INFINITY), 5), ..good }, "l2"),
            (TrainOptions { optimizer: lbfgs(None, 2), ..good }, "folds"),
            (TrainOptions { optimizer: lbfgs_of(Some(Method::Prototype), Some(1.0), 5), ..good }, "l2"),
            (
                TrainOptions { optimizer: lbfgs_of(Some(Method::Covariance), None, 5), label_smoothing: 0.1, ..good },
                "label smoothing",
            ),
        ] {
            let error = bad.check().unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
            assert_eq!(error.fault(), crate::Fault::Usage);
        }
    }

    #[test]
    fn options_survive_json() {
        for (optimizer, name) in [(Optimizer::LBFGS, "lbfgs"), (Optimizer::ADAMW, "adamw")] {
            let options = TrainOptions { optimizer, ..Default::default() };
            let text = serde_json::to_string(&options).unwrap();
            assert!(text.contains(&format!("\"name\":\"{name}\"")), "{text}");
            assert_eq!(serde_json::from_str::<TrainOptions>(&text).unwrap(), options);
        }
    }
}
