//! `sigmoid_cross_entropy` on the adapter against its twin.

use crate::slopes::{round_to_steps, slopes};
use kernels::{
    Error, Family, SigmoidCrossEntropy, SigmoidCrossEntropyBuffers, SigmoidCrossEntropyDesc, reference, wgpu::Limits,
};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

struct Case {
    desc: SigmoidCrossEntropyDesc,
    logits: Vec<f32>,
    targets: Vec<f32>,
    sample_weights: Vec<f32>,
}

impl Case {
    /// Draws logits, targets of which most are 0 or 1, and weights of which one in eight is 0.
    fn new(batch: u32, classes: u32, scale: f32, seed: u64) -> Self {
        let mut samples = Samples::new(seed);
        let elements = (batch * classes) as usize;
        let logits = samples.scaled(elements, scale);
        let targets = (0..elements).map(|_| [0.0, 0.0, 1.0, 0.25][samples.below(4) as usize]).collect();
        let weight = |samples: &mut Samples| if samples.below(8) == 0 { 0.0 } else { samples.signed().abs() + 0.125 };
        let sample_weights = (0..batch).map(|_| weight(&mut samples)).collect();
        Case { desc: SigmoidCrossEntropyDesc { batch, classes }, logits, targets, sample_weights }
    }

    fn expected(&self) -> (reference::Expected, reference::Expected) {
        reference::sigmoid_cross_entropy(&self.desc, &self.logits, &self.targets, &self.sample_weights)
    }

    fn run(&self, gpu: &Gpu) -> (Vec<f32>, Vec<f32>) {
        let [logits, targets, weights] =
            [&self.logits, &self.targets, &self.sample_weights].map(|values| gpu.upload(values));
        let (loss, grad) = (gpu.output(self.sample_weights.len()), gpu.output(self.logits.len()));
        let buffers = SigmoidCrossEntropyBuffers {
            logits: logits.slice(..),
            targets: targets.slice(..),
            sample_weights: weights.slice(..),
            loss: loss.slice(),
            grad_logits: grad.slice(),
        };
        let plan = SigmoidCrossEntropy::new(&gpu.context(Family::Tiled), &self.desc).unwrap();
        gpu.run([&plan.bind(&buffers).unwrap()]);
        (gpu.read(&loss), gpu.read(&grad))
    }

    fn check(&self, gpu: &Gpu) {
        let (loss, grad) = self.run(gpu);
        let (expected_loss, expected_grad) = self.expected();
        assert_close(&format!("loss of {:?}", self.desc), &loss, &expected_loss);
        assert_close(&format!("gradient of {:?}", self.desc), &grad, &expected_grad);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn ragged_shapes(batch in 1u32..300, classes in 1u32..100, scale in 0.1f32..50.0, seed: u64) {
        Case::new(batch, classes, scale, seed).check(gpu());
    }
}

#[test]
fn huge_logits_stay_finite() {
    let case = Case::new(70, 9, 1e4, 3);
    case.check(gpu());
    let (loss, grad) = case.run(gpu());
    assert!(loss.iter().chain(&grad).all(|value| value.is_finite()));
}

#[test]
fn a_swapped_target_is_seen() {
    let mut case = Case::new(70, 9, 2.0, 5);
    case.sample_weights[3] = 1.0;
    case.targets[3] = 1.0;
    let (loss, grad) = case.run(gpu());
    case.targets[3] = 0.0;
    let (expected_loss, expected_grad) = case.expected();
    assert!(expected_loss.compare(&loss).unwrap().ratio > 1.0 && expected_grad.compare(&grad).unwrap().ratio > 1.0);
}

#[test]
fn a_logit_that_is_no_number_is_seen_and_spoils_no_other_sample() {
    let mut case = Case::new(5, 3, 2.0, 7);
    case.sample_weights.fill(1.0);
    let whole = case.run(gpu());
    // The second class of the third sample.
    case.logits[7] = f32::NAN;
    let (loss, grad) = case.run(gpu());
    assert!((0..5).all(|b| if b == 2 { loss[b].is_nan() } else { loss[b] == whole.0[b] }));
    assert!((0..15).all(|i| if i == 7 { grad[i].is_nan() } else { grad[i] == whole.1[i] }));
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let mut case = Case::new(5, 4, 2.0, 17);
    round_to_steps(&mut case.logits);
    let (_, grad) = case.expected();
    let slopes = slopes(&case.logits.clone(), |logits| {
        case.logits.copy_from_slice(logits);
        case.expected().0.values.iter().sum()
    });
    for (slope, grad) in slopes.iter().zip(&grad.values) {
        assert!((slope - grad).abs() < 1e-10, "{slope} is not {grad}");
    }
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let narrow = gpu_with(Limits { max_compute_workgroups_per_dimension: 4, ..Limits::default() });
    Case::new(501, 11, 3.0, 4).check(&narrow);
}

#[test]
fn bad_input_is_an_error() {
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 4 << 10, ..Limits::default() });
    let plan = |gpu: &Gpu, batch, classes| {
        SigmoidCrossEntropy::new(&gpu.context(Family::Tiled), &SigmoidCrossEntropyDesc { batch, classes })
    };
    assert_eq!(plan(gpu(), 2, 0).unwrap_err().to_string(), "sigmoid_cross_entropy: logits is empty: [0, 2]");
    let error = plan(&narrow, 41, 25).unwrap_err();
    assert!(matches!(error, Error::Limit { needed: 1025, allowed: 1024, .. }));
    let [logits, targets, weights] = [4, 4, 1].map(|len| gpu().upload(&vec![0f32; len]));
    let (loss, grad) = (gpu().output(2), gpu().output(4));
    let buffers = SigmoidCrossEntropyBuffers {
        logits: logits.slice(..),
        targets: targets.slice(..),
        sample_weights: weights.slice(..),
        loss: loss.slice(),
        grad_logits: grad.slice(),
    };
    let error = plan(gpu(), 2, 2).unwrap().bind(&buffers).unwrap_err();
    assert!(matches!(error, Error::Size { .. }) && error.to_string().contains("sample_weights"), "{error}");
}
