//! `scale_add_relu` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{Family, ScaleAddRelu, ScaleAddReluBuffers, ScaleAddReluDesc, reference};
use testkit::{Samples, assert_close, gpu};

/// The end of a block of SE-ResNet-50's first stage at batch 8, and with channels that vec4 don't divide; bytes moved: two
/// reads and a write an element.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    for channels in [256, 255] {
        let desc = ScaleAddReluDesc::new(8, 56, 56, channels);
        let mut samples = Samples::new(1);
        let len = (8 * 56 * 56 * channels) as usize;
        let (input, gate, residual) = (samples.vec(len), samples.vec((8 * channels) as usize), samples.vec(len));
        let [gpu_input, gpu_gate, gpu_residual] = [&input, &gate, &residual].map(|values| gpu.upload(values));
        let output = gpu.output(len);
        let buffers = ScaleAddReluBuffers {
            input: gpu_input.slice(..),
            gate: gpu_gate.slice(..),
            residual: gpu_residual.slice(..),
            output: output.slice(),
        };
        let plan = ScaleAddRelu::new(&gpu.context(Family::Tiled), &desc).unwrap();
        let commands = plan.bind(&buffers).unwrap();
        gpu.run([&commands]);
        let expected = reference::scale_add_relu(&desc, &input, &gate, &residual);
        assert_close("scale_add_relu", &gpu.read(&output), &expected);
        let bytes = Throughput::Bytes(len as u64 * 12);
        super::time(criterion, gpu, ("scale_add_relu", &format!("8x56x56x{channels}")), bytes, &commands);
    }
}
