//! `softmax_cross_entropy` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{Family, SoftmaxCrossEntropy, SoftmaxCrossEntropyBuffers, SoftmaxCrossEntropyDesc, reference};
use testkit::{Samples, assert_close, gpu};

/// A small head, an ImageNet head and a very wide one, with gradient; elements are logits.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    for (batch, classes) in [(256, 5), (256, 1000), (16, 100_000)] {
        let desc = SoftmaxCrossEntropyDesc { label_smoothing: 0.1, ..SoftmaxCrossEntropyDesc::new(batch, classes) };
        let mut samples = Samples::new(1);
        let logits = samples.scaled((batch * classes) as usize, 4.0);
        let labels: Vec<_> = (0..batch).map(|_| samples.below(classes)).collect();
        let (gpu_logits, gpu_labels) = (gpu.upload(&logits), gpu.upload(&labels));
        let (loss, grad) = (gpu.output(labels.len()), gpu.output(logits.len()));
        let buffers = SoftmaxCrossEntropyBuffers {
            logits: gpu_logits.slice(..),
            labels: gpu_labels.slice(..),
            class_weights: None,
            sample_weights: None,
            loss: loss.slice(),
            grad_logits: Some(grad.slice()),
        };
        let plan = SoftmaxCrossEntropy::new(&gpu.context(Family::Tiled), &desc).unwrap();
        let commands = plan.bind(&buffers).unwrap();
        gpu.run([&commands]);
        let expected = reference::softmax_cross_entropy(&desc, &logits, &labels, None, None);
        assert_close("loss", &gpu.read(&loss), &expected.0);
        assert_close("gradient", &gpu.read(&grad), &expected.1);
        let elements = Throughput::Elements(logits.len() as u64);
        super::time(criterion, gpu, ("softmax_cross_entropy", &format!("{batch}x{classes}")), elements, &commands);
    }
}
