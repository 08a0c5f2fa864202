//! Temperature scaling: logits are divided by one number, so that the head is right as often as it says. What it says first stays first.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::Class;
use crate::error::{Error, Result};
use crate::head::labelled::{finite, width};
use crate::head::softmax::max;

/// The operation, as errors name it.
const OPERATION: &str = "fit the temperature";

/// No temperature lies beyond this, nor below its inverse: photos that are all right say that the colder the better, and not how cold.
const MOST: f64 = 20.0;

/// The slope at which the minimum counts as found, as a share of the mean spread of a row's logits.
const FLAT: f64 = 1e-12;

/// A temperature, and what it is worth on the photos that it was fitted on.
///
/// # Reference
/// Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017, section 4.2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    /// What logits are divided by: more than 1 where the head is too sure.
    pub value: f64,
    /// Mean -ln p(true class) of the logits as they are, in nats.
    pub log_loss_before: f64,
    /// The same of the logits divided by `value`.
    pub log_loss_after: f64,
}

/// The mean loss at 1 / temperature, and its two derivatives.
#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    value: f64,
    slope: f64,
    curvature: f64,
}

/// Rows of logits less the greatest of each, with the true class and what the row counts.
struct Rows<'a> {
    logits: &'a [f32],
    classes: &'a [Class],
    weights: Option<&'a [f64]>,
    width: usize,
    /// Share of the target that is spread over all classes.
    smoothing: f64,
}

impl Temperature {
    /// Fits the temperature on logits of photos that the head did not learn from, as out-of-fold ones are: the T > 0 that minimises
    /// Σ wᵢ (ln Σⱼ exp(zᵢⱼ / T) − zᵢ,yᵢ / T) / Σ wᵢ, with the logits zᵢ, the true class yᵢ and the weight wᵢ of photo i.
    ///
    /// On photos that the head has learnt from it would find how well they are remembered. T is at most 20 and at least 1 / 20: where all photos are right,
    /// a smaller one is better without end, and where the head says less than nothing a greater one.
    ///
    /// # Shapes
    /// `logits` is `[photos, classes]`; `classes`, the true ones, and `weights` are `[photos]`. Without weights each photo counts 1.
    ///
    /// # Numerics
    /// In f64. The loss is convex in 1 / T; Newton's method within a bracket finds where its slope is 0 to 1e-12 of the mean spread of a row's logits. The
    /// same photos in the same order give the same bits.
    ///
    /// # Examples
    /// ```
    /// use trainer::{data::Class, head::Temperature};
    ///
    /// // Always sure of 3 to 1 by far more, and right three times of four: the logits' distance should be ln 3.
    /// let classes = [0, 0, 0, 1].map(Class::new);
    /// let found = Temperature::fit(&[8.0, 0.0].repeat(4), &classes, None)?;
    /// assert!((found.value - 8.0 / 3f64.ln()).abs() < 1e-9);
    /// assert!((found.probabilities(&[8.0, 0.0])[0] - 0.75).abs() < 1e-12);
    /// # Ok::<(), trainer::Error>(())
    /// ```
    ///
    /// # Errors
    /// There are no photos, or none that counts; logits aren't a finite row each; a class is beyond the row; weights aren't one each, or not finite, or
    /// negative.
    pub fn fit(logits: &[f32], classes: &[Class], weights: Option<&[f64]>) -> Result<Self> {
        Self::fit_smoothed(logits, classes, weights, 0.0)
    }

    /// Fits as [`Temperature::fit`] does, as if of n photos the true class were only (n + 1) / (n + 2) true, and the others shared the rest: where all of a few photos are
    /// right, that doesn't promise that all others will be.
    ///
    /// # Reference
    /// Platt, "Probabilistic outputs for support vector machines", 1999, section 2.2.
    ///
    /// # Errors
    /// As [`Temperature::fit`].
    pub fn fit_cautiously(logits: &[f32], classes: &[Class]) -> Result<Self> {
        let (photos, width) = (classes.len() as f64, (logits.len() / classes.len().max(1)) as f64);
        // What is spread over all classes reaches the true one too.
        let smoothing = if width > 1.0 { width / ((width - 1.0) * (photos + 2.0)) } else { 0.0 };
        Self::fit_smoothed(logits, classes, None, smoothing)
    }

    fn fit_smoothed(logits: &[f32], classes: &[Class], weights: Option<&[f64]>, smoothing: f64) -> Result<Self> {
        let width = width(OPERATION, logits.len(), classes)?;
        finite(OPERATION, "logit", logits.iter().map(|&logit| f64::from(logit)))?;
        if let Some(weights) = weights {
            if weights.len() != classes.len() {
                let (expected, got) = (classes.len(), weights.len());
                return Err(Error::Shape { operation: OPERATION, operand: "weights", expected, got });
            }
            let bad = weights.iter().find(|weight| !(**weight >= 0.0 && weight.is_finite()));
            if let Some(value) =
                bad.map(f64::to_string).or((weights.iter().sum::<f64>() <= 0.0).then(|| "0 for each photo".to_owned()))
            {
                let expected = "numbers of 0 or more, and more than 0 for some";
                return Err(Error::InvalidOption { option: "weight", value, expected });
            }
        }
        let rows = Rows { logits, classes, weights, width, smoothing };
        let inverse = rows.coldness();
        let rows = Rows { smoothing: 0.0, ..rows };
        let [before, after] = [1.0, inverse].map(|inverse| rows.loss(inverse).value);
        Ok(Self { value: 1.0 / inverse, log_loss_before: before, log_loss_after: after })
    }

    /// Turns a row of logits into probabilities: softmax(z / T). Their order is that of the logits, up to what f64 can tell apart; whoever ranks classes
    /// ranks them by logits.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f64> {
        let greatest = max(logits);
        let powers: Vec<f64> = logits.iter().map(|&logit| ((f64::from(logit) - greatest) / self.value).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect()
    }
}

impl Rows<'_> {
    /// Takes the weighted mean of what `of` makes of each row, which is added up in their order.
    fn mean(&self, of: impl Fn(&[f32], Class) -> Loss + Sync) -> Loss {
        let each: Vec<Loss> =
            self.logits.par_chunks_exact(self.width).zip(self.classes).map(|(row, &class)| of(row, class)).collect();
        let (mut sum, mut all) = (Loss::default(), 0.0);
        for (row, loss) in each.iter().enumerate() {
            let weight = self.weights.map_or(1.0, |weights| weights[row]);
            all += weight;
            sum.value += weight * loss.value;
            sum.slope += weight * loss.slope;
            sum.curvature += weight * loss.curvature;
        }
        Loss { value: sum.value / all, slope: sum.slope / all, curvature: sum.curvature / all }
    }

    /// Computes the loss at 1 / temperature. With d = z − max z: its slope is E[d] − d of the true class, its curvature Var[d], over softmax(d / T).
    fn loss(&self, inverse: f64) -> Loss {
        self.mean(|row, class| {
            let greatest = max(row);
            let (mut sum, mut first, mut second, mut all) = (0.0, 0.0, 0.0, 0.0);
            for &logit in row {
                let below = f64::from(logit) - greatest;
                let power = (inverse * below).exp();
                sum += power;
                first += power * below;
                second += power * below * below;
                all += below;
            }
            let own = (1.0 - self.smoothing) * (f64::from(row[class.index()]) - greatest);
            let (mean, own) = (first / sum, own + self.smoothing * all / row.len() as f64);
            Loss {
                value: sum.ln() - inverse * own,
                slope: mean - own,
                curvature: (second / sum - mean * mean).max(0.0),
            }
        })
    }

    /// Finds the 1 / temperature of the least loss.
    fn coldness(&self) -> f64 {
        let spread = self.mean(|row, _| {
            let least = row.iter().fold(f64::INFINITY, |min, &logit| min.min(f64::from(logit)));
            Loss { value: max(row) - least, ..Loss::default() }
        });
        let flat = FLAT * spread.value;
        let (mut low, mut high, mut at) = (1.0 / MOST, MOST, 1.0);
        let mut here = self.loss(at);
        if here.slope.abs() <= flat {
            return at;
        }
        if self.loss(low).slope >= 0.0 {
            return low;
        }
        if self.loss(high).slope <= 0.0 {
            return high;
        }
        while here.slope.abs() > flat {
            if here.slope > 0.0 {
                high = at
            } else {
                low = at
            }
            let newton = at - here.slope / here.curvature;
            // A step out of the bracket, as where the loss is nearly straight, halves it instead.
            at = if newton > low && newton < high { newton } else { (low * high).sqrt() };
            if at <= low || at >= high {
                break;
            }
            here = self.loss(at);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::softmax::top;
    use crate::random::SplitMix64;

    /// Draws logits of 4 classes, the true one greater by 1 on average, all multiplied by `scale`.
    fn drawn(photos: usize, scale: f32) -> (Vec<f32>, Vec<Class>) {
        let mut random = SplitMix64(11);
        let mut even = || (random.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        let classes: Vec<Class> = (0..photos).map(|photo| Class::new(photo % 4)).collect();
        let row = |class: &Class| -> Vec<f32> {
            (0..4).map(|other| scale * (2.0 * even() + f32::from(u8::from(other == class.index())))).collect()
        };
        (classes.iter().flat_map(row).collect(), classes)
    }

    fn loss(logits: &[f32], classes: &[Class], temperature: f64) -> f64 {
        let row = |(row, class): (&[f32], &Class)| {
            let powers: Vec<f64> = row.iter().map(|&logit| (f64::from(logit) / temperature).exp()).collect();
            -(powers[class.index()] / powers.iter().sum::<f64>()).ln()
        };
        logits.chunks(4).zip(classes).map(row).sum::<f64>() / classes.len() as f64
    }

    #[test]
    fn no_other_temperature_is_better() {
        for scale in [0.3, 1.0, 6.0] {
            let (logits, classes) = drawn(120, scale);
            let found = Temperature::fit(&logits, &classes, None).unwrap();
            assert!((loss(&logits, &classes, found.value) - found.log_loss_after).abs() < 1e-12);
            assert!((loss(&logits, &classes, 1.0) - found.log_loss_before).abs() < 1e-12);
            // By central differences the slope is 0, and the loss grows to both sides.
            let at = |inverse: f64| loss(&logits, &classes, 1.0 / inverse);
            let inverse = 1.0 / found.value;
            let step = 1e-4 * inverse;
            let slope = (at(inverse + step) - at(inverse - step)) / (2.0 * step);
            assert!(slope.abs() < 1e-6 * f64::from(scale), "{scale}: {slope}");
            for factor in [0.5, 0.9, 0.99, 1.01, 1.1, 2.0] {
                assert!(at(factor * inverse) > found.log_loss_after, "{scale} {factor}");
            }
        }
        // Logits that are multiplied want a temperature that is.
        let ((small, classes), (large, _)) = (drawn(120, 1.0), drawn(120, 4.0));
        let [one, four] = [small, large].map(|logits| Temperature::fit(&logits, &classes, None).unwrap().value);
        assert!((four / one - 4.0).abs() < 1e-9, "{one} {four}");
    }

    #[test]
    fn a_weight_of_two_is_the_photo_twice() {
        let (logits, classes) = drawn(30, 3.0);
        let weights: Vec<f64> = (0..30).map(|photo| f64::from(photo % 3)).collect();
        let weighted = Temperature::fit(&logits, &classes, Some(&weights)).unwrap();
        let (mut again, mut of) = (Vec::new(), Vec::new());
        for photo in 0..30 {
            for _ in 0..photo % 3 {
                again.extend(&logits[4 * photo..4 * photo + 4]);
                of.push(classes[photo]);
            }
        }
        let repeated = Temperature::fit(&again, &of, None).unwrap();
        assert!((weighted.value - repeated.value).abs() < 1e-9 && weighted.value > 1.0, "{weighted:?} {repeated:?}");
        assert!((weighted.log_loss_after - repeated.log_loss_after).abs() < 1e-12);
    }

    #[test]
    fn a_few_photos_that_are_all_right_promise_nothing_for_ever() {
        // Ten of ten right by 1: the true class is 11 / 12 true, which is a distance of ln 11.
        let (logits, classes) = ([1.0, 0.0].repeat(10), vec![Class::new(0); 10]);
        let found = Temperature::fit_cautiously(&logits, &classes).unwrap();
        assert!((1.0 / found.value - 11f64.ln()).abs() < 1e-9, "{found:?}");
        assert!(Temperature::fit(&logits, &classes, None).unwrap().value == 1.0 / MOST);
        // Of many it makes no difference.
        let (logits, classes) = drawn(3000, 3.0);
        let [cautious, plain] =
            [Temperature::fit_cautiously(&logits, &classes), Temperature::fit(&logits, &classes, None)];
        assert!((cautious.unwrap().value / plain.unwrap().value - 1.0).abs() < 0.02);
    }

    #[test]
    fn the_end_of_the_range_is_taken_where_the_loss_falls_to_it() {
        let of = |logits: &[f32], classes: [usize; 2]| {
            Temperature::fit(logits, &classes.map(Class::new), None).unwrap().value
        };
        assert_eq!(of(&[1.0, 0.0, 0.0, 1.0], [0, 1]), 1.0 / MOST);
        assert_eq!(of(&[1.0, 0.0, 0.0, 1.0], [1, 0]), MOST);
        // Right beyond all doubt, or without a word: nothing is to be gained.
        assert_eq!(of(&[1e4, 0.0, 0.0, 1e4], [0, 1]), 1.0);
        assert_eq!(of(&[2.0; 4], [0, 1]), 1.0);
    }

    #[test]
    fn what_comes_first_stays_first() {
        let (logits, classes) = drawn(200, 5.0);
        let found = Temperature::fit(&logits, &classes, None).unwrap();
        assert!(found.log_loss_after < found.log_loss_before);
        for row in logits.chunks(4) {
            let probabilities = found.probabilities(row);
            assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let order = top(row, 4);
            assert!(order.is_sorted_by(|a, b| probabilities[a.index()] >= probabilities[b.index()]));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let [a, b] = [0, 1].map(Class::new);
        let message = |logits: &[f32], classes: &[Class], weights: Option<&[f64]>| {
            Temperature::fit(logits, classes, weights).unwrap_err().to_string()
        };
        assert!(message(&[], &[], None).contains("classes has 0 elements"));
        assert!(message(&[0.0; 3], &[a, b], None).contains("expected 2"));
        assert!(message(&[0.0, f32::NAN], &[a], None).contains("logit 1 is not finite"));
        assert!(message(&[0.0; 4], &[a, b], Some(&[1.0])).contains("weights has 1 elements, expected 2"));
        for weights in [[0.0, 0.0], [1.0, -1.0], [f64::NAN, 1.0]] {
            assert!(message(&[0.0; 4], &[a, b], Some(&weights)).contains("more than 0 for some"));
        }
    }
}
