//! `add_relu` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{AddRelu, AddReluBuffers, AddReluDesc, Family, reference};
use testkit::{Samples, assert_close, gpu};

/// Bytes moved: two reads and a write an element.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    // The first residual sum of ResNet-18 at batch 8; one element more shows the scalar path.
    for len in [8 * 56 * 56 * 64, 8 * 56 * 56 * 64 + 1] {
        let desc = AddReluDesc { len, relu: true };
        let mut samples = Samples::new(1);
        let (a, b) = (samples.vec(len as usize), samples.vec(len as usize));
        let (gpu_a, gpu_b, output) = (gpu.upload(&a), gpu.upload(&b), gpu.output(a.len()));
        let buffers = AddReluBuffers { a: gpu_a.slice(..), b: gpu_b.slice(..), output: output.slice() };
        let plan = AddRelu::new(&gpu.context(Family::Tiled), &desc).unwrap();
        let commands = plan.bind(&buffers).unwrap();
        gpu.run([&commands]);
        assert_close("add_relu", &gpu.read(&output), &reference::add_relu(&desc, &a, &b));
        let bytes = Throughput::Bytes(u64::from(len) * 12);
        super::time(criterion, gpu, ("add_relu", &len.to_string()), bytes, &commands);
    }
}
