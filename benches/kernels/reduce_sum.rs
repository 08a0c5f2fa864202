//! `reduce_sum` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{Family, ReduceSum, ReduceSumDesc, reference};
use testkit::{Samples, assert_close, gpu};

/// A bias gradient with and without whole vec4, and a total; bytes read.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    for desc in [
        ReduceSumDesc { rows: 256, columns: 5 },
        ReduceSumDesc { rows: 4096, columns: 512 },
        ReduceSumDesc::total(1 << 21),
    ] {
        let input = Samples::new(1).vec((desc.rows * desc.columns) as usize);
        let (buffer, output) = (gpu.upload(&input), gpu.output(desc.columns as usize));
        let plan = ReduceSum::new(&gpu.context(Family::Tiled), &desc).unwrap();
        let commands = plan.bind(buffer.slice(..), output.slice()).unwrap();
        gpu.run([&commands]);
        assert_close("reduce_sum", &gpu.read(&output), &reference::reduce_sum(&desc, &input));
        let bytes = Throughput::Bytes(input.len() as u64 * 4);
        super::time(criterion, gpu, ("reduce_sum", &format!("{}x{}", desc.rows, desc.columns)), bytes, &commands);
    }
}
