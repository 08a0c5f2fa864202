//! `softmax_cross_entropy` on the adapter against its twin.

use crate::slopes::{round_to_steps, slopes};
use kernels::{
    Error, Family, Reduction, SoftmaxCrossEntropy, SoftmaxCrossEntropyBuffers, SoftmaxCrossEntropyDesc, reference,
    wgpu::Limits,
};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

/// PyTorch's ignore_index, -100.
const IGNORED: u32 = -100i32 as u32;

struct Case {
    desc: SoftmaxCrossEntropyDesc,
    logits: Vec<f32>,
    labels: Vec<u32>,
    class_weights: Option<Vec<f32>>,
    sample_weights: Option<Vec<f32>>,
}

impl Case {
    /// Draws random logits and positive weights; about one label in eight is ignored.
    fn new(desc: SoftmaxCrossEntropyDesc, scale: f32, seed: u64) -> Self {
        let mut samples = Samples::new(seed);
        let (batch, classes) = (desc.batch as usize, desc.classes as usize);
        let logits = samples.scaled(batch * classes, scale);
        let labels = (0..batch)
            .map(|_| match samples.below(8) {
                0 => desc.classes + samples.below(3),
                _ => samples.below(desc.classes),
            })
            .collect();
        let mut weights = |len: usize| (0..len).map(|_| samples.signed().abs() + 0.125).collect();
        let class_weights = desc.class_weights.then(|| weights(classes));
        let sample_weights = desc.sample_weights.then(|| weights(batch));
        Case { desc, logits, labels, class_weights, sample_weights }
    }

    fn expected(&self) -> (reference::Expected, reference::Expected) {
        reference::softmax_cross_entropy(
            &self.desc,
            &self.logits,
            &self.labels,
            self.class_weights.as_deref(),
            self.sample_weights.as_deref(),
        )
    }

    /// Computes the loss and the gradient, and counts the dispatches.
    fn run(&self, gpu: &Gpu) -> (Vec<f32>, Vec<f32>, usize) {
        let upload = |data: &Option<Vec<f32>>| data.as_ref().map(|data| gpu.upload(data));
        let (logits, labels) = (gpu.upload(&self.logits), gpu.upload(&self.labels));
        let (class_weights, sample_weights) = (upload(&self.class_weights), upload(&self.sample_weights));
        let (loss, grad) = (gpu.output(self.labels.len()), gpu.output(self.logits.len()));
        let buffers = SoftmaxCrossEntropyBuffers {
            logits: logits.slice(..),
            labels: labels.slice(..),
            class_weights: class_weights.as_ref().map(|weights| weights.slice(..)),
            sample_weights: sample_weights.as_ref().map(|weights| weights.slice(..)),
            loss: loss.slice(),
            grad_logits: self.desc.gradient.then(|| grad.slice()),
        };
        let plan = SoftmaxCrossEntropy::new(&gpu.context(Family::Tiled), &self.desc).unwrap();
        let commands = plan.bind(&buffers).unwrap();
        gpu.run([&commands]);
        (gpu.read(&loss), gpu.read(&grad), commands.dispatches())
    }

    fn check(&self, gpu: &Gpu) -> usize {
        let (loss, grad, dispatches) = self.run(gpu);
        let (expected_loss, expected_grad) = self.expected();
        assert_close(&format!("loss of {:?}", self.desc), &loss, &expected_loss);
        match self.desc.gradient {
            true => assert_close(&format!("gradient of {:?}", self.desc), &grad, &expected_grad),
            false => assert!(grad.iter().all(|value| value.is_nan()), "a gradient that nobody asked for was written"),
        }
        dispatches
    }
}

fn every_option(batch: u32, classes: u32) -> impl Iterator<Item = SoftmaxCrossEntropyDesc> {
    (0..64).map(move |bits| SoftmaxCrossEntropyDesc {
        batch,
        classes,
        label_smoothing: if bits & 1 == 0 { 0.0 } else { 0.1 },
        reduction: if bits & 2 == 0 { Reduction::Mean } else { Reduction::Sum },
        class_weights: bits & 4 != 0,
        sample_weights: bits & 8 != 0,
        gradient: bits & 16 == 0,
        classes_first: bits & 32 != 0,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn ragged_shapes(
        batch in 1u32..150, classes in 1u32..200, option in 0usize..64, scale in 0.1f32..50.0, seed: u64,
    ) {
        let desc = every_option(batch, classes).nth(option).unwrap();
        Case::new(desc, scale, seed).check(gpu());
    }
}

#[test]
fn from_one_class_to_many() {
    for classes in [1, 2, 5, 16, 31, 32, 33, 64, 511, 1000, 1024, 100_003] {
        for option in [0, 5, 15, 32, 45] {
            let desc = every_option(3, classes).nth(option).unwrap();
            Case::new(desc, 4.0, u64::from(classes)).check(gpu());
        }
    }
}

#[test]
fn huge_logits_stay_finite() {
    for desc in every_option(40, 37) {
        let mut case = Case::new(desc, 1e4, 3);
        case.check(gpu());
        for logit in &mut case.logits {
            *logit = -1e4 - logit.abs();
        }
        case.check(gpu());
    }
}

#[test]
fn an_ignored_sample_changes_nothing() {
    let desc =
        SoftmaxCrossEntropyDesc { label_smoothing: 0.1, class_weights: true, ..SoftmaxCrossEntropyDesc::new(4, 3) };
    let mut case = Case::new(desc, 3.0, 5);
    case.labels = vec![0, IGNORED, 2, 1];
    let (loss, grad, _) = case.run(gpu());
    assert_eq!((loss[1], &grad[3..6]), (0.0, &[0.0; 3][..]));
    case.logits[3..6].copy_from_slice(&[f32::NAN, f32::INFINITY, 1e30]);
    assert_eq!(case.run(gpu()), (loss.clone(), grad.clone(), 2));

    // And the others have what they would have without it.
    case.desc.batch = 3;
    case.labels.remove(1);
    case.logits.drain(3..6);
    let (expected_loss, expected_grad) = case.expected();
    assert_close("loss", &[loss[0], loss[2], loss[3]], &expected_loss);
    assert_close("gradient", &[&grad[..3], &grad[6..]].concat(), &expected_grad);

    case.labels = vec![IGNORED; 3];
    let (loss, grad, _) = case.run(gpu());
    assert!(loss.iter().chain(&grad).all(|&value| value == 0.0), "the mean of nothing is 0");
}

#[test]
fn samples_without_weight_have_a_mean_of_zero() {
    let desc = SoftmaxCrossEntropyDesc { sample_weights: true, ..SoftmaxCrossEntropyDesc::new(3, 4) };
    let case = Case { sample_weights: Some(vec![0.0; 3]), ..Case::new(desc, 3.0, 7) };
    case.check(gpu());
    let (loss, grad, _) = case.run(gpu());
    assert!(loss.iter().chain(&grad).all(|&value| value == 0.0));
}

#[test]
fn an_integer_sample_weight_is_so_many_copies() {
    let desc =
        SoftmaxCrossEntropyDesc { label_smoothing: 0.1, class_weights: true, ..SoftmaxCrossEntropyDesc::new(3, 4) };
    let copies = Case::new(desc, 3.0, 11);
    let mut copies = Case { labels: vec![0, 3, 3], ..copies };
    copies.logits.copy_within(4..8, 8);
    let weighted = Case {
        desc: SoftmaxCrossEntropyDesc { batch: 2, sample_weights: true, ..desc },
        logits: copies.logits[..8].to_vec(),
        labels: vec![0, 3],
        class_weights: copies.class_weights.clone(),
        sample_weights: Some(vec![1.0, 2.0]),
    };
    let (loss, _) = copies.expected();
    let (got, _, _) = weighted.run(gpu());
    let sum = reference::Expected {
        values: vec![loss.values[0], loss.values[1] + loss.values[2]],
        bounds: vec![loss.bounds[0], loss.bounds[1] + loss.bounds[2]],
    };
    assert_close("loss", &got, &sum);
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    for desc in every_option(5, 4) {
        let mut case = Case::new(SoftmaxCrossEntropyDesc { gradient: true, ..desc }, 2.0, 17);
        round_to_steps(&mut case.logits);
        let (_, grad) = case.expected();
        let slopes = slopes(&case.logits.clone(), |logits| {
            case.logits.copy_from_slice(logits);
            case.expected().0.values.iter().sum()
        });
        for (slope, grad) in slopes.iter().zip(&grad.values) {
            assert!((slope - grad).abs() < 1e-10, "{desc:?}: {slope} is not {grad}");
        }
    }
}

#[test]
fn work_beyond_a_binding_is_split() {
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 4 << 10, ..Limits::default() });
    for desc in every_option(150, 37).filter(|desc| !desc.classes_first) {
        assert!(Case::new(desc, 3.0, 4).check(&narrow) > 4);
    }
    // Labels too take more than one window: 1,024 a binding.
    for desc in every_option(2500, 3).filter(|desc| !desc.classes_first) {
        assert!(Case::new(desc, 3.0, 4).check(&narrow) > 5);
    }
    let desc = SoftmaxCrossEntropyDesc::new(1, 961);
    let error = SoftmaxCrossEntropy::new(&narrow.context(Family::Tiled), &desc).unwrap_err();
    assert!(matches!(error, Error::Limit { needed: 961, allowed: 960, .. }));
    // With classes first there are no bands of rows to split into.
    let desc = SoftmaxCrossEntropyDesc { classes_first: true, ..SoftmaxCrossEntropyDesc::new(41, 25) };
    let error = SoftmaxCrossEntropy::new(&narrow.context(Family::Tiled), &desc).unwrap_err();
    assert!(matches!(error, Error::Limit { needed: 1025, allowed: 1024, .. }));
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let narrow = gpu_with(Limits { max_compute_workgroups_per_dimension: 4, ..Limits::default() });
    Case::new(SoftmaxCrossEntropyDesc::new(501, 11), 3.0, 4).check(&narrow);
    Case::new(SoftmaxCrossEntropyDesc::new(11, 1025), 3.0, 4).check(&narrow);
}

#[test]
fn bad_input_is_an_error() {
    let gpu = gpu();
    let context = gpu.context(Family::Tiled);
    let message = |desc: &SoftmaxCrossEntropyDesc| SoftmaxCrossEntropy::new(&context, desc).unwrap_err().to_string();
    let desc = SoftmaxCrossEntropyDesc::new(2, 2);
    assert_eq!(
        message(&SoftmaxCrossEntropyDesc { classes: 0, ..desc }),
        "softmax_cross_entropy: logits is empty: [2, 0]"
    );
    assert_eq!(
        message(&SoftmaxCrossEntropyDesc { label_smoothing: f64::NAN, ..desc }),
        "softmax_cross_entropy: label_smoothing is NaN, a number in [0, 1] is expected"
    );
    let (logits, labels, loss) = (gpu.upload(&[0f32; 4]), gpu.upload(&[0u32; 2]), gpu.output(2));
    let buffers = SoftmaxCrossEntropyBuffers {
        logits: logits.slice(..),
        labels: labels.slice(..),
        class_weights: None,
        sample_weights: None,
        loss: loss.slice(),
        grad_logits: None,
    };
    let error = SoftmaxCrossEntropy::new(&context, &desc).unwrap().bind(&buffers).unwrap_err();
    assert_eq!(error.to_string(), "softmax_cross_entropy: the descriptor has grad_logits, the buffers have none");
}
