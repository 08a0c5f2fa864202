//! `global_avg_pool2d` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{Family, GlobalAvgPool2d, GlobalAvgPool2dDesc, reference};
use testkit::{Samples, assert_close, gpu};

/// The end of ResNet-18 and ResNet-50 at batch 8; bytes read.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    for channels in [512, 2048] {
        let desc = GlobalAvgPool2dDesc::new(8, 7, 7, channels);
        let input = Samples::new(1).vec((8 * 49 * channels) as usize);
        let (buffer, output) = (gpu.upload(&input), gpu.output((8 * channels) as usize));
        let plan = GlobalAvgPool2d::new(&gpu.context(Family::Tiled), &desc).unwrap();
        let commands = plan.bind(buffer.slice(..), output.slice()).unwrap();
        gpu.run([&commands]);
        assert_close("global_avg_pool2d", &gpu.read(&output), &reference::global_avg_pool2d(&desc, &input));
        let bytes = Throughput::Bytes(input.len() as u64 * 4);
        super::time(criterion, gpu, ("global_avg_pool2d", &format!("8x7x7x{channels}")), bytes, &commands);
    }
}
