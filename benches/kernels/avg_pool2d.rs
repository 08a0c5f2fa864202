//! `avg_pool2d` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{AvgPool2d, AvgPool2dDesc, Family, reference};
use testkit::{Samples, assert_close, gpu};

/// The pooling of a downsampling shortcut, and an overlapping window; bytes read and written, each once.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    let shortcut = AvgPool2dDesc::new(8, 56, 56, 64, 2);
    let overlapping = AvgPool2dDesc { kernel: [3; 2], padding: [1; 2], ..shortcut };
    for desc in [shortcut, overlapping] {
        let [height, width] = desc.output_size().unwrap();
        let input = Samples::new(1).vec((desc.batch * desc.height * desc.width * desc.channels) as usize);
        let (buffer, output) = (gpu.upload(&input), gpu.output((desc.batch * height * width * desc.channels) as usize));
        let plan = AvgPool2d::new(&gpu.context(Family::Tiled), &desc).unwrap();
        let commands = plan.bind(buffer.slice(..), output.slice()).unwrap();
        gpu.run([&commands]);
        let got = gpu.read(&output);
        assert_close("avg_pool2d", &got, &reference::avg_pool2d(&desc, &input));
        let bytes = Throughput::Bytes((input.len() + got.len()) as u64 * 4);
        let name = format!("8x56x56x64 {0}x{0}", desc.kernel[0]);
        super::time(criterion, gpu, ("avg_pool2d", &name), bytes, &commands);
    }
}
