//! `matmul` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{Family, Matmul, MatmulBuffers, MatmulDesc, reference};
use testkit::{Samples, assert_close, gpu};

pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    for family in gpu.families() {
        // The tiled family is made for GPUs: where a software driver runs it, one small size shows that.
        let software = gpu.families().len() > 1;
        let sizes: &[u32] = if software && family == Family::Tiled { &[128] } else { &[512, 1024, 2048] };
        for &size in sizes {
            let desc = MatmulDesc::new(size, size, size);
            let mut samples = Samples::new(1);
            let (a, b) = (samples.vec((size * size) as usize), samples.vec((size * size) as usize));
            let (gpu_a, gpu_b, output) = (gpu.upload(&a), gpu.upload(&b), gpu.output(a.len()));
            let buffers = MatmulBuffers { a: gpu_a.slice(..), b: gpu_b.slice(..), bias: None, output: output.slice() };
            let commands = Matmul::new(&gpu.context(family), &desc).and_then(|plan| plan.bind(&buffers)).unwrap();
            gpu.run([&commands]);
            // The first 16 rows are enough to see that the answer is right; all of them would take f64 minutes.
            let rows = MatmulDesc::new(16, size, size);
            let expected = reference::matmul(&rows, &a[..(16 * size) as usize], &b, None);
            assert_close("matmul", &gpu.read(&output)[..(16 * size) as usize], &expected);
            let name = format!("{size} {}", family.name());
            super::time(criterion, gpu, ("matmul", &name), Throughput::Elements(desc.flops()), &commands);
        }
    }
}
