//! Folds BatchNorm into the convolution before it, so that a forward pass has one operation for both.

use crate::error::Error;
use crate::network::ConvSpec;

/// What BatchNorm adds to the variance, in torchvision, timm and transformers alike.
pub(crate) const BATCH_NORM_EPS: f64 = 1e-5;

/// The learnt parameters and running statistics of one BatchNorm, each of length `out_channels`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BatchNorm {
    /// Scale, gamma (`weight`).
    pub weight: Vec<f32>,
    /// Shift, beta (`bias`).
    pub bias: Vec<f32>,
    /// Running mean.
    pub running_mean: Vec<f32>,
    /// Running variance.
    pub running_var: Vec<f32>,
}

/// A convolution with bias that does what a convolution and its BatchNorm did.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldedConv {
    /// What it convolves, and how.
    pub spec: ConvSpec,
    /// Weight, OIHW, of shape [`ConvSpec::weight_shape`].
    pub weight: Vec<f32>,
    /// Bias, of length `out_channels`.
    pub bias: Vec<f32>,
}

impl FoldedConv {
    /// Folds `norm` into the convolution `spec` with `weight` (OIHW, without bias):
    ///
    /// ```text
    /// scale = gamma / sqrt(var + eps)     weight' = weight · scale     bias' = beta − mean · scale
    /// ```
    ///
    /// # Numerics
    /// In f64 with eps = 1e-5, rounded once to f32.
    ///
    /// # Errors
    /// [`Error::Values`] if a folded value isn't finite in f32: the parameters are beyond what f32 can hold.
    /// [`Error::Shape`] if a length doesn't fit `spec`.
    ///
    /// # Reference
    /// Ioffe and Szegedy, *Batch Normalization*, 2015, section 3.1.
    pub(crate) fn fold(spec: &ConvSpec, weight: Vec<f32>, norm: &BatchNorm) -> Result<Self, Error> {
        let expect = |name: String, expected: usize, got: usize| {
            if expected == got { Ok(()) } else { Err(Error::Shape { name, expected: vec![expected], got: vec![got] }) }
        };
        let per_channel = spec.weight_shape()[1..].iter().product::<usize>();
        expect(format!("{}.weight", spec.name), spec.out_channels * per_channel, weight.len())?;
        for (part, values) in [
            ("weight", &norm.weight),
            ("bias", &norm.bias),
            ("running_mean", &norm.running_mean),
            ("running_var", &norm.running_var),
        ] {
            expect(format!("{}.{part}", spec.norm), spec.out_channels, values.len())?;
        }
        let mut folded = Self { spec: spec.clone(), weight, bias: Vec::with_capacity(spec.out_channels) };
        for (channel, weight) in folded.weight.chunks_exact_mut(per_channel).enumerate() {
            let deviation = (f64::from(norm.running_var[channel]) + BATCH_NORM_EPS).sqrt();
            let scale = f64::from(norm.weight[channel]) / deviation;
            weight.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
            folded.bias.push((f64::from(norm.bias[channel]) - f64::from(norm.running_mean[channel]) * scale) as f32);
        }
        // Without early exit the check runs on whole vectors.
        if [&folded.weight, &folded.bias]
            .iter()
            .all(|part| part.iter().fold(true, |all, value| all & value.is_finite()))
        {
            Ok(folded)
        } else {
            Err(Error::Values {
                file: "weights".into(),
                problems: vec![format!("{} folded into {}: beyond f32", spec.norm, spec.name)],
            })
        }
    }
}

/// A dense layer, `logits = weight · features + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Weight, row-major, of shape `[classes, features]`.
    pub weight: Vec<f32>,
    /// Bias, of length `classes`.
    pub bias: Vec<f32>,
    /// Rows of `weight`.
    pub classes: usize,
    /// Columns of `weight`.
    pub features: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ConvSpec {
        ConvSpec {
            name: "conv".into(),
            norm: "bn".into(),
            in_channels: 4,
            out_channels: 2,
            kernel: 1,
            stride: 1,
            padding: 0,
            groups: 2,
            relu: false,
        }
    }

    #[test]
    fn folded_is_convolution_then_normalisation() {
        let weight = [0.5, -1.25, 2.0, 0.125];
        let norm = BatchNorm {
            weight: vec![1.5, -0.75],
            bias: vec![0.25, -3.0],
            running_mean: vec![-0.5, 2.0],
            running_var: vec![0.0, 4.0],
        };
        let folded = FoldedConv::fold(&spec(), weight.to_vec(), &norm).unwrap();
        let input = [0.3_f64, -0.7, 1.1, 0.9];
        for channel in 0..2 {
            let dot = |weight: &[f32]| {
                (0..2).map(|i| f64::from(weight[2 * channel + i]) * input[2 * channel + i]).sum::<f64>()
            };
            let normalised = (dot(&weight) - f64::from(norm.running_mean[channel]))
                / (f64::from(norm.running_var[channel]) + 1e-5).sqrt();
            let expected = normalised * f64::from(norm.weight[channel]) + f64::from(norm.bias[channel]);
            let got = dot(&folded.weight) + f64::from(folded.bias[channel]);
            assert!((got - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{got} {expected}");
        }
    }

    #[test]
    fn wrong_lengths_and_overflow_are_errors() {
        let norm = BatchNorm {
            weight: vec![f32::MAX; 2],
            bias: vec![0.0; 2],
            running_mean: vec![0.0; 2],
            running_var: vec![0.0; 2],
        };
        let overflow = FoldedConv::fold(&spec(), vec![1.0; 4], &norm).unwrap_err();
        assert!(overflow.to_string().contains("bn folded into conv"), "{overflow}");
        let short = FoldedConv::fold(&spec(), vec![1.0; 3], &norm).unwrap_err();
        assert!(short.to_string().contains("conv.weight"), "{short}");
    }
}
