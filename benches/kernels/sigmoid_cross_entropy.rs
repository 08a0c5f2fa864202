//! `sigmoid_cross_entropy` on shapes of heads.

use criterion::{Criterion, Throughput};
use kernels::{Family, SigmoidCrossEntropy, SigmoidCrossEntropyBuffers, SigmoidCrossEntropyDesc, reference};
use testkit::{Samples, assert_close, gpu};

/// A few labels, those of COCO, and very many; elements are logits.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    for (batch, classes) in [(4096, 5), (4096, 80), (256, 5000)] {
        let desc = SigmoidCrossEntropyDesc { batch, classes };
        let mut samples = Samples::new(1);
        let logits = samples.scaled((batch * classes) as usize, 4.0);
        let targets: Vec<f32> = logits.iter().map(|_| if samples.below(8) == 0 { 1.0 } else { 0.0 }).collect();
        let weights = vec![1.0; batch as usize];
        let [gpu_logits, gpu_targets, gpu_weights] = [&logits, &targets, &weights].map(|values| gpu.upload(values));
        let (loss, grad) = (gpu.output(weights.len()), gpu.output(logits.len()));
        let buffers = SigmoidCrossEntropyBuffers {
            logits: gpu_logits.slice(..),
            targets: gpu_targets.slice(..),
            sample_weights: gpu_weights.slice(..),
            loss: loss.slice(),
            grad_logits: grad.slice(),
        };
        let plan = SigmoidCrossEntropy::new(&gpu.context(Family::Tiled), &desc).unwrap();
        let commands = plan.bind(&buffers).unwrap();
        gpu.run([&commands]);
        let expected = reference::sigmoid_cross_entropy(&desc, &logits, &targets, &weights);
        assert_close("loss", &gpu.read(&loss), &expected.0);
        assert_close("gradient", &gpu.read(&grad), &expected.1);
        let elements = Throughput::Elements(logits.len() as u64);
        super::time(criterion, gpu, ("sigmoid_cross_entropy", &format!("{batch}x{classes}")), elements, &commands);
    }
}
